import type { Executor } from '../db/pool.js'
import { nodesOfTiles, TILE_WIDTH } from '../tlog/tiles.js'
import { HASH_BYTES, type Hash, inclusionProof, sameHash, verifyInclusion } from '../tlog/tree.js'
import { rowsOf, storedTiles } from './stored-tree.js'

/** A durable commit of this process. */
interface OwnFlush {
  readonly boot: string
  readonly no: number
  /** Index of its first entry, where the commit told it. */
  readonly first: number | undefined
  /** Leaf hashes of each of its entries: one, or two where it is not known which of two leaves stands there. */
  readonly hashes: readonly (readonly Hash[])[]
}

/** More entries than may go without a checkpoint; when even more wait, the oldest are not compared. */
const MOST = 100_000
/** Flushes whose place is asked for at once. */
const ASKED_AT_ONCE = 1000

/** An entry that this process wrote, and in whose place the signed tree has something else, or nothing. */
export interface Replaced {
  readonly boot: string
  readonly flush: number
  readonly index: number | undefined
}

export function replacedText({ boot, flush, index }: Replaced): string {
  const where = index === undefined ? 'is gone from the log' : `is not entry ${index} of the signed tree`
  return `what boot ${boot} wrote in its flush ${flush} ${where}`
}

/**
 * What this process has written and no checkpoint covers yet. The owner of the database can still change it, with every row
 * that goes with it, and nobody but its writer could tell; so its writer remembers it until then, and looks.
 */
export class OwnEntries {
  #flushes: OwnFlush[] = []
  #count = 0

  add(flush: OwnFlush): void {
    this.#flushes.push(flush)
    this.#count += flush.hashes.length
    while (this.#count > MOST) this.#count -= (this.#flushes.shift() as OwnFlush).hashes.length
  }

  /**
   * Compares what a signed tree covers with what was written, and forgets it.
   * @returns the first that is not what was written
   * @throws RangeError when the stored tiles are too narrow for the tree
   */
  async compare(db: Executor, tree: { readonly size: number; readonly root: Hash }): Promise<Replaced | undefined> {
    const flushes = this.#flushes.slice(0, ASKED_AT_ONCE)
    if (flushes.length === 0) return undefined
    const places = await placesOf(db, flushes)
    const tiles = new ProvenTiles(db, tree)
    for (const flush of flushes) {
      const { boot, no, hashes } = flush
      const first = flush.first ?? places.get(`${boot} ${no}`)
      if (first === undefined) return { boot, flush: no, index: undefined }
      // Flushes of several writers stand in each other's way, but hardly for longer than a checkpoint takes.
      if (first + hashes.length > tree.size) return undefined
      for (const [i, offered] of hashes.entries()) {
        const stands = await tiles.leafHash(first + i)
        if (stands === undefined || !offered.some((hash) => sameHash(hash, stands)))
          return { boot, flush: no, index: first + i }
      }
      this.#forget(flush)
    }
    return undefined
  }

  #forget(flush: OwnFlush): void {
    // Unless there were so many that it went meanwhile.
    if (this.#flushes[0] !== flush) return
    this.#flushes.shift()
    this.#count -= flush.hashes.length
  }
}

/** Where the flushes stand whose commit did not tell it. */
async function placesOf(db: Executor, flushes: readonly OwnFlush[]): Promise<Map<string, number>> {
  const unknown = flushes.filter(({ first }) => first === undefined)
  if (unknown.length === 0) return new Map()
  const { rows } = await db.query<{ boot: string; no: number; first_idx: number }>(
    'select boot, no, first_idx from audit.flush join unnest($1::uuid[], $2::bigint[]) as t (boot, no) using (boot, no)',
    [unknown.map(({ boot }) => boot), unknown.map(({ no }) => no)],
  )
  return new Map(rows.map(({ boot, no, first_idx }) => [`${boot} ${no}`, first_idx]))
}

/** Leaf hashes from tiles that the signed root confirms: one proof from a tile goes over all of it. */
class ProvenTiles {
  readonly #read
  readonly #nodes
  readonly #tree: { readonly size: number; readonly root: Hash }
  readonly #proven = new Map<number, boolean>()

  constructor(db: Executor, tree: { readonly size: number; readonly root: Hash }) {
    this.#read = storedTiles(rowsOf(db))
    this.#nodes = nodesOfTiles(this.#read)
    this.#tree = tree
  }

  /** Undefined when the tile is not one of the signed tree. */
  async leafHash(index: number): Promise<Hash | undefined> {
    const n = Math.floor(index / TILE_WIDTH)
    const data = await this.#read(0, n)
    const at = (index - n * TILE_WIDTH) * HASH_BYTES
    const hash = data.subarray(at, at + HASH_BYTES)
    if (!this.#proven.has(n)) {
      const { size, root } = this.#tree
      const proof = await inclusionProof(this.#nodes, index, size)
      this.#proven.set(n, verifyInclusion(index, size, hash, proof, root))
    }
    return this.#proven.get(n) ? hash : undefined
  }
}
