/** What a credential's policy makes of our pages: who may answer, with what, and for how many files. */
import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, beforeEach, describe, test } from 'node:test'
import * as openid from 'openid-client'
import type { FormBrowser } from '../helpers/browser.js'
import { logged, spent, until } from '../helpers/csc.js'
import { keepSecret, TestService } from '../helpers/test-service.js'
import { ask as askWorker, newSecret, origin, pageSession, tokenHash } from './helpers.js'
import { ask, discover, post, REDIRECT, type Registered, register } from './oauth-client.js'

const SHA256 = '2.16.840.1.101.3.4.2.1'
const ECDSA = '1.2.840.10045.4.3.2'
const BAD_SAD = 'Invalid parameter SAD'

let service: TestService
let client: Registered
let other: Registered
let config: openid.Configuration
/** One answer may cover a session with it, for this client and for `basic`. */
let wide: string
let plain: string

before(async () => {
  service = await TestService.start({ workers: 2, fronts: 2, keys: ['p-256'] })
  plain = service.credentials['p-256'] as string
  client = await register(service)
  other = await register(service, { name: 'Other app' } as object)
  config = await discover(service, client)
  const sessionClients = [client.clientId, 'basic']
  wide = await service.newCredential(service.signer, 'p-256', { sessionWide: true, sessionCeiling: 5, sessionClients })
})
after(() => service?.close())
beforeEach(() => service.admin('signer.unlock', { signer: service.signer.login }))

const newDigests = (count = 1) =>
  service.digests(...Array.from({ length: count }, (_, i) => `on our pages ${randomUUID()} ${i}`))

/** Where a client sends its signer for these digests. */
async function urlOf(credentialID: string, hashes: string[], of = config) {
  const verifier = openid.randomPKCECodeVerifier()
  keepSecret(verifier)
  const url = openid.buildAuthorizationUrl(of, {
    scope: 'credential',
    credentialID,
    numSignatures: String(hashes.length),
    hashes: hashes.map((text) => Buffer.from(text, 'base64').toString('base64url')).join(','),
    hashAlgorithmOID: SHA256,
    redirect_uri: REDIRECT,
    code_challenge: await openid.calculatePKCECodeChallenge(verifier),
    code_challenge_method: 'S256',
  })
  return { url, verifier }
}

/** The page of a question, and the way from there to a token. */
async function question(credentialID: string, hashes: string[], of = config, signer = service.signer) {
  const { url, verifier } = await urlOf(credentialID, hashes, of)
  const browser = await ask(service, url, { signer })
  return {
    browser,
    action: browser.url,
    /** The answer, back at the client, and the token. */
    async token(fields: Record<string, string>) {
      const action = browser.url
      const sent = await browser.send('POST', action, { ...browser.hidden(action), answer: 'yes', ...fields })
      assert.equal(sent.status, 303, await sent.text())
      const back = await browser.send('GET', sent.headers.get('location') ?? '')
      const location = new URL(back.headers.get('location') ?? '')
      keepSecret(location.searchParams.get('code') ?? undefined)
      const tokens = await openid.authorizationCodeGrant(of, location, { pkceCodeVerifier: verifier })
      keepSecret(tokens.access_token)
      return tokens
    },
  }
}

const v2 = (method: string, bearer: string, body: object, front = 0) =>
  service.post(`/csc/v2/${method}`, body, { bearer, front })
const sign = (bearer: string, hashes: string[], more: object = {}, credentialID = wide) =>
  v2('signatures/signHash', bearer, { credentialID, hashes, hashAlgorithmOID: SHA256, signAlgo: ECDSA, ...more })
const extend = (bearer: string, SAD: string, hashes: string[], credentialID = wide) =>
  v2('credentials/extendTransaction', bearer, { credentialID, SAD, hashes, hashAlgorithmOID: SHA256 })
const scal = async (bearer: string) => (await v2('credentials/info', bearer, { credentialID: wide })).body.SCAL
const description = ({ status, body }: { status: number; body: { error_description?: string } }) => [
  status,
  body?.error_description,
]

/** The ways to agree that a page offers. */
const offered = ({ html }: FormBrowser) => ({
  code: html.includes('name="code"'),
  session: html.includes('name="session"'),
  no: html.includes('value="no"'),
})

