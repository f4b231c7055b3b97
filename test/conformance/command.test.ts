/** `paraph conformance` as a command: an adapter of its own, its reports, and what it ends with. */
import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { loadSuite, type Result, runSuite } from '../../src/conformance/suite.js'
import { type Outcome, paraph } from '../cli/paraph.js'
import type { Defect } from './broken-doors.js'
import { makeKeys, TinyServer } from './tiny-server.js'

const scenarios = loadSuite(join(fileURLToPath(import.meta.url), '../../../../conformance'))
const REPLAY = 'A SAD that was used up signs nothing more (A2)'

let folder: string
const file = (name: string) => join(folder, name)
before(() => {
  folder = mkdtempSync(join(tmpdir(), 'paraph-command-'))
  makeKeys(folder)
})
after(() => rmSync(folder, { recursive: true, force: true }))

/** Runs the command against a tiny server, with an adapter that asks that server. */
async function conformance(defects: readonly Defect[], ...args: string[]): Promise<Outcome> {
  const server = await TinyServer.start(folder, ...defects)
  try {
    writeFileSync(
      file('adapter.mjs'),
      `import { createInterface } from 'node:readline'
       for await (const body of createInterface({ input: process.stdin }))
         console.log(await (await fetch('${server.url}/adapter', { method: 'POST', body })).text())`,
    )
    return await paraph({}, ['conformance', '--url', server.url, '--adapter', file('adapter.mjs'), ...args])
  } finally {
    await server.close()
  }
}

test('a sound server: a line for each scenario, a summary, and 0', async () => {
  const { status, stdout, stderr } = await conformance([], '--only', 'v2', 'a02-replay', '--junit', file('sound.xml'))
  assert.equal(stderr, '')
  assert.equal(status, 0)
  const lines = stdout.trimEnd().split('\n')
  assert.equal(lines.length, 5)
  assert.equal(lines[0], `passed       v2  ${REPLAY}  (abuse/a02-replay.txt)`)
  assert.equal(lines.at(-1), '3 passed.')
  assert.match(readFileSync(file('sound.xml'), 'utf8'), /<testsuite name="CSC v2" tests="3" failures="0" skipped="0">/)
})

