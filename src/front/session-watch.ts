import type { Logger } from 'pino'
import { type Client, openClient } from '../db/pool.js'
import { describeError } from './describe-error.js'

/** Tells of new access tokens and of sessions that end, as the SAM workers announce it by NOTIFY. */
export interface SessionWatch {
  /** Whether every end is heard of now. */
  readonly watching: boolean
  /** Calls with the session that ended, or with nothing when ends may have been missed. */
  onEnded(listener: (session: string | undefined) => void): void
  /**
   * Calls with the SHA-256 of every access token that anybody was given on any front, those of before included. Says
   * nothing of what its holder may do.
   */
  onIssued(listener: (tokenHash: Uint8Array) => void): void
}

/** Those that run out first: of access tokens, which are the ones that do, the oldest. */
const LIVE_TOKENS = `select hash from paraph.token
  where kind = 'access' and expires_at > paraph.now() and revoked_at is null order by expires_at limit 50000`

const FIRST_PAUSE = 100
const LONGEST_PAUSE = 2000

/**
 * Listens on one connection of its own, and connects again after growing pauses when that breaks. Does not wait for the
 * first connection.
 */
export function watchSessions(options: {
  readonly url: string
  readonly logger: Logger
}): SessionWatch & { close(): Promise<void> } {
  const { url, logger } = options
  const listeners: ((session: string | undefined) => void)[] = []
  const issueListeners: ((tokenHash: Uint8Array) => void)[] = []
  let client: Client | undefined
  let timer: NodeJS.Timeout | undefined
  let pause = FIRST_PAUSE
  let closed = false
  let connecting: Promise<void> = Promise.resolve()

  function tellAll(session: string | undefined): void {
    for (const tell of listeners) tell(session)
  }

  function tellIssued(tokenHash: Uint8Array): void {
    for (const tell of issueListeners) tell(tokenHash)
  }

  async function listen(): Promise<void> {
    let opened: Client | undefined
    try {
      opened = await openClient(url, { name: 'paraph-front-sessions' })
      const mine = opened
      mine.on('notification', ({ channel, payload }) => {
        if (channel === 'paraph_token') tellIssued(Buffer.from(payload ?? '', 'base64'))
        else tellAll(payload)
      })
      mine.on('end', () => lost(mine))
      await mine.query('listen paraph_session')
      await mine.query('listen paraph_token')
      for (const { hash } of (await mine.query<{ hash: Buffer }>(LIVE_TOKENS)).rows) tellIssued(hash)
      client = mine
      pause = FIRST_PAUSE
    } catch (error) {
      if (pause === FIRST_PAUSE) logger.warn({ error: describeError(error) }, 'ends of sessions are not heard of')
      await opened?.end().catch(() => undefined)
      again()
    }
  }

  function lost(which: Client): void {
    if (client !== which) return
    client = undefined
    tellAll(undefined)
    again()
  }

  function again(): void {
    if (closed) return
    timer = setTimeout(() => {
      connecting = listen()
    }, pause)
    timer.unref()
    pause = Math.min(pause * 2, LONGEST_PAUSE)
  }

  connecting = listen()
  return {
    get watching() {
      return client !== undefined
    },
    onEnded(listener) {
      listeners.push(listener)
    },
    onIssued(listener) {
      issueListeners.push(listener)
    },
    async close() {
      closed = true
      clearTimeout(timer)
      await connecting
      const open = client
      client = undefined
      await open?.end().catch(() => undefined)
    },
  }
}
