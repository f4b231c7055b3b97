import type { Reader } from '../database.js'
import type { AuditEntry, AuditLeaf, AuditOpening } from '../wire.js'
import type { Look } from './look.js'

/**
 * How far the times of neighbours in the log may be apart the wrong way round: a writer's clock is within two seconds of the
 * database's or it does not sign, and a commit takes three at most. What a front with another clock wrote is found by
 * everything but its time.
 */
const SLACK = '10 seconds'
/** Most entries that one step sorts, or walks without an index: some hundredths of a second. */
const FEW = 20_000

/** Which entries are looked for; every condition that is given must hold. */
export interface Sought {
  readonly op?: string
  readonly from?: Date
  readonly to?: Date
  /** Index of the first, and of the first that is too late. */
  readonly low?: number
  readonly high?: number
  readonly newest: boolean
  readonly most: number
  /** Of openings, such as `searchTag('client', 'basic')`. */
  readonly tags?: readonly bigint[]
  /** Numbers of events. */
  readonly events?: readonly number[]
  readonly outcome?: string
}

export interface Found {
  readonly entries: AuditEntry[]
  /** Where to go on; absent when there is nothing more. */
  readonly next?: number
}

interface EntryRow {
  readonly idx: number
  readonly leaf: Buffer
  readonly lh: Buffer
  readonly openings: string | null
}

const FIND = `select matching, next from audit.find_entries($1, $2, $3, $4, '${SLACK}', $5, $6, $7, $8, $9, $10, $11, ${FEW})`

/**
 * Entries that may be the ones. Tags can collide and the span of time is taken a little too long, so that the caller looks
 * at each again.
 */
export async function findEntries(db: Reader, look: Look, sought: Sought): Promise<Found> {
  const { op, from, to, low, high, newest, most, tags, events, outcome } = sought
  const [row] = await db.query<{ matching: number[]; next: number | null }>('audit_find', FIND, [
    look.ticket,
    op ?? null,
    from ?? null,
    to ?? null,
    low ?? null,
    high ?? null,
    newest,
    most,
    tags ?? null,
    events ?? null,
    outcome ?? null,
  ])
  const { matching = [], next = null } = row ?? {}
  return { entries: await readEntries(db, look, matching), ...(next === null ? {} : { next }) }
}

export async function readEntries(db: Reader, look: Look, indices: readonly number[]): Promise<AuditEntry[]> {
  return (await readRows(db, look, indices)).map(({ idx, leaf, lh, openings }) => ({
    index: idx,
    leaf: JSON.parse(leaf.toString('utf8')) as AuditLeaf,
    leafHash: lh.toString('base64url'),
    openings: openingsOf(openings),
  }))
}

/** The bytes of an entry, and what still opens it; undefined where the look shows no such entry. */
export async function readEntry(
  db: Reader,
  look: Look,
  index: number,
): Promise<{ leaf: Buffer; openings: AuditOpening[] } | undefined> {
  const [row] = await readRows(db, look, [index])
  return row && { leaf: row.leaf, openings: openingsOf(row.openings) }
}

async function readRows(db: Reader, { ticket }: Look, indices: readonly number[]): Promise<EntryRow[]> {
  if (indices.length === 0) return []
  const text = 'select idx, leaf, lh, openings from audit.read_entries($1, $2)'
  return db.query<EntryRow>('audit_entries', text, [ticket, indices])
}

function openingsOf(openings: string | null): AuditOpening[] {
  return (JSON.parse(openings ?? '[]') as AuditOpening[]).map(({ class: retention, seed, fields }) => ({
    class: retention,
    seed: Buffer.from(seed, 'base64').toString('base64url'),
    fields,
  }))
}

/** For each entry that is signed, the first checkpoint that covers it. */
export function firstCheckpoints(
  db: Reader,
  { ticket }: Look,
  indices: readonly number[],
): Promise<{ idx: number; size: number; created_at: Date }[]> {
  const text = 'select idx, size, created_at from audit.first_checkpoints($1, $2) order by idx'
  return db.query('audit_covers', text, [ticket, indices])
}

/** What an opening of the entry still says of this name. */
export function opened({ openings }: AuditEntry, name: string): string | undefined {
  return openings.flatMap(({ fields }) => fields).find(([field]) => field === name)?.[1]
}

/** The digests of documents that the entry still opens, base64url. */
export function openedDigests({ openings }: AuditEntry): string[] {
  return openings
    .flatMap(({ fields }) => fields)
    .filter(([name]) => name?.startsWith('dtbsr['))
    .map(([, value]) => value as string)
}
