/**
 * Makes a log as a day of the service leaves it, looks at it in the auditor's console as auditors do, and puts pictures of
 * that into docs/pictures/. PICTURES_ENTRIES says how long the log is.
 */
import { generateKeyPairSync } from 'node:crypto'
import { mkdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as wait } from 'node:timers/promises'
import { freePort } from '../src/db/cluster.js'
import { openCheckpointKey } from '../src/hsm/checkpoint-key.js'
import { operatorTokenFile } from '../src/sam/demo.js'
import { formatVkey, noteKey } from '../src/tlog/note.js'
import { parsePolicy } from '../src/tlog/policy.js'
import { serveWitness } from '../src/witness/server.js'
import { beginState, Witness, witnessKey } from '../src/witness/witness.js'
import { DESKTOP, launch, type Page, PHONE } from '../test/helpers/chromium.js'
import { startTestServer } from '../test/helpers/temp-database.js'
import { type Answer, TestService, type TestSigner } from '../test/helpers/test-service.js'

const ENTRIES = Number(process.env['PICTURES_ENTRIES'] ?? 100_000)
const FOLDER = 'docs/pictures'
const PICTURES = new Set([
  ...['overview-desktop', 'operation-desktop', 'entries-desktop-dark'],
  ...['overview-phone', 'entries-phone', 'operation-phone'],
])
const AT_ONCE = 48
const P256 = '1.2.840.10045.4.3.2'
const HASH = Buffer.alloc(32, 7).toString('base64')
/** How busy the hours of a day are beside one another. */
const DAY = [1, 1, 1, 0, 1, 2, 4, 8, 14, 18, 19, 17, 12, 16, 19, 17, 13, 9, 6, 4, 3, 2, 2, 1]

interface Signer extends TestSigner {
  readonly credential: string
}

const server = await startTestServer({ shared_buffers: '128MB' })
process.env['PARAPH_TEST_PG'] = server.url
const service = await TestService.start({ forBrowser: true, keys: [], keeper: false })
const witness = await startWitness('witness.example')
await service.startKeeper({ witnesses: witness.policy })
try {
  const signers: Signer[] = []
  for (const name of ['anna.nowak', 'jan.kowalski', 'maria.wisniewska', 'piotr.zielinski']) {
    const signer = await service.newSigner(`${name}@example.test`, name)
    const credential = await service.newCredential(signer, 'p-256', { scal: '1', multisign: 1_000_000 })
    signers.push({ ...signer, credential })
  }
  await liveADay(signers)
  await takePictures()
  const { entries } = await service.checkWorld()
  process.stdout.write(`${entries.length} entries, and every one of them as it should be\n`)
} finally {
  await service.close()
  await witness.close()
  await server.stop()
}

/** Somebody outside who cosigns the log, as `paraph witness` does. */
async function startWitness(name: string) {
  const { privateKey } = generateKeyPairSync('ed25519')
  const vkey = formatVkey(witnessKey(name, privateKey))
  const stateFile = join(service.folder, 'witness')
  beginState(stateFile, vkey)
  const key = await openCheckpointKey(service.checkpointHsmUri)
  const { origin } = await service.admin('log.origin', {})
  const logs = [noteKey(origin, key.type, key.publicKey)]
  key.close()
  const port = await freePort()
  const host = '127.0.0.1'
  const watching = new Witness({ name, privateKey, logs, stateFile, clock: service.clock })
  const { close } = await serveWitness(watching, { host, port, logger: service.logger })
  return { policy: parsePolicy(`witness ${name} ${vkey} http://${host}:${port}\nquorum ${name}\n`), close }
}

