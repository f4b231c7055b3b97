import type { Logger } from 'pino'
import { type Client, openClient } from '../../db/pool.js'
import { describeError } from '../describe-error.js'
import type { FrontReads } from '../reads.js'

/** Knows how far the signed tree of the log reaches. */
export interface CheckpointWatch {
  /**
   * Resolves with true as soon as a signed checkpoint covers this entry; with false when none does in so many
   * milliseconds, or it cannot be known, or too many wait already. Never rejects.
   */
  covers(index: number, ms: number): Promise<boolean>
}

interface Waiting {
  readonly index: number
  settle(covered: boolean): void
}

const MOST_WAITING = 1000
/** How often somebody who waits has the database asked, if nothing is heard from it. */
const LOOK_MS = 500
const FIRST_PAUSE = 100
const LONGEST_PAUSE = 2000

/**
 * Listens on one connection of its own for new checkpoints, and connects again after growing pauses when that breaks. However many
 * wait, the database is asked once for all of them; when it has not answered twice in a row, nobody waits any longer.
 */
export function watchCheckpoints(options: {
  readonly url: string
  readonly db: Pick<FrontReads, 'checkpoint'>
  readonly logger: Logger
}): CheckpointWatch & { close(): Promise<void> } {
  const { url, db, logger } = options
  const waiting = new Set<Waiting>()
  let covered = 0
  let faults = 0
  let looking = false
  let lookAgain = false
  let looks: NodeJS.Timeout | undefined
  let client: Client | undefined
  let timer: NodeJS.Timeout | undefined
  let pause = FIRST_PAUSE
  let closed = false

  async function look(): Promise<void> {
    lookAgain = true
    if (looking) return
    looking = true
    while (lookAgain && !closed) {
      lookAgain = false
      try {
        covered = (await db.checkpoint())?.size ?? 0
        faults = 0
        for (const one of waiting) if (one.index < covered) one.settle(true)
      } catch {
        faults++
        if (faults > 1) for (const one of waiting) one.settle(false)
      }
    }
    looking = false
  }

  async function listen(): Promise<void> {
    let opened: Client | undefined
    try {
      opened = await openClient(url, { name: 'paraph-front-checkpoints' })
      const mine = opened
      mine.on('notification', () => void look())
      mine.on('end', () => lost(mine))
      await mine.query('listen paraph_checkpoint')
      client = mine
      pause = FIRST_PAUSE
    } catch (error) {
      if (pause === FIRST_PAUSE) logger.warn({ error: describeError(error) }, 'new checkpoints are not heard of')
      await opened?.end().catch(() => undefined)
      again()
    }
  }

  function lost(which: Client): void {
    if (client !== which) return
    client = undefined
    again()
  }

  let connecting: Promise<void> = Promise.resolve()
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
    async covers(index, ms) {
      if (index < covered) return true
      if (closed || ms <= 0 || waiting.size >= MOST_WAITING) return false
      looks ??= setInterval(() => void look(), LOOK_MS)
      return new Promise((resolve) => {
        const one: Waiting = {
          index,
          settle(isCovered) {
            clearTimeout(end)
            waiting.delete(one)
            if (waiting.size === 0) {
              clearInterval(looks)
              looks = undefined
            }
            resolve(isCovered)
          },
        }
        const end = setTimeout(() => one.settle(false), ms)
        waiting.add(one)
      })
    },
    async close() {
      closed = true
      clearTimeout(timer)
      for (const one of waiting) one.settle(false)
      await connecting
      const open = client
      client = undefined
      await open?.end().catch(() => undefined)
    },
  }
}
