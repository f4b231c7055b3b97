import type { Act } from './acts.js'

/** Acts as they are handed from one thread to another: arrays that move, not objects that are copied. */
export interface ActList {
  readonly numbers: Float64Array<ArrayBuffer>
  /** All texts, one after another; `numbers` has their lengths. */
  readonly text: Uint8Array<ArrayBuffer>
}

type Kind = Act[0]

/** What follows the kind: a number, a text, or whether. */
const FORMS = {
  ...{ time: 'nn', start: 'nntt', stop: 'nnt', beat: 'nn', sync: 'nn', step: 'nnn', unsynced: 'nn' },
  ...{ key: 'nt', erase: 'nt', missing: 'nnttn' },
  ...{ grant: 'nnttttt', extend: 'nttt', revoke: 'nnt', 'session-end': 'nnt', intent: 'nntttnt', end: 'nnttwn' },
  ...{ repeat: 'nntttt', enrol: 'ntt', unenrol: 'ntt', approval: 'nnttwntt', invite: 'ntt', vouch: 'ntt' },
} as const satisfies Record<Kind, string>
const KINDS = Object.keys(FORMS) as Kind[]
const KIND = Object.fromEntries(KINDS.map((kind, i) => [kind, i])) as Readonly<Record<Kind, number>>
const LF = 10

/** Writes acts without making objects of them. */
export class ActWriter {
  #numbers = new Float64Array(2 ** 15)
  #count = 0
  #text = new Uint8Array(2 ** 20)
  #end = 0

  clear(): void {
    this.#count = 0
    this.#end = 0
  }

  /** One whole act. */
  write(act: Act): void {
    this.begin(act[0])
    for (const value of act.slice(1) as (string | number | boolean)[]) {
      if (typeof value === 'string') this.text(value)
      else this.number(Number(value))
    }
  }

  /** Begins an act, whose values follow one by one. */
  begin(kind: Kind): this {
    return this.number(KIND[kind])
  }

  number(value: number): this {
    if (this.#count === this.#numbers.length) {
      const more = new Float64Array(2 * this.#count)
      more.set(this.#numbers)
      this.#numbers = more
    }
    this.#numbers[this.#count++] = value
    return this
  }

  text(value: string): this {
    const bytes = Buffer.from(value)
    return this.slice(bytes, 0, bytes.length)
  }

  /** A text of these bytes. */
  slice(bytes: Uint8Array, from: number, to: number): this {
    this.#append(bytes, from, to)
    return this.number(to - from)
  }

  /** A text of several parts, each but the last with a line feed behind it. */
  joined(bytes: Uint8Array, count: number, from: (part: number) => number, to: (part: number) => number): this {
    const begin = this.#end
    for (let part = 0; part < count; part++) {
      if (part > 0) {
        this.#room(1)
        this.#text[this.#end++] = LF
      }
      this.#append(bytes, from(part), to(part))
    }
    return this.number(this.#end - begin)
  }

  /** A copy of what was written. */
  list(): ActList {
    return { numbers: this.#numbers.slice(0, this.#count), text: this.#text.slice(0, this.#end) }
  }

  #append(bytes: Uint8Array, from: number, to: number): void {
    this.#room(to - from)
    const text = this.#text
    for (let p = from, out = this.#end; p < to; p++, out++) text[out] = bytes[p] as number
    this.#end += to - from
  }

  #room(length: number): void {
    if (this.#end + length <= this.#text.length) return
    const more = new Uint8Array(2 * (this.#end + length))
    more.set(this.#text.subarray(0, this.#end))
    this.#text = more
  }
}

/** The acts of a list, in their order. */
export function* readActs({ numbers, text }: ActList): Generator<Act> {
  const bytes = Buffer.from(text.buffer, text.byteOffset, text.length)
  let at = 0
  let textAt = 0
  while (at < numbers.length) {
    const kind = KINDS[numbers[at++] as number] as Kind
    const act: (string | number | boolean)[] = [kind]
    for (const form of FORMS[kind]) {
      const value = numbers[at++] as number
      if (form === 'n') act.push(value)
      else if (form === 'w') act.push(value === 1)
      else {
        act.push(bytes.toString('latin1', textAt, textAt + value))
        textAt += value
      }
    }
    yield act as unknown as Act
  }
}
