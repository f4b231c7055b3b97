import { backendOf, endBackend } from '../db/backend.js'
import { isConnectionError } from '../db/connection-error.js'
import { type Client, openClient } from '../db/pool.js'
import { ServiceError } from '../errors.js'
import type { EncodedFlush, LogItem, Sequence } from './sequence.js'

/** What became of an appended item. */
export interface Appended {
  readonly idx: number
  /** 0, or the reason why its alternative stands there (paraph.flush). */
  readonly why: number
  /** Of the leaf that stands there, as its writer made it. */
  readonly leafHash: Uint8Array
}

export interface GroupCommitOptions<Guard> {
  readonly url: string
  readonly sequence: Sequence
  /** One statement that commits the flush and answers one row (idx, why) an item, in order. */
  statement(
    flush: EncodedFlush,
    guards: readonly (Guard | undefined)[],
  ): { name: string; text: string; values: unknown[] }
}

interface Waiting<Guard> {
  readonly item: LogItem
  readonly guard: Guard | undefined
  /** `performance.now()` until which a lost connection is waited out; absent: refuse at once. */
  readonly persistUntil: number | undefined
  resolve(appended: Appended): void
  reject(error: unknown): void
}

const MAX_ITEMS = 512
const MAX_BYTES = 1024 * 1024
const MAX_WAITING = 4096
const RECONNECT_MS = 150

type Placed = Pick<Appended, 'idx' | 'why'>

/** With the one of the two leaves that item `i` of a flush brought which stands in the log. */
function standing({ lh, altLh }: EncodedFlush, i: number, { idx, why }: Placed): Appended {
  return { idx, why, leafHash: (why === 0 ? lh[i] : altLh[i]) as Uint8Array }
}

const unavailable = (cause?: unknown) => new ServiceError('unavailable', { retryAfter: 1, cause })

/**
 * Commits what many callers append in as few statements as the connection allows: one statement is under way at a time,
 * and everything that arrives meanwhile shares the next. An append is durable when it resolves.
 *
 * While the database is away everything is refused at once, except what says by `persistUntil` that it must know: an
 * outcome whose commit is in doubt is looked up on the next connection, and appended again only if it is not there.
 */
export class GroupCommit<Guard> {
  readonly #options: GroupCommitOptions<Guard>
  #client: Client | undefined
  #waiting: Waiting<Guard>[] = []
  #doubt: { flush: EncodedFlush; batch: Waiting<Guard>[]; backend: number } | undefined
  #busy = false
  #closed = false
  #reconnect: NodeJS.Timeout | undefined

  constructor(options: GroupCommitOptions<Guard>) {
    this.#options = options
  }

  /** Connects. Rejects when the database cannot be reached now. */
  async open(): Promise<void> {
    await this.#connect()
  }

  get connected(): boolean {
    return this.#client !== undefined
  }

