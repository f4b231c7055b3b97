import assert from 'node:assert/strict'
import { type ChildProcess, execFileSync, spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync } from 'node:fs'
import { chmod, chown, cp, mkdtemp, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join, relative } from 'node:path'
import { createInterface } from 'node:readline'
import { type TestContext, test } from 'node:test'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { openClient } from '../../src/db/pool.js'
import { type BinarySource, findBinaries } from '../../src/db/postgres-binaries.js'

const PROGRAM = join(dirname(fileURLToPath(import.meta.url)), 'embedded-program.js')
const NOBODY = 65534
const AS_NOBODY = ['setpriv', `--reuid=${NOBODY}`, `--regid=${NOBODY}`, '--clear-groups', '--']
const OURSELVES = [process.execPath, PROGRAM]
const isRoot = process.getuid?.() === 0

interface Told {
  ownerUrl: string
  frontUrl: string
  samUrl: string
  failed?: string
  trouble?: string
}

interface Running {
  child: ChildProcess
  told: Told
  /** The next line it tells. */
  next(): Promise<Told>
}

const children = new Set<ChildProcess>()
/** @param as how the program is started, and where it stands */
async function run(dataDir: string, source?: BinarySource, as: readonly string[] = OURSELVES): Promise<Running> {
  const [program = '', ...args] = [...as, dataDir, ...(source ? [source] : [])]
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'inherit'] })
  children.add(child)
  child.once('exit', () => children.delete(child))
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]()
  const next = async () => JSON.parse((await lines.next()).value ?? '{}') as Told
  return { child, told: await next(), next }
}

async function end({ child }: Pick<Running, 'child'>, signal: NodeJS.Signals = 'SIGTERM'): Promise<void> {
  const gone = once(child, 'exit')
  child.kill(signal)
  await gone
}

async function ask(url: string, text: string): Promise<Record<string, unknown>[]> {
  const client = await openClient(url)
  try {
    return (await client.query(text)).rows
  } finally {
    await client.end()
  }
}

/** A folder that nobody but its owner may enter, so that it is a closed parent of everything below it. */
async function closedFolder(t: TestContext, owner?: number): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'paraph-embedded-'))
  await chmod(folder, 0o700)
  if (owner !== undefined) await chown(folder, owner, owner)
  t.after(async () => {
    for (const child of children) await end({ child })
    await rm(folder, { recursive: true, force: true })
  })
  return folder
}

/** The program where nobody may read it: in a copy, when the working copy is closed to others. */
async function openToNobody(t: TestContext): Promise<string> {
  const [program = '', ...args] = AS_NOBODY
  try {
    execFileSync(program, [...args, 'test', '-r', PROGRAM], { stdio: 'ignore' })
    return PROGRAM
  } catch {
    const folder = await mkdtemp(join(tmpdir(), 'paraph-copy-'))
    t.after(() => rm(folder, { recursive: true, force: true }))
    await chmod(folder, 0o755)
    const root = join(dirname(PROGRAM), '..', '..', '..')
    for (const part of ['.build', 'migrations', 'node_modules', 'package.json']) {
      await cp(join(root, part), join(folder, part), { recursive: true, verbatimSymlinks: true })
    }
    return join(folder, relative(root, PROGRAM))
  }
}

async function withoutBinaries(t: TestContext, source: BinarySource): Promise<boolean> {
  if ((await findBinaries(source)).length > 0) return false
  t.skip(source === 'system' ? 'install the package postgresql' : 'run `npm ci` without --omit=optional')
  return true
}

async function startsTwice(dataDir: string, source: BinarySource, as: readonly string[] = OURSELVES): Promise<void> {
  const first = await run(dataDir, source, as)
  assert.equal(first.told.failed, undefined)
  assert.deepEqual(
    await ask(
      first.told.ownerUrl,
      `select current_setting('listen_addresses') as listens, current_setting('unix_socket_directories') as sockets,
              current_setting('data_checksums') as checksums, current_setting('server_encoding') as encoding,
              current_setting('password_encryption') as passwords, current_setting('fsync') as fsync`,
    ),
    [{ listens: '127.0.0.1', sockets: '', checksums: 'on', encoding: 'UTF8', passwords: 'scram-sha-256', fsync: 'on' }],
  )
  for (const role of ['front', 'sam'] as const) {
    assert.deepEqual(await ask(first.told[`${role}Url`], 'select current_user as role'), [{ role: `paraph_${role}` }])
  }
  await assert.rejects(
    ask(first.told.ownerUrl.replace(/:[^:@]+@/, ':wrong@'), 'select'),
    /password authentication failed/,
  )
  assert.equal((await stat(join(dataDir, 'postgres/server.json'))).mode & 0o777, 0o600)
  await ask(first.told.ownerUrl, 'create table kept as select 7 as n')
  await end(first)
  assert.equal(existsSync(join(dataDir, 'postgres/data/postmaster.pid')), false)

  const second = await run(dataDir, source, as)
  assert.deepEqual(second.told, first.told)
  assert.deepEqual(await ask(second.told.ownerUrl, 'select n from kept'), [{ n: 7 }])
  await end(second)
}

