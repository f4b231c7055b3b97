import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { openClient } from '../../src/db/pool.js'
import { type CheckpointKey, openCheckpointKey } from '../../src/hsm/checkpoint-key.js'
import { HsmError } from '../../src/hsm/hsm.js'
import { until } from '../front/until.js'
import { TestService } from '../helpers/test-service.js'

/** Each test spoils the log, so that each has a service of its own. */
async function started(): Promise<TestService> {
  return await TestService.start({ keys: ['p-256'] })
}

async function heads(service: TestService) {
  const { rows } = await (await service.owner()).query(
    'select h.size as head, coalesce((select max(size) from audit.checkpoint), 0) as signed from audit.head h',
  )
  return rows[0] as { head: number; signed: number }
}

/** Resolves when everything that is in the log now is under a signed checkpoint. */
async function covered(service: TestService): Promise<number> {
  const { head } = await heads(service)
  await until(async () => (await heads(service)).signed >= head)
  return head
}

async function sign(service: TestService): Promise<number> {
  const token = await service.login()
  const hashes = service.digests('a document')
  const credential = service.credentials['p-256'] as string
  const sad = await service.authorize(token, credential, hashes)
  return (await service.signHash(token, credential, sad, hashes)).status
}

/** With the rights of the database's owner, past every trigger. */
async function asOwner(service: TestService, ...statements: string[]): Promise<void> {
  const owner = await service.owner()
  await owner.query("set session_replication_role = 'replica'")
  for (const statement of statements) await owner.query(statement)
  await owner.query('reset session_replication_role')
}

const fork = (service: TestService) => join(service.folder, 'checkpoint.fork')

/** The keeper has found it, and keeps what proves it. */
async function requireFound(service: TestService, evidence: RegExp): Promise<void> {
  await until(() => existsSync(fork(service)))
  assert.match(readFileSync(fork(service), 'utf8'), evidence)
}

test('F10: an entry that is deleted before it is signed stops the log', async (t) => {
  const service = await started()
  t.after(() => service.close())
  const size = await covered(service)
  const owner = await service.owner()
  // Between the appending of two entries and their integration nobody can look: the owner deletes in that transaction.
  await owner.query("set session_replication_role = 'replica'")
  await owner.query('begin')
  await owner.query('update audit.head set size = size + 2')
  await owner.query(
    `insert into audit.entry (idx, op, ph, ev, leaf, lh) select $1, gen_random_uuid(), 0, ev, leaf, lh from audit.entry where idx = 0`,
    [size + 1],
  )
  await owner.query('commit')
  await owner.query('reset session_replication_role')
  await requireFound(service, new RegExp(`entry ${size} is missing`))
  // Nothing is signed any more, and no later start forgets it.
  await until(async () => (await sign(service)) === 503)
  const { signed } = await heads(service)
  await service.startKeeper()
  assert.equal(await sign(service), 503)
  assert.equal((await heads(service)).signed, signed)
})

test('F11: a tile that is altered with its tree is no continuation of what was signed', async (t) => {
  const service = await TestService.start({ keys: ['p-256'], keeper: false })
  t.after(() => service.close())
  // With a memory of its own: a worker that wrote what stands in the tile finds it as well.
  const file = join(service.folder, 'keeper')
  await service.startKeeper({ guardFile: file })
  await covered(service)
  await asOwner(
    service,
    "update audit.tile set data = overlay(data placing '\\x00000000'::bytea from 33) where level = 0 and n = 0",
  )
  await service.login()
  await until(() => existsSync(`${file}.fork`))
  assert.match(readFileSync(`${file}.fork`, 'utf8'), /does not continue|is not entry \d+ of the signed tree/)
})

test('F12: a log that was rolled back is not continued', async (t) => {
  const service = await started()
  t.after(() => service.close())
  const size = await covered(service)
  await asOwner(
    service,
    'delete from audit.checkpoint',
    'delete from audit.tile',
    "update audit.tree set size = 0, root = sha256(''::bytea)",
    ...['entry', 'op_index', 'opening'].map((table) => `delete from audit.${table} where idx >= ${size - 3}`),
    `delete from audit.flush where first_idx >= ${size - 3}`,
    `update audit.head set size = ${size - 3}`,
  )
  await requireFound(service, /and \d+ were signed/)
})

test('F12: a checkpoint that was altered is not believed by a keeper that sees it first', async (t) => {
  const service = await started()
  t.after(() => service.close())
  await covered(service)
  await asOwner(
    service,
    `update audit.checkpoint set root = sha256(root), note = replace(note, encode(root, 'base64'), encode(sha256(root), 'base64'))
      where size = (select max(size) from audit.checkpoint)`,
  )
  const file = join(service.folder, 'another')
  await service.startKeeper({ guardFile: file })
  await until(() => existsSync(`${file}.fork`))
  assert.match(readFileSync(`${file}.fork`, 'utf8'), /is false|does not continue/)
})

test('F20: while the key fails, signing stops; when it works again, the tail is signed and signing goes on', async (t) => {
  const service = await TestService.start({ keys: ['p-256'], keeper: false })
  t.after(() => service.close())
  const real = await openCheckpointKey(service.checkpointHsmUri)
  let fails = false
  const key: CheckpointKey = {
    ...{ type: real.type, publicKey: real.publicKey, close: () => real.close() },
    sign(text) {
      if (fails) throw new HsmError('unavailable', 'the device is away')
      return real.sign(text)
    },
  }
  await service.startKeeper({ key })
  await covered(service)
  assert.equal(await sign(service), 200)
  fails = true
  await until(async () => (await sign(service)) === 503)
  const health = await fetch(`${service.urls[0]}/health/ready`)
  assert.equal(health.status, 503)
  const { parts } = (await health.json()) as { parts: Record<string, string> }
  assert.deepEqual([parts['log'], parts['device'], parts['database']], ['down', 'up', 'up'])
  fails = false
  await until(async () => (await sign(service)) === 200)
  await covered(service)
  await service.checkWorld()
})

test('F16, F32: when the leading keeper is gone another leads, and what both signed is one log', async (t) => {
  const service = await TestService.start({ keys: ['p-256'], keeper: false })
  t.after(() => service.close())
  const first = await service.startKeeper()
  await covered(service)
  const second = await service.startKeeper({ guardFile: join(service.folder, 'second') })
  await first.stop()
  assert.equal(await sign(service), 200)
  await covered(service)
  await second.stop()
  const third = await service.startKeeper()
  assert.equal(await sign(service), 200)
  await covered(service)
  await third.stop()
  await service.checkWorld()
})

test('the role of a keeper can neither alter the log nor write the entries of others', async (t) => {
  const service = await started()
  t.after(() => service.close())
  const client = await openClient(service.keeperUrl)
  t.after(() => client.end())
  for (const statement of [
    'delete from audit.entry',
    'update audit.head set size = 0',
    'delete from audit.tile',
    'update audit.checkpoint set note = note',
    "insert into audit.checkpoint_key (vkey, binding) values ('x', 'x')",
    'select * from audit.opening',
    'select * from paraph.signer',
    'select * from paraph.credential',
    "insert into audit.boot (id, kind, node, public_key, announced_at) values (gen_random_uuid(), 'sam', 'x', 'x', now())",
  ]) {
    await assert.rejects(client.query(statement), { code: '42501' }, statement)
  }
})
