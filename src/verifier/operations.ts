import type { Act } from './acts.js'
import type { Finding } from './finding.js'
import { parseFacts } from './leaf.js'

/** An intention may be open for so long before the last entry. */
const OPEN_MS = 600_000
/** How long after its end an intention may be repeated. */
const REPEAT_MS = 3600_000
/** How many of them are told. */
const MOST_TOLD = 1000
/** Ended intentions are kept at least up to this many, so that clocks hardly matter in a small log. */
const KEPT = 100_000

interface Intention {
  readonly index: number
  readonly t: number
  readonly n: number
  /** What was opened: authorization, whose it is, digests. Undefined when it was not. */
  readonly said: string | undefined
}

export interface Told {
  readonly index: number
  readonly op: string
  readonly t: string
}

/** R3: intentions and their ends. */
export class Operations {
  readonly #fault: (finding: Finding) => void
  readonly #open = new Map<string, Intention>()
  /** In the order of their ends; `ended` is its time. */
  readonly #ended = new Map<string, Intention & { readonly ended: number; readonly ok: boolean }>()
  readonly #seen = new OperationSet()
  readonly abandoned: Told[] = []
  abandonedCount = 0

  constructor(fault: (finding: Finding) => void) {
    this.#fault = fault
  }

  /** Every entry's operation and phase: each phase once, and never both intended and denied. */
  see(from: number, ops: Uint32Array, phases: Uint8Array): void {
    phases.forEach((phase, i) => {
      const before = this.#seen.add(ops[2 * i] as number, ops[2 * i + 1] as number, phase)
      const other = phase === 1 ? 3 : phase === 3 ? 1 : undefined
      const wrong = (what: string) => this.#fault({ rule: 'R3', index: from + i, what })
      if ((before & (1 << phase)) !== 0) wrong('its operation has an entry of this phase already')
      else if (other !== undefined && (before & (1 << other)) !== 0) wrong('its operation is both intended and denied')
    })
  }

  intend(index: number, t: number, op: string, n: number, said: string | undefined): void {
    if (n === 0) this.#fault({ rule: 'R3', index, what: 'it intends no signature' })
    this.#open.set(op, { index, t, n, said })
  }

  end([, index, t, ev, op, ok, n]: Extract<Act, readonly ['end', ...unknown[]]>): void {
    const intention = this.#open.get(op)
    if (intention === undefined) {
      const again = this.#ended.has(op)
      if (ev === 'sign.withheld' && again) return
      const what = again ? 'ends an operation that had ended' : 'has no earlier intention, or not the only end of it'
      this.#fault({ rule: 'R3', index, what: `${ev} ${what}` })
      return
    }
    if (ok && n !== intention.n) {
      this.#fault({ rule: 'R3', index, what: `${n} signatures for ${intention.n} digests` })
    }
    if (ev === 'sign.abandoned' && ++this.abandonedCount <= MOST_TOLD) this.abandoned.push(told(op, intention))
    this.#open.delete(op)
    this.#ended.set(op, { ...intention, ended: t, ok })
    this.#forget(t)
  }

  repeat([, index, t, grant, whose, facts, digests]: Extract<Act, readonly ['repeat', ...unknown[]]>): void {
    const first = this.#ended.get(String(parseFacts(facts)?.['first']))
    const wrong = (what: string) => this.#fault({ rule: 'R3', index, what })
    if (first === undefined || !first.ok || t - first.ended > REPEAT_MS) wrong('it repeats nothing that was released')
    else if (first.said !== undefined && first.said !== saidOf(grant, whose, digests)) {
      wrong('it repeats something else than it says')
    }
  }

  /** @returns the intentions that have no end yet */
  finish(lastTime: number): { open: Told[]; openCount: number } {
    const open = [...this.#open]
    for (const [op, intention] of open) {
      if (lastTime - intention.t <= OPEN_MS) continue
      this.#fault({ rule: 'R3', index: intention.index, what: `intention ${op} has no end` })
    }
    return { open: open.slice(0, MOST_TOLD).map(([op, intention]) => told(op, intention)), openCount: open.length }
  }

  #forget(now: number): void {
    if (this.#ended.size <= KEPT) return
    for (const [op, { ended }] of this.#ended) {
      if (now - ended <= REPEAT_MS || this.#ended.size <= KEPT) return
      this.#ended.delete(op)
    }
  }
}

export const saidOf = (grant: string, whose: string, digests: string) => `${grant}\n${whose}\n${digests}`

function told(op: string, { index, t }: Intention): Told {
  return { index, op, t: new Date(t).toISOString() }
}

/**
 * The phases that were seen of each operation. Known by 64 bits of their names, about 20 bytes each: two operations that
 * share those, which takes intent, are taken for one, and the log is not passed.
 */
class OperationSet {
  #bits = 12
  #count = 0
  #low = new Uint32Array(2 ** 12)
  #high = new Uint32Array(2 ** 12)
  /** Zero where there is nothing: each phase is a bit. */
  #phases = new Uint8Array(2 ** 12)

  /** @returns the phases seen before, a bit each */
  add(low: number, high: number, phase: number): number {
    if (this.#count * 4 > 3 * 2 ** this.#bits) this.#grow()
    const at = this.#find(low, high)
    const before = this.#phases[at] as number
    if (before === 0) {
      this.#low[at] = low
      this.#high[at] = high
      this.#count++
    }
    this.#phases[at] = before | (1 << phase)
    return before
  }

  #find(low: number, high: number): number {
    const mask = 2 ** this.#bits - 1
    let at = Math.imul(low ^ Math.imul(high, 0x9e3779b1), 0x85ebca6b) >>> (32 - this.#bits)
    while (this.#phases[at] !== 0 && (this.#low[at] !== low || this.#high[at] !== high)) at = (at + 1) & mask
    return at
  }

  #grow(): void {
    const [low, high, phases] = [this.#low, this.#high, this.#phases]
    this.#bits++
    const size = 2 ** this.#bits
    this.#low = new Uint32Array(size)
    this.#high = new Uint32Array(size)
    this.#phases = new Uint8Array(size)
    phases.forEach((phase, i) => {
      if (phase === 0) return
      const at = this.#find(low[i] as number, high[i] as number)
      this.#low[at] = low[i] as number
      this.#high[at] = high[i] as number
      this.#phases[at] = phase
    })
  }
}
