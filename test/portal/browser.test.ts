/** Our pages in a real browser, as a person uses them. */
import assert from 'node:assert/strict'
import { createHash, createPublicKey, randomBytes, verify } from 'node:crypto'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { after, before, describe, test } from 'node:test'
import type { PolicyArguments } from '../../src/activation.js'
import {
  type Browser,
  type BrowserContextOptions,
  checkPage,
  DESKTOP,
  launch,
  type Page,
  PHONE,
  readQrCode,
  withPasskeys,
} from '../helpers/chromium.js'
import { keepSecret, TestService, type TestSigner } from '../helpers/test-service.js'
import { type Registered, register } from '../oauth/oauth-client.js'

const PASSWORD = 'a long enough password'
const SHA256 = '2.16.840.1.101.3.4.2.1'

let service: TestService
let browser: Browser
/** The application that signers come back to. */
const application = createServer((_request, response) => response.end('back at the application'))
let redirect = ''
before(async () => {
  service = await TestService.start({ forBrowser: true, keys: ['p-256'] })
  browser = await launch()
  await new Promise<void>((resolve) => application.listen(0, '127.0.0.1', resolve))
  redirect = `http://127.0.0.1:${(application.address() as AddressInfo).port}/callback`
  keepSecret(PASSWORD)
})
after(async () => {
  await browser?.close()
  application.close()
  await service.close()
})

/** Where no script runs, none can look either. */
const unseen = async () => {}

let count = 0
async function invited(): Promise<{ login: string; url: string }> {
  const login = `browser-${++count}@example.test`
  await service.admin('signer.create', { login, name: 'Zażółć Gęślą', password: 'to be forgotten 1' })
  await (await service.owner()).query('update paraph.signer set password_hash = null where login = $1', [login])
  const { link } = await service.admin('authenticator.invite', { signer: login })
  keepSecret(link)
  return { login, url: `${service.publicUrl}/portal/activate/${link}` }
}

async function open(options: BrowserContextOptions): Promise<Page> {
  const context = await browser.newContext(options)
  const page = await context.newPage()
  page.setDefaultTimeout(20_000)
  return page
}

/** Follows a link, reading the secret from the picture as a phone does. */
async function activate(
  page: Page,
  look: (page: Page) => Promise<void>,
): Promise<{ signer: TestSigner; codes: string[] }> {
  const { login, url } = await invited()
  await page.goto(url)
  await look(page)
  const secret = new URL(await readQrCode(page)).searchParams.get('secret') ?? ''
  keepSecret(secret)
  const signer = { login, password: PASSWORD, secret }
  await page.fill('#password', PASSWORD)
  await page.fill('#again', PASSWORD)
  await page.fill('#code', await service.freshCode(signer))
  await page.click('main form button')
  await page.waitForSelector('ul.codes')
  await look(page)
  const codes = await page.locator('ul.codes li').allTextContents()
  keepSecret(...codes)
  return { signer, codes }
}

async function signIn(page: Page, { login }: TestSigner, look: (page: Page) => Promise<void>): Promise<void> {
  await page.goto(`${service.publicUrl}/portal`)
  await look(page)
  if ((await page.locator('#login').count()) === 0) return
  await page.fill('#login', login)
  await page.fill('#password', PASSWORD)
  await page.click('main form button')
  await page.waitForURL(`${service.publicUrl}/portal`)
}

interface Asked {
  readonly page: Page
  readonly credential: string
  readonly hashes: string[]
  readonly verifier: string
  readonly client: Registered
}

