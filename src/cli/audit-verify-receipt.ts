import { readFileSync } from 'node:fs'
import { type Command, CommanderError } from 'commander'
import type { TrustPolicy } from '../tlog/policy.js'
import { readReceipt } from '../verifier/receipts.js'
import { EXIT } from '../verifier/report.js'
import { checkSignature, SUFFIX } from './client/detached-signature.js'
import { reasonOf } from './client/reason.js'
import { readPolicy, requireNamed } from './client/receipt.js'
import { facts, type OutputOptions, print } from './output.js'

const HELP = `
Verifies a receipt by itself, offline: that a log which the policy trusts (C2SP tlog-policy) holds the
entry, and what the receipt opens of it. It needs neither the service nor an export of the log, and
holds when everything it opens was erased there. With --file it must be the receipt of the signature
in FILE.p7s, which is verified too; whether its certificate is to be trusted, paraph verify tells.

Example:
  paraph audit verify-receipt report.pdf.tlog-proof --policy trust.txt --file report.pdf

Exit status: 0 all is well, 1 something is wrong, 2 nothing is, but too few witnesses cosigned,
3 wrong usage.`

interface ReceiptOptions extends OutputOptions {
  readonly policy: string
  readonly file?: string
}

/** Adds `paraph audit verify-receipt`, which needs no service. */
export function registerAuditVerifyReceipt(audit: Command): void {
  audit
    .command('verify-receipt')
    .summary('verify one receipt, offline')
    .description('Verifies a receipt of a signing, offline.')
    .argument('<RECEIPT>', 'receipt, such as FILE.tlog-proof')
    .requiredOption('--policy <FILE>', 'whom to trust')
    .option('--file <FILE>', 'what was signed; its signature is FILE.p7s')
    .option('--json', 'tell the result as one line of JSON')
    .addHelpText('after', HELP)
    .exitOverride((error) => {
      throw error.exitCode === 0 ? error : new CommanderError(EXIT.usage, error.code, error.message)
    })
    .action(async (path: string, options: ReceiptOptions) => {
      process.exitCode = await verifyReceipt(path, options)
    })
}

async function verifyReceipt(path: string, options: ReceiptOptions): Promise<number> {
  let text: string
  let policy: TrustPolicy
  try {
    policy = readPolicy(options.policy)
    text = readFileSync(path, 'utf8')
  } catch (error) {
    process.stderr.write(`${reasonOf(error)}\n`)
    return EXIT.usage
  }
  try {
    const entry = readReceipt(text, policy)
    const { origin, index, size, quorum, leaf, opened } = entry
    if (options.file !== undefined) {
      const { signature } = await checkSignature(options.file, options.file + SUFFIX)
      requireNamed(entry, signature.signature)
    }
    const verdict = quorum ? 'ok' : 'incomplete'
    const { ev: event, out: outcome, op: operation } = leaf
    const time = new Date(leaf.t).toISOString()
    print(
      options,
      { verdict, origin, index, size, event, outcome, operation, time, opened: Object.fromEntries(opened) },
      [
        quorum
          ? `Entry ${index} is in the log ${origin}.`
          : `Entry ${index} is in the log ${origin}, which too few witnesses of the policy have cosigned.`,
        ...facts({ Event: `${event}, ${outcome}`, Time: time, Operation: operation, ...Object.fromEntries(opened) }),
      ],
    )
    return EXIT[verdict]
  } catch (error) {
    const what = reasonOf(error)
    print(options, { verdict: 'fault', what }, [`The receipt is NOT valid: ${what}`])
    return EXIT.fault
  }
}
