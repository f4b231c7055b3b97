import { isMainThread, parentPort, workerData } from 'node:worker_threads'
import { runVerify } from './command.js'
import { serve, WORKER_DATA } from './crew.js'

/**
 * The verifier as a program of its own, and each of its worker threads: `npm run build` makes the one file
 * `audit-verify.mjs` of it, which needs Node and nothing else.
 */
if (!isMainThread && workerData === WORKER_DATA && parentPort !== null) serve(parentPort)
else process.exitCode = await runVerify(process.argv.slice(2), new URL(import.meta.url))
