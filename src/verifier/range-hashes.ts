import { TILE_WIDTH } from '../tlog/tiles.js'
import { HASH_BYTES } from '../tlog/tree.js'
import { JOB_NUMBERS, type Lanes, START } from './lanes.js'

/** Entries of a range at most: 16 bundles. */
export const RANGE = 4096
const BLOCK = 64
/** The end of a message, with what SHA-256 puts behind it. */
const TAIL = 2 * BLOCK
const LEVELS = Math.log2(RANGE) + 1
/** Leaves of 65,535 bytes take so many blocks. */
const MOST_BLOCKS = 1025

/** The leaf hashes of a range that begins where a subtree of its width does, and all whole subtrees over them (RFC 6962). */
export class RangeHashes {
  readonly #lanes: Lanes
  // Addresses. Hashes of a level stand side by side, those of the leaves first.
  readonly #levels: number[] = []
  readonly #tails: number
  readonly #states: number
  readonly #jobs: number
  readonly #ends = new Int32Array(RANGE)
  readonly #begins = new Int32Array(RANGE)
  /** By blocks: up to three leaves that wait for a fourth. */
  readonly #waiting = new Int32Array(4 * (MOST_BLOCKS + 1))
  readonly #waits = new Uint8Array(MOST_BLOCKS + 1)
  #tailsUsed = 0
  #job = 0
  #count = 0

  /** Bytes of the memory that it takes. */
  static readonly SIZE = 2 * RANGE * HASH_BYTES + TILE_WIDTH * (TAIL + HASH_BYTES) + 2 * TILE_WIDTH * 4 * JOB_NUMBERS

  /** @param at where its part of the memory begins */
  constructor(lanes: Lanes, at: number) {
    this.#lanes = lanes
    let end = at
    for (let level = 0; level < LEVELS; level++) {
      this.#levels.push(end)
      end += (RANGE >> level) * HASH_BYTES
    }
    end = at + 2 * RANGE * HASH_BYTES
    this.#tails = end
    this.#states = this.#tails + TILE_WIDTH * TAIL
    this.#jobs = this.#states + TILE_WIDTH * HASH_BYTES
  }

  /** Before a range. */
  clear(): void {
    this.#waits.fill(0)
    this.#tailsUsed = 0
    this.#job = 0
  }

  /** Where the leaf ends that was added as number `i`. */
  end(i: number): number {
    return this.#ends[i] as number
  }

  /** The leaf with its prefix, at most a bundle's until the next `flush`. */
  add(i: number, begin: number, end: number): void {
    this.#begins[i] = begin
    this.#ends[i] = end
    const blocks = (end - begin + 9 + BLOCK - 1) >> 6
    const waits = this.#waits[blocks] as number
    this.#waiting[4 * blocks + waits] = i
    this.#waits[blocks] = (waits + 1) & 3
    if (waits === 3) this.#hashLeaves(blocks, 4)
  }

  /** Hashes what waits. */
  flush(): void {
    for (let blocks = 1; blocks <= MOST_BLOCKS; blocks++) {
      const waits = this.#waits[blocks] as number
      if (waits > 0) this.#hashLeaves(blocks, waits)
    }
    this.#lanes.run(this.#jobs, this.#job)
    this.clear()
  }

