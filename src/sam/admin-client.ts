import { createConnection } from 'node:net'
import type { AdminVerb, AdminVerbs, AnswerFrame, RequestFrame } from '../activation.js'
import { ServiceError } from '../errors.js'
import { encodeFrame, FrameReader } from '../frames.js'

/** Long enough for an RSA-4096 key on a slow device. */
const DEADLINE_MS = 120_000

/**
 * One command to a SAM worker, over its administration socket.
 * @throws ServiceError as the worker answers; `unavailable` when no worker listens there or it goes away
 */
export function callAdmin<V extends AdminVerb>(
  socketPath: string,
  operatorToken: string,
  verb: V,
  body: AdminVerbs[V]['request'],
): Promise<AdminVerbs[V]['response']> {
  return new Promise((resolve, reject) => {
    const gone = (cause?: unknown) =>
      reject(new ServiceError('unavailable', { detail: 'no SAM worker answers', retryAfter: 1, cause }))
    const socket = createConnection(socketPath)
    const reader = new FrameReader()
    const timer = setTimeout(() => socket.destroy(new Error('no answer in time')), DEADLINE_MS)
    socket.on('error', gone)
    socket.on('close', () => {
      clearTimeout(timer)
      gone()
    })
    socket.on('data', (chunk) => {
      for (const frame of reader.push(chunk) as AnswerFrame[]) {
        if ('error' in frame) {
          const { code, detail, retryAfter } = frame.error
          reject(
            new ServiceError(code, {
              ...(detail === undefined ? {} : { detail }),
              ...(retryAfter === undefined ? {} : { retryAfter }),
            }),
          )
        } else resolve(frame.ok as AdminVerbs[V]['response'])
        socket.end()
      }
    })
    socket.write(encodeFrame({ id: 1, verb, body, operatorToken } satisfies RequestFrame))
  })
}
