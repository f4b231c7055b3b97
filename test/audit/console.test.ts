/** The auditor's console: scriptless pages over the log, each view of which is an entry of it. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { after, before, describe, test } from 'node:test'
import type { OperatorRole } from '../../src/activation.js'
import { operatorTokenFile } from '../../src/sam/demo.js'
import { FormBrowser } from '../helpers/browser.js'
import {
  type Browser,
  type BrowserContextOptions,
  checkPage,
  DESKTOP,
  launch,
  type Page,
  PHONE,
} from '../helpers/chromium.js'
import { keepSecret, TestService } from '../helpers/test-service.js'

let service: TestService
let chromium: Browser
const tokens = {} as Record<OperatorRole, string>
let credential: string
let hashes: string[]
/** The operations of a signing that went well, and of one that was refused. */
let signed: string
let denied: string
const HOSTILE = `"><script>alert('x')</script>@example.test`
const HOSTILE_CLIENT = `<img src=x onerror=alert(1)> & "co"`

before(async () => {
  service = await TestService.start({ forBrowser: true, keys: ['p-256'] })
  for (const role of ['registration', 'system', 'security', 'auditor'] as const) {
    tokens[role] = readFileSync(operatorTokenFile(service.keysDir, role), 'utf8')
    keepSecret(tokens[role])
  }
  credential = service.credentials['p-256'] as string
  hashes = service.digests('one', 'two')
  const bearer = await service.login()
  const sad = await service.authorize(bearer, credential, hashes)
  assert.equal((await service.signHash(bearer, credential, sad, hashes)).status, 200)
  assert.equal((await service.signHash(bearer, credential, sad, [hashes[0] as string])).status, 400)
  const world = await service.checkWorld()
  signed = world.of('sign.outcome')[0]?.op as string
  denied = world.of('sign.denied')[0]?.op as string
  chromium = await launch()
})
after(async () => {
  await chromium?.close()
  await service?.close()
})

async function signedIn(token = tokens.auditor, headers?: Record<string, string>): Promise<FormBrowser> {
  const browser = new FormBrowser(service, 0, headers)
  await browser.open('/auditor')
  await browser.submit('/auditor/sign-in', { token })
  return browser
}

/** Entries that were written while that was done. */
async function written(work: () => Promise<unknown>) {
  const before = (await service.checkWorld()).entries.length
  await work()
  return (await service.checkWorld()).entries.slice(before)
}

const text = (browser: FormBrowser) => browser.html.replaceAll(/<[^>]+>/g, ' ').replaceAll(/\s+/g, ' ')

