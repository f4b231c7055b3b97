import type { Act } from './acts.js'
import type { Finding } from './finding.js'
import { IdTable, idOfUuid, markOf } from './id-table.js'
import { parseFacts } from './leaf.js'

/** An intention may be open for so long before the last entry. */
const OPEN_MS = 600_000
/** How long after its end an intention may be repeated. */
const REPEAT_MS = 3600_000
/** How many of them are told. */
const MOST_TOLD = 1000
/** State of an ended intention. */
const ENDED = 1
const RELEASED = 2

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
  /** When each ended, and a mark of what it said, or 0. */
  readonly #ended = new IdTable(2)
  /** The phases that were seen of each operation, a bit each. */
  readonly #seen = new IdTable()
  readonly abandoned: Told[] = []
  abandonedCount = 0

  constructor(fault: (finding: Finding) => void) {
    this.#fault = fault
  }

  /** Every entry's operation and phase: each phase once, and never both intended and denied. */
  see(from: number, ops: Uint32Array, phases: Uint8Array): void {
    phases.forEach((phase, i) => {
      const at = this.#seen.place(ops[2 * i] as number, ops[2 * i + 1] as number)
      const before = this.#seen.states[at] as number
      this.#seen.states[at] = before | (1 << phase)
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
      const again = this.#findEnded(op) >= 0
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
    const [low, high] = idOfUuid(op) as readonly [number, number]
    const at = this.#ended.place(low, high)
    this.#ended.states[at] = ok ? RELEASED : ENDED
    this.#ended.values[2 * at] = t
    this.#ended.values[2 * at + 1] = intention.said === undefined ? 0 : markOf(intention.said)
  }

  repeat([, index, t, grant, whose, facts, digests]: Extract<Act, readonly ['repeat', ...unknown[]]>): void {
    const first = this.#findEnded(String(parseFacts(facts)['first']))
    const wrong = (what: string) => this.#fault({ rule: 'R3', index, what })
    const { states, values } = this.#ended
    if (first < 0 || states[first] !== RELEASED || t - (values[2 * first] as number) > REPEAT_MS) {
      wrong('it repeats nothing that was released')
      return
    }
    const said = values[2 * first + 1]
    if (said !== 0 && said !== markOf(saidOf(grant, whose, digests))) wrong('it repeats something else than it says')
  }

  #findEnded(op: string): number {
    const id = idOfUuid(op)
    return id === undefined ? -1 : this.#ended.find(...id)
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
}

export const saidOf = (grant: string, whose: string, digests: string) => `${grant}\n${whose}\n${digests}`

function told(op: string, { index, t }: Intention): Told {
  return { index, op, t: new Date(t).toISOString() }
}
