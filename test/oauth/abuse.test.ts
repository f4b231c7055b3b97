import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { createServer } from 'node:http'
import { after, before, beforeEach, describe, test } from 'node:test'
import * as openid from 'openid-client'
import { FormBrowser } from '../helpers/browser.js'
import { until } from '../helpers/csc.js'
import { keepSecret, TestService } from '../helpers/test-service.js'
import { answer, ask, ISSUER, post, REDIRECT, type Registered, register } from './oauth-client.js'

const SHA256 = '2.16.840.1.101.3.4.2.1'
const ECDSA = '1.2.840.10045.4.3.2'

let service: TestService
let credential: string
let client: Registered
let other: Registered

before(async () => {
  service = await TestService.start({ workers: 2, fronts: 2, keys: ['p-256'] })
  credential = service.credentials['p-256'] as string
  client = await register(service)
  other = await register(service, { name: 'Other app', redirectUris: ['https://other.example.test/back'] })
})
after(() => service?.close())
beforeEach(() => service.admin('signer.unlock', { signer: service.signer.login }))

const verifier = openid.randomPKCECodeVerifier()
const auth = () => ({ client_id: client.clientId, client_secret: client.clientSecret })

/** What a right request says; anything of it may be replaced, or taken away with undefined. */
async function parameters(more: Record<string, string | undefined> = {}): Promise<Record<string, string>> {
  keepSecret(verifier)
  const hashes = service.digests(`abuse ${randomUUID()}`)
  const all = {
    response_type: 'code',
    client_id: client.clientId,
    redirect_uri: REDIRECT,
    state: 'xyz',
    scope: 'credential',
    code_challenge: await openid.calculatePKCECodeChallenge(verifier),
    code_challenge_method: 'S256',
    credentialID: credential,
    numSignatures: '1',
    hashes: Buffer.from(hashes[0] as string, 'base64').toString('base64url'),
    hashAlgorithmOID: SHA256,
    ...more,
  }
  return Object.fromEntries(Object.entries(all).filter((entry): entry is [string, string] => entry[1] !== undefined))
}

const urlOf = (query: Record<string, string>) => new URL(`${ISSUER}/oauth2/authorize?${new URLSearchParams(query)}`)

/** Where an authorization request leads, without a signer. */
async function lead(query: Record<string, string>, front = 0) {
  const { pathname, search } = urlOf(query)
  const response = await fetch(new URL(`${pathname}${search}`, service.urls[front]), { redirect: 'manual' })
  return { status: response.status, location: response.headers.get('location'), body: await response.text() }
}

const tokenForm = (code: string, more: Record<string, string> = {}) => ({
  grant_type: 'authorization_code',
  code,
  redirect_uri: REDIRECT,
  code_verifier: verifier,
  ...auth(),
  ...more,
})

/** A code that a signer has agreed to, and the digest of the agreement. */
async function agreed(more: Record<string, string | undefined> = {}) {
  const query = await parameters(more)
  const { url } = await answer(service, urlOf(query))
  const hashes = [Buffer.from(query.hashes ?? '', 'base64url').toString('base64')]
  return { code: url.searchParams.get('code') ?? '', hashes }
}

const sign = (bearer: string, hashes: string[], front = 0) =>
  service.post(
    '/csc/v2/signatures/signHash',
    { credentialID: credential, hashes, hashAlgorithmOID: SHA256, signAlgo: ECDSA },
    { bearer, front },
  )

const many = <T>(work: (i: number) => Promise<T>) => Promise.all(Array.from({ length: 40 }, (_, i) => work(i)))

const budget = async () => {
  const { rows } = await (await service.owner()).query(
    `select count(*)::int as n, coalesce(sum(total), 0)::int as total from paraph.authorization where via = 'token'`,
  )
  return rows[0] as { n: number; total: number }
}