describe('signing in', () => {
  test('takes the token of an auditor, keeps it in a cookie of its own, and sign-out forgets it', async () => {
    const browser = new FormBrowser(service)
    assert.equal(await browser.open(`/auditor/operations/${signed}`), 200)
    assert.equal(browser.url, '/auditor/sign-in')
    const response = await browser.send('POST', '/auditor/sign-in', {
      ...browser.hidden('/auditor/sign-in'),
      token: ` ${tokens.auditor}\n`,
    })
    assert.equal(response.headers.get('location'), `/auditor/operations/${signed}`, 'back to where one wanted to go')
    const cookie = response.headers.getSetCookie().find((line) => line.startsWith('paraph-operator='))
    assert.match(
      cookie ?? '',
      /; Path=\/; HttpOnly; SameSite=Strict$/,
      'for this session of the browser, and no longer',
    )
    assert.equal(await browser.open('/auditor'), 200)
    assert.equal(browser.url, '/auditor')
    assert.ok(!browser.html.includes(tokens.auditor), 'it stands in no page')
    assert.equal(await browser.submit('/auditor/sign-out', {}), 200)
    assert.deepEqual([browser.url, browser.cookies.has('paraph-operator')], ['/auditor/sign-in', false])
    await browser.open('/auditor')
    assert.equal(browser.url, '/auditor/sign-in')
  })

  test('tells a stranger and an operator of another role plainly, and both are counted as everywhere', async () => {
    const entries = await written(async () => {
      for (let i = 0; i < 20; i++) {
        const browser = new FormBrowser(service)
        await browser.open('/auditor/sign-in')
        const made = Buffer.alloc(32, i).toString('base64url')
        keepSecret(made)
        assert.equal(await browser.submit('/auditor/sign-in', { token: i % 2 === 0 ? made : `made up ${i}` }), 400)
        assert.match(browser.html, /No operator has this token/)
        assert.equal(browser.cookies.has('paraph-operator'), false)
      }
      for (const role of ['registration', 'system', 'security'] as const) {
        const browser = new FormBrowser(service)
        await browser.open('/auditor/sign-in')
        assert.equal(await browser.submit('/auditor/sign-in', { token: tokens[role] }), 400)
        assert.match(browser.html, /with another role/)
        assert.equal(browser.cookies.has('paraph-operator'), false)
      }
    })
    const refused = entries.filter(({ leaf }) => leaf.ev === 'access.refused')
    assert.deepEqual(
      refused.map(({ leaf }) => [leaf.act, leaf.why, leaf.f?.endpoint]),
      [['anonymous', 'operator_unknown', '/auditor']],
    )
    assert.ok(entries.some(({ leaf }) => leaf.ev === 'operator.refused' && leaf.f?.verb === 'look'))
    assert.ok(!entries.some(({ leaf }) => leaf.ev === 'audit.read'))
  })

  test('invented cookies are counted together, forgotten, and see nothing', async () => {
    const entries = await written(async () => {
      for (let i = 0; i < 20; i++) {
        const browser = new FormBrowser(service)
        browser.cookies.set('paraph-operator', Buffer.alloc(32, 100 + i).toString('base64url'))
        assert.equal(await browser.open('/auditor/entries'), 200)
        assert.equal(browser.url, '/auditor/sign-in')
        assert.match(browser.html, /not taken any more/)
        assert.equal(browser.cookies.has('paraph-operator'), false)
      }
    })
    assert.ok(entries.filter(({ leaf }) => leaf.ev === 'access.refused').length <= 1)
  })

  test('an auditor whose rights were ended is out at the next page', async () => {
    const made = await service.admin('operator.create', { name: 'A second auditor', role: 'auditor' })
    keepSecret(made.token)
    const browser = await signedIn(made.token)
    assert.equal(browser.url, '/auditor')
    await service.admin('operator.disable', { operatorId: made.operatorId })
    await browser.open('/auditor')
    assert.equal(browser.url, '/auditor/sign-in')
  })

  test('forms must be our own, and the way back leads nowhere else', async () => {
    const browser = new FormBrowser(service)
    await browser.open('/auditor/sign-in?next=https://evil.example')
    assert.equal(browser.hidden('/auditor/sign-in').next, '/auditor')
    for (const next of [
      '//evil.example',
      '/auditor//evil.example',
      '/portal',
      '/auditor/../portal',
      '/auditor\\x',
      'x',
    ]) {
      await browser.open(`/auditor/sign-in?next=${encodeURIComponent(next)}`)
      assert.equal(browser.hidden('/auditor/sign-in').next, '/auditor', next)
    }
    const sent = { ...browser.hidden('/auditor/sign-in'), token: tokens.auditor }
    const foreign = [
      await browser.send('POST', '/auditor/sign-in', { ...sent, form: 'x'.repeat(43) }),
      await browser.send('POST', '/auditor/sign-in', sent, { 'sec-fetch-site': 'cross-site' }),
      await browser.send('POST', '/auditor/sign-in', sent, { origin: 'https://evil.example' }),
    ]
    for (const { status, headers } of foreign) {
      assert.equal(status, 403)
      assert.ok(!headers.getSetCookie().some((line) => line.startsWith('paraph-operator=')))
    }
    const inside = await signedIn()
    assert.equal((await inside.send('POST', '/auditor/sign-out', {})).status, 403)
    assert.equal(await inside.open('/auditor'), 200)
  })
})

