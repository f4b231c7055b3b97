import { chmodSync, rmSync } from 'node:fs'
import { createServer, type Server, type Socket } from 'node:net'
import type { Logger } from 'pino'
import type { AnswerFrame, RequestFrame } from '../activation.js'
import { ServiceError } from '../errors.js'
import { encodeFrame, FrameReader } from '../frames.js'
import { asServiceError } from './device.js'

export type FrameHandler = (frame: RequestFrame) => Promise<unknown>

/**
 * Answers frames on a unix socket, each by itself and in any order. What a
 * handler throws becomes an error frame: a ServiceError with its code, a device that is away as `unavailable`, anything else
 * as `internal`, with a line in the log.
 */
export class FrameServer {
  readonly #server: Server
  readonly #path: string
  readonly #sockets = new Set<Socket>()
  #under = 0
  #idle: (() => void) | undefined

  constructor(path: string, handle: FrameHandler, logger: Logger) {
    this.#path = path
    this.#server = createServer((socket) => this.#serve(socket, handle, logger))
  }

  /** @param mode of the socket: 0600, or 0660 where the other side runs as another user of the folder's group */
  async listen(mode: number): Promise<void> {
    rmSync(this.#path, { force: true })
    const mask = process.umask(0o177)
    try {
      await new Promise<void>((resolve, reject) => {
        this.#server.once('error', reject)
        this.#server.listen(this.#path, resolve)
      })
    } finally {
      process.umask(mask)
    }
    chmodSync(this.#path, mode)
  }

  /** Takes no further requests, waits for the ones under way, then closes. */
  async close(): Promise<void> {
    this.#server.close()
    if (this.#under > 0) await new Promise<void>((resolve) => (this.#idle = resolve))
    for (const socket of this.#sockets) socket.end()
  }

  #serve(socket: Socket, handle: FrameHandler, logger: Logger): void {
    const reader = new FrameReader()
    this.#sockets.add(socket)
    socket.on('close', () => this.#sockets.delete(socket))
    socket.on('error', () => socket.destroy())
    let pending: Buffer[] = []
    const send = (answer: AnswerFrame) => {
      let frame: Buffer
      try {
        frame = encodeFrame(answer)
      } catch {
        frame = encodeFrame({ id: answer.id, error: { code: 'internal' } })
      }
      pending.push(frame)
      if (pending.length > 1) return
      setImmediate(() => {
        const frames = pending
        pending = []
        if (socket.writable) socket.write(frames.length === 1 ? (frames[0] as Buffer) : Buffer.concat(frames))
      })
    }
    socket.on('data', (chunk) => {
      let frames: unknown[]
      try {
        frames = reader.push(chunk)
      } catch {
        socket.destroy()
        return
      }
      for (const frame of frames) {
        if (!isRequestFrame(frame)) {
          socket.destroy()
          return
        }
        this.#under++
        handle(frame)
          .then(
            (ok) => send({ id: frame.id, ok }),
            (error: unknown) => send({ id: frame.id, error: errorFrame(error, frame.verb, logger) }),
          )
          .finally(() => {
            this.#under--
            if (this.#under === 0) this.#idle?.()
          })
      }
    })
  }
}

function isRequestFrame(frame: unknown): frame is RequestFrame {
  if (typeof frame !== 'object' || frame === null) return false
  const { id, verb, operatorToken } = frame as Partial<RequestFrame>
  return (
    Number.isSafeInteger(id) &&
    typeof verb === 'string' &&
    (operatorToken === undefined || typeof operatorToken === 'string')
  )
}

function errorFrame(
  error: unknown,
  verb: string,
  logger: Logger,
): { code: ServiceError['code']; detail?: string; retryAfter?: number } {
  const translated = asServiceError(error)
  const known = translated instanceof ServiceError ? translated : new ServiceError('internal', { cause: translated })
  if (known.code === 'internal' || known.code === 'unavailable') {
    // Messages of our own and of the drivers; both are free of what requests carry.
    logger.error({ verb, code: known.code, cause: causeOf(known) }, 'a request failed')
  }
  return {
    code: known.code,
    ...(known.detail === undefined ? {} : { detail: known.detail }),
    ...(known.retryAfter === undefined ? {} : { retryAfter: known.retryAfter }),
  }
}

function causeOf(error: ServiceError): string | undefined {
  const { cause } = error
  if (!(cause instanceof Error)) return undefined
  const code = (cause as { code?: unknown }).code
  return `${cause.name}${typeof code === 'string' ? ` ${code}` : ''}: ${cause.message.slice(0, 200)}`
}
