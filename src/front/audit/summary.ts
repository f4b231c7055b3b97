import type { Reader } from '../database.js'
import type { AuditOutcome, AuditSummary } from '../wire.js'
import { readEntries } from './log-reads.js'
import type { Look } from './look.js'

/** Entries that are counted at each look, beside those that were counted before: as many as come in a busy minute. */
const COUNTED_NOW = 50_000

interface SummaryRow {
  readonly now: Date
  readonly counted: number
  /** Hour (seconds since 1970), event, outcome, number. */
  readonly hours: readonly [number, string, AuditOutcome, number][] | null
  readonly unresolved: readonly [string, number, number][] | null
  readonly checkpoint_size: number | null
  readonly checkpoint_at: Date | null
  readonly clock: readonly number[]
}

const instantOf = (seconds: number) => new Date(Math.floor(seconds * 1000)).toISOString()

/** The log at a glance; costs the same however long it is. */
export async function summarize(db: Reader, look: Look): Promise<AuditSummary> {
  const text = `select now, counted, hours, unresolved, checkpoint_size, checkpoint_at, clock from audit.summarize($1, ${COUNTED_NOW})`
  const [row] = await db.query<SummaryRow>('audit_summary', text, [look.ticket])
  if (row === undefined) throw new Error('no summary')
  const { now, counted, hours, unresolved, checkpoint_size: size, checkpoint_at: at, clock } = row
  return {
    time: now.toISOString(),
    size: look.size,
    counted,
    hours: (hours ?? []).map(([hour, event, outcome, entries]) => ({ hour: instantOf(hour), event, outcome, entries })),
    unresolved: (unresolved ?? []).map(([op, intendedAt, deadline]) => ({
      op,
      intendedAt: instantOf(intendedAt),
      deadline: instantOf(deadline),
    })),
    ...(size === null || at === null ? {} : { checkpoint: { size, createdAt: at.toISOString() } }),
    clock: await readEntries(db, look, clock),
  }
}
