import { existsSync } from 'node:fs'
import { readdir } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { runner } from 'node-pg-migrate'
import { openClient } from './pool.js'

/** Held on the connection that migrates, so that it ends with it. Any other number would do as well. */
const LOCK = 7_233_611

/** What has been applied is kept apart from the service's own schemas: migrations.applied (id, name, run_on). */
const SCHEMA = 'migrations'
const TABLE = 'applied'

/** `migrations/` of the package this module belongs to, wherever it was compiled to. */
function migrationsFolder(): string {
  let folder = dirname(fileURLToPath(import.meta.url))
  while (!existsSync(join(folder, 'package.json')) || !existsSync(join(folder, 'migrations'))) {
    const parent = dirname(folder)
    if (parent === folder) throw new Error('the folder `migrations` is missing from this installation')
    folder = parent
  }
  return join(folder, 'migrations')
}

async function knownMigrations(folder: string): Promise<string[]> {
  const files = await readdir(folder)
  return files.filter((file) => /^\d+_.+\.sql$/.test(file)).map((file) => file.slice(0, -'.sql'.length))
}

/**
 * Applies the migrations that are missing, in order, each in a transaction of its own, and returns their names. Several
 * processes may call it at once: the first migrates, the others wait for it (10 minutes at most) and find nothing to do.
 * @param url a role that owns the database and may create roles.
 */
export async function migrate(url: string, folder = migrationsFolder()): Promise<string[]> {
  const client = await openClient(url, { name: 'paraph migrate', statementTimeout: 0, lockTimeout: 600_000 })
  const complaints: string[] = []
  const complain = (text: string) => void complaints.push(text)
  try {
    await client.query('select pg_advisory_lock($1)', [LOCK])
    const done = await runner({
      dbClient: client,
      dir: folder,
      direction: 'up',
      migrationsSchema: SCHEMA,
      createMigrationsSchema: true,
      migrationsTable: TABLE,
      singleTransaction: false,
      noLock: true,
      logger: { info: () => undefined, warn: complain, error: complain },
    })
    // Every start asks whether the schema is current, and it asks with the role it runs with.
    await client.query(`grant usage on schema ${SCHEMA} to public; grant select on ${SCHEMA}.${TABLE} to public`)
    return done.map((migration) => migration.name)
  } catch (error) {
    throw new Error(`the database could not be migrated: ${complaints.join('\n') || (error as Error).message}`, {
      cause: error,
    })
  } finally {
    await client.end()
  }
}

/**
 * Whether every migration this program knows has been applied. A database ahead of the program is current too, so that
 * an upgrade may migrate first and replace its processes one by one. Any role may ask; rejects only when the database
 * cannot be reached.
 */
export async function schemaIsCurrent(url: string, folder = migrationsFolder()): Promise<boolean> {
  const client = await openClient(url)
  try {
    const { rows } = await client.query<{ present: boolean }>('select to_regclass($1) is not null as present', [
      `${SCHEMA}.${TABLE}`,
    ])
    if (!rows[0]?.present) return false
    const applied = await client.query<{ name: string }>(`select name from ${SCHEMA}.${TABLE}`)
    const names = new Set(applied.rows.map((row) => row.name))
    const known = await knownMigrations(folder)
    return known.every((name) => names.has(name))
  } finally {
    await client.end()
  }
}