/** A token for the service of the same client and signer. */
async function serviceToken(): Promise<string> {
  const name = newSecret()
  const wish = { kind: 'service', way: 'oauth', clientId: client.clientId, redirectUri: REDIRECT } as const
  const { approvalId } = await askWorker(service, 'requestApproval', { origin, name, ...wish })
  const bearer = await pageSession(service)
  await askWorker(service, 'readApproval', { origin, bearer, name })
  await askWorker(service, 'approve', { origin, bearer, approvalId, factors: {} })
  const token = newSecret()
  await askWorker(service, 'exchange', { origin, name, tokenHash: tokenHash(token) })
  return token
}

describe('an answer that covers the session', () => {
  test('is an unticked box with its limits, where the policy names the client', async () => {
    const { browser } = await question(wide, newDigests())
    const [box = ''] = /<input type="checkbox" id="session"[^>]*>/.exec(browser.html) ?? []
    assert.match(box, /name="session" value="5"/)
    assert.doesNotMatch(box, /checked/)
    assert.match(browser.html, /For 30 minutes at most, and 5 signatures at most, these included/)
    const unnamed = await question(wide, newDigests(), await discover(service, other))
    const without = await question(plain, newDigests())
    const more = await question(wide, newDigests(6))
    for (const { browser } of [unnamed, without, more])
      assert.deepEqual(offered(browser), { code: true, session: false, no: true })
  })

  test('takes one code for further files, up to the ceiling and until it is stopped', async () => {
    const [first, ...more] = newDigests(6) as [string, ...string[]]
    const { token } = await question(wide, [first])
    const tokens = await token({ code: await service.freshCode(), session: '5' })
    assert.ok(Number(tokens.expires_in) > 1780 && Number(tokens.expires_in) <= 1800, String(tokens.expires_in))
    assert.equal(tokens.refresh_token, undefined)
    const bearer = tokens.access_token
    const state = (await service.post('/signer/v1/session', {}, { bearer })).body
    assert.deepEqual(
      [state.remembered, state.authorizations.map(({ SCAL, total, remaining }: never) => [SCAL, total, remaining])],
      [true, [['1', 5, 5]]],
    )
    assert.equal(await scal(bearer), '1')
    assert.equal((await sign(bearer, [first])).status, 200)
    // Longer than a token that is not remembered.
    await service.moveClock(600_000)
    assert.deepEqual(description(await sign(bearer, [more[0] as string])), [
      400,
      'Hash is not authorized by neither SAD nor an access token with scope “credential”.',
    ])
    const extended = await extend(bearer, bearer, more.slice(0, 2))
    assert.equal(extended.status, 200, JSON.stringify(extended.body))
    assert.equal(extended.body.SAD, bearer, 'the token stays its own SAD')
    assert.equal((await sign(bearer, more.slice(0, 2))).status, 200)
    // As version 1 uses it: a SAD beside a token for the service.
    const beside = await serviceToken()
    assert.equal(await scal(beside), '1')
    const v1 = { credentialID: wide, SAD: bearer, hash: more.slice(2, 4) }
    const again = await service.post('/csc/v1/credentials/extendTransaction', v1, { bearer: beside, front: 1 })
    assert.deepEqual([again.status, again.body.SAD], [200, bearer], JSON.stringify(again.body))
    assert.deepEqual(description(await extend(bearer, bearer, [more[4] as string])), [
      400,
      'Numbers of signatures is too high',
    ])
    const two = { ...v1, hashAlgo: SHA256, signAlgo: ECDSA }
    assert.equal((await service.post('/csc/v1/signatures/signHash', two, { bearer: beside })).status, 200)
    assert.equal(await scal(beside), '2', 'nothing is left')
    assert.deepEqual(description(await extend(bearer, bearer, [more[4] as string])), [400, BAD_SAD])
    const world = await service.checkWorld()
    const granted = world.of('approval.granted').filter(({ leaf }) => leaf.f?.['session'] === 1)
    assert.deepEqual(
      granted.map(({ leaf }) => [leaf.f?.['ceiling'], leaf.f?.['factor']]),
      [[5, 'totp']],
    )
    assert.ok(world.of('auth.session_extended').length >= 1)
  })

  test('ends when its token is revoked, on every front', async () => {
    const hashes = newDigests(2)
    const { token } = await question(wide, hashes.slice(0, 1))
    const { access_token: bearer } = await token({ code: await service.freshCode(), session: '5' })
    const beside = await serviceToken()
    const { clientId: client_id, clientSecret: client_secret } = client
    assert.equal((await post(service, '/oauth2/revoke', { token: bearer, client_id, client_secret })).status, 204)
    for (const front of [0, 1]) {
      await until('the front has heard of it', async () => (await sign(bearer, hashes.slice(0, 1))).status === 401)
      assert.equal((await v2('credentials/info', bearer, { credentialID: wide }, front)).status, 401)
    }
    assert.deepEqual(description(await extend(beside, bearer, hashes.slice(1))), [400, BAD_SAD])
    assert.equal(await scal(beside), '2')
  })

  test('not ticked, stays what was shown', async () => {
    const [shown, further] = newDigests(2) as [string, string]
    const { token } = await question(wide, [shown])
    const { access_token: bearer, expires_in } = await token({ code: await service.freshCode() })
    assert.ok(Number(expires_in) <= 180)
    assert.equal(await scal(bearer), '2')
    assert.deepEqual(description(await extend(bearer, bearer, [further])), [400, BAD_SAD])
    assert.deepEqual(description(await extend(await serviceToken(), bearer, [further])), [400, BAD_SAD])
    assert.equal((await sign(bearer, [shown])).status, 200)
  })

  test('is refused in a forged form, before the code is looked at', async () => {
    const code = await service.freshCode()
    for (const [credential, session] of [
      [plain, '1000'],
      [wide, '1000'],
      [wide, '6'],
      [wide, 'yes'],
      [wide, '-5'],
      [wide, '5.0'],
      [wide, ''],
    ] as const) {
      const { browser, action } = await question(credential, newDigests())
      const before = await spent(service)
      assert.equal(await browser.submit(action, { answer: 'yes', code, session }), 400, session)
      assert.match(browser.html, /cannot be agreed to any more/)
      assert.equal(await spent(service), before, session)
    }
    const unnamed = await question(wide, newDigests(), await discover(service, other))
    assert.equal(await unnamed.browser.submit(unnamed.action, { answer: 'yes', code, session: '5' }), 400)
    const name = newSecret()
    const wish = { kind: 'service', way: 'oauth', clientId: client.clientId, redirectUri: REDIRECT } as const
    const { approvalId } = await askWorker(service, 'requestApproval', { origin, name, ...wish })
    const bearer = await pageSession(service)
    await askWorker(service, 'readApproval', { origin, bearer, name })
    await assert.rejects(askWorker(service, 'approve', { origin, bearer, approvalId, factors: {}, session: 5 }), {
      code: 'remember_not_allowed',
    })
    const { token } = await question(wide, newDigests())
    assert.ok((await token({ code })).access_token, 'and the code is still good')
  })

  test('gives nothing once the policy or the row is another', async () => {
    const policy = { sessionWide: true, sessionClients: [client.clientId], sessionCeiling: 5 }
    const credentialID = await service.newCredential(service.signer, 'p-256', policy)
    const answered = async () => {
      const { browser, action } = await question(credentialID, newDigests())
      const name = action.split('/').at(-1) as string
      const fields = { ...browser.hidden(action), answer: 'yes', code: await service.freshCode(), session: '5' }
      assert.equal((await browser.send('POST', action, fields)).status, 303)
      return name
    }
    const exchange = (name: string) =>
      askWorker(service, 'exchange', { origin, name, tokenHash: tokenHash(newSecret()) })
    const changed = await answered()
    await service.admin('credential.policy', { credentialID, ...policy, sessionCeiling: 4 })
    await assert.rejects(exchange(changed), { code: 'remember_not_allowed' })
    await service.admin('credential.policy', { credentialID, ...policy, factors: ['passkey', 'sms'] })
    await assert.rejects(
      exchange(changed),
      { code: 'approval_unknown' },
      'nor with a factor that is no longer accepted',
    )
    await service.admin('credential.policy', { credentialID, ...policy })
    const owner = await service.owner()
    const put = (ceiling: number | null) =>
      owner.query(
        `update paraph.approval set session_ceiling = $1
          where id = (select id from paraph.approval where credential_id = $2 order by created_at desc limit 1)`,
        [ceiling, credentialID],
      )
    const name = await answered()
    for (const ceiling of [1000, null]) {
      await put(ceiling)
      await assert.rejects(exchange(name), { code: 'internal' }, String(ceiling))
    }
    await put(5)
    await exchange(name)
    await service.checkWorld()
  })
})

