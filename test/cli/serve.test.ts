import assert from 'node:assert/strict'
import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, readFileSync, statSync } from 'node:fs'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import { after, before, type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { openClient } from '../../src/db/pool.js'
import { emptyDatabase, type TempDatabase, tempDatabase } from '../helpers/temp-database.js'

const PROGRAM = join(dirname(fileURLToPath(import.meta.url)), 'serve-program.js')
const INSTANCE = '0197a3f0-0000-7000-8000-000000000001'
const LOG_TOKEN = 'pkcs11:/opt/vendor/module.so?token=log&pin-file=/nowhere/log-pin'
const HSM = 'pkcs11:/opt/vendor/module.so?token=paraph&pin-file=/nowhere/pin'

let database: TempDatabase
before(async () => {
  database = await tempDatabase()
})
after(() => database.drop())

interface Start {
  child: ChildProcess
  line: Record<string, unknown>
  folder: string
  told(): { pid: number; settings: Record<string, unknown>; env: string[] }[]
}

/** Processes by the folder they run in. */
const children = new Map<string, ChildProcess[]>()

/** A folder that is removed after what runs in it has stopped. */
async function newFolder(t: TestContext): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'paraph-serve-'))
  t.after(async () => {
    for (const child of children.get(folder) ?? []) {
      if (child.exitCode !== null || child.signalCode !== null) continue
      const gone = once(child, 'exit')
      child.kill('SIGTERM')
      await gone
    }
    await rm(folder, { recursive: true, force: true })
  })
  return folder
}

function environment(folder: string, settings: Record<string, string>): Record<string, string> {
  return {
    PATH: process.env.PATH ?? '',
    SECRET_OF_THE_SHELL: '1',
    PARAPH_PORT: '0',
    PARAPH_DATA: join(folder, 'var'),
    PARAPH_KEYS: folder,
    PARAPH_NAME: join(folder, 'told'),
    ...settings,
  }
}

