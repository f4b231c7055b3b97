import type { Clock } from '../clock.js'
import type { Boot } from './boot.js'
import type { AuditEvent, FrontEventName } from './event.js'
import { GroupCommit } from './group-commit.js'
import { entryValues, logItem, openingValues, Sequence } from './sequence.js'

/**
 * The log as a front may write it: reads, refusals and its own end. The database lets the front's role append nothing
 * else (audit.append_front), and nothing under a boot that a SAM worker has not announced for a front.
 */
export class FrontLog {
  readonly #commits: GroupCommit<undefined>
  readonly #clock: Clock
  readonly boot: Boot

  constructor(options: { url: string; boot: Boot; clock: Clock }) {
    this.#clock = options.clock
    this.boot = options.boot
    this.#commits = new GroupCommit({
      url: options.url,
      sequence: new Sequence(options.boot, options.clock),
      statement: (flush) => ({
        name: 'append_front',
        text: `select first + n - 1 as idx, 0 as why
                 from (select audit.append_front($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15) as first) a,
                      generate_series(1, cardinality($5::uuid[])) as n order by n`,
        values: [...entryValues(options.boot, flush), ...openingValues(flush)],
      }),
    })
  }

  open(): Promise<void> {
    return this.#commits.open()
  }

  get connected(): boolean {
    return this.#commits.connected
  }

  /** Durable when it resolves. @throws ServiceError `unavailable` or `overloaded` */
  async append(event: AuditEvent<FrontEventName>): Promise<void> {
    await this.#commits.append(logItem(event, this.#clock.now()))
  }

  /** Writes that this writer ends, and disconnects. */
  async close(): Promise<void> {
    await this.append({ type: 'audit.stop', outcome: 'ok', actor: { kind: 'system' } }).catch(() => {})
    await this.#commits.close()
  }
}
