/** Stands for a front or a SAM worker: tells what it was given in a file, and serves nothing. */
import { appendFileSync } from 'node:fs'
import { createServer } from 'node:net'
import { supervised } from '../../src/supervised.js'

const { settings, ready } = await supervised<{ node: string }>()
// The one folder both know: where this module was compiled to says nothing, so that the name of the service carries it.
const { name, keysDir } = settings as { name?: string; keysDir?: string }
const told = name ?? `${keysDir}/told`
appendFileSync(told, `${JSON.stringify({ pid: process.pid, settings, env: Object.keys(process.env) })}\n`)
createServer().listen(0, '127.0.0.1')
process.on('SIGTERM', () => {
  appendFileSync(told, `${JSON.stringify({ stopped: settings.node })}\n`)
  process.exit(0)
})
ready()
