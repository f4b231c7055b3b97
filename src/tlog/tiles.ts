import { foldHashes, HASH_BYTES, type Hash, type NodeReader } from './tree.js'

/** Hashes in a whole tile (C2SP tlog-tiles). */
export const TILE_WIDTH = 256
const TILE_HEIGHT = 8

export interface Tile {
  readonly level: number
  readonly n: number
  /** `width` hashes of 32 bytes, 1 to 256 of them. A narrower tile of the same place is a prefix of these bytes. */
  readonly data: Uint8Array
}

/** How many hashes tile `n` of a level has in a tree of that size; 0 when there is no such tile. */
export function tileWidth(size: number, level: number, n: number): number {
  const hashes = Math.floor(size / TILE_WIDTH ** level)
  return Math.max(0, Math.min(TILE_WIDTH, hashes - n * TILE_WIDTH))
}

/** `tile/<L>/<N>[.p/<W>]`, and `tile/entries/<N>[.p/<W>]` for a bundle of entries. */
export function tilePath(level: number | 'entries', n: number, width: number): string {
  const digits = String(n)
  const groups = digits.padStart(Math.ceil(digits.length / 3) * 3, '0').match(/.{3}/g) as string[]
  const path = groups.map((group, i) => (i === groups.length - 1 ? group : `x${group}`)).join('/')
  return `tile/${level}/${path}${width === TILE_WIDTH ? '' : `.p/${width}`}`
}

/** The inverse of `tilePath`; undefined for every other spelling, so that each tile has one address. */
export function parseTilePath(path: string): { level: number | 'entries'; n: number; width: number } | undefined {
  const match = /^tile\/(entries|[0-9]{1,2})\/((?:x[0-9]{3}\/){0,4}[0-9]{3})(?:\.p\/([0-9]{1,3}))?$/.exec(path)
  if (match === null) return undefined
  const level = match[1] === 'entries' ? 'entries' : Number(match[1])
  const n = Number((match[2] as string).replace(/[x/]/g, ''))
  const width = match[3] === undefined ? TILE_WIDTH : Number(match[3])
  return tilePath(level, n, width) === path && width > 0 && (level === 'entries' || level < 64)
    ? { level, n, width }
    : undefined
}

/** Entries as a bundle: each with its length before it, 16 bits, most significant byte first. */
export function encodeBundle(entries: readonly Uint8Array[]): Buffer {
  return Buffer.concat(
    entries.flatMap((entry) => {
      const length = Buffer.alloc(2)
      length.writeUInt16BE(entry.length)
      return [length, entry]
    }),
  )
}

/** Whole subtrees from the tiles of a tree; `read` gives a tile at least as wide as the tree needs. */
export function nodesOfTiles(read: (level: number, n: number) => Promise<Uint8Array>): NodeReader {
  return async (level, index) => {
    const within = level % TILE_HEIGHT
    const first = index * 2 ** within
    const n = Math.floor(first / TILE_WIDTH)
    const data = await read((level - within) / TILE_HEIGHT, n)
    const hashes = hashesOf(data).slice(first - n * TILE_WIDTH, first - n * TILE_WIDTH + 2 ** within)
    if (hashes.length < 2 ** within) throw new RangeError('the tile is narrower than the tree needs')
    return foldHashes(hashes)
  }
}

/** A tile's hashes, each a view of its bytes. */
function hashesOf(data: Uint8Array): Hash[] {
  const hashes: Hash[] = []
  for (let at = 0; at + HASH_BYTES <= data.length; at += HASH_BYTES) hashes.push(data.subarray(at, at + HASH_BYTES))
  return hashes
}

/**
 * A tree that grows at its right edge and knows only that edge: the unfinished tile of each level. Whoever appends the
 * same hashes to the same edge gets the same tiles.
 */
export class GrowingTree {
  #size: number
  readonly #edge: Hash[][]
  readonly #finished: Tile[] = []

  /**
   * @param edge data of the unfinished tile of each level from 0 up, empty where the level has none
   * @throws RangeError when the edge does not belong to a tree of that size
   */
  constructor(size = 0, edge: readonly Uint8Array[] = []) {
    this.#size = size
    this.#edge = edge.map(hashesOf)
    for (let level = 0; TILE_WIDTH ** level <= size || level < edge.length; level++) {
      const width = Math.floor(size / TILE_WIDTH ** level) % TILE_WIDTH
      if ((this.#edge[level] ?? []).length !== width)
        throw new RangeError('the edge is not that of a tree of this size')
    }
  }

  get size(): number {
    return this.#size
  }

  append(leafHash: Hash): void {
    this.#size++
    this.#push(0, leafHash)
  }

  root(): Hash {
    let below: Hash | undefined
    for (const hashes of this.#edge) {
      if (hashes.length === 0) continue
      below = foldHashes(below === undefined ? hashes : [...hashes, below])
    }
    return below ?? foldHashes([])
  }

  /** Tiles that were finished since the last call, and the unfinished ones as they are now. */
  takeTiles(): Tile[] {
    const tiles = this.#finished.splice(0)
    this.#edge.forEach((hashes, level) => {
      if (hashes.length === 0) return
      const n = Math.floor(Math.floor(this.#size / TILE_WIDTH ** level) / TILE_WIDTH)
      tiles.push({ level, n, data: Buffer.concat(hashes) })
    })
    return tiles
  }

  #push(level: number, hash: Hash): void {
    const hashes = this.#edge[level] ?? []
    this.#edge[level] = hashes
    hashes.push(hash)
    if (hashes.length < TILE_WIDTH) return
    const n = Math.floor(this.#size / TILE_WIDTH ** (level + 1)) - 1
    this.#finished.push({ level, n, data: Buffer.concat(hashes) })
    this.#edge[level] = []
    this.#push(level + 1, foldHashes(hashes))
  }
}
