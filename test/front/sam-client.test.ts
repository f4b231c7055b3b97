import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { FrontVerbs } from '../../src/activation.js'
import { ServiceError } from '../../src/errors.js'
import { createSamClient, type SamClient } from '../../src/front/sam-client.js'
import { FakeSam } from './fake-sam.js'
import { connected, LogLines } from './helpers.js'
import { gate, until } from './until.js'

const ORIGIN = { requestId: 'r', address: 'a', api: 'v1' } as const
const refresh = (refreshToken: string): FrontVerbs['refresh']['request'] => ({ origin: ORIGIN, refreshToken })
const isCode = (code: string) => (error: unknown) => error instanceof ServiceError && error.code === code

async function withWorkers(
  count: number,
  work: (client: SamClient & { close(): Promise<void> }, workers: FakeSam[], logs: LogLines) => Promise<void>,
  options: { maxInFlight?: number } = {},
): Promise<void> {
  const workers = Array.from({ length: count }, () => new FakeSam())
  await Promise.all(workers.map((worker) => worker.start()))
  const logs = new LogLines()
  const client = createSamClient({ sockets: workers.map(({ path }) => path), logger: logs.logger, ...options })
  try {
    await connected(client)
    await work(client, workers, logs)
  } finally {
    await Promise.all(workers.map((worker) => worker.stop()))
    await client.close()
  }
}

test('answers may come in any order', { timeout: 20_000 }, () =>
  withWorkers(1, async (client, [worker]) => {
    const first = gate()
    worker?.on('refresh', async ({ refreshToken }) => {
      if (refreshToken === 'first') await first.opened
      return { accessToken: refreshToken, expiresIn: 1 }
    })
    const late = client.call('refresh', refresh('first'))
    assert.equal((await client.call('refresh', refresh('second'))).accessToken, 'second')
    first.open()
    assert.equal((await late).accessToken, 'first')
  }),
)

test('a refusal arrives with its code, public text and pause', { timeout: 20_000 }, () =>
  withWorkers(1, async (client, [worker]) => {
    worker?.on('refresh', () => {
      throw new ServiceError('overloaded', { detail: 'public', retryAfter: 7 })
    })
    await assert.rejects(client.call('refresh', refresh('x')), { code: 'overloaded', detail: 'public', retryAfter: 7 })
  }),
)

test('a code that nobody knows is an internal error', { timeout: 20_000 }, () =>
  withWorkers(1, async (client, [worker]) => {
    worker?.on('refresh', () => {
      throw new ServiceError('made up' as 'internal')
    })
    await assert.rejects(client.call('refresh', refresh('x')), isCode('internal'))
  }),
)

test('without a worker: unavailable, at once', { timeout: 20_000 }, async () => {
  const client = createSamClient({ sockets: ['/nowhere/sam.sock'], logger: new LogLines().logger })
  await assert.rejects(client.call('refresh', refresh('x')), { code: 'unavailable', retryAfter: 1 })
  await client.close()
})

test('a broken connection fails what is in flight, and the next worker there is used', { timeout: 20_000 }, () =>
  withWorkers(1, async (client, [worker]) => {
    assert.ok(worker)
    worker.on('refresh', () => new Promise(() => {}))
    const calls = [client.call('refresh', refresh('a')), client.call('refresh', refresh('b'))]
    await until(() => worker.asked('refresh').length === 2)
    await worker.kill()
    for (const call of calls) await assert.rejects(call, { code: 'unavailable', retryAfter: 1 })
    worker.heal()
    await worker.start()
    await connected(client)
    assert.equal((await client.call('refresh', refresh('c'))).accessToken, 'access2')
  }),
)

test('the deadline ends a call, and a late answer is nobody’s', { timeout: 20_000 }, () =>
  withWorkers(1, async (client, [worker]) => {
    const late = gate()
    worker?.on('refresh', async () => {
      await late.opened
      return { accessToken: 'late', expiresIn: 1 }
    })
    await assert.rejects(client.call('refresh', refresh('x'), { deadlineMs: 1 }), {
      code: 'unavailable',
      retryAfter: 1,
    })
    late.open()
    assert.equal((await client.call('health', {})).device, true)
  }),
)

test('calls go to the worker with the fewest in flight', { timeout: 20_000 }, () =>
  withWorkers(2, async (client, workers) => {
    const [one, two] = workers as [FakeSam, FakeSam]
    const hold = gate()
    for (const worker of workers) {
      worker.on('refresh', async ({ refreshToken }) => {
        if (refreshToken === 'held') await hold.opened
        return { accessToken: refreshToken, expiresIn: 1 }
      })
    }
    // Both are connected once both have been asked.
    while (one.asked('refresh').length === 0 || two.asked('refresh').length === 0) {
      await Promise.all([client.call('refresh', refresh('a')), client.call('refresh', refresh('b'))])
    }
    const held = client.call('refresh', refresh('held'))
    await until(() => workers.some((worker) => worker.asked('refresh').at(-1)?.refreshToken === 'held'))
    const free = one.asked('refresh').at(-1)?.refreshToken === 'held' ? two : one
    const before = free.asked('refresh').length
    for (let i = 0; i < 5; i++) await client.call('refresh', refresh('c'))
    assert.equal(free.asked('refresh').length, before + 5)
    hold.open()
    await held
  }),
)

