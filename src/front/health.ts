import type { FrontVerbs } from '../activation.js'
import type { Clock } from '../clock.js'
import type { FrontReads } from './reads.js'
import type { SamClient } from './sam-client.js'
import type { Part, Readiness } from './wire.js'

/** How long a look is good for, and how long it may take, in milliseconds. */
const FRESH = 1000
const DEADLINE = 2000

export interface Health {
  /** A look at every part that a signature needs, taken at most once a second however many ask. */
  look(): Promise<Readiness>
  /**
   * Whether this service's data are a demo's, as a worker told once: it never changes.
   * @throws ServiceError `unavailable` until a worker has been asked
   */
  demo(): Promise<boolean>
  /**
   * Whether the service gives time-stamps, as a worker told last.
   * @throws ServiceError `unavailable` until a worker has been asked
   */
  timeStamps(): Promise<boolean>
}

export function watchHealth(services: {
  readonly db: FrontReads
  readonly sam: SamClient
  readonly clock: Clock
}): Health {
  const { db, sam, clock } = services
  let known: Pick<FrontVerbs['health']['response'], 'demo' | 'timeStamps'> | undefined
  let asked = Number.NEGATIVE_INFINITY
  let answer: Promise<Readiness> | undefined

  let asking: Promise<FrontVerbs['health']['response']> | undefined

  /** One question at a time, so that strangers who ask for `info` take no worker's time from those who sign. */
  function askWorker() {
    asking ??= sam
      .call('health', {}, { deadlineMs: DEADLINE })
      .then((health) => {
        known = health
        return health
      })
      .finally(() => {
        asking = undefined
      })
    return asking
  }

  async function lookNow(): Promise<Readiness> {
    const [reads, worker] = await Promise.allSettled([db.alive(), askWorker()])
    const health = worker.status === 'fulfilled' ? worker.value : undefined
    const parts = {
      database: part(reads.status === 'fulfilled' && health?.database !== false),
      worker: part(health !== undefined),
      device: part(health?.device),
      clock: part(health?.clock),
      log: part(health?.log),
    }
    return { status: Object.values(parts).every((one) => one === 'up') ? 'ready' : 'unavailable', parts }
  }

  return {
    look() {
      const age = clock.now() - asked
      if (answer === undefined || age < 0 || age >= FRESH) {
        asked = clock.now()
        answer = lookNow()
      }
      return answer
    },
    async demo() {
      return (known ?? (await askWorker())).demo
    },
    async timeStamps() {
      return (known ?? (await askWorker())).timeStamps
    },
  }
}

function part(up: boolean | undefined): Part {
  return up === undefined ? 'unknown' : up ? 'up' : 'down'
}