  append(item: LogItem, guard?: Guard, persistUntil?: number): Promise<Appended> {
    if (this.#closed || (this.#client === undefined && persistUntil === undefined)) return Promise.reject(unavailable())
    if (this.#waiting.length >= MAX_WAITING && persistUntil === undefined) {
      return Promise.reject(new ServiceError('overloaded', { retryAfter: 1 }))
    }
    return new Promise((resolve, reject) => {
      this.#waiting.push({ item, guard, persistUntil, resolve, reject })
      // One turn of the event loop is waited for, so that what arrives together commits together.
      if (!this.#busy) {
        this.#busy = true
        setImmediate(() => void this.#drain())
      }
    })
  }

  /** Commits what waits, then disconnects. */
  async close(): Promise<void> {
    this.#closed = true
    while (this.#client !== undefined && (this.#busy || this.#waiting.length > 0)) {
      await new Promise((resolve) => setImmediate(resolve))
    }
    clearTimeout(this.#reconnect)
    for (const waiting of this.#waiting.splice(0)) waiting.reject(unavailable())
    const client = this.#client
    this.#client = undefined
    await client?.end()
  }

  async #drain(): Promise<void> {
    this.#busy = true
    try {
      while (this.#client !== undefined) {
        if (this.#doubt !== undefined) await this.#resolveDoubt(this.#client)
        const batch = this.#take()
        if (batch.length === 0) break
        await this.#commit(batch)
      }
    } finally {
      this.#busy = false
      if (this.#client === undefined) this.#lost()
    }
  }

  #take(): Waiting<Guard>[] {
    let bytes = 0
    let n = 0
    while (n < this.#waiting.length && n < MAX_ITEMS && bytes < MAX_BYTES) {
      const { disclosure } = (this.#waiting[n] as Waiting<Guard>).item
      bytes += 1024 + 150 * disclosure.sd.length
      n++
    }
    return this.#waiting.splice(0, n)
  }

  async #commit(batch: Waiting<Guard>[], retry = true): Promise<void> {
    const client = this.#client
    if (client === undefined) return this.#requeue(batch, unavailable())
    let flush: EncodedFlush
    try {
      flush = this.#options.sequence.encode(batch.map(({ item }) => item))
    } catch (error) {
      return this.#isolate(batch, error)
    }
    try {
      const { rows } = await client.query(
        this.#options.statement(
          flush,
          batch.map(({ guard }) => guard),
        ),
      )
      const placed = rows as Placed[]
      this.#options.sequence.committed(batch.length)
      this.#options.sequence.remember(
        flush,
        placed[0]?.idx,
        placed.map(({ why }) => why !== 0),
      )
      batch.forEach((waiting, i) => {
        waiting.resolve(standing(flush, i, placed[i] as Placed))
      })
    } catch (error) {
      if (isConnectionError(error)) {
        this.#doubt = { flush, batch: batch.filter((w) => this.#persists(w)), backend: backendOf(client) }
        for (const waiting of batch) if (!this.#persists(waiting)) waiting.reject(unavailable(error))
        this.#drop(client)
        return
      }
      const state = (error as { code?: string }).code ?? ''
      if (retry && (state === '40001' || state === '40P01')) return this.#commit(batch, false)
      if (state.startsWith('22') || state.startsWith('23')) return this.#isolate(batch, error)
      this.#requeue(batch, unavailable(error))
    }
  }

  /** A poisoned item must fail alone: the batch is halved until it stands by itself. */
  async #isolate(batch: Waiting<Guard>[], error: unknown): Promise<void> {
    if (batch.length === 1) return batch[0]?.reject(new ServiceError('internal', { cause: error }))
    const half = batch.length >> 1
    await this.#commit(batch.slice(0, half))
    await this.#commit(batch.slice(half))
  }

  #persists(waiting: Waiting<Guard>): boolean {
    return waiting.persistUntil !== undefined && waiting.persistUntil > performance.now()
  }

  #requeue(batch: Waiting<Guard>[], error: ServiceError): void {
    const again = batch.filter((waiting) => this.#persists(waiting))
    for (const waiting of batch) if (!again.includes(waiting)) waiting.reject(error)
    if (again.length === 0) return
    setTimeout(() => {
      this.#waiting.unshift(...again)
      if (!this.#busy) void this.#drain()
    }, RECONNECT_MS)
  }

  /** Nothing else is committed before it is known whether the flush in doubt was. */
  async #resolveDoubt(client: Client): Promise<void> {
    const doubt = this.#doubt
    if (doubt === undefined) return
    const { sequence } = this.#options
    try {
      await endBackend(client, doubt.backend)
      const { rows } = await client.query('select first_idx from audit.flush where boot = $1 and no = $2', [
        sequence.boot.id,
        doubt.flush.no,
      ])
      const first = (rows[0] as { first_idx: number } | undefined)?.first_idx
      if (first === undefined) {
        this.#doubt = undefined
        return this.#requeue(doubt.batch, unavailable())
      }
      const found =
        doubt.batch.length === 0
          ? []
          : (
              await client.query('select op, ev, idx from audit.entry where idx >= $1 and idx < $2', [
                first,
                first + doubt.flush.op.length,
              ])
            ).rows
      sequence.committed(doubt.flush.op.length)
      sequence.remember(doubt.flush, first)
      this.#doubt = undefined
      for (const waiting of doubt.batch) {
        const at = doubt.flush.op.indexOf(waiting.item.op)
        const row = found.find(({ op }) => op === waiting.item.op) as { ev: number; idx: number } | undefined
        if (row === undefined) waiting.reject(unavailable())
        else waiting.resolve(standing(doubt.flush, at, { idx: row.idx, why: row.ev === doubt.flush.ev[at] ? 0 : 8 }))
      }
    } catch {
      this.#drop(client)
    }
  }

  async #connect(): Promise<void> {
    const client = await openClient(this.#options.url)
    client.on('error', () => this.#drop(client))
    client.on('end', () => this.#drop(client))
    this.#client = client
    if (!this.#busy && (this.#doubt !== undefined || this.#waiting.length > 0)) void this.#drain()
  }

  #drop(client: Client): void {
    if (this.#client !== client) return
    this.#client = undefined
    client.end().catch(() => {})
    if (!this.#busy) this.#lost()
  }

  #lost(): void {
    for (const waiting of this.#waiting.splice(0)) {
      if (this.#persists(waiting)) this.#waiting.push(waiting)
      else waiting.reject(unavailable())
    }
    for (const waiting of this.#doubt?.batch.splice(0) ?? []) {
      if (this.#persists(waiting)) this.#doubt?.batch.push(waiting)
      else waiting.reject(unavailable())
    }
    if (this.#closed || this.#reconnect !== undefined) return
    this.#reconnect = setTimeout(() => {
      this.#reconnect = undefined
      if (this.#closed || this.#client !== undefined) return
      this.#connect().catch(() => this.#lost())
    }, RECONNECT_MS)
  }
}
