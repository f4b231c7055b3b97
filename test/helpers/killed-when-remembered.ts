/**
 * Preloaded into a witness: while the file named by PARAPH_TEST_KILL is there, the process is killed, as by `kill -9`, as
 * soon as its memory is on the disk and before anybody is answered.
 */
import fs from 'node:fs'
import { syncBuiltinESMExports } from 'node:module'

const rename = fs.renameSync
fs.renameSync = (from, to) => {
  rename(from, to)
  if (String(to).endsWith('state.json') && fs.existsSync(process.env['PARAPH_TEST_KILL'] ?? '')) {
    process.kill(process.pid, 'SIGKILL')
  }
}
syncBuiltinESMExports()
