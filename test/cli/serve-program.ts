/** The commands of this folder with stand-ins for the front, the workers and the demo's content. */
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Command } from 'commander'
import { registerSam } from '../../src/cli/sam.js'
import { registerServe } from '../../src/cli/serve.js'

const fake = join(dirname(fileURLToPath(import.meta.url)), 'fake-process.js')
const entries = { worker: fake, front: fake, keeper: fake }
const program = new Command('paraph')
registerServe(program, {
  entries,
  prepareDemo: async ({ instance }) => ({
    login: 'demo',
    password: 'pw',
    otpauth: 'otpauth://x',
    commands: [instance],
  }),
})
registerSam(program, entries)
await program.parseAsync().catch((error: Error) => {
  process.stderr.write(`${error.message}\n`)
  process.exitCode = 1
})
