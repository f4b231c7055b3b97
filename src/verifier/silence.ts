import type { Finding } from './finding.js'

const HEARTBEAT_MS = 90_000
const SYNC_MS = 24 * 3600_000

/**
 * R6: while a keeper is up, nothing is written more than 90 seconds after its newest heartbeat, or a day after the
 * newest synchronization of a clock. A start of whatever process begins the first anew, since a crash leaves no stop; a
 * clock that was put forward explains as much of either as it was put forward by.
 */
export class Silence {
  readonly #up = new Set<string>()
  readonly #incomplete: Finding[] = []
  readonly #beats: Recurring
  readonly #syncs: Recurring
  /** Time of the latest entry that says that no clock is synchronised. */
  #unsynced = 0

  constructor(fault: (finding: Finding) => void) {
    this.#beats = new Recurring(HEARTBEAT_MS, ({ index, late }) => {
      fault({ rule: 'R6', index, what: `the keeper was silent for ${Math.round(late / 1000)} seconds` })
    })
    this.#syncs = new Recurring(SYNC_MS, ({ index, since }) => {
      const finding: Finding = { rule: 'R6', index, what: 'no clock was synchronized for a day' }
      if (this.#unsynced < since) fault(finding)
      else this.#incomplete.push({ ...finding, what: `${finding.what}, and the log says so: its times are not sure` })
    })
  }

  start(keeper: string | undefined, t: number): void {
    if (this.#up.size === 0) this.#syncs.came(t)
    if (keeper !== undefined) this.#up.add(keeper)
    this.#beats.came(t)
  }

  stop(boot: string): void {
    this.#up.delete(boot)
    if (this.#up.size === 0) this.finish()
  }

  beat(t: number): void {
    this.#beats.came(t)
  }

  sync(t: number): void {
    this.#syncs.came(t)
  }

  unsynced(t: number): void {
    this.#unsynced = Math.max(this.#unsynced, t)
  }

  /** @param by milliseconds by which a clock was put forward; not more than 0 when it was put back */
  step(t: number, by: number): void {
    this.#beats.moved(t, by)
    this.#syncs.moved(t, by)
  }

  /** @param latest time of an entry, the latest since the last of the above */
  wrote(index: number, latest: number): void {
    if (this.#up.size === 0) return
    this.#beats.asked(index, latest)
    this.#syncs.asked(index, latest)
  }

  /** @returns what cannot be judged */
  finish(): readonly Finding[] {
    this.#beats.finish()
    this.#syncs.finish()
    return this.#incomplete
  }
}

/** The entry that first came too late, when what should have come before it came last, and how long ago that was at the most. */
interface Late {
  readonly index: number
  readonly since: number
  late: number
}

/** Something that has to come again within some time. */
class Recurring {
  readonly #within: number
  readonly #tell: (late: Late) => void
  #last = 0
  /** Not told yet: the clock may have been put forward. */
  #late: Late | undefined

  constructor(within: number, tell: (late: Late) => void) {
    this.#within = within
    this.#tell = tell
  }

  came(t: number): void {
    if (this.#late !== undefined && t > this.#late.since + this.#within) this.finish()
    this.#last = Math.max(this.#last, t)
  }

  moved(t: number, by: number): void {
    this.#last = Math.max(this.#last, Math.min(t, this.#last + by))
    if (this.#late !== undefined && this.#late.late - by <= this.#within) this.#late = undefined
  }

  asked(index: number, t: number): void {
    const late = t - this.#last
    if (late <= this.#within) return
    this.#late ??= { index, since: this.#last, late }
    this.#late.late = Math.max(this.#late.late, t - this.#late.since)
  }

  finish(): void {
    if (this.#late !== undefined) this.#tell(this.#late)
    this.#late = undefined
  }
}
