import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { FormBrowser } from '../helpers/browser.js'
import { keepSecret, TestService, type TestSigner } from '../helpers/test-service.js'

/** Three days, in milliseconds: how long a replacement waits. */
const WAIT = 72 * 3600_000

let service: TestService
before(async () => {
  service = await TestService.start({ fronts: 2, workers: 2, keys: ['p-256'] })
})
after(() => service.close())

let count = 0
/** A signer as production makes one: without a password or an authenticator. */
async function invited(contact: { email?: string; phone?: string } = {}): Promise<{ login: string; link: string }> {
  const login = `new-${++count}@example.test`
  await service.admin('signer.create', { login, name: 'New Signer', password: 'to be forgotten 1', ...contact })
  await (await service.owner()).query('update paraph.signer set password_hash = null where login = $1', [login])
  return { login, link: await linkOf(login) }
}

async function linkOf(login: string): Promise<string> {
  const { link } = await service.admin('authenticator.invite', { signer: login })
  keepSecret(link)
  return link
}

/** The secret that the page shows. */
function secretOn(browser: FormBrowser): string {
  const secret = /class="mono">([A-Z2-7 ]+)</.exec(browser.html)?.[1]?.replaceAll(' ', '')
  assert.ok(secret, browser.html)
  keepSecret(secret)
  return secret
}

const codesOn = (browser: FormBrowser) => {
  const codes = [...browser.html.matchAll(/<li>([a-z2-9]{4}(?:-[a-z2-9]{4}){3})<\/li>/g)].map(
    ([, code]) => code as string,
  )
  keepSecret(...codes)
  return codes
}

/** Follows a link to its end. */
async function activate(login: string, link: string, password?: string) {
  const browser = new FormBrowser(service)
  assert.equal(await browser.open(`/portal/activate/${link}`), 200)
  const signer: TestSigner = { login, password: password ?? '', secret: secretOn(browser) }
  await service.freshCode(signer)
  const fields = password === undefined ? {} : { password, again: password }
  const status = await browser.submit(`/portal/activate/${link}`, { ...fields, code: service.code(signer) })
  return { browser, status, signer, codes: codesOn(browser) }
}

async function signedIn(signer: TestSigner, front = 0): Promise<FormBrowser> {
  const browser = new FormBrowser(service, front)
  await browser.open('/portal')
  keepSecret(signer.password)
  assert.equal(await browser.submit('/portal/sign-in', { login: signer.login, password: signer.password }), 200)
  assert.match(browser.html, /Signed in as/)
  return browser
}

