import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { TestService } from '../helpers/test-service.js'

let service: TestService
before(async () => {
  service = await TestService.start({ keys: ['p-256'] })
})
after(() => service?.close())

/** A worker that starts does what one does each minute. */
const chores = async (index: number) => (await service.startWorker(service.newWorkerSettings(index))).close()

test('what has expired for a day is gone, and what happened stays in the log', async () => {
  const owner = await service.owner()
  const count = async (table: string) => (await owner.query(`select count(*) as n from paraph.${table}`)).rows[0].n
  const known = (await service.checkWorld()).entries.length
  const bearer = await service.login()
  const credential = service.credentials['p-256'] as string
  const hashes = service.digests('kept in the log')
  const sad = await service.authorize(bearer, credential, hashes)
  assert.equal((await service.signHash(bearer, credential, sad, hashes)).status, 200)

  await owner.query(
    `insert into audit.look values (sha256('over'), gen_random_uuid(), 'read', 1, paraph.now()),
       (sha256('live'), gen_random_uuid(), 'read', 1, paraph.now() + interval '2 hours')`,
  )
  await service.moveClock(3_600_000)
  await chores(5)
  const looks = await owner.query(`select hash = sha256('live') as live from audit.look`)
  assert.deepEqual(looks.rows, [{ live: true }])
  const { rows } = await owner.query(
    'select size, (select sum(entries)::int from audit.tally) as counted, (select size from audit.head) as head from audit.tallied',
  )
  assert.equal(rows[0].counted, rows[0].size)
  assert.ok(rows[0].size > known && rows[0].size <= rows[0].head, 'what is new is counted')
  assert.ok((await count('token')) > 0 && (await count('session')) > 0 && (await count('authorization')) > 0)

  await service.moveClock(25 * 3_600_000)
  await chores(6)
  assert.deepEqual([await count('token'), await count('session'), await count('authorization')], [0, 0, 0])
  assert.equal(await count('signing'), 1)
  const world = await service.checkWorld()
  assert.equal(world.of('sign.outcome').length, 1)

  // The service goes on as before.
  const again = await service.login()
  assert.equal((await service.post('/csc/v2/credentials/list', {}, { bearer: again })).status, 200)
})

test('the log has a partition ready long before it is needed', async () => {
  const owner = await service.owner()
  const partitions = async () =>
    (
      await owner.query(
        `select relname from pg_class where relname ~ '^(entry|opening)_[0-9]+$' and relkind = 'r' order by 1`,
      )
    ).rows.map(({ relname }) => relname)
  assert.deepEqual(await partitions(), ['entry_0', 'opening_0'])
  await owner.query('begin')
  try {
    // As if half of the first partition were full.
    await owner.query('update audit.head set size = 3000000')
    await owner.query('select audit.ensure_partitions(2000000)')
    assert.deepEqual(await partitions(), ['entry_0', 'entry_1', 'opening_0', 'opening_1'])
    // What falls into it is found and as protected as everything else.
    await owner.query(
      `insert into audit.entry (idx, op, ph, ev, leaf, lh) values (4194304, gen_random_uuid(), 0, 3, '{}', sha256(''))`,
    )
    const { rows } = await owner.query('select max(idx) as last from audit.entry where ev = 3 and idx < 4194304')
    for (const idx of [4194304, rows[0].last])
      await owner.query(`insert into audit.opening values ($1, 1, sha256(''), '[]', '{42}', now())`, [idx])
    await owner.query(
      `insert into audit.look select sha256('across'), id, 'read', 4194305, 'infinity' from paraph.operator where role = 'auditor' limit 1`,
    )
    for (const newest of [true, false]) {
      for (const [tags, events] of [
        [[42], null],
        [[42], [3]],
      ]) {
        const found = await owner.query(
          `select * from audit.find_entries('across', null, null, null, '0', null, null, $1, 10, $2, $3, null, 100)`,
          [newest, tags, events],
        )
        const both = newest ? [4194304, rows[0].last] : [rows[0].last, 4194304]
        assert.deepEqual(found.rows, [{ matching: both, next: null }])
      }
      const rare = await owner.query(
        `select matching from audit.find_entries('across', null, null, null, '0', null, null, $1, 100, null, '{3}', null, 100)`,
        [newest],
      )
      assert.equal(rare.rows[0].matching.at(newest ? 0 : -1), 4194304)
      assert.ok(rare.rows[0].matching.length > 1)
    }
    await owner.query('savepoint tried')
    await assert.rejects(owner.query('delete from audit.entry_1'), /append-only/)
    await owner.query('rollback to tried')
    await assert.rejects(owner.query('truncate audit.entry_1'), /append-only/)
  } finally {
    await owner.query('rollback')
  }
})
