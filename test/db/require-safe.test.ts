import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { pino } from 'pino'
import { openClient } from '../../src/db/pool.js'
import { requireSafe, UnsafeDatabaseError } from '../../src/db/require-safe.js'
import type { WorkerSettings } from '../../src/sam/supervisor.js'
import { startWorker } from '../../src/sam/worker.js'
import { startTestServer, type TempDatabase, tempDatabase } from '../helpers/temp-database.js'

let database: TempDatabase
before(async () => {
  database = await tempDatabase()
})
after(() => database.drop())

test('a server that keeps its promises is accepted', async () => {
  await requireSafe(database.samUrl)
})

test('F6: a server started with fsync and full_page_writes off is refused, with both reasons', async (t) => {
  const server = await startTestServer({ fsync: 'off', full_page_writes: 'off' })
  t.after(server.stop)
  await assert.rejects(requireSafe(server.url), (error: UnsafeDatabaseError) => {
    assert.ok(error instanceof UnsafeDatabaseError)
    assert.match(error.message, /^fsync is off .* Set `fsync = on`/m)
    assert.match(error.message, /^full_page_writes is off .* Set `full_page_writes = on`/m)
    assert.doesNotMatch(error.message, /synchronous_commit/)
    return true
  })
})

test('F6: on such a server no worker starts, before it has looked at anything else', async (t) => {
  const server = await startTestServer({ fsync: 'off' })
  t.after(server.stop)
  const settings = { databaseUrl: server.url, hsmUri: 'there is none' } as WorkerSettings
  await assert.rejects(startWorker(settings, { logger: pino({ level: 'silent' }) }), UnsafeDatabaseError)
})

for (const place of ['role', 'database', 'role in database']) {
  test(`F6: synchronous_commit switched off for a ${place} is refused`, async (t) => {
    const name = new URL(database.ownerUrl).pathname.slice(1)
    // A role of this test alone: roles belong to the whole server, which other tests use at the same time.
    const role = `unsafe_${name}_${place.length}`
    const url = new URL(database.samUrl)
    url.username = role
    const target = {
      role: `role ${role}`,
      database: `database ${name}`,
      'role in database': `role ${role} in database ${name}`,
    }
    const owner = await openClient(database.ownerUrl)
    t.after(async () => {
      await owner.query(`alter database ${name} reset all; drop role ${role}`)
      await owner.end()
    })
    await owner.query(`create role ${role} login password 'test'`)
    await requireSafe(url.toString())
    await owner.query(`alter ${target[place as keyof typeof target]} set synchronous_commit = off`)
    await assert.rejects(
      requireSafe(url.toString()),
      /synchronous_commit is off for role .*`alter role .* reset synchronous_commit`/,
    )
  })
}