describe('out of band', () => {
  const asking = (bearer: string, credentialID: string, hashes: string[]) => {
    const common = { credentialID, numSignatures: hashes.length, hashes, hashAlgorithmOID: SHA256 }
    return v2('credentials/authorize', bearer, { ...common, authData: [{ id: 'APPROVAL' }] })
  }

  test('the same box opens what a remembered session opens', async () => {
    const bearer = await service.login()
    const [first, further] = newDigests(2) as [string, string]
    const { status, body } = await asking(bearer, wide, [first])
    assert.equal(status, 202, JSON.stringify(body))
    keepSecret(body.handle)
    const pages = await pageSession(service)
    const { approvals } = await askWorker(service, 'listApprovals', { origin, bearer: pages })
    assert.deepEqual(approvals[0]?.session, { ceiling: 5, minutes: 30 })
    const approvalId = body.approvalID
    const factors = { code: await service.freshCode() }
    await askWorker(service, 'approve', { origin, bearer: pages, approvalId, factors, session: 5 })
    await service.moveClock(2_000)
    const got = await v2('credentials/authorizeCheck', bearer, { handle: body.handle })
    assert.equal(got.status, 200, JSON.stringify(got.body))
    keepSecret(got.body.SAD)
    assert.ok(got.body.expiresIn > 1780 && got.body.expiresIn <= 1800)
    assert.deepEqual(
      (await logged(service, got)).map(({ ev, f }) => [ev, f]),
      [
        ['auth.session_extended', undefined],
        ['sad.issued', { factor: 'totp', kind: 'bound', pin: 0, session: 1, total: 5 }],
      ],
    )
    await service.moveClock(600_000)
    const more = await extend(bearer, got.body.SAD, [first, further])
    assert.equal(more.status, 200, JSON.stringify(more.body))
    keepSecret(more.body.SAD)
    assert.equal((await sign(bearer, [first, further], { SAD: more.body.SAD })).status, 200)
    await service.checkWorld()
  })
})

