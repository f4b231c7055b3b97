import type { Boot } from '../audit/boot.js'
import type { AuditEvent } from '../audit/event.js'
import { type Appended, GroupCommit } from '../audit/group-commit.js'
import type { OwnEntries } from '../audit/own-entries.js'
import { entryValues, logItem, openingValues, Sequence } from '../audit/sequence.js'
import type { Clock } from '../clock.js'
import { ServiceError } from '../errors.js'
import type { AuthorizationId, ClientId, CredentialId, SessionId, SignerId } from '../ids.js'
import type { RetryName } from './retry.js'

/** What must hold while an entry is committed, else its alternative is (paraph.flush, migration 0004). */
export type Guard =
  /** Spends `count` of an authorization and writes the intention of a signing. */
  | ({
      readonly kind: 'spend'
      readonly count: number
      /** For a bound authorization. */
      readonly digests: readonly Uint8Array[] | undefined
      /** After this many seconds without an outcome the signing counts as abandoned. */
      readonly seconds: number
      /** Taken with it, where the client named its request: of all who bring the same, one spends. */
      readonly retry: RetryName | undefined
    } & Grant)
  /** Spends nothing: nobody has stopped session, authorization or credential since. */
  | ({ readonly kind: 'repeat' } & Grant)
  /** Closes an open signing; one that succeeded only while nobody has stopped it. */
  | {
      readonly kind: 'close'
      readonly state: 'signed' | 'failed' | 'indeterminate'
      /** For who asks again under the same name; encrypted. */
      readonly signatures?: Uint8Array
    }

/** An authorization and whom it was given to, as they were checked. */
export interface Grant {
  readonly authorization: AuthorizationId
  readonly session: SessionId
  readonly signer: SignerId
  readonly client: ClientId
  readonly credential: CredentialId
  readonly version: number
}

const GUARD = { spend: 1, close: 2, repeat: 3 } as const
const STATE = { signed: 1, failed: 2, indeterminate: 3 } as const

/** Why an alternative stands in the log instead: the numbers of paraph.flush. */
export const FLUSH_REASON = {
  asWished: 0,
  unknown: 1,
  expired: 2,
  revoked: 3,
  tooMany: 4,
  digestNotAuthorized: 5,
  sessionEnded: 6,
  credentialChanged: 7,
  notOpen: 8,
  usedUp: 9,
  keyTaken: 10,
} as const

/**
 * The log as a signing writes it: spending, intention and outcome in one statement shared by everybody who waits.
 */
export class SigningLog {
  readonly #commits: GroupCommit<Guard>
  readonly #clock: Clock
  readonly boot: Boot
  /** The name of the log. */
  readonly origin: string

  readonly #covered: () => number

  /** @param options.covered how many entries are known to be signed */
  constructor(options: {
    url: string
    boot: Boot
    clock: Clock
    origin: string
    own?: OwnEntries
    covered?: () => number
  }) {
    this.#clock = options.clock
    this.#covered = options.covered ?? (() => 0)
    this.boot = options.boot
    this.origin = options.origin
    this.#commits = new GroupCommit<Guard>({
      url: options.url,
      sequence: new Sequence(options.boot, options.clock, options.own),
      statement: (flush, guards) => {
        const spends = guards.map((guard) => (guard?.kind === 'spend' ? guard : undefined))
        const grants = guards.map((guard) => (guard === undefined || guard.kind === 'close' ? undefined : guard))
        const closes = guards.map((guard) => (guard?.kind === 'close' ? guard : undefined))
        return {
          name: 'flush',
          text: `select idx, why from paraph.flush($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19,
                   $20, $21, $22, $23, $24, $25, $26, $27, $28, $29, $30, $31, $32, $33)`,
          values: [
            ...entryValues(options.boot, flush),
            guards.map((guard) => (guard === undefined ? 0 : GUARD[guard.kind])),
            flush.altPh,
            flush.altEv,
            flush.altLeaf,
            flush.altLh,
            grants.map((grant) => grant?.authorization ?? null),
            grants.map((grant) => grant?.session ?? null),
            grants.map((grant) => grant?.signer ?? null),
            grants.map((grant) => grant?.client ?? null),
            grants.map((grant) => grant?.credential ?? null),
            grants.map((grant) => grant?.version ?? null),
            spends.map((spend) => spend?.count ?? null),
            spends.map((spend) => (spend?.digests === undefined ? null : byteaArray(spend.digests))),
            spends.map((spend) => spend?.seconds ?? null),
            spends.map((spend) => spend?.retry?.key ?? null),
            spends.map((spend) => spend?.retry?.body ?? null),
            closes.map((close) => (close === undefined ? null : STATE[close.state])),
            closes.map((close) => close?.signatures ?? null),
            ...openingValues(flush),
          ],
        }
      },
    })
  }

  open(): Promise<void> {
    return this.#commits.open()
  }

  get connected(): boolean {
    return this.#commits.connected
  }

  /** An entry that nothing depends on. Durable when it resolves. */
  async append(event: AuditEvent): Promise<void> {
    await this.#commits.append(logItem(event, this.#clock.now()))
  }

  /**
   * `event` if the guard holds at the moment of commit, else `alternative`, which must have the same openings; both under
   * the operation of `event`. Durable when it resolves.
   * @param persistUntil `performance.now()` until which a lost database is waited for; absent: refuse at once
   * @returns where it stands, and 0 or the reason (`FLUSH_REASON`) why the alternative does
   * @throws ServiceError `unavailable` also when it stands where a signed entry was: the database was taken back to before
   *   that one, and what was spent since is unspent there
   */
  async guarded(event: AuditEvent, alternative: AuditEvent, guard: Guard, persistUntil?: number): Promise<Appended> {
    const appended = await this.#commits.append(logItem(event, this.#clock.now(), alternative), guard, persistUntil)
    if (appended.idx < this.#covered()) {
      throw new ServiceError('unavailable', { retryAfter: 1, cause: new Error('the log was taken back') })
    }
    return appended
  }

  close(): Promise<void> {
    return this.#commits.close()
  }
}

/** PostgreSQL's text form of a bytea[]; one element of a text[] parameter, since arrays of arrays must be rectangular. */
function byteaArray(values: readonly Uint8Array[]): string {
  return `{${values.map((bytes) => `"\\\\x${Buffer.from(bytes).toString('hex')}"`).join(',')}}`
}
