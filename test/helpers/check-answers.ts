/** Every answer of a test against the contract: nothing leaves that openapi.yaml does not describe. */
import type { ValidateFunction } from 'ajv'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { type ResponseObject, readOpenApi, resolve } from '../../src/front/openapi.js'
import { ajvOf, schemaAt } from '../../src/front/validate.js'

const { document } = readOpenApi()
const ajv = ajvOf(document)
const validators = new Map<string, ValidateFunction>()

/** Of answers that belong to no operation, by status. */
const EDGE: Readonly<Record<number, keyof (typeof document)['x-edge']>> = {
  404: 'unknownAddress',
  405: 'otherMethod',
  501: 'unknownMethod',
}

/** Turns each answer that the contract does not describe into status 599 with the reason. To be called before the first request. */
export function checkAnswers(app: FastifyInstance): void {
  app.addHook('onSend', async (request, reply, payload) => {
    const problem = problemOf(request, reply, payload)
    if (problem === undefined) return payload
    reply.code(599).header('content-type', 'text/plain')
    return `${request.method} ${request.url}: ${problem}`
  })
}

function problemOf(request: FastifyRequest, reply: FastifyReply, payload: unknown): string | undefined {
  const status = reply.statusCode
  if (typeof reply.getHeader('x-request-id') !== 'string') return 'no X-Request-Id'
  if (reply.getHeader('x-content-type-options') !== 'nosniff') return 'may be sniffed'
  if (status === 401 && !reply.hasHeader('www-authenticate')) return '401 without WWW-Authenticate'
  if (status === 405 && !reply.hasHeader('allow')) return '405 without Allow'
  if (status === 503 && !/^[1-9]\d*$/.test(String(reply.getHeader('retry-after')))) return '503 without Retry-After'
  if (request.method === 'OPTIONS' && status === 204)
    return reply.hasHeader('allow') ? undefined : 'OPTIONS without Allow'
  const described = describedAt(request, status)
  if (described === undefined) return `status ${status} is not described`
  const { pointer, response } = described
  const mediaTypes = Object.keys(response.content ?? {})
  const type = String(reply.getHeader('content-type') ?? '').split(';')[0]
  if (mediaTypes.length === 0)
    return payload === undefined || payload === null || payload === '' ? undefined : 'has a body'
  if (!mediaTypes.includes(type ?? '')) return `content type ${type}, described ${mediaTypes}`
  if (type !== 'application/json' || request.method === 'HEAD') return undefined
  const validate = validatorAt(`${pointer}/content/application~1json/schema`)
  return validate(JSON.parse(String(payload))) ? undefined : `${ajv.errorsText(validate.errors)} in ${String(payload)}`
}

function describedAt(
  request: FastifyRequest,
  status: number,
): { pointer: string; response: ResponseObject } | undefined {
  const edge = EDGE[status]
  if (request.is404) return edge === undefined ? undefined : located(`#/x-edge/${edge}`, document['x-edge'][edge])
  const path = (request.routeOptions.url ?? '').replace('*', '{rest}').replaceAll(/:(\w+)/g, '{$1}')
  const method = request.method === 'POST' ? 'post' : 'get'
  const response = document.paths[path]?.[method]?.responses[String(status)]
  if (response === undefined) return undefined
  return located(`#/paths/${path.replaceAll('~', '~0').replaceAll('/', '~1')}/${method}/responses/${status}`, response)
}

function located(pointer: string, response: ResponseObject): { pointer: string; response: ResponseObject } {
  return { pointer: response.$ref ?? pointer, response: resolve(document, response) }
}

function validatorAt(pointer: string): ValidateFunction {
  let validate = validators.get(pointer)
  if (validate === undefined) {
    validate = schemaAt(ajv, pointer)
    validators.set(pointer, validate)
  }
  return validate
}
