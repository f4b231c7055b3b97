import assert from 'node:assert/strict'
import { hash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { after, before, test } from 'node:test'
import { parse } from 'yaml'
import { ServiceError } from '../../src/errors.js'
import { buildApp } from '../../src/front/app.js'
import { checkAnswers } from '../helpers/check-answers.js'
import { CONFIG, Entries, LogLines, type TestFront, testFront } from './helpers.js'

let front: TestFront
before(async () => {
  front = await testFront()
})
after(() => front.close())

const get = (url: string) => front.app.inject({ method: 'GET', url })

test('the contract is served as it is', async () => {
  const answer = await get('/openapi.yaml')
  assert.equal(answer.headers['content-type'], 'application/yaml')
  assert.equal(answer.body, readFileSync('openapi.yaml', 'utf8'))
  assert.match(String(answer.headers['cache-control']), /^public/)
})

test('the page tells every operation, member and value, with nothing from elsewhere', async () => {
  const answer = await get('/docs')
  assert.equal(answer.headers['content-type'], 'text/html; charset=utf-8')
  const html = answer.body
  const document = parse(readFileSync('openapi.yaml', 'utf8')) as {
    paths: Record<string, Record<string, { operationId: string }>>
  }
  for (const [path, item] of Object.entries(document.paths)) {
    for (const { operationId } of Object.values(item)) {
      assert.ok(html.includes(`<article id="${operationId}">`) && html.includes(`href="#${operationId}"`), operationId)
    }
    assert.ok(html.includes(`<code>${path}</code>`), path)
  }
  for (const text of [
    'hashAlgorithmOID',
    'rememberMe',
    'nextPageToken',
    'bearer · service',
    '<code>single</code>',
    'basic or none',
    '503',
  ]) {
    assert.ok(html.includes(text), text)
  }
  assert.doesNotMatch(html, /<script|https?:\/\/|\[object|undefined|NaN/)
  const links = [...html.matchAll(/(?:href|src)="([^"#]+)"/g)].map(([, target]) => target)
  for (const target of new Set(links)) assert.equal((await get(String(target))).statusCode, 200, target)
})

test('the page may use its own style and nothing else', async () => {
  const { body, headers } = await get('/docs')
  const style = /<style>([\s\S]*?)<\/style>/.exec(body)?.[1] ?? ''
  const policy = String(headers['content-security-policy'])
  assert.ok(policy.includes(`'sha256-${hash('sha256', style, 'base64')}'`))
  assert.match(policy, /^default-src 'none'; /)
  assert.doesNotMatch(body, / style=/)
})

test('the logo is a PNG of at most 256 by 256', async () => {
  const { rawPayload, headers } = await get('/logo.png')
  assert.equal(headers['content-type'], 'image/png')
  assert.equal(rawPayload.subarray(0, 8).toString('hex'), '89504e470d0a1a0a')
  assert.deepEqual([rawPayload.readUInt32BE(16), rawPayload.readUInt32BE(20)], [256, 256])
})

/** Readiness over parts that say what they are told, and a clock that is moved by hand. */
async function readiness(parts: { database?: boolean; worker?: Record<string, boolean> | undefined }) {
  let now = 0
  let looks = 0
  const logs = new LogLines()
  const app = buildApp({
    config: CONFIG,
    store: undefined as never,
    strangers: undefined as never,
    db: {
      async alive() {
        looks += 1
        if (parts.database === false) throw new ServiceError('unavailable')
      },
    } as never,
    auditors: undefined as never,
    sam: {
      async call() {
        if (parts.worker === undefined) throw new ServiceError('unavailable')
        return parts.worker
      },
    } as never,
    log: new Entries(),
    logger: logs.logger,
    clock: { now: () => now },
  })
  checkAnswers(app)
  const ask = async () => {
    const answer = await app.inject({ method: 'GET', url: '/health/ready' })
    return [answer.statusCode, answer.json() as unknown]
  }
  return { ask, tick: (ms: number) => (now += ms), looks: () => looks, close: () => app.close() }
}
const UP = { device: true, database: true, clock: true, log: true, demo: false }

test('ready is when every part is up, and says which is not', async () => {
  const rows: [Parameters<typeof readiness>[0], Record<string, string>][] = [
    [{ worker: UP }, { database: 'up', worker: 'up', device: 'up', clock: 'up', log: 'up' }],
    [
      { worker: UP, database: false },
      { database: 'down', worker: 'up', device: 'up', clock: 'up', log: 'up' },
    ],
    [{ worker: { ...UP, database: false } }, { database: 'down', worker: 'up', device: 'up', clock: 'up', log: 'up' }],
    [{ worker: { ...UP, device: false } }, { database: 'up', worker: 'up', device: 'down', clock: 'up', log: 'up' }],
    [{ worker: { ...UP, clock: false } }, { database: 'up', worker: 'up', device: 'up', clock: 'down', log: 'up' }],
    [{ worker: { ...UP, log: false } }, { database: 'up', worker: 'up', device: 'up', clock: 'up', log: 'down' }],
    [{ worker: undefined }, { database: 'up', worker: 'down', device: 'unknown', clock: 'unknown', log: 'unknown' }],
  ]
  for (const [given, parts] of rows) {
    const { ask, close } = await readiness(given)
    const ready = Object.values(parts).every((part) => part === 'up')
    assert.deepEqual(await ask(), [ready ? 200 : 503, { status: ready ? 'ready' : 'unavailable', parts }])
    await close()
  }
})

test('however many ask, one look a second is taken, and recovery shows by itself', async () => {
  const parts: { database: boolean; worker: Record<string, boolean> } = { database: false, worker: UP }
  const { ask, tick, looks, close } = await readiness(parts)
  await Promise.all(Array.from({ length: 20 }, ask))
  assert.equal(looks(), 1)
  parts.database = true
  tick(999)
  assert.equal((await ask())[0], 503)
  tick(1)
  assert.equal((await ask())[0], 200)
  assert.equal(looks(), 2)
  await close()
})

test('a process that answers is alive, whatever else is down', async () => {
  const { close } = await readiness({ worker: undefined, database: false })
  const answer = await get('/health/live')
  assert.deepEqual([answer.statusCode, answer.json()], [200, { status: 'live' }])
  await close()
})
