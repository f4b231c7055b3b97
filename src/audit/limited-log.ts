import type { Clock } from '../clock.js'
import type { Boot } from './boot.js'
import type { AuditEvent, EventOf } from './event.js'
import { GroupCommit } from './group-commit.js'
import type { OwnEntries } from './own-entries.js'
import { entryValues, logItem, openingValues, Sequence } from './sequence.js'

/**
 * The log as a writer has it whose role may write certain events only: a front its reads, refusals and own end, a keeper
 * what it sees of the log. The database takes no others from it (audit.append_front, audit.append_keeper), and none
 * under a boot that is not announced.
 */
export class LimitedLog<Kind extends 'front' | 'keeper'> {
  readonly #commits: GroupCommit<undefined>
  readonly #clock: Clock
  readonly boot: Boot

  constructor(kind: Kind, options: { url: string; boot: Boot; clock: Clock; own?: OwnEntries }) {
    this.#clock = options.clock
    this.boot = options.boot
    this.#commits = new GroupCommit({
      url: options.url,
      sequence: new Sequence(options.boot, options.clock, options.own),
      statement: (flush) => ({
        name: `append_${kind}`,
        text: `select first + n - 1 as idx, 0 as why
                 from (select audit.append_${kind}($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15) as first) a,
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
  async append(event: AuditEvent<EventOf<Kind>>): Promise<void> {
    await this.#commits.append(logItem(event, this.#clock.now()))
  }

  /** Writes that this writer ends, and disconnects. */
  async close(): Promise<void> {
    const end: AuditEvent<'audit.stop'> = { type: 'audit.stop', outcome: 'ok', actor: { kind: 'system' } }
    await this.#commits.append(logItem(end, this.#clock.now())).catch(() => {})
    await this.#commits.close()
  }
}
