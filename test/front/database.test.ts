import assert from 'node:assert/strict'
import { type AddressInfo, connect, createServer, type Socket } from 'node:net'
import { after, before, test } from 'node:test'
import { ServiceError } from '../../src/errors.js'
import { openDatabase } from '../../src/front/database.js'
import { type FrontReads, frontReads } from '../../src/front/reads.js'
import { LogLines, type TestFront, testFront } from './helpers.js'
import { until } from './until.js'

let front: TestFront
before(async () => {
  front = await testFront()
})
after(() => front.close())

/** The database behind a line that can be cut, or held so that nothing passes. */
async function line() {
  const target = new URL(front.database.frontUrl)
  const open = new Set<Socket>()
  let held = false
  const proxy = createServer((socket) => {
    const other = connect(Number(target.port), target.hostname)
    for (const [from, to] of [
      [socket, other],
      [other, socket],
    ] as const) {
      open.add(from)
      from.on('data', (chunk) => void (held || to.write(chunk)))
      from.on('error', () => undefined)
      from.on('close', () => {
        open.delete(from)
        to.destroy()
      })
    }
  })
  const listen = (port: number) => new Promise<void>((resolve) => proxy.listen(port, '127.0.0.1', resolve))
  await listen(0)
  const { port } = proxy.address() as AddressInfo
  const url = new URL(target)
  url.host = `127.0.0.1:${port}`
  const cutAll = () => {
    for (const socket of open) socket.destroy()
  }
  return {
    url: url.toString(),
    async cut() {
      const closed = new Promise<void>((resolve) => proxy.close(() => resolve()))
      cutAll()
      await closed
    },
    mend: () => listen(port),
    hold: () => {
      held = true
    },
    release: () => {
      held = false
      cutAll()
    },
  }
}

const codeOf = (work: Promise<unknown>) =>
  work.then(
    () => 'fine',
    (error: unknown) => (error instanceof ServiceError ? error.code : String(error)),
  )

test('a database that is gone is told at once, and noticed when it is back', { timeout: 30_000 }, async () => {
  const { url, cut, mend } = await line()
  const logs = new LogLines()
  const database = openDatabase({ url, logger: logs.logger })
  const reads = frontReads(database)
  try {
    await reads.alive()
    await cut()
    assert.equal(await codeOf(reads.alive()), 'unavailable')
    // Many ask; only the probe still goes to the database.
    const codes = await Promise.all(Array.from({ length: 500 }, () => codeOf(reads.alive())))
    assert.deepEqual(new Set(codes), new Set(['unavailable']))
    await mend()
    await until(async () => (await codeOf(reads.alive())) === 'fine')
    assert.equal(logs.lines.filter((one) => one.includes('does not answer')).length, 1)
    assert.equal(logs.lines.filter((one) => one.includes('answers again')).length, 1)
  } finally {
    await database.close()
    await cut()
  }
})

test('a database that says nothing does not make a queue grow', { timeout: 30_000 }, async () => {
  const { url, hold, release, cut } = await line()
  const database = openDatabase({ url, logger: new LogLines().logger })
  const reads = frontReads(database)
  try {
    await Promise.all(Array.from({ length: 4 }, () => reads.alive()))
    hold()
    const codes = await Promise.all(Array.from({ length: 300 }, () => codeOf(reads.alive())))
    assert.deepEqual(new Set(codes), new Set(['unavailable', 'overloaded']))
    assert.ok(codes.filter((code) => code === 'unavailable').length <= 4 + 128)
    assert.equal(await codeOf(reads.alive()), 'unavailable')
    release()
    await until(async () => (await codeOf(reads.alive())) === 'fine')
  } finally {
    await database.close()
    await cut()
  }
})

test('a front that was busy for longer than a connection may take does not think that the database is away', async () => {
  const logs = new LogLines()
  const database = openDatabase({ url: front.database.frontUrl, logger: logs.logger })
  try {
    const reads = [frontReads(database), frontReads(database.forStrangers)]
    await reads[0]?.alive()
    const asked = Array.from({ length: 100 }, (_, i) => codeOf((reads[i % 2] as FrontReads).alive()))
    await new Promise((resolve) => setImmediate(resolve))
    const end = performance.now() + 1200
    while (performance.now() < end);
    assert.deepEqual(new Set(await Promise.all(asked)), new Set(['fine']))
    assert.deepEqual(logs.lines, [])
  } finally {
    await database.close()
  }
})

test('strangers never take the last half of the connections', { timeout: 30_000 }, async () => {
  const database = openDatabase({ url: front.database.frontUrl, logger: new LogLines().logger })
  try {
    const slow = Array.from({ length: 40 }, () =>
      database.forStrangers.query('slow', 'select pg_sleep(0.02)', []).then(() => ended++),
    )
    let ended = 0
    await frontReads(database).alive()
    assert.ok(ended <= 4, `${ended} of them came first`)
    const more = Array.from({ length: 200 }, () =>
      codeOf(database.forStrangers.query('slow', 'select pg_sleep(0.02)', [])),
    )
    assert.equal((await Promise.all(more)).filter((code) => code === 'overloaded').length, 200 - (128 - 38))
    await Promise.all(slow)
  } finally {
    await database.close()
  }
})

test('a fault of ours is no outage', async () => {
  const database = openDatabase({ url: front.database.frontUrl, logger: new LogLines().logger })
  try {
    await assert.rejects(database.query('wrong', 'select nonsense', []), (error) => !(error instanceof ServiceError))
    await frontReads(database).alive()
  } finally {
    await database.close()
  }
})

test('the role of the front reads no secret', async () => {
  const database = openDatabase({ url: front.database.frontUrl, logger: new LogLines().logger })
  try {
    for (const text of [
      'select pin_hash from paraph.credential',
      'select blob from paraph.credential',
      'select password_hash from paraph.signer',
      'select sealed_secret from paraph.factor',
      'select sad_hash from paraph.authorization',
      'select sealed from paraph.sealed_secret',
    ]) {
      await assert.rejects(database.query('forbidden', text, []), { code: '42501' }, text)
    }
  } finally {
    await database.close()
  }
})
