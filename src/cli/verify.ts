import { existsSync } from 'node:fs'
import { readFile } from 'node:fs/promises'
import { join } from 'node:path'
import type { Command } from 'commander'
import { loadConfig } from '../config.js'
import { ServiceError } from '../errors.js'
import { isTestPolicy } from '../pki/demo-ca.js'
import { fromPem } from '../pki/pem.js'
import { trustedPath } from '../pki/trust.js'
import type { TrustPolicy } from '../tlog/policy.js'
import { checkSignature, RECEIPT_SUFFIX, SUFFIX } from './client/detached-signature.js'
import { reasonOf } from './client/reason.js'
import { checkReceipt, demoPolicy, readPolicy } from './client/receipt.js'
import { processTerminal, type Terminal } from './client/terminal.js'

interface VerifyOptions {
  readonly trust?: string
  readonly policy?: string
  readonly json?: true
}

/** The demo's root certificate, in the keys folder. */
const DEMO_ROOT = 'demo-root.pem'

const HELP = `
Checks FILE.p7s against FILE: whether FILE is what was signed, who signed it, and whether the certificate leads to a
trusted root and is valid now. Whether a certificate was revoked is not asked.

The trusted roots are the certificates in --trust, or else the root of the demo that was started in this folder.

FILE.tlog-proof, where it is there, must be the receipt of this signature by a log that --policy trusts (C2SP
tlog-policy), or else by that of the demo.

Examples:
  paraph verify report.pdf
  paraph verify --trust root.pem *.pdf

Exit status: 0 all signatures are valid, 1 one is not, 2 wrong usage.`

/** Adds `paraph verify`, which needs no service. */
export function registerVerify(program: Command, terminal: Terminal = processTerminal): void {
  program
    .command('verify')
    .summary('check signatures made by paraph sign')
    .description('Checks detached signatures against their files.')
    .argument('<FILE...>', 'signed files, or their .p7s')
    .option('--trust <ROOT>', 'PEM file with the root certificates to trust')
    .option('--policy <FILE>', 'whom to trust about the log, for receipts')
    .option('--json', 'print the result as JSON')
    .addHelpText('after', HELP)
    .action((files: string[], options: VerifyOptions, command: Command) => verify(files, options, command, terminal))
}

async function verify(files: string[], options: VerifyOptions, command: Command, terminal: Terminal): Promise<void> {
  const trust = options.trust ?? join(loadConfig(terminal.env).keys, DEMO_ROOT)
  if (options.trust === undefined && !existsSync(trust)) {
    command.error('error: no demo was started here: name the root certificate to trust with --trust', { exitCode: 2 })
  }
  const roots = await readRoots(trust)
  const policy = policyOf(options, terminal)
  const now = new Date(terminal.now())
  const verdicts: Verdict[] = []
  for (const file of files) {
    const verdict = await judge(file, roots, policy, now)
    verdicts.push(verdict)
    if (options.json !== true) terminal.out(inWords(verdict))
  }
  if (options.json) terminal.out(JSON.stringify({ files: verdicts }))
  terminal.setStatus(verdicts.every(({ valid }) => valid) ? 0 : 1)
}

/** The demo's root and log go together. */
function policyOf({ policy, trust }: VerifyOptions, terminal: Terminal): TrustPolicy | undefined {
  if (policy !== undefined) return readPolicy(policy)
  return trust === undefined ? demoPolicy(loadConfig(terminal.env).keys) : undefined
}

async function readRoots(path: string): Promise<Uint8Array[]> {
  try {
    return fromPem('CERTIFICATE', await readFile(path, 'utf8'))
  } catch (cause) {
    throw cause instanceof ServiceError ? new Error(`${path}: ${cause.detail}`, { cause }) : cause
  }
}

type Verdict =
  | {
      readonly file: string
      readonly valid: true
      readonly signer: string
      readonly issuer: string
      readonly serialNumber: string
      readonly notBefore: Date
      readonly notAfter: Date
      /** The signer's claim. */
      readonly signingTime: Date | undefined
      readonly test: boolean
      readonly revocationChecked: false
      /** Where which log has it, where there is a receipt and a policy. */
      readonly recorded?: { readonly log: string; readonly index: number; readonly time: Date }
    }
  | { readonly file: string; readonly valid: false; readonly reason: string }

async function judge(
  named: string,
  roots: readonly Uint8Array[],
  policy: TrustPolicy | undefined,
  now: Date,
): Promise<Verdict> {
  const file = named.endsWith(SUFFIX) ? named.slice(0, -SUFFIX.length) : named
  try {
    const { cms, signature } = await checkSignature(file, file + SUFFIX)
    trustedPath(signature.certificate, cms.certificates, roots, now)
    const recorded = await recordOf(file + RECEIPT_SUFFIX, policy, signature.signature)
    const { subjectDn: signer, issuerDn: issuer, serialNumber, notBefore, notAfter, policies } = signature.facts
    return {
      ...{ file, valid: true, signer, issuer, serialNumber, notBefore, notAfter },
      signingTime: signature.signingTime,
      test: policies.some(isTestPolicy),
      revocationChecked: false,
      ...(recorded === undefined ? {} : { recorded }),
    }
  } catch (error) {
    return { file, valid: false, reason: reasonOf(error) }
  }
}

async function recordOf(path: string, policy: TrustPolicy | undefined, signature: Uint8Array) {
  if (policy === undefined || !existsSync(path)) return undefined
  try {
    const { origin: log, index, leaf } = await checkReceipt(path, policy, signature)
    return { log, index, time: new Date(leaf.t) }
  } catch (cause) {
    throw new Error(`its receipt: ${reasonOf(cause)}`, { cause })
  }
}

function inWords(verdict: Verdict): string {
  if (!verdict.valid) return `${verdict.file}: NOT valid: ${verdict.reason}`
  const { file, signer, issuer, serialNumber, notBefore, notAfter, signingTime, recorded, test } = verdict
  return [
    `${file}: valid`,
    `  signed by    ${signer}`,
    ...(signingTime === undefined ? [] : [`  signed at    ${signingTime.toISOString()}, by the signer's own word`]),
    ...(recorded === undefined
      ? []
      : [`  recorded     ${recorded.time.toISOString()}, entry ${recorded.index} of the log ${recorded.log}`]),
    `  certificate  ${serialNumber}, valid from ${notBefore.toISOString()} to ${notAfter.toISOString()}`,
    `  issued by    ${issuer}`,
    '  revocation   not asked',
    ...(test ? ['  A TEST certificate of a Paraph demo: it proves nothing about anybody.'] : []),
  ].join('\n')
}
