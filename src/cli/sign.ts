import { resolve } from 'node:path'
import { type Command, CommanderError } from 'commander'
import { ConfigError, loadConfig } from '../config.js'
import { DIGEST_OID, signatureOid } from '../pki/algorithm.js'
import type { TrustPolicy } from '../tlog/policy.js'
import type { Choice } from './client/choose-credential.js'
import { CscClient } from './client/csc-client.js'
import { CscError } from './client/csc-error.js'
import { readDemoProfile } from './client/demo-profile.js'
import { readDigests } from './client/digest-file.js'
import { reasonOf } from './client/reason.js'
import { demoPolicy, readPolicy } from './client/receipt.js'
import { type FileResult, type SigningTools, signDigests, signFiles } from './client/sign-files.js'
import { demoAccount, personalAccount, type SecretSources, type SignerAccount } from './client/signer-account.js'
import { SigningSession } from './client/signing-session.js'
import { NotInteractiveError, processTerminal, type Terminal } from './client/terminal.js'
import { describeFailure } from './failure.js'

interface SignOptions extends SecretSources {
  readonly hashFile?: string
  readonly url?: string
  readonly login?: string
  readonly credential?: string
  readonly policy?: string
  readonly demo?: true
  readonly force?: true
  readonly json?: true
}

const HELP = `
Writes FILE.p7s beside each FILE: a detached signature (CMS, CAdES-B) that openssl cms -verify and others accept. The
files stay here, only digests travel. One one-time code covers as many files as the credential allows at once. Each
signature is verified before it appears under its name.

A service that keeps a log like ours gives a receipt, FILE.tlog-proof: it proves for good that the log
has the signing. It is verified with the keys in the policy (C2SP tlog-policy, a line \`log KEY\`); a signature
counts without one, too.

With --hash-file the digests in F, one a line in hexadecimal or base64, are signed, and the bare signatures are printed
in base64, in the same order.

Password, code and PIN are asked for, or read from files that only you can read (chmod 600). They are never taken from
the command line.

Examples:
  paraph sign --demo report.pdf
  paraph sign --url https://sign.example.test --login anna@example.test *.pdf
  paraph sign --demo --hash-file digests.txt

Exit status: 0 everything is signed and verified, 1 refused or failed, 2 wrong usage.`

/** Adds `paraph sign`, a client of the API and of nothing else. */
export function registerSign(program: Command, terminal: Terminal = processTerminal): void {
  program
    .command('sign')
    .summary('sign files through the API')
    .description('Signs files, or digests, at a signing service.')
    .argument('[FILE...]', 'files to sign')
    .option('--hash-file <F>', 'sign the digests in F instead of files')
    .option('--url <URL>', 'address of the service (default: http://127.0.0.1:8080, or where the settings put it)')
    .option('--login <NAME>', 'the signer')
    .option('--credential <ID>', 'which of the signer’s credentials, where there are several')
    .option('--password-file <F>', 'read the password from F')
    .option('--code-file <F>', 'read the one-time code from F')
    .option('--pin-file <F>', 'read the PIN from F')
    .option('--policy <F>', 'whom to trust about the log, for receipts; --demo brings its own')
    .option('--demo', 'sign as the signer of the demo that was started in this folder')
    .option('--force', 'replace signatures that are there already')
    .option('--json', 'print the result as JSON')
    .addHelpText('after', HELP)
    .action((files: string[], options: SignOptions, command: Command) => sign(files, options, command, terminal))
}

async function sign(files: string[], options: SignOptions, command: Command, terminal: Terminal): Promise<void> {
  requireSense(files, options, command)
  const report = new Report(options.json === true, terminal)
  let session: SigningSession | undefined
  try {
    const account = accountOf(options, terminal)
    session = new SigningSession(clientOf(options, command, terminal), account)
    const many = files.length > 1 || options.hashFile !== undefined
    const tools: SigningTools = {
      session,
      account,
      credentialId: options.credential,
      anyCredential: options.demo === true,
      clock: terminal,
      policy: policyOf(options, terminal),
      progress: many && !options.json ? (text) => terminal.progress(text) : () => undefined,
      chosen: (choice) => report.chosen(choice),
    }
    if (options.hashFile === undefined) {
      const once = [...new Map(files.map((file) => [resolve(file), file])).values()]
      await signFiles(once, options.force === true, tools, (result) => report.file(result))
    } else {
      await signDigests(await readDigests(options.hashFile), tools, (signature) => report.signature(signature))
    }
  } catch (error) {
    if (error instanceof NotInteractiveError) {
      command.error(`error: ${error.message}: name --password-file, --code-file and, for a PIN, --pin-file`, USAGE)
    }
    if (error instanceof CommanderError || error instanceof ConfigError) throw error
    report.failed(error)
  } finally {
    await session?.close()
  }
  report.end()
}

