/** Real databases for tests: one server for a test run, a migrated copy of one template for each test that asks. */
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { readdirSync, readFileSync, rmSync } from 'node:fs'
import { chmod, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { type Cluster, ensureRunning, OWNER, openCluster, stopCluster, urlOf } from '../../src/db/cluster.js'
import { migrate } from '../../src/db/migrate.js'
import { type Client, openClient } from '../../src/db/pool.js'

export interface TempDatabase {
  /** Superuser. */
  readonly ownerUrl: string
  readonly frontUrl: string
  readonly samUrl: string
  readonly keeperUrl: string
  /** Ends every connection to it and removes it. */
  drop(): Promise<void>
}

/** Password of the service's roles on a test server. */
const TEST_PASSWORD = 'test'

/** As safe as a server has to be, and small. */
export const TEST_SETTINGS = { shared_buffers: '32MB', max_connections: '300' }

/** Any number: who makes the template, or sets the roles' passwords, holds it on database `postgres`. */
const LOCK = 7_233_699

const root = dirname(dirname(dirname(dirname(fileURLToPath(import.meta.url)))))

/**
 * Starts a server in a new folder below the system's temporary one. For the test runner, which hands `url` to every test
 * process as PARAPH_TEST_PG, and for tests about servers.
 * @param on puts something under it before it is started
 */
export async function startTestServer(
  settings: Record<string, string> = {},
  on: (cluster: Cluster) => Cluster = (cluster) => cluster,
): Promise<{ url: string; cluster: Cluster; stop(): Promise<void> }> {
  const folder = await mkdtemp(join(tmpdir(), 'paraph-test-pg-'))
  await chmod(folder, 0o711)
  const cluster = on(await openCluster(join(folder, 'postgres')))
  const port = await ensureRunning(cluster, { ...TEST_SETTINGS, ...settings })
  return {
    url: urlOf(cluster, port, OWNER, 'postgres'),
    cluster,
    async stop() {
      await stopCluster(cluster)
      await rm(folder, { recursive: true, force: true })
    },
  }
}

let own: Promise<string> | undefined

/** URL of the superuser: the run's server where the runner started one, else one of this process, gone when it exits. */
function tempServer(): Promise<string> {
  const shared = process.env.PARAPH_TEST_PG
  if (shared) return Promise.resolve(shared)
  own ??= startTestServer().then(({ url, cluster }) => {
    for (const signal of ['SIGINT', 'SIGTERM']) process.once(signal, () => process.exit(1))
    process.once('exit', () => {
      const [program = '', ...args] = [...cluster.user.prefix, join(cluster.binaries.bin, 'pg_ctl')]
      spawnSync(program, [...args, 'stop', '--silent', '--mode=immediate', `--pgdata=${cluster.data}`], { cwd: '/' })
      rmSync(dirname(cluster.folder), { recursive: true, force: true })
    })
    return url
  })
  return own
}

let count = 0

/** A database with all migrations applied and nothing in it. */
export async function tempDatabase(): Promise<TempDatabase> {
  const server = await tempServer()
  const template = await migratedTemplate(server)
  const name = `test_${process.pid}_${Date.now().toString(36)}_${count++}`
  await asOwner(server, (client) => client.query(`create database ${name} template ${template}`))
  return {
    ownerUrl: at(server, name),
    frontUrl: at(server, name, 'paraph_front'),
    samUrl: at(server, name, 'paraph_sam'),
    keeperUrl: at(server, name, 'paraph_keeper'),
    async drop() {
      await asOwner(server, (client) => client.query(`drop database if exists ${name} with (force)`))
    },
  }
}

/** A database with nothing in it, not even our schemas. */
export async function emptyDatabase(): Promise<Pick<TempDatabase, 'ownerUrl' | 'drop'>> {
  const server = await tempServer()
  const name = `empty_${process.pid}_${Date.now().toString(36)}_${count++}`
  await asOwner(server, (client) => client.query(`create database ${name}`))
  return {
    ownerUrl: at(server, name),
    async drop() {
      await asOwner(server, (client) => client.query(`drop database if exists ${name} with (force)`))
    },
  }
}

let template: Promise<string> | undefined

/** Made by whoever comes first, and anew when a migration changes. */
function migratedTemplate(server: string): Promise<string> {
  template ??= asOwner(server, async (client) => {
    const name = `template_${migrationsHash()}`
    await client.query('select pg_advisory_lock($1)', [LOCK])
    const { rowCount } = await client.query('select from pg_database where datname = $1', [name])
    if (rowCount === 0) {
      // Migrated under another name, so that a template of that name is a whole one.
      const making = `${name}_making`
      await client.query(`drop database if exists ${making} with (force)`)
      await client.query(`create database ${making}`)
      await migrate(at(server, making))
      for (const role of ['paraph_front', 'paraph_sam', 'paraph_keeper']) {
        await client.query(`alter role ${role} password ${client.escapeLiteral(TEST_PASSWORD)}`)
      }
      await client.query(`alter database ${making} rename to ${name}`)
    }
    return name
  })
  return template
}

function migrationsHash(): string {
  const hash = createHash('sha256')
  const folder = join(root, 'migrations')
  for (const file of readdirSync(folder).sort()) hash.update(file).update(readFileSync(join(folder, file)))
  return hash.digest('hex').slice(0, 12)
}

function at(server: string, database: string, role?: string): string {
  const url = new URL(server)
  url.pathname = `/${database}`
  if (role !== undefined) {
    url.username = role
    url.password = TEST_PASSWORD
  }
  return url.toString()
}

/** Runs `work` on one connection of the superuser to database `postgres`, whose limits suit the making of databases. */
async function asOwner<Result>(server: string, work: (client: Client) => Promise<Result>): Promise<Result> {
  const client = await openClient(server, { name: 'paraph test', statementTimeout: 120_000, lockTimeout: 120_000 })
  try {
    return await work(client)
  } finally {
    await client.end()
  }
}

/**
 * Moves the database's clock: from now on paraph.now() there is the real time plus `offsetMs`. Calling it again moves it
 * anew, from the real time.
 */
export async function setClock(ownerUrl: string, offsetMs: number): Promise<void> {
  const client = await openClient(ownerUrl)
  try {
    await client.query(`
      begin;
      create table if not exists paraph.test_clock (offset_ms double precision not null);
      grant select on paraph.test_clock to public;
      delete from paraph.test_clock;
      insert into paraph.test_clock values (${Number(offsetMs)});
      create or replace function paraph.now() returns timestamptz language sql volatile as
        'select clock_timestamp() + make_interval(secs => (select offset_ms from paraph.test_clock) / 1000)';
      commit`)
  } finally {
    await client.end()
  }
}
