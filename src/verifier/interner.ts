/** Numbers for words that come again and again, found by their bytes. */
export class Interner {
  readonly words: string[] = []
  readonly #allowed: RegExp
  readonly #most: number
  readonly #known: readonly string[]
  /** One more than the number of a word, by its hash; a power of two of them. */
  readonly #table: Int32Array
  readonly #from: Int32Array
  #bytes = new Uint8Array(1024)
  #end = 0
  /** What came last, and after each word what came after it: most often it does again. */
  #last = 0
  readonly #after: Int32Array

  /**
   * @param allowed what a word may be
   * @param most how many there may be, a power of two
   * @param known words that always have the numbers from 0 on
   */
  constructor(allowed: RegExp, most: number, known: readonly string[] = []) {
    this.#allowed = allowed
    this.#most = most
    this.#known = known
    this.#table = new Int32Array(2 * most)
    this.#from = new Int32Array(most + 1)
    this.#after = new Int32Array(most)
    this.clear()
  }

  /**
   * @returns NONE for what is not allowed
   * @throws RangeError when there are too many
   */
  number(bytes: Uint8Array, from: number, to: number): number {
    const guess = this.#after[this.#last] as number
    if (guess < this.words.length && this.#is(guess, bytes, from, to)) {
      this.#last = guess
      return guess
    }
    const number = this.#find(bytes, from, to)
    if (number >= 0) {
      this.#after[this.#last] = number
      this.#last = number
    }
    return number
  }

  #find(bytes: Uint8Array, from: number, to: number): number {
    let hash = 0
    for (let i = from; i < to; i++) hash = Math.imul(hash ^ (bytes[i] as number), 0x01000193)
    const mask = this.#table.length - 1
    let slot = (hash ^ (hash >>> 15)) & mask
    for (;;) {
      const number = (this.#table[slot] as number) - 1
      if (number < 0) return this.#add(slot, bytes, from, to)
      if (this.#is(number, bytes, from, to)) return number
      slot = (slot + 1) & mask
    }
  }

  /** @throws RangeError when it is not allowed, or there are too many */
  ofText(word: string): number {
    const bytes = Uint8Array.from(word, (character) => character.charCodeAt(0))
    const number = this.number(bytes, 0, bytes.length)
    if (number < 0) throw new RangeError(`${word} cannot be numbered`)
    return number
  }

  /** Forgets all but those that are always known. */
  clear(): void {
    this.#table.fill(0)
    this.words.length = 0
    this.#end = 0
    this.#last = 0
    for (const word of this.#known) this.ofText(word)
  }

  #is(number: number, bytes: Uint8Array, from: number, to: number): boolean {
    const begin = this.#from[number] as number
    const length = to - from
    if ((this.#from[number + 1] as number) - begin !== length) return false
    for (let i = 0; i < length; i++) if (this.#bytes[begin + i] !== bytes[from + i]) return false
    return true
  }

  #add(slot: number, bytes: Uint8Array, from: number, to: number): number {
    const number = this.words.length
    if (number === this.#most) throw new RangeError('there are too many words')
    const word = latin1(bytes, from, to)
    if (!this.#allowed.test(word)) return NONE
    if (this.#end + to - from > this.#bytes.length) {
      const more = new Uint8Array(2 * (this.#end + to - from))
      more.set(this.#bytes)
      this.#bytes = more
    }
    this.#bytes.set(bytes.subarray(from, to), this.#end)
    this.#end += to - from
    this.#from[number + 1] = this.#end
    this.#table[slot] = number + 1
    this.words.push(word)
    return number
  }
}

export const NONE = -1

export function latin1(bytes: Uint8Array, from: number, to: number): string {
  return Buffer.from(bytes.buffer, bytes.byteOffset + from, to - from).toString('latin1')
}
