import cookies from '@fastify/cookie'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type Provider from 'oidc-provider'
import type { errors, KoaContextWithOIDC } from 'oidc-provider'
import type { Origin } from '../../activation.js'
import type { ErrorCode } from '../../errors.js'
import { type Bearer, isCaller } from '../../identity/caller.js'
import { secretHash } from '../../identity/secret-value.js'
import { Lane } from '../../lane.js'
import type { BearerCheck } from '../bearer.js'
import { describeError } from '../describe-error.js'
import type { ErrorServices } from '../edge.js'
import type { Health } from '../health.js'
import { originOf, pathOf } from '../origin.js'
import type { PortalServices } from '../portal/portal.js'
import type { FrontServices } from '../services.js'
import { askWorker, WorkerRefusal } from '../worker.js'
import { callOf, rememberCall } from './adapter.js'
import { answerFailure, renderFailure, wantsPage } from './error-page.js'
import { toldError } from './errors.js'
import { makeProvider, SESSION_COOKIE } from './provider.js'
import { SCOPES, scopesOffered } from './wish.js'

/** The OAuth 2 server of this front, made at first use: its secret comes from a worker. */
export interface OAuthServer {
  /** @throws ServiceError `unavailable`, `overloaded` */
  provider(): Promise<Provider>
  /**
   * Ends the grant of a refresh token that was issued here to this very caller.
   * @returns whether there was one. @throws ServiceError
   */
  revokeRefreshToken(caller: Bearer, origin: Origin, token: string): Promise<boolean>
}

/** Where the one server is found: by its metadata, and beside each version of the API. */
const BASES = ['', '/csc/v1', '/csc/v2'] as const
type Base = (typeof BASES)[number]

const PATHS = [
  ['GET', '/oauth2/authorize'],
  // The way back from our page.
  ['GET', '/oauth2/authorize/:uid'],
  ['POST', '/oauth2/token'],
  ['POST', '/oauth2/revoke'],
  ['POST', '/oauth2/pushed_authorize'],
] as const

const METADATA = '/.well-known/oauth-authorization-server'
/**
 * Requests that the server looks at at once. Anybody can make it read the database, one read after the other, and this
 * leaves most places there to callers who are known.
 */
const AT_ONCE = 16
const MOST_WAITING = 112

const BACK_CHANNEL = ['token', 'revocation', 'pushed_authorization_request']

export function oauthServer(
  services: FrontServices,
  errors: ErrorServices,
  bearer: BearerCheck,
  health: Health,
): OAuthServer {
  let made: Promise<Provider> | undefined
  async function make(): Promise<Provider> {
    const { secret } = await services.sam.call('frontSecret', {})
    // Only a demo has a certificate authority of its own.
    const certifies = await health.demo()
    const provider = makeProvider(services, Buffer.from(secret, 'base64'), certifies)
    return inOurWords(provider, scopesOffered(SCOPES, certifies), errors, bearer)
  }
  function provider(): Promise<Provider> {
    made ??= make().catch((error: unknown) => {
      made = undefined
      throw error
    })
    return made
  }
  return {
    provider,
    async revokeRefreshToken(caller, origin, token) {
      const { RefreshToken } = await provider()
      const found = await RefreshToken.find(token)
      const own = found?.clientId === caller.clientId && isCaller(caller) && found.accountId === caller.signerId
      if (!own || found.grantId === undefined) return false
      await askWorker(services.sam, 'revokeGrant', { origin, name: found.grantId, why: 'token_revoked' })
      await RefreshToken.revokeByGrantId(found.grantId)
      return true
    },
  }
}

