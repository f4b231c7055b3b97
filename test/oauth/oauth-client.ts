/** A client of the OAuth 2 server by openid-client, and the browser of the signer that it sends there. */
import assert from 'node:assert/strict'
import * as openid from 'openid-client'
import { FormBrowser } from '../helpers/browser.js'
import type { Passkey } from '../helpers/passkey.js'
import { keepSecret, type TestService, type TestSigner } from '../helpers/test-service.js'

/** As the settings of a test's front name it. */
export const ISSUER = 'http://127.0.0.1'
export const REDIRECT = 'https://app.example.test/callback'

/** Sends what is meant for the service to one of its fronts, whose port nobody knew before. */
function toFront(service: TestService, front = 0): openid.CustomFetch {
  return (url, options) => {
    const { pathname, search } = new URL(url)
    return fetch(new URL(`${pathname}${search}`, service.urls[front]), options as RequestInit)
  }
}

export interface Registered {
  readonly clientId: string
  readonly clientSecret: string
}

export async function register(
  service: TestService,
  more: Partial<Parameters<TestService['admin']>[1] & { redirectUris: string[] }> = {},
): Promise<Registered> {
  const made = await service.admin('client.create', { name: 'Signing app', redirectUris: [REDIRECT], ...more })
  keepSecret(made.clientSecret)
  return { clientId: made.clientId, clientSecret: made.clientSecret ?? '' }
}

/** @param base such as `/csc/v1`: without the metadata, whose addresses are those of the issuer */
export async function discover(
  service: TestService,
  { clientId, clientSecret }: Registered,
  auth: openid.ClientAuth | undefined = openid.ClientSecretPost(clientSecret),
  front = 0,
): Promise<openid.Configuration> {
  const config = await openid.discovery(new URL(service.publicUrl), clientId, undefined, auth, {
    algorithm: 'oauth2',
    execute: [openid.allowInsecureRequests],
    [openid.customFetch]: toFront(service, front),
  })
  config[openid.customFetch] = toFront(service, front)
  return config
}

export interface Answered {
  /** Where the browser was sent in the end: the client's address with its parameters. */
  readonly url: URL
  readonly browser: FormBrowser
}

interface AnswerOptions {
  readonly signer?: TestSigner
  readonly code?: string
  readonly fields?: Record<string, string>
  readonly front?: number
  /** Says no instead. */
  readonly no?: boolean
}

/** The page of the question, signed in. */
export async function ask(
  service: TestService,
  url: URL,
  { signer = service.signer, front = 0 }: AnswerOptions = {},
): Promise<FormBrowser> {
  const browser = new FormBrowser(service, front)
  const first = await browser.send('GET', `${url.pathname}${url.search}`)
  const to = first.headers.get('location') ?? ''
  assert.ok(first.status === 303 && to.startsWith('/portal/approve/'), `${first.status} ${to} ${await first.text()}`)
  await browser.open(to)
  if (browser.html.includes('action="/portal/sign-in"')) {
    await browser.submit('/portal/sign-in', { login: signer.login, password: signer.password })
  }
  return browser
}

/** Goes where a client sends its signer, signs in, answers, and comes back. */
export async function answer(service: TestService, url: URL, options: AnswerOptions = {}): Promise<Answered> {
  const browser = await ask(service, url, options)
  const code = browser.html.includes('name="code"')
    ? { code: options.code ?? (await service.freshCode(options.signer)) }
    : undefined
  const fields = options.no === true ? { answer: 'no' } : { answer: 'yes', ...code, ...options.fields }
  return comeBack(browser, fields)
}

/** Sends the answer from the page of the question, and follows to the client. */
async function comeBack(browser: FormBrowser, fields: Record<string, string>): Promise<Answered> {
  const action = browser.url
  const sent = await browser.send('POST', action, { ...browser.hidden(action), ...fields })
  const back = sent.headers.get('location') ?? ''
  assert.equal(sent.status, 303, await sent.text())
  const last = await browser.send('GET', back)
  const location = last.headers.get('location')
  assert.ok(location, `${last.status} ${await last.text()}`)
  const result = new URL(location)
  keepSecret(result.searchParams.get('code') ?? undefined)
  return { url: result, browser }
}

/** The same with a passkey of the signer, in place of a code. */
export async function answerByPasskey(
  service: TestService,
  url: URL,
  passkey: Passkey,
  options: AnswerOptions = {},
): Promise<Answered> {
  const browser = await ask(service, url, options)
  const [, asked = ''] = /data-passkey="([^"]+)"/.exec(browser.html) ?? []
  assert.ok(asked, 'the page asks for a passkey')
  const response = passkey.assert(JSON.parse(asked.replaceAll('&quot;', '"')))
  return comeBack(browser, { answer: 'yes', response, ...options.fields })
}

/** Where a client sends its signer, and what it must show when it comes back for the token. */
export async function requestUrl(
  config: openid.Configuration,
  parameters: Record<string, string>,
): Promise<{ url: URL; verifier: string }> {
  const verifier = openid.randomPKCECodeVerifier()
  keepSecret(verifier)
  const url = openid.buildAuthorizationUrl(config, {
    ...parameters,
    redirect_uri: REDIRECT,
    code_challenge: await openid.calculatePKCECodeChallenge(verifier),
    code_challenge_method: 'S256',
  })
  return { url, verifier }
}

/** What the client gets for the code. */
export async function redeem(config: openid.Configuration, { url }: Answered, verifier: string) {
  const tokens = await openid.authorizationCodeGrant(config, url, { pkceCodeVerifier: verifier })
  keepSecret(tokens.access_token)
  return tokens
}

/** A form to an endpoint of the OAuth 2 server, as a client without a library sends it. */
export async function post(
  service: TestService,
  path: string,
  form: Record<string, string> | string,
  { front = 0, headers = {} }: { front?: number; headers?: Record<string, string> } = {},
): Promise<{
  status: number
  headers: Headers
  // biome-ignore lint/suspicious/noExplicitAny: tests look at answers of every shape
  body: any
}> {
  const response = await fetch(new URL(path, service.urls[front]), {
    method: 'POST',
    headers: { 'content-type': 'application/x-www-form-urlencoded', ...headers },
    body: typeof form === 'string' ? form : new URLSearchParams(form).toString(),
  })
  const text = await response.text()
  const body = text === '' ? undefined : JSON.parse(text)
  keepSecret(body?.access_token, body?.refresh_token, body?.request_uri)
  return { status: response.status, headers: response.headers, body }
}