describe('the pages', () => {
  test('each view is one entry with the name of the page, and the help is none', async () => {
    const browser = await signedIn()
    const views = [
      ['/auditor', 'overview', undefined],
      ['/auditor?live=1', 'overview', undefined],
      [
        '/auditor/entries?event=sign&signer=signer%40example.test',
        'entries',
        'signer=signer%40example.test&event=sign',
      ],
      [`/auditor/operations/${signed}`, 'operation', undefined],
      ['/auditor/entries.csv?outcome=refused', 'csv', 'outcome=refused'],
    ] as const
    for (const [path, what, query] of views) {
      const entries = await written(async () => assert.equal((await browser.send('GET', path)).status, 200))
      const reads = entries.filter(({ leaf }) => leaf.ev === 'audit.read')
      assert.deepEqual(
        reads.map(({ leaf, open }) => [leaf.act, leaf.f?.what, open.get('query')]),
        [['operator', what, query]],
        path,
      )
    }
    const none = await written(async () => {
      assert.equal(await browser.open('/auditor/export'), 200)
      assert.match(text(browser), /paraph audit verify pack --policy/)
    })
    assert.ok(!none.some(({ leaf }) => leaf.ev === 'audit.read'))
  })

  test('the overview tells how the log stands, and refreshes itself only when asked', async () => {
    const browser = await signedIn()
    await browser.open('/auditor')
    assert.match(text(browser), /Checkpoint (All signed|\d+ not signed yet)/)
    assert.match(text(browser), /Unresolved 0 /)
    assert.match(text(browser), /signings 1 /)
    assert.doesNotMatch(browser.html, /http-equiv/)
    await browser.open('/auditor?live=1')
    assert.match(browser.html, /<meta http-equiv="refresh" content="10">/)
    assert.match(browser.html, /href="\/auditor"[^>]*>Stop refreshing/)
  })

  test('who cosigned the checkpoint that others are shown is named', async () => {
    const browser = await signedIn()
    await browser.open('/auditor')
    assert.match(text(browser), /Witnesses None /)
    const owner = await service.owner()
    const line = `— witness.example/<b> ${Buffer.alloc(76, 7).toString('base64')}\n`
    await owner.query(
      `with newest as (select max(size) as size from audit.checkpoint),
            cosigned as (insert into audit.cosignature (size, witness, line) select size, 'w', $1 from newest)
       insert into audit.witnessed (size) select size from newest`,
      [line],
    )
    await browser.open('/auditor')
    assert.match(text(browser), /Witnesses 1 cosigned witness\.example\/&lt;b&gt;: the tree of/)
  })

  test('an intention without an outcome is told and linked', async () => {
    const browser = await signedIn()
    const owner = await service.owner()
    const op = (await owner.query('select op from paraph.signing limit 1')).rows[0]?.op
    const before = (await owner.query('select state, deadline from paraph.signing where op = $1', [op])).rows[0]
    await owner.query(
      `update paraph.signing set state = 0, deadline = paraph.now() - interval '1 minute' where op = $1`,
      [op],
    )
    try {
      await browser.open('/auditor')
      assert.match(text(browser), /Unresolved 1 /)
      assert.match(browser.html, new RegExp(`href="/auditor/operations/${op}"`))
    } finally {
      await owner.query('update paraph.signing set state = $2, deadline = $3 where op = $1', [
        op,
        before?.state,
        before?.deadline,
      ])
    }
  })

  test('filters find what fits, pages follow one another, and each hit leads to its operation', async () => {
    const browser = await signedIn()
    await browser.open(
      `/auditor/entries?${new URLSearchParams({ event: 'sign', credential, from: '2020-01-01 00:00', signer: '', digest: hashes[0] as string })}`,
    )
    assert.deepEqual(eventsOn(browser), ['sign.denied', 'sign.intent'])
    assert.match(browser.html, new RegExp(`href="/auditor/operations/${denied}"`))
    assert.match(browser.html, /value="2020-01-01 00:00"/, 'what was asked for stays in the form')
    await browser.open('/auditor/entries?signer=nobody@example.test')
    assert.match(text(browser), /No entry fits/)
    for (const [query, label] of [
      ['from=yesterday', 'From'],
      ['operation=x', 'Operation'],
      ['digest=%21', 'Document hash'],
      ['event=no.such', 'Event'],
      ['client=%00', 'Client'],
    ]) {
      assert.equal(await browser.open(`/auditor/entries?${query}`), 400, query)
      assert.match(text(browser), new RegExp(`“${label}[^”]*” is not something`), query)
    }

    await browser.open('/auditor/entries')
    const seen = indicesOn(browser)
    for (let next = nextOn(browser); next !== undefined; next = nextOn(browser)) {
      await browser.open(next)
      seen.push(...indicesOn(browser))
    }
    assert.deepEqual(
      seen,
      Array.from({ length: (seen[0] ?? 0) + 1 }, (_, i) => (seen[0] ?? 0) - i),
      'all of it, once',
    )
    assert.ok(seen.length > 50, 'more than one page')
  })

  test('one operation is told in order: who, how agreed, what came of it, and which checkpoint covers it', async () => {
    const browser = await signedIn()
    for (let i = 0; i < 100; i++) {
      await browser.open(`/auditor/operations/${signed}`)
      if (!/covered by a checkpoint yet/.test(text(browser))) break
    }
    const page = text(browser)
    assert.match(page, /2 documents signed/)
    assert.match(page, /Signer signer@example\.test Client CSC auth\/login/)
    assert.match(page, /code from an authenticator app/)
    assert.match(page, /Proof in the signed tree first signed with the tree of/)
    assert.deepEqual(
      [...browser.html.matchAll(/<h3>.*?<code>([a-z_.]+)<\/code>/g)].map(([, event]) => event),
      ['sad.issued', 'sign.intent', 'sign.outcome'],
    )
    const world = await service.checkWorld()
    for (const { lh } of world.entries.filter(({ op }) => op === signed)) {
      assert.ok(browser.html.includes(Buffer.from(lh, 'hex').toString('base64url')), 'the leaf hash')
    }
    const [link] = /\/auditor\/entries\/\d+\/receipt/.exec(browser.html) ?? []
    const receipt = await browser.send('GET', link as string)
    assert.match(await receipt.text(), /^c2sp\.org\/tlog-proof@v1\nextra /)
    assert.match(receipt.headers.get('content-disposition') ?? '', /filename="entry-\d+\.tlog-proof"/)
    for (const wrong of ['999999999', 'x', '01', '-1']) {
      assert.equal(await browser.open(`/auditor/entries/${wrong}/receipt`), 404, wrong)
    }
    await browser.open(`/auditor/operations/${denied}`)
    assert.match(text(browser), /Nothing was signed: it was refused/)
    for (const op of ['01980000-0000-7000-8000-000000000001', 'x', `${signed}x`]) {
      assert.equal(await browser.open(`/auditor/operations/${op}`), 404, op)
    }
  })

  test('an entry that somebody changed is not called proved', async () => {
    const owner = await service.owner()
    const browser = await signedIn()
    const change = (from: string, to: string) =>
      owner.query(
        `begin; set local session_replication_role = replica;
         update audit.entry set leaf = convert_to(replace(convert_from(leaf, 'UTF8'), '${from}', '${to}'), 'UTF8') where op = '${signed}'; commit`,
      )
    await change('"n":2', '"n":1')
    try {
      await browser.open(`/auditor/operations/${signed}`)
      assert.match(text(browser), /Proof not in the signed tree/)
      assert.doesNotMatch(text(browser), /Proof in the signed tree first/)
    } finally {
      await change('"n":1', '"n":2')
    }
    await browser.open(`/auditor/operations/${signed}`)
    assert.match(text(browser), /Proof in the signed tree/)
  })

  test('a table is what was searched for, and no cell of it is a formula', async () => {
    const browser = await signedIn()
    const response = await browser.send('GET', '/auditor/entries.csv?event=sign')
    assert.equal(response.headers.get('content-type'), 'text/csv; charset=utf-8; header=present')
    assert.match(response.headers.get('content-disposition') ?? '', /^attachment; filename="log-\d+\.csv"$/)
    const lines = (await response.text()).split('\r\n')
    const world = await service.checkWorld()
    const expected = world.entries.filter(({ leaf }) => leaf.ev.startsWith('sign.')).toReversed()
    assert.equal(lines.pop(), '')
    assert.deepEqual(
      lines.slice(1).map((line) => [line.split(',')[0], line.split(',').at(-1)]),
      expected.map(({ idx, lh }) => [String(idx), lh]),
    )
    assert.equal((await browser.send('GET', '/auditor/entries.csv?from=yesterday')).status, 400)
  })

  test('what signers and clients are called is only text', async () => {
    const owner = await service.owner()
    const browser = await signedIn()
    await owner.query('update paraph.signer set login = $1', [HOSTILE])
    await owner.query(`update paraph.client set name = $1 where id = 'basic'`, [HOSTILE_CLIENT])
    try {
      for (const path of ['/auditor', '/auditor/entries?event=sign', `/auditor/operations/${signed}`]) {
        await browser.open(path)
        assert.doesNotMatch(browser.html, /<script|<img src=x/, path)
        if (path !== '/auditor') assert.match(browser.html, /&lt;script&gt;alert.*&lt;img src=x/s)
      }
      await browser.open(`/auditor/entries?signer=${encodeURIComponent(HOSTILE)}&client=${encodeURIComponent('"><b>')}`)
      assert.doesNotMatch(browser.html, /<script|<b>@|value=""><b/)
      const { headers } = await browser.send('GET', '/auditor')
      assert.match(
        headers.get('content-security-policy') ?? '',
        /^default-src 'none'; style-src 'self'; img-src 'self'; form-action 'self'; base-uri/,
      )
      assert.equal(headers.get('cache-control'), 'no-store')
    } finally {
      await owner.query('update paraph.signer set login = $1', [service.signer.login])
      await owner.query(`update paraph.client set name = 'CSC auth/login' where id = 'basic'`)
    }
  })
})

