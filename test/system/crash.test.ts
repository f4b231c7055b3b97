import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { randomUUID } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { ensureRunning } from '../../src/db/cluster.js'
import { type FaultyModule, faultyModule } from '../helpers/faulty-module.js'
import { postmasterOf, type RealProcesses, startProcesses } from '../helpers/real-processes.js'
import { startTestServer, TEST_SETTINGS } from '../helpers/temp-database.js'
import { TestService } from '../helpers/test-service.js'

const STEPS = [
  'before-intent',
  'after-intent',
  'before-device',
  'after-device',
  'before-outcome',
  'after-outcome',
] as const
const VICTIMS = ['worker', 'front', 'database'] as const
/** Faults of the model (src/audit/README.md): what a crash at each step leaves. */
const FAULT = {
  'before-intent': 'F1',
  'after-intent': 'F1',
  'before-device': 'F1',
  'after-device': 'F2',
  'before-outcome': 'F2',
  'after-outcome': 'F3',
} as const
/** Bound on waiting for something to become true. */
const PATIENCE_MS = 20_000

let server: Awaited<ReturnType<typeof startTestServer>>
let service: TestService
let processes: RealProcesses
let device: FaultyModule
/** New keys sign their certificate requests, which are no signings. */
let requests = 0
let failpoint: string
let bearer: string
let sad: string
let next = 0
const hashes: string[] = []

before(async () => {
  // A server of its own: this one is killed.
  server = await startTestServer()
  process.env['PARAPH_TEST_PG'] = server.url
  service = await TestService.start({ workers: 0, fronts: 0 })
  failpoint = join(service.folder, `failpoint-${randomUUID()}`)
  device = faultyModule(service.folder)
  processes = await startProcesses(service, {
    preload: ['failpoint'],
    hsmUri: device.uri(service.hsmUri),
    env: { PARAPH_TEST_FAILPOINT: failpoint, ...device.env },
  })
  await service.populate(['rsa-2048'])
  requests = device.calls()

  bearer = await service.login()
  hashes.push(...service.digests(...Array.from({ length: 100 }, (_, i) => `crash ${i}`)))
  sad = await service.authorize(bearer, service.credentials['rsa-2048'] as string, hashes)
})

after(async () => {
  await processes?.stop()
  await service?.close()
  await server?.stop()
  delete process.env['PARAPH_TEST_PG']
})

const sign = (digests: string[], key?: string) =>
  service
    .signHash(bearer, service.credentials['rsa-2048'] as string, sad, digests, key === undefined ? {} : { key })
    .catch(() => ({ status: 0, body: undefined }))

/** The promises, with the device's word for how often it was asked. */
const check = (options: { settled: boolean }) =>
  service.checkWorld({ ...options, deviceCalls: device.calls() - requests })

async function until(what: string, holds: () => Promise<boolean>): Promise<void> {
  const end = performance.now() + PATIENCE_MS
  while (performance.now() < end) {
    if (await holds().catch(() => false)) return
    await new Promise((resolve) => setTimeout(resolve, 50))
  }
  assert.fail(`${what}, in vain for ${PATIENCE_MS / 1000} s`)
}

function postmaster(): number[] {
  const pid = postmasterOf(server.cluster.data)
  const children = execFileSync('ps', ['-o', 'pid=', '--ppid', String(pid)], { encoding: 'utf8' })
  return [pid, ...children.trim().split(/\s+/).map(Number)]
}

for (const victim of VICTIMS) {
  for (const step of STEPS) {
    test(`${victim === 'database' ? 'F5' : FAULT[step]}: kill -9 of the ${victim} at ${step}`, async () => {
      const wanted = hashes.slice(next, next + 2)
      next += 2
      const pids = victim === 'worker' ? undefined : victim === 'front' ? processes.frontPids() : postmaster()
      writeFileSync(failpoint, JSON.stringify({ step, pids }))
      const answer = sign(wanted)
      if (victim === 'database') {
        await until('the database was killed', async () => !isAlive(pids?.[0] as number))
        await until('the database starts again', async () => {
          await ensureRunning(server.cluster, TEST_SETTINGS)
          return true
        })
      }
      const { status } = await answer
      assert.ok([0, 200, 503].includes(status), `answered ${status}`)
      await until(
        'the service is ready again',
        async () => (await fetch(`${service.urls[0]}/health/ready`)).status === 200,
      )

      // A second attempt succeeds exactly if nothing was spent by the first.
      let again = await sign(wanted)
      await until('the service answers again', async () => {
        if (again.status === 503 || again.status === 0) again = await sign(wanted)
        return again.status !== 503 && again.status !== 0
      })
      if (step === 'before-intent' && status !== 200) {
        assert.equal(again.status, victim === 'front' ? 400 : 200, 'nothing was spent')
      } else {
        assert.equal(again.status, 400, 'what was spent stays spent')
      }
      await check({ settled: false })
    })
  }
}