/** An application sends the signer to us, who sees who asks for what, and the comparison code. */
async function askFor(page: Page, signer: TestSigner, policy: PolicyArguments = {}): Promise<Asked> {
  const credential = await service.newCredential(signer, 'p-256', { description: 'My key', ...policy })
  const client = await register(service, { redirectUris: [redirect] })
  const hashes = service.digests(`one of ${credential}`, `two of ${credential}`)
  const verifier = randomBytes(32).toString('base64url')
  keepSecret(verifier)
  const query = new URLSearchParams({
    response_type: 'code',
    client_id: client.clientId,
    redirect_uri: redirect,
    scope: 'credential',
    code_challenge: createHash('sha256').update(verifier).digest('base64url'),
    code_challenge_method: 'S256',
    credentialID: credential,
    numSignatures: '2',
    hashes: hashes.map((text) => Buffer.from(text, 'base64').toString('base64url')).join(','),
    hashAlgorithmOID: SHA256,
    description: 'Two contracts',
    state: 'as sent',
  })
  await page.goto(`${service.publicUrl}/oauth2/authorize?${query}`)
  const text = await page.locator('main').innerText()
  for (const part of ['Signing app', 'My key', 'Two contracts']) assert.ok(text.includes(part), part)
  assert.match(await page.locator('.compare').innerText(), /^\d{6}$/)
  return { page, credential, hashes, verifier, client }
}

async function askToDelete(page: Page, credentialID: string): Promise<void> {
  const scopes = ['service', 'credential', 'credential-deletion']
  const { clientId } = await register(service, { redirectUris: [redirect], scopes } as object)
  const query = new URLSearchParams({
    response_type: 'code',
    client_id: clientId,
    redirect_uri: redirect,
    scope: 'credential-deletion',
    code_challenge: createHash('sha256').update(clientId).digest('base64url'),
    code_challenge_method: 'S256',
    credentialID,
  })
  await page.goto(`${service.publicUrl}/oauth2/authorize?${query}`)
}

/** The way back, the token, and as many signatures as were approved. */
async function signed({ page, credential, hashes, verifier, client }: Asked): Promise<void> {
  await page.waitForURL(`${redirect}*`)
  const back = new URL(page.url())
  assert.equal(back.searchParams.get('state'), 'as sent')
  const code = back.searchParams.get('code') ?? ''
  keepSecret(code)
  const response = await fetch(`${service.urls[0]}/oauth2/token`, {
    method: 'POST',
    headers: { 'content-type': 'application/x-www-form-urlencoded' },
    body: new URLSearchParams({
      grant_type: 'authorization_code',
      client_id: client.clientId,
      client_secret: client.clientSecret,
      redirect_uri: redirect,
      code_verifier: verifier,
      code,
    }),
  })
  const { access_token: bearer } = (await response.json()) as { access_token: string }
  assert.equal(response.status, 200)
  keepSecret(bearer)
  const request = { credentialID: credential, hashes, hashAlgorithmOID: SHA256, signAlgo: '1.2.840.10045.4.3.2' }
  const { status, body } = await service.post('/csc/v2/signatures/signHash', request, { bearer })
  assert.equal(status, 200, JSON.stringify(body))
  assert.equal(body.signatures.length, 2)
}

/** Verifies again, from the log alone, what the passkey approved: these hashes, for this client and credential. */
async function approvedAsWritten({ credential, hashes, client }: Asked): Promise<void> {
  const { rows } = await (await service.owner()).query(
    `select o.fields from audit.entry e join audit.event_type t on t.ev = e.ev join audit.opening o on o.idx = e.idx
      where t.name = 'approval.granted' and o.class = 1 and o.fields like '%assertion%' order by e.idx desc limit 1`,
  )
  const opened = Object.fromEntries(JSON.parse(rows[0]?.fields)) as Record<string, string>
  const { statement, publicKey, response, origin } = JSON.parse(opened.assertion ?? '')
  const lines = statement.split('\n')
  assert.deepEqual(lines.slice(3, 6), [client.clientId, credential, 'sha-256'])
  assert.deepEqual(
    lines.slice(8),
    hashes.map((text) => Buffer.from(text, 'base64').toString('base64url')),
  )
  const clientData = Buffer.from(response.response.clientDataJSON, 'base64url')
  const authenticatorData = Buffer.from(response.response.authenticatorData, 'base64url')
  const { challenge, type, origin: where } = JSON.parse(clientData.toString())
  assert.deepEqual([type, where], ['webauthn.get', service.publicUrl])
  assert.equal(origin, service.publicUrl)
  assert.equal(challenge, createHash('sha256').update(statement).digest('base64url'))
  assert.ok(((authenticatorData[32] ?? 0) & 4) !== 0, 'the user was verified')
  const key = createPublicKey({ key: coseToJwk(Buffer.from(publicKey, 'base64url')), format: 'jwk' })
  const message = Buffer.concat([authenticatorData, createHash('sha256').update(clientData).digest()])
  assert.ok(verify('sha256', message, key, Buffer.from(response.response.signature, 'base64url')))
}