  /** Whether the hash of leaf `i` stands there. */
  isAt(i: number, bytes: Uint8Array, at: number): boolean {
    const own = this.#lanes.bytes
    const hash = (this.#levels[0] as number) + i * HASH_BYTES
    for (let k = 0; k < HASH_BYTES; k++) if (own[hash + k] !== bytes[at + k]) return false
    return true
  }

  /** Makes the tree over the first `count` leaves. */
  grow(count: number): void {
    this.#count = count
    const { bytes, numbers } = this.#lanes
    for (let slot = 0; slot < TILE_WIDTH; slot++) {
      const tail = this.#tails + slot * TAIL
      bytes.fill(0, tail, tail + TAIL)
      bytes[tail] = 1
      bytes[tail + 1 + 2 * HASH_BYTES] = 0x80
      bytes[tail + TAIL - 2] = ((1 + 2 * HASH_BYTES) * 8) >> 8
      bytes[tail + TAIL - 1] = (1 + 2 * HASH_BYTES) * 8
    }
    for (let level = 1; count >> level > 0; level++) {
      const [below, above] = [this.#levels[level - 1] as number, this.#levels[level] as number]
      const nodes = count >> level
      for (let from = 0; from < nodes; from += TILE_WIDTH) {
        const width = Math.min(TILE_WIDTH, nodes - from)
        for (let i = 0; i < width; i++) {
          const pair = below + (from + i) * 2 * HASH_BYTES
          bytes.copyWithin(this.#tails + i * TAIL + 1, pair, pair + 2 * HASH_BYTES)
        }
        for (let i = 0; i < width; i += 4) {
          const job = this.#newJob(2)
          for (let lane = 0; lane < 4; lane++) {
            const each = Math.min(i + lane, width - 1)
            numbers[job + 1 + lane] = this.#tails + each * TAIL
            numbers[job + 5 + lane] = START
            numbers[job + 9 + lane] = above + (from + each) * HASH_BYTES
          }
        }
        this.#lanes.run(this.#jobs, this.#job)
        this.#job = 0
      }
    }
  }

  /** Roots of the whole tiles of leaves. */
  tileRoots(): Uint8Array<ArrayBuffer> {
    const at = this.#levels[Math.log2(TILE_WIDTH)] as number
    return new Uint8Array(this.#lanes.bytes.subarray(at, at + Math.floor(this.#count / TILE_WIDTH) * HASH_BYTES))
  }

  /** Roots of the widest whole subtrees of the first `count` leaves. */
  peaks(count: number): Uint8Array[] {
    const peaks: Uint8Array[] = []
    let at = 0
    for (let level = LEVELS - 1; level >= 0; level--) {
      const width = 2 ** level
      if (count - at < width) continue
      const hash = (this.#levels[level] as number) + (at / width) * HASH_BYTES
      peaks.push(new Uint8Array(this.#lanes.bytes.subarray(hash, hash + HASH_BYTES)))
      at += width
    }
    return peaks
  }

  #hashLeaves(blocks: number, count: number): void {
    const { numbers } = this.#lanes
    const tailBlocks = Math.min(2, blocks)
    const heads = blocks - tailBlocks
    const head = heads > 0 ? this.#newJob(heads) : undefined
    const tail = this.#newJob(tailBlocks)
    for (let lane = 0; lane < 4; lane++) {
      if (lane >= count) {
        for (const job of head === undefined ? [tail] : [head, tail]) {
          for (const part of [1, 5, 9]) numbers[job + part + lane] = numbers[job + part] as number
        }
        continue
      }
      const i = this.#waiting[4 * blocks + lane] as number
      const begin = this.#begins[i] as number
      const slot = this.#tailsUsed++
      const state = this.#states + slot * HASH_BYTES
      if (head !== undefined) {
        numbers[head + 1 + lane] = begin
        numbers[head + 5 + lane] = START
        numbers[head + 9 + lane] = state
      }
      numbers[tail + 1 + lane] = this.#writeTail(
        slot,
        begin + heads * BLOCK,
        this.#ends[i] as number,
        tailBlocks,
        begin,
      )
      numbers[tail + 5 + lane] = head === undefined ? START : state
      numbers[tail + 9 + lane] = (this.#levels[0] as number) + i * HASH_BYTES
    }
  }

  #writeTail(slot: number, from: number, to: number, blocks: number, begin: number): number {
    const { bytes } = this.#lanes
    const tail = this.#tails + slot * TAIL
    const end = tail + blocks * BLOCK
    bytes.copyWithin(tail, from, to)
    bytes[tail + to - from] = 0x80
    for (let p = tail + to - from + 1; p < end - 3; p++) bytes[p] = 0
    const bits = (to - begin) * 8
    bytes[end - 3] = bits >> 16
    bytes[end - 2] = bits >> 8
    bytes[end - 1] = bits
    return tail
  }

  #newJob(blocks: number): number {
    const job = this.#jobs / 4 + this.#job++ * JOB_NUMBERS
    this.#lanes.numbers[job] = blocks
    return job
  }
}
