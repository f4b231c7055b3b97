import { createHmac, hash } from 'node:crypto'
import { Interner, latin1 } from './interner.js'
import { JOB_NUMBERS, type Lanes, START } from './lanes.js'
import { DIGEST, type Leaves } from './leaf.js'

/** Names of hidden values that rules know, by their numbers. */
const KNOWN_NAMES = [
  ...['ip', 'actor', 'client', 'signer', 'credential', 'session', 'authorization', 'approval', 'factor', 'assertion'],
] as const
export type KnownName = (typeof KNOWN_NAMES)[number]
export const NAME = Object.fromEntries(KNOWN_NAMES.map((name, i) => [name, i])) as Readonly<Record<KnownName, number>>
export const NAME_FORM = /^[a-z]{1,16}(?:\[(?:0|[1-9][0-9]{0,4})\])?$/
/** A leaf of 65,535 bytes has no more digests than this; more fields than digests do not fit. */
export const MOST_FIELDS = 1424
const MOST_NAMES = 4096

/** Fields and openings that are hashed together. */
const BATCH = 512
/** Blocks of the longest message that is hashed among others. */
const LONGEST = 64
const MESSAGES = BATCH * 128 + LONGEST * 64
const BLOCK = 64
const STATE = 32

const ALPHABET = Uint8Array.from(Buffer.from('ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'))
/** Two characters of base64url for twelve bits, in the order of bytes. */
const PAIRS = new Uint16Array(4096)
const pairBytes = new Uint8Array(PAIRS.buffer)
for (let i = 0; i < 4096; i++) {
  pairBytes[2 * i] = ALPHABET[i >> 6] as number
  pairBytes[2 * i + 1] = ALPHABET[i & 63] as number
}
/** base64url of `","`, which stands between salt and name. */
const BETWEEN = Buffer.from('Iiwi')
const SALT_TEXT = 32

const SIX_BITS = new Uint8Array(256)
ALPHABET.forEach((character, i) => {
  SIX_BITS[character] = i
})

/**
 * Digests of hidden values (docs/audit-format.md §4), many at once. Each value takes four blocks of SHA-256: two for its
 * salt, and two for its digest.
 */
export class FieldBatch {
  readonly names = new Interner(NAME_FORM, MOST_NAMES, KNOWN_NAMES)
  readonly #lanes: Lanes
  readonly #pairs: Uint16Array
  readonly #misfit: (order: number, name: string) => void
  /** Where the leaves of the range are, and which they are. */
  readonly #leafBytes: Uint8Array
  readonly #leaves: Leaves

  // Addresses.
  readonly #nameBlocks: number
  readonly #pads: number
  readonly #states: number
  readonly #outer: number
  readonly #salts: number
  readonly #digests: number
  readonly #messages: number
  readonly #jobs: number

  #namesReady = 0
  #fields = 0
  #openings = 0
  #messagesEnd = 0
  #job = 0
  readonly #name = new Int32Array(BATCH)
  readonly #opening = new Int32Array(BATCH)
  readonly #blocks = new Int32Array(BATCH)
  readonly #message = new Int32Array(BATCH)
  /** Of openings: the entry within its range, and index and class as one number. */
  readonly #entry = new Int32Array(BATCH)
  readonly #order = new Float64Array(BATCH)
  readonly #waiting = new Int32Array(4 * (LONGEST + 1))
  readonly #waits = new Int32Array(LONGEST + 1)
  readonly #seed = new Uint8Array(STATE)
  readonly #salt = new Uint8Array(24)

  /** Bytes of the memory that it takes. */
  static readonly SIZE =
    MOST_NAMES * BLOCK + BATCH * (2 * BLOCK + 2 * STATE + BLOCK + 2 * STATE) + MESSAGES + BATCH * 128