describe('40 at once, on two fronts', () => {
  test('exchanges of one code give one token and one budget', async () => {
    const before = await budget()
    const { code, hashes } = await agreed()
    const answers = await many((i) => post(service, '/oauth2/token', tokenForm(code), { front: i % 2 }))
    const tokens = answers.flatMap(({ body }) => body.access_token ?? [])
    assert.equal(tokens.length, 1, answers.map(({ status }) => status).join(' '))
    assert.ok(answers.every(({ status }) => status === 200 || status === 400))
    const now = await budget()
    assert.deepEqual([now.n - before.n, now.total - before.total], [1, 1])
    const signed = await many((i) => sign(tokens[0], hashes, i % 2))
    assert.ok(signed.filter(({ status }) => status === 200).length <= 1)
    await service.checkWorld()
  })

  test('uses of one pushed request are one question', async () => {
    const { body } = await post(service, '/oauth2/pushed_authorize', {
      ...(await parameters()),
      client_secret: client.clientSecret,
    })
    const leads = await many((i) => lead({ client_id: client.clientId, request_uri: body.request_uri }, i % 2))
    assert.equal(leads.filter(({ location }) => location?.startsWith('/portal/approve/')).length, 1)
    for (const { location } of leads) {
      assert.ok(
        location?.startsWith('/portal/approve/') || location?.includes('error=invalid_request_uri'),
        location ?? '',
      )
    }
    await service.checkWorld()
  })

  test('completions of one interaction are one answer and one budget', async () => {
    const before = await budget()
    const query = await parameters()
    const browser = await ask(service, urlOf(query))
    const fields = { ...browser.hidden(browser.url), answer: 'yes', code: await service.freshCode() }
    const answers = await many(() => browser.send('POST', browser.url, fields))
    const backs = answers.flatMap((one) => one.headers.get('location') ?? [])
    assert.ok(backs.length >= 1)
    const resumed = await many(() => browser.send('GET', backs[0] as string))
    const codes = resumed.flatMap((one) => {
      const location = one.headers.get('location')
      return location === null ? [] : (new URL(location).searchParams.get('code') ?? [])
    })
    keepSecret(...codes)
    assert.equal(new Set(codes).size, 1)
    const tokens = await Promise.all(codes.map((code) => post(service, '/oauth2/token', tokenForm(code))))
    assert.equal(tokens.filter(({ status }) => status === 200).length, 1)
    const now = await budget()
    assert.deepEqual([now.n - before.n, now.total - before.total], [1, 1])
    await service.checkWorld()
  })
})

describe('a code', () => {
  test('used a second time kills what it gave', async () => {
    const { code, hashes } = await agreed()
    const first = await post(service, '/oauth2/token', tokenForm(code))
    assert.equal(first.status, 200, JSON.stringify(first.body))
    assert.deepEqual(await refusal('/oauth2/token', tokenForm(code)), [
      400,
      'invalid_grant',
      'Authorization code is invalid or expired',
    ])
    await until('the token is dead', async () => (await sign(first.body.access_token, hashes)).status === 401)
    await service.checkWorld()
  })

  test('is good for its client, address and verifier only, and for a minute', async () => {
    const { code } = await agreed()
    const wrong: [Record<string, string>, [number, string, string]][] = [
      [
        { client_id: other.clientId, client_secret: other.clientSecret },
        [400, 'invalid_grant', 'Invalid parameter code'],
      ],
      [
        { redirect_uri: 'https://other.example.test/back' },
        [400, 'invalid_grant', 'redirect_uri parameter does not match redirect_uri parameter of authorization request'],
      ],
      [{ code_verifier: openid.randomPKCECodeVerifier() }, [400, 'invalid_grant', 'grant request is invalid']],
      [{ code_verifier: '' }, [400, 'invalid_grant', 'grant request is invalid']],
      [{ code: 'unknown' }, [400, 'invalid_grant', 'Invalid parameter code']],
    ]
    for (const [more, expected] of wrong) {
      assert.deepEqual(await refusal('/oauth2/token', tokenForm(code, more)), expected, JSON.stringify(expected))
    }
    await service.moveClock(61_000)
    assert.deepEqual(await refusal('/oauth2/token', tokenForm(code)), [
      400,
      'invalid_grant',
      'Authorization code is invalid or expired',
    ])
    await service.checkWorld()
  })
})

