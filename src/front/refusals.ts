import type { Logger } from 'pino'
import type { Origin } from '../activation.js'
import type { Actor, AuditEvent, FrontEventName } from '../audit/event.js'
import { type ErrorCode, ServiceError } from '../errors.js'
import { describeError } from './describe-error.js'

/** A request that was refused before any worker saw it. */
export interface Refusal {
  /** Absent where too many addresses are counted together. */
  readonly origin: Origin | undefined
  readonly actor: Actor
  readonly client: string | undefined
  /** A path of the contract, or `unknown`. */
  readonly endpoint: string
  readonly code: ErrorCode
  readonly status: number
}

export interface Refusals {
  /** Never waits and never throws. */
  note(refusal: Refusal): void
  /** Writes what was counted and not yet written; happens by itself each minute. */
  endMinute(): Promise<void>
  /** The last such write; to be called before the log closes. */
  close(): Promise<void>
}

const MINUTE = 60_000
const MOST_KEYS = 1000
/** Writes at once, so that a flood of refusals leaves the log to those who sign. */
const MOST_WRITES = 4

interface Counted {
  readonly refusal: Refusal
  /** Seen and not yet in the log. */
  count: number
}

/**
 * Entries `access.refused`: one for each address, endpoint, reason and actor at once, then one a minute with the number
 * of further ones. With too many of them in a minute, address and actor are no longer told apart.
 */
export function collectRefusals(options: {
  readonly log: { append(event: AuditEvent<FrontEventName>): Promise<void> }
  readonly logger: Logger
  readonly maxKeys?: number
}): Refusals {
  const { log, logger, maxKeys = MOST_KEYS } = options
  let counted = new Map<string, Counted>()
  const writing = new Set<Promise<void>>()

  /** Counts it, and tells whether it is the first of its kind in this minute. */
  function count(refusal: Refusal, times: number): { entry: Counted; first: boolean } {
    const { origin, actor, endpoint, code } = refusal
    const fine = [origin?.address, endpoint, code, actor.kind, actor.id].join(' ')
    const isFine = counted.has(fine) || counted.size < maxKeys
    const key = isFine ? fine : `* ${endpoint} ${code}`
    const known = counted.get(key)
    const entry = known ?? { refusal: isFine ? refusal : coarse(refusal), count: 0 }
    if (known === undefined) counted.set(key, entry)
    entry.count += times
    return { entry, first: known === undefined }
  }

  async function write(entry: Counted): Promise<void> {
    const times = entry.count
    entry.count = 0
    try {
      await log.append(eventOf(entry.refusal, times))
    } catch (error) {
      entry.count += times
      if (!(error instanceof ServiceError)) logger.error({ error: describeError(error) }, 'a refusal was not logged')
    }
  }

  function writeSoon(entry: Counted): void {
    const written: Promise<void> = write(entry).finally(() => writing.delete(written))
    writing.add(written)
  }

  /** @returns what the log did not take */
  async function writeAll(): Promise<Counted[]> {
    await Promise.all(writing)
    const due = [...counted.values()].filter((entry) => entry.count > 0)
    counted = new Map()
    for (const entry of due) await write(entry)
    return due.filter((entry) => entry.count > 0)
  }

  async function endMinute(): Promise<void> {
    for (const left of await writeAll()) count(left.refusal, left.count)
  }

  const timer = setInterval(() => void endMinute(), MINUTE)
  timer.unref()

  return {
    note(refusal) {
      const { entry, first } = count(refusal, 1)
      if (first && writing.size < MOST_WRITES) writeSoon(entry)
    },
    endMinute,
    async close() {
      clearInterval(timer)
      const lost = (await writeAll()).reduce((sum, left) => sum + left.count, 0)
      if (lost > 0) logger.error({ count: lost }, 'refusals were not logged')
    },
  }
}

/** Of more kinds than fit, only endpoint and reason are kept. */
function coarse({ endpoint, code, status }: Refusal): Refusal {
  return { origin: undefined, actor: { kind: 'anonymous' }, client: undefined, endpoint, code, status }
}

function eventOf(
  { origin, actor, client, endpoint, code, status }: Refusal,
  count: number,
): AuditEvent<'access.refused'> {
  return {
    type: 'access.refused',
    outcome: 'refused',
    actor,
    why: code,
    facts: { endpoint, count, status },
    ...(origin === undefined ? {} : { origin }),
    ...(client === undefined ? {} : { evidence: { client } }),
  }
}
