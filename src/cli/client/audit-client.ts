/** An auditor's side of the audit API, which knows the service only by its address. */
import { type Answer, call, object, serviceAddress } from './call.js'
import { CscError } from './csc-error.js'

/** What an export begins with. */
export interface Export {
  /** Opens its parts, for an hour. */
  readonly ticket: string
  readonly size: number
  /** The signed note that the pack ends with. */
  readonly checkpoint: string
}

export type ExportPart = 'entries' | 'openings' | 'flushes' | 'checkpoints' | 'anchors'

/** How often a page is asked for again that did not come, with a pause that doubles, in milliseconds. */
const TRIES = 6
const FIRST_PAUSE = 500

/** Safe to use from several places at once. */
export class AuditClient {
  readonly #base: URL
  readonly #wait: (milliseconds: number) => Promise<void>

  /**
   * @param address the service's
   * @param wait pauses
   * @throws RangeError when it is not http or https, or http to another computer
   */
  constructor(address: string, wait: (milliseconds: number) => Promise<void>) {
    const url = serviceAddress(address)
    this.#base = new URL(`${url.pathname.replace(/\/+$/, '')}/audit/v1/`, url)
    this.#wait = wait
  }

  /**
   * Begins an export, which is an entry of the log.
   * @param size of a checkpoint; the newest that fits when absent
   * @throws CscError
   */
  async begin(token: string, size: number | undefined): Promise<Export> {
    const method = size === undefined ? 'exports' : `exports?size=${size}`
    // A service that is not there at all is told at once.
    const answer = await this.#ask(method, token, {}, ({ status }) => status !== undefined)
    const { ticket, size: given, checkpoint } = object(answer.body) ?? {}
    if (typeof ticket !== 'string' || !Number.isSafeInteger(given) || typeof checkpoint !== 'string')
      throw unexpected('exports', answer)
    return { ticket, size: given as number, checkpoint }
  }

  /** Everything of one part, in its order; the next page is on its way while one is used. @throws CscError */
  async *read(begun: Export, part: ExportPart): AsyncGenerator<Record<string, unknown>> {
    let ahead: Promise<Page> | undefined = this.#page(begun, part, undefined)
    while (ahead !== undefined) {
      const { items, last }: Page = await ahead
      ahead = last === undefined ? undefined : this.#page(begun, part, last)
      // Whoever stops reading leaves one that may fail.
      ahead?.catch(() => undefined)
      yield* items
    }
  }

  async #page({ ticket, size }: Export, part: ExportPart, after: number | undefined): Promise<Page> {
    const answer = await this.#ask('exports/read', ticket, { part, size, ...(after === undefined ? {} : { after }) })
    const { items, last } = object(answer.body) ?? {}
    const known = Array.isArray(items) ? items.map(object) : []
    const whole = Array.isArray(items) && known.every((item) => item !== undefined)
    if (!whole || !(last === undefined || (Number.isSafeInteger(last) && items.length > 0)))
      throw unexpected('exports/read', answer)
    return { items: known as Record<string, unknown>[], last: last as number | undefined }
  }

  async #ask(method: string, bearer: string, body: object, mayPass = (_: CscError) => true): Promise<Answer> {
    const url = new URL(method, this.#base)
    const authorization = `Bearer ${bearer}`
    for (let left = TRIES - 1, pause = FIRST_PAUSE; ; left--, pause *= 2) {
      try {
        return await call({ url, authorization, body, timeOut: 60_000, repeat: 'repeatable' })
      } catch (error) {
        if (!(error instanceof CscError && error.retryable && mayPass(error)) || left === 0) throw error
        await this.#wait(Math.max(pause, 1000 * (error.retryAfter ?? 0)))
      }
    }
  }
}

interface Page {
  readonly items: readonly Record<string, unknown>[]
  /** Names the last of them to whoever asks for what comes after; absent when nothing does. */
  readonly last: number | undefined
}

function unexpected(method: string, { requestId }: Answer): CscError {
  return new CscError(`the service's answer to ${method} is not as openapi.yaml has it`, {
    requestId,
    retryable: false,
  })
}
