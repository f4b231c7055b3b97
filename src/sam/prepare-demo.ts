/**
 * The program that makes a demo's content, once for its folder: reads `DemoSetup` as JSON on standard input and writes
 * `DemoSigner` as JSON on standard output. A process of its own, so that `paraph serve` never loads a device's module.
 */
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { pino } from 'pino'
import { type DemoFolder, initDemo, makeTimeStampAuthority, nameCheckpointKey, populateDemo } from './demo.js'
import { startWorker } from './worker.js'

export interface DemoSetup extends DemoFolder {
  readonly samUrl: string
  readonly checkpointHsmUri: string
  readonly node: string
}

const setup = JSON.parse(await text(process.stdin)) as DemoSetup
await initDemo(setup)
await makeTimeStampAuthority(setup)
const sockets = mkdtempSync(join(tmpdir(), 'paraph-demo-'))
try {
  const adminSocket = join(sockets, 'admin.sock')
  const worker = await startWorker(
    {
      ...setup,
      socket: join(sockets, 'sam.sock'),
      socketMode: 0o600,
      adminSocket,
      // Nothing is signed here, and nothing remembered.
      guardFile: join(sockets, 'checkpoint'),
      databaseUrl: setup.samUrl,
      demo: true,
      basicLogin: false,
      publicUrl: 'http://localhost',
      logLevel: 'error',
    },
    { logger: pino({ level: 'error' }, pino.destination(2)) },
  )
  try {
    const signer = await populateDemo(adminSocket, setup.keysDir)
    await nameCheckpointKey(adminSocket, setup.keysDir, setup.checkpointHsmUri)
    process.stdout.write(`${JSON.stringify(signer)}\n`)
  } finally {
    await worker.close()
  }
} finally {
  rmSync(sockets, { recursive: true, force: true })
}
