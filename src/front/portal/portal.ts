import { randomBytes, timingSafeEqual } from 'node:crypto'
import cookies from '@fastify/cookie'
import forms from '@fastify/formbody'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import { type ErrorCode, ServiceError } from '../../errors.js'
import type { BearerCheck } from '../bearer.js'
import { toCscError } from '../csc/errors.js'
import { type ErrorServices, noteRefusal } from '../edge.js'
import { originOf, pathOf } from '../origin.js'
import type { FrontServices } from '../services.js'
import { accountPages } from './account-page.js'
import { activatePages } from './activate-page.js'
import { areaOf, signInPath } from './areas.js'
import { html } from './html.js'
import { document, type Page, type PageAnswer, type PageHandler, type PageRequest } from './page.js'
import { PASSKEY_PATH, PASSKEY_SCRIPT } from './passkey-script.js'
import { recoverPages } from './recover-page.js'
import { signInPages } from './sign-in-page.js'
import { STYLE, STYLE_PATH } from './style.js'
import { chooseLang, TEXTS, type Texts } from './texts.js'

/** Pages by method and path. */
export type Pages = Readonly<Record<`GET ${string}` | `POST ${string}`, PageHandler>>

const FORM_LIMIT = 16 * 1024
const LANG_SECONDS = 365 * 24 * 3600
/** Longer than any page is useful; each form that is shown renews it. */
const FORM_SECONDS = 12 * 3600

export interface PortalServices {
  readonly services: FrontServices
  readonly errors: ErrorServices
  readonly bearer: Pick<BearerCheck, 'holderOf'>
  demo(): Promise<boolean>
}

/**
 * Our own pages: rendered here, working without scripts. A scope of its own: forms instead of JSON, cookies, and pages for
 * errors. Every form carries a token that its browser's cookie must match, and must come from this very site.
 */
export function mountPortal(
  app: FastifyInstance,
  portal: PortalServices,
  more: Pages = {},
  styles: Readonly<Record<string, string>> = {},
): void {
  void app.register(async (scope) => {
    scope.removeAllContentTypeParsers()
    await scope.register(forms, { bodyLimit: FORM_LIMIT })
    await scope.register(cookies)
    scope.setErrorHandler((error, request, reply) => answerWithPage(portal, error, request, reply))
    const serve = (path: string, type: string, content: string) =>
      scope.get(path, (_request, reply) =>
        reply
          .header('content-type', `${type}; charset=utf-8`)
          .header('cache-control', 'public, max-age=31536000, immutable')
          .send(content),
      )
    for (const [path, style] of Object.entries({ ...styles, [STYLE_PATH]: STYLE })) serve(path, 'text/css', style)
    serve(PASSKEY_PATH, 'text/javascript', PASSKEY_SCRIPT)
    const pages: Pages = { ...signInPages, ...activatePages, ...recoverPages, ...accountPages, ...more }
    for (const [key, handle] of Object.entries(pages)) {
      const [method, url] = key.split(' ') as ['GET' | 'POST', string]
      scope.route({
        method,
        url,
        handler: async (request, reply) => {
          if (method === 'POST') requireOwnForm(portal.services, request)
          const page = await pageRequest(portal, request, reply)
          return answer(portal, page, await handle(portal.services, page))
        },
      })
    }
  })
}

