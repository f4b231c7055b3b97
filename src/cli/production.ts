import { isSoftHsm } from '../config.js'
import { schemaIsCurrent } from '../db/migrate.js'
import { openClient, withPassword } from '../db/pool.js'
import { requireSafe } from '../db/require-safe.js'
import { readInstance } from './instance.js'
import { type Start, startWorkers } from './processes.js'

/**
 * Refuses a database that a production start must not use, with what to type.
 * @param setting name of the setting the URL came from.
 * @returns the instance id in the origin of its log.
 */
export async function requireProductionDatabase(url: string, setting: string): Promise<string> {
  try {
    await openClient(url).then((client) => client.end())
  } catch (error) {
    throw new Error(
      `the database of ${setting} cannot be reached: ${(error as Error).message || (error as { code?: string }).code}`,
      {
        cause: error,
      },
    )
  }
  if (!(await schemaIsCurrent(url))) {
    throw new Error(
      `the database of ${setting} is empty or older than this program: run \`paraph migrate\` with DATABASE_URL naming a role that owns it`,
    )
  }
  await requireSafe(url)
  const log = await readLogOrigin(url)
  if (log === undefined)
    throw new Error('this database has no log, and none is made by itself: run `paraph audit init` once')
  if (log.demo)
    throw new Error(
      'this database belongs to a demo, and so do its signatures: make a new one and run `paraph migrate` and `paraph audit init`',
    )
  return log.instance
}

async function readLogOrigin(url: string): Promise<{ instance: string; demo: boolean } | undefined> {
  const client = await openClient(url)
  try {
    const { rows } = await client.query<{ instance: string; demo: boolean }>('select instance, demo from audit.log')
    return rows[0]
  } finally {
    await client.end()
  }
}

/**
 * Starts workers on the database and the device that the settings name; `loadConfig` has seen to it that they do.
 * @returns their sockets for a front.
 */
export async function startProductionWorkers(start: Start, sockets: string, socketMode: number): Promise<string[]> {
  const { config, logger } = start
  const databaseUrl = config.samDatabaseUrl as string
  const hsmUri = config.hsm as string
  const instance = await requireProductionDatabase(databaseUrl, 'PARAPH_SAM_DATABASE_URL')
  requireSameInstance('PARAPH_DATA', config.data, instance)
  requireSameInstance('PARAPH_KEYS', config.keys, instance)
  if (isSoftHsm(hsmUri))
    logger.warn('production on SoftHSM, which keeps keys in files: allowed by PARAPH_ALLOW_SOFTHSM')
  const keeperUrl = await withPassword(config.keeperDatabaseUrl as string)
  const checkpointHsmUri = config.checkpointHsm as string
  return startWorkers(start, {
    ...{ databaseUrl, hsmUri, keeperUrl, checkpointHsmUri, instance, sockets, socketMode },
    ...(config.timeStamps === undefined ? {} : { timeStamps: config.timeStamps }),
    env: {},
  })
}

/** A folder without a mark may be any; one with a mark must be this database's. */
function requireSameInstance(setting: string, folder: string, instance: string): void {
  const marked = readInstance(folder)
  if (marked === undefined || marked.instance === instance) return
  throw new Error(
    `${setting} ${folder} belongs to instance ${marked.instance}, the log of the database to ${instance}: name the folder that belongs to it`,
  )
}
