import type { Finding } from './finding.js'
import { parseFacts } from './leaf.js'

const EVIDENCE = 1
const MOST_TOLD = 20

interface Stretch {
  readonly first: number
  last: number
  count: number
}

/** R8 for openings that are not there: erased, and the log says so, or missing. */
export class MissingOpenings {
  /** Entries without an opening that they must have, as long as no other such entry has one between them. */
  readonly #stretches: Stretch[] = []
  readonly #erased: { readonly first: number; readonly last: number; readonly at: number }[] = []
  #broken = true
  #count = 0

  miss(index: number): void {
    this.#count++
    const stretch = this.#broken ? undefined : this.#stretches.at(-1)
    this.#broken = false
    if (stretch === undefined) this.#stretches.push({ first: index, last: index, count: 1 })
    else {
      stretch.last = index
      stretch.count++
    }
  }

  /** An entry that must have an opening has it. */
  opened(): void {
    this.#broken = true
  }

  erase(index: number, text: string): void {
    const { class: kind, first, last } = parseFacts(text) ?? {}
    if (kind !== EVIDENCE || typeof first !== 'number' || typeof last !== 'number') return
    this.#erased.push({ first, last: Math.min(last, index - 1), at: index })
  }

  /**
   * @param opened how many openings of class 1 the pack has at all
   * @param fault told of openings that are missing although nobody erased them
   * @returns what cannot be judged
   */
  finish(opened: number, fault: (finding: Finding) => void): Finding[] {
    if (this.#count === 0) return []
    if (opened === 0) {
      return [
        { rule: 'R8', what: `the pack has no openings: ${this.#count} entries that must have one say too little` },
      ]
    }
    const covered = union(this.#erased)
    const erased: Finding[] = []
    for (const { first, last, count } of this.#stretches) {
      const by = covered.find((range) => range.first <= first && last <= range.last)
      if (by === undefined)
        fault({ rule: 'R8', index: first, what: 'its opening is missing, and no audit.erase names it' })
      else if (erased.length < MOST_TOLD) {
        erased.push({ rule: 'R8', index: first, what: `${count} openings from here to entry ${last} were erased` })
      }
    }
    return erased
  }
}

function union(ranges: readonly { first: number; last: number }[]): { first: number; last: number }[] {
  const joined: { first: number; last: number }[] = []
  for (const { first, last } of [...ranges].sort((a, b) => a.first - b.first)) {
    const before = joined.at(-1)
    if (before !== undefined && first <= before.last + 1) before.last = Math.max(before.last, last)
    else joined.push({ first, last })
  }
  return joined
}
