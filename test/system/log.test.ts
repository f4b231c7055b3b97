import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { after, before, describe, test } from 'node:test'
import { searchTag } from '../../src/audit/leaf.js'
import { type Client, openClient } from '../../src/db/pool.js'
import { initDemo } from '../../src/sam/demo.js'
import { leafHash } from '../../src/tlog/tree.js'
import { TestService } from '../helpers/test-service.js'

let service: TestService
let owner: Client
let hashes: string[]

before(async () => {
  service = await TestService.start({ keys: ['p-256'] })
  owner = await service.owner()
  const bearer = await service.login()
  const credential = service.credentials['p-256'] as string
  hashes = service.digests('one', 'two')
  const sad = await service.authorize(bearer, credential, hashes)
  for (const hash of hashes) assert.equal((await service.signHash(bearer, credential, sad, [hash])).status, 200)
  await service.post('/csc/v2/credentials/info', { credentialID: credential }, { bearer })
  await service.post('/csc/v2/credentials/list', {}, { bearer: 'nobody' })
})
after(() => service?.close())

test('every operation is in the log, with an actor, and a refused stranger as anonymous with an address', async () => {
  const end = performance.now() + 5000
  let world = await service.checkWorld()
  while (world.of('access.refused').length === 0 && performance.now() < end) world = await service.checkWorld()
  for (const ev of [
    'audit.init',
    'audit.start',
    'signer.enrolled',
    'factor.enrolled',
    'credential.created',
    'key.generated',
    'key.linked_cert',
    'auth.login',
    'sad.issued',
    'sign.intent',
    'sign.outcome',
    'credential.read',
    'access.refused',
  ]) {
    assert.ok(world.of(ev).length > 0, ev)
  }
  const refused = world.of('access.refused')[0]
  assert.equal(refused?.leaf.act, 'anonymous')
  assert.equal(refused?.leaf.why, 'token_unknown')
  assert.match(String(refused?.open.get('ip')), /127\.0\.0\.1/)
})

test('a leaf leads to no person, key or document without its openings', async () => {
  const { entries } = await service.checkWorld()
  const secrets = [
    service.signer.login,
    service.credentials['p-256'] as string,
    ...hashes.map((hash) => Buffer.from(hash, 'base64').toString('base64url')),
    '127.0.0.1',
  ]
  const { rows } = await owner.query(`select id from paraph.signer`)
  const leaves = JSON.stringify(entries.map(({ leaf }) => leaf))
  for (const secret of [...secrets, ...rows.map(({ id }) => id)]) assert.ok(!leaves.includes(secret), 'shows through')
})

test('entries are found by signer, credential, client and digest', async () => {
  const found = async (name: string, value: string) =>
    (
      await owner.query('select idx from audit.opening where tags @> array[$1::bigint] order by idx', [
        String(searchTag(name, value)),
      ])
    ).rows.map(({ idx }) => idx)
  const world = await service.checkWorld()
  const digest = Buffer.from(hashes[1] as string, 'base64').toString('base64url')
  const expected = world.entries
    .filter(({ open }) => open.get('dtbsr[0]') === digest || open.get('dtbsr[1]') === digest)
    .map(({ idx }) => idx)
  assert.deepEqual(await found('digest', digest), expected)
  assert.equal(expected.length, 2, 'the authorization and the intention')
  assert.ok((await found('credential', service.credentials['p-256'] as string)).length >= 5)
  assert.ok((await found('client', 'basic')).length >= 4)
})

describe('rights and triggers keep the log append-only', () => {
  test('for the roles of the service', async () => {
    const sam = await openClient(service.samUrl)
    try {
      for (const statement of [
        'update audit.entry set ev = ev',
        'delete from audit.entry',
        'truncate audit.entry',
        'delete from audit.opening',
        'delete from audit.op_index',
        'update audit.head set size = 0',
        'delete from audit.flush',
        "insert into audit.entry (idx, op, ph, ev, leaf, lh) values (0, gen_random_uuid(), 0, 1, '{}', sha256(''))",
      ]) {
        await assert.rejects(sam.query(statement), { code: '42501' }, statement)
      }
    } finally {
      await sam.end()
    }
  })

  test('and even for the owner, unless he takes the triggers off', async () => {
    for (const statement of [
      'update audit.entry set ev = ev',
      'delete from audit.entry where idx = 3',
      'truncate audit.entry_0',
      'update audit.opening set fields = fields',
      'truncate audit.opening_0',
      'delete from audit.flush',
      'truncate audit.flush cascade',
      'delete from audit.boot',
      'update audit.log set demo = false',
    ]) {
      await assert.rejects(owner.query(statement), /append-only/, statement)
    }
  })
})