  /**
   * @param at where its part of the memory begins, a multiple of 64
   * @param misfit told of each field that does not fit its leaf
   */
  constructor(lanes: Lanes, at: number, leaves: Leaves, misfit: (order: number, name: string) => void) {
    this.#lanes = lanes
    this.#pairs = new Uint16Array(lanes.bytes.buffer)
    this.#leafBytes = lanes.bytes
    this.#leaves = leaves
    this.#misfit = misfit
    let end = at
    const take = (bytes: number) => {
      end += bytes
      return end - bytes
    }
    this.#nameBlocks = take(MOST_NAMES * BLOCK)
    this.#pads = take(BATCH * 2 * BLOCK)
    this.#states = take(BATCH * 2 * STATE)
    this.#outer = take(BATCH * BLOCK)
    this.#salts = take(BATCH * STATE)
    this.#digests = take(BATCH * STATE)
    this.#messages = take(MESSAGES)
    this.#jobs = take(BATCH * 128)
    lanes.bytes.fill(0, at, end)
    for (let i = 0; i < BATCH; i++) {
      const pad = this.#pads + i * 2 * BLOCK
      lanes.bytes.fill(0x36, pad + STATE, pad + BLOCK)
      lanes.bytes.fill(0x5c, pad + BLOCK + STATE, pad + 2 * BLOCK)
      // The outer hash of a salt is always of 96 bytes, 64 of them behind it.
      const outer = this.#outer + i * BLOCK
      lanes.bytes[outer + STATE] = 0x80
      lanes.bytes[outer + BLOCK - 2] = (96 * 8) >> 8
    }
  }

  /** A number for each name, before an opening; forgets names when there are many, which no log of ours has. */
  makeRoom(): boolean {
    if (this.names.words.length + MOST_FIELDS + 1 < MOST_NAMES) return false
    this.flush()
    this.names.clear()
    this.#namesReady = 0
    return true
  }

  /** An opening of the entry `i`; `bytes` hold its seed's 43 characters at `at`. */
  begin(order: number, i: number, bytes: Uint8Array, at: number): void {
    const seed = this.#seed
    for (let from = at, to = 0; to < 30; from += 4, to += 3) {
      const word = threeBytes(bytes, from)
      seed[to] = word >>> 16
      seed[to + 1] = word >>> 8
      seed[to + 2] = word
    }
    const last = at + 40
    const word =
      ((SIX_BITS[bytes[last] as number] as number) << 12) |
      ((SIX_BITS[bytes[last + 1] as number] as number) << 6) |
      (SIX_BITS[bytes[last + 2] as number] as number)
    seed[30] = word >>> 10
    seed[31] = word >>> 2
    if (this.#openings === BATCH) this.flush()
    this.#open(order, i)
  }

  #open(order: number, i: number): void {
    const bytes = this.#lanes.bytes
    const pad = this.#pads + this.#openings * 2 * BLOCK
    for (let k = 0; k < STATE; k++) {
      const byte = this.#seed[k] as number
      bytes[pad + k] = byte ^ 0x36
      bytes[pad + BLOCK + k] = byte ^ 0x5c
    }
    this.#entry[this.#openings] = i
    this.#order[this.#openings] = order
    this.#openings++
  }

