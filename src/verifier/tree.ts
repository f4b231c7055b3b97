import { GrowingTree, TILE_WIDTH, tilePath } from '../tlog/tiles.js'
import { EMPTY_ROOT, foldHashes, HASH_BYTES, type Hash, nodeHash, sameHash } from '../tlog/tree.js'
import type { RangeResult, ScanSettings } from './acts.js'
import type { Finding } from './finding.js'
import { isTile } from './manifest.js'
import { readWhole, type TileSlots } from './pack.js'

/** The tree as the ranges build it from the left, and R2 for the tiles above the leaves. */
export class CheckedTree {
  readonly #settings: Pick<ScanSettings, 'root' | 'tiles'>
  readonly #slots: TileSlots
  /** Over roots of whole tiles: its tiles are those of one level further up. */
  readonly #upper = new GrowingTree()
  /** Roots of whole subtrees from the left, the widest first. */
  readonly #peaks: { readonly width: number; readonly hash: Hash }[] = []

  constructor(settings: Pick<ScanSettings, 'root' | 'tiles'>, slots: TileSlots) {
    this.#settings = settings
    this.#slots = slots
  }

  /** Root of the tree that ends in the next range, with these peaks of it. */
  rootWith(peaks: readonly Hash[]): Hash {
    const all = [...this.#peaks.map(({ hash }) => hash), ...peaks]
    return all.length === 0 ? EMPTY_ROOT : all.reduceRight((right, left) => nodeHash(left, right))
  }

  /** @throws PackError when a tile is missing */
  append({ tileRoots }: Pick<RangeResult, 'tileRoots'>, fault: (finding: Finding) => void): void {
    const roots: Hash[] = []
    for (let at = 0; at < tileRoots.length; at += HASH_BYTES) roots.push(tileRoots.subarray(at, at + HASH_BYTES))
    if (roots.length === 0) return
    for (const root of roots) this.#upper.append(root)
    this.#push(roots.length, foldHashes(roots))
    if (this.#upper.size % TILE_WIDTH === 0) this.#compare(fault)
  }

  /** Compares what is left. @throws PackError */
  finish(fault: (finding: Finding) => void): void {
    this.#compare(fault)
  }

  /** Only the last range is narrower than the others, and nothing follows it. */
  #push(width: number, hash: Hash): void {
    let last = { width, hash }
    for (let before = this.#peaks.at(-1); before?.width === last.width; before = this.#peaks.at(-1)) {
      this.#peaks.pop()
      last = { width: 2 * last.width, hash: nodeHash(before.hash, last.hash) }
    }
    this.#peaks.push(last)
  }

  #compare(fault: (finding: Finding) => void): void {
    for (const { level, n, data } of this.#upper.takeTiles()) {
      const width = data.length / HASH_BYTES
      const whole = width === TILE_WIDTH || this.#upper.size === Math.floor(this.#slots.size / TILE_WIDTH)
      if (!whole) continue
      const path = tilePath(level + 1, n, width)
      const file = readWhole(this.#settings.root, path, TILE_WIDTH * HASH_BYTES)
      if (!sameHash(file, data))
        fault({ rule: 'R2', file: path, what: 'is not the tile that follows from the entries' })
      else if (!isTile(this.#settings.tiles, this.#slots.slot(level + 1, n), file)) {
        fault({ rule: 'R2', file: path, what: 'is not the file that MANIFEST means' })
      }
    }
  }
}