/** The server's endpoints as routes of their own scope, which leaves bodies to it. */
export function mountOAuth(app: FastifyInstance, portal: PortalServices, server: OAuthServer): void {
  void app.register(async (scope) => {
    // For the language that was chosen on our pages.
    await scope.register(cookies)
    scope.removeAllContentTypeParsers()
    scope.addContentTypeParser('*', (_request, _payload, done) => done(null))
    const lane = new Lane({ atOnce: AT_ONCE, mostWaiting: MOST_WAITING })
    const handle = (base: Base) => (request: FastifyRequest, reply: FastifyReply) =>
      lane.run(() => serve(portal, server, base, request, reply))
    scope.route({ method: 'GET', url: METADATA, exposeHeadRoute: false, handler: handle('') })
    for (const base of BASES) {
      for (const [method, path] of PATHS) {
        const url = `${base}${path}`
        scope.route({ method, url, exposeHeadRoute: false, handler: handle(base), errorHandler: failed(portal) })
      }
    }
  })
}

const isForBrowser = ({ method, headers }: FastifyRequest) => method === 'GET' && wantsPage(headers.accept)

/** A page where a browser asks; else as everywhere. */
function failed(portal: PortalServices) {
  return (error: unknown, request: FastifyRequest, reply: FastifyReply) => {
    if (!isForBrowser(request)) throw error
    return answerFailure(portal, error, request, reply)
  }
}

