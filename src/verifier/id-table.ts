import { randomBytes } from 'node:crypto'

/**
 * What is kept of each of very many ids: a byte of bits, and some numbers. An id is known by 64 bits: two that share those,
 * which takes intent, are taken for one, and the log is not passed.
 */
export class IdTable {
  readonly #width: number
  #bits = 12
  #count = 0
  #low = new Uint32Array(2 ** 12)
  #high = new Uint32Array(2 ** 12)
  /** By place; zero where there is nothing. */
  states = new Uint8Array(2 ** 12)
  /** By place, `width` of them each. */
  values: Float64Array

  /** @param width how many numbers are kept of an id */
  constructor(width = 0) {
    this.#width = width
    this.values = new Float64Array(width * 2 ** 12)
  }

  /** Place of the id, or -1. */
  find(low: number, high: number): number {
    const at = this.#slot(low, high)
    return this.states[at] === 0 ? -1 : at
  }

  /** Place of the id, which is made when it has none; good until the next. Whoever makes one gives it a state. */
  place(low: number, high: number): number {
    if (this.#count * 4 > 3 * 2 ** this.#bits) this.#grow()
    const at = this.#slot(low, high)
    if (this.states[at] === 0) {
      this.#low[at] = low
      this.#high[at] = high
      this.#count++
    }
    return at
  }

  #slot(low: number, high: number): number {
    const mask = 2 ** this.#bits - 1
    let at = Math.imul(low ^ Math.imul(high, 0x9e3779b1), 0x85ebca6b) >>> (32 - this.#bits)
    while (this.states[at] !== 0 && (this.#low[at] !== low || this.#high[at] !== high)) at = (at + 1) & mask
    return at
  }

  #grow(): void {
    const [low, high, states, values, width] = [this.#low, this.#high, this.states, this.values, this.#width]
    this.#bits++
    const size = 2 ** this.#bits
    this.#low = new Uint32Array(size)
    this.#high = new Uint32Array(size)
    this.states = new Uint8Array(size)
    this.values = new Float64Array(width * size)
    for (let i = 0; i < states.length; i++) {
      if (states[i] === 0) continue
      const at = this.#slot(low[i] as number, high[i] as number)
      this.#low[at] = low[i] as number
      this.#high[at] = high[i] as number
      this.states[at] = states[i] as number
      for (let k = 0; k < width; k++) this.values[at * width + k] = values[i * width + k] as number
    }
  }
}

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/

/** The last 64 bits of a UUID, the lower ones first; undefined for what is none. */
export function idOfUuid(text: string): readonly [low: number, high: number] | undefined {
  if (!UUID.test(text)) return undefined
  return [Number.parseInt(text.slice(28), 16), Number.parseInt(text.slice(19, 23) + text.slice(24, 28), 16)]
}

/** Drawn anew each time, so that nobody can write two texts into a log that are taken for one. */
const [SEED_A, SEED_B, BY_A, BY_B] = new Uint32Array(new Uint8Array(randomBytes(16)).buffer) as unknown as number[]

/** 64 bits of any text. */
export function idOfText(text: string): readonly [low: number, high: number] {
  let a = SEED_A as number
  let b = SEED_B as number
  for (let i = 0; i < text.length; i++) {
    const code = text.charCodeAt(i)
    a = Math.imul(a ^ code, (BY_A as number) | 1)
    a ^= a >>> 15
    b = Math.imul(b + code, (BY_B as number) | 1)
    b ^= b >>> 13
  }
  return [a >>> 0, b >>> 0]
}

/** 53 of those bits as one number. */
export function markOf(text: string): number {
  const [low, high] = idOfText(text)
  return (high >>> 11) * 2 ** 32 + low
}
