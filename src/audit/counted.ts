import { ServiceError } from '../errors.js'
import type { AuditEvent, EventName } from './event.js'

export interface CountedEntries<Name extends EventName> {
  /** Never waits and never throws. */
  note(event: AuditEvent<Name>): void
  /** Writes what was counted and not yet written; happens by itself each minute. */
  endMinute(): Promise<void>
  /** The last such write; to be called before the log closes. */
  close(): Promise<void>
}

const MINUTE = 60_000
const MOST_KINDS = 1000
/** Writes at once, so that a flood leaves the log to those who sign. */
const MOST_WRITES = 4

interface Counted<Name extends EventName> {
  readonly event: AuditEvent<Name>
  /** Seen and not yet in the log. */
  count: number
}

/**
 * Entries that strangers can cause as often as they like: one of each kind at once, then one a minute with the number of
 * further ones, as the fact `count`. A kind is everything that the event says but its request and operation. With too
 * many kinds in a minute, only reason and facts are told apart.
 * @param options.onFault told of what the log failed at, other than by being away
 * @param options.onLost told how many were not in the log when it closed
 */
export function countEntries<Name extends EventName>(options: {
  readonly log: { append(event: AuditEvent<Name>): Promise<void> }
  readonly onFault: (error: unknown) => void
  readonly onLost: (count: number) => void
  readonly maxKinds?: number
}): CountedEntries<Name> {
  const { log, onFault, onLost, maxKinds = MOST_KINDS } = options
  let counted = new Map<string, Counted<Name>>()
  const writing = new Set<Promise<void>>()

  /** Counts it, and tells whether it is the first of its kind in this minute. */
  function count(event: AuditEvent<Name>, times: number): { entry: Counted<Name>; first: boolean } {
    const fine = kindOf(event)
    const kept = counted.has(fine) || counted.size < maxKinds ? event : coarse(event)
    const kind = kept === event ? fine : kindOf(kept)
    const known = counted.get(kind)
    const entry = known ?? { event: kept, count: 0 }
    if (known === undefined) counted.set(kind, entry)
    entry.count += times
    return { entry, first: known === undefined }
  }

  async function write(entry: Counted<Name>): Promise<void> {
    const { event, count } = entry
    entry.count = 0
    try {
      await log.append({ ...event, facts: { ...event.facts, count } })
    } catch (error) {
      entry.count += count
      if (!(error instanceof ServiceError)) onFault(error)
    }
  }

  function writeSoon(entry: Counted<Name>): void {
    const written: Promise<void> = write(entry).finally(() => writing.delete(written))
    writing.add(written)
  }

  /** @returns what the log did not take */
  async function writeAll(): Promise<Counted<Name>[]> {
    await Promise.all(writing)
    const due = [...counted.values()].filter((entry) => entry.count > 0)
    counted = new Map()
    for (const entry of due) await write(entry)
    return due.filter((entry) => entry.count > 0)
  }

  async function endMinute(): Promise<void> {
    for (const left of await writeAll()) count(left.event, left.count)
  }

  const timer = setInterval(() => void endMinute(), MINUTE)
  timer.unref()

  return {
    note(event) {
      const { entry, first } = count(event, 1)
      if (first && writing.size < MOST_WRITES) writeSoon(entry)
    },
    endMinute,
    async close() {
      clearInterval(timer)
      const lost = (await writeAll()).reduce((sum, left) => sum + left.count, 0)
      if (lost > 0) onLost(lost)
    },
  }
}

function kindOf({ type, outcome, actor, origin, why, facts, evidence }: AuditEvent): string {
  return JSON.stringify([type, outcome, actor.kind, actor.id, origin?.address, origin?.api, why, facts, evidence])
}

function coarse<Name extends EventName>({ type, outcome, why, facts }: AuditEvent<Name>): AuditEvent<Name> {
  return {
    type,
    outcome,
    actor: { kind: 'anonymous' },
    ...(why === undefined ? {} : { why }),
    ...(facts === undefined ? {} : { facts }),
  }
}