for (const step of ['after-intent', 'after-device', 'after-outcome'] as const) {
  test(`${FAULT[step]}: kill -9 of the worker at ${step}: the same request under the same key signs once at most`, async () => {
    const wanted = hashes.slice(next, next + 2)
    next += 2
    writeFileSync(failpoint, JSON.stringify({ step }))
    const key = `crash at ${step}`.replaceAll(' ', '-')
    const first = await sign(wanted, key)
    assert.equal(first.status, 503)
    let again = await sign(wanted, key)
    await until('the service answers again', async () => {
      if (again.status === 503 || again.status === 0) again = await sign(wanted, key)
      return again.status !== 503 && again.status !== 0
    })
    if (step === 'after-outcome') {
      // Only the answer was lost.
      assert.equal(again.status, 200)
      assert.deepEqual((await sign(wanted, key)).body, again.body)
    } else {
      assert.equal(again.status, 409)
      assert.equal((await sign(wanted, key)).status, 409)
    }
    const world = await check({ settled: false })
    const intents = world.of('sign.intent').filter(({ open }) => open.get('dtbsr[0]') === inLog(wanted[0] as string))
    assert.equal(intents.length, 1)
    const released = world.of('sign.outcome').filter(({ op }) => op === intents[0]?.op)
    assert.equal(released.length, again.status === 200 ? 1 : 0)
  })
}
const inLog = (digest: string) => Buffer.from(digest, 'base64').toString('base64url')

test('F5: kill -9 of PostgreSQL under load: what anybody saw stands where it stood, and the log goes on without a gap', async () => {
  // What another connection can read is on disk, and so is whatever was acknowledged: nobody hears of it earlier.
  const seen = new Map<number, string>()
  let killed = 0
  let looking = true
  const look = async () => {
    while (looking) {
      try {
        const { rows } = await (await service.owner()).query(
          `select idx, encode(lh, 'hex') as lh from audit.entry where idx >= $1 order by idx`,
          [seen.size],
        )
        for (const { idx, lh } of rows) seen.set(idx, lh)
      } catch {
        await new Promise((resolve) => setTimeout(resolve, 20))
      }
    }
  }
  const looker = look()
  for (let round = 0; round < 2; round++) {
    const before = seen.size
    let signing = true
    const clients = Array.from({ length: 8 }, async () => {
      while (signing) await sign([hashes[0] as string])
    })
    await until('the log grows', async () => seen.size > before + 100)
    const pids = postmaster()
    for (const pid of pids) process.kill(pid, 'SIGKILL')
    killed += pids.length
    await until('the database was killed', async () => !isAlive(pids[0] as number))
    await until('the database starts again', async () => {
      await ensureRunning(server.cluster, TEST_SETTINGS)
      return true
    })
    await until('the service is ready again', async () => {
      const { status } = await fetch(`${service.urls[0]}/health/ready`)
      return status === 200
    })
    signing = false
    await Promise.all(clients)
    const { entries } = await check({ settled: false })
    for (const [idx, lh] of seen) assert.equal(entries[idx]?.lh, lh, `entry ${idx} is where it was seen`)
  }
  looking = false
  await looker
  assert.ok(killed > 10, 'the children were killed, too')
})

test('F1, F2: afterwards every intention without an outcome is closed as abandoned', async () => {
  await processes.stop()
  await service.moveClock(60_000)
  const settler = await service.startWorker(service.newWorkerSettings(1))
  await settler.close()
  const abandoned = (await check({ settled: true })).of('sign.abandoned')
  assert.ok(abandoned.length >= 3, 'the worker died at least three times between intention and outcome')
  for (const { leaf } of abandoned) assert.equal(leaf.out, 'indeterminate', 'the device may have signed')
})

function isAlive(pid: number): boolean {
  try {
    process.kill(pid, 0)
    return true
  } catch {
    return false
  }
}