async function refusal(path: string, form: Record<string, string>, headers: Record<string, string> = {}) {
  const { status, body } = await post(service, path, form, { headers })
  return [status, body?.error, body?.error_description]
}

const BROWSER = 'text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8'

/** What a browser is shown that may not be sent back: our page, with nothing of the request on it. */
async function seen({ pathname, search }: URL, words: RegExp, lang = 'en', status = 400): Promise<string> {
  const response = await fetch(new URL(`${pathname}${search}`, service.urls[0]), {
    redirect: 'manual',
    headers: { accept: BROWSER, 'accept-language': lang },
  })
  const { headers } = response
  assert.deepEqual([response.status, headers.get('location')], [status, null], search)
  assert.equal(headers.get('content-type'), 'text/html; charset=utf-8')
  assert.equal(headers.get('cache-control'), 'no-store')
  assert.equal(headers.get('x-content-type-options'), 'nosniff')
  const policy = headers.get('content-security-policy') ?? ''
  for (const part of ["default-src 'none'", "form-action 'self'", "base-uri 'none'", "frame-ancestors 'none'"])
    assert.ok(policy.includes(part), policy)
  assert.doesNotMatch(policy, /script-src|example/)
  const html = await response.text()
  assert.match(html, words)
  assert.match(html, new RegExp(`<html lang="${lang}">`))
  assert.doesNotMatch(
    html,
    /<a (?!class="skip")|mallory|example|onerror|xyz/,
    'nothing that came with the request, and no way on',
  )
  return html
}

