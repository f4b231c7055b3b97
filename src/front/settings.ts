import type { LogLevel } from '../config.js'

/**
 * What the front process (`src/front/child.ts`) reads from its standard input, and all it is given: its environment
 * holds PATH and nothing else, and nothing here opens a key, a factor or the owner's side of the database.
 */
export interface FrontSettings {
  /** Role paraph_front, with its password. */
  readonly databaseUrl: string
  /** Sockets of the workers. */
  readonly samSockets: readonly string[]
  readonly host: string
  readonly port: number
  readonly tls?: { readonly certFile: string; readonly keyFile: string; readonly clientCertificates: boolean }
  /** Without a slash at the end. */
  readonly publicUrl: string
  readonly trustedProxies: readonly string[]
  readonly basicLogin: boolean
  /** Whether everybody may read the log's checkpoints and hashes. */
  readonly auditPublic: boolean
  readonly demo: boolean
  /** Shown by info. */
  readonly name: string
  readonly region: string
  readonly logLevel: LogLevel
  /** Name of this machine in the log. */
  readonly node: string
}
