/** What witnesses say of the log, and what they find out that no machine of the service remembers. */
import assert from 'node:assert/strict'
import { generateKeyPairSync } from 'node:crypto'
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs'
import { createServer } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, type TestContext, test } from 'node:test'
import { pino } from 'pino'
import { systemClock } from '../../src/clock.js'
import { freePort } from '../../src/db/cluster.js'
import { openClient } from '../../src/db/pool.js'
import { openCheckpointKey } from '../../src/hsm/checkpoint-key.js'
import { Keeper } from '../../src/keeper/keeper.js'
import { formatVkey, noteKey, parseNote } from '../../src/tlog/note.js'
import { judge, parsePolicy } from '../../src/tlog/policy.js'
import { serveWitness } from '../../src/witness/server.js'
import { beginState, Witness, witnessKey } from '../../src/witness/witness.js'
import { until } from '../front/until.js'
import { TestService } from '../helpers/test-service.js'

const folder = mkdtempSync(join(tmpdir(), 'paraph-witnesses-'))
after(() => rmSync(folder, { recursive: true }))
const logger = pino({ level: 'silent' })

/** A witness that can be reached, or not, at one address. */
async function newWitness(name: string) {
  const { privateKey } = generateKeyPairSync('ed25519')
  const vkey = formatVkey(witnessKey(name, privateKey))
  const port = await freePort()
  const stateFile = join(folder, name)
  beginState(stateFile, vkey)
  let server: { close(): Promise<void> } | undefined
  const stop = async () => {
    await server?.close()
    server = undefined
  }
  return {
    line: `witness ${name} ${vkey} http://127.0.0.1:${port}`,
    stop,
    async start(t: TestContext, service: TestService) {
      const key = await openCheckpointKey(service.checkpointHsmUri)
      const { origin } = await service.admin('log.origin', {})
      const logs = [noteKey(origin, key.type, key.publicKey)]
      key.close()
      const witness = new Witness({ name, privateKey, logs, stateFile, clock: systemClock })
      server = await serveWitness(witness, { host: '127.0.0.1', port, logger })
      t.after(stop)
    },
  }
}

async function sign(service: TestService): Promise<number> {
  const token = await service.login()
  const hashes = service.digests('a document')
  const credential = service.credentials['p-256'] as string
  const sad = await service.authorize(token, credential, hashes)
  return (await service.signHash(token, credential, sad, hashes)).status
}

const numberOf = async (service: TestService, question: string) =>
  ((await (await service.owner()).query(question)).rows[0].n ?? 0) as number
const headOf = (service: TestService) => numberOf(service, 'select size as n from audit.head')
const witnessedOf = (service: TestService) => numberOf(service, 'select max(size) as n from audit.witnessed')

/** Resolves when the witnesses have cosigned everything that is in the log now. */
async function witnessed(service: TestService): Promise<number> {
  const head = await headOf(service)
  await until(async () => (await witnessedOf(service)) >= head)
  return head
}

test('witnesses cosign what is shown, and one that is silent holds nobody up', async (t) => {
  const silent = createServer(() => {})
  silent.listen(0, '127.0.0.1')
  t.after(() => silent.close().closeAllConnections())
  await until(() => silent.listening)
  const stranger = formatVkey(witnessKey('silent', generateKeyPairSync('ed25519').privateKey))
  const [w1, w2] = [await newWitness('w1'), await newWitness('w2')]
  const text = [
    ...[w1.line, w2.line, `witness silent ${stranger} http://127.0.0.1:${(silent.address() as AddressInfo).port}`],
    ...['group enough 2 w1 w2 silent', 'quorum enough', ''],
  ].join('\n')
  const service = await TestService.start({ keys: ['p-256'], keeper: false })
  t.after(() => service.close())
  await w1.start(t, service)
  await w2.start(t, service)
  const witnesses = parsePolicy(text)
  const keeper = await service.startKeeper({ witnesses })
  await witnessed(service)
  assert.equal(await sign(service), 200)
  const size = await witnessed(service)
  const front = await openClient(service.frontUrl)
  t.after(() => front.end())
  const shown = async () => {
    const { rows } = await front.query(
      'select audit.shown_size() as size, audit.cosigned_note(audit.shown_size()) as note',
    )
    const { origin } = await service.admin('log.origin', {})
    return { size: rows[0].size as number, trust: judge(witnesses, parseNote(rows[0].note), origin) }
  }
  const { trust, size: first } = await shown()
  assert.ok(first >= size)
  assert.ok(trust.quorum)
  assert.deepEqual([...trust.cosigned.keys()].sort(), ['w1', 'w2'])
  // A keeper that knows of nothing goes on where the witness is.
  await keeper.stop()
  await service.startKeeper({ witnesses })
  assert.equal(await sign(service), 200)
  await witnessed(service)
  // With too few of them the service goes on, and shows for a moment what enough of them cosigned last.
  await w1.stop()
  await service.login()
  const head = await headOf(service)
  await until(async () => (await numberOf(service, 'select max(size) as n from audit.checkpoint')) >= head)
  const last = await shown()
  assert.ok(last.size < head && last.trust.quorum)
  assert.equal(await sign(service), 200)
  await service.checkWorld()
})

