import type { Logger } from 'pino'
import { type Clock, systemClock } from '../clock.js'
import { AnnouncedLog } from './announced-log.js'
import { buildApp } from './app.js'
import { watchCheckpoints } from './audit/checkpoint-watch.js'
import { openAuditorsDatabase, openDatabase } from './database.js'
import { frontReads } from './reads.js'
import { createSamClient } from './sam-client.js'
import type { FrontConfig } from './services.js'
import { watchSessions } from './session-watch.js'
import type { FrontSettings } from './settings.js'

/** Language of the texts this service answers with. */
const LANG = 'en'

/**
 * Starts a front and resolves when it listens; database and workers need not be there yet. `close` stops listening, lets
 * what is in flight finish, writes the refusals that were only counted, ends the front's log, and disconnects.
 */
export async function startFront(options: {
  readonly settings: FrontSettings
  readonly logger: Logger
  readonly clock?: Clock
}): Promise<{ url: string; close(): Promise<void> }> {
  const { settings, logger, clock = systemClock } = options
  const { databaseUrl: url, node } = settings
  const database = openDatabase({ url, logger })
  const auditors = openAuditorsDatabase(url)
  const sessions = watchSessions({ url, logger })
  const db = frontReads(database)
  const checkpoints = watchCheckpoints({ url, db, logger })
  const sam = createSamClient({ sockets: settings.samSockets, logger })
  const log = new AnnouncedLog({ url, node, clock, sam })
  const disconnect = async () => {
    await log.close()
    await Promise.all([sam.close(), sessions.close(), checkpoints.close(), database.close(), auditors.close()])
  }
  try {
    const app = buildApp({
      config: configOf(settings),
      db,
      store: database,
      strangers: { db: frontReads(database.forStrangers), store: database.forStrangers },
      auditors,
      sam,
      log,
      logger,
      clock,
      sessions,
      checkpoints,
    })
    const listening = await app.listen({ host: settings.host, port: settings.port })
    // Made ready now, so that the first request does not wait for it; while something is missing, the next one tries again.
    log.prepare().catch(() => undefined)
    return {
      url: listening,
      async close() {
        await app.close()
        await disconnect()
      },
    }
  } catch (error) {
    await disconnect()
    throw error
  }
}

function configOf(settings: FrontSettings): FrontConfig {
  const { publicUrl, trustedProxies, basicLogin, auditPublic, name, region, tls } = settings
  return {
    publicUrl,
    trustedProxies,
    basicLogin,
    auditPublic,
    name,
    region,
    lang: LANG,
    ...(tls === undefined
      ? {}
      : { tls: { cert: tls.certFile, key: tls.keyFile, clientCertificates: tls.clientCertificates } }),
  }
}