describe('a code that is sent', () => {
  const outbox = () =>
    readdirSync(join(service.folder, 'outbox'))
      .sort()
      .map((name) => JSON.parse(readFileSync(join(service.folder, 'outbox', name), 'utf8')) as Record<string, string>)

  test('is asked for on the page, agrees to this question once, and only where the credential accepts it', async () => {
    const login = 'by-mail@example.test'
    const { password = '' } = await service.admin('signer.create', { login, name: 'By Mail', email: login })
    keepSecret(password)
    await service.admin('authenticator.enrolDelivered', { signer: login, kind: 'email' })
    const signer = { login, password, secret: '' }
    const mailed = await service.newCredential(signer, 'p-256', {})
    const unmailed = await service.newCredential(signer, 'p-256', { factors: ['totp'] })

    const refused = await question(unmailed, newDigests(), config, signer)
    assert.doesNotMatch(refused.browser.html, /value="send"/)
    assert.match(refused.browser.html, /does not take any way to agree/)

    const hashes = newDigests(2)
    const { browser, action, token } = await question(mailed, hashes, config, signer)
    assert.match(browser.html, /Send me a code/)
    assert.equal(await browser.submit(action, { answer: 'send' }), 200)
    assert.match(browser.html, /A code is on its way to b\*\*\*@example\.test/)
    const [message] = outbox().slice(-1)
    const code = /\b\d{8}\b/.exec(message?.text ?? '')?.[0] ?? ''
    keepSecret(code)
    assert.deepEqual([message?.to, message?.text?.includes('for signing with')], [login, true])
    // Another one at once is not sent, and the first stays good.
    assert.equal(await browser.submit(action, { answer: 'send' }), 200)
    assert.match(browser.html, /You were sent a code already/)
    assert.equal(await browser.submit(action, { answer: 'yes', code: '00000000' }), 400)

    // For this client and credential, and no other.
    const elsewhere = await service.newCredential(signer, 'p-256', {})
    const other = await question(elsewhere, newDigests(), config, signer)
    assert.equal(await other.browser.submit(other.action, { answer: 'yes', code }), 400)

    const { access_token } = await token({ code })
    const signed = await v2('signatures/signHash', access_token, {
      ...{ credentialID: mailed, hashes, hashAlgorithmOID: SHA256, signAlgo: ECDSA },
    })
    assert.equal(signed.status, 200, JSON.stringify(signed.body))
    const again = await question(mailed, newDigests(), config, signer)
    assert.equal(await again.browser.submit(again.action, { answer: 'yes', code }), 400)

    const world = await service.checkWorld()
    const sent = world.of('factor.challenge_sent').map(({ leaf, open }) => [leaf.out, leaf.why, open.get('credential')])
    assert.deepEqual(sent, [
      ['ok', undefined, mailed],
      ['refused', 'too_many_codes', mailed],
    ])
    const granted = world.of('approval.granted').filter(({ open }) => open.get('credential') === mailed)
    assert.deepEqual(
      granted.filter(({ leaf }) => leaf.out === 'ok').map(({ leaf }) => leaf.f?.factor),
      ['email'],
    )
  })

  test('for a question that is not the signer’s, or answered, nothing is sent', async () => {
    const login = 'not-his@example.test'
    const { password = '' } = await service.admin('signer.create', { login, name: 'Not His', email: login })
    keepSecret(password)
    await service.admin('authenticator.enrolDelivered', { signer: login, kind: 'email' })
    const stranger = await pageSession(service, { login, password, secret: '' })
    const name = newSecret()
    const [hash] = newDigests()
    const { approvalId } = await askWorker(service, 'requestApproval', {
      ...({
        origin,
        name,
        way: 'oauth',
        kind: 'credential',
        clientId: client.clientId,
        redirectUri: REDIRECT,
      } as const),
      ...({ credentialId: plain, numSignatures: 1, digests: [hash as string], digestAlgorithm: 'sha-256' } as const),
    })
    const bearer = await pageSession(service)
    await askWorker(service, 'readApproval', { origin, bearer, name })
    const before = outbox().length
    for (const who of [stranger, newSecret()]) {
      const sending = askWorker(service, 'sendApprovalCode', { origin, bearer: who, approvalId })
      await assert.rejects(sending, { code: who === stranger ? 'approval_unknown' : 'token_unknown' })
    }
    // His own, but he has nothing that codes are sent to.
    await assert.rejects(askWorker(service, 'sendApprovalCode', { origin, bearer, approvalId }), {
      code: 'credential_unknown',
    })
    await askWorker(service, 'deny', { origin, bearer, approvalId })
    await assert.rejects(askWorker(service, 'sendApprovalCode', { origin, bearer, approvalId }), {
      code: 'approval_unknown',
    })
    assert.equal(outbox().length, before)
    await service.checkWorld()
  })
})