test('where their quorum is required, nothing is signed that too few have cosigned', async (t) => {
  const w1 = await newWitness('required')
  const text = `${w1.line}\nquorum required\n`
  const service = await TestService.start({
    ...{ keys: ['p-256'], keeper: false },
    settings: { requiredWitnesses: text },
  })
  t.after(() => service.close())
  await service.startKeeper({ witnesses: parsePolicy(text) })
  await until(async () => (await sign(service)) === 503)
  assert.ok((await numberOf(service, 'select max(size) as n from audit.checkpoint')) > 0)
  // The owner of the database cannot do it for them.
  const owner = await service.owner()
  await owner.query('insert into audit.witnessed (size) select max(size) from audit.checkpoint')
  assert.equal(await sign(service), 503)
  await w1.start(t, service)
  await until(async () => (await sign(service)) === 200)
  await service.checkWorld()
})

test('F13: a log that was rolled back together with what every machine remembered is contradicted by a witness', async (t) => {
  const w1 = await newWitness('f13')
  const witnesses = parsePolicy(`${w1.line}\nquorum f13\n`)
  const service = await TestService.start({ keys: ['p-256'], keeper: false })
  t.after(() => service.close())
  await w1.start(t, service)
  const keeper = await service.startKeeper({ witnesses })
  assert.equal(await sign(service), 200)
  const size = (await witnessed(service)) - 3
  await keeper.stop()
  const owner = await service.owner()
  await owner.query("set session_replication_role = 'replica'")
  for (const statement of [
    ...['checkpoint', 'tile', 'cosignature', 'witnessed'].map((table) => `delete from audit.${table}`),
    "update audit.tree set size = 0, root = sha256(''::bytea)",
    ...['entry', 'op_index', 'opening'].map((table) => `delete from audit.${table} where idx >= ${size}`),
    `delete from audit.flush where first_idx >= ${size}`,
    `update audit.head set size = ${size}`,
  ]) {
    await owner.query(statement)
  }
  await owner.query('reset session_replication_role')
  rmSync(join(service.folder, 'checkpoint'))
  await service.startKeeper({ witnesses })
  await requireContradicted(join(service.folder, 'checkpoint'))
  await until(async () => (await sign(service)) === 503)
})

test('F17: of two databases under one key a witness cosigns one, and proves to the other that there are two', async (t) => {
  const w1 = await newWitness('f17')
  const witnesses = parsePolicy(`${w1.line}\nquorum f17\n`)
  const service = await TestService.start({ keys: ['p-256'], fronts: 0, keeper: false })
  t.after(() => service.close())
  await w1.start(t, service)
  const keeper = await service.startKeeper({ witnesses })
  const shared = await witnessed(service)
  await keeper.stop()
  await service.closeWorkers()
  const server = new URL(service.ownerUrl)
  const name = server.pathname.slice(1)
  server.pathname = '/postgres'
  const postgres = await openClient(server.toString(), { statementTimeout: 60_000 })
  t.after(async () => {
    await postgres.query(`drop database if exists ${name}_copy with (force)`)
    await postgres.end()
  })
  await postgres.query('select pg_terminate_backend(pid) from pg_stat_activity where datname = $1', [name])
  await until(async () => {
    const { rows } = await postgres.query('select count(*) as n from pg_stat_activity where datname = $1', [name])
    return rows[0].n === 0
  })
  await postgres.query(`create database ${name}_copy template ${name}`)
  // Each goes on by itself, with a memory of its own; the first entries of each keeper are others.
  const urls = [service.keeperUrl, service.keeperUrl.replace(`/${name}`, `/${name}_copy`)]
  const files = urls.map((_, i) => join(service.folder, `view-${i}`))
  const key = await openCheckpointKey(service.checkpointHsmUri)
  t.after(() => key.close())
  const start = (i: number) => {
    const view = { databaseUrl: urls[i] as string, guardFile: files[i] as string }
    const keeper = new Keeper({ ...view, key, witnesses, node: `test/keeper-${i}`, clock: service.clock, logger })
    t.after(() => keeper.stop())
    keeper.start()
  }
  start(0)
  await until(async () => (await witnessedOf(service)) > shared)
  start(1)
  await requireContradicted(files[1] as string)
  assert.ok(!existsSync(`${files[0]}.fork`))
})

/** The keeper with this memory has found it, and keeps a checkpoint under our own signature that does not fit. */
async function requireContradicted(guardFile: string): Promise<void> {
  await until(() => existsSync(`${guardFile}.fork`))
  const evidence = readFileSync(`${guardFile}.fork`, 'utf8')
  assert.match(evidence, /^the witness \S+ \(\S+\) shows a checkpoint that we signed, and the tree had? /)
  const note = parseNote(evidence.slice(evidence.indexOf('\n\n') + 2))
  assert.equal(note.signatures.length, 2)
}
