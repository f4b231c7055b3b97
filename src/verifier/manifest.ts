import { hash } from 'node:crypto'
import { failFile } from './finding.js'
import { anchorSize, linesOf, PackFile, PLAIN_FILES, type TileSlots } from './pack.js'

const LINE = /^([0-9a-f]{64}) {2}([A-Za-z0-9._/-]{1,64})$/
const HASH_BYTES = 32

/** What MANIFEST says of each file. The part about tiles is shared with the workers. */
export interface Manifest {
  readonly tiles: Uint8Array
  /** SHA-256 of each file that is no tile, hex. */
  readonly others: ReadonlyMap<string, string>
}

/**
 * Reads MANIFEST, which names every other file of the pack once, in order, and nothing else.
 * @throws PackError
 */
export function readManifest(root: string, slots: TileSlots, anchors: readonly number[]): Manifest {
  const tiles = new Uint8Array(new SharedArrayBuffer(slots.count * HASH_BYTES))
  const others = new Map<string, string>()
  const plain = new Set<string>(PLAIN_FILES)
  const file = new PackFile(root, 'MANIFEST')
  const fail = (what: string) => failFile('MANIFEST', what)
  let before = ''
  let count = 0
  try {
    for (const line of linesOf(file, 0, file.size, 256)) {
      const match = LINE.exec(line.toString('latin1', 0, line.length))
      if (match === null) return fail(`line ${count + 1} is not a hash, two spaces and a path`)
      const [, sha256, path] = match as unknown as [string, string, string]
      if (path <= before) fail(`${path} is not where its path belongs`)
      before = path
      count++
      const slot = slots.slotOfPath(path)
      if (slot !== undefined) tiles.set(Buffer.from(sha256, 'hex'), slot * HASH_BYTES)
      else if (plain.has(path) || anchorSize(path) !== undefined) others.set(path, sha256)
      else fail(`names ${path}, which does not belong into this pack`)
    }
  } finally {
    file.close()
  }
  if (count !== slots.count + PLAIN_FILES.length + anchors.length) fail('does not name every file')
  for (const path of [...PLAIN_FILES, ...anchors.map((size) => `anchors/${size}.tsr`)]) {
    if (!others.has(path)) fail(`does not name ${path}`)
  }
  return { tiles, others }
}

/** Whether these bytes are the tile that MANIFEST means. */
export function isTile(tiles: Uint8Array, slot: number, bytes: Uint8Array): boolean {
  return hash('sha256', bytes, 'buffer').equals(tiles.subarray(slot * HASH_BYTES, (slot + 1) * HASH_BYTES))
}
