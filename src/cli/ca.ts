import { X509Certificate } from 'node:crypto'
import type { Command } from 'commander'
import { type AdminOptions, adminCommand, callWorker } from './admin.js'
import { facts, print } from './output.js'

const HELP = `
Examples:
  paraph ca root --pem > demo-root.pem
  openssl verify -CAfile demo-root.pem signer.pem

Only a demo has a certificate authority of its own. Its certificates prove nothing about anybody.`

/** Adds `paraph ca`. */
export function registerCa(program: Command): void {
  const ca = program
    .command('ca')
    .helpCommand(false)
    .summary("the demo's certificate authority")
    .description("Shows the demo's certificate authority.")
    .addHelpText('afterAll', HELP)

  adminCommand(ca, 'root')
    .summary('show its root certificate')
    .description("Shows the root certificate of the demo's certificate authority.")
    .option('--pem', 'the certificate itself, in PEM')
    .action(root)
}

async function root(options: AdminOptions & { pem?: true }): Promise<void> {
  const { pem } = await callWorker(options, 'ca.root', {})
  const { subject, validTo, fingerprint256 } = new X509Certificate(pem)
  const expires = new Date(validTo).toISOString().slice(0, 10)
  const about = facts({ Subject: subject.replaceAll('\n', ', '), Expires: expires, 'SHA-256': fingerprint256 })
  print(options, { pem }, options.pem ? [pem.trimEnd()] : about)
}
