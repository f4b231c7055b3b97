import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { type Cluster, ensureRunning, OWNER, openCluster, stopCluster, urlOf } from './cluster.js'
import { migrate } from './migrate.js'
import { type Client, openClient } from './pool.js'
import type { BinarySource } from './postgres-binaries.js'

export interface EmbeddedDatabase {
  /** Superuser; for migrations and the demo's preparation, never for front or workers. */
  readonly ownerUrl: string
  readonly frontUrl: string
  readonly samUrl: string
  readonly keeperUrl: string
  /** Stops the server at once and cleanly; call it last. */
  stop(): Promise<void>
}

export interface EmbeddedOptions {
  /** Only these binaries; default: the system's if there are any, else the npm package's. */
  source?: BinarySource
  /** Hears of a server that died and is being started again. */
  onTrouble?: (message: string) => void
}

const DATABASE = 'paraph'

/** Whoever holds this session lock on database `postgres` runs the server; it ends with the process that holds it. */
const KEEPER_LOCK = 7_233_610

/**
 * Starts the PostgreSQL server in `<dataDir>/postgres`, which is made first where it is missing, or adopts the one that
 * a killed process left running; migrates its database; starts it again if it dies. The URLs stay valid throughout.
 * @throws Error when another live process runs it already.
 */
export async function openEmbedded(dataDir: string, options: EmbeddedOptions = {}): Promise<EmbeddedDatabase> {
  const cluster = await openCluster(join(dataDir, 'postgres'), options.source)
  const port = await ensureRunning(cluster)
  const keeper = await keep(cluster, port, options.onTrouble ?? (() => undefined))
  try {
    await createDatabase(keeper.client(), DATABASE)
    const ownerUrl = urlOf(cluster, port, OWNER, DATABASE)
    await migrate(ownerUrl)
    const { front, sam, keeper: logKeeper } = cluster.passwords
    await setPasswords(keeper.client(), { paraph_front: front, paraph_sam: sam, paraph_keeper: logKeeper })
    return {
      ownerUrl,
      frontUrl: urlOf(cluster, port, 'paraph_front', DATABASE),
      samUrl: urlOf(cluster, port, 'paraph_sam', DATABASE),
      keeperUrl: urlOf(cluster, port, 'paraph_keeper', DATABASE),
      stop: keeper.stop,
    }
  } catch (error) {
    await keeper.stop().catch(() => undefined)
    throw error
  }
}

interface Keeper {
  client(): Client
  stop(): Promise<void>
}

/** Holds the keeper's lock, and brings the server back on the same port when the connection that holds it breaks. */
async function keep(cluster: Cluster, port: number, onTrouble: (message: string) => void): Promise<Keeper> {
  let stopping = false
  let restoring: Promise<void> | undefined
  let client = await takeLock(cluster, port)

  const restore = async () => {
    onTrouble('the embedded PostgreSQL is gone; starting it again')
    while (!stopping) {
      try {
        const now = await ensureRunning(cluster)
        if (now !== port)
          throw new Error(`its port ${port} was taken; it now listens on ${now}: start the service again`)
        client = await takeLock(cluster, port)
        watch()
        return
      } catch (error) {
        onTrouble(`the embedded PostgreSQL is still not back: ${(error as Error).message}`)
        await sleep(500)
      }
    }
  }
  const watch = () => {
    client.once('end', () => {
      if (!stopping) restoring = restore()
    })
  }
  watch()

  return {
    client: () => client,
    async stop() {
      stopping = true
      await restoring
      // The lock is held until the server is gone, so that nobody adopts a server that is about to stop.
      await stopCluster(cluster)
      await client.end().catch(() => undefined)
    },
  }
}

/** The process that had it may have been killed a moment ago, so that its lock is about to go. */
async function takeLock(cluster: Cluster, port: number): Promise<Client> {
  // Making a database takes longer than a statement of the service may.
  const client = await openClient(urlOf(cluster, port, OWNER, 'postgres'), {
    name: 'paraph keeper',
    statementTimeout: 60_000,
  })
  for (let attempt = 0; attempt < 20; attempt++) {
    const { rows } = await client.query<{ taken: boolean }>('select pg_try_advisory_lock($1) as taken', [KEEPER_LOCK])
    if (rows[0]?.taken) return client
    await sleep(100)
  }
  await client.end()
  throw new Error(`another process serves from ${cluster.folder}: stop it first, or give this one its own PARAPH_DATA`)
}

async function createDatabase(client: Client, name: string): Promise<void> {
  const { rowCount } = await client.query('select from pg_database where datname = $1', [name])
  if (rowCount === 0) await client.query(`create database ${client.escapeIdentifier(name)}`)
}

/** Set at every start, so that a password changed by hand, or a restored backup, heals itself. */
async function setPasswords(client: Client, passwords: Record<string, string>): Promise<void> {
  // A failing statement would be written to the server's log with the password in it.
  await client.query('set log_min_error_statement = panic')
  for (const [role, password] of Object.entries(passwords)) {
    await client.query(`alter role ${client.escapeIdentifier(role)} password ${client.escapeLiteral(password)}`)
  }
}
