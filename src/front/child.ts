import { pino } from 'pino'
import { systemClock } from '../clock.js'
import { supervised } from '../supervised.js'
import { startFront } from './main.js'
import type { FrontSettings } from './settings.js'

const { settings, ready, refused } = await supervised<FrontSettings>()
const logger = pino({ level: settings.logLevel, base: { program: 'front', pid: process.pid } }, pino.destination(2))

const front = await startFront({ settings, logger, clock: systemClock }).catch(async (error: unknown) => {
  const reason = error instanceof Error ? error.message : 'unknown'
  logger.fatal({ cause: reason }, 'the front cannot start')
  const code = (error as { code?: unknown }).code
  // A port that is taken or forbidden stays so.
  if (code === 'EADDRINUSE' || code === 'EACCES' || code === 'EADDRNOTAVAIL') await refused(reason)
  process.exit(1)
})

let stopping = false
process.on('SIGTERM', () => {
  if (stopping) return
  stopping = true
  front.close().then(
    () => process.exit(0),
    () => process.exit(1),
  )
})
process.on('uncaughtException', (error) => {
  logger.fatal({ cause: error.message, stack: error.stack }, 'the front fails')
  process.exit(1)
})
ready()
