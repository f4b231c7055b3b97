import type { Finding } from './finding.js'
import { parseFacts } from './leaf.js'

const EVIDENCE = 1
const MOST_TOLD = 20
const ROOT = /^[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]$/

/** What one or several overlapping `audit.erase` say: so many openings between these entries were erased. */
interface Erased {
  readonly first: number
  last: number
  count: number
}

/** R8 for openings that are not there: erased, as the log itself says, or withheld. */
export class MissingOpenings {
  /** Entries without an opening that they must have, ascending. */
  #missing = new Float64Array(64)
  #count = 0
  readonly #erased: Erased[] = []
  /** How many of them the log says were erased; known in the end. */
  erased = 0

  miss(index: number): void {
    if (this.#count === this.#missing.length) {
      const more = new Float64Array(2 * this.#count)
      more.set(this.#missing)
      this.#missing = more
    }
    this.#missing[this.#count++] = index
  }

  /** An `audit.erase`; one that does not say all that it must covers nothing. */
  erase(index: number, text: string): void {
    const { class: kind, first, last, count, root } = parseFacts(text) ?? {}
    const whole = typeof first === 'number' && typeof last === 'number' && typeof count === 'number'
    if (kind !== EVIDENCE || !whole || !ROOT.test(String(root))) return
    if (first >= 0 && first <= last && last < index && count > 0) this.#erased.push({ first, last, count })
  }

  /**
   * @param opened how many openings of class 1 the pack has at all
   * @returns what cannot be judged, since evidence is missing that nobody erased
   */
  finish(opened: number): Finding[] {
    const withheld: { first: number; last: number; count: number; named: number | undefined }[] = []
    const ranges = union(this.#erased)
    let at = 0
    for (const range of [...ranges, undefined]) {
      // Before the range.
      const free = this.#upTo(at, range?.first ?? Infinity)
      if (free > at) withheld.push({ ...this.#between(at, free), named: undefined })
      at = free
      if (range === undefined) break
      const end = this.#upTo(at, range.last + 1)
      if (end - at > range.count) withheld.push({ ...this.#between(at, end), named: range.count })
      else this.erased += end - at
      at = end
    }
    const count = withheld.reduce((sum, each) => sum + each.count, 0)
    if (count > 0 && opened === 0) {
      return [{ rule: 'R8', what: `the pack has no openings: ${count} entries that must have one say too little` }]
    }
    return withheld.slice(0, MOST_TOLD).map(({ first, last, count, named }) => ({
      ...{ rule: 'R8', index: first },
      what:
        `${count} openings from here to entry ${last} are missing, and ` +
        (named === undefined ? 'no audit.erase names them' : `audit.erase names no more than ${named}`),
    }))
  }

  #upTo(from: number, index: number): number {
    let at = from
    while (at < this.#count && (this.#missing[at] as number) < index) at++
    return at
  }

  #between(from: number, to: number): { first: number; last: number; count: number } {
    return { first: this.#missing[from] as number, last: this.#missing[to - 1] as number, count: to - from }
  }
}

/** Ranges that overlap joined, with all that was erased in them. */
function union(ranges: readonly Erased[]): Erased[] {
  const joined: Erased[] = []
  for (const { first, last, count } of [...ranges].sort((a, b) => a.first - b.first)) {
    const before = joined.at(-1)
    if (before !== undefined && first <= before.last) {
      before.last = Math.max(before.last, last)
      before.count += count
    } else joined.push({ first, last, count })
  }
  return joined
}
