import type { Executor } from '../db/pool.js'
import { nodesOfTiles } from '../tlog/tiles.js'
import type { Hash, NodeReader } from '../tlog/tree.js'

/** Reads rows, over whatever connection there is; a statement of one name is always the same. */
export type ReadRows = <Row extends object>(name: string, text: string, values: readonly unknown[]) => Promise<Row[]>

/** The same over a connection. */
export const rowsOf =
  (db: Executor): ReadRows =>
  async <Row extends object>(_name: string, text: string, values: readonly unknown[]) =>
    (await db.query<Row>(text, values)).rows

/** A signed head of the tree. */
export interface StoredCheckpoint {
  readonly size: number
  readonly root: Hash
  /** The signed note, verbatim. */
  readonly note: string
}

export async function newestCheckpoint(read: ReadRows): Promise<StoredCheckpoint | undefined> {
  const text = 'select size, root, note from audit.checkpoint order by size desc limit 1'
  return (await read<StoredCheckpoint>('newest_checkpoint', text, []))[0]
}

/**
 * What is shown to others, with its cosignatures: the newest that enough witnesses cosigned, where there are witnesses and they
 * keep up; else the newest.
 */
export async function shownCheckpoint(read: ReadRows): Promise<StoredCheckpoint | undefined> {
  const text =
    'select size, root, audit.cosigned_note(size) as note from audit.checkpoint where size = audit.shown_size()'
  return (await read<StoredCheckpoint>('shown_checkpoint', text, []))[0]
}

/** A tile's hashes, as many as the tree has by now; empty where there is none. */
export async function readTile(read: ReadRows, level: number, n: number): Promise<Uint8Array> {
  const text = 'select data from audit.tile where level = $1 and n = $2'
  return (await read<{ data: Uint8Array }>('stored_tile', text, [level, n]))[0]?.data ?? Buffer.alloc(0)
}

/** Whole subtrees of the stored tree. Each tile is read once by one reader. */
export function storedNodes(read: ReadRows): NodeReader {
  return nodesOfTiles(storedTiles(read))
}

/** The tiles themselves. Each is read once by one reader. */
export function storedTiles(read: ReadRows): (level: number, n: number) => Promise<Uint8Array> {
  const known = new Map<string, Promise<Uint8Array>>()
  return (level, n) => {
    const place = `${level}/${n}`
    const found = known.get(place) ?? readTile(read, level, n)
    known.set(place, found)
    return found
  }
}
