/** Runs an embedded database as a process of its own, so that it can be another user's, and be killed. */
import { openEmbedded } from '../../src/db/embedded.js'
import type { BinarySource } from '../../src/db/postgres-binaries.js'

const [dataDir = '', source] = process.argv.slice(2)
try {
  const { stop, ...urls } = await openEmbedded(dataDir, {
    ...(source ? { source: source as BinarySource } : {}),
    onTrouble: (message) => process.stdout.write(`${JSON.stringify({ trouble: message })}\n`),
  })
  process.once('SIGTERM', () => stop().then(() => process.exit(0)))
  process.stdout.write(`${JSON.stringify(urls)}\n`)
} catch (error) {
  process.stdout.write(`${JSON.stringify({ failed: (error as Error).message })}\n`)
  process.exit(1)
}
