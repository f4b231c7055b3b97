import { hash } from 'node:crypto'

/**
 * Digests of hidden values (docs/audit-format.md §4). An opening has many short fields: a call into the platform's hash
 * for each costs more than the hashing, so that SHA-256 (FIPS 180-4) of short inputs is done here.
 */

const K = Int32Array.from(constants((x) => Math.cbrt(x)))
const H0 = Int32Array.from(constants((x) => Math.sqrt(x)).slice(0, 8))
const W = new Int32Array(64)
const ALPHABET = Buffer.from('ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_')

/** First 32 bits of the fractional parts of a root of each of the first 64 primes. */
function constants(root: (prime: number) => number): number[] {
  const found: number[] = []
  for (let n = 2; found.length < 64; n++) {
    let prime = true
    for (let d = 2; d * d <= n && prime; d++) prime = n % d !== 0
    if (prime) found.push(((root(n) % 1) * 2 ** 32) | 0)
  }
  return found
}

function compress(state: Int32Array, block: Uint8Array, at: number): void {
  for (let i = 0, p = at; i < 16; i++, p += 4) {
    W[i] =
      ((block[p] as number) << 24) |
      ((block[p + 1] as number) << 16) |
      ((block[p + 2] as number) << 8) |
      (block[p + 3] as number)
  }
  for (let i = 16; i < 64; i++) {
    const x = W[i - 15] as number
    const y = W[i - 2] as number
    const s0 = ((x >>> 7) | (x << 25)) ^ ((x >>> 18) | (x << 14)) ^ (x >>> 3)
    const s1 = ((y >>> 17) | (y << 15)) ^ ((y >>> 19) | (y << 13)) ^ (y >>> 10)
    W[i] = (s0 + (W[i - 16] as number) + (W[i - 7] as number) + s1) | 0
  }
  let a = state[0] as number
  let b = state[1] as number
  let c = state[2] as number
  let d = state[3] as number
  let e = state[4] as number
  let f = state[5] as number
  let g = state[6] as number
  let h = state[7] as number
  for (let i = 0; i < 64; i++) {
    const s1 = ((e >>> 6) | (e << 26)) ^ ((e >>> 11) | (e << 21)) ^ ((e >>> 25) | (e << 7))
    const t1 = (h + s1 + (g ^ (e & (f ^ g))) + (K[i] as number) + (W[i] as number)) | 0
    const s0 = ((a >>> 2) | (a << 30)) ^ ((a >>> 13) | (a << 19)) ^ ((a >>> 22) | (a << 10))
    const t2 = (s0 + ((a & b) | (c & (a | b)))) | 0
    h = g
    g = f
    f = e
    e = (d + t1) | 0
    d = c
    c = b
    b = a
    a = (t1 + t2) | 0
  }
  state[0] = ((state[0] as number) + a) | 0
  state[1] = ((state[1] as number) + b) | 0
  state[2] = ((state[2] as number) + c) | 0
  state[3] = ((state[3] as number) + d) | 0
  state[4] = ((state[4] as number) + e) | 0
  state[5] = ((state[5] as number) + f) | 0
  state[6] = ((state[6] as number) + g) | 0
  state[7] = ((state[7] as number) + h) | 0
}

function writeState(state: Int32Array, to: Uint8Array, at: number): void {
  for (let i = 0, p = at; i < 8; i++, p += 4) {
    const word = state[i] as number
    to[p] = word >>> 24
    to[p + 1] = word >>> 16
    to[p + 2] = word >>> 8
    to[p + 3] = word
  }
}

/** Closes a message of `length` bytes that began `before` bytes earlier. @returns the number of blocks' bytes */
function pad(buffer: Uint8Array, length: number, before: number): number {
  const end = Math.ceil((length + 9) / 64) * 64
  buffer[length] = 0x80
  buffer.fill(0, length + 1, end)
  const bits = (before + length) * 8
  buffer[end - 4] = bits >>> 24
  buffer[end - 3] = bits >>> 16
  buffer[end - 2] = bits >>> 8
  buffer[end - 1] = bits
  return end
}

