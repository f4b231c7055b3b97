import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import fc from 'fast-check'
import { type Known, operations } from './any-request.js'
import { fuzzOperation, knownTo, rowCounts } from './fuzz-operations.js'
import { type TestFront, testFront } from './helpers.js'

/** The same requests in every run; `npm run fuzz` draws others. */
const SEED = 20261124
const RUNS = 200

let front: TestFront
let known: Known
let rows: unknown
before(async () => {
  front = await testFront()
  known = await knownTo(front)
  rows = await rowCounts(front)
})
after(() => front.close())

for (const operation of operations) {
  test(`${operation.method} ${operation.path} answers anything as described`, { timeout: 120_000 }, async () => {
    const statuses = await fuzzOperation(front, known, operation, { numRuns: RUNS, seed: SEED })
    // What only ever refuses, or never, tells little.
    const right = [...statuses].filter(([status]) => status < 300).reduce((sum, [, count]) => sum + count, 0)
    assert.ok(right >= 3 && right < RUNS, `of ${RUNS} requests ${right} were right: ${JSON.stringify([...statuses])}`)
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
    { numRuns: 500, seed: SEED },
  )
})

test('after all that nothing that was sent stands in the operators’ log', () => {
  assert.deepEqual(front.logs.lines, [])
})

test('and nothing has changed in the database', async () => {
  assert.deepEqual(await rowCounts(front), rows)
})
