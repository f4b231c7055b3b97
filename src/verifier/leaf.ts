import { Interner, latin1, NONE } from './interner.js'

/** An entry's leaf, as far as rules look at it (docs/audit-format.md §3). */
export interface Leaf {
  readonly act: string
  readonly boot: string
  readonly ev: string
  /** Public facts as they stand between their braces. */
  readonly facts: string
  readonly n: number
  readonly node: string
  readonly op: string
  readonly out: string
  readonly ph: number
  readonly seq: number
  /** Milliseconds. */
  readonly t: number
}

export const bytesOf = (text: string) => Uint8Array.from(text, (character) => character.charCodeAt(0))
const MEMBER = {
  act: bytesOf('{"act":"'),
  api: bytesOf(',"api":"'),
  boot: bytesOf(',"boot":"'),
  ev: bytesOf(',"ev":"'),
  f: bytesOf(',"f":{'),
  n: bytesOf(',"n":'),
  node: bytesOf(',"node":"'),
  op: bytesOf(',"op":"'),
  out: bytesOf(',"out":"'),
  ph: bytesOf(',"ph":'),
  rid: bytesOf(',"rid":"'),
  sd: bytesOf(',"sd":['),
  seq: bytesOf(',"seq":'),
  t: bytesOf(',"t":"'),
  v: bytesOf(',"v":1'),
  why: bytesOf(',"why":"'),
}

/** Value of a character of base64url; 255 for another. */
const SIX_BITS = new Uint8Array(256).fill(255)
bytesOf('ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_').forEach((character, i) => {
  SIX_BITS[character] = i
})
const HEX = new Uint8Array(256).fill(255)
bytesOf('0123456789abcdef').forEach((character, i) => {
  HEX[character] = i
})
/** What each byte may be in a string: 1 for itself, 2 for what only follows a backslash or ends it. */
const TEXT = new Uint8Array(256)
TEXT.fill(1, 0x20, 0x7f)
TEXT[0x22] = 2
TEXT[0x5c] = 2
const QUOTE = 0x22
const BACKSLASH = 0x5c
const COMMA = 0x2c
const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/

/** Characters of a digest in `sd`, with its quotes and what separates it from the next. */
export const DIGEST = 43
const STRIDE = 46

/** Words that are kept from one range to the next. */
const KEPT_WORDS = 512

/** Events that rules know, by their numbers in `Leaves`. */
const KNOWN_EVENTS = [
  ...['audit.start', 'audit.stop', 'audit.heartbeat', 'audit.key', 'audit.erase'],
  ...['clock.sync', 'clock.step', 'clock.unsynced'],
  ...['sign.intent', 'sign.outcome', 'sign.denied', 'sign.abandoned', 'sign.withheld', 'sign.repeated'],
  ...['sad.issued', 'sad.extended', 'sad.revoked', 'auth.session_ended'],
  ...['factor.enrolled', 'factor.revoked', 'factor.ended', 'approval.granted', 'signer.invited', 'operator.vouched'],
] as const
export type KnownEvent = (typeof KNOWN_EVENTS)[number]
export const EV = Object.fromEntries(KNOWN_EVENTS.map((ev, i) => [ev, i])) as Readonly<Record<KnownEvent, number>>
export const OPERATOR = 0
export const OK = 0

/** Leaves of a range, by their place in it: numbers side by side instead of an object each. */
export class Leaves {
  /** Words of members that come again and again, by the numbers below. */
  readonly acts = new Interner(/^(signer|client|operator|system|anonymous)$/, 8, ['operator'])
  readonly evs: Interner
  readonly boots: Interner
  readonly nodes: Interner
  readonly outs = new Interner(/^(ok|refused|failed|indeterminate)$/, 4, ['ok'])
  readonly #apis: Interner

