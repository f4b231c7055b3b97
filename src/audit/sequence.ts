import type { Clock } from '../clock.js'
import { newId, type OperationId } from '../ids.js'
import { leafHash } from '../tlog/tree.js'
import { type Boot, signFlush } from './boot.js'
import { type AuditEvent, EVENTS, PHASE } from './event.js'
import { type Disclosure, disclose, encodeLeaf } from './leaf.js'
import type { OwnEntries } from './own-entries.js'

/** One thing to be appended, with what stands in its place if its guard does not hold. */
export interface LogItem {
  readonly op: OperationId
  readonly event: AuditEvent
  readonly alternative?: AuditEvent
  readonly disclosure: Disclosure
}

export function logItem(event: AuditEvent, now: number, alternative?: AuditEvent): LogItem {
  return {
    op: event.op ?? newId<OperationId>(now),
    event,
    disclosure: disclose(event, now),
    ...(alternative === undefined ? {} : { alternative }),
  }
}

/** Parallel arrays as the SQL functions of migration 0002 take them. */
export interface EncodedFlush {
  readonly no: number
  readonly body: Buffer
  readonly signature: Buffer
  readonly op: OperationId[]
  readonly ph: number[]
  readonly ev: number[]
  readonly leaf: Buffer[]
  readonly lh: Buffer[]
  readonly altPh: (number | null)[]
  readonly altEv: (number | null)[]
  readonly altLeaf: (Buffer | null)[]
  readonly altLh: (Buffer | null)[]
  readonly openings: {
    readonly item: number[]
    readonly class: number[]
    readonly seed: Uint8Array[]
    readonly fields: string[]
    readonly tags: string[]
    readonly retain: string[]
  }
}

/** What every function that appends begins with: p_boot to p_lh of audit.append. */
export function entryValues(boot: Boot, flush: EncodedFlush): unknown[] {
  return [boot.id, flush.no, flush.body, flush.signature, flush.op, flush.ph, flush.ev, flush.leaf, flush.lh]
}

/** And what it ends with: o_item to o_retain. */
export function openingValues({ openings: o }: EncodedFlush): unknown[] {
  return [o.item, o.class, o.seed, o.fields, o.tags, o.retain]
}

/**
 * A writer's numbers. They move only when a commit is known to have happened, so that a failed flush leaves no hole and
 * the next one uses its numbers again.
 *
 * The body of a flush is what its signature covers: for each item one byte, 1 or 2, and that many 32-byte leaf hashes
 * (the second is the alternative, of which only one was appended).
 */
export class Sequence {
  readonly boot: Boot
  readonly #clock: Clock
  readonly #own: OwnEntries | undefined
  #seq = 0
  #flush = 0
  #time = 0

  /** @param own where durable flushes are remembered until a checkpoint covers them */
  constructor(boot: Boot, clock: Clock, own?: OwnEntries) {
    this.boot = boot
    this.#clock = clock
    this.#own = own
  }

  encode(items: readonly LogItem[]): EncodedFlush {
    const flush: Omit<EncodedFlush, 'body' | 'signature'> = {
      no: this.#flush,
      op: [],
      ph: [],
      ev: [],
      leaf: [],
      lh: [],
      altPh: [],
      altEv: [],
      altLeaf: [],
      altLh: [],
      openings: { item: [], class: [], seed: [], fields: [], tags: [], retain: [] },
    }
    const body: Buffer[] = []
    let time = this.#time
    items.forEach((item, i) => {
      time = Math.max(time, Math.floor(this.#clock.now()))
      const place = { boot: this.boot.id, node: this.boot.node, seq: this.#seq + i, time }
      const leaf = encodeLeaf(item.event, item.op, item.disclosure, place)
      const lh = leafHash(leaf)
      flush.op.push(item.op)
      flush.ph.push(PHASE[EVENTS[item.event.type].phase])
      flush.ev.push(EVENTS[item.event.type].ev)
      flush.leaf.push(leaf)
      flush.lh.push(lh)
      if (item.alternative === undefined) {
        flush.altPh.push(null)
        flush.altEv.push(null)
        flush.altLeaf.push(null)
        flush.altLh.push(null)
        body.push(ONE, lh)
      } else {
        const altLeaf = encodeLeaf(item.alternative, item.op, item.disclosure, place)
        const altLh = leafHash(altLeaf)
        flush.altPh.push(PHASE[EVENTS[item.alternative.type].phase])
        flush.altEv.push(EVENTS[item.alternative.type].ev)
        flush.altLeaf.push(altLeaf)
        flush.altLh.push(altLh)
        body.push(TWO, lh, altLh)
      }
      for (const opening of item.disclosure.openings) {
        flush.openings.item.push(i + 1)
        flush.openings.class.push(opening.class)
        flush.openings.seed.push(opening.seed)
        flush.openings.fields.push(opening.fields)
        flush.openings.tags.push(`{${opening.tags.join(',')}}`)
        flush.openings.retain.push(opening.retainUntil.toISOString().slice(0, 10))
      }
    })
    const bytes = Buffer.concat(body)
    return { ...flush, body: bytes, signature: signFlush(this.boot, this.#flush, bytes) }
  }

  /** To be called once the flush is known to be durable. */
  committed(items: number): void {
    this.#seq += items
    this.#flush += 1
    this.#time = Math.max(this.#time, Math.floor(this.#clock.now()))
  }

  /**
   * To be called once a flush is known to be durable, with what is known of where it stands.
   * @param first index of its first entry
   * @param alternatives whether the alternative of each item stands there
   */
  remember(flush: EncodedFlush, first?: number, alternatives?: readonly boolean[]): void {
    const hashes = flush.lh.map((lh, i) => {
      const altLh = flush.altLh[i] ?? lh
      const alternative = alternatives?.[i]
      if (alternative === undefined) return altLh === lh ? [lh] : [lh, altLh]
      return [alternative ? altLh : lh]
    })
    this.#own?.add({ boot: this.boot.id, no: flush.no, first, hashes })
  }
}

const ONE = Buffer.of(1)
const TWO = Buffer.of(2)
