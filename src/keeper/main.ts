import { pino } from 'pino'
import { systemClock } from '../clock.js'
import { requireSafe } from '../db/require-safe.js'
import { openCheckpointKey } from '../hsm/checkpoint-key.js'
import { HsmError } from '../hsm/hsm.js'
import { supervised } from '../supervised.js'
import { parsePolicy } from '../tlog/policy.js'
import { Keeper } from './keeper.js'
import type { KeeperSettings } from './settings.js'

const { settings, ready, refused } = await supervised<KeeperSettings>()
const logger = pino({ level: settings.logLevel, base: { program: 'keeper', pid: process.pid } }, pino.destination(2))

const key = await (async () => {
  await requireSafe(settings.databaseUrl)
  return await openCheckpointKey(settings.keyUri)
})().catch(async (error: unknown) => {
  const reason = error instanceof Error ? error.message : 'unknown'
  logger.fatal({ cause: reason }, 'the keeper of the log cannot start')
  // A PIN that is offered again and again locks the token.
  if (error instanceof HsmError && error.code === 'refused') await refused(reason)
  process.exit(1)
})
const { witnesses: policy, ...rest } = settings
const witnesses = policy === undefined ? {} : { witnesses: parsePolicy(policy) }
const keeper = new Keeper({ ...rest, ...witnesses, key, clock: systemClock, logger })

let stopping = false
process.on('SIGTERM', () => {
  if (stopping) return
  stopping = true
  keeper.stop().then(
    () => {
      key.close()
      process.exit(0)
    },
    () => process.exit(1),
  )
})
keeper.start()
ready()