async function start(folder: string, settings: Record<string, string> = {}, command = 'serve'): Promise<Start> {
  const child = spawn(process.execPath, [PROGRAM, command, '--json'], {
    env: environment(folder, settings),
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  children.set(folder, [...(children.get(folder) ?? []), child])
  let errors = ''
  child.stderr.on('data', (data) => {
    errors += data
  })
  const { value } = await createInterface({ input: child.stdout })[Symbol.asyncIterator]().next()
  assert.ok(value, errors)
  return {
    child,
    line: JSON.parse(value),
    folder,
    told: () =>
      readFileSync(join(folder, 'told'), 'utf8')
        .trimEnd()
        .split('\n')
        .map((line) => JSON.parse(line)),
  }
}

async function refusal(t: TestContext, settings: Record<string, string>, command = 'serve'): Promise<string> {
  const child = spawn(process.execPath, [PROGRAM, command], {
    env: environment(await newFolder(t), settings),
    stdio: ['ignore', 'ignore', 'pipe'],
  })
  const lines: string[] = []
  for await (const line of createInterface({ input: child.stderr })) lines.push(line)
  assert.equal(child.exitCode ?? (await once(child, 'exit'))[0], 1)
  return lines.join('\n')
}

async function stop({ child }: Start, signal: NodeJS.Signals = 'SIGTERM'): Promise<number> {
  const gone = once(child, 'exit')
  child.kill(signal)
  return (await gone)[0]
}

async function until(holds: () => boolean, what: string): Promise<void> {
  const last = performance.now() + 60_000
  while (!holds()) {
    assert.ok(performance.now() < last, `never: ${what}`)
    await sleep(20)
  }
}

test('a demo starts with nothing set, stops in order, and finds its own again', async (t) => {
  const folder = await newFolder(t)
  const first = await start(folder)
  const [worker, keeper, front] = first.told()
  assert.match(String(keeper?.settings.databaseUrl), /^postgres:\/\/paraph_keeper:/)
  assert.equal(keeper?.settings.guardFile, join(folder, 'var/log/checkpoint'))
  assert.match(String(first.line.url), /^http:\/\/127\.0\.0\.1:[1-9]\d+$/)
  assert.equal(first.line.login, 'demo')
  assert.equal(first.line.demo, true)

  assert.deepEqual(
    front?.env.filter((name) => !name.startsWith('NODE_CHANNEL')),
    ['PATH'],
  )
  assert.deepEqual(Object.keys(front?.settings ?? {}).sort(), [
    ...[
      'auditPublic',
      'basicLogin',
      'databaseUrl',
      'demo',
      'host',
      'logLevel',
      'name',
      'node',
      'port',
      'publicUrl',
      'region',
    ],
    ...['samSockets', 'trustedProxies'],
  ])
  assert.match(String(front?.settings.databaseUrl), /^postgres:\/\/paraph_front:/)
  assert.deepEqual(front?.settings.samSockets, [join(folder, 'var/run/sam-0.sock')])

  assert.match(String(worker?.settings.databaseUrl), /^postgres:\/\/paraph_sam:/)
  assert.equal(worker?.settings.socket, join(folder, 'var/run/sam-0.sock'))
  assert.equal(worker?.settings.adminSocket, join(folder, 'var/run/admin-0.sock'))
  assert.equal(
    worker?.env.some((name) => name.startsWith('PARAPH_') || name === 'DATABASE_URL'),
    false,
  )
  const softHsm = String(worker?.settings.hsmUri).startsWith('pkcs11:')
  assert.equal(worker?.env.includes('SOFTHSM2_CONF'), softHsm)
  if (softHsm) assert.equal(statSync(join(folder, 'softhsm2.conf')).mode & 0o777, 0o600)
  const { instance } = JSON.parse(readFileSync(join(folder, 'instance.json'), 'utf8'))
  assert.equal(worker?.settings.instance, instance)

  assert.equal(await stop(first, 'SIGINT'), 0)
  assert.deepEqual(first.told().slice(3), [
    { stopped: 'front', database: true },
    { stopped: 'keeper', database: true },
    { stopped: 'sam-0', database: true },
  ])
  assert.equal(existsSync(join(folder, 'var/postgres/data/postmaster.pid')), false)

  const second = await start(folder)
  assert.deepEqual(second.line.commands, [instance])
  assert.equal(await stop(second), 0)
})

test('a front that dies is started again', async (t) => {
  const running = await start(await newFolder(t))
  const before = running.told()
  process.kill(before[2]?.pid as number, 'SIGKILL')
  await until(() => running.told().length === 4, 'a second front')
  assert.deepEqual(running.told()[3]?.settings, before[2]?.settings)
})

const settingsFor = (of: TempDatabase) => ({
  DATABASE_URL: of.frontUrl,
  PARAPH_SAM_DATABASE_URL: of.samUrl,
  PARAPH_KEEPER_DATABASE_URL: of.keeperUrl,
  PARAPH_HSM: HSM,
  PARAPH_CHECKPOINT_HSM: LOG_TOKEN,
})
const urls = () => settingsFor(database)

test('F25: production refuses a database that cannot be reached, is empty, or has no log', async (t) => {
  const nowhere = await refusal(t, { ...urls(), DATABASE_URL: 'postgres://x@127.0.0.1:1/x' })
  assert.match(nowhere, /DATABASE_URL cannot be reached/)
  const empty = await emptyDatabase()
  t.after(empty.drop)
  assert.match(await refusal(t, { ...urls(), DATABASE_URL: empty.ownerUrl }), /run `paraph migrate`/)
  assert.match(await refusal(t, urls()), /run `paraph audit init`/)
})

test('production refuses the log of a demo', async (t) => {
  const other = await tempDatabase()
  t.after(other.drop)
  await makeLog(other.ownerUrl, true)
  assert.match(await refusal(t, { ...urls(), DATABASE_URL: other.frontUrl }), /belongs to a demo/)
})

async function makeLog(ownerUrl: string, demo: boolean): Promise<void> {
  const client = await openClient(ownerUrl)
  await client.query(
    `insert into audit.log (id, origin, generation, instance, demo, retention_policy, created_at)
     values (1, 'test', 1, $1, $2, 'test', paraph.now())`,
    [INSTANCE, demo],
  )
  await client.end()
}

test('production runs workers and front, together and apart', async (t) => {
  const other = await tempDatabase()
  t.after(other.drop)
  await makeLog(other.ownerUrl, false)
  const settings = settingsFor(other)

  await t.test('together', async (t) => {
    const running = await start(await newFolder(t), settings)
    const [worker, keeper, front] = running.told()
    assert.equal(keeper?.settings.databaseUrl, other.keeperUrl)
    assert.equal(keeper?.settings.keyUri, LOG_TOKEN)
    assert.equal(running.line.demo, false)
    assert.equal(worker?.settings.instance, INSTANCE)
    assert.equal(worker?.settings.hsmUri, HSM)
    assert.equal(front?.settings.databaseUrl, other.frontUrl)
    assert.equal(await stop(running), 0)
  })

  await t.test('apart', async (t) => {
    const folder = await newFolder(t)
    const sockets = join(folder, 'sockets')
    const { DATABASE_URL, ...sam } = settings
    const workers = await start(folder, { ...sam, PARAPH_SAM: sockets, PARAPH_WORKERS: '2' }, 'sam')
    assert.deepEqual(workers.line, { sockets: [join(sockets, 'sam-0.sock'), join(sockets, 'sam-1.sock')] })
    assert.equal(statSync(sockets).mode & 0o777, 0o750)
    assert.equal(workers.told()[0]?.settings.socketMode, 0o660)

    await writeFile(join(sockets, 'sam-0.sock'), '')
    const front = await start(await newFolder(t), { DATABASE_URL, PARAPH_SAM: sockets })
    assert.deepEqual(front.told()[0]?.settings.samSockets, [join(sockets, 'sam-0.sock')])
    assert.equal(await stop(front), 0)
    assert.equal(await stop(workers), 0)
  })

  await t.test('not with the folders of another instance', async (t) => {
    const folder = await newFolder(t)
    await writeFile(join(folder, 'instance.json'), JSON.stringify({ instance: 'another', demo: false }))
    assert.match(await refusal(t, { ...settings, PARAPH_KEYS: folder }), /belongs to instance another, .* 0197a3f0/)
  })
})
