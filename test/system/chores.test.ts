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
  const bearer = await service.login()
  const credential = service.credentials['p-256'] as string
  const hashes = service.digests('kept in the log')
  const sad = await service.authorize(bearer, credential, hashes)
  assert.equal((await service.signHash(bearer, credential, sad, hashes)).status, 200)

  await service.moveClock(3_600_000)
  await chores(5)
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
    await owner.query('savepoint tried')
    await assert.rejects(owner.query('delete from audit.entry_1'), /append-only/)
    await owner.query('rollback to tried')
    await assert.rejects(owner.query('truncate audit.entry_1'), /append-only/)
  } finally {
    await owner.query('rollback')
  }
})
