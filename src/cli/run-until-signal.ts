import closeWithGrace from 'close-with-grace'
import type { Logger } from 'pino'

/** Longest time a stop may take before the process ends anyway, in milliseconds. */
const STOP_MS = 30_000

export interface Running {
  /** Registers what to do when stopping; done in reverse order, one after the other. */
  onStop(close: () => Promise<void>): void
  /** The same promise, but rejects as soon as somebody asks to stop. */
  unlessStopped<Result>(waiting: Promise<Result>): Promise<Result>
}

/**
 * Runs `start`, then stays until SIGINT, SIGTERM or an uncaught error, and ends the process: with 0 when it was asked to
 * stop, with 1 otherwise. A second signal ends it at once. When `start` fails, what it had opened is closed, and it
 * rejects.
 */
export async function runUntilSignal(logger: Logger, start: (running: Running) => Promise<void>): Promise<void> {
  const closers: (() => Promise<void>)[] = []
  let stop: (reason: Error) => void = () => undefined
  const stopped = new Promise<never>((_, reject) => {
    stop = reject
  })
  stopped.catch(() => undefined)
  const closeAll = async () => {
    for (let close = closers.pop(); close !== undefined; close = closers.pop()) {
      await close().catch((error: unknown) => logger.error({ err: error }, 'a part did not stop cleanly'))
    }
  }
  let asked = false
  const starting = start({
    onStop: (close) => void closers.push(close),
    unlessStopped: (waiting) => Promise.race([waiting, stopped]),
  })
  const grace = closeWithGrace({ delay: STOP_MS, logger: false, skip: ['beforeExit'] }, async ({ err }) => {
    asked = true
    if (err !== undefined) logger.fatal({ err }, 'uncaught error: stopping')
    stop(new Error('asked to stop'))
    await starting.catch(() => undefined)
    await closeAll()
  })
  try {
    await starting
  } catch (error) {
    if (asked) return
    grace.uninstall()
    await closeAll()
    throw error
  }
}
