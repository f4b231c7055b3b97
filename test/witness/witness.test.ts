/** Our witness, against C2SP tlog-witness. */
import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { generateKeyPairSync, hash } from 'node:crypto'
import { once } from 'node:events'
import { mkdtempSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { after, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { pino } from 'pino'
import { systemClock } from '../../src/clock.js'
import { formatAddCheckpoint } from '../../src/tlog/add-checkpoint.js'
import { formatVkey, parseCheckpoint, parseNote, parseVkey, verifyNote } from '../../src/tlog/note.js'
import { EMPTY_ROOT } from '../../src/tlog/tree.js'
import { serveWitness } from '../../src/witness/server.js'
import { beginState, Witness, witnessKey } from '../../src/witness/witness.js'
import { MAIN, paraph } from '../cli/paraph.js'
import { PaperLog } from '../helpers/paper-log.js'

const ORIGIN = 'sign.example.test/paraph'
const folder = mkdtempSync(join(tmpdir(), 'paraph-witness-'))
after(() => rmSync(folder, { recursive: true }))
let count = 0

async function started(log: PaperLog, ...others: PaperLog[]) {
  const { privateKey } = generateKeyPairSync('ed25519')
  const name = 'witness.example.test/w'
  const stateFile = join(folder, `state-${count++}`)
  beginState(stateFile, formatVkey(witnessKey(name, privateKey)))
  const logs = [log, ...others].map(({ key }) => key)
  const open = () => new Witness({ name, privateKey, logs, stateFile, clock: systemClock })
  const witness = open()
  const server = await serveWitness(witness, { host: '127.0.0.1', port: 0, logger: pino({ level: 'silent' }) })
  after(() => server.close())
  const add = async (body: string) => {
    const response = await fetch(`${server.url}/add-checkpoint`, { method: 'POST', body })
    return { status: response.status, type: response.headers.get('content-type'), text: await response.text() }
  }
  return { witness, open, url: server.url, add }
}

test('a tree that grows is cosigned, with the time, and shown', async () => {
  const log = new PaperLog(ORIGIN)
  const { witness, url, add } = await started(log)
  const shown = `${url}/${hash('sha256', ORIGIN, 'hex')}/checkpoint`
  assert.equal((await fetch(shown)).status, 404)
  for (const [old, size] of [
    [0, 1],
    [1, 1],
    [1, 300],
    [300, 1000],
  ] as const) {
    const { status, text } = await add(await log.request(old, size))
    assert.equal(status, 200, `${old} to ${size}`)
    const note = parseNote((await log.note(size)) + text)
    const seconds = verifyNote(note, witness.key) as number
    assert.ok(Math.abs(seconds - Date.now() / 1000) < 60)
  }
  const note = parseNote(await (await fetch(shown)).text())
  assert.equal(parseCheckpoint(note.text).size, 1000)
  assert.ok(verifyNote(note, log.key) !== undefined && verifyNote(note, witness.key))
})

test('everything else gets the answer of the specification, and changes nothing', async () => {
  const log = new PaperLog(ORIGIN)
  const split = new PaperLog(ORIGIN, { log, until: 5 })
  const { add, witness } = await started(log)
  assert.equal((await add(await log.request(0, 10))).status, 200)
  const note = await log.note(20)
  const cases: [number, string, string][] = [
    [400, 'nothing', ''],
    [400, 'no old size', note],
    [400, 'a size with a zero before it', (await log.request(10, 20)).replace('old 10', 'old 010')],
    [
      400,
      'a proof that is no base64',
      formatAddCheckpoint({ old: 10, proof: [], checkpoint: note }).replace('\n', '\n!\n'),
    ],
    [400, 'too many hashes', formatAddCheckpoint({ old: 10, proof: Array(64).fill(EMPTY_ROOT), checkpoint: note })],
    [400, 'a note without an empty line', `old 10\n\n${note.replace('\n\n', '\n')}`],
    [400, 'a note that is no checkpoint', `old 10\n\n${note.replace('\n20\n', '\n-20\n')}`],
    [400, 'an old size beyond the new one', await log.request(10, 20).then((body) => body.replace('old 10', 'old 21'))],
    [404, 'a log that is not known', await new PaperLog('other.example.test').request(10, 20)],
    [403, 'a key of the same name', await new PaperLog(ORIGIN).request(10, 20)],
    [403, 'a false signature', (await log.request(10, 20)).replace('\n20\n', '\n21\n')],
    [422, 'another past', await split.request(10, 20)],
    [422, 'another tree of the same size', await split.request(10, 10)],
    [422, 'a proof too much', formatAddCheckpoint({ old: 10, proof: [EMPTY_ROOT], checkpoint: await log.note(10) })],
    [422, 'no proof', formatAddCheckpoint({ old: 10, proof: [], checkpoint: note })],
    [413, 'more than a request can be', 'x'.repeat(100_000)],
  ]
  for (const [status, what, body] of cases) assert.equal((await add(body)).status, status, what)
  for (const [old, size] of [
    [0, 10],
    [0, 20],
    [9, 20],
    [15, 20],
  ] as const) {
    const answer = await add(await log.request(old, size))
    assert.deepEqual([answer.status, answer.type, answer.text], [409, 'text/x.tlog.size', '10\n'])
  }
  assert.deepEqual(
    witness.seen.map(({ size }) => size),
    [10],
  )
  const second = await started(log)
  const empty = (root: Uint8Array) => log.note(0, root).then((checkpoint) => `old 0\n\n${checkpoint}`)
  assert.equal((await second.add(await empty(log.leaf(0)))).status, 422, 'an empty tree with another root')
  const one = formatAddCheckpoint({ old: 0, proof: [EMPTY_ROOT], checkpoint: await log.note(1) })
  assert.equal((await second.add(one)).status, 422, 'a proof from nothing')
  assert.equal((await second.add(await empty(EMPTY_ROOT))).status, 200)
})

test('a checkpoint may bear signatures of others, and only those of the log are kept', async () => {
  const log = new PaperLog(ORIGIN)
  const other = new PaperLog(ORIGIN)
  const { witness, add } = await started(log, new PaperLog('second.example.test'))
  const line = (await other.note(7)).split('\n').at(-2)
  assert.equal((await add(`${await log.request(0, 7)}${line}\n`)).status, 200)
  const kept = witness.checkpoint(hash('sha256', ORIGIN, 'hex')).text
  assert.equal(parseNote(kept).signatures.length, 2)
})

test('of requests that arrive together one continues the tree, and the others hear its size', async () => {
  const log = new PaperLog(ORIGIN)
  const { witness, add } = await started(log)
  await add(await log.request(0, 100))
  const sizes = Array.from({ length: 40 }, (_, i) => 101 + i)
  const bodies = await Promise.all(sizes.map((size) => log.request(100, size)))
  const answers = await Promise.all(bodies.map(add))
  const taken = sizes.filter((_, i) => answers[i]?.status === 200)
  assert.equal(taken.length, 1)
  for (const answer of answers)
    if (answer.status !== 200) assert.deepEqual([answer.status, answer.text], [409, `${taken[0]}\n`])
  assert.deepEqual(
    witness.seen.map(({ size }) => size),
    taken,
  )
})

test('what was answered is remembered, and a memory that is gone or of another witness is no start', async () => {
  const log = new PaperLog(ORIGIN)
  const { add, open, witness } = await started(log)
  await add(await log.request(0, 12))
  assert.deepEqual(open().seen, witness.seen)
  const { privateKey } = generateKeyPairSync('ed25519')
  const of =
    (stateFile: string, name = 'w') =>
    () =>
      new Witness({ name, privateKey, logs: [log.key], stateFile, clock: systemClock })
  assert.throws(of(join(folder, 'nowhere')), /is missing/)
  beginState(join(folder, 'mine'), formatVkey(witnessKey('w', privateKey)))
  assert.throws(() => beginState(join(folder, 'mine'), 'w'), /there already/)
  assert.throws(of(join(folder, 'mine'), 'another'), /another witness/)
})

interface Running {
  readonly process: ChildProcess
  readonly vkey: string
  readonly url: string
}

async function run(data: string, log: PaperLog, env: Record<string, string> = {}): Promise<Running> {
  const preload = fileURLToPath(new URL('../helpers/killed-when-remembered.js', import.meta.url))
  const words = ['witness', '--name', 'w.example.test', '--log', formatVkey(log.key), '--data', data, '--port', '0']
  const child = spawn(process.execPath, ['--import', preload, MAIN, ...words, '--json'], {
    env: { PATH: process.env['PATH'], ...env },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  after(() => child.kill('SIGKILL'))
  const [line] = (await once(createInterface({ input: child.stdout as NodeJS.ReadableStream }), 'line')) as [string]
  return { process: child, ...(JSON.parse(line) as { vkey: string; url: string }) }
}

test('paraph witness: a kill between memory and answer costs an answer, and never the memory', async () => {
  const log = new PaperLog(ORIGIN)
  const data = join(folder, 'program')
  const order = join(folder, 'kill')
  const first = await run(data, log, { PARAPH_TEST_KILL: order })
  assert.equal(statSync(join(data, 'key.pem')).mode & 0o777, 0o600)
  const add = (at: Running, body: string) => fetch(`${at.url}/add-checkpoint`, { method: 'POST', body })
  assert.equal((await add(first, await log.request(0, 5))).status, 200)
  writeFileSync(order, '')
  const died = once(first.process, 'exit')
  await assert.rejects(add(first, await log.request(5, 9)))
  await died
  rmSync(order)
  const second = await run(data, log)
  assert.equal(second.vkey, first.vkey)
  assert.equal((await add(second, await log.request(5, 9))).status, 409)
  const answer = await add(second, await log.request(9, 9))
  assert.equal(answer.status, 200)
  const note = parseNote((await log.note(9)) + (await answer.text()))
  assert.ok(verifyNote(note, parseVkey(second.vkey)))
  const stopped = once(second.process, 'exit')
  second.process.kill('SIGTERM')
  assert.deepEqual(await stopped, [0, null])
  // A key whose memory is gone does not begin another.
  rmSync(join(data, 'state.json'))
  const words = ['witness', '--name', 'w.example.test', '--log', formatVkey(log.key), '--data', data, '--port', '0']
  const { status, stderr } = await paraph({}, words)
  assert.equal(status, 1)
  assert.match(stderr, /is missing/)
  assert.equal((await paraph({}, ['witness', '--name', 'w', '--data', data])).status, 1)
  assert.equal((await paraph({}, [...words, '--log', 'w'])).status, 2)
})