describe('an authorization request', () => {
  test('that may go nowhere is a page for a browser, and JSON for everybody else', async () => {
    const evil = '"><img src=x onerror=mallory>'
    const strange = urlOf(await parameters({ client_id: evil, redirect_uri: 'https://mallory.example/', state: evil }))
    await seen(strange, /not known to this service[\s\S]*<code>invalid_client<\/code>/)
    await seen(strange, /nie jest znana tej usłudze/, 'pl')
    await seen(new URL(`${ISSUER}/oauth2/authorize`), /cannot make sense/)
    await seen(new URL(`${ISSUER}/csc/v1/oauth2/authorize?client_id=mallory`), /not known/)
    // The way back from our page, without having been asked anything.
    await seen(new URL(`${ISSUER}/oauth2/authorize/mallory`), /answered already, or waited too long/)
    const two = await register(service, { redirectUris: [REDIRECT, `${REDIRECT}/other`] })
    const pushed = await post(service, '/oauth2/pushed_authorize', {
      ...(await parameters({ client_id: two.clientId })),
      client_secret: two.clientSecret,
    })
    await service.moveClock(61_000)
    const late = urlOf({ client_id: two.clientId, request_uri: pushed.body.request_uri })
    await seen(late, /waited too long[\s\S]*<code>invalid_request_uri<\/code>/)
    const { pathname, search } = strange
    for (const accept of ['*/*', 'application/json', 'application/json, text/html;q=0.9', 'text/html;q=0', undefined]) {
      const response = await fetch(new URL(`${pathname}${search}`, service.urls[0]), {
        redirect: 'manual',
        headers: accept === undefined ? {} : { accept },
      })
      assert.equal(response.status, 400)
      assert.match(response.headers.get('content-type') ?? '', /^application\/json/, accept)
      assert.equal(((await response.json()) as { error: string }).error, 'invalid_client')
    }
  })

  test('that is not right goes back to the client with the reason', async () => {
    const details = (more: object, detail: object = {}) =>
      parameters({
        scope: undefined,
        credentialID: undefined,
        numSignatures: undefined,
        hashes: undefined,
        hashAlgorithmOID: undefined,
        authorization_details: JSON.stringify([
          {
            type: 'credential',
            credentialID: credential,
            hashAlgorithmOID: SHA256,
            documentDigests: [{ hash: service.digests('x')[0] }],
            ...detail,
          },
        ]),
        ...more,
      })
    const wrong: [string, Record<string, string>, string, string?][] = [
      ['no PKCE', await parameters({ code_challenge: undefined, code_challenge_method: undefined }), 'invalid_request'],
      ['plain PKCE', await parameters({ code_challenge_method: 'plain' }), 'invalid_request'],
      ['PKCE without its method', await parameters({ code_challenge_method: undefined }), 'invalid_request'],
      ['another response type', await parameters({ response_type: 'token' }), 'unsupported_response_type'],
      ['another scope', await parameters({ scope: 'admin' }), 'invalid_scope'],
      ['two scopes', await parameters({ scope: 'service credential' }), 'invalid_scope'],
      [
        'no credential',
        await parameters({ credentialID: undefined }),
        'invalid_request',
        'Missing (or invalid type) string parameter credentialID',
      ],
      [
        'no count',
        await parameters({ numSignatures: undefined }),
        'invalid_request',
        'Missing (or invalid type) integer parameter numSignatures',
      ],
      [
        'a strange count',
        await parameters({ numSignatures: '1.5' }),
        'invalid_request',
        'Missing (or invalid type) integer parameter numSignatures',
      ],
      [
        'another count',
        await parameters({ numSignatures: '2' }),
        'invalid_request',
        'Invalid value for parameter numSignatures',
      ],
      ['no base64', await parameters({ hashes: '*' }), 'invalid_request', 'Invalid Base64 hash string parameter'],
      ['a short hash', await parameters({ hashes: 'AAAA' }), 'invalid_request', 'Invalid digest value length'],
      [
        'an algorithm that is none',
        await parameters({ hashAlgorithmOID: '1.2.3' }),
        'invalid_request',
        'Invalid parameter hashAlgorithmOID',
      ],
      [
        'a long description',
        await parameters({ description: 'x'.repeat(501) }),
        'invalid_request',
        'Invalid parameter description',
      ],
      ['a twin', await parameters({ prompt: 'none' }), 'interaction_required'],
      ['a scope beside details', await details({ scope: 'credential' }), 'invalid_request', 'Invalid parameter scope'],
      ['hashes beside details', await details({ hashes: 'AAAA' }), 'invalid_request', 'Invalid parameter hashes'],
      ['details of another type', await details({}, { type: 'payment' }), 'invalid_authorization_details'],
      [
        'documents of another kind',
        await details({}, { documentDigests: [{ hash: 'AAAA', hashType: 'sodr' }] }),
        'invalid_request',
      ],
      ['no JSON', await details({ authorization_details: '[' }), 'invalid_authorization_details'],
    ]
    for (const [what, query, error, text] of wrong) {
      const { status, location, body } = await lead(query)
      assert.equal(status, 303, `${what}: ${body}`)
      const back = new URL(location as string)
      assert.equal(`${back.origin}${back.pathname}`, REDIRECT, what)
      // Another response type would have been answered in the fragment.
      const said = new URLSearchParams(back.search || back.hash.slice(1))
      assert.equal(said.get('error'), error, `${what}: ${back.search}`)
      assert.equal(said.get('state'), 'xyz', what)
      if (text !== undefined) assert.equal(said.get('error_description'), text, what)
    }
    await service.checkWorld()
  })

  test('sends nobody anywhere when client or address is wrong', async () => {
    const native = await register(service, { name: 'Desktop', redirectUris: ['http://127.0.0.1/back'] })
    const wrong: Record<string, string>[] = [
      await parameters({ client_id: 'unknown' }),
      await parameters({ client_id: 'basic' }),
      await parameters({ client_id: 'pages' }),
      await parameters({ client_id: undefined }),
      await parameters({ client_id: other.clientId }),
      await parameters({ redirect_uri: 'https://mallory.example/' }),
      await parameters({ redirect_uri: `${REDIRECT}/` }),
      await parameters({ redirect_uri: `${REDIRECT}?x=1` }),
      await parameters({ redirect_uri: 'https://app.example.test:8443/callback' }),
      await parameters({ redirect_uri: 'https://app.example.test@mallory.example/callback' }),
      await parameters({ redirect_uri: 'http://127.0.0.1/callback' }),
      await parameters({ redirect_uri: 'javascript:alert(1)' }),
      await parameters({ client_id: native.clientId, redirect_uri: 'http://127.0.0.1/other' }),
      await parameters({ client_id: native.clientId, redirect_uri: 'http://localhost.mallory.example/back' }),
      await parameters({ client_id: native.clientId, redirect_uri: 'https://127.0.0.1/back' }),
    ]
    for (const query of wrong) {
      const { status, location } = await lead(query)
      assert.deepEqual([status, location], [400, null], `${query.client_id} ${query.redirect_uri}`)
      await seen(urlOf(query), /not registered|not known|cannot make sense/)
    }
    const right = await lead(
      await parameters({ client_id: native.clientId, redirect_uri: 'http://127.0.0.1:49152/back' }),
    )
    assert.match(right.location ?? '', /^\/portal\/approve\//, 'any port of this computer')
    const one = await lead(await parameters({ redirect_uri: undefined }))
    assert.match(one.location ?? '', /^\/portal\/approve\//, 'the one that is registered')
  })

  test('fetches nothing for anybody', async () => {
    let fetched = 0
    const server = createServer((_request, response) => {
      fetched += 1
      response.end('{}')
    })
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
    const { port } = server.address() as { port: number }
    const url = `http://127.0.0.1:${port}/x`
    for (const more of [
      { request_uri: url },
      { request: 'eyJhbGciOiJub25lIn0.e30.' },
      { registration: JSON.stringify({ jwks_uri: url }) },
      { client_id: url },
      { logo_uri: url, jwks_uri: url, sector_identifier_uri: url },
    ]) {
      await lead(await parameters(more))
      await post(service, '/oauth2/pushed_authorize', {
        ...(await parameters(more)),
        client_secret: client.clientSecret,
      })
    }
    const jwks = JSON.stringify({ keys: [] })
    await assert.rejects(service.admin('client.create', { name: 'x', auth: 'private-key-jwt', jwks }))
    server.close()
    assert.equal(fetched, 0)
  })

  test('is held up by nobody else’s: as many wait as the caps say', async () => {
    const owner = await service.owner()
    const statuses = new Map<number, number>()
    for (let i = 0; i < 104; i++) {
      const { status } = await lead(await parameters({ scope: 'service' }))
      statuses.set(status, (statuses.get(status) ?? 0) + 1)
    }
    assert.ok((statuses.get(429) ?? 0) > 0 && (statuses.get(303) ?? 0) <= 100, JSON.stringify([...statuses]))
    // Another address is not held up, and neither is this one once they are over.
    await owner.query(`update paraph.oauth set address = '192.0.2.99' where model = 'Interaction'`)
    assert.equal((await lead(await parameters({ scope: 'service' }))).status, 303)
    await owner.query(`delete from paraph.oauth where model = 'Interaction'`)
  })
})

describe('the page of the question', () => {
  test('takes an answer only from its own form, in the browser that brought the question', async () => {
    const query = await parameters()
    const browser = await ask(service, urlOf(query))
    const code = await service.freshCode()
    const right = { ...browser.hidden(browser.url), answer: 'yes', code }
    const foreign = await browser.send('POST', browser.url, right, { 'sec-fetch-site': 'cross-site' })
    assert.equal(foreign.status, 403)
    const unsigned = await browser.send('POST', browser.url, { answer: 'yes', code })
    assert.equal(unsigned.status, 403)
    const stranger = new FormBrowser(service)
    await stranger.open('/portal/sign-in')
    await stranger.submit('/portal/sign-in', { login: service.signer.login, password: service.signer.password })
    assert.equal(await stranger.open(browser.url), 404, 'another browser of the same signer')
    const policy = (await browser.send('GET', browser.url)).headers.get('content-security-policy') ?? ''
    assert.match(policy, /frame-ancestors 'none'/)
    assert.match(policy, /form-action 'self' https:\/\/app\.example\.test(;|$)/)
    const sent = await browser.send('POST', browser.url, right)
    assert.equal(sent.status, 303)
  })

  test('tells a wrong code, and somebody else’s credential', async () => {
    const mallory = await service.newSigner('mallory@example.test', 'Mallory Test')
    const browser = await ask(service, urlOf(await parameters()), { signer: mallory })
    assert.match(browser.html, /not yours/)
    const own = await ask(service, urlOf(await parameters()))
    const { url } = own
    assert.equal(await own.submit(url, { answer: 'yes', code: '00000000' }), 400)
    assert.match(own.html, /This code is not right/)
    const polish = new FormBrowser(service, 0, { 'accept-language': 'pl' })
    for (const [name, value] of own.cookies) polish.cookies.set(name, value)
    await polish.open(url)
    assert.match(polish.html, /Czy chcesz to podpisać/)
  })

  test('what can never be signed goes back to the client', async () => {
    await service.admin('credential.suspend', { credentialID: credential })
    const browser = new FormBrowser(service)
    const { pathname, search } = urlOf(await parameters())
    await browser.open('/portal/sign-in')
    await browser.submit('/portal/sign-in', { login: service.signer.login, password: service.signer.password })
    const question = await browser.send('GET', `${pathname}${search}`)
    const back = await browser.send('GET', question.headers.get('location') ?? '')
    const end = await browser.send('GET', back.headers.get('location') ?? '')
    await service.admin('credential.resume', { credentialID: credential })
    const { searchParams } = new URL(end.headers.get('location') ?? '')
    assert.equal(searchParams.get('error_description'), 'The credential identified by credentialID is disabled')
  })
})

describe('the token endpoint', () => {
  test('tells what is wrong as CSC does', async () => {
    const { client_id, client_secret } = auth()
    const basic = (secret: string) => ({
      authorization: `Basic ${Buffer.from(`${client_id}:${secret}`).toString('base64')}`,
    })
    const wrong: [Record<string, string>, [number, string, string], Record<string, string>?][] = [
      [{}, [400, 'invalid_request', 'Missing parameter client_id']],
      [{ client_id }, [400, 'invalid_request', 'Client authorization required']],
      [{ client_id: 'x', client_secret }, [400, 'invalid_request', 'Invalid parameter client_id']],
      [{ client_id, client_secret: 'x' }, [400, 'invalid_request', 'Invalid parameter client_secret']],
      [{}, [401, 'invalid_client', 'Invalid authorization header'], basic('x')],
      [{ client_id, client_secret }, [400, 'invalid_request', 'Missing parameter grant_type']],
      [{ client_id, client_secret, grant_type: 'x' }, [400, 'invalid_request', 'Invalid parameter grant_type']],
      [
        { client_id, client_secret, grant_type: 'authorization_code' },
        [400, 'invalid_request', 'Missing parameter code'],
      ],
      [
        { client_id, client_secret, grant_type: 'refresh_token' },
        [400, 'invalid_request', 'Missing parameter refresh_token'],
      ],
      [
        { client_id, client_secret, grant_type: 'refresh_token', refresh_token: 'x' },
        [400, 'invalid_grant', 'Invalid parameter refresh_token'],
      ],
    ]
    for (const base of ['', '/csc/v1', '/csc/v2']) {
      for (const [form, expected, headers] of wrong) {
        assert.deepEqual(await refusal(`${base}/oauth2/token`, form, headers), expected)
      }
      assert.deepEqual(await refusal(`${base}/oauth2/revoke`, { client_id, client_secret }), [
        400,
        'invalid_request',
        'Missing parameter token',
      ])
    }
    keepSecret(basic('x').authorization)
    const json = await service.post('/oauth2/token', { grant_type: 'client_credentials' })
    assert.equal(json.status, 400)
    const get = await fetch(new URL('/oauth2/token', service.urls[0]))
    assert.deepEqual([get.status, get.headers.get('allow')], [405, 'POST'])
  })
})

test('the metadata names what there is, at the address of the settings', async () => {
  const response = await fetch(new URL('/.well-known/oauth-authorization-server', service.urls[0]), {
    headers: { host: 'mallory.example', 'x-forwarded-host': 'mallory.example' },
  })
  const body = (await response.json()) as Record<string, unknown>
  assert.doesNotMatch(JSON.stringify(body), /mallory/)
  assert.deepEqual(
    [body.issuer, body.token_endpoint, body.pushed_authorization_request_endpoint, body.registration_endpoint],
    [ISSUER, `${ISSUER}/oauth2/token`, `${ISSUER}/oauth2/pushed_authorize`, undefined],
  )
  assert.deepEqual(body.code_challenge_methods_supported, ['S256'])
  assert.deepEqual(body.grant_types_supported, ['authorization_code', 'refresh_token', 'client_credentials'])
})

test('no table holds a token, a code, a verifier, a secret or the name of a question', async () => {
  const query = await parameters()
  const browser = await ask(service, urlOf(query))
  const uid = browser.url.split('/').at(-1) as string
  const pushed = await post(service, '/oauth2/pushed_authorize', {
    ...(await parameters()),
    client_secret: client.clientSecret,
  })
  const { code } = await agreed()
  const given = await agreed({ scope: 'service' })
  const { body } = await post(service, '/oauth2/token', tokenForm(given.code))
  const secrets = [
    uid,
    pushed.body.request_uri.split(':').at(-1),
    code,
    given.code,
    body.access_token,
    verifier,
    client.clientSecret,
    ...browser.cookies.values(),
  ]
  const owner = await service.owner()
  const { rows: tables } = await owner.query(
    `select format('%I.%I', schemaname, tablename) as name from pg_tables where schemaname in ('paraph', 'audit')`,
  )
  for (const { name } of tables) {
    const { rows } = await owner.query(`select coalesce(string_agg(t::text, ' '), '') as all from ${name} t`)
    for (const secret of secrets) assert.ok(!rows[0].all.includes(secret), `${name} holds ${secret}`)
  }
})

test('somebody who writes in the database does not lead a code elsewhere', async () => {
  const owner = await service.owner()
  const query = await parameters()
  const browser = await ask(service, urlOf(query))
  const mine = await ask(service, urlOf(await parameters()))
  // The payload of one question in the place of another, and a payload of one's own.
  const { rows } = await owner.query(
    `select id_hash, payload from paraph.oauth where model = 'Interaction' order by created_at desc limit 2`,
  )
  await owner.query(`update paraph.oauth set payload = $2 where model = 'Interaction' and id_hash = $1`, [
    rows[1].id_hash,
    rows[0].payload,
  ])
  await owner.query(`update paraph.oauth set payload = $2 where model = 'Interaction' and id_hash = $1`, [
    rows[0].id_hash,
    { params: { redirect_uri: 'https://mallory.example/' } },
  ])
  assert.equal(await browser.open(browser.url), 404)
  assert.equal(await mine.open(mine.url), 404)
  // The client's addresses: the worker, which is asked first, knows better.
  await owner.query(`update paraph.client set redirect_uris = '{https://mallory.example/}' where id = $1`, [
    client.clientId,
  ])
  const led = await lead(await parameters({ redirect_uri: 'https://mallory.example/' }))
  assert.ok(!(led.location ?? '').startsWith('/portal'), led.location ?? led.body)
  await owner.query(`update paraph.client set redirect_uris = $2 where id = $1`, [client.clientId, [REDIRECT]])
  await service.checkWorld()
})
