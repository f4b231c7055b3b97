import { readFileSync } from 'node:fs'
import { availableParallelism } from 'node:os'
import { parseArgs } from 'node:util'
import { parsePolicy } from '../tlog/policy.js'
import { crewOfThreads } from './crew.js'
import { EXIT, reportInWords } from './report.js'
import { readTrusted } from './time-stamps.js'
import { verifyPack } from './verify.js'

const USAGE = `Usage: audit-verify DIR --policy FILE [--since FILE] [--receipt FILE]... [--json] [--progress]

Verifies a pack of the log, offline: DIR is what paraph audit export wrote.

  --policy FILE    whom to trust: log keys, witnesses and their quorum (C2SP tlog-policy)
  --since FILE     a checkpoint kept from an earlier time, which must be one of this log
  --receipt FILE   a receipt, which must be of this log; may be given more than once
  --time-stamps-by FILE  certificates (PEM) of the time-stamp authorities that are believed, or of
                   their issuers; without it, whose time-stamps they are is not asked
  --threads N      how many threads look at the pack; as many as there are processors
  --json           tell the result as one line of JSON
  --progress       tell how far it is, also where nobody watches

Ends with 0 when all is well, 1 when something is wrong with the log, 2 when nothing is and some
of it cannot be judged, 3 when the command cannot be understood.
`

export interface VerifyArguments {
  readonly folder: string
  readonly policy: string
  readonly since?: string | undefined
  readonly receipt?: readonly string[] | undefined
  readonly timeStampsBy?: string | undefined
  readonly threads?: number | undefined
  readonly json?: boolean | undefined
  readonly progress?: boolean | undefined
}

/**
 * Small packs are not worth a thread of their own, and one thread waits for the others.
 * @returns what the process ends with
 */
export async function verify(given: VerifyArguments, self: URL): Promise<number> {
  const read = (file: string) => readFileSync(file, 'utf8')
  let options: Omit<Parameters<typeof verifyPack>[0], 'crew'>
  try {
    options = {
      root: given.folder,
      policy: read(given.policy),
      ...(given.since === undefined ? {} : { since: read(given.since) }),
      ...(given.timeStampsBy === undefined ? {} : { timeStampsBy: read(given.timeStampsBy) }),
      receipts: new Map((given.receipt ?? []).map((file) => [file, read(file)])),
      ...(given.progress || process.stderr.isTTY ? { progress: tellProgress() } : {}),
    }
    parsePolicy(options.policy)
    if (options.timeStampsBy !== undefined) readTrusted(options.timeStampsBy)
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n`)
    return EXIT.usage
  }
  const crew = crewOfThreads(self, given.threads ?? availableParallelism())
  const report = await verifyPack({ ...options, crew })
  process.stdout.write(given.json ? `${JSON.stringify(report)}\n` : reportInWords(report))
  return EXIT[report.verdict]
}

/** For a program that is nothing else. */
export async function runVerify(words: readonly string[], self: URL): Promise<number> {
  let given: VerifyArguments
  try {
    const { values, positionals } = parseArgs({
      args: [...words],
      allowPositionals: true,
      options: {
        policy: { type: 'string' },
        since: { type: 'string' },
        receipt: { type: 'string', multiple: true },
        'time-stamps-by': { type: 'string' },
        threads: { type: 'string' },
        json: { type: 'boolean' },
        progress: { type: 'boolean' },
        help: { type: 'boolean', short: 'h' },
      },
    })
    if (values.help) {
      process.stdout.write(USAGE)
      return EXIT.ok
    }
    const { policy, threads, 'time-stamps-by': timeStampsBy, help: _help, ...rest } = values
    const [folder, ...others] = positionals
    const count = threads === undefined ? undefined : Number(threads)
    if (folder === undefined || others.length > 0 || policy === undefined)
      throw new TypeError('DIR and --policy are needed')
    if (count !== undefined && !(Number.isInteger(count) && count >= 1 && count <= 64)) {
      throw new TypeError('--threads is a number from 1 to 64')
    }
    given = { ...rest, folder, policy, timeStampsBy, threads: count }
  } catch (error) {
    process.stderr.write(`${error instanceof Error ? error.message : String(error)}\n\n${USAGE}`)
    return EXIT.usage
  }
  return verify(given, self)
}

const EVERY_MS = 1000

function tellProgress(): (done: number, size: number) => void {
  let told = Date.now()
  return (done, size) => {
    const now = Date.now()
    if (now - told < EVERY_MS) return
    told = now
    process.stderr.write(`${done} of ${size} entries, ${Math.floor((100 * done) / size)} %\n`)
  }
}
