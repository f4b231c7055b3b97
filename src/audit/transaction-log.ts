import type { Clock } from '../clock.js'
import { backendOf, endBackend } from '../db/backend.js'
import { isConnectionError } from '../db/connection-error.js'
import { type Client, type Executor, openClient } from '../db/pool.js'
import { asServiceError } from '../db/transaction.js'
import { ServiceError } from '../errors.js'
import type { OperationId } from '../ids.js'
import type { Boot } from './boot.js'
import type { AuditEvent } from './event.js'
import { type EncodedFlush, entryValues, type LogItem, logItem, openingValues, type Sequence } from './sequence.js'

/** What the work of a transaction may use: SQL, and nothing that is slow. */
export type Tx = Executor

/** Adds an entry to the transaction; appended when it commits, or not at all. Answers the id of the operation. */
export type Record = (event: AuditEvent) => OperationId

export interface TransactionLogOptions {
  readonly url: string
  readonly sequence: Sequence
  readonly clock: Clock
}

const MAX_WAITING = 256

/**
 * Changes and their entries, both or neither: one transaction at a time on a connection of its own. The entries wait in
 * audit.staged and take their index while the transaction commits, so that no client holds the head of the log.
 */
export class TransactionLog {
  readonly #options: TransactionLogOptions
  #client: Client | undefined
  #tail: Promise<unknown> = Promise.resolve()
  #waiting = 0
  #doubt: { flush: EncodedFlush; backend: number } | undefined

  constructor(options: TransactionLogOptions) {
    this.#options = options
  }

  /**
   * Runs `work` in a transaction and commits it together with what it recorded; durable when it resolves. What `work`
   * throws comes out as it is, and nothing is changed or recorded.
   * @throws ServiceError `unavailable` when the database is away or the commit is in doubt, `overloaded` when too many wait.
   */
  transact<T>(work: (tx: Tx, record: Record) => Promise<T>): Promise<T> {
    if (this.#waiting >= MAX_WAITING) return Promise.reject(new ServiceError('overloaded', { retryAfter: 1 }))
    this.#waiting++
    const turn = this.#tail.then(() => this.#run(work)).finally(() => this.#waiting--)
    this.#tail = turn.catch(() => {})
    return turn
  }

  /** One entry by itself. */
  async append(event: AuditEvent): Promise<void> {
    await this.transact(async (_tx, record) => record(event))
  }

  /** Reads outside a transaction, on the same connection. */
  async query<Row extends object>(text: string, values: unknown[]): Promise<Row[]> {
    return this.transact(async (tx) => (await tx.query(text, values)).rows as Row[])
  }

  async close(): Promise<void> {
    await this.#tail
    const client = this.#client
    this.#client = undefined
    await client?.end()
  }

  async #run<T>(work: (tx: Tx, record: Record) => Promise<T>): Promise<T> {
    const { sequence, clock } = this.#options
    let client: Client
    try {
      client = await this.#connected()
      await client.query('begin')
    } catch (error) {
      await this.#drop()
      throw new ServiceError('unavailable', { retryAfter: 1, cause: error })
    }
    const items: LogItem[] = []
    let flush: EncodedFlush | undefined
    let result: T
    try {
      result = await work(client as Executor, (event) => {
        const item = logItem(event, clock.now())
        items.push(item)
        return item.op
      })
      if (items.length > 0) {
        flush = sequence.encode(items)
        await client.query(stage(sequence.boot, flush))
      }
    } catch (error) {
      await client.query('rollback').catch(() => this.#drop())
      throw this.#translated(error)
    }
    try {
      await client.query('commit')
    } catch (error) {
      if (isConnectionError(error) && flush !== undefined) {
        this.#doubt = { flush, backend: backendOf(client) }
        await this.#drop()
      }
      throw this.#translated(error)
    }
    if (flush !== undefined) this.#committed(flush)
    return result
  }

  #committed(flush: EncodedFlush): void {
    const { sequence } = this.#options
    sequence.committed(flush.op.length)
    sequence.remember(flush)
  }

  #translated(error: unknown): unknown {
    const translated = asServiceError(error)
    if (translated !== error && isConnectionError(error)) void this.#drop()
    return translated
  }

  async #connected(): Promise<Client> {
    if (this.#client === undefined) {
      const client = await openClient(this.#options.url)
      client.on('error', () => void this.#drop())
      this.#client = client
    }
    if (this.#doubt !== undefined) {
      const { sequence } = this.#options
      await endBackend(this.#client, this.#doubt.backend)
      const { rows } = await this.#client.query('select 1 from audit.flush where boot = $1 and no = $2', [
        sequence.boot.id,
        this.#doubt.flush.no,
      ])
      if (rows.length > 0) this.#committed(this.#doubt.flush)
      this.#doubt = undefined
    }
    return this.#client
  }

  async #drop(): Promise<void> {
    const client = this.#client
    this.#client = undefined
    await client?.end().catch(() => {})
  }
}

function stage(boot: Boot, flush: EncodedFlush): { text: string; values: unknown[] } {
  return {
    text: `insert into audit.staged (boot, no, body, signature, op, ph, ev, leaf, lh, o_item, o_class, o_seed, o_fields, o_tags, o_retain)
           values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15)`,
    values: [...entryValues(boot, flush), ...openingValues(flush)],
  }
}
