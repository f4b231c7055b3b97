import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { Logger } from 'pino'
import { ServiceError } from '../errors.js'
import { isCaller } from '../identity/caller.js'
import type { Operation } from './contract.js'
import { toCscError } from './csc/errors.js'
import { describeError } from './describe-error.js'
import { originOf, pathOf } from './origin.js'
import { PROOF_ALGORITHMS } from './proof.js'
import type { Refusals } from './refusals.js'
import { WorkerRefusal } from './worker.js'

const HEADERS = {
  'cache-control': 'no-store',
  'x-content-type-options': 'nosniff',
  'referrer-policy': 'no-referrer',
  'content-security-policy': "default-src 'none'; frame-ancestors 'none'",
}

/** What every answer carries, also one that Fastify gives before any hook ran. */
export function dress(request: Pick<FastifyRequest, 'id'>, reply: FastifyReply): FastifyReply {
  return reply.headers(HEADERS).header('x-request-id', request.id)
}

/** The addresses of the contract. */
export interface Addresses {
  /** The path of the contract that this one is, and its methods, as `Allow` tells them. */
  find(path: string): { readonly path: string; readonly methods: string } | undefined
}

export function addressesOf(operations: readonly Operation[]): Addresses {
  const allowed = new Map<string, string[]>()
  for (const { path, method, oauth } of operations) {
    const methods = allowed.get(path) ?? []
    // A look at an authorization request would use it up.
    methods.push(...(method === 'GET' && !oauth ? ['GET', 'HEAD'] : [method]))
    allowed.set(path, methods)
  }
  const addresses = new Map([...allowed].map(([path, methods]) => [path, { path, methods: methods.join(', ') }]))
  const patterns = [...addresses.values()]
    .filter(({ path }) => path.includes('{'))
    .map((address) => ({
      address,
      pattern: new RegExp(
        `^${address.path
          .replaceAll('.', '\\.')
          .replace('{rest}', '.+')
          .replaceAll(/\{\w+\}/g, '[^/]+')}$`,
      ),
    }))
  return {
    find: (path) => addresses.get(path) ?? patterns.find(({ pattern }) => pattern.test(path))?.address,
  }
}

/**
 * Refuses what no operation takes, before a body is read: 405 on a path of the contract, 501 under `/csc`, else 404.
 * OPTIONS tells the methods.
 */
export function guardEdge(app: FastifyInstance, addresses: Addresses): void {
  app.addHook('onRequest', async (request, reply) => {
    dress(request, reply)
    if (!request.is404) return undefined
    const path = pathOf(request.url)
    const address = addresses.find(path)
    if (address !== undefined) {
      reply.header('allow', address.methods)
      if (request.method === 'OPTIONS') return reply.code(204).send()
      throw new ServiceError('verb_not_allowed')
    }
    throw new ServiceError(path === '/csc' || path.startsWith('/csc/') ? 'method_unknown' : 'not_found')
  })
}

export interface ErrorServices {
  readonly logger: Logger
  readonly refusals: Refusals
  readonly addresses: Addresses
}

/**
 * What went wrong, in our words; one log line for what was not expected, and a note of every refusal that no worker saw.
 * @param endpoint what the log calls the address
 */
export function noteRefusal(
  services: ErrorServices,
  thrown: unknown,
  request: FastifyRequest,
  endpoint: string,
): ServiceError {
  const error = asServiceError(thrown)
  const origin = originOf(request)
  const { status } = toCscError(origin.api, error)
  if (status === 500) {
    services.logger.error(
      { requestId: request.id, endpoint, error: describeError(error) },
      'a request failed unexpectedly',
    )
  } else if (status !== 503 && !(error instanceof WorkerRefusal)) {
    const { caller } = request
    services.refusals.note({
      origin,
      actor:
        caller === undefined
          ? { kind: 'anonymous' }
          : isCaller(caller)
            ? { kind: 'signer', id: caller.signerId }
            : { kind: 'client', id: caller.clientId },
      client: caller?.clientId,
      endpoint,
      code: error.code,
      status,
    })
  }
  return error
}

/** One answer of the API for every error. */
export function answerError(
  services: ErrorServices,
  thrown: unknown,
  request: FastifyRequest,
  reply: FastifyReply,
): FastifyReply {
  const endpoint = services.addresses.find(pathOf(request.url))?.path ?? 'unknown'
  const error = noteRefusal(services, thrown, request, endpoint)
  const { status, body } = toCscError(originOf(request).api, error)
  if (status === 401) reply.header('www-authenticate', challenge(error))
  const retryAfter = error.retryAfter ?? (status === 503 ? 1 : undefined)
  if (retryAfter !== undefined) reply.header('retry-after', String(Math.max(1, Math.ceil(retryAfter))))
  return reply.code(status).header('content-type', 'application/json; charset=utf-8').send(JSON.stringify(body))
}

function challenge({ code }: ServiceError): string {
  if (code === 'login_malformed') return 'Basic realm="paraph", charset="UTF-8"'
  return code === 'proof_invalid'
    ? `DPoP realm="paraph", error="invalid_dpop_proof", algs="${PROOF_ALGORITHMS.join(' ')}"`
    : 'Bearer realm="paraph", error="invalid_token"'
}

/** Fastify's own refusals in our words; whatever else it is was not expected. */
function asServiceError(thrown: unknown): ServiceError {
  if (thrown instanceof ServiceError) return thrown
  const { code, statusCode } = (thrown ?? {}) as { code?: unknown; statusCode?: unknown }
  if (code === 'FST_ERR_CTP_BODY_TOO_LARGE') return new ServiceError('body_too_large')
  if (code === 'FST_ERR_CTP_INVALID_MEDIA_TYPE') return new ServiceError('media_type_unsupported')
  const theirs = typeof statusCode === 'number' && statusCode >= 400 && statusCode < 500
  return theirs ? new ServiceError('request_malformed') : new ServiceError('internal', { cause: thrown })
}
