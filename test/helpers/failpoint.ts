/**
 * Preloaded into worker processes by the crash tests: at the step of a signing that the control file names, the process
 * that it names is killed, as by `kill -9`. The file is JSON `{ step, pids }` (no pids: this process) and is used once.
 */
import { subscribe } from 'node:diagnostics_channel'
import { readFileSync, rmSync } from 'node:fs'

const file = process.env['PARAPH_TEST_FAILPOINT']

subscribe('paraph.signing', (message) => {
  if (file === undefined) return
  let order: { step: string; pids?: number[] }
  try {
    order = JSON.parse(readFileSync(file, 'utf8'))
  } catch {
    return
  }
  if (order.step !== (message as { step: string }).step) return
  rmSync(file)
  for (const pid of order.pids ?? [process.pid]) process.kill(pid, 'SIGKILL')
})
