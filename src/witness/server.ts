import Fastify from 'fastify'
import type { Logger } from 'pino'
import type { Witness, WitnessAnswer } from './witness.js'

/** A request has at most 63 hashes and a note; much more is none. */
const LARGEST = 64 * 1024

/**
 * The witness over HTTP: both prefixes of C2SP tlog-witness are the root.
 * @returns where it listens, and how to stop it
 */
export async function serveWitness(
  witness: Witness,
  options: { host: string; port: number; logger: Logger },
): Promise<{ url: string; close(): Promise<void> }> {
  const { host, port, logger } = options
  const app = Fastify({ bodyLimit: LARGEST, forceCloseConnections: true })
  app.removeAllContentTypeParsers()
  app.addContentTypeParser('*', { parseAs: 'buffer' }, (_, body, done) => done(null, body))
  app.post('/add-checkpoint', (request, reply) => {
    const answer = witness.addCheckpoint(Buffer.isBuffer(request.body) ? request.body.toString('utf8') : '')
    if (answer.status === 422) logger.error({ from: request.ip }, 'a log showed a tree that does not continue the last')
    else if (answer.status !== 200) logger.warn({ from: request.ip, status: answer.status }, 'nothing was cosigned')
    return send(reply, answer)
  })
  app.get<{ Params: { hash: string } }>('/:hash/checkpoint', (request, reply) => {
    return send(reply, witness.checkpoint(request.params.hash))
  })
  app.setErrorHandler((error: { statusCode?: number; message: string }, _, reply) => {
    const status = error.statusCode ?? 500
    // A checkpoint that could not be remembered was not cosigned.
    if (status >= 500) logger.error({ cause: error.message }, 'a request failed')
    return reply.status(status).type('text/plain; charset=utf-8').send('refused\n')
  })
  const url = await app.listen({ host, port })
  return { url, close: () => app.close() }
}

interface Reply {
  status(code: number): this
  type(contentType: string): this
  send(text: string): this
}

function send(reply: Reply, { status, type, text }: WitnessAnswer): Reply {
  return reply
    .status(status)
    .type(type ?? 'text/plain; charset=utf-8')
    .send(text)
}
