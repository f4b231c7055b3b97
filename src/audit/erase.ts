import { GrowingTree } from '../tlog/tiles.js'
import { leafHash } from '../tlog/tree.js'
import type { Actor } from './event.js'
import { OPENING_CLASS } from './leaf.js'
import { openingLine } from './pack.js'
import type { Record, Tx } from './transaction-log.js'

/** Which openings, among those of the entries from `from` on and before `to`. */
export interface Erasure {
  readonly kind: keyof typeof OPENING_CLASS
  readonly from: number
  readonly to: number
  /** Of this signer only. */
  readonly signer?: string
}

/**
 * Erases openings whose time has come (`retain_until` of audit.opening; the database refuses every other), and records how
 * many, between which entries, and the tree hash over them (docs/audit-format.md §9), in the same transaction. The leaves stay.
 * @returns how many
 */
export async function eraseDue(
  tx: Tx,
  record: Record,
  actor: Actor,
  { kind, from, to, signer }: Erasure,
): Promise<number> {
  const { rows } = await tx.query<{ idx: number; seed: Uint8Array; fields: string }>(
    'select idx, seed, fields from audit.erase($1, $2, $3, $4) order by idx',
    [OPENING_CLASS[kind], from, to, signer ?? null],
  )
  const [first] = rows
  const last = rows.at(-1)
  if (first === undefined || last === undefined) return 0
  const tree = new GrowingTree()
  for (const { idx: index, seed, fields } of rows) {
    tree.append(leafHash(Buffer.from(openingLine({ index, class: OPENING_CLASS[kind], seed, fields }))))
  }
  record({
    type: 'audit.erase',
    outcome: 'ok',
    actor,
    facts: {
      class: OPENING_CLASS[kind],
      first: first.idx,
      last: last.idx,
      count: rows.length,
      root: Buffer.from(tree.root()).toString('base64url'),
    },
    ...(signer === undefined ? {} : { evidence: { signer } }),
  })
  return rows.length
}

/** Evidence of a signer that has to stay, and the last day of it. */
export interface Kept {
  readonly count: number
  /** As `2033-11-24`. */
  readonly until: string
}

export async function keptOf(tx: Tx, signer: string): Promise<Kept | undefined> {
  const { rows } = await tx.query<Kept>('select count, until::text from audit.kept_of($1)', [signer])
  const [kept] = rows
  return kept === undefined || kept.count === 0 ? undefined : kept
}
