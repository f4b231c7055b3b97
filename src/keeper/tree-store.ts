import { readTile, rowsOf } from '../audit/stored-tree.js'
import type { Executor } from '../db/pool.js'
import { GrowingTree, TILE_WIDTH, tileWidth } from '../tlog/tiles.js'
import type { Hash } from '../tlog/tree.js'

export interface TreeHead {
  readonly size: number
  readonly root: Hash
}

/** Entries taken in one round: what a transaction does in well under a second. */
const MOST = 16_384

/** An entry that should stand in the log and does not. */
export class MissingEntry extends Error {
  readonly index: number
  constructor(index: number) {
    super(`entry ${index} is missing`)
    this.index = index
  }
}

export async function readTree(db: Executor): Promise<TreeHead> {
  const { rows } = await db.query<TreeHead>('select size, root from audit.tree where id = 1')
  return rows[0] as TreeHead
}

/**
 * Takes entries that were appended since the last time into the tree, at most so many; to be called in a transaction.
 * Whoever does it from the same tree writes the same tiles.
 * @returns the tree as it is now, and how many entries were taken
 * @throws MissingEntry when the log has a hole; RangeError when the stored edge is not that of the tree
 */
export async function integrate(tx: Executor): Promise<TreeHead & { taken: number }> {
  const { rows: locked } = await tx.query<TreeHead>('select size, root from audit.tree where id = 1 for update')
  const head = locked[0] as TreeHead
  const { rows } = await tx.query<{ idx: number; lh: Uint8Array }>(
    'select idx, lh from audit.entry where idx >= $1 order by idx limit $2',
    [head.size, MOST],
  )
  if (rows.length === 0) return { ...head, taken: 0 }
  const tree = new GrowingTree(head.size, await readEdge(tx, head.size))
  for (const { idx, lh } of rows) {
    if (idx !== tree.size) throw new MissingEntry(tree.size)
    tree.append(lh)
  }
  const tiles = tree.takeTiles()
  await tx.query(
    `insert into audit.tile (level, n, width, data)
       select level, n, octet_length(data) / 32, data from unnest($1::smallint[], $2::bigint[], $3::bytea[]) as t (level, n, data)
     on conflict (level, n) do update set width = excluded.width, data = excluded.data`,
    [tiles.map(({ level }) => level), tiles.map(({ n }) => n), tiles.map(({ data }) => data)],
  )
  const root = tree.root()
  await tx.query('update audit.tree set size = $1, root = $2 where id = 1', [tree.size, root])
  return { size: tree.size, root, taken: rows.length }
}

async function readEdge(db: Executor, size: number): Promise<Uint8Array[]> {
  const edge: Uint8Array[] = []
  for (let level = 0; TILE_WIDTH ** level <= size; level++) {
    const n = Math.floor(Math.floor(size / TILE_WIDTH ** level) / TILE_WIDTH)
    const width = tileWidth(size, level, n)
    edge.push(width === 0 ? Buffer.alloc(0) : await readTile(rowsOf(db), level, n))
  }
  return edge
}
