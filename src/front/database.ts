import type { Logger } from 'pino'
import { openPool } from '../db/pool.js'
import { asServiceError } from '../db/transaction.js'
import { ServiceError } from '../errors.js'
import { Lane } from '../lane.js'
import { describeError } from './describe-error.js'

/** Reads, and refuses at once while there is nothing to read from. */
export interface Reader {
  /** @throws ServiceError `unavailable`, `overloaded`; anything else is a fault of ours */
  query<Row extends object>(name: string, text: string, values: readonly unknown[]): Promise<Row[]>
}

export interface Database extends Reader {
  /**
   * For what anybody can make this front ask: half of the connections at most, so that no number of strangers takes
   * them, or the places before them, from callers who are known.
   */
  readonly forStrangers: Reader
  close(): Promise<void>
}

const CONNECTIONS = 4
const STRANGERS_CONNECTIONS = CONNECTIONS / 2
/** Reads that may wait for a connection; with reads of a millisecond that is a few hundredths of a second. */
const MOST_WAITING = 128
const PROBE_PAUSE = 250

const AUDITORS_CONNECTIONS = 2
const MOST_AUDITORS_WAITING = 16
const AUDITORS_TIMEOUT = 10_000

/** The connections that auditors read with, made when there is something to read. */
export function openAuditorsDatabase(url: string): Reader & { close(): Promise<void> } {
  const pool = openPool(url, {
    max: AUDITORS_CONNECTIONS,
    name: 'paraph-front-auditors',
    statementTimeout: AUDITORS_TIMEOUT,
  })
  const lane = new Lane({ atOnce: AUDITORS_CONNECTIONS, mostWaiting: MOST_AUDITORS_WAITING })
  return {
    query: <Row extends object>(name: string, text: string, values: readonly unknown[]) =>
      lane.run(async () => {
        try {
          return (await pool.query<Row>({ name, text, values: [...values] })).rows
        } catch (error) {
          throw asServiceError(error)
        }
      }),
    close: () => pool.end(),
  }
}

/**
 * A few connections behind a breaker: after the first failure that is the database's, every query is refused at once while
 * a single probe asks, four times a second, whether it is back.
 *
 * Whoever waits for a connection is bounded by number, not by time: when very many requests arrive in one turn of the
 * event loop, timers run out before the answers that are long there are read, and a database that is well would seem
 * away. For the same reason all connections are made at the start, and kept.
 */
export function openDatabase(options: { readonly url: string; readonly logger: Logger }): Database {
  const { url, logger } = options
  const pool = openPool(url, { max: CONNECTIONS, name: 'paraph-front' })
  const lane = new Lane({ atOnce: CONNECTIONS, mostWaiting: MOST_WAITING })
  const strangers = new Lane({ atOnce: STRANGERS_CONNECTIONS, mostWaiting: MOST_WAITING })
  let down = false
  let probe: NodeJS.Timeout | undefined
  let closed = false

  async function connectAll(): Promise<void> {
    const made = await Promise.allSettled(Array.from({ length: CONNECTIONS }, () => pool.connect()))
    for (const one of made) if (one.status === 'fulfilled') one.value.release()
    for (const one of made) if (one.status === 'rejected') throw one.reason
  }

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
        await connectAll()
        down = false
        logger.info('the database answers again')
      } catch {
        scheduleProbe()
      }
    }, PROBE_PAUSE)
    probe.unref()
  }

  function requireUp(): void {
    if (down) throw new ServiceError('unavailable', { retryAfter: 1 })
  }

  // Once more: while a front is being built its event loop stands still, and the time for connecting runs out by that alone.
  const opened = connectAll().catch(connectAll).catch(failed)

  async function query<Row extends object>(name: string, text: string, values: readonly unknown[]): Promise<Row[]> {
    requireUp()
    return lane.run(async () => {
      await opened
      requireUp()
      try {
        return (await pool.query<Row>({ name, text, values: [...values] })).rows
      } catch (cause) {
        const error = asServiceError(cause)
        if (error instanceof ServiceError) failed(cause)
        throw error
      }
    })
  }

  return {
    query,
    forStrangers: {
      async query(name, text, values) {
        requireUp()
        return strangers.run(() => query(name, text, values))
      },
    },
    async close() {
      closed = true
      clearTimeout(probe)
      await opened
      await pool.end()
    },
  }
}
