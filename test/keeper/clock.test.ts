/** What the keeper says of its machine's clock, and what becomes of a service whose clock is moved or not set. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import { ClockWatch } from '../../src/keeper/clock-watch.js'
import { type ClockQuality, readKernelClock } from '../../src/kernel-clock.js'
import { until } from '../front/until.js'
import { TestService } from '../helpers/test-service.js'

const MINUTE = 60_000
const HOUR = 60 * MINUTE

/** A machine whose clocks a test turns by hand. */
class Machine {
  wall = Date.UTC(2026, 10, 24, 10)
  monotonic = 5000
  database = 0
  quality: ClockQuality = { source: 'kernel', synchronized: true, offset: -213, error: 800 }
  readonly watch = new ClockWatch(
    { now: () => this.wall },
    () => this.quality,
    () => this.monotonic,
  )

  pass(ms: number): this {
    this.wall += ms
    this.monotonic += ms
    return this
  }

  /** What there is to tell now, by name and reason. */
  async news(): Promise<string[]> {
    const step = this.watch.step()
    const state = await this.watch.state(async () => new Date(this.wall + this.database))
    return [step, state].filter((event) => event !== undefined).map(({ type, why }) => (why ? `${type} ${why}` : type))
  }
}

test('a clock is told of at the start and each hour, with its public facts', async () => {
  const machine = new Machine()
  machine.watch.step()
  machine.database = 12
  const event = await machine.watch.state(async () => new Date(machine.wall + 12))
  assert.deepEqual(event, {
    ...{ type: 'clock.sync', outcome: 'ok', actor: { kind: 'system' } },
    facts: { source: 'kernel', offset: -213, error: 800, database: 12 },
  })
  assert.deepEqual(await machine.pass(200).news(), [])
  assert.deepEqual(await machine.pass(HOUR - 300).news(), [])
  assert.deepEqual(await machine.pass(200).news(), ['clock.sync'])
})

test('F18: a clock that is moved is told with the step, and looked at anew', async () => {
  const machine = new Machine()
  await machine.news()
  machine.pass(200).wall += 999
  assert.deepEqual(await machine.news(), [])
  machine.pass(200).wall += HOUR
  assert.deepEqual(await machine.news(), ['clock.step', 'clock.sync'])
  machine.pass(200).wall -= HOUR
  assert.deepEqual(machine.watch.step()?.facts, { step: -HOUR })
})

test('F19: a clock that nothing sets is told after ten minutes, each hour, and once it is set again', async () => {
  const machine = new Machine()
  await machine.news()
  const { quality } = machine
  machine.quality = { ...quality, synchronized: false, error: 16_000_000 }
  assert.deepEqual(await machine.pass(9 * MINUTE).news(), [])
  assert.deepEqual(await machine.pass(2 * MINUTE).news(), ['clock.unsynced not_synchronized'])
  assert.deepEqual(await machine.pass(30 * MINUTE).news(), [])
  assert.deepEqual(await machine.pass(31 * MINUTE).news(), ['clock.unsynced not_synchronized'])
  machine.quality = quality
  assert.deepEqual(await machine.pass(200).news(), ['clock.sync'])
  // Neither does a clock count as set that the database's contradicts.
  machine.database = 2001
  assert.deepEqual(await machine.pass(HOUR).news(), ['clock.unsynced clocks_disagree'])
  assert.deepEqual(await machine.pass(200).news(), [])
  machine.database = 0
  assert.deepEqual(await machine.pass(200).news(), ['clock.sync'])
})

test('a start on a clock that nobody knows of says so at once', async () => {
  const machine = new Machine()
  machine.quality = { source: 'none', synchronized: false, offset: 0, error: 0 }
  assert.deepEqual(await machine.news(), ['clock.unsynced not_known'])
  assert.deepEqual(await machine.pass(200).news(), [])
})

test('the kernel tells of the clock of this machine', () => {
  const { source, error } = readKernelClock()
  assert.equal(source, process.platform === 'linux' ? 'kernel' : 'none')
  assert.ok(error >= 0)
})

test('F18, F19: on a service whose clocks are moved the log keeps its order and tells of it', async (t) => {
  const service = await TestService.start({ keys: ['p-256'], settings: { refuseUnsyncedClock: true } })
  t.after(() => service.close())
  const count = async (name: string) => {
    const { rows } = await (await service.owner()).query(
      'select count(*) as n from audit.entry join audit.event_type using (ev) where name = $1',
      [name],
    )
    return rows[0].n as number
  }
  /** Everything up to the call that signs. */
  const prepare = async () => {
    const token = await service.login()
    const hashes = service.digests('a document')
    const credential = service.credentials['p-256'] as string
    const sad = await service.authorize(token, credential, hashes, { code: service.code(service.signer, steps++) })
    return async () => (await service.signHash(token, credential, sad, hashes)).status
  }
  const sign = async () => (await prepare())()
  let steps = 0
  await until(async () => (await count('clock.sync')) === 1)
  assert.equal(await sign(), 200)
  await service.moveClock(HOUR)
  await until(async () => (await count('clock.step')) === 1)
  steps = 0
  assert.equal(await sign(), 200)
  // A code of an hour that is to come once more was used: the next signing is agreed to before.
  const prepared = await prepare()
  await service.moveClock(-HOUR)
  await until(async () => (await count('clock.step')) === 2)
  // Nothing sets the clock any more: by this setting nothing is signed.
  const set = service.clockQuality
  service.clockQuality = { ...set, synchronized: false }
  assert.equal(await prepared(), 503)
  const { parts } = (await (await fetch(`${service.urls[0]}/health/ready`)).json()) as { parts: Record<string, string> }
  assert.deepEqual([parts['clock'], parts['log']], ['down', 'up'])
  service.clockQuality = set
  assert.equal(await prepared(), 200)
  const world = await service.checkWorld()
  assert.deepEqual(
    world.of('clock.step').map(({ leaf }) => Math.round(Number(leaf.f?.step) / MINUTE)),
    [60, -60],
  )
  // Each step came with a heartbeat, so that no silence is seen by the clock of the entries.
  assert.ok(world.of('audit.heartbeat').length >= 2)
})
