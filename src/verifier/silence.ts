import type { Finding } from './finding.js'

const HEARTBEAT_MS = 90_000
const SYNC_MS = 24 * 3600_000

/**
 * R6: while a keeper is up, nothing is written more than 90 seconds after its newest heartbeat, or a day after the
 * newest synchronization of a clock. A start of whatever process begins both anew, since a crash leaves no stop.
 */
export class Silence {
  readonly #fault: (finding: Finding) => void
  readonly #up = new Set<string>()
  #beat = 0
  #sync = 0

  constructor(fault: (finding: Finding) => void) {
    this.#fault = fault
  }

  start(keeper: string | undefined, t: number): void {
    if (this.#up.size === 0) this.#sync = t
    if (keeper !== undefined) this.#up.add(keeper)
    this.#beat = Math.max(this.#beat, t)
  }

  stop(boot: string): void {
    this.#up.delete(boot)
  }

  beat(t: number): void {
    this.#beat = Math.max(this.#beat, t)
  }

  sync(t: number): void {
    this.#sync = Math.max(this.#sync, t)
  }

  /** @param latest time of an entry, the latest since the last of the above */
  wrote(index: number, latest: number): void {
    if (this.#up.size === 0) return
    const silent = latest - this.#beat
    const wrong = (what: string) => this.#fault({ rule: 'R6', index, what })
    if (silent > HEARTBEAT_MS) wrong(`the keeper was silent for ${Math.round(silent / 1000)} seconds`)
    if (latest - this.#sync > SYNC_MS) wrong('no clock was synchronized for a day')
  }
}
