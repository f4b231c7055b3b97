import { hash } from 'node:crypto'
import type { Clock } from '../clock.js'
import { ServiceError } from '../errors.js'
import type { Bearer, Caller, ClientCaller } from '../identity/caller.js'
import type { StoreDatabase } from '../identity/oauth-store.js'
import { type Proof, requireProof } from './proof.js'
import type { FrontReads } from './reads.js'
import type { SessionWatch } from './session-watch.js'
import { tokenLookup } from './token-lookup.js'

/** Longest that an answer about a token is believed without asking again, in milliseconds. */
const BELIEVED = 1000
const MOST_REMEMBERED = 10_000

const BEARER = /^(bearer|dpop) +([A-Za-z0-9._~+/-]+=*)$/i

/** What a request shows of whoever sends it. */
export interface Presented extends Omit<Proof, 'scheme' | 'token'> {
  readonly authorization: string | undefined
}

export interface BearerCheck {
  /**
   * Whoever is behind an `Authorization: Bearer` or `DPoP` header, with the proof that the token is bound to.
   * @throws ServiceError `token_malformed`, `token_unknown`, `token_expired`, `proof_invalid`, `unavailable`, `overloaded`
   */
  identify(presented: Presented): Promise<Bearer>
  /**
   * A client with a token of its own, acting for the signer that its request names.
   * @throws ServiceError `credential_unknown`, `parameter_invalid`, also for signers that it may not act for
   */
  actingFor(client: ClientCaller, named: 'credentialID' | 'userID' | undefined, value: unknown): Promise<Caller>
  /** Whoever is behind a token that came in a cookie. @throws ServiceError as `identify`, but for proofs */
  holderOf(token: string): Promise<Bearer>
  /** The token in such a header, if it is one. */
  tokenOf(header: string): string | undefined
  /** Believes no remembered answer about this session any more. */
  forget(session: string): void
  /** Somebody was just given the token with this SHA-256: its first use is not taken for a stranger's. */
  expect(tokenHash: Uint8Array): void
}

interface Remembered {
  readonly caller: Bearer
  readonly until: number
}

/**
 * Remembers callers for at most a second, and not at all while nobody would tell it that a session ended.
 */
export function bearerCheck(services: {
  readonly db: Pick<FrontReads, 'caller' | 'assignedOwner' | 'assignedSigner'>
  readonly strangers: { readonly db: Pick<FrontReads, 'caller'> }
  readonly store: StoreDatabase
  readonly config: { readonly publicUrl: string }
  readonly clock: Clock
  readonly sessions?: SessionWatch
}): BearerCheck {
  const { db, strangers, clock, sessions, store, config } = services
  /** By SHA-256 of the token, in the order in which they run out. */
  const remembered = new Map<string, Remembered>()
  const lookup = tokenLookup(clock)
  /** Grows with everything forgotten, so that an answer already under way then is not remembered. */
  let forgotten = 0

  function forget(session: string | undefined): void {
    forgotten += 1
    if (session === undefined) remembered.clear()
    for (const [key, { caller }] of remembered) if (caller.sessionId === session) remembered.delete(key)
  }
  sessions?.onEnded(forget)
  sessions?.onIssued((tokenHash) => lookup.expect(Buffer.from(tokenHash).toString('base64url')))

  function remember(key: string, caller: Bearer): void {
    const now = clock.now()
    for (const [old, { until }] of remembered) {
      if (until > now && remembered.size < MOST_REMEMBERED) break
      remembered.delete(old)
    }
    remembered.set(key, { caller, until: now + BELIEVED })
  }

  async function callerOf(token: string): Promise<Bearer> {
    const key = hash('sha256', token, 'base64url')
    const known = remembered.get(key)
    const left = known === undefined ? 0 : known.until - clock.now()
    // More than was given means that the clock went back.
    if (known !== undefined && left > 0 && left <= BELIEVED) return known.caller
    const before = forgotten
    const caller = await lookup.lookUp(key, (known) =>
      (known ? db : strangers.db).caller(Buffer.from(key, 'base64url')),
    )
    if (typeof caller === 'string') throw new ServiceError(caller)
    if (sessions?.watching === true && before === forgotten) remember(key, caller)
    return caller
  }

  return {
    async identify({ authorization = '', ...shown }) {
      const [, scheme, token] = BEARER.exec(authorization) ?? []
      if (scheme === undefined || token === undefined) throw new ServiceError('token_malformed')
      const caller = await callerOf(token)
      await requireProof({ store, clock, publicUrl: config.publicUrl }, caller.confirmation, {
        ...shown,
        token,
        scheme: scheme.toLowerCase() as 'bearer' | 'dpop',
      })
      return caller
    },
    async actingFor(client, named, value) {
      const who = typeof value === 'string' ? value : ''
      const signerId =
        named === 'userID'
          ? await db.assignedSigner(client.clientId, who.replaceAll('\0', ''))
          : await db.assignedOwner(client.clientId, who)
      if (signerId !== undefined) return { ...client, signerId }
      if (named === 'userID') throw new ServiceError('parameter_invalid', { detail: 'Invalid parameter userID' })
      throw new ServiceError('credential_unknown')
    },
    holderOf: callerOf,
    tokenOf,
    forget,
    expect: (tokenHash) => lookup.expect(Buffer.from(tokenHash).toString('base64url')),
  }
}

function tokenOf(header: string): string | undefined {
  return BEARER.exec(header)?.[2]
}