/** A COSE_Key of P-256 (RFC 9053 §7.1.1): the coordinates stand after the labels -2 and -3. */
function coseToJwk(cose: Buffer) {
  const coordinate = (label: number) => {
    const at = cose.indexOf(Buffer.from([label, 0x58, 0x20]))
    return cose.subarray(at + 3, at + 35).toString('base64url')
  }
  return { kty: 'EC', crv: 'P-256', x: coordinate(0x21), y: coordinate(0x22) }
}

/** By a handle, as the client `basic`; the signer finds it on the account page. */
async function askByHandle(page: Page, signer: TestSigner, policy: PolicyArguments = {}) {
  const credentialID = await service.newCredential(signer, 'p-256', { description: 'My key', ...policy })
  const hashes = service.digests(`by handle for ${credentialID}`)
  const bearer = await service.login(signer)
  const { status, body } = await service.post(
    '/csc/v2/credentials/authorize',
    {
      ...{ credentialID, numSignatures: 1, hashes, hashAlgorithmOID: SHA256, description: 'A lease' },
      authData: [{ id: 'APPROVAL' }],
    },
    { bearer },
  )
  assert.equal(status, 202, JSON.stringify(body))
  keepSecret(body.handle)
  await signIn(page, signer, unseen)
  // The newest is the last of those that wait.
  const waiting = page.locator('a[href^="/portal/answer/"]').last()
  await checkPage(page)
  await waiting.click()
  await page.waitForURL(/portal.answer/)
  assert.equal(await page.locator('.compare').innerText(), body.comparison, 'the code that the client was told')
  await checkPage(page)
  const collect = async () => {
    await service.moveClock(2_000)
    return (await service.post('/csc/v2/credentials/authorizeCheck', { handle: body.handle }, { bearer })).body
  }
  return { credentialID, hashes, bearer, collect }
}

/** What the passkey last signed, as the log keeps it, a line each. */
async function lastStatement(): Promise<string[]> {
  const { rows } = await (await service.owner()).query(
    `select o.fields from audit.entry e join audit.event_type t on t.ev = e.ev join audit.opening o on o.idx = e.idx
      where t.name = 'approval.granted' and o.class = 1 and o.fields like '%assertion%' order by e.idx desc limit 1`,
  )
  const opened = Object.fromEntries(JSON.parse(rows[0]?.fields)) as Record<string, string>
  const { statement, response } = JSON.parse(opened.assertion ?? '')
  const { challenge } = JSON.parse(Buffer.from(response.response.clientDataJSON, 'base64url').toString())
  assert.equal(challenge, createHash('sha256').update(statement).digest('base64url'))
  return statement.split('\n')
}