  /** A field of that opening: `bytes` from `from` to `to` hold it as JSON, from the first character of its name to `]`. */
  add(name: number, bytes: Uint8Array, from: number, to: number): void {
    const length = 36 + Math.ceil(((to - from) * 4) / 3)
    const blocks = (length + 9 + 63) >> 6
    if (blocks > LONGEST) {
      this.#judgeLong(name, bytes, from, to)
      return
    }
    if (this.#fields === BATCH || this.#messagesEnd + blocks * BLOCK > MESSAGES) {
      const current = this.#openings - 1
      const [order, entry] = [this.#order[current] as number, this.#entry[current] as number]
      this.flush()
      this.#open(order, entry)
    }
    while (this.#namesReady <= name) this.#writeName(this.#namesReady++)
    const message = this.#messages + this.#messagesEnd
    this.#messagesEnd += blocks * BLOCK
    const memory = this.#lanes.bytes
    for (let k = 0; k < 4; k++) memory[message + SALT_TEXT + k] = BETWEEN[k] as number
    this.#encode(bytes, from, to, message + SALT_TEXT + 4)
    memory[message + length] = 0x80
    const end = message + blocks * BLOCK
    for (let k = message + length + 1; k < end - 2; k++) memory[k] = 0
    memory[end - 2] = length >> 5
    memory[end - 1] = length << 3
    const f = this.#fields++
    this.#name[f] = name
    this.#opening[f] = this.#openings - 1
    this.#blocks[f] = blocks
    this.#message[f] = message
  }

  /** Hashes and judges all that waits. */
  flush(): void {
    if (this.#fields > 0) {
      this.#makeSalts()
      for (let f = 0; f < this.#fields; f++) this.#writeSalt(f)
      this.#makeDigests()
      for (let f = 0; f < this.#fields; f++) this.#judge(f)
    }
    this.#fields = 0
    this.#openings = 0
    this.#messagesEnd = 0
  }

  /** base64url. */
  #encode(bytes: Uint8Array, from: number, to: number, at: number): void {
    const pairs = this.#pairs
    let out = at >> 1
    let p = from
    for (; p + 2 < to; p += 3) {
      const word = ((bytes[p] as number) << 16) | ((bytes[p + 1] as number) << 8) | (bytes[p + 2] as number)
      pairs[out] = PAIRS[word >>> 12] as number
      pairs[out + 1] = PAIRS[word & 4095] as number
      out += 2
    }
    if (p === to) return
    const word = ((bytes[p] as number) << 8) | (p + 1 < to ? (bytes[p + 1] as number) : 0)
    pairs[out] = PAIRS[word >>> 4] as number
    if (p + 1 < to) this.#lanes.bytes[2 * out + 2] = ALPHABET[(word & 15) << 2] as number
  }

  /** The block of HMAC that is the name, behind the block of the key. */
  #writeName(name: number): void {
    const at = this.#nameBlocks + name * BLOCK
    const bytes = this.#lanes.bytes
    const word = this.names.words[name] as string
    bytes.fill(0, at, at + BLOCK)
    for (let i = 0; i < word.length; i++) bytes[at + i] = word.charCodeAt(i)
    bytes[at + word.length] = 0x80
    const bits = (BLOCK + word.length) * 8
    bytes[at + BLOCK - 2] = bits >> 8
    bytes[at + BLOCK - 1] = bits
  }

  #makeSalts(): void {
    this.#job = 0
    for (let o = 0; o < this.#openings; o += 4) {
      for (let half = 0; half < 2; half++) {
        const job = this.#newJob(1)
        for (let lane = 0; lane < 4; lane++) {
          const each = Math.min(o + lane, this.#openings - 1)
          const state = this.#states + (2 * each + half) * STATE
          this.#setLane(job, lane, this.#pads + (2 * each + half) * BLOCK, START, state)
        }
      }
    }
    for (let f = 0; f < this.#fields; f += 4) {
      const inner = this.#newJob(1)
      const outer = this.#newJob(1)
      for (let lane = 0; lane < 4; lane++) {
        const each = Math.min(f + lane, this.#fields - 1)
        const state = this.#states + 2 * (this.#opening[each] as number) * STATE
        const between = this.#outer + each * BLOCK
        this.#setLane(inner, lane, this.#nameBlocks + (this.#name[each] as number) * BLOCK, state, between)
        this.#setLane(outer, lane, between, state + STATE, this.#salts + each * STATE)
      }
    }
    this.#lanes.run(this.#jobs, this.#job)
  }

  /** base64url of `["`, and base64url of the salt. */
  #writeSalt(f: number): void {
    const bytes = this.#lanes.bytes
    const salt = this.#salt
    const at = this.#salts + f * STATE
    salt[0] = 0x5b
    salt[1] = 0x22
    for (let p = at, out = 2; p < at + 15; p += 3, out += 4) {
      const word = ((bytes[p] as number) << 16) | ((bytes[p + 1] as number) << 8) | (bytes[p + 2] as number)
      salt[out] = ALPHABET[word >>> 18] as number
      salt[out + 1] = ALPHABET[(word >>> 12) & 63] as number
      salt[out + 2] = ALPHABET[(word >>> 6) & 63] as number
      salt[out + 3] = ALPHABET[word & 63] as number
    }
    const last = bytes[at + 15] as number
    salt[22] = ALPHABET[last >>> 2] as number
    salt[23] = ALPHABET[(last & 3) << 4] as number
    this.#encode(salt, 0, 24, this.#message[f] as number)
  }

  #makeDigests(): void {
    this.#job = 0
    const [waits, waiting] = [this.#waits, this.#waiting]
    waits.fill(0)
    for (let f = 0; f < this.#fields; f++) {
      const blocks = this.#blocks[f] as number
      waiting[4 * blocks + (waits[blocks] as number)] = f
      waits[blocks] = ((waits[blocks] as number) + 1) & 3
      if (waits[blocks] === 0) this.#digestJob(blocks, 4)
    }
    for (let blocks = 1; blocks <= LONGEST; blocks++) {
      if (waits[blocks] !== 0) this.#digestJob(blocks, waits[blocks] as number)
    }
    this.#lanes.run(this.#jobs, this.#job)
  }

  #digestJob(blocks: number, count: number): void {
    const job = this.#newJob(blocks)
    for (let lane = 0; lane < 4; lane++) {
      const f = this.#waiting[4 * blocks + Math.min(lane, count - 1)] as number
      this.#setLane(job, lane, this.#message[f] as number, START, this.#digests + f * STATE)
    }
  }

  #newJob(blocks: number): number {
    const job = this.#jobs / 4 + this.#job++ * JOB_NUMBERS
    this.#lanes.numbers[job] = blocks
    return job
  }