describe('a one-use link', () => {
  test('sets the password, enrols the authenticator, gives recovery codes; and the signer signs', async () => {
    const { login, link } = await invited()
    const { status, signer, codes } = await activate(login, link, 'a long enough password')
    assert.equal(status, 200)
    assert.equal(codes.length, 10)
    const credential = await service.newCredential(signer, 'p-256')
    const bearer = await service.login(signer)
    const hashes = service.digests('activated')
    const sad = await service.authorize(bearer, credential, hashes, { signer })
    const answer = await service.signHash(bearer, credential, sad, hashes, { signAlgo: '1.2.840.10045.4.3.2' })
    assert.equal(answer.status, 200)
    await service.checkWorld()
  })

  test('works once, also for twenty at the same time on two fronts', async () => {
    const { login, link } = await invited()
    const browsers = await Promise.all(
      Array.from({ length: 20 }, async (_, i) => {
        const browser = new FormBrowser(service, i % 2)
        await browser.open(`/portal/activate/${link}`)
        return browser
      }),
    )
    const secrets = new Set(browsers.map(secretOn))
    assert.equal(secrets.size, 1, 'every look shows the same authenticator')
    const signer = { login, password: 'a long enough password', secret: [...secrets][0] as string }
    const code = await service.freshCode(signer)
    const fields = { password: signer.password, again: signer.password, code }
    const answers = await Promise.all(browsers.map((browser) => browser.submit(`/portal/activate/${link}`, fields)))
    assert.deepEqual(answers.toSorted(), [200, ...Array(19).fill(404)])
    const { authenticators } = await service.admin('authenticator.list', { signer: login })
    assert.equal(authenticators.length, 1)
    assert.equal(await new FormBrowser(service).open(`/portal/activate/${link}`), 404)
    await service.checkWorld()
  })

  test('is as unknown as any other when it is used, taken back, replaced, too old, or a stranger wrote its row', async () => {
    const pages: string[] = []
    const look = async (link: string) => {
      const browser = new FormBrowser(service)
      assert.equal(await browser.open(`/portal/activate/${link}`), 404)
      pages.push(browser.html.replaceAll(link, ''))
    }
    await look('A'.repeat(43))
    const used = await invited()
    await activate(used.login, used.link, 'a long enough password')
    await look(used.link)
    const back = await invited()
    await service.admin('authenticator.cancel', { signer: back.login })
    await look(back.link)
    const first = await invited()
    await linkOf(first.login)
    await look(first.link)
    const other = await invited()
    const victim = await invited()
    await (await service.owner()).query(
      `update paraph.invitation set signer_id = (select id from paraph.signer where login = $1)
        where signer_id = (select id from paraph.signer where login = $2)`,
      [victim.login, other.login],
    )
    await look(other.link)
    const old = await invited()
    await service.moveClock(WAIT + 1000)
    await look(old.link)
    assert.equal(new Set(pages).size, 1, 'the pages tell nothing apart')
  })

  test('refuses a wrong code, a weak password and two different ones, and is not used up by that', async () => {
    const { login, link } = await invited()
    const browser = new FormBrowser(service)
    await browser.open(`/portal/activate/${link}`)
    const signer = { login, password: '', secret: secretOn(browser) }
    const path = `/portal/activate/${link}`
    const good = 'a long enough password'
    const right = async () => service.freshCode(signer)
    assert.equal(await browser.submit(path, { password: good, again: good, code: '00000000' }), 400)
    assert.match(browser.html, /This code is not right/)
    assert.equal(await browser.submit(path, { password: 'short', again: 'short', code: await right() }), 400)
    assert.match(browser.html, /longer password/)
    assert.equal(await browser.submit(path, { password: good, again: `${good}x`, code: await right() }), 400)
    assert.match(browser.html, /not the same/)
    assert.equal(await browser.submit(path, { password: `${login} 1`, again: `${login} 1`, code: await right() }), 400)
    assert.equal(await browser.submit(path, { password: good, again: good, code: await right() }), 200)
    await service.checkWorld()
  })

  test('its code is spent with it', async () => {
    const { login, link } = await invited()
    const { signer } = await activate(login, link, 'a long enough password')
    const credential = await service.newCredential(signer, 'p-256')
    const bearer = await service.login(signer)
    await assert.rejects(
      service.authorize(bearer, credential, service.digests('again'), { signer, code: service.code(signer) }),
      /invalid_authentication_data/,
    )
  })
})

describe('a link for another password', () => {
  test('takes a code of the signer, sets it once, and ends every login', async () => {
    const { login, link } = await invited()
    await assert.rejects(service.admin('signer.inviteReset', { signer: login }), /has no authenticator/)
    const { signer } = await activate(login, link, 'a long enough password')
    const bearer = await service.login(signer)
    const { link: reset } = await service.admin('signer.inviteReset', { signer: login })
    keepSecret(reset)
    const path = `/portal/activate/${reset}`
    const browser = new FormBrowser(service)
    await browser.open(path)
    assert.ok(!browser.html.includes('class="qr"'), 'it shows no authenticator')
    const password = 'another long password'
    assert.equal(await browser.submit(path, { password, again: password, code: '00000000' }), 400)
    assert.equal((await service.post('/csc/v2/credentials/list', {}, { bearer })).status, 200, 'nothing has changed')
    const code = await service.freshCode(signer)
    assert.equal(await browser.submit(path, { password, again: password, code }), 200)
    assert.equal((await service.post('/csc/v2/credentials/list', {}, { bearer })).status, 401)
    assert.equal(await browser.open(path), 404)
    await assert.rejects(service.login(signer))
    await service.login({ ...signer, password })
    await service.checkWorld()
  })
})

