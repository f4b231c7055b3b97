import { isIP } from 'node:net'
import type { FastifyInstance, FastifyRequest } from 'fastify'
import { ServiceError } from '../errors.js'
import type { Health } from './health.js'
import { originOf } from './origin.js'
import type { FrontServices } from './services.js'

const PATH = '/tsa'
const QUERY = 'application/timestamp-query'
const REPLY = 'application/timestamp-reply'
/** A query has a hash, a nonce and an OID. */
const LONGEST_QUERY = 4096

/**
 * RFC 3161 §3.4: time-stamps over HTTP, for programs on this machine that know no CSC, and for nobody else: nobody says who
 * he is here. Others ask `signatures/timestamp`.
 */
export function mountTimeStamps(app: FastifyInstance, { sam }: FrontServices, health: Health): void {
  void app.register(async (scope) => {
    scope.removeAllContentTypeParsers()
    scope.addContentTypeParser(QUERY, { parseAs: 'buffer', bodyLimit: LONGEST_QUERY }, (_request, body, done) =>
      done(null, body),
    )
    scope.route({
      method: 'POST',
      url: PATH,
      onRequest: async (request) => {
        if (!isLocal(request) || !(await health.timeStamps())) throw new ServiceError('not_found')
      },
      handler: async (request, reply) => {
        if (!(request.body instanceof Buffer)) throw new ServiceError('media_type_unsupported')
        const query = request.body.toString('base64')
        // Not as something that a worker has logged: whoever asks too often is counted here.
        const { response } = await sam.call('timeStampQuery', { origin: originOf(request), query })
        return reply.header('content-type', REPLY).send(Buffer.from(response, 'base64'))
      },
    })
  })
}

/** From this machine, and for no other: a proxy here says for whom. */
function isLocal({ socket, headers }: FastifyRequest): boolean {
  const address = socket.remoteAddress?.replace(/^::ffff:/, '') ?? ''
  const loopback = address === '::1' || (isIP(address) === 4 && address.startsWith('127.'))
  return loopback && headers['x-forwarded-for'] === undefined && headers.forwarded === undefined
}
