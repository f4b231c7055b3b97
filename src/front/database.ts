import type { Logger } from 'pino'
import { openPool } from '../db/pool.js'
import { asServiceError } from '../db/transaction.js'
import { ServiceError } from '../errors.js'
import { describeError } from './describe-error.js'

/** Reads, and refuses at once while there is nothing to read from. */
export interface Database {
  /** @throws ServiceError `unavailable`, `overloaded`; anything else is a fault of ours */
  query<Row extends object>(name: string, text: string, values: readonly unknown[]): Promise<Row[]>
  close(): Promise<void>
}

const CONNECTIONS = 4
/** Reads that may wait for a connection; with reads of a millisecond that is a few hundredths of a second. */
const MOST_WAITING = 128
const PROBE_PAUSE = 250

/**
 * A small pool behind a breaker: after the first failure that is the database's, every query is refused at once while a
 * single probe asks, four times a second, whether it is back.
 */
export function openDatabase(options: { readonly url: string; readonly logger: Logger }): Database {
  const { url, logger } = options
  const pool = openPool(url, { max: CONNECTIONS, name: 'paraph-front' })
  let down = false
  let probe: NodeJS.Timeout | undefined
  let closed = false

  function failed(cause: unknown): void {
    if (down || closed) return
    down = true
    logger.error({ error: describeError(cause) }, 'the database does not answer')
    scheduleProbe()
  }

  function scheduleProbe(): void {
    if (closed) return
    probe = setTimeout(async () => {
      try {
        await pool.query('select 1')
        down = false
        logger.info('the database answers again')
      } catch {
        scheduleProbe()
      }
    }, PROBE_PAUSE)
    probe.unref()
  }

  return {
    async query<Row extends object>(name: string, text: string, values: readonly unknown[]): Promise<Row[]> {
      if (down) throw new ServiceError('unavailable', { retryAfter: 1 })
      if (pool.waitingCount >= MOST_WAITING) throw new ServiceError('overloaded', { retryAfter: 1 })
      try {
        return (await pool.query<Row>({ name, text, values: [...values] })).rows
      } catch (cause) {
        const error = asServiceError(cause)
        if (error instanceof ServiceError) failed(cause)
        throw error
      }
    },
    async close() {
      closed = true
      clearTimeout(probe)
      await pool.end()
    },
  }
}