describe('replacing authenticators without one', () => {
  test('waits three days, ends everything old, and its signer can stop it without a code', async () => {
    const { login, link } = await invited()
    const { signer } = await activate(login, link, 'a long enough password')
    const second = await linkOf(login)
    const browser = new FormBrowser(service)
    assert.equal(await browser.open(`/portal/activate/${second}`), 403)
    assert.match(browser.html, /does not work yet/)

    const account = await signedIn(signer)
    assert.match(account.html, /A new authenticator was asked for/)
    assert.equal(await account.submit('/portal/account/stop-replacement', {}), 200)
    assert.equal(await browser.open(`/portal/activate/${second}`), 404)

    const third = await linkOf(login)
    await service.moveClock(WAIT)
    const bearer = await service.login(signer)
    const { signer: renewed, codes } = await activate(login, third)
    assert.equal(codes.length, 10)
    assert.equal((await service.post('/csc/v2/credentials/list', {}, { bearer })).status, 401, 'old logins have ended')
    const states = (await service.admin('authenticator.list', { signer: login })).authenticators.map(
      ({ state }) => state,
    )
    assert.deepEqual(states, ['revoked', 'active'])
    const credential = await service.newCredential(signer, 'p-256')
    const again = await service.login(signer)
    const hashes = service.digests('replaced')
    await service.moveClock(30_000)
    await assert.rejects(service.authorize(again, credential, hashes, { signer, code: service.code(signer) }))
    await service.authorize(again, credential, hashes, { signer: renewed })
    await service.checkWorld()
  })

  test('is told on every channel, and the notice stops it without a login', async () => {
    const { login, link } = await invited({ email: 'new@example.test', phone: '+48123456789' })
    await activate(login, link, 'a long enough password')
    const { link: second, noticed } = await service.admin('authenticator.invite', { signer: login })
    keepSecret(second)
    assert.deepEqual(noticed, ['sms', 'email'])
    const folder = join(service.folder, 'outbox')
    const notices = readdirSync(folder).map((name) => JSON.parse(readFileSync(join(folder, name), 'utf8')))
    assert.deepEqual(
      notices.map(({ to }) => to),
      ['+48123456789', 'new@example.test'],
    )
    const path = /http:\/\/127\.0\.0\.1(\/portal\/stop\/\S+)/.exec(notices[1].text)?.[1] ?? ''
    assert.ok(!notices[1].text.includes(second), 'the notice is not the link')
    const browser = new FormBrowser(service)
    assert.equal(await browser.open(path), 200)
    assert.equal(await new FormBrowser(service).open(`/portal/activate/${second}`), 403, 'looking stops nothing')
    const forged = path.replace(/.$/, (last) => (last === 'A' ? 'B' : 'A'))
    assert.equal(await browser.send('POST', forged, browser.hidden(path)).then(({ status }) => status), 200)
    assert.equal(await new FormBrowser(service).open(`/portal/activate/${second}`), 403, 'a made-up notice neither')
    assert.equal(await browser.submit(path, {}), 200)
    assert.equal(await new FormBrowser(service).open(`/portal/activate/${second}`), 404)
    await service.checkWorld()
  })

  test('a second operator lets it work at once, and the one who gave it does not count', async () => {
    const { login, link } = await invited()
    await activate(login, link, 'a long enough password')
    await linkOf(login)
    await assert.rejects(service.admin('authenticator.vouch', { signer: login }), /another operator/)
    const { token } = await service.admin('operator.create', { name: `second ${count}`, role: 'registration' })
    keepSecret(token)
    await assert.rejects(service.adminAs(token, 'authenticator.vouch', { signer: login }), /first three days/)
    await service.moveClock(WAIT)
    const third = await linkOf(login)
    assert.equal(await new FormBrowser(service).open(`/portal/activate/${third}`), 403)
    await service.adminAs(token, 'authenticator.vouch', { signer: login })
    assert.equal((await activate(login, third)).status, 200)
    await service.checkWorld()
  })

  test('a recovery code and the password do it at once; the code works once', async () => {
    const { login, link } = await invited()
    const { signer, codes } = await activate(login, link, 'a long enough password')
    const [code = '', other = ''] = codes
    const browser = new FormBrowser(service)
    await browser.open('/portal/recover')
    const ask = (fields: Record<string, string>) =>
      browser.submit('/portal/recover', { login, password: signer.password, recovery: code, ...fields })
    assert.equal(await ask({ password: 'another long password' }), 400)
    assert.match(browser.html, /do not fit/)
    assert.equal(await ask({ recovery: 'aaaa-bbbb-cccc-dddd' }), 400)
    assert.equal(await ask({ recovery: code.toUpperCase().replaceAll('-', ' ') }), 200)
    assert.match(browser.html, /Your other authenticators and all logins end/)
    const renewed = { ...signer, secret: secretOn(browser) }
    const action = /action="(\/portal\/activate\/[^"]+)"/.exec(browser.html)?.[1] ?? ''
    keepSecret(action.split('/').at(-1))
    assert.equal(await browser.submit(action, { code: await service.freshCode(renewed) }), 200)
    await browser.open('/portal/recover')
    assert.equal(await ask({}), 400)
    assert.equal(await ask({ recovery: other }), 400, 'the old list is worth nothing')
    await service.checkWorld()
  })

  test('one recovery code, presented many times at once, gives one link', async () => {
    const { login, link } = await invited()
    const { signer, codes } = await activate(login, link, 'a long enough password')
    const ask = async (_: unknown, i: number) => {
      const browser = new FormBrowser(service, i % 2)
      await browser.open('/portal/recover')
      const fields = { login, password: signer.password, recovery: codes[0] ?? '' }
      const response = await browser.send('POST', '/portal/recover', {
        ...browser.hidden('/portal/recover'),
        ...fields,
      })
      keepSecret(response.headers.get('location')?.split('/').at(-1))
      return response.status
    }
    // As many as are looked at before anybody has to wait.
    const statuses = await Promise.all(Array.from({ length: 3 }, ask))
    assert.deepEqual(statuses.sort(), [303, 400, 400])
    await service.checkWorld()
  })
})

