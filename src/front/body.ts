import type { FastifyInstance, FastifyRequest } from 'fastify'
import { ServiceError } from '../errors.js'

/** Largest request body in bytes. */
export const BODY_LIMIT = 256 * 1024

const JSON_TYPE = 'application/json'
const utf8 = new TextDecoder('utf-8', { fatal: true })

/**
 * Takes bodies of JSON in UTF-8 and nothing else; members that would reach an object's prototype are refused. An empty
 * body has no type and is undefined.
 */
export function takeJson(app: FastifyInstance): void {
  const parseJson = app.getDefaultJsonParser('error', 'error') as (
    request: FastifyRequest,
    text: string,
    done: (error: Error | null, value?: unknown) => void,
  ) => void

  // Fastify would refuse a strange content type even where there is no body for it to describe.
  app.addHook('onRequest', async ({ headers }) => {
    if (headers['transfer-encoding'] === undefined && (headers['content-length'] ?? '0') === '0')
      delete headers['content-type']
  })

  app.removeAllContentTypeParsers()
  app.addContentTypeParser('*', { parseAs: 'buffer' }, (request, body, done) => {
    if (body.length === 0) return done(null, undefined)
    if (!isJson(request)) return done(new ServiceError('media_type_unsupported'))
    const text = decode(body as Buffer)
    if (text === undefined) return done(new ServiceError('request_malformed'))
    // The parser's error quotes the body.
    parseJson(request, text, (error, value) =>
      error === null ? done(null, value) : done(new ServiceError('request_malformed')),
    )
  })
}

function isJson({ headers }: FastifyRequest): boolean {
  const [type, ...parameters] = (headers['content-type'] ?? '').split(';').map((part) => part.trim().toLowerCase())
  const charset = parameters.find((parameter) => parameter.startsWith('charset='))
  const encoding = headers['content-encoding'] ?? 'identity'
  return (
    type === JSON_TYPE && (charset === undefined || /^charset="?utf-?8"?$/.test(charset)) && encoding === 'identity'
  )
}

function decode(body: Buffer): string | undefined {
  try {
    return utf8.decode(body)
  } catch {
    return undefined
  }
}
