/** Time-stamps of checkpoints by an authority outside: when they are asked for, and which are taken. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import type { AuditEvent } from '../../src/audit/event.js'
import type { Executor } from '../../src/db/pool.js'
import { openCheckpointKey } from '../../src/hsm/checkpoint-key.js'
import { type AnchorSettings, Anchors } from '../../src/keeper/anchor.js'
import { formatVkey, noteKey, parseNote } from '../../src/tlog/note.js'
import { readTimeStamp, readTrusted } from '../../src/verifier/time-stamps.js'
import { until } from '../front/until.js'
import { OpensslTsa } from '../helpers/openssl-tsa.js'
import { TestLog } from '../helpers/pack.js'
import { keepSecret, TestService } from '../helpers/test-service.js'

const folder = mkdtempSync(join(tmpdir(), 'paraph-anchor-'))
const file = (name: string, text: string, mode = 0o644) => {
  writeFileSync(join(folder, name), text, { mode })
  return join(folder, name)
}

let tsa: OpensslTsa
let server: Server
let settings: AnchorSettings
/** What the authority does with a query; it stamps, unless a test says so. */
let answer: ((query: Buffer, response: ServerResponse, request: IncomingMessage) => void) | undefined
let queries = 0

before(async () => {
  tsa = new OpensslTsa(join(folder, 'tsa'))
  server = createServer((request, response) => {
    const chunks: Buffer[] = []
    request.on('data', (chunk) => chunks.push(chunk))
    request.on('end', () => {
      queries++
      const query = Buffer.concat(chunks)
      if (answer !== undefined) return answer(query, response, request)
      response.setHeader('content-type', 'application/timestamp-reply')
      return response.end(tsa.reply(query))
    })
  })
  await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve))
  const { port } = server.address() as AddressInfo
  settings = { url: `http://127.0.0.1:${port}/tsa`, certificatesFile: file('root.pem', tsa.root) }
})
after(() => {
  server.closeAllConnections()
  server.close()
  rmSync(folder, { recursive: true, force: true })
})

/** A checkpoint that was never stamped, and what comes of one look at it. */
async function oneLook(more: Partial<AnchorSettings> = {}, clock = { now: () => Date.now() }) {
  const note = new TestLog().publish()
  const stored: unknown[][] = []
  const entries: AuditEvent[] = []
  const warnings: string[] = []
  const db: Executor = {
    query: async <Row extends object>(text: string, values: readonly unknown[] = []) => {
      if (text.startsWith('insert')) stored.push([...values])
      const newest = { size: 3, note, keys: 1, anchored: null, anchored_at: null, anchored_size: null }
      return { rows: [newest as unknown as Row], rowCount: 1 }
    },
  }
  const logger = { info: () => undefined, warn: ({ cause }: { cause: string }) => void warnings.push(cause) }
  const log = { append: async (event: AuditEvent) => void entries.push(event) }
  const anchors = new Anchors({ ...settings, ...more, clock, log, logger: logger as never })
  const asked = queries
  await anchors.round(db)
  await until(async () => {
    await anchors.round(db)
    return stored.length + warnings.length > 0
  })
  await anchors.round(db)
  await anchors.stop()
  assert.ok(queries - asked <= 1, 'it rests before it asks again')
  return { stored, entries, warnings, note }
}

test('a checkpoint is stamped over its text, and the log says so', async () => {
  const { stored, entries, warnings, note } = await oneLook()
  assert.deepEqual(warnings, [])
  const [[size, response, time] = []] = stored
  assert.equal(size, 3)
  const seen = readTimeStamp(response as Buffer, Buffer.from(parseNote(note).text), readTrusted(tsa.root))
  assert.equal((time as Date).getTime(), seen.time)
  assert.deepEqual(
    entries.map(({ type, facts }) => [type, facts]),
    [['audit.anchored', { size: 3 }]],
  )
})

