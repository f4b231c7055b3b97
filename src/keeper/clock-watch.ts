import type { AuditEvent } from '../audit/event.js'
import type { Clock } from '../clock.js'
import type { ClockQuality, ReadClockQuality } from '../kernel-clock.js'

/** Between two looks the wall clock and the monotonic one move alike, unless somebody moves the wall clock by more than this. */
const STEP_MS = 1000
/** How far this machine's clock and the database's may be apart for the one to confirm the other; more, and no worker signs. */
const APART_MS = 2000
const TELL_MS = 3600_000
/** What is unsynchronised no longer than this is waited out: a service that sets clocks is being restarted. */
const PATIENCE_MS = 600_000

export type ClockEvent = AuditEvent<'clock.sync' | 'clock.step' | 'clock.unsynced'>

/**
 * What there is to write of this machine's clock: at the start, each hour, and when something changes. A clock counts as
 * synchronised when the system says so and the database's clock agrees with it.
 */
export class ClockWatch {
  readonly #clock: Clock
  readonly #quality: ReadClockQuality
  readonly #monotonic: () => number
  /** Wall time less monotonic time, at the last look. */
  #ahead: number | undefined
  /** Whether the clock was told to be synchronised, by what was told last. */
  #told: boolean | undefined
  /** Monotonic time at which the clock was last seen to be as it was told, and from which it is told anew. */
  #good = Number.NEGATIVE_INFINITY
  #due = Number.NEGATIVE_INFINITY

  /** @param monotonic milliseconds from whenever; nobody sets it */
  constructor(clock: Clock, quality: ReadClockQuality, monotonic: () => number = () => performance.now()) {
    this.#clock = clock
    this.#quality = quality
    this.#monotonic = monotonic
  }

  /** The step by which the clock was moved since the last look, forward or (negative) back; undefined when it was not. */
  step(): ClockEvent | undefined {
    const ahead = this.#clock.now() - this.#monotonic()
    const step = this.#ahead === undefined ? 0 : Math.round(ahead - this.#ahead)
    this.#ahead = ahead
    if (Math.abs(step) <= STEP_MS) return undefined
    this.#due = Number.NEGATIVE_INFINITY
    return { type: 'clock.step', outcome: 'ok', actor: { kind: 'system' }, facts: { step } }
  }

  /** @param databaseNow asks the database for its time; asked only when something may have to be told */
  async state(databaseNow: () => Promise<Date>): Promise<ClockEvent | undefined> {
    const quality = this.#quality()
    const now = this.#monotonic()
    if (now < this.#due && quality.synchronized === this.#told) {
      this.#good = now
      return undefined
    }
    const before = this.#clock.now()
    const database = Math.round((await databaseNow()).getTime() - (before + this.#clock.now()) / 2)
    const why = whyUnsynchronized(quality, database)
    if (now < this.#due && (why === undefined) === this.#told) return undefined
    if (why !== undefined && this.#told && now - this.#good < PATIENCE_MS) return undefined
    this.#told = why === undefined
    this.#good = now
    this.#due = now + TELL_MS
    const { source, offset, error } = quality
    const common = { actor: { kind: 'system' }, facts: { source, offset, error, database } } as const
    return why === undefined
      ? { type: 'clock.sync', outcome: 'ok', ...common }
      : { type: 'clock.unsynced', outcome: 'failed', why, ...common }
  }
}

function whyUnsynchronized({ source, synchronized }: ClockQuality, apart: number): string | undefined {
  if (source === 'none') return 'not_known'
  if (!synchronized) return 'not_synchronized'
  return Math.abs(apart) > APART_MS ? 'clocks_disagree' : undefined
}