/** A page of ours as an answer that somebody else sends: with its headers, and without cookies of its own. */
export interface Rendered {
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

/** Renders a page for a request outside the portal, whose scope has the plugin for cookies. */
export async function renderPage(
  portal: PortalServices,
  request: FastifyRequest,
  reply: FastifyReply,
  make: (texts: Texts) => Page,
): Promise<Rendered> {
  const asked = await pageRequest(portal, request, reply)
  return rendered(portal.services, asked, make(asked.texts))
}

async function pageRequest(
  { services, demo, bearer }: PortalServices,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<PageRequest> {
  const session = cookieOf(services, request, 'session')
  const query = texts(request.query)
  const lang = chooseLang(query.lang ?? cookieOf(services, request, 'lang'), request.headers['accept-language'])
  return {
    lang,
    texts: TEXTS[lang],
    origin: originOf(request),
    form: texts(request.body),
    query,
    params: texts(request.params),
    url: request.url,
    hasSession: session !== undefined,
    signedIn: async () => {
      if (session === undefined) throw new ServiceError('token_malformed')
      await bearer.holderOf(session)
      return session
    },
    operator: cookieOf(services, request, 'operator'),
    browser: cookieOf(services, request, 'browser'),
    formToken: cookieOf(services, request, 'form') ?? randomBytes(32).toString('base64url'),
    demo: await demo().catch(() => false),
    raw: request,
    reply,
  }
}

/** Only texts: a field given twice is an array, and counts as not given. */
function texts(values: unknown): Record<string, string> {
  const entries = Object.entries((values ?? {}) as Record<string, unknown>)
  return Object.fromEntries(entries.filter((entry): entry is [string, string] => typeof entry[1] === 'string'))
}

function answer({ services, errors }: PortalServices, request: PageRequest, result: PageAnswer): FastifyReply {
  const { reply } = request
  if (result.refusal !== undefined) {
    noteRefusal(errors, result.refusal, request.raw, areaOf(pathOf(request.url)).home)
  }
  for (const { name, value, seconds } of result.cookies ?? []) setCookie(services, reply, name, value, seconds)
  if (request.query.lang !== undefined) setCookie(services, reply, 'lang', request.lang, LANG_SECONDS)
  if ('to' in result) return reply.redirect(result.to, 303)
  if ('file' in result) {
    return reply
      .header('content-type', result.type)
      .header('content-disposition', `attachment; filename="${result.fileName}"`)
      .send(result.file)
  }
  setCookie(services, reply, 'form', request.formToken, FORM_SECONDS)
  return send(services, request, result)
}

function send(services: FrontServices, request: PageRequest, page: Page): FastifyReply {
  const { headers, body } = rendered(services, request, page)
  return request.reply
    .code(page.status ?? 200)
    .headers(headers)
    .send(body)
}

function rendered({ config }: FrontServices, request: PageRequest, page: Page): Rendered {
  return {
    headers: {
      'content-type': 'text/html; charset=utf-8',
      'content-security-policy': policy(page),
      // With no-referrer a browser would hide from us, too, where a form comes from.
      'referrer-policy': 'same-origin',
      'cross-origin-opener-policy': 'same-origin',
      vary: 'accept, accept-language, cookie',
    },
    body: document(request, page, config.name),
  }
}

function policy({ formTargets = [], scripts = [] }: Page): string {
  return [
    "default-src 'none'",
    "style-src 'self'",
    "img-src 'self'",
    ...(scripts.length === 0 ? [] : ["script-src 'self'"]),
    ["form-action 'self'", ...formTargets].join(' '),
    "base-uri 'none'",
    "frame-ancestors 'none'",
  ].join('; ')
}

/** @throws ServiceError `form_foreign` */
function requireOwnForm(services: FrontServices, request: FastifyRequest): void {
  const { 'sec-fetch-site': site, origin } = request.headers
  const foreign =
    site === undefined
      ? origin !== undefined && origin !== services.config.publicUrl
      : site !== 'same-origin' && site !== 'none'
  const sent = Buffer.from(texts(request.body).form ?? '')
  const kept = Buffer.from(cookieOf(services, request, 'form') ?? '')
  if (foreign || kept.length === 0 || sent.length !== kept.length || !timingSafeEqual(sent, kept)) {
    throw new ServiceError('form_foreign')
  }
}

const cookieName = ({ config }: FrontServices, name: string) => `${isSecure(config) ? '__Host-' : ''}paraph-${name}`

const isSecure = ({ publicUrl }: FrontServices['config']) => publicUrl.startsWith('https:')

const COOKIE_VALUE = /^[A-Za-z0-9_-]{2,64}$/

/** What is not one of ours is no cookie at all. */
function cookieOf(services: FrontServices, request: FastifyRequest, name: string): string | undefined {
  const value = request.cookies[cookieName(services, name)]
  return value !== undefined && COOKIE_VALUE.test(value) ? value : undefined
}

function setCookie(
  services: FrontServices,
  reply: FastifyReply,
  name: string,
  value: string | undefined,
  seconds: number | undefined,
): void {
  void reply.setCookie(cookieName(services, name), value ?? '', {
    path: '/',
    httpOnly: true,
    sameSite: name === 'operator' ? 'strict' : 'lax',
    secure: isSecure(services.config),
    ...(value === undefined ? { maxAge: 0 } : seconds === undefined ? {} : { maxAge: seconds }),
  })
}

const SIGNED_OUT: ReadonlySet<ErrorCode> = new Set([
  'token_unknown',
  'token_expired',
  'token_malformed',
  'operator_unknown',
  'role_missing',
])

/** A page for every error; who is not signed in is shown where to do that. */
async function answerWithPage(
  portal: PortalServices,
  thrown: unknown,
  request: FastifyRequest,
  reply: FastifyReply,
): Promise<FastifyReply> {
  const path = pathOf(request.url)
  const area = areaOf(path)
  const error = noteRefusal(portal.errors, thrown, request, area.home)
  const page = await pageRequest(portal, request, reply)
  if (SIGNED_OUT.has(error.code)) {
    const cookies = [{ name: area.cookie, value: undefined }]
    // What changes the account is asked for with a form only.
    const next = request.method === 'GET' ? request.url : path.startsWith('/portal/account/') ? '/portal' : path
    const over = area.cookie === 'session' ? page.hasSession : page.operator !== undefined
    return answer(portal, page, { to: signInPath(area, next, over), cookies })
  }
  const { texts } = page
  const [status, text] =
    error.code === 'form_foreign'
      ? [403, texts.errorForm]
      : error.code === 'not_found'
        ? [404, texts.errorMissing]
        : errorInWords(error, texts)
  if (status === 503) reply.header('retry-after', retryAfterOf(error))
  const body = html`<p class="message bad" role="alert">${text}</p><p><a class="button quiet" href="${area.home}">${texts.back}</a></p>`
  return answer(portal, page, { title: texts.errorTitle, body, status })
}

/** Status and words for whatever is no fault of who reads them. */
export function errorInWords(error: ServiceError, texts: Texts): [number, string] {
  return error.code === 'unavailable' || error.code === 'overloaded'
    ? [503, texts.errorBusy]
    : [toCscError('v2', error).status, texts.errorOther]
}

export function retryAfterOf({ retryAfter = 1 }: ServiceError): string {
  return String(Math.max(1, Math.ceil(retryAfter)))
}
