import type { Clock } from '../clock.js'
import { Lane } from '../lane.js'

/** As long as any session lives without being used, in milliseconds. */
const LIFE = 30 * 60_000
const MOST_GOOD = 100_000

/** As many as there are connections for strangers (database.ts). */
const STRANGERS_AT_ONCE = 2
const STRANGERS_WAITING = 64

type NotGood = 'token_unknown' | 'token_expired'

export interface TokenLookup {
  /** This token is good, whoever says so. Tokens are known by their SHA-256, base64url. */
  expect(key: string): void
  /**
   * What `ask` answers about the token, asked in the lane that it belongs to. `ask` is told whether the token is known.
   * @throws ServiceError `overloaded`, at once, when too many tokens are asked about that nobody has seen before; else
   *   what `ask` throws
   */
  lookUp<T extends object>(key: string, ask: (known: boolean) => Promise<T | NotGood>): Promise<T | NotGood>
}

/**
 * Who is asked about first. A token that was good within the life of a session, or that any front has handed out,
 * goes to the database directly. All others share a lane with few places, so that no number of invented tokens takes the
 * connections, or the places in their queue, from callers who are known.
 */
export function tokenLookup(clock: Clock): TokenLookup {
  const strangers = new Lane({ atOnce: STRANGERS_AT_ONCE, mostWaiting: STRANGERS_WAITING })
  /** When each good token is forgotten, in that order. It says who goes first, and nothing of what anyone may do. */
  const good = new Map<string, number>()

  function expect(key: string): void {
    const now = clock.now()
    good.delete(key)
    for (const [old, until] of good) {
      if (until > now && good.size < MOST_GOOD) break
      good.delete(old)
    }
    good.set(key, now + LIFE)
  }

  return {
    expect,
    async lookUp(key, ask) {
      const isKnown = (good.get(key) ?? 0) > clock.now()
      const answer = await (isKnown ? ask(true) : strangers.run(() => ask(false)))
      if (typeof answer === 'string') good.delete(key)
      else expect(key)
      return answer
    },
  }
}
