import type { Logger } from 'pino'
import type { TransactionLog } from '../audit/transaction-log.js'
import type { Pool } from '../db/pool.js'
import { reconcile } from '../signing/reconcile.js'

/** Entries for which partitions are kept ready. */
const AHEAD = 2_000_000
const EVERY_MS = 60_000

/** Entries that are counted in one statement, some hundredths of a second, and how often in a minute at most. */
const TALLIED = 50_000
const TALLIES = 20

/**
 * What a worker does each minute beside its requests: close orphaned intentions, keep partitions ahead, drop expired rows, and
 * count what is new in the log.
 */
export class Chores {
  readonly #options: { transactions: TransactionLog; pool: Pool; logger: Logger }
  #timer: NodeJS.Timeout | undefined

  constructor(options: { transactions: TransactionLog; pool: Pool; logger: Logger }) {
    this.#options = options
  }

  async runOnce(): Promise<void> {
    const { transactions, pool, logger } = this.#options
    const closed = await reconcile(transactions)
    if (closed > 0) logger.warn({ closed }, 'intentions without an outcome were closed as abandoned')
    await pool.query('select audit.ensure_partitions($1)', [AHEAD])
    await pool.query('select paraph.purge()')
    await pool.query('select audit.purge_looks()')
    await this.#tally()
  }

  async #tally(): Promise<void> {
    for (let i = 0; i < TALLIES; i++) {
      const { rows } = await this.#options.pool.query<{ n: number }>('select audit.tally_up($1) as n', [TALLIED])
      if ((rows[0]?.n ?? 0) < TALLIED) return
    }
  }

  start(): void {
    this.#timer = setInterval(() => {
      this.runOnce().catch((error: unknown) => {
        this.#options.logger.error(
          { cause: error instanceof Error ? error.message : 'unknown' },
          'the regular chores failed',
        )
      })
    }, EVERY_MS)
    this.#timer.unref()
  }

  stop(): void {
    clearInterval(this.#timer)
  }
}
