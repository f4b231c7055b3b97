/** Stands for a front or a SAM worker: tells in a file what it was given and when it stops, and serves nothing. */
import { appendFileSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { join } from 'node:path'
import { supervised } from '../../src/supervised.js'

interface FakeSettings {
  readonly node: string
  readonly databaseUrl: string
  /** A front's, where the test put the name of the file. */
  readonly name?: string
  /** A worker's: the file is in it. */
  readonly keysDir?: string
  /** A keeper's: the file is three folders above. */
  readonly guardFile?: string
}

const { settings, ready } = await supervised<FakeSettings>()
const file =
  settings.name ??
  (settings.guardFile === undefined ? `${settings.keysDir}/told` : join(settings.guardFile, '../../../told'))
const tell = (facts: object) => appendFileSync(file, `${JSON.stringify(facts)}\n`)

tell({ pid: process.pid, settings, env: Object.keys(process.env) })
createServer().listen(0, '127.0.0.1')
process.on('SIGTERM', () => {
  const { hostname, port } = new URL(settings.databaseUrl)
  const end = (database: boolean) => {
    tell({ stopped: settings.node.replace(/^.*\//, ''), database })
    process.exit(0)
  }
  connect(Number(port), hostname)
    .once('connect', () => end(true))
    .once('error', () => end(false))
})
ready()