/** The clocks go on by an hour after each, so that the log is a day long; the last hour is the present one. */
async function liveADay(signers: readonly Signer[]): Promise<void> {
  const shares = DAY.reduce((sum, share) => sum + share, 0)
  for (const [hour, share] of DAY.entries()) {
    if (hour > 0) await service.moveClock(3600_000)
    // Two entries a signing, and some of everything else.
    const signings = Math.round(((ENTRIES - 400) * share) / shares / 2 / signers.length)
    for (const signer of signers) await work(signer, signings, hour)
    process.stderr.write(`hour ${hour}\n`)
  }
}

async function work(signer: Signer, signings: number, hour: number): Promise<void> {
  const { credential: credentialID } = signer
  const bearer = await patiently(async () => service.login(signer))
  await service.post('/csc/v2/credentials/list', {}, { bearer })
  const body = (more: object) => ({ credentialID, hashes: [HASH], signAlgo: P256, ...more })
  const sign = (more: object) => service.post('/csc/v2/signatures/signHash', body(more), { bearer })
  const authorize = (value: string) =>
    service.post(
      '/csc/v2/credentials/authorize',
      { credentialID, numSignatures: signings + 1, authData: [{ id: 'OTP', value }] },
      { bearer },
    )
  // Somebody mistypes the code now and then, or asks for what nobody agreed to.
  if (hour % 5 === 1) await authorize('00000000')
  if (hour % 3 === 1) await sign({ SAD: 'nobody gave it out' })
  const { SAD } = (await ok(() => authorize(service.code(signer)))).body
  let left = signings
  await Promise.all(
    Array.from({ length: AT_ONCE }, async () => {
      while (left-- > 0) await ok(() => sign({ SAD }))
    }),
  )
  if (hour % 4 === 2) await sign({ SAD, hashes: Array(signings).fill(HASH) })
}

/** After a jump of the clocks the service waits until its log is signed again. */
async function ok(ask: () => Promise<Answer>): Promise<Answer> {
  return patiently(async () => {
    const answer = await ask()
    if (answer.status !== 200) throw new Error(`answered ${answer.status} ${JSON.stringify(answer.body)}`)
    return answer
  })
}

async function patiently<T>(work: () => Promise<T>): Promise<T> {
  for (let tries = 0; ; tries++) {
    try {
      return await work()
    } catch (error) {
      if (tries > 100 || !String(error).includes(' 503 ')) throw error
      await wait(200)
    }
  }
}

async function takePictures(): Promise<void> {
  mkdirSync(FOLDER, { recursive: true })
  const browser = await launch()
  const token = readFileSync(operatorTokenFile(service.keysDir, 'auditor'), 'utf8')
  const looks = [
    ['desktop', { ...DESKTOP, locale: 'en-GB' }],
    ['desktop-dark', { ...DESKTOP, locale: 'en-GB', colorScheme: 'dark' }],
    ['phone', { ...PHONE, deviceScaleFactor: 1.25, locale: 'en-GB' }],
  ] as const
  for (const [name, options] of looks) {
    const context = await browser.newContext(options)
    const page = await context.newPage()
    await page.goto(`${service.publicUrl}/auditor`)
    await page.fill('#token', token)
    await page.click('main form button')
    await page.waitForURL(`${service.publicUrl}/auditor`)
    await page.reload()
    await take(page, `overview-${name}`)
    await page.goto(`${service.publicUrl}/auditor/entries?outcome=refused`)
    await take(page, `entries-${name}`)
    await page.goto(`${service.publicUrl}/auditor/entries?event=sign.outcome`)
    await page.locator('td.what a').first().click()
    await page.waitForURL(/operations/)
    await page.locator('.story summary').last().click()
    await take(page, `operation-${name}`)
    await context.close()
  }
  await browser.close()
}

async function take(page: Page, name: string): Promise<void> {
  const { width, height } = page.viewportSize() ?? DESKTOP.viewport
  // Of a phone what a thumb's movement brings up, too.
  const clip = { x: 0, y: 0, width, height: width < height ? 1.5 * height : height }
  if (PICTURES.has(name)) await page.screenshot({ path: `${FOLDER}/console-${name}.png`, fullPage: true, clip })
}
