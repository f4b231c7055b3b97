import { connect, type Socket } from 'node:net'
import type { Logger } from 'pino'
import type { AnswerFrame, RequestFrame } from '../activation.js'
import { ERROR_CODES, ServiceError } from '../errors.js'
import { encodeFrame, FrameReader } from '../frames.js'
import { describeError } from './describe-error.js'

const FIRST_PAUSE = 50
const LONGEST_PAUSE = 1000
const CODES: ReadonlySet<string> = new Set(ERROR_CODES)

interface Waiting {
  readonly resolve: (answer: unknown) => void
  readonly reject: (error: ServiceError) => void
  readonly timer: NodeJS.Timeout
}

function unavailable(): ServiceError {
  return new ServiceError('unavailable', { retryAfter: 1 })
}

function errorOf({ code, detail, retryAfter }: Extract<AnswerFrame, { error: unknown }>['error']): ServiceError {
  return new ServiceError(CODES.has(code) ? code : 'internal', {
    ...(detail === undefined ? {} : { detail }),
    ...(retryAfter === undefined ? {} : { retryAfter }),
  })
}

/** One worker's socket: connected whenever it can be, many requests in flight, answers in any order. */
export class SamConnection {
  readonly #path: string
  readonly #logger: Logger
  readonly #waiting = new Map<number, Waiting>()
  #socket: Socket | undefined
  #live = false
  #closed = false
  #nextId = 1
  #pause = FIRST_PAUSE
  #retry: NodeJS.Timeout | undefined
  #unsent: Buffer[] = []
  #idle: (() => void) | undefined
  /** `performance.now()` of the last time this worker said that it cannot work, or said nothing in time. */
  failedAt = Number.NEGATIVE_INFINITY

  constructor(path: string, logger: Logger) {
    this.#path = path
    this.#logger = logger
    this.#connect()
  }

  get live(): boolean {
    return this.#live
  }

  get inFlight(): number {
    return this.#waiting.size
  }

  /**
   * @throws ServiceError what the worker answered; `unavailable` when the connection breaks or nothing comes in time. The
   *   worker may then still have done it.
   */
  call(verb: string, body: unknown, deadlineMs: number): Promise<unknown> {
    const id = this.#nextId++
    const request: RequestFrame = { id, verb, body }
    return new Promise((resolve, reject) => {
      this.#send(encodeFrame(request))
      const timer = setTimeout(() => this.#late(id), deadlineMs)
      this.#waiting.set(id, { resolve, reject, timer })
    })
  }

  /** Ends the connection once nothing is in flight any more. */
  async close(): Promise<void> {
    this.#closed = true
    clearTimeout(this.#retry)
    if (this.#waiting.size > 0) await new Promise<void>((resolve) => (this.#idle = resolve))
    this.#socket?.destroy()
  }

  /** Everything that is sent in one turn of the event loop leaves in one write. */
  #send(frame: Buffer): void {
    this.#unsent.push(frame)
    if (this.#unsent.length > 1) return
    setImmediate(() => {
      const frames = this.#unsent
      this.#unsent = []
      if (this.#live) this.#socket?.write(frames.length === 1 ? (frames[0] as Buffer) : Buffer.concat(frames))
    })
  }

  #connect(): void {
    const reader = new FrameReader()
    const socket = connect(this.#path)
    this.#socket = socket
    socket.on('connect', () => {
      this.#live = true
      this.#pause = FIRST_PAUSE
      this.failedAt = Number.NEGATIVE_INFINITY
    })
    socket.on('data', (chunk) => {
      try {
        for (const frame of reader.push(chunk)) this.#answer(frame as AnswerFrame)
      } catch (error) {
        this.#logger.error({ error: describeError(error) }, 'a SAM worker does not keep to the protocol')
        socket.destroy()
      }
    })
    socket.on('error', () => undefined)
    socket.on('close', () => this.#lost())
  }

  #answer(frame: AnswerFrame): void {
    // Made before the call is taken: a frame that is no answer must leave its call to the breaking connection.
    const error = 'ok' in frame ? undefined : errorOf(frame.error)
    const waiting = this.#take(frame.id)
    if (waiting === undefined) return
    if (error?.code === 'unavailable') this.failedAt = performance.now()
    if ('ok' in frame) waiting.resolve(frame.ok)
    else waiting.reject(error as ServiceError)
  }

  #late(id: number): void {
    this.failedAt = performance.now()
    this.#take(id)?.reject(unavailable())
  }

  #take(id: number): Waiting | undefined {
    const waiting = this.#waiting.get(id)
    if (waiting === undefined) return undefined
    this.#waiting.delete(id)
    clearTimeout(waiting.timer)
    if (this.#waiting.size === 0) this.#idle?.()
    return waiting
  }

  #lost(): void {
    this.#live = false
    this.#unsent = []
    for (const id of [...this.#waiting.keys()]) this.#take(id)?.reject(unavailable())
    if (this.#closed) return
    this.#retry = setTimeout(() => this.#connect(), this.#pause)
    this.#retry.unref()
    this.#pause = Math.min(this.#pause * 2, LONGEST_PAUSE)
  }
}
