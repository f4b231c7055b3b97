/** Our pages in a real browser, as a person uses them. */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
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

const PASSWORD = 'a long enough password'

let service: TestService
let browser: Browser
before(async () => {
  service = await TestService.start({ forBrowser: true, keys: ['p-256'] })
  browser = await launch()
  keepSecret(PASSWORD)
})
after(async () => {
  await browser?.close()
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
  await page.fill('#login', login)
  await page.fill('#password', PASSWORD)
  await page.click('main form button')
  await page.waitForURL(`${service.publicUrl}/portal`)
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

    test('adds a passkey, which takes a code', async () => {
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
