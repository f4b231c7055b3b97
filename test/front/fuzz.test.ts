import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import fc from 'fast-check'
import type { Schema } from '../../src/front/openapi.js'
import { readOpenApi, resolve } from '../../src/front/openapi.js'
import { digestOf, SHA256, type TestFront, testFront } from './helpers.js'

let front: TestFront
let credentialID: string
before(async () => {
  front = await testFront()
  credentialID = await front.seed.credential(front.signer)
})
after(() => front.close())

const { document } = readOpenApi()
const RUNS = 150

/** Values that mean something to some member, beside any JSON at all. */
const telling = fc.constantFrom<unknown>(
  'single',
  'chain',
  SHA256,
  '1.2.840.113549.1.1.1',
  '1.2.840.113549.1.1.10',
  'MDSgDzANBglghkgBZQMEAgEFAKEcMBoGCSqGSIb3DQEBCDANBglghkgBZQMEAgEFAKIDAgEg',
  digestOf('a'),
  [digestOf('a')],
  [digestOf('a'), digestOf('b')],
  [],
  [{ id: 'OTP', value: '12345678' }],
  [{ id: 'PIN' }],
  1,
  2,
  0,
  -1,
  1e308,
  true,
  null,
  '',
  '\u0000',
  '\ud800',
  'access_token',
  'S',
)

function bodyFor(schema: Schema): fc.Arbitrary<unknown> {
  const members = Object.keys(resolve(document, schema).properties ?? {})
  const value = fc.oneof({ weight: 4, arbitrary: telling }, { weight: 1, arbitrary: fc.jsonValue() })
  const guided = fc.record(
    Object.fromEntries(
      members.map((name) => [name, name === 'credentialID' ? fc.oneof(fc.constant('own'), value) : value]),
    ),
    { requiredKeys: [] },
  )
  return fc.oneof({ weight: 6, arbitrary: guided }, { weight: 1, arbitrary: fc.jsonValue() })
}

for (const [path, item] of Object.entries(document.paths)) {
  const body = item.post?.requestBody?.content['application/json'].schema
  if (body === undefined) continue
  test(`${path} answers any body as described, and never with 5xx`, { timeout: 120_000 }, async () => {
    const statuses = new Set<number>()
    await fc.assert(
      fc.asyncProperty(bodyFor(body), async (given) => {
        const sent = JSON.stringify(given).replaceAll('"own"', JSON.stringify(credentialID))
        const answer = await front.post(path, sent)
        statuses.add(answer.status)
        assert.ok(answer.status < 500, `${answer.status} ${String(answer.body.text ?? '')}`)
      }),
      { numRuns: RUNS },
    )
    assert.ok(statuses.has(400) || statuses.has(401), 'no refusal among them')
  })

  test(`${path} answers any bytes as described, and never with 5xx`, { timeout: 120_000 }, async () => {
    const header = fc.constantFrom('application/json', 'application/json; charset=utf-8', 'text/plain', '', 'a/b;c')
    const bytes = fc.oneof(
      fc.uint8Array({ maxLength: 200 }).map((array) => Buffer.from(array)),
      fc.string({ unit: 'binary', maxLength: 200 }).map((text) => Buffer.from(text)),
    )
    const token = fc.oneof(
      fc.constant(`Bearer ${front.token}`),
      fc.constant('Bearer x'),
      fc.string({ unit: 'grapheme-ascii' }),
    )
    await fc.assert(
      fc.asyncProperty(bytes, header, token, async (payload, type, authorization) => {
        const answer = await front.app.inject({
          method: 'POST',
          url: path,
          headers: { 'content-type': type, authorization },
          payload,
        })
        assert.ok(answer.statusCode < 500 || answer.statusCode === 501, answer.body)
      }),
      { numRuns: RUNS },
    )
  })
}

test('any address answers as described', { timeout: 120_000 }, async () => {
  const word = fc.constantFrom(
    'csc',
    'v1',
    'v2',
    'info',
    'credentials',
    'list',
    'docs',
    'health',
    '..',
    '.',
    '',
    '%2e',
    '%zz',
    '%00',
    '*',
    ':x',
  )
  const url = fc.oneof(
    fc.array(word, { maxLength: 5 }).map((words) => `/${words.join('/')}`),
    fc.webPath().map((path) => `/${path}`),
  )
  const method = fc.constantFrom('GET', 'POST', 'PUT', 'DELETE', 'OPTIONS', 'HEAD', 'PATCH', 'TRACE', 'PROPFIND')
  await fc.assert(
    fc.asyncProperty(url, method, async (target, verb) => {
      const answer = await front.app.inject({ method: verb as 'GET', url: target })
      assert.ok(answer.statusCode < 500 || answer.statusCode === 501, `${verb} ${target}: ${answer.body}`)
    }),
    { numRuns: 500 },
  )
})

test('after all that nothing that was sent stands in the operators’ log', () => {
  assert.deepEqual(front.logs.lines, [])
})
