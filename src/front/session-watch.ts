import type { Logger } from 'pino'
import { type Client, openClient } from '../db/pool.js'
import { describeError } from './describe-error.js'

/** Tells when sessions end, as the SAM workers announce it on the PostgreSQL channel `paraph_session`. */
export interface SessionWatch {
  /** Whether every end is heard of now. */
  readonly watching: boolean
  /** Calls with the session that ended, or with nothing when ends may have been missed. */
  onEnded(listener: (session: string | undefined) => void): void
}

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
  let client: Client | undefined
  let timer: NodeJS.Timeout | undefined
  let pause = FIRST_PAUSE
  let closed = false
  let connecting: Promise<void> = Promise.resolve()

  function tellAll(session: string | undefined): void {
    for (const tell of listeners) tell(session)
  }

  async function listen(): Promise<void> {
    let opened: Client | undefined
    try {
      opened = await openClient(url, { name: 'paraph-front-sessions' })
      const mine = opened
      mine.on('notification', ({ payload }) => tellAll(payload))
      mine.on('end', () => lost(mine))
      await mine.query('listen paraph_session')
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
