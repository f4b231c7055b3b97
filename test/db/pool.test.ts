import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { openClient, openPool, withPassword } from '../../src/db/pool.js'
import { type TempDatabase, tempDatabase } from '../helpers/temp-database.js'

let database: TempDatabase
before(async () => {
  database = await tempDatabase()
})
after(() => database.drop())

test('a bigint is a number, a timestamptz a Date, a date stays text, arrays alike', async () => {
  const client = await openClient(database.samUrl)
  const { rows } = await client.query(
    `select 9007199254740991::int8 as big, array[1, null, 3]::int8[] as bigs, timestamptz '2026-01-31 10:00:00Z' as at,
            date '2026-01-31' as day, array[date '2026-01-31'] as days, '\\x0102'::bytea as bytes`,
  )
  await client.end()
  assert.deepEqual(rows, [
    {
      big: 9007199254740991,
      bigs: [1, null, 3],
      at: new Date('2026-01-31T10:00:00Z'),
      day: '2026-01-31',
      days: ['2026-01-31'],
      bytes: Buffer.from([1, 2]),
    },
  ])
})

test('a bigint that a number cannot hold fails the query and not the connection', async () => {
  const client = await openClient(database.samUrl)
  await assert.rejects(client.query('select 9007199254740992::int8'), RangeError)
  await assert.rejects(client.query('select array[-9007199254740992]::int8[]'), RangeError)
  assert.deepEqual((await client.query('select 1::int8 as one')).rows, [{ one: 1 }])
  await client.end()
})

test('connections have limits of time and a name', async () => {
  const pool = openPool(database.frontUrl, { max: 1, name: 'paraph front' })
  const { rows } = await pool.query(
    `select name, setting from pg_settings where name in ('statement_timeout', 'lock_timeout', 'application_name') order by name`,
  )
  await pool.end()
  assert.deepEqual(rows, [
    { name: 'application_name', setting: 'paraph front' },
    { name: 'lock_timeout', setting: '500' },
    { name: 'statement_timeout', setting: '2000' },
  ])
})

test('a pool survives the death of its idle connection', async () => {
  const pool = openPool(database.samUrl, { max: 1 })
  const { rows } = await pool.query<{ pid: number }>('select pg_backend_pid() as pid')
  const removed = new Promise((done) => pool.once('remove', done))
  const owner = await openClient(database.ownerUrl)
  await owner.query('select pg_terminate_backend($1)', [rows[0]?.pid])
  await owner.end()
  await removed
  assert.deepEqual((await pool.query('select 1 as one')).rows, [{ one: 1 }])
  await pool.end()
})

test('the password of a password file becomes part of the URL', async (t) => {
  const bare = new URL(database.samUrl)
  const password = bare.password
  bare.password = ''
  t.after(() => {
    delete process.env.PGPASSWORD
  })
  process.env.PGPASSWORD = password
  assert.equal(await withPassword(bare.toString()), database.samUrl)
})
