import type { Logger } from 'pino'
import type { AuditEvent, FrontEventName } from '../audit/event.js'
import type { Clock } from '../clock.js'
import type { StoreDatabase } from '../identity/oauth-store.js'
import type { CheckpointWatch } from './audit/checkpoint-watch.js'
import type { Reader } from './database.js'
import type { FrontReads } from './reads.js'
import type { SamClient } from './sam-client.js'
import type { SessionWatch } from './session-watch.js'

export interface FrontConfig {
  /** Where clients reach the service, such as `https://sign.example`; begins the address of the logo. */
  readonly publicUrl: string
  /** Networks (`10.0.0.0/8`) or addresses of the proxies whose X-Forwarded-For and -Proto are believed; usually none. */
  readonly trustedProxies: readonly string[]
  /** Whether `auth/login` takes passwords. */
  readonly basicLogin: boolean
  /** Whether everybody may read the log's checkpoints and hashes. Entries are for auditors. */
  readonly auditPublic: boolean
  /** At most 255 characters, as `info` tells it. */
  readonly name: string
  /** ISO 3166-1 alpha-2, upper case. */
  readonly region: string
  /** RFC 5646: the language of the texts. */
  readonly lang: string
  /** Paths of PEM files. Without them the front speaks plain HTTP, for a loopback address or a proxy. */
  readonly tls?: {
    readonly cert: string
    readonly key: string
    /** Whether clients may prove with a certificate who they are; nobody else needs one. */
    readonly clientCertificates: boolean
  }
}

/** Everything that a front works with. */
export interface FrontServices {
  readonly config: FrontConfig
  readonly db: FrontReads
  /** Where what was shown once is remembered, so that it is not taken again. */
  readonly store: StoreDatabase
  /** The same, for what anybody can make this front ask before it is known who that is. */
  readonly strangers: { readonly db: FrontReads; readonly store: StoreDatabase }
  /** For auditors, whose reads take longer and hold up nobody else's. */
  readonly auditors: Reader
  readonly sam: SamClient
  /** Durable when it resolves. @throws ServiceError `unavailable`, `overloaded` */
  readonly log: { append(event: AuditEvent<FrontEventName>): Promise<void> }
  readonly logger: Logger
  readonly clock: Clock
  /** Without it no caller is remembered, and every request asks the database who it is. */
  readonly sessions?: SessionWatch
  /** Without it nobody waits for a checkpoint. */
  readonly checkpoints?: CheckpointWatch
}
