/** A supervisor as a process of its own, so that it can be killed. */
import { startSupervisor } from '../../src/sam/supervisor.js'

const [entry = '', starts = ''] = process.argv.slice(2)
const quiet = () => undefined
const supervisor = startSupervisor({
  name: 'worker',
  count: 2,
  spawn: () => ({ entry, settings: { starts, does: 'serve' }, env: {} }),
  logger: { info: quiet, warn: quiet, error: quiet },
})
await supervisor.ready
process.stdout.write('ready\n')
