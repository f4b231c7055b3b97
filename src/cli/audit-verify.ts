import { type Command, CommanderError, InvalidArgumentError } from 'commander'
import { verify } from '../verifier/command.js'
import { EXIT } from '../verifier/report.js'

const HELP = `
Verifies a pack of the log, offline: DIR is a folder that was exported from the log. It says the first
entry or file that is not what it should be and why, and lists the intentions that are open or were
abandoned. What it checks are the rules of docs/audit-format.md.

FILE of --policy says whom to trust: a line \`log KEY\` with the log's verifier key, witnesses and
their quorum (C2SP tlog-policy). --since and --receipt name what was kept from an earlier time. Whose time-stamps are
believed --time-stamps-by says; without it only that they fit is looked at.

Example:
  paraph audit verify pack-2026 --policy trust.txt --since checkpoint-2025

Exit status: 0 all is well, 1 something is wrong with the log, 2 nothing is, but some of it cannot be
judged, 3 wrong usage.`

interface VerifyOptions {
  readonly policy: string
  readonly since?: string
  readonly receipt?: readonly string[]
  readonly timeStampsBy?: string
  readonly threads?: number
  readonly json?: true
  readonly progress?: true
}

/** Adds `paraph audit verify`, which needs no service. */
export function registerAuditVerify(audit: Command): void {
  audit
    .command('verify')
    .summary('verify an exported log, offline')
    .description('Verifies an exported log, offline.')
    .argument('<DIR>', 'folder of the exported log')
    .requiredOption('--policy <FILE>', 'whom to trust')
    .option('--since <FILE>', 'checkpoint that was kept, which must be one of this log')
    .option('--receipt <FILE>', 'receipt, which must be of this log; may be given more than once', collect)
    .option(
      '--time-stamps-by <FILE>',
      'certificates (PEM) of time-stamp authorities that are believed, or of their issuers',
    )
    .option('--threads <N>', 'threads at work; as many as there are processors', parseThreads)
    .option('--progress', 'tell how far it is, also where nobody watches')
    .option('--json', 'tell the result as one line of JSON')
    .addHelpText('after', HELP)
    .exitOverride((error) => {
      throw error.exitCode === 0 ? error : new CommanderError(EXIT.usage, error.code, error.message)
    })
    .action(async (folder: string, options: VerifyOptions) => {
      process.exitCode = await verify({ ...options, folder }, new URL('../verifier/standalone.js', import.meta.url))
    })
}

const collect = (file: string, files: readonly string[] = []) => [...files, file]

function parseThreads(text: string): number {
  const count = Number(text)
  if (!(Number.isInteger(count) && count >= 1 && count <= 64)) throw new InvalidArgumentError('From 1 to 64.')
  return count
}
