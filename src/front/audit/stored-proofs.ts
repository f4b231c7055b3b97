import { ServiceError } from '../../errors.js'
import { nodesOfTiles, tileWidth } from '../../tlog/tiles.js'
import { HASH_BYTES, type Hash, inclusionProof, verifyInclusion } from '../../tlog/tree.js'
import type { FrontReads } from '../reads.js'

/** An entry of the log is in a signed tree. */
export interface StoredProof {
  readonly hashes: readonly Hash[]
  /** The signed note, verbatim. */
  readonly checkpoint: string
}

/** Tiles that are remembered: 8 MiB at most. */
const MOST_TILES = 1024

/**
 * Proofs from the tiles that the keeper stored. A tile never changes but by growing, so that it is asked for once, and again
 * when the tree needs more of it than is known.
 */
export class StoredProofs {
  readonly #db: Pick<FrontReads, 'checkpoint' | 'tile'>
  readonly #tiles = new Map<string, Promise<Uint8Array>>()

  constructor(db: Pick<FrontReads, 'checkpoint' | 'tile'>) {
    this.#db = db
  }

  /**
   * That the entry is in the tree of the newest checkpoint; undefined while that does not reach so far.
   * @throws ServiceError `unavailable`, also when what is stored is no tree with this entry
   */
  async of(index: number, leafHash: Hash): Promise<StoredProof | undefined> {
    const newest = await this.#db.checkpoint()
    if (newest === undefined || newest.size <= index) return undefined
    const { size, root, note: checkpoint } = newest
    const nodes = nodesOfTiles((level, n) => this.#tile(level, n, tileWidth(size, level, n) * HASH_BYTES))
    try {
      const hashes = await inclusionProof(nodes, index, size)
      if (verifyInclusion(index, size, leafHash, hashes, root)) return { hashes, checkpoint }
    } catch (error) {
      if (!(error instanceof RangeError)) throw error
    }
    this.#tiles.clear()
    throw new ServiceError('unavailable', {
      retryAfter: 1,
      cause: new Error('the stored tree does not have the entry'),
    })
  }

  async #tile(level: number, n: number, bytes: number): Promise<Uint8Array> {
    const place = `${level}/${n}`
    for (let known = this.#tiles.get(place); known !== undefined; ) {
      const data = await known
      if (data.length >= bytes) return data
      const newer = this.#tiles.get(place)
      if (newer === known) break
      known = newer
    }
    if (this.#tiles.size >= MOST_TILES) this.#tiles.clear()
    const reading = this.#db.tile(level, n)
    this.#tiles.set(place, reading)
    reading.catch(() => this.#tiles.delete(place))
    return reading
  }
}