describe('a policy', () => {
  test('of factors: what is not accepted is neither offered nor taken', async () => {
    for (const factors of [['sms'], ['passkey']] as const) {
      const credentialID = await service.newCredential(service.signer, 'p-256', { factors: [...factors] })
      const { browser, action } = await question(credentialID, newDigests())
      assert.deepEqual(offered(browser), { code: false, session: false, no: true }, String(factors))
      assert.doesNotMatch(browser.html, /data-passkey/)
      assert.match(browser.html, /does not take any way to agree that you have set up/)
      const code = await service.freshCode()
      assert.equal(await browser.submit(action, { answer: 'yes', code }), 400)
      const name = action.split('/').at(-1) as string
      const exchange = askWorker(service, 'exchange', { origin, name, tokenHash: tokenHash(newSecret()) })
      await assert.rejects(exchange, { code: 'approval_unknown' })
      assert.equal((await browser.send('POST', action, { ...browser.hidden(action), answer: 'no' })).status, 303)
      // Of a credential that takes it, the very code is good.
      const { token } = await question(plain, newDigests())
      assert.ok((await token({ code })).access_token)
    }
  })

  test('of clients: one that is not named is not even asked about', async () => {
    const credentialID = await service.newCredential(service.signer, 'p-256', { clients: [other.clientId] })
    const { browser } = await question(credentialID, newDigests())
    assert.deepEqual(offered(browser), { code: false, session: false, no: false })
    const named = await question(credentialID, newDigests(), await discover(service, other))
    assert.deepEqual(offered(named.browser), { code: true, session: false, no: true })
    // Named when it asked, and not any more when the signer answers, or when it comes for the token.
    await service.admin('credential.policy', { credentialID, clients: [client.clientId] })
    const code = await service.freshCode()
    const before = await spent(service)
    await named.browser.submit(named.action, { answer: 'yes', code })
    assert.equal(await spent(service), before, 'the code is not looked at')
    const { browser: asked, action } = await question(credentialID, newDigests())
    await asked.send('POST', action, { ...asked.hidden(action), answer: 'yes', code })
    await service.admin('credential.policy', { credentialID, clients: ['basic'] })
    const name = action.split('/').at(-1) as string
    const exchange = askWorker(service, 'exchange', { origin, name, tokenHash: tokenHash(newSecret()) })
    await assert.rejects(exchange, { code: 'client_not_allowed' })
    const bearer = await service.login()
    await service.admin('credential.policy', { credentialID, clients: [other.clientId] })
    const hashes = newDigests()
    const wish = { credentialID, numSignatures: 1, hashes, hashAlgorithmOID: SHA256, authData: [{ id: 'APPROVAL' }] }
    const refused = await v2('credentials/authorize', bearer, wish)
    assert.deepEqual([refused.status, refused.body.error], [400, 'unauthorized_client'])
    await service.checkWorld()
  })
})
