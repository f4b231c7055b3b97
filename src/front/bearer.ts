import { hash } from 'node:crypto'
import type { Clock } from '../clock.js'
import { ServiceError } from '../errors.js'
import type { Caller } from '../identity/caller.js'
import type { FrontReads } from './reads.js'
import type { SessionWatch } from './session-watch.js'

/** Longest that an answer about a token is believed without asking again, in milliseconds. */
const BELIEVED = 1000
const MOST_REMEMBERED = 10_000

const BEARER = /^bearer +([A-Za-z0-9._~+/-]+=*)$/i

export interface BearerCheck {
  /**
   * The caller behind an `Authorization: Bearer` header.
   * @throws ServiceError `token_malformed`, `token_unknown`, `token_expired`, `unavailable`, `overloaded`
   */
  identify(header: string | undefined): Promise<Caller>
  /** The token in such a header, if it is one. */
  tokenOf(header: string): string | undefined
  /** Believes no remembered answer about this session any more. */
  forget(session: string): void
}

interface Remembered {
  readonly caller: Caller
  readonly until: number
}

/**
 * Remembers callers for at most a second, and not at all while nobody would tell it that a session ended.
 */
export function bearerCheck(services: {
  readonly db: Pick<FrontReads, 'caller'>
  readonly clock: Clock
  readonly sessions?: SessionWatch
}): BearerCheck {
  const { db, clock, sessions } = services
  /** By SHA-256 of the token, in the order in which they run out. */
  const remembered = new Map<string, Remembered>()
  /** Grows with everything forgotten, so that an answer already under way then is not remembered. */
  let forgotten = 0

  function forget(session: string | undefined): void {
    forgotten += 1
    if (session === undefined) remembered.clear()
    for (const [key, { caller }] of remembered) if (caller.sessionId === session) remembered.delete(key)
  }
  sessions?.onEnded(forget)

  function remember(key: string, caller: Caller): void {
    const now = clock.now()
    for (const [old, { until }] of remembered) {
      if (until > now && remembered.size < MOST_REMEMBERED) break
      remembered.delete(old)
    }
    remembered.set(key, { caller, until: now + BELIEVED })
  }

  async function callerOf(token: string): Promise<Caller> {
    const key = hash('sha256', token, 'base64url')
    const known = remembered.get(key)
    const left = known === undefined ? 0 : known.until - clock.now()
    // More than was given means that the clock went back.
    if (known !== undefined && left > 0 && left <= BELIEVED) return known.caller
    const before = forgotten
    const caller = await db.caller(Buffer.from(key, 'base64url'))
    if (typeof caller === 'string') throw new ServiceError(caller)
    if (sessions?.watching === true && before === forgotten) remember(key, caller)
    return caller
  }

  return {
    async identify(header) {
      const token = header === undefined ? undefined : tokenOf(header)
      if (token === undefined) throw new ServiceError('token_malformed')
      return await callerOf(token)
    },
    tokenOf,
    forget,
  }
}

function tokenOf(header: string): string | undefined {
  return BEARER.exec(header)?.[1]
}
