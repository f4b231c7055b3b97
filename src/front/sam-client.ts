import type { Logger } from 'pino'
import { type FrontVerb, type FrontVerbs, STRANGERS_LANE } from '../activation.js'
import { ServiceError } from '../errors.js'
import { SamConnection } from './sam-connection.js'

/** Asks a SAM worker. */
export interface SamClient {
  /**
   * @param options.deadlineMs how long to wait for the answer; 10 s unless told
   * @throws ServiceError what the worker answered; `unavailable` without a worker, without an answer in time or when the
   *   connection breaks; `overloaded` when too much is in flight already
   */
  call<V extends FrontVerb>(
    verb: V,
    request: FrontVerbs[V]['request'],
    options?: { deadlineMs?: number },
  ): Promise<FrontVerbs[V]['response']>
}

export interface SamClientOptions {
  /** Paths of the workers' unix sockets. A worker may come and go. */
  readonly sockets: readonly string[]
  readonly logger: Logger
  /** Most requests in flight over all workers; 1000 unless told. */
  readonly maxInFlight?: number
}

/**
 * Most requests in flight that strangers can make, and as many that end something; more than the lanes of a few workers
 * hold. The rest of the places are for callers who are known.
 */
const MOST_OF_STRANGERS = 256
const DEADLINE = 10_000
/** How long a worker that said it cannot work is asked only when there is no other, in milliseconds. */
const AVOIDED = 1000

/** Spreads the calls over the live workers, to the one with the fewest in flight. */
export function createSamClient(options: SamClientOptions): SamClient & { close(): Promise<void> } {
  const { logger, maxInFlight = 1000 } = options
  const connections = options.sockets.map((path) => new SamConnection(path, logger))

  /** A broken worker answers fast: without the pause after a failure it would draw all calls to itself. */
  function choose(): SamConnection | undefined {
    const avoidedSince = performance.now() - AVOIDED
    const cost = (one: SamConnection) => one.inFlight + (one.failedAt > avoidedSince ? maxInFlight : 0)
    return connections.filter(({ live }) => live).sort((a, b) => cost(a) - cost(b))[0]
  }

  let ofStrangers = 0
  async function inBounds<T>(verb: FrontVerb, ask: () => Promise<T>): Promise<T> {
    if (STRANGERS_LANE[verb] === undefined) return ask()
    if (ofStrangers >= MOST_OF_STRANGERS) throw new ServiceError('overloaded', { retryAfter: 1 })
    ofStrangers++
    try {
      return await ask()
    } finally {
      ofStrangers--
    }
  }

  return {
    async call<V extends FrontVerb>(verb: V, request: FrontVerbs[V]['request'], { deadlineMs = DEADLINE } = {}) {
      if (connections.reduce((sum, { inFlight }) => sum + inFlight, 0) >= maxInFlight) {
        throw new ServiceError('overloaded', { retryAfter: 1 })
      }
      const connection = choose()
      if (connection === undefined) throw new ServiceError('unavailable', { retryAfter: 1 })
      return (await inBounds(verb, () => connection.call(verb, request, deadlineMs))) as FrontVerbs[V]['response']
    },
    async close() {
      await Promise.all(connections.map((connection) => connection.close()))
    },
  }
}
