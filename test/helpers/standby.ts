import { execFileSync } from 'node:child_process'
import { appendFileSync, chownSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type Cluster, ensureRunning, OWNER, stopCluster, urlOf } from '../../src/db/cluster.js'
import { openClient } from '../../src/db/pool.js'
import { TEST_SETTINGS } from './temp-database.js'

export interface Standby {
  /** The superuser's, to that database. */
  url(database: string): string
  /** Resolves when it has everything that the primary had when this was called. */
  caughtUp(): Promise<void>
  /** From now on it hears nothing of the primary. */
  lag(): Promise<void>
  promote(): Promise<void>
  stop(): Promise<void>
}

/** An asynchronous standby of a test server, made and connected. @param url superuser of the primary */
export async function standbyOf(primary: Cluster, url: string): Promise<Standby> {
  const folder = mkdtempSync(join(tmpdir(), 'paraph-standby-'))
  execFileSync('chmod', ['711', folder])
  const data = join(folder, 'data')
  const client = await openClient(url, { statementTimeout: 60_000 })
  try {
    await client.query(`select pg_backup_start('standby', true)`)
    execFileSync('cp', ['-a', primary.data, data])
    const { rows } = await client.query('select labelfile from pg_backup_stop(false)')
    rmSync(join(data, 'postmaster.pid'))
    const { uid, gid } = statSync(data)
    const put = (name: string, text: string) => {
      writeFileSync(join(data, name), text)
      chownSync(join(data, name), uid, gid)
    }
    put('backup_label', rows[0].labelfile)
    put('standby.signal', '')
  } finally {
    await client.end()
  }
  const { hostname, port, password } = new URL(url)
  const from = `host=${hostname} port=${port} user=${OWNER} password=${password}`
  appendFileSync(join(data, 'postgresql.auto.conf'), `primary_conninfo = '${from}'\n`)
  const kept = JSON.parse(readFileSync(join(primary.folder, 'server.json'), 'utf8'))
  writeFileSync(join(folder, 'server.json'), JSON.stringify({ ...kept, port: 0 }), { mode: 0o600 })

  const cluster: Cluster = { ...primary, folder, data }
  const ownPort = await ensureRunning(cluster, TEST_SETTINGS)
  const at = (database: string) => urlOf(cluster, ownPort, OWNER, database)
  const ask = async (where: string, text: string, ...values: unknown[]) => {
    const asked = await openClient(where, { statementTimeout: 60_000 })
    try {
      return (await asked.query(text, values)).rows[0]
    } finally {
      await asked.end()
    }
  }
  const until = async (text: string, ...values: unknown[]) => {
    while (!(await ask(at('postgres'), text, ...values)).holds) await new Promise((resolve) => setTimeout(resolve, 20))
  }
  return {
    url: at,
    async caughtUp() {
      const { lsn } = await ask(url, 'select pg_current_wal_flush_lsn()::text as lsn')
      await until('select pg_last_wal_replay_lsn() >= $1::pg_lsn as holds', lsn)
    },
    async lag() {
      await ask(at('postgres'), `alter system set primary_conninfo = ''`)
      await ask(at('postgres'), 'select pg_reload_conf()')
      await until('select not exists (select from pg_stat_wal_receiver) as holds')
    },
    async promote() {
      await ask(at('postgres'), 'select pg_promote(true, 60)')
    },
    async stop() {
      await stopCluster(cluster)
      rmSync(folder, { recursive: true, force: true })
    },
  }
}