test('what is no stamp of ours by whom we trust is not taken, and told once', async () => {
  const other = new OpensslTsa(join(folder, 'other'))
  const of = async (
    doing: typeof answer,
    text: RegExp,
    more: Partial<AnchorSettings> = {},
    clock?: { now: () => number },
  ) => {
    answer = doing
    const { stored, entries, warnings } = await oneLook(more, clock).finally(() => {
      answer = undefined
    })
    assert.deepEqual([stored, entries], [[], []])
    assert.equal(warnings.length, 1)
    assert.match(warnings[0] as string, text)
  }
  const earlier = tsa.stamp('another text')
  const flipped = (query: Buffer) => {
    const turned = Buffer.from(query)
    // The nonce stands before the last three bytes.
    turned[turned.length - 4] = (turned[turned.length - 4] as number) ^ 1
    return turned
  }
  await of((_, response) => response.end(earlier), /another checkpoint/)
  await of((query, response) => response.end(tsa.reply(flipped(query))), /another query/)
  await of((query, response) => response.end(other.reply(query)), /no authority that is trusted/)
  await of((_, response) => response.end('nonsense'), /./)
  await of((_, response) => response.end(Buffer.from('30053003020102', 'hex')), /not granted/)
  await of((_, response) => response.end(Buffer.alloc(100_000)), /too long/)
  await of((_, response) => response.writeHead(500).end(), /answered 500/)
  await of((_, response) => response.writeHead(302, { location: '/elsewhere' }).end(), /redirect/)
  await of((_, response) => response.destroy(), /./)
  await of(undefined, /minute apart/, {}, { now: () => Date.now() + 120_000 })
  await of(undefined, /ENOENT|no such file/, { certificatesFile: join(folder, 'nothing') })
  await of(undefined, /no certificate in PEM/, { certificatesFile: file('empty', '') })
  await of(undefined, /ECONNREFUSED|bad port/, { url: 'http://127.0.0.1:9/' })
})

test('the next stamp is asked for when it is due, and not before', async () => {
  const log = new TestLog()
  const before = log.publish()
  log.commit(log.sam, [{ type: 'audit.stop', outcome: 'ok', actor: { kind: 'system' } }])
  const note = log.publish()
  const another = new TestLog().publish()
  const hour = 3_600_000
  for (const [what, anchored, due] of [
    ['none yet', { anchored: null, anchored_at: null, anchored_size: null }, true],
    ['an hour ago', { anchored: before, anchored_at: new Date(Date.now() - hour), anchored_size: 2 }, true],
    ['a moment ago', { anchored: before, anchored_at: new Date(Date.now() - hour + 30_000), anchored_size: 2 }, false],
    ['nothing new since', { anchored: note, anchored_at: new Date(Date.now() - 2 * hour), anchored_size: 3 }, false],
    ['by another key', { anchored: another, anchored_at: new Date(), anchored_size: 2 }, true],
  ] as const) {
    const asked = queries
    const db: Executor = {
      query: async <Row extends object>() => ({
        rows: [{ size: 3, note, keys: 1, ...anchored } as unknown as Row],
        rowCount: 1,
      }),
    }
    const logger = { info: () => undefined, warn: () => undefined }
    const log = { append: async () => undefined }
    const anchors = new Anchors({ ...settings, clock: { now: () => Date.now() }, log, logger })
    await anchors.round(db)
    if (due) await until(async () => queries > asked)
    await anchors.stop()
    assert.equal(queries - asked, due ? 1 : 0, what)
  }
})

test('where a password is wanted it is sent to the authority, and told nowhere', async () => {
  const password = 'aPassword-of-the-TSA'
  keepSecret(password)
  let told: string | undefined
  answer = (query, response, request) => {
    told = request.headers.authorization
    response.end(tsa.reply(query))
  }
  const { stored } = await oneLook({
    url: settings.url.replace('//', '//anna%40example@'),
    passwordFile: file('password', `${password}\n`, 0o600),
  }).finally(() => {
    answer = undefined
  })
  assert.equal(stored.length, 1)
  assert.equal(told, `Basic ${Buffer.from(`anna@example:${password}`).toString('base64')}`)
})

test('the keeper has the log stamped at once, after an hour, and when a key is named', async (t) => {
  const service = await TestService.start({ keys: [], keeper: false })
  t.after(() => service.close())
  const owner = await service.owner()
  const anchors = async () =>
    (
      await owner.query(
        'select a.size, response, note from audit.anchor a join audit.checkpoint using (size) order by 1',
      )
    ).rows as { size: number; response: Buffer; note: string }[]
  const becomes = (count: number) => until(async () => (await anchors()).length === count)
  await service.startKeeper({ anchor: settings })
  await becomes(1)

  await owner.query("set session_replication_role = 'replica'")
  await owner.query(`update audit.anchor set gen_time = gen_time - interval '1 hour'`)
  await owner.query('reset session_replication_role')
  await service.newSigner('one@example.test', 'One')
  await becomes(2)

  const key = await openCheckpointKey(`memory:${join(service.folder, 'second')}`, { create: true })
  const { origin } = await service.admin('log.origin', {})
  await service.admin('log.key', { vkey: formatVkey(noteKey(origin, key.type, key.publicKey)) })
  await becomes(3)
  key.close()

  const rows = await anchors()
  for (const { note, response } of rows) {
    readTimeStamp(response, Buffer.from(parseNote(note).text), readTrusted(tsa.root))
  }
  await until(async () => (await service.checkWorld()).of('audit.anchored').length === 3)
  const world = await service.checkWorld()
  assert.deepEqual(
    world.of('audit.anchored').map(({ leaf }) => leaf.f),
    rows.map(({ size }) => ({ size })),
  )
})
