/** A pack of a real service's log as the owner of its database would write it, with whatever he has done to it. */
import type { PackSource } from '../../src/audit/pack.js'
import type { Executor } from '../../src/db/pool.js'

interface CheckpointRow {
  readonly size: number
  readonly note: string
}

/**
 * Up to the newest checkpoint that does not cut a commit in two. Nothing is left out or put right.
 * @throws Error when there is no checkpoint
 */
export async function databasePack(db: Executor): Promise<PackSource> {
  const { rows: checkpoints } = await db.query<CheckpointRow>(
    `select size, note from audit.checkpoint c
      where exists (select from audit.flush where first_idx = c.size) or size = (select size from audit.head)
      order by size desc limit 1`,
  )
  const [newest] = checkpoints
  if (newest === undefined) throw new Error('the log has no checkpoint')
  const upTo = async function* <Row extends object, Item>(text: string, item: (row: Row) => Item) {
    for (const row of (await db.query<Row>(text, [newest.size])).rows) yield item(row)
  }
  return {
    checkpoint: newest.note,
    entries: async (from, to) => {
      const text = 'select leaf from audit.entry where idx >= $1 and idx < $2 order by idx'
      return (await db.query<{ leaf: Buffer }>(text, [from, to])).rows.map(({ leaf }) => leaf)
    },
    openings: () =>
      upTo(
        'select idx, class, seed, fields from audit.opening where idx < $1 order by idx, class',
        (row: { idx: number; class: 1 | 2; seed: Buffer; fields: string }) => ({ ...row, index: row.idx }),
      ),
    flushes: () =>
      upTo(
        'select boot, no, first_idx, body, signature from audit.flush where first_idx < $1 order by first_idx',
        (row: { boot: string; no: number; first_idx: number; body: Buffer; signature: Buffer }) => ({
          ...row,
          first: row.first_idx,
        }),
      ),
    checkpoints: () =>
      upTo('select size, note from audit.checkpoint where size <= $1 order by size', (row: CheckpointRow) => row),
    async *anchors() {},
  }
}

/** The policy of an auditor who was given the keys that sign this log. */
export async function databasePolicy(db: Executor): Promise<string> {
  const { rows } = await db.query<{ vkey: string }>('select vkey from audit.checkpoint_key')
  return [...rows.map(({ vkey }) => `log ${vkey}`), 'quorum none', ''].join('\n')
}