const USAGE = { exitCode: 2 } as const

function requireSense(files: string[], options: SignOptions, command: Command): void {
  if ((files.length === 0) === (options.hashFile === undefined)) {
    command.error('error: name files to sign, or --hash-file', USAGE)
  }
  if ((options.demo === undefined) === (options.login === undefined)) {
    command.error('error: name the signer with --login, or sign with --demo', USAGE)
  }
  if (options.demo && (options.passwordFile ?? options.codeFile) !== undefined) {
    command.error('error: --demo brings its own password and code', USAGE)
  }
}

function policyOf({ policy, demo }: SignOptions, terminal: Terminal): TrustPolicy | undefined {
  if (policy !== undefined) return readPolicy(policy)
  return demo ? demoPolicy(loadConfig(terminal.env).keys) : undefined
}

function accountOf(options: SignOptions, terminal: Terminal): SignerAccount {
  if (options.login !== undefined) return personalAccount(options.login, options, terminal)
  return demoAccount(readDemoProfile(loadConfig(terminal.env).keys), options, terminal)
}

function clientOf(options: SignOptions, command: Command, terminal: Terminal): CscClient {
  try {
    return new CscClient(options.url ?? loadConfig(terminal.env).publicUrl)
  } catch (error) {
    if (error instanceof RangeError) command.error(`error: ${error.message}`, USAGE)
    throw error
  }
}

function receiptInWords(result: Extract<FileResult, { signature: string }>): string | undefined {
  if (result.receipt === undefined) return result.noReceipt && `no receipt: ${result.noReceipt}`
  const unverified = result.verified ? '' : '; not verified: name whom to trust with --policy'
  return `receipt of the log, ${result.receipt}${unverified}`
}

/** Tells what happened: line by line as it happens, or as one JSON object at the end. */
class Report {
  readonly #terminal: Terminal
  readonly #json: Record<string, unknown> | undefined
  readonly #files: FileResult[] = []
  readonly #signatures: string[] = []
  #choice: Choice | undefined
  #failed = false

  constructor(json: boolean, terminal: Terminal) {
    this.#terminal = terminal
    this.#json = json ? {} : undefined
  }

  chosen(choice: Choice): void {
    this.#choice = choice
  }

  file(result: FileResult): void {
    this.#files.push(result)
    if ('error' in result) this.#failed = true
    if (this.#json !== undefined) return
    if ('error' in result) this.#terminal.note(`${result.file}: NOT signed: ${result.error}`)
    else {
      this.#terminal.out(`${result.file}: signed and verified, ${result.signature}`)
      const what = receiptInWords(result)
      if (what !== undefined) this.#terminal.note(`${result.file}: ${what}`)
    }
  }

  signature(signature: Uint8Array): void {
    const text = Buffer.from(signature).toString('base64')
    if (this.#json === undefined) this.#terminal.out(text)
    else this.#signatures.push(text)
  }

  failed(error: unknown): void {
    this.#failed = true
    const message = reasonOf(error)
    const facts = error instanceof CscError ? error : undefined
    if (this.#json !== undefined) {
      const { code } = describeFailure(error)
      const { status, requestId, retryable = false, retryAfter } = facts ?? {}
      this.#json.error = { code, message, status, requestId, retryable, retryAfter }
      return
    }
    const request = facts?.requestId === undefined ? '' : ` (request ${facts.requestId})`
    const again = facts?.retryable ? `; try again${facts.retryAfter ? ` in ${facts.retryAfter} s` : ''}` : ''
    this.#terminal.note(`paraph: ${message}${request}${again}`)
  }

  end(): void {
    if (this.#json !== undefined) {
      const { credential, mechanism } = this.#choice ?? {}
      const algorithms = mechanism && {
        signAlgo: signatureOid(mechanism),
        hashAlgorithmOID: DIGEST_OID[mechanism.hash],
      }
      const results = this.#signatures.length > 0 ? { signatures: this.#signatures } : { files: this.#files }
      const all = { credentialID: credential?.credentialId, ...algorithms, ...results, ...this.#json }
      this.#terminal.out(JSON.stringify(all))
    }
    this.#terminal.setStatus(this.#failed ? 1 : 0)
  }
}