for (const [name, options] of [
  ['a phone, in Polish', { ...PHONE, locale: 'pl-PL' }],
  ['a desktop, in English, in the dark', { ...DESKTOP, locale: 'en-GB', colorScheme: 'dark' }],
] as const) {
  describe(`on ${name}`, () => {
    test('activates by link and picture without scripts, and signs in', async () => {
      const page = await open({ ...options, javaScriptEnabled: false })
      const { signer, codes } = await activate(page, unseen)
      assert.equal(codes.length, 10)
      await signIn(page, signer, unseen)
      await page.locator('summary').first().waitFor()
      for (const summary of await page.locator('summary').all()) await summary.click()
      assert.match(await page.content(), new RegExp(signer.login))
      await page.context().close()
    })

    test('approves by code without scripts, and the application signs', async () => {
      const page = await open({ ...options, javaScriptEnabled: false })
      const { signer } = await activate(page, unseen)
      await signIn(page, signer, unseen)
      const asked = await askFor(page, signer)
      await page.fill('#code', await service.freshCode(signer))
      await page.locator('button[value=yes]').click()
      await signed(asked)
      await page.context().close()
    })

    test('adds a passkey, which takes a code, and approves with it', async () => {
      const page = await open(options)
      await withPasskeys(page.context(), page)
      const { signer } = await activate(page, checkPage)
      await signIn(page, signer, checkPage)
      for (const summary of await page.locator('summary').all()) await summary.click()
      await checkPage(page)
      const form = page.locator('form[action="/portal/account/new-passkey"]')
      await form.locator('input[name=code]').fill('00000000')
      await form.locator('button').click()
      await page.waitForSelector('.message.bad')
      await form.locator('input[name=code]').fill(await service.freshCode(signer))
      await form.locator('button').click()
      await page.waitForSelector('#label')
      await checkPage(page)
      await page.fill('#label', 'my phone')
      await page.click('form[data-passkey] button')
      await page.waitForURL(/done=passkey/)
      assert.match(await page.content(), /my phone/)

      await signIn(page, signer, unseen)
      const asked = await askFor(page, signer)
      await checkPage(page)
      await page.locator('form[data-passkey] button').click()
      await signed(asked)
      await approvedAsWritten(asked)
      await page.goto(`${service.publicUrl}/portal`)

      // For the session: an unticked box, which is part of what the passkey signs.
      const policy = { sessionWide: true, sessionCeiling: 7, sessionClients: ['basic'] }
      const wide = await askByHandle(page, signer, policy)
      const boxes = page.locator('input[name=session]')
      assert.deepEqual([await boxes.count(), await page.locator('input[name=session]:checked').count()], [2, 0])
      await page.locator('#passkey-session').check()
      await page.locator('form[data-passkey] button').click()
      await page.waitForURL(/done=approved/)
      await checkPage(page)
      const [tag, ...lines] = await lastStatement()
      assert.deepEqual([tag, ...lines.slice(7, 9)], ['paraph/approve-session/v1', '7', '1800'])
      const { SAD, expiresIn } = await wide.collect()
      keepSecret(SAD)
      assert.ok(expiresIn > 1780)

      // And the other way about: what the passkey signed is not what the form says.
      const narrow = await askByHandle(page, signer, policy)
      await page.evaluate(`{
        const { dataset } = document.querySelector('form[data-passkey]')
        const ask = JSON.parse(dataset.passkey)
        dataset.passkey = JSON.stringify({ ...ask, sessionChallenge: ask.challenge })
      }`)
      await page.locator('#passkey-session').check()
      await page.locator('form[data-passkey] button').click()
      await page.waitForSelector('.message.bad')
      assert.deepEqual(Object.keys(await narrow.collect()), ['handle'], 'it still waits')

      // Not accepted: not offered, and not taken by whoever had the page open before.
      const late = await askByHandle(page, signer)
      await service.admin('credential.policy', { credentialID: late.credentialID, factors: ['totp'] })
      await page.locator('form[data-passkey] button').click()
      await page.waitForSelector('.message.bad')
      assert.deepEqual(Object.keys(await late.collect()), ['handle'], 'it still waits')
      await page.reload()
      assert.equal(await page.locator('form[data-passkey]').count(), 0)
      await page.fill('#code', await service.freshCode(signer))
      await page.locator('button[value=yes]').click()
      await page.waitForURL(/done=approved/)
      keepSecret((await late.collect()).SAD)

      await service.admin('credential.policy', { credentialID: late.credentialID, factors: ['passkey'] })
      await askFor(page, signer, { factors: ['passkey'] })
      assert.equal(await page.locator('#code').count(), 0)
      await checkPage(page)
      await askFor(page, signer, { factors: ['sms'] })
      assert.equal(await page.locator('button[value=yes]').count(), 0)
      await checkPage(page)
      await askToDelete(page, late.credentialID)
      await checkPage(page)
      await page.goto(`${service.publicUrl}/oauth2/authorize?client_id=nobody`)
      assert.match(await page.locator('main').innerText(), /invalid_client/)
      await checkPage(page)
      await page.context().close()
      const { rows } = await (await service.owner()).query(
        `select kind from paraph.factor f join paraph.signer g on g.id = f.signer_id where g.login = $1 and f.state = 'active' order by kind`,
        [signer.login],
      )
      assert.deepEqual(
        rows.map(({ kind }) => kind),
        ['passkey', 'totp'],
      )
      await service.checkWorld()
    })
  })
}