describe('the account', () => {
  let signer: TestSigner
  let codes: string[]
  before(async () => {
    const { login, link } = await invited()
    const activated = await activate(login, link, 'a long enough password')
    signer = activated.signer
    codes = activated.codes
  })

  test('nothing of it changes without a code', async () => {
    const browser = await signedIn(signer)
    for (const path of ['password', 'recovery-codes', 'authenticator', 'remove-authenticator']) {
      const fields = { code: '12345678', password: 'another long password', authenticator: 'x' }
      assert.equal(await browser.submit(`/portal/account/${path}`, fields), path === 'remove-authenticator' ? 403 : 400)
    }
    await service.admin('signer.unlock', { signer: signer.login })
    await signedIn(signer)
  })

  test('password, recovery codes and authenticators change with one; other logins end', async () => {
    const browser = await signedIn(signer)
    const bearer = await service.login(signer)
    const changed = { ...signer, password: 'yet another long password' }
    const fields = { password: changed.password, code: await service.freshCode(signer) }
    assert.equal(await browser.submit('/portal/account/password', fields), 200)
    assert.match(browser.html, /Your password is changed/)
    assert.equal((await service.post('/csc/v2/credentials/list', {}, { bearer })).status, 401)
    signer = changed

    const again = await signedIn(signer, 1)
    assert.equal(await again.submit('/portal/account/recovery-codes', { code: await service.freshCode(signer) }), 200)
    const renewed = codesOn(again)
    assert.equal(renewed.length, 10)
    assert.ok(renewed.every((code) => !codes.includes(code)))

    const third = await signedIn(signer)
    assert.equal(await third.submit('/portal/account/authenticator', { code: await service.freshCode(signer) }), 200)
    const phone = { ...signer, secret: secretOn(third) }
    const action = /action="(\/portal\/activate\/[^"]+)"/.exec(third.html)?.[1] ?? ''
    keepSecret(action.split('/').at(-1))
    assert.equal(await third.submit(action, { code: await service.freshCode(phone) }), 200)
    assert.deepEqual(codesOn(third), [], 'recovery codes stay as they are')

    const last = await signedIn(signer)
    const [first = ''] = [...last.html.matchAll(/name="authenticator" value="([^"]+)"/g)].map(([, id]) => id)
    const removal = { authenticator: first, code: await service.freshCode(phone) }
    assert.equal(await last.submit('/portal/account/remove-authenticator', removal), 200)
    assert.match(last.html, /The authenticator is removed/)
    assert.ok(!last.html.includes('remove-authenticator'), 'the last one stays')
    signer = phone
    await service.checkWorld()
  })
})

test('stop ends every session and every agreement at once, on every front, and takes no code', async () => {
  const browser = await signedIn(service.signer)
  const bearer = await service.login()
  const credential = service.credentials['p-256'] as string
  const hashes = service.digests('stopped by page')
  const sad = await service.authorize(bearer, credential, hashes)
  await browser.open('/portal')
  assert.match(browser.html, /1 signature left/)
  assert.equal(await browser.submit('/portal/account/stop', {}), 200)
  assert.match(browser.html, /Everything is stopped/)
  for (const front of [0, 1])
    assert.equal((await service.signHash(bearer, credential, sad, hashes, { front })).status, 401)
  await browser.open('/portal')
  assert.equal(browser.url, '/portal/sign-in')
  await service.checkWorld()
})

