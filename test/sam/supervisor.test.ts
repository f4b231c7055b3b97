import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { readFileSync } from 'node:fs'
import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { type Supervisor, startSupervisor } from '../../src/sam/supervisor.js'
import type { FakeSettings } from './fake-worker.js'

const here = dirname(fileURLToPath(import.meta.url))
const FAKE = join(here, 'fake-worker.js')

interface World {
  supervisor: Supervisor
  /** Process ids of all starts so far. */
  starts(): number[]
  environment(): string
  /** Texts of the log. */
  said: string[]
  delays: number[]
}

async function world(
  t: TestContext,
  does: FakeSettings['does'],
  options: { count?: number; deadlineMs?: number } = {},
): Promise<World> {
  const folder = await mkdtemp(join(tmpdir(), 'paraph-supervisor-'))
  const file = join(folder, 'starts')
  const said: string[] = []
  const delays: number[] = []
  const note = (facts: { againInMs?: number }, text: string) => {
    said.push(text)
    if (facts.againInMs !== undefined) delays.push(facts.againInMs)
  }
  const supervisor = startSupervisor({
    name: 'worker',
    count: options.count ?? 1,
    deadlineMs: options.deadlineMs ?? 60_000,
    spawn: () => ({ entry: FAKE, settings: { starts: file, does } satisfies FakeSettings, env: { GIVEN: '1' } }),
    logger: { info: note, warn: note, error: note },
  })
  t.after(async () => {
    await supervisor.stop(0)
    await rm(folder, { recursive: true })
  })
  const lines = () => {
    try {
      return readFileSync(file, 'utf8').trimEnd().split('\n')
    } catch {
      return []
    }
  }
  return {
    supervisor,
    starts: () => lines().map((line) => Number.parseInt(line, 10)),
    environment: () => lines()[0]?.split(' ')[1] ?? '',
    said,
    delays,
  }
}

/** Waits until it holds, for a minute at most. */
async function until(holds: () => boolean, what: string): Promise<void> {
  const last = performance.now() + 60_000
  while (!holds()) {
    assert.ok(performance.now() < last, `never: ${what}`)
    await sleep(20)
  }
}

function isAlive(pid: number): boolean {
  try {
    // A zombie has ended, and stays until its parent looks.
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'))
  } catch {
    return false
  }
}

test('healthy workers serve, with the environment they were given and no other, and stop when asked', async (t) => {
  const { supervisor, starts, environment, said } = await world(t, 'serve', { count: 3 })
  await supervisor.ready
  const pids = supervisor.pids() as number[]
  assert.deepEqual([...starts()].sort(), [...pids].sort())
  assert.match(environment(), /^GIVEN(,NODE_CHANNEL_\w+)*$/)
  await supervisor.stop()
  assert.deepEqual(pids.map(isAlive), [false, false, false])
  assert.deepEqual(supervisor.pids(), [undefined, undefined, undefined])
  assert.deepEqual(said, [])
})

test('a worker that hangs is killed at the deadline and replaced', async (t) => {
  const { supervisor, starts, said } = await world(t, 'hang when told', { deadlineMs: 2500 })
  await supervisor.ready
  const [hung] = starts()
  process.kill(hung as number, 'SIGUSR2')
  await until(() => starts().length === 2, 'a second start')
  assert.equal(isAlive(hung as number), false)
  assert.deepEqual(said, ['hung: killed', 'ended: started again'])
})

test('a worker that hangs as soon as it serves is replaced each time', async (t) => {
  const { starts } = await world(t, 'hang', { deadlineMs: 300 })
  await until(() => starts().length >= 3, 'a third start')
})

test('a worker that ends is replaced', async (t) => {
  const { supervisor, starts } = await world(t, 'crash once')
  await supervisor.ready
  process.kill(starts()[0] as number, 'SIGUSR2')
  await until(() => starts().length === 2 && supervisor.pids()[0] === starts()[1], 'a second start')
})

test('a worker that never comes to serve is started with growing delay, and given up', async (t) => {
  const { supervisor, starts, delays } = await world(t, 'crash')
  await assert.rejects(supervisor.ready, /ended 5 times before it served/)
  assert.equal(starts().length, 5)
  assert.deepEqual(delays, [100, 200, 400, 800])
})

test('a worker that refuses is not started again, and its reason is told', async (t) => {
  const { supervisor, starts, said } = await world(t, 'refuse')
  await assert.rejects(supervisor.ready, { message: 'the PIN is wrong' })
  await until(() => supervisor.pids()[0] === undefined, 'its end')
  assert.deepEqual(said, ['refuses to serve; not started again'])
  assert.equal(starts().length, 1)
})

test('a worker that does not stop when asked is killed', async (t) => {
  const { supervisor } = await world(t, 'ignore SIGTERM')
  await supervisor.ready
  const [pid] = supervisor.pids()
  await supervisor.stop(100)
  assert.equal(isAlive(pid as number), false)
})

test('workers are not killed for the silence of a supervisor that stood still itself', async (t) => {
  const { supervisor, said } = await world(t, 'serve', { deadlineMs: 2000 })
  await supervisor.ready
  const end = performance.now() + 3000
  while (performance.now() < end);
  // Enough turns for the check to look at the time that has passed.
  await sleep(500)
  assert.deepEqual(said, [])
})

test('workers end when their supervisor is killed', async (t) => {
  const folder = await mkdtemp(join(tmpdir(), 'paraph-supervisor-'))
  t.after(() => rm(folder, { recursive: true }))
  const file = join(folder, 'starts')
  const parent = spawn(process.execPath, [join(here, 'supervisor-program.js'), FAKE, file], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  await once(parent.stdout, 'data')
  const pids = readFileSync(file, 'utf8')
    .trimEnd()
    .split('\n')
    .map((line) => Number.parseInt(line, 10))
  assert.deepEqual(pids.map(isAlive), [true, true])
  parent.kill('SIGKILL')
  await until(() => !pids.some(isAlive), 'the end of both')
})