  #setLane(job: number, lane: number, message: number, before: number, after: number): void {
    const numbers = this.#lanes.numbers
    numbers[job + 1 + lane] = message
    numbers[job + 5 + lane] = before
    numbers[job + 9 + lane] = after
  }

  #judge(f: number): void {
    const bytes = this.#lanes.bytes
    const at = this.#digests + f * STATE
    const beginning =
      ((bytes[at] as number) << 22) |
      ((bytes[at + 1] as number) << 14) |
      ((bytes[at + 2] as number) << 6) |
      ((bytes[at + 3] as number) >> 2)
    const opening = this.#opening[f] as number
    const entry = this.#entry[opening] as number
    let k = this.#leaves.findDigest(entry, beginning, 0)
    while (k >= 0 && !isBase64url(bytes, at, this.#leaves.digestAt(entry, k))) {
      k = this.#leaves.findDigest(entry, beginning, k + 1)
    }
    if (k < 0) {
      this.#misfit(this.#order[opening] as number, this.names.words[this.#name[f] as number] as string)
    }
  }

  #judgeLong(name: number, bytes: Uint8Array, from: number, to: number): void {
    const word = this.names.words[name] as string
    const opening = this.#openings - 1
    const digest = fieldDigest(this.#seed, word, latin1(bytes, from - 1, to - 1))
    if (!hasDigest(this.#leaves, this.#leafBytes, this.#entry[opening] as number, digest)) {
      this.#misfit(this.#order[opening] as number, word)
    }
  }
}

/**
 * The digest of one hidden value.
 * @param field `"name","value"` as JSON writes it, a byte a character
 */
export function fieldDigest(seed: Uint8Array, name: string, field: string): string {
  const salt = createHmac('sha256', seed).update(name).digest().subarray(0, 16).toString('base64url')
  return hash('sha256', Buffer.from(`["${salt}",${field}]`, 'latin1').toString('base64url'), 'base64url')
}

/** Whether the leaf has this digest, base64url. */
export function hasDigest(leaves: Leaves, bytes: Uint8Array, i: number, digest: string): boolean {
  const beginning = Buffer.from(digest, 'base64url').readUInt32BE() >>> 2
  for (let k = leaves.findDigest(i, beginning, 0); k >= 0; k = leaves.findDigest(i, beginning, k + 1)) {
    const at = leaves.digestAt(i, k)
    if (latin1(bytes, at, at + DIGEST) === digest) return true
  }
  return false
}

/** Whether the 43 characters at `text` are base64url of the 32 bytes at `at`. */
function isBase64url(bytes: Uint8Array, at: number, text: number): boolean {
  let out = text
  for (let p = at; p < at + 30; p += 3, out += 4) {
    const word = ((bytes[p] as number) << 16) | ((bytes[p + 1] as number) << 8) | (bytes[p + 2] as number)
    if (
      bytes[out] !== ALPHABET[word >>> 18] ||
      bytes[out + 1] !== ALPHABET[(word >>> 12) & 63] ||
      bytes[out + 2] !== ALPHABET[(word >>> 6) & 63] ||
      bytes[out + 3] !== ALPHABET[word & 63]
    ) {
      return false
    }
  }
  const word = ((bytes[at + 30] as number) << 8) | (bytes[at + 31] as number)
  return (
    bytes[out] === ALPHABET[word >>> 10] &&
    bytes[out + 1] === ALPHABET[(word >>> 4) & 63] &&
    bytes[out + 2] === ALPHABET[(word & 15) << 2]
  )
}

function threeBytes(bytes: Uint8Array, at: number): number {
  return (
    ((SIX_BITS[bytes[at] as number] as number) << 18) |
    ((SIX_BITS[bytes[at + 1] as number] as number) << 12) |
    ((SIX_BITS[bytes[at + 2] as number] as number) << 6) |
    (SIX_BITS[bytes[at + 3] as number] as number)
  )
}