async function serve(
  portal: PortalServices,
  server: OAuthServer,
  base: Base,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<FastifyReply> {
  const provider = await server.provider()
  const { raw } = request
  rememberCall(raw, {
    origin: { ...originOf(request), api: 'oauth2' },
    endpoint: pathOf(request.url),
    base,
    renderFailure: isForBrowser(request) ? (failure) => renderFailure(portal, request, reply, failure) : undefined,
  })
  const [, query] = /(\?.*)?$/s.exec(request.url) ?? []
  const path = pathOf(request.url).slice(base.length)
  const { protocol, host } = new URL(portal.services.config.publicUrl)
  // Where we are is a setting, whatever the request says; the server reads it from these.
  Object.assign(raw, { originalUrl: `${base}${path}${query ?? ''}`, url: `${path}${query ?? ''}` })
  Object.assign(raw.headers, { host, 'x-forwarded-host': host, 'x-forwarded-proto': protocol.slice(0, -1) })
  for (const [name, value] of Object.entries(reply.getHeaders())) {
    if (value !== undefined) reply.raw.setHeader(name, value)
  }
  reply.hijack()
  await provider.callback()(raw, reply.raw)
  return reply
}

/** What the server says, as CSC says it. */
function inOurWords(
  provider: Provider,
  scopes: readonly string[],
  services: ErrorServices,
  bearer: BearerCheck,
): Provider {
  const failures = new WeakMap<object, errors.OIDCProviderError>()
  for (const event of [
    'grant.error',
    'revocation.error',
    'pushed_authorization_request.error',
    'authorization.error',
    'discovery.error',
    'server_error',
  ] as const) {
    provider.on(event as 'grant.error', (ctx: KoaContextWithOIDC, error) => {
      failures.set(ctx.req, error)
    })
  }
  // What is not answered at all, such as a client that went away; Koa would print it.
  provider.silent = true
  provider.use(async (ctx, next) => {
    await next()
    dropCookie(ctx)
    const route = (ctx as KoaContextWithOIDC).oidc?.route as string | undefined
    const failure = failures.get(ctx.req)
    if (failure !== undefined) note(services, ctx as KoaContextWithOIDC, failure)
    if (route === undefined) return
    if (BACK_CHANNEL.includes(route)) {
      if (failure !== undefined) return refuse(ctx as KoaContextWithOIDC, failure)
      if (route === 'token') {
        bearer.expect(secretHash((ctx.body as { access_token: string }).access_token))
        completeToken(ctx as KoaContextWithOIDC)
      }
      if (route === 'revocation') completeRevocation(ctx as KoaContextWithOIDC)
    } else if (route === 'discovery') trimMetadata(ctx as KoaContextWithOIDC, scopes)
    else if (failure !== undefined && ctx.status === 503) ctx.set('retry-after', '1')
  })
  return provider
}

/** The server has no sessions of its own; what it would set names nothing. */
function dropCookie({ res }: { res: KoaContextWithOIDC['res'] }): void {
  const set = res.getHeader('set-cookie')
  const kept = [set ?? []].flat().filter((one) => !String(one).startsWith(SESSION_COOKIE)) as string[]
  if (kept.length > 0) res.setHeader('set-cookie', kept)
  else res.removeHeader('set-cookie')
}

function refuse(ctx: KoaContextWithOIDC, failure: errors.OIDCProviderError): void {
  const { status, error, error_description } = toldError(failure, ctx.headers.authorization !== undefined)
  ctx.status = status
  ctx.body = { error, error_description }
  if (status === 503) ctx.set('retry-after', '1')
  if (status !== 401) ctx.remove('www-authenticate')
}

/** What CSC and its clients want to know beside the token. */
function completeToken(ctx: KoaContextWithOIDC): void {
  const { exchanged, base } = callOf(ctx.req)
  if (exchanged === undefined) return
  const body = ctx.body as Record<string, unknown>
  const ofCredential = exchanged.kind === 'credential'
  ctx.body = {
    ...body,
    expires_in: exchanged.expiresIn,
    // Version 1 calls a token that is an authorization by another type (v1 §8.3.3).
    ...(ofCredential && base === '/csc/v1' && body.token_type === 'Bearer' ? { token_type: 'SAD' } : {}),
    ...(exchanged.credentialId === undefined ? {} : { credentialID: exchanged.credentialId }),
    ...(ofCredential ? { approvalID: exchanged.approvalId, comparisonNonce: exchanged.nonce } : {}),
  }
}

/** CSC answers 204, and says when there was no such token (v2.2 §8.2.5; RFC 7009 would not). */
function completeRevocation(ctx: KoaContextWithOIDC): void {
  const { entities, client } = ctx.oidc
  const found = [entities.AccessToken, entities.RefreshToken, entities.ClientCredentials].some(
    (token) => token !== undefined && token.clientId === client?.clientId,
  )
  if (found) {
    ctx.body = undefined
    ctx.status = 204
  } else {
    ctx.status = 400
    ctx.body = { error: 'invalid_request', error_description: 'Invalid string parameter token' }
  }
}

/** RFC 8414: of OAuth 2 only. */
function trimMetadata(ctx: KoaContextWithOIDC, scopes: readonly string[]): void {
  const { body } = ctx as { body?: unknown }
  const entries = Object.entries((body ?? {}) as Record<string, unknown>)
  ctx.body = {
    ...Object.fromEntries(entries.filter(([name]) => !OPENID_ONLY.test(name))),
    scopes_supported: scopes,
  }
}

const OPENID_ONLY = /^(claims?_|id_token_|subject_types_|jwks_uri|acr_|userinfo_|request_uri_parameter)/

/** Every refusal that no worker has written down is counted; what was not expected is told to the operator. */
function note({ logger, refusals, addresses }: ErrorServices, ctx: KoaContextWithOIDC, failure: unknown): void {
  const { origin, endpoint } = callOf(ctx.req)
  const { error, statusCode = 500, cause } = failure as errors.OIDCProviderError
  if (cause instanceof WorkerRefusal) return
  if (statusCode >= 500) {
    if (error !== 'temporarily_unavailable') {
      logger.error(
        { requestId: origin.requestId, error: describeError(cause ?? failure) },
        'a request failed unexpectedly',
      )
    }
    return
  }
  refusals.note({
    origin,
    actor: { kind: 'anonymous' },
    client: ctx.oidc.client?.clientId,
    endpoint: addresses.find(endpoint)?.path ?? 'unknown',
    code: CODES[error] ?? 'request_malformed',
    status: ctx.status,
  })
}

const CODES: Readonly<Record<string, ErrorCode>> = {
  invalid_client: 'client_unknown',
  unauthorized_client: 'client_unknown',
  invalid_grant: 'approval_unknown',
  slow_down: 'too_often',
}
