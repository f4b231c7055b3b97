import { pino } from 'pino'
import { HsmError } from '../hsm/hsm.js'
import { supervised } from '../supervised.js'
import type { WorkerSettings } from './supervisor.js'
import { startWorker } from './worker.js'

const { settings, ready, refused } = await supervised<WorkerSettings>()
const logger = pino({ level: settings.logLevel, base: { program: 'sam', pid: process.pid } }, pino.destination(2))

let stopping = false
const worker = await startWorker(settings, { logger }).catch(async (error: unknown) => {
  const reason = error instanceof Error ? error.message : 'unknown'
  logger.fatal({ cause: reason }, 'the worker cannot start')
  // Anything else may pass, and the next attempt finds it gone; a PIN that is offered again and again locks the token.
  if (error instanceof HsmError && error.code === 'refused') await refused(reason)
  process.exit(1)
})

process.on('SIGTERM', () => {
  if (stopping) return
  stopping = true
  worker.close().then(
    () => process.exit(0),
    () => process.exit(1),
  )
})
process.on('uncaughtException', (error) => {
  logger.fatal({ cause: error.message, stack: error.stack }, 'the worker fails')
  process.exit(1)
})
ready()
