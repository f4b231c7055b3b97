import assert from 'node:assert/strict'
import { after, before, beforeEach, test } from 'node:test'
import { freePort } from '../../src/db/cluster.js'
import { type Executor, openClient, openPool, type Pool } from '../../src/db/pool.js'
import { asServiceError, withTransaction } from '../../src/db/transaction.js'
import { ServiceError } from '../../src/errors.js'
import { type TempDatabase, tempDatabase } from '../helpers/temp-database.js'

let database: TempDatabase
let pool: Pool
before(async () => {
  database = await tempDatabase()
  pool = openPool(database.ownerUrl, { max: 1 })
  await pool.query('create table kept (n integer)')
})
beforeEach(() => pool.query('delete from kept'))
after(async () => {
  await pool.end()
  await database.drop()
})

const kept = async () => (await pool.query<{ n: number }>('select n from kept order by n')).rows.map((row) => row.n)
const keep = (tx: Executor, n: number) => tx.query('insert into kept values ($1)', [n])
const pidOf = async (db: Executor | Pool) =>
  (await (db as Executor).query<{ pid: number }>('select pg_backend_pid() as pid')).rows[0]?.pid

async function terminate(pid: number | undefined): Promise<void> {
  const killer = await openClient(database.ownerUrl)
  await killer.query('select pg_terminate_backend($1, 5000)', [pid])
  await killer.end()
}

test('what was done is committed, and the result handed on', async () => {
  const result = await withTransaction(pool, async (tx) => {
    await keep(tx, 1)
    return 'done'
  })
  assert.equal(result, 'done')
  assert.deepEqual(await kept(), [1])
})

test('whatever is thrown rolls back and is thrown again, and the connection is kept', async () => {
  const pid = await pidOf(pool)
  const wrong = new ServiceError('not_found')
  const thrown = withTransaction(pool, async (tx) => {
    await keep(tx, 1)
    throw wrong
  })
  await assert.rejects(thrown, (error) => error === wrong)
  assert.deepEqual(await kept(), [])
  assert.equal(await pidOf(pool), pid)
})

test('the first error is thrown even when the rollback fails too, and the connection is not used again', async () => {
  const first = new Error('first')
  let pid: number | undefined
  const thrown = withTransaction(pool, async (tx) => {
    pid = await pidOf(tx)
    await terminate(pid)
    throw first
  })
  await assert.rejects(thrown, (error) => error === first)
  assert.notEqual(await pidOf(pool), pid)
})

test('a connection that breaks is `unavailable`, and is not used again', async () => {
  let pid: number | undefined
  const thrown = withTransaction(pool, async (tx) => {
    pid = await pidOf(tx)
    await terminate(pid)
    await keep(tx, 1)
  })
  await assert.rejects(thrown, (error: ServiceError) => error.code === 'unavailable' && error.retryAfter === 1)
  assert.notEqual(await pidOf(pool), pid)
  assert.deepEqual(await kept(), [])
})

test('a connection that falls silent is `unavailable`, and is not used again', async (t) => {
  let pid: number | undefined
  t.after(() => process.kill(pid as number, 'SIGCONT'))
  const thrown = withTransaction(pool, async (tx) => {
    pid = await pidOf(tx)
    process.kill(pid as number, 'SIGSTOP')
    await keep(tx, 1)
  })
  await assert.rejects(thrown, (error: ServiceError) => error.code === 'unavailable')
  assert.notEqual(await pidOf(pool), pid)
})

test('a failed statement that was overlooked does not pass for a commit', async () => {
  const thrown = withTransaction(pool, async (tx) => {
    await keep(tx, 1)
    await tx.query('select 1 / 0').catch(() => undefined)
  })
  await assert.rejects(thrown, /rolled back/)
  assert.deepEqual(await kept(), [])
})

test('a full pool is `unavailable` instead of a queue', async () => {
  await withTransaction(pool, async () => {
    await assert.rejects(
      withTransaction(pool, async () => undefined),
      (error: ServiceError) => error.code === 'unavailable',
    )
  })
})

test('a lock that is not had in time is `unavailable`', async () => {
  const other = await openClient(database.ownerUrl)
  await other.query('begin; lock table kept')
  await assert.rejects(
    withTransaction(pool, (tx) => keep(tx, 1)),
    (error: ServiceError) => error.code === 'unavailable' && (error.cause as { code: string }).code === '55P03',
  )
  await other.end()
})

test('a database that is not there is `unavailable`', async () => {
  const nowhere = openPool(`postgres://x@127.0.0.1:${await freePort()}/x`, { max: 1 })
  await assert.rejects(
    withTransaction(nowhere, async () => undefined),
    (error: ServiceError) => error.code === 'unavailable',
  )
  await nowhere.end()
})

const withCode = (code: string) => Object.assign(new Error('x'), { code })

for (const code of ['08006', '53300', '53100', '57P01', '57014', '58030', '55P03', '25006', 'ECONNRESET', 'EPIPE']) {
  test(`${code} is \`unavailable\``, () => {
    assert.equal((asServiceError(withCode(code)) as ServiceError).code, 'unavailable')
  })
}

for (const error of [
  withCode('23505'),
  withCode('42501'),
  withCode('40P01'),
  new ServiceError('not_found'),
  new Error('x'),
  'x',
]) {
  test(`${String((error as { code?: string }).code ?? error)} stays what it is`, () => {
    assert.equal(asServiceError(error), error)
  })
}