function base64url(from: Uint8Array, length: number, to: Uint8Array, at: number): number {
  let out = at
  let i = 0
  for (; i + 2 < length; i += 3) {
    const word = ((from[i] as number) << 16) | ((from[i + 1] as number) << 8) | (from[i + 2] as number)
    to[out] = ALPHABET[word >>> 18] as number
    to[out + 1] = ALPHABET[(word >>> 12) & 63] as number
    to[out + 2] = ALPHABET[(word >>> 6) & 63] as number
    to[out + 3] = ALPHABET[word & 63] as number
    out += 4
  }
  if (i < length) {
    const word = ((from[i] as number) << 16) | ((from[i + 1] ?? 0) << 8)
    to[out++] = ALPHABET[word >>> 18] as number
    to[out++] = ALPHABET[(word >>> 12) & 63] as number
    if (i + 1 < length) to[out++] = ALPHABET[(word >>> 6) & 63] as number
  }
  return out
}

/** Longest JSON of a field that is hashed here. */
const SHORT = 384

/** Makes the digests of one opening after another. Not to be shared. */
export class FieldDigester {
  readonly #inner = new Int32Array(8)
  readonly #outer = new Int32Array(8)
  readonly #state = new Int32Array(8)
  readonly #block = new Uint8Array(128)
  readonly #json = new Uint8Array(SHORT + 4)
  readonly #text = new Uint8Array(Math.ceil(SHORT / 3) * 4 + 128)
  readonly #digest = new Uint8Array(33)

  /** @param seed 32 bytes */
  begin(seed: Uint8Array): void {
    const block = this.#block
    for (let i = 0; i < 64; i++) block[i] = (seed[i] ?? 0) ^ 0x36
    this.#inner.set(H0)
    compress(this.#inner, block, 0)
    for (let i = 0; i < 64; i++) block[i] = (seed[i] ?? 0) ^ 0x5c
    this.#outer.set(H0)
    compress(this.#outer, block, 0)
  }

  /**
   * Digest of a field as JSON writes it, `"name","value"`, which are `bytes` from `from` to `to`; the name has at most 48
   * bytes.
   * @param out gets the 43 characters
   */
  digest(bytes: Uint8Array, from: number, to: number, nameLength: number, out: Uint8Array): void {
    this.#salt(bytes, from + 1, nameLength)
    const length = 26 + (to - from) + 1
    if (length > SHORT) {
      const json = Buffer.concat([this.#json.subarray(0, 26), bytes.subarray(from, to), Buffer.from(']')])
      out.set(Buffer.from(hash('sha256', json.toString('base64url'), 'base64url')))
      return
    }
    const json = this.#json
    for (let i = from, p = 26; i < to; i++, p++) json[p] = bytes[i] as number
    json[length - 1] = 0x5d
    // What follows the last byte must not show in it.
    json[length] = 0
    json[length + 1] = 0
    const text = this.#text
    const end = pad(text, base64url(json, length, text, 0), 0)
    this.#state.set(H0)
    for (let at = 0; at < end; at += 64) compress(this.#state, text, at)
    writeState(this.#state, this.#digest, 0)
    base64url(this.#digest, 32, out, 0)
  }

  /** Writes `["salt",` to the beginning of the JSON. */
  #salt(bytes: Uint8Array, nameAt: number, nameLength: number): void {
    const block = this.#block
    for (let i = 0; i < nameLength; i++) block[i] = bytes[nameAt + i] as number
    pad(block, nameLength, 64)
    this.#state.set(this.#inner)
    compress(this.#state, block, 0)
    writeState(this.#state, block, 0)
    pad(block, 32, 64)
    this.#state.set(this.#outer)
    compress(this.#state, block, 0)
    writeState(this.#state, this.#digest, 0)
    const json = this.#json
    json[0] = 0x5b
    json[1] = 0x22
    json[24] = 0x22
    json[25] = 0x2c
    // 16 bytes are 22 characters; the byte behind them is put back, and is no part of it.
    base64url(this.#digest.subarray(0, 16), 16, json, 2)
  }
}