describe('the pages', () => {
  test('a form from elsewhere, or without its token, changes nothing', async () => {
    const browser = await signedIn(service.signer)
    const hidden = browser.hidden('/portal/sign-out')
    const refused = async (fields: Record<string, string>, headers: Record<string, string> = {}) =>
      assert.equal((await browser.send('POST', '/portal/sign-out', fields, headers)).status, 403)
    await refused({})
    await refused({ form: 'x'.repeat(43) })
    await refused(hidden, { 'sec-fetch-site': 'cross-site' })
    await refused(hidden, { 'sec-fetch-site': 'same-site' })
    await refused(hidden, { origin: 'https://mallory.example' })
    await refused(hidden, { origin: 'null' })
    assert.equal(await browser.open('/portal'), 200)
    assert.match(browser.html, /Signed in as/)
  })

  test('cannot be framed, sniffed, kept or scripted', async () => {
    const { headers } = await new FormBrowser(service).send('GET', '/portal/sign-in')
    const policy = headers.get('content-security-policy') ?? ''
    for (const part of ["default-src 'none'", "frame-ancestors 'none'", "form-action 'self'", "base-uri 'none'"])
      assert.ok(policy.includes(part), part)
    assert.ok(!policy.includes('script-src') && !policy.includes('unsafe'))
    assert.equal(headers.get('x-content-type-options'), 'nosniff')
    assert.equal(headers.get('cache-control'), 'no-store')
    for (const cookie of headers.getSetCookie()) assert.match(cookie, /; HttpOnly; SameSite=Lax/)
  })

  test('lead nowhere but to our own pages', async () => {
    for (const next of [
      'https://mallory.example',
      '//mallory.example',
      '/\\mallory.example',
      '/portal/../../x',
      'javascript:1',
      '/csc/v2/info',
    ]) {
      const browser = new FormBrowser(service)
      await browser.open(`/portal/sign-in?next=${encodeURIComponent(next)}`)
      assert.equal(browser.hidden('/portal/sign-in').next, '/portal', next)
      const { login, password } = service.signer
      const response = await browser.send('POST', '/portal/sign-in', {
        ...browser.hidden('/portal/sign-in'),
        login,
        password,
        next,
      })
      assert.equal(response.headers.get('location'), '/portal', next)
    }
  })

  test('a session that was planted is not taken over', async () => {
    const browser = new FormBrowser(service)
    browser.cookies.set('paraph-session', 'planted-planted-planted-planted-planted-pla')
    await browser.open('/portal/sign-in')
    await browser.submit('/portal/sign-in', { login: service.signer.login, password: service.signer.password })
    assert.notEqual(browser.cookies.get('paraph-session'), 'planted-planted-planted-planted-planted-pla')
  })

  test('a page session opens no door of the API, and a token of the API no page', async () => {
    const browser = await signedIn(service.signer)
    const bearer = browser.cookies.get('paraph-session') ?? ''
    assert.equal((await service.post('/csc/v2/credentials/list', {}, { bearer })).status, 403)
    const other = new FormBrowser(service)
    other.cookies.set('paraph-session', await service.login())
    assert.equal(await other.open('/portal'), 403)
  })

  test('sign out ends the session itself', async () => {
    const browser = await signedIn(service.signer)
    const kept = browser.cookies.get('paraph-session') ?? ''
    await browser.submit('/portal/sign-out', {})
    browser.cookies.set('paraph-session', kept)
    await browser.open('/portal')
    assert.equal(browser.url, '/portal/sign-in')
  })

  test('what a name holds stays text', async () => {
    const login = '"><script>alert(1)</script>'
    await service.admin('signer.create', {
      login,
      name: '<img src=x onerror=alert(1)>',
      password: 'a long enough password',
    })
    const browser = new FormBrowser(service)
    await browser.open('/portal')
    await browser.submit('/portal/sign-in', { login, password: 'a long enough password' })
    assert.match(browser.html, /&lt;img src=x/)
    assert.ok(!/<(script|img src=x)/.test(browser.html))
  })

  test('a known browser is not kept waiting by strangers', async () => {
    const { login, link } = await invited()
    const { browser, signer } = await activate(login, link, 'a long enough password')
    for (let i = 0; i < 12; i++) {
      const stranger = new FormBrowser(service, i % 2)
      await stranger.open('/portal/sign-in')
      assert.equal(await stranger.submit('/portal/sign-in', { login, password: `guess ${i} of a stranger` }), 400)
    }
    const unknown = new FormBrowser(service)
    await unknown.open('/portal/sign-in')
    assert.equal(
      await unknown.submit('/portal/sign-in', { login, password: signer.password }),
      400,
      'everybody else waits',
    )
    await browser.open('/portal/sign-in')
    assert.equal(await browser.submit('/portal/sign-in', { login, password: signer.password }), 200)
    assert.match(browser.html, /Signed in as/)
  })

  test('speak the language that is chosen, or that the browser asks for', async () => {
    const polish = new FormBrowser(service, 0, { 'accept-language': 'de;q=0.9, pl;q=0.8' })
    await polish.open('/portal/sign-in')
    assert.match(polish.html, /<html lang="pl">[\s\S]*Zaloguj się/)
    await polish.open('/portal/sign-in?lang=en')
    await polish.open('/portal/sign-in')
    assert.match(polish.html, /<html lang="en">[\s\S]*Sign in/)
  })
})