test('a broken one: what was asked, wanted and answered, without a secret, and 1', async () => {
  const told = await conformance(['forgets what was signed'], '--only', 'a02-replay', '--junit', file('broken.xml'))
  assert.equal(told.status, 1)
  assert.match(told.stdout, /failed {7}v1 {2}A SAD that was used up signs nothing more \(A2\)/)
  assert.match(told.stdout, /at {7}abuse\/a02-replay\.txt:\d+\n {4}says {5}expect 400 invalid_request\n/)
  assert.match(told.stdout, /but {6}the answer is 200, not 400 invalid_request\n/)
  assert.match(
    told.stdout,
    /request {2}POST http:\S+\/csc\/v1\/signatures\/signHash \{.*"SAD":"‹SAD›","hash":\["‹digest›"\]/,
  )
  assert.match(told.stdout, /answer {3}200 application\/json \{"signatures":/)
  assert.match(told.stdout, /\n6 failed\.\n$/)
  // As long as our tokens, SADs and digests are.
  const withoutSignatures = told.stdout.replace(/"signatures":.*/g, '')
  assert.doesNotMatch(withoutSignatures, /[A-Za-z0-9+/_-]{43}/)
  const junit = readFileSync(file('broken.xml'), 'utf8')
  assert.match(junit, /<testsuite name="CSC v1" tests="3" failures="3" skipped="0">/)
  assert.match(junit, /<failure message="the answer is 200, not 400 invalid_request">/)
  assert.doesNotMatch(junit.replace(/&quot;signatures.*/g, ''), /[A-Za-z0-9+/_-]{43}/)
})

test('a declared deviation does not fail, and one that is none is named', async () => {
  writeFileSync(file('deviations'), `# Known.\n${REPLAY}: it is on our list\n`)
  const only = ['--only', 'v2', REPLAY, '--deviations', file('deviations')]
  const declared = await conformance(['forgets what was signed'], ...only, '--junit', file('declared.xml'))
  assert.equal(declared.status, 0)
  assert.match(declared.stdout, /^deviation .*: it is on our list\n\n1 deviation\.\n$/)
  assert.match(readFileSync(file('declared.xml'), 'utf8'), /<skipped message="deviation: it is on our list"\/>/)
  const needless = await conformance([], ...only)
  assert.equal(needless.status, 0)
  assert.match(needless.stdout, /is declared as a deviation, and passes\n1 passed\.\n$/)
  writeFileSync(file('deviations'), 'No such scenario: because\n')
  const wrong = await conformance([], ...only)
  assert.deepEqual([wrong.status, wrong.stdout], [2, ''])
  assert.match(wrong.stderr, /^paraph: .*deviations:1: no scenario has this name/)
})

test('as JSON', async () => {
  const { status, json } = await conformance(['forgets what was signed'], '--only', 'v2', REPLAY, '--json')
  assert.equal(status, 1)
  assert.deepEqual([json.ok, json.counts.failed], [false, 1])
  const [{ name, state, failure }] = json.results
  assert.deepEqual([name, state, failure.statement], [REPLAY, 'failed', 'expect 400 invalid_request'])
})

test('wrong usage ends with 2, and nothing run with 1', async () => {
  const adapter = ['--adapter', file('adapter.mjs')]
  const cases: [number, RegExp, string[]][] = [
    [2, /required option '--url/, adapter],
    [2, /not an address: sign\.test/, ['--url', 'sign.test', ...adapter]],
    [2, /does not exist/, ['--url', 'http://127.0.0.1:9', '--adapter', file('none')]],
    [1, /http:\/\/127\.0\.0\.1:9\S* does not answer/, ['--url', 'http://127.0.0.1:9', ...adapter]],
  ]
  for (const [status, told, args] of cases) {
    const outcome = await paraph({}, ['conformance', ...args])
    assert.equal(outcome.status, status, args.join(' '))
    assert.match(outcome.stderr, told)
  }
  const nothing = await conformance([], '--only', 'no such words')
  assert.deepEqual([nothing.status, nothing.stdout], [1, '\nNothing was run: no scenario has these words.\n'])
})

test('an adapter that fails, ends or talks nonsense ends the run', async () => {
  const server = await TinyServer.start(folder)
  try {
    for (const [program, told] of [
      [`process.stdin.once('data', () => console.log('{"error":"no such signer"}'))`, /the adapter: no such signer/],
      [`process.stdin.once('data', () => process.exit(3))`, /the adapter ended with 3/],
      [`process.stdin.once('data', () => console.log('hello'))`, /the adapter's answer to begin is no JSON object/],
      [`process.stdin.once('data', () => console.log('{"one":5}'))`, /the adapter answers begin with/],
    ] as const) {
      writeFileSync(file('bad.mjs'), program)
      const args = ['conformance', '--url', server.url, '--adapter', file('bad.mjs'), '--only', 'a02']
      const { status, stderr } = await paraph({}, args)
      assert.equal(status, 1)
      assert.match(stderr, told)
    }
  } finally {
    await server.close()
  }
})

test('what the adapter lacks is not run, what the server lacks is not offered, and neither is passed', async () => {
  const server = await TinyServer.start(folder)
  const collect = async (url: string, words: string[], ask = server.ask.bind(server)) => {
    const results: Result[] = []
    const target = { urls: [url], adapter: { ask, close: async () => undefined } }
    for await (const one of runSuite(target, scenarios, { versions: ['v2'], words })) results.push(one)
    return results.map(({ verdict }) => ('reason' in verdict ? `${verdict.state}: ${verdict.reason}` : verdict.state))
  }
  const poor = createServer((_, response) => response.end('{"methods":["credentials/list"]}'))
  await new Promise<void>((resolve) => poor.listen(0, '127.0.0.1', resolve))
  const url = `http://127.0.0.1:${(poor.address() as AddressInfo).port}`
  try {
    const alone = async (question: Parameters<typeof server.ask>[0]) => {
      const { two: _, can: __, ...world } = await server.ask(question)
      return world
    }
    assert.deepEqual(await collect(server.url, ['A SAD of somebody else'], alone), [
      'not run: the adapter has no two.rsa',
    ])
    assert.deepEqual(await collect(server.url, [REPLAY], alone), ['not run: the adapter has no code'])
    assert.deepEqual(await collect(url, [REPLAY]), [
      'not offered: info does not name credentials/authorize, signatures/signHash',
    ])
  } finally {
    poor.close()
    await server.close()
  }
})