test('a worker that cannot work is asked last, so that it does not draw all calls', { timeout: 20_000 }, () =>
  withWorkers(2, async (client, workers) => {
    const [one, two] = workers as [FakeSam, FakeSam]
    one.on('refresh', () => {
      throw new ServiceError('unavailable', { retryAfter: 1 })
    })
    const outcomes = async (count: number) => {
      const results = []
      for (let i = 0; i < count; i++)
        results.push(
          await client.call('refresh', refresh('x')).then(
            () => 'ok',
            () => 'failed',
          ),
        )
      return results
    }
    while (one.asked('refresh').length === 0 || two.asked('refresh').length === 0) await outcomes(1)
    assert.deepEqual(await outcomes(5), Array(5).fill('ok'))
  }),
)

test('more in flight than allowed is refused before anything is sent', { timeout: 20_000 }, () =>
  withWorkers(
    1,
    async (client, [worker]) => {
      const hold = gate()
      worker?.on('refresh', async () => {
        await hold.opened
        return { accessToken: 'a', expiresIn: 1 }
      })
      const calls = [client.call('refresh', refresh('a')), client.call('refresh', refresh('b'))]
      await assert.rejects(client.call('refresh', refresh('c')), { code: 'overloaded', retryAfter: 1 })
      hold.open()
      await Promise.all(calls)
      await client.call('refresh', refresh('d'))
      assert.deepEqual(
        worker?.asked('refresh').map(({ refreshToken }) => refreshToken),
        ['a', 'b', 'd'],
      )
    },
    { maxInFlight: 2 },
  ),
)

test('strangers never take all places in flight', { timeout: 20_000 }, () =>
  withWorkers(1, async (client, [worker]) => {
    const hold = gate()
    worker?.on('refresh', async () => {
      await hold.opened
      return { accessToken: 'a', expiresIn: 1 }
    })
    const codes = Array.from({ length: 1500 }, () =>
      client.call('refresh', refresh('invented')).then(
        () => 'answered',
        ({ code }: ServiceError) => code,
      ),
    )
    await client.call('health', {})
    worker?.on('stop', async () => ({}))
    const { origin } = refresh('')
    await client.call('stop', { origin, bearer: 'somebody’s', all: true })
    hold.open()
    const seen = await Promise.all(codes)
    assert.equal(seen.filter((code) => code === 'answered').length, 256)
    assert.equal(seen.filter((code) => code === 'overloaded').length, 1500 - 256)
  }),
)

test('what is sent in one turn leaves in one write', { timeout: 20_000 }, () =>
  withWorkers(1, async (client, [worker]) => {
    assert.ok(worker)
    worker.chunks = 0
    await Promise.all(Array.from({ length: 50 }, (_, i) => client.call('refresh', refresh(String(i)))))
    assert.equal(worker.chunks, 1)
    assert.deepEqual(
      worker.asked('refresh').map(({ refreshToken }) => refreshToken),
      Array.from({ length: 50 }, (_, i) => String(i)),
    )
  }),
)

for (const [what, bytes] of [
  ['no JSON', Buffer.from('\u0000\u0000\u0000\u0003abc')],
  ['too long a frame', Buffer.alloc(8, 0xff)],
  ['no answer', Buffer.from('\u0000\u0000\u0000\u0004null')],
  ['an error that is none', Buffer.from('\u0000\u0000\u0000\u0008{"id":1}')],
] as const) {
  test(`a worker that sends ${what} loses its connection, and the calls on it`, { timeout: 20_000 }, () =>
    withWorkers(1, async (client, [worker], logs) => {
      worker?.on('refresh', () => new Promise(() => {}))
      const call = client.call('refresh', refresh('the token'))
      await until(() => worker?.asked('refresh').length === 1)
      worker?.babble(bytes)
      await assert.rejects(call, isCode('unavailable'))
      assert.match(logs.lines.join(''), /does not keep to the protocol/)
      assert.doesNotMatch(logs.lines.join(''), /the token/)
      await connected(client)
    }),
  )
}

test('closing waits for what is in flight', { timeout: 20_000 }, async () => {
  const worker = new FakeSam()
  await worker.start()
  const client = createSamClient({ sockets: [worker.path], logger: new LogLines().logger })
  await connected(client)
  const hold = gate()
  worker.on('refresh', async () => {
    await hold.opened
    return { accessToken: 'a', expiresIn: 1 }
  })
  const call = client.call('refresh', refresh('x'))
  const closed = client.close()
  hold.open()
  assert.equal((await call).accessToken, 'a')
  await closed
  await assert.rejects(client.call('refresh', refresh('y')), isCode('unavailable'))
  await worker.stop()
})