  readonly act: Uint8Array
  readonly ev: Int32Array
  readonly boot: Int32Array
  readonly node: Int32Array
  readonly out: Uint8Array
  readonly ph: Uint8Array
  readonly n: Int32Array
  readonly seq: Float64Array
  readonly t: Float64Array
  /** Where the leaf, its public facts and its operation begin, and where the facts end. */
  readonly at: Int32Array
  readonly factsAt: Int32Array
  readonly factsEnd: Int32Array
  readonly opAt: Int32Array
  /** Last 8 bytes of the operation, as two numbers, the lower first. */
  readonly ops: Uint32Array
  /** Where the first digest of `sd` begins, where its beginnings stand in `beginnings`, and how many there are. */
  readonly sdAt: Int32Array
  readonly sdFirst: Int32Array
  readonly sdCount: Int32Array
  /** First 30 bits of each digest. */
  beginnings = new Int32Array(2 ** 12)
  #beginningsCount = 0
  /** The day that was read last, and its beginning. */
  readonly #day = new Uint8Array(10)
  #dayBegin = 0

  /** @param most how many */
  constructor(most: number) {
    const words = 2 ** Math.ceil(Math.log2(most + KEPT_WORDS))
    this.evs = new Interner(/^[a-z_.]{1,64}$/, words, KNOWN_EVENTS)
    this.boots = new Interner(UUID, words)
    this.nodes = new Interner(/^/, words)
    this.#apis = new Interner(/^[a-z0-9_]{1,16}$/, words)
    const numbers = () => new Int32Array(most)
    this.act = new Uint8Array(most)
    this.out = new Uint8Array(most)
    this.ph = new Uint8Array(most)
    this.seq = new Float64Array(most)
    this.t = new Float64Array(most)
    this.ops = new Uint32Array(2 * most)
    ;[this.ev, this.boot, this.node, this.n, this.at] = [numbers(), numbers(), numbers(), numbers(), numbers()]
    ;[this.factsAt, this.factsEnd, this.opAt] = [numbers(), numbers(), numbers()]
    ;[this.sdAt, this.sdFirst, this.sdCount] = [numbers(), numbers(), numbers()]
  }