for (const source of ['system', 'npm'] as const) {
  test(`root below a closed folder, binaries of ${source}`, async (t) => {
    if (!isRoot) return t.skip('needs root')
    if (await withoutBinaries(t, source)) return
    await startsTwice(join(await closedFolder(t), 'var'), source)
  })

  test(`root below an open folder keeps no capability, binaries of ${source}`, async (t) => {
    if (!isRoot) return t.skip('needs root')
    if (await withoutBinaries(t, source)) return
    const folder = await closedFolder(t)
    await chmod(folder, 0o755)
    const running = await run(join(folder, 'var'), source)
    const pid = await postmaster(join(folder, 'var'))
    assert.match(await readFile(`/proc/${pid}/status`, 'utf8'), /^CapEff:\s+0+$/m)
    await end(running)
  })

  test(`an ordinary user, binaries of ${source}`, async (t) => {
    if (await withoutBinaries(t, source)) return
    if (!isRoot) return startsTwice(join(await closedFolder(t), 'var'), source)
    const program = await openToNobody(t)
    await startsTwice(join(await closedFolder(t, NOBODY), 'var'), source, [...AS_NOBODY, process.execPath, program])
  })
}

async function postmaster(dataDir: string): Promise<number> {
  return Number((await readFile(join(dataDir, 'postgres/data/postmaster.pid'), 'utf8')).split('\n')[0])
}

test('a server left behind by a kill is adopted, and stopped by who adopted it', async (t) => {
  const folder = await closedFolder(t)
  const first = await run(folder)
  const pid = await postmaster(folder)
  await end(first, 'SIGKILL')
  const second = await run(folder)
  assert.equal(await postmaster(folder), pid)
  assert.deepEqual(second.told, first.told)
  await end(second)
  await assert.rejects(ask(first.told.ownerUrl, 'select'), { code: 'ECONNREFUSED' })
})

test('two processes do not serve from one folder, and the refused one stops nothing', async (t) => {
  const folder = await closedFolder(t)
  const first = await run(folder)
  const second = await run(folder)
  assert.match(second.told.failed ?? '', /another process serves from/)
  assert.deepEqual(await ask(first.told.ownerUrl, 'select 1 as one'), [{ one: 1 }])
  await end(first)
})

test('two processes that begin a folder at once make one cluster', async (t) => {
  const folder = await closedFolder(t)
  const both = await Promise.all([run(folder), run(folder)])
  const failed = both.map(({ told }) => told.failed ?? '').filter((text) => text !== '')
  assert.equal(failed.length, 1)
  assert.match(failed[0] ?? '', /another process serves from/)
  for (const running of both) if (running.child.exitCode === null) await end(running)
})

test('a server that dies comes back at the same address', async (t) => {
  const folder = await closedFolder(t)
  const running = await run(folder)
  const pid = await postmaster(folder)
  process.kill(pid, 'SIGKILL')
  assert.match((await running.next()).trouble ?? '', /starting it again/)
  await becomes(async () => {
    assert.deepEqual(await ask(running.told.samUrl, 'select 1 as one'), [{ one: 1 }])
  })
  assert.notEqual(await postmaster(folder), pid)
  await end(running)
})

test('a pid file left by a crash does not hinder, whoever has that number now', async (t) => {
  const folder = await closedFolder(t)
  const first = await run(folder)
  const pidFile = await readFile(join(folder, 'postgres/data/postmaster.pid'), 'utf8')
  await end(first)
  await writeFile(join(folder, 'postgres/data/postmaster.pid'), pidFile.replace(/^\d+/, String(process.pid)))
  const second = await run(folder)
  assert.equal(second.told.failed, undefined)
  await end(second)
})

/** Waits until `holds` does not throw any more, for a minute at most. */
async function becomes(holds: () => Promise<void>): Promise<void> {
  const last = performance.now() + 60_000
  for (;;) {
    try {
      return await holds()
    } catch (error) {
      if (performance.now() > last) throw error
      await sleep(50)
    }
  }
}
