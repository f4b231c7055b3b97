import type { Command } from 'commander'
import { type AdminOptions, adminCommand, callWorker } from './admin.js'
import { facts, print } from './output.js'

const HELP = `
Personal data stands beside the log, not in it: erasing it leaves every entry and the tree as they are.
Evidence of what was signed is kept for seven years after the certificate ends, network addresses for
one year. This erases what has been kept that long, and writes so into the log; run it once a month.

With --signer it answers a person who asks to be forgotten: what is still to be kept stays, the refusal
is written into the log, and the command says until when and why, and ends with 1.`

/** GDPR Art. 17(3)(b) and (e), the duty being that of eIDAS Art. 24(2)(h). */
const REASON =
  'A trust service has to keep what proves its signatures (eIDAS Art. 24(2)(h)), and people may need it for their claims: the right to erasure does not reach it so long (GDPR Art. 17(3)(b) and (e)).'

interface EraseOptions extends AdminOptions {
  readonly signer?: string
}

/** Adds `paraph audit erase`. */
export function registerAuditErase(audit: Command): void {
  adminCommand(audit, 'erase')
    .summary('erase personal data that was kept long enough')
    .description('Erases the personal data beside the log whose time has come.')
    .option('--signer <login>', 'of this signer only')
    .addHelpText('after', HELP)
    .action(erase)
}

async function erase(options: EraseOptions): Promise<void> {
  const { signer } = options
  const erased = { evidence: 0, network: 0 }
  let kept: { count: number; until: string } | undefined
  for (let from: number | undefined = 0; from !== undefined; ) {
    const answer: Awaited<ReturnType<typeof callWorker<'log.erase'>>> = await callWorker(options, 'log.erase', {
      from,
      ...(signer === undefined ? {} : { signer }),
    })
    erased.evidence += answer.evidence
    erased.network += answer.network
    kept = answer.kept
    from = answer.next
  }
  const result = { ...erased, ...(kept === undefined ? {} : { kept: { ...kept, reason: REASON } }) }
  print(options, result, [
    erased.evidence + erased.network === 0 ? 'Nothing has been kept long enough.' : 'Erased:',
    ...facts({
      Evidence: erased.evidence === 0 ? undefined : `${erased.evidence} entries`,
      'Network addresses': erased.network === 0 ? undefined : `${erased.network} entries`,
    }),
    ...(kept === undefined ? [] : [`Kept until ${kept.until}: evidence of ${kept.count} entries. ${REASON}`]),
  ])
  if (kept !== undefined) process.exitCode = 1
}