describe('a superuser who tampers is found by whoever checks', () => {
  const tamperings: Record<string, (client: Client, last: number) => Promise<unknown>> = {
    'takes an entry out': (client, last) => client.query('delete from audit.entry where idx = $1', [last - 2]),
    'takes the last entry off': async (client, last) => {
      await client.query('delete from audit.entry where idx = $1', [last])
      await client.query('delete from audit.op_index where idx = $1', [last])
      await client.query('delete from audit.opening where idx = $1', [last])
      await client.query('update audit.head set size = size - 1')
    },
    'changes a leaf': (client, last) =>
      client.query(
        `update audit.entry set leaf = convert_to(replace(convert_from(leaf, 'UTF8'), '"out":"ok"', '"out":"no"'), 'UTF8') where idx = $1`,
        [last - 3],
      ),
    'changes a leaf and its hash': async (client, last) => {
      const { rows } = await client.query('select leaf from audit.entry where idx = $1', [last - 3])
      const leaf = Buffer.from(rows[0].leaf.toString().replace('"out":"ok"', '"out":"no"'))
      await client.query('update audit.entry set leaf = $2, lh = $3 where idx = $1', [last - 3, leaf, leafHash(leaf)])
    },
    'slips an entry in under a writer of the service': async (client, last) => {
      const { rows } = await client.query('select op, ph, ev, leaf from audit.entry where idx = $1', [last])
      const op = randomUUID()
      const leaf = Buffer.from(
        rows[0].leaf
          .toString()
          .replace(rows[0].op, op)
          .replace(/"seq":(\d+)/, (_: string, seq: string) => `"seq":${Number(seq) + 1}`),
      )
      await client.query('insert into audit.entry (idx, op, ph, ev, leaf, lh) values ($1, $2, $3, $4, $5, $6)', [
        last + 1,
        op,
        rows[0].ph,
        rows[0].ev,
        leaf,
        leafHash(leaf),
      ])
      await client.query('insert into audit.op_index (op, ph, idx) values ($1, $2, $3)', [op, rows[0].ph, last + 1])
      await client.query('update audit.head set size = size + 1')
    },
    'exchanges two entries': async (client, last) => {
      await client.query('update audit.entry set idx = 1000000 where idx = $1', [last - 1])
      await client.query('update audit.entry set idx = $1 where idx = $2', [last - 1, last - 2])
      await client.query('update audit.entry set idx = $1 where idx = 1000000', [last - 2])
    },
    'opens an entry to something else': (client) =>
      client.query(`update audit.opening set fields = replace(fields, '"basic"', '"other"')`),
    'rolls a budget back': (client) => client.query('update paraph.authorization set used = 0, remaining = digests'),
    'forgets a signing': (client) =>
      client.query('delete from paraph.signing where op = (select op from paraph.signing limit 1)'),
    'calls an open signing ended': (client) => client.query('update paraph.signing set state = 2'),
    'puts a writer of his own in': async (client) => {
      await client.query(
        `update audit.boot set public_key = decode('302a300506032b6570032100' || repeat('ab', 32), 'hex') where kind = 'sam'`,
      )
    },
  }
  for (const [what, tamper] of Object.entries(tamperings)) {
    test(what, async () => {
      await service.checkWorld()
      const last = Number((await owner.query('select size from audit.head')).rows[0].size) - 1
      await owner.query('begin')
      try {
        // In a transaction that is rolled back, on the connection that then checks: each tampering by itself.
        await owner.query('set local session_replication_role = replica')
        await tamper(owner, last)
        await assert.rejects(service.checkWorld({ on: owner }), assert.AssertionError)
      } finally {
        await owner.query('rollback')
      }
      await service.checkWorld()
    })
  }
})

test('a log is begun once, and by nobody but its ceremony', async () => {
  const before = (await owner.query('select * from audit.log')).rows
  // The demo's own start finds the log and does nothing.
  const { keysDir, ownerUrl } = service
  const {
    hsmUri,
    caHsmUri = '',
    instance,
  } = service.workerSettings[0] as NonNullable<(typeof service.workerSettings)[0]>
  await initDemo({ ownerUrl, hsmUri, caHsmUri, keysDir, instance })
  assert.deepEqual((await owner.query('select * from audit.log')).rows, before)
  await assert.rejects(
    service.startWorker({ ...service.newWorkerSettings(5), instance: randomUUID() }),
    /belong to instance/,
  )
  await assert.rejects(service.startWorker({ ...service.newWorkerSettings(6), demo: false }), /demo database/)
})