  /** Before each range; a number means the same until then. */
  clear(): void {
    this.#beginningsCount = 0
    for (const each of [this.evs, this.boots, this.nodes, this.#apis]) if (each.words.length >= KEPT_WORDS) each.clear()
  }

  /**
   * Reads the leaf that `bytes` hold from `from` to `to`.
   * @returns whether it is canonical JSON of exactly the members that a leaf has
   */
  read(bytes: Uint8Array, from: number, to: number, i: number): boolean {
    let p = from
    let end: number
    let number: number

    if (!isAt(bytes, p, MEMBER.act)) return false
    end = endOfWord(bytes, p + 8, to)
    number = this.acts.number(bytes, p + 8, end)
    if (number < 0) return false
    this.act[i] = number
    p = end + 1
    if (isAt(bytes, p, MEMBER.api)) {
      end = endOfWord(bytes, p + 8, to)
      if (this.#apis.number(bytes, p + 8, end) < 0) return false
      p = end + 1
    }
    if (!isAt(bytes, p, MEMBER.boot)) return false
    end = endOfWord(bytes, p + 9, to)
    number = this.boots.number(bytes, p + 9, end)
    if (number < 0) return false
    this.boot[i] = number
    p = end + 1
    if (!isAt(bytes, p, MEMBER.ev)) return false
    end = endOfWord(bytes, p + 7, to)
    number = this.evs.number(bytes, p + 7, end)
    if (number < 0) return false
    this.ev[i] = number
    p = end + 1

    this.factsAt[i] = 0
    this.factsEnd[i] = 0
    if (isAt(bytes, p, MEMBER.f)) {
      end = endOfFacts(bytes, p + 6, to)
      if (end < 0) return false
      this.factsAt[i] = p + 6
      this.factsEnd[i] = end
      p = end + 1
    }
    this.n[i] = 0
    if (isAt(bytes, p, MEMBER.n)) {
      end = endOfNumber(bytes, p + 5, 5)
      if (end < 0) return false
      this.n[i] = numberAt(bytes, p + 5, end)
      p = end
    }
    if (!isAt(bytes, p, MEMBER.node)) return false
    end = endOfText(bytes, p + 9, to)
    if (end < 0) return false
    number = this.nodes.number(bytes, p + 9, end)
    if (number < 0) return false
    this.node[i] = number
    p = end + 1

    if (!isAt(bytes, p, MEMBER.op) || !isUuid(bytes, p + 7) || bytes[p + 43] !== QUOTE) return false
    this.opAt[i] = p + 7
    this.ops[2 * i] = hexAt(bytes, p + 35)
    this.ops[2 * i + 1] = ((hexAt(bytes, p + 26) >>> 16) << 16) | (hexAt(bytes, p + 31) >>> 16)
    p += 44
    if (!isAt(bytes, p, MEMBER.out)) return false
    end = endOfWord(bytes, p + 8, to)
    number = this.outs.number(bytes, p + 8, end)
    if (number < 0) return false
    this.out[i] = number
    p = end + 1
    if (!isAt(bytes, p, MEMBER.ph)) return false
    number = (bytes[p + 6] as number) - 0x30
    if (!(number >= 0 && number <= 5)) return false
    this.ph[i] = number
    p += 7
    if (isAt(bytes, p, MEMBER.rid)) {
      end = endOfText(bytes, p + 8, to)
      if (end < 0) return false
      p = end + 1
    }
    if (!isAt(bytes, p, MEMBER.sd)) return false
    p = this.#readDigests(bytes, p + 7, to, i)
    if (p < 0) return false

    if (!isAt(bytes, p, MEMBER.seq)) return false
    end = endOfNumber(bytes, p + 7, 16)
    if (end < 0) return false
    this.seq[i] = numberAt(bytes, p + 7, end)
    if ((this.seq[i] as number) > Number.MAX_SAFE_INTEGER) return false
    p = end
    if (!isAt(bytes, p, MEMBER.t) || bytes[p + 30] !== QUOTE) return false
    const t = this.#time(bytes, p + 6)
    if (t === undefined) return false
    this.t[i] = t
    p += 31
    if (!isAt(bytes, p, MEMBER.v)) return false
    p += 6
    if (isAt(bytes, p, MEMBER.why)) {
      end = endOfText(bytes, p + 8, to)
      if (end < 0) return false
      p = end + 1
    }
    this.at[i] = from
    return p === to - 1 && bytes[p] === 0x7d
  }

  /** Name of the writer. */
  nodeOf(i: number): string {
    return JSON.parse(`"${this.nodes.words[this.node[i] as number]}"`)
  }

  /** One of them with its words. */
  leaf(bytes: Uint8Array, i: number): Leaf {
    const number = (numbers: Int32Array | Uint8Array | Float64Array) => numbers[i] as number
    const opAt = number(this.opAt)
    return {
      act: this.acts.words[number(this.act)] as string,
      boot: this.boots.words[number(this.boot)] as string,
      ev: this.evs.words[number(this.ev)] as string,
      facts: latin1(bytes, number(this.factsAt), number(this.factsEnd)),
      node: this.nodeOf(i),
      op: latin1(bytes, opAt, opAt + 36),
      out: this.outs.words[number(this.out)] as string,
      ...{ n: number(this.n), ph: number(this.ph), seq: number(this.seq), t: number(this.t) },
    }
  }

  /**
   * The next digest of the leaf that begins with these 30 bits, from number `k` on.
   * @returns its number, or NONE
   */
  findDigest(i: number, beginning: number, k: number): number {
    const first = this.sdFirst[i] as number
    const end = first + (this.sdCount[i] as number)
    const beginnings = this.beginnings
    for (let at = first + k; at < end; at++) if (beginnings[at] === beginning) return at - first
    return NONE
  }

  /** Where digest number `k` of the leaf begins. */
  digestAt(i: number, k: number): number {
    return (this.sdAt[i] as number) + k * STRIDE
  }

  /** @returns where what follows `]` begins, or NONE */
  #readDigests(bytes: Uint8Array, from: number, to: number, i: number): number {
    this.sdAt[i] = from + 1
    this.sdFirst[i] = this.#beginningsCount
    this.sdCount[i] = 0
    if (bytes[from] === 0x5d) return from + 1
    for (let p = from, count = 1; p + STRIDE <= to; p += STRIDE, count++) {
      if (bytes[p] !== QUOTE || bytes[p + 44] !== QUOTE) return NONE
      if (!isDigest(bytes, p + 1)) return NONE
      if (count > 1 && !isBefore(bytes, p - STRIDE + 1, p + 1)) return NONE
      this.#begin(bytes, p + 1)
      const next = bytes[p + 45]
      if (next === COMMA) continue
      this.sdCount[i] = count
      return next === 0x5d ? p + 46 : NONE
    }
    return NONE
  }

  #begin(bytes: Uint8Array, at: number): void {
    if (this.#beginningsCount === this.beginnings.length) {
      const more = new Int32Array(2 * this.#beginningsCount)
      more.set(this.beginnings)
      this.beginnings = more
    }
    let beginning = 0
    for (let k = at; k < at + 5; k++) beginning = (beginning << 6) | (SIX_BITS[bytes[k] as number] as number)
    this.beginnings[this.#beginningsCount++] = beginning
  }

  /** `2026-11-24T10:00:00.000Z`, which is a time that there was. */
  #time(bytes: Uint8Array, at: number): number | undefined {
    const day = this.#day
    let same = 0
    while (same < 10 && day[same] === bytes[at + same]) same++
    if (same < 10) {
      const text = latin1(bytes, at, at + 10)
      const begin = /^[0-9]{4}-[0-9]{2}-[0-9]{2}$/.test(text) ? Date.parse(`${text}T00:00:00.000Z`) : Number.NaN
      if (Number.isNaN(begin) || !new Date(begin).toISOString().startsWith(text)) return undefined
      day.set(bytes.subarray(at, at + 10))
      this.#dayBegin = begin
    }
    const separated =
      bytes[at + 10] === 0x54 &&
      bytes[at + 13] === 0x3a &&
      bytes[at + 16] === 0x3a &&
      bytes[at + 19] === 0x2e &&
      bytes[at + 23] === 0x5a
    const hour = digits(bytes, at + 11, 2)
    const minute = digits(bytes, at + 14, 2)
    const second = digits(bytes, at + 17, 2)
    const millisecond = digits(bytes, at + 20, 3)
    // What is no digit makes it no number, which is in no bounds.
    if (!(separated && hour < 24 && minute < 60 && second < 60 && millisecond < 1000)) return undefined
    return this.#dayBegin + ((hour * 60 + minute) * 60 + second) * 1000 + millisecond
  }
}

/** Whether these 43 characters are base64url of 32 bytes, in the only spelling. */
export function isDigest(bytes: Uint8Array, at: number): boolean {
  let all = 0
  for (let k = at; k < at + 42; k++) all |= SIX_BITS[bytes[k] as number] as number
  const last = SIX_BITS[bytes[at + 42] as number] as number
  // 32 bytes leave the last two bits of the last character empty.
  return all < 64 && (last & 0b11000011) === 0
}

export function isAt(bytes: Uint8Array, at: number, expected: Uint8Array): boolean {
  for (let i = 0; i < expected.length; i++) if (bytes[at + i] !== expected[i]) return false
  return true
}

/** Where the next quote is; what stands before it is for others to judge. */
function endOfWord(bytes: Uint8Array, from: number, to: number): number {
  let p = from
  while (p < to && bytes[p] !== QUOTE) p++
  return p
}

/** Where a string ends that is written as JCS writes printable ASCII, or NONE. */
function endOfText(bytes: Uint8Array, from: number, to: number): number {
  for (let p = from; p < to; p++) {
    const kind = TEXT[bytes[p] as number]
    if (kind === 1) continue
    if (bytes[p] === QUOTE) return p
    if (bytes[p] !== BACKSLASH || TEXT[bytes[++p] as number] !== 2) return NONE
  }
  return NONE
}

const isDigit = (byte: number | undefined) => byte !== undefined && byte >= 0x30 && byte <= 0x39

/** Where a whole number ends that has at most so many digits and no needless zero, or NONE. */
function endOfNumber(bytes: Uint8Array, from: number, most: number): number {
  let p = from
  while (isDigit(bytes[p])) p++
  const length = p - from
  return length === 0 || length > most || (length > 1 && bytes[from] === 0x30) ? NONE : p
}

export function numberAt(bytes: Uint8Array, from: number, to: number): number {
  let number = 0
  for (let p = from; p < to; p++) number = number * 10 + ((bytes[p] as number) - 0x30)
  return number
}

/** NaN for what are not so many digits. */
function digits(bytes: Uint8Array, from: number, count: number): number {
  for (let p = from; p < from + count; p++) if (!isDigit(bytes[p])) return Number.NaN
  return numberAt(bytes, from, from + count)
}

function isUuid(bytes: Uint8Array, at: number): boolean {
  let all = 0
  for (let i = 0; i < 36; i++) {
    if (i === 8 || i === 13 || i === 18 || i === 23) continue
    all |= HEX[bytes[at + i] as number] as number
  }
  return all < 16 && bytes[at + 8] === 45 && bytes[at + 13] === 45 && bytes[at + 18] === 45 && bytes[at + 23] === 45
}

/** The number of eight hex digits; those of others are nonsense. */
function hexAt(bytes: Uint8Array, at: number): number {
  let number = 0
  for (let i = at; i < at + 8; i++) number = (number << 4) | ((HEX[bytes[i] as number] as number) & 15)
  return number >>> 0
}

function isBefore(bytes: Uint8Array, first: number, second: number): boolean {
  for (let i = 0; i < DIGEST; i++) {
    const difference = (bytes[first + i] as number) - (bytes[second + i] as number)
    if (difference !== 0) return difference < 0
  }
  return false
}

/** Where the brace behind public facts is, or NONE when they are not in order or not written as JCS writes them. */
function endOfFacts(bytes: Uint8Array, from: number, to: number): number {
  if (bytes[from] === 0x7d) return from
  let before = 0
  let beforeEnd = 0
  for (let p = from; p < to; ) {
    if (bytes[p] !== QUOTE) return NONE
    const name = p + 1
    const nameEnd = endOfName(bytes, name)
    if (nameEnd < 0 || bytes[nameEnd] !== QUOTE || bytes[nameEnd + 1] !== 0x3a) return NONE
    if (before > 0 && !comesBefore(bytes, before, beforeEnd, name, nameEnd)) return NONE
    before = name
    beforeEnd = nameEnd
    p = nameEnd + 2
    if (bytes[p] === QUOTE) {
      p = endOfText(bytes, p + 1, to) + 1
      if (p === 0) return NONE
    } else {
      const first = bytes[p] === 45 ? p + 1 : p
      p = endOfNumber(bytes, first, 16)
      if (p < 0 || numberAt(bytes, first, p) > Number.MAX_SAFE_INTEGER) return NONE
      // There is no -0.
      if (bytes[first - 1] === 45 && bytes[first] === 0x30) return NONE
    }
    if (bytes[p] === 0x7d) return p
    if (bytes[p] !== COMMA) return NONE
    p++
  }
  return NONE
}

/** A letter, then at most 63 letters, digits and underscores. */
function endOfName(bytes: Uint8Array, from: number): number {
  let p = from
  for (; p < from + 64; p++) {
    const byte = bytes[p] as number
    const letter = (byte >= 0x41 && byte <= 0x5a) || (byte >= 0x61 && byte <= 0x7a)
    if (!letter && (p === from || !(isDigit(byte) || byte === 0x5f))) break
  }
  return p === from ? NONE : p
}

function comesBefore(bytes: Uint8Array, a: number, aEnd: number, b: number, bEnd: number): boolean {
  for (let i = 0; a + i < aEnd && b + i < bEnd; i++) {
    const difference = (bytes[a + i] as number) - (bytes[b + i] as number)
    if (difference !== 0) return difference < 0
  }
  return aEnd - a < bEnd - b
}

export interface OneLeaf {
  readonly leaf: Leaf
  /** Of it alone. */
  readonly leaves: Leaves
  readonly bytes: Uint8Array
}

/**
 * One leaf by itself.
 * @param leaves to read it into, instead of new ones
 * @returns undefined when it is none
 */
export function readLeaf(bytes: Uint8Array, leaves = new Leaves(1)): OneLeaf | undefined {
  leaves.clear()
  // Always the same kind of array, for the sake of speed where there are many.
  const plain = new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  return leaves.read(plain, 0, plain.length, 0) ? { leaf: leaves.leaf(plain, 0), leaves, bytes: plain } : undefined
}

export type Facts = Readonly<Record<string, string | number>>

/** @param facts of a leaf, as they stand between their braces */
export function parseFacts(facts: string): Facts {
  return JSON.parse(`{${facts}}`) as Facts
}
