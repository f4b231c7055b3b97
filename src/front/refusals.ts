import type { Logger } from 'pino'
import type { Origin } from '../activation.js'
import { countEntries } from '../audit/counted.js'
import type { Actor, AuditEvent, FrontEventName } from '../audit/event.js'
import type { ErrorCode } from '../errors.js'
import { describeError } from './describe-error.js'

/** A request that was refused before any worker saw it. */
export interface Refusal {
  readonly origin: Origin
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

/**
 * Entries `access.refused`: one for each address, endpoint, reason and actor at once, then one a minute with the number
 * of further ones. With too many of them in a minute, address and actor are no longer told apart.
 */
export function collectRefusals(options: {
  readonly log: { append(event: AuditEvent<FrontEventName>): Promise<void> }
  readonly logger: Logger
  readonly maxKinds?: number
}): Refusals {
  const { log, logger, maxKinds } = options
  const entries = countEntries<'access.refused'>({
    log,
    onFault: (error) => logger.error({ error: describeError(error) }, 'a refusal was not logged'),
    onLost: (count) => logger.error({ count }, 'refusals were not logged'),
    ...(maxKinds === undefined ? {} : { maxKinds }),
  })
  return { ...entries, note: (refusal) => entries.note(eventOf(refusal)) }
}

function eventOf({ origin, actor, client, endpoint, code, status }: Refusal): AuditEvent<'access.refused'> {
  return {
    type: 'access.refused',
    outcome: 'refused',
    actor,
    origin,
    why: code,
    facts: { endpoint, status },
    ...(client === undefined ? {} : { evidence: { client } }),
  }
}
