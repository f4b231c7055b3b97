import { newBoot } from '../audit/boot.js'
import type { AuditEvent, FrontEventName } from '../audit/event.js'
import { LimitedLog } from '../audit/limited-log.js'
import type { Clock } from '../clock.js'
import type { SamClient } from './sam-client.js'

/**
 * The front's log, which has itself announced by a SAM worker before its first entry: the database takes nothing from a
 * front that no worker has vouched for. Database and workers need not be there when it is made; until both are, appending
 * rejects with `unavailable`.
 */
export class AnnouncedLog {
  readonly #sam: Pick<SamClient, 'call'>
  readonly #log: LimitedLog<'front'>
  #ready: Promise<void> | undefined

  constructor(options: { url: string; node: string; clock: Clock; sam: Pick<SamClient, 'call'> }) {
    this.#sam = options.sam
    this.#log = new LimitedLog('front', {
      url: options.url,
      boot: newBoot('front', options.node),
      clock: options.clock,
    })
  }

  /** Durable when it resolves. @throws ServiceError `unavailable`, `overloaded` */
  async append(event: AuditEvent<FrontEventName>): Promise<void> {
    await this.prepare()
    await this.#log.append(event)
  }

  /** Announces and connects, once; a failed attempt is made again by the next caller. */
  prepare(): Promise<void> {
    this.#ready ??= this.#prepare().catch((error: unknown) => {
      this.#ready = undefined
      throw error
    })
    return this.#ready
  }

  async close(): Promise<void> {
    if (this.#ready === undefined) return
    await this.#ready.catch(() => {})
    await this.#log.close()
  }

  async #prepare(): Promise<void> {
    const { id, node, publicKey } = this.#log.boot
    await this.#sam.call('announce', { bootId: id, node, publicKey: publicKey.toString('base64') })
    await this.#log.open()
  }
}