const eventsOn = ({ html }: FormBrowser) => [...html.matchAll(/<\/a> <code>([a-z_.]+)<\/code>/g)].map(([, ev]) => ev)
const indicesOn = ({ html }: FormBrowser) =>
  [...html.matchAll(/class="index">([\d,]+)</g)].map(([, index]) => Number(index?.replaceAll(',', '')))
const nextOn = ({ html }: FormBrowser) => /rel="next" href="([^"]+)"/.exec(html)?.[1]?.replaceAll('&amp;', '&')

describe('in a real browser', () => {
  const views: readonly [string, BrowserContextOptions][] = [
    ['a phone, in Polish', { ...PHONE, locale: 'pl-PL' }],
    ['a desktop, in English, in the dark', { ...DESKTOP, locale: 'en-GB', colorScheme: 'dark' }],
  ]
  for (const [name, options] of views) {
    test(`on ${name}, everything can be reached and read`, async () => {
      const context = await chromium.newContext(options)
      const page: Page = await context.newPage()
      page.setDefaultTimeout(20_000)
      await page.goto(`${service.publicUrl}/auditor`)
      await checkPage(page)
      await page.fill('#token', tokens.auditor)
      await page.click('main form button')
      await page.waitForURL(`${service.publicUrl}/auditor`)
      await checkPage(page)
      for (const summary of await page.locator('summary').all()) await summary.click()
      await checkPage(page)
      await page.locator('nav.console a').nth(1).click()
      await page.waitForURL(/entries$/)
      await checkPage(page)
      if (!(await page.locator('#event').isVisible())) await page.locator('.filters summary').click()
      await page.selectOption('#event', 'sign.outcome')
      await page.fill('#from', '2020-01-01')
      await page.click('.filters button')
      await page.waitForURL(/event=sign\.outcome/)
      await checkPage(page)
      await page.locator('td.what a').first().click()
      await page.waitForURL(/operations/)
      for (const summary of await page.locator('summary').all()) await summary.click()
      await checkPage(page)
      await page.locator('nav.console a').nth(2).click()
      await page.waitForURL(/export/)
      await checkPage(page)
      await page.locator('nav.console button').click()
      await page.waitForURL(/sign-in/)
      await context.close()
    })
  }
})
