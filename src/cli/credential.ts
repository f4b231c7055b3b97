import { readFileSync } from 'node:fs'
import { type Command, InvalidArgumentError, Option } from 'commander'
import type { AdminVerbs, CredentialSummary, PolicyArguments } from '../activation.js'
import { FACTOR_KINDS, type FactorKind } from '../factor-kind.js'
import { KEY_SPECS, type KeySpec } from '../hsm/hsm.js'
import { readSecretFile } from '../secret-file.js'
import { type AdminOptions, adminCommand, callWorker, given, parseId } from './admin.js'
import { day, facts, print, table } from './output.js'
import { keptIn } from './secret-out.js'

const HELP = `
Examples:
  paraph credential create --signer signer@example.test --key rsa-3072 --json
  paraph credential create --signer signer@example.test --key p-256 --pin-file F --out request.pem
  paraph credential import 0198… --chain chain.pem
  paraph credential list --signer signer@example.test

A demo certifies a new key at once. Elsewhere a new credential is pending: take its request to your
certificate authority, and bring back what it issued with paraph credential import.`

const ID = 'as the list shows it'

/** Adds `paraph credential`. */
export function registerCredential(program: Command): void {
  const credential = program
    .command('credential')
    .helpCommand(false)
    .summary('their keys and certificates')
    .description("Makes signers' keys in the device, and keeps their certificates.")
    .addHelpText('afterAll', HELP)

  policyOptions(adminCommand(credential, 'create'))
    .summary('make a key for a signer')
    .description('Makes a key in the device for a signer, and a certificate or a request for one.')
    .requiredOption('--signer <signer>', 'login or id')
    .addOption(new Option('--key <kind>', 'kind of key').choices(KEY_SPECS).makeOptionMandatory())
    .addOption(
      new Option(
        '--scal <level>',
        '2: each authorization names its hashes (default); 1: it may be for a number only',
      ).choices(['1', '2']),
    )
    .option('--multisign <count>', 'most signatures for one authorization (default: 100)', parseCount)
    .option('--pin-file <F>', 'also ask for the PIN in F, 4 to 12 digits; only you can read F (chmod 600)')
    .option('--description <text>', 'tells it from others of the same signer')
    .option('--out <FILE>', 'write the certificate request to the new FILE')
    .action(create)

  adminCommand(credential, 'list')
    .summary('list credentials')
    .description('Lists all credentials, or those of one signer.')
    .option('--signer <signer>', 'login or id')
    .action(list)

  adminCommand(credential, 'show')
    .summary('tell all about one')
    .description('Tells all about one credential; with --json also its certificates.')
    .argument('<credentialID>', ID, parseId)
    .action(show)

  policyOptions(adminCommand(credential, 'policy'))
    .summary('say what it accepts')
    .description(
      'Gives a credential another policy, whole: what is not named is at its default. Its authorizations end.',
    )
    .argument('<credentialID>', ID, parseId)
    .action(changePolicy)

  for (const [name, change] of Object.entries(CHANGES)) {
    adminCommand(credential, name)
      .summary(change.summary)
      .description(change.description)
      .argument('<credentialID>', ID, parseId)
      .action(async (credentialID: string, options: AdminOptions) => {
        print(options, await callWorker(options, change.verb, { credentialID }), [change.done])
      })
  }

  adminCommand(credential, 'import')
    .summary('bring the certificate from outside')
    .description('Gives a credential the certificate that was issued for its key, the first one or a newer one.')
    .argument('<credentialID>', ID, parseId)
    .requiredOption('--chain <FILE>', "certificates in PEM: the signer's first, then each one's issuer")
    .action(importChain)

  adminCommand(credential, 'renew')
    .summary('get a newer certificate on the same key')
    .description(
      'In a demo: issues a newer certificate on the same key. Elsewhere: hands out the request, to be taken to your certificate authority.',
    )
    .argument('<credentialID>', ID, parseId)
    .option('--out <FILE>', 'write the certificate request to the new FILE')
    .action(renew)
}

const CHANGES = {
  suspend: {
    verb: 'credential.suspend',
    summary: 'sign nothing with it for now',
    description: 'Signs nothing with it until `paraph credential resume`; its authorizations end.',
    done: 'The credential is suspended; its authorizations have ended.',
  },
  resume: {
    verb: 'credential.resume',
    summary: 'sign with it again',
    description: 'Signs with a suspended credential again.',
    done: 'The credential is active again.',
  },
  revoke: {
    verb: 'credential.revoke',
    summary: 'never sign with it again: its key is deleted',
    description:
      'Deletes the key, for good, and ends its authorizations. Have the certificate revoked by whoever issued it, too.',
    done: 'The credential is revoked and its key deleted. Have the certificate revoked by whoever issued it, too.',
  },
} as const

function policyOptions(command: Command): Command {
  return command
    .option('--factors <kinds>', `accept only codes of these, of ${FACTOR_KINDS.join(', ')} (default: any)`, parseKinds)
    .option('--client <id>', 'let only this client sign with it; may be repeated (default: any)', collect)
    .option('--session-wide', 'let one code cover a whole session where a client named below asks for it')
    .option('--session-ceiling <count>', 'most signatures for such a session (default: 1000)', parseCount)
    .option('--session-client <id>', 'let this client ask for it; may be repeated', collect)
}

interface PolicyOptions {
  readonly factors?: FactorKind[]
  readonly client?: string[]
  readonly sessionWide?: boolean
  readonly sessionCeiling?: number
  readonly sessionClient?: string[]
}

function policyFrom(options: PolicyOptions): PolicyArguments {
  const { factors, client: clients, sessionWide, sessionCeiling, sessionClient: sessionClients } = options
  return given({ factors, clients, sessionWide, sessionCeiling, sessionClients })
}

async function changePolicy(credentialID: string, options: AdminOptions & PolicyOptions): Promise<void> {
  const answer = await callWorker(options, 'credential.policy', { credentialID, ...policyFrom(options) })
  print(options, answer, [
    'The credential has another policy; its authorizations have ended.',
    ...facts(policyFacts(answer)),
  ])
}

function policyFacts(policy: PolicyArguments): Record<string, string | undefined> {
  const ceiling = policy.sessionCeiling ?? 1000
  const clients = ['our own pages', ...(policy.sessionClients ?? [])].join(', ')
  return {
    Factors: policy.factors?.join(', ') ?? 'any',
    Clients: policy.clients?.join(', ') ?? 'any',
    Session: policy.sessionWide ? `one code may cover ${ceiling} signatures, for ${clients}` : undefined,
  }
}

type CreateRequest = AdminVerbs['credential.create']['request']

interface CreateOptions extends AdminOptions, PolicyOptions, Pick<CreateRequest, 'scal' | 'multisign' | 'description'> {
  readonly signer: string
  readonly key: KeySpec
  readonly pinFile?: string
  readonly out?: string
}

async function create(options: CreateOptions): Promise<void> {
  const { signer, key, scal, multisign, description, out } = options
  const pin = options.pinFile === undefined ? undefined : readSecretFile(options.pinFile)
  const request = { signer, key, ...given({ scal, multisign, description, pin }), ...policyFrom(options) }
  const answer = await keptIn(
    out,
    0o644,
    () => callWorker(options, 'credential.create', request),
    (made) => made.request,
  )
  const { credentialID, state } = answer
  print(options, { credentialID, ...stateAndRequest(answer, out) }, [
    state === 'active'
      ? `${signer} can sign with a new key, ${key}.`
      : `${signer} has a new key, ${key}, without a certificate.`,
    ...facts({ 'Credential id': credentialID, State: state }),
    ...whereToNext(credentialID, answer, out),
  ])
}

async function renew(credentialID: string, options: AdminOptions & { out?: string }): Promise<void> {
  const answer = await keptIn(
    options.out,
    0o644,
    () => callWorker(options, 'credential.renew', { credentialID }),
    (made) => made.request,
  )
  print(options, stateAndRequest(answer, options.out), [
    ...(answer.request === undefined ? [`The credential has a newer certificate and is ${answer.state}.`] : []),
    ...whereToNext(credentialID, answer, options.out),
  ])
}

interface Certified {
  readonly state: CredentialSummary['state']
  readonly request?: string
}

function stateAndRequest({ state, request }: Certified, out: string | undefined) {
  if (request === undefined) return { state }
  return out === undefined ? { state, request } : { state, requestFile: out }
}

function whereToNext(credentialID: string, { request }: Certified, out: string | undefined): string[] {
  if (request === undefined) return []
  return [
    ...(out === undefined ? ['', request.trimEnd()] : [`The certificate request is in ${out}.`]),
    '',
    'Next: have your certificate authority issue a certificate for the request, and bring it back with',
    `  paraph credential import ${credentialID} --chain FILE`,
  ]
}

async function list(options: AdminOptions & { signer?: string }): Promise<void> {
  const answer = await callWorker(options, 'credential.list', given({ signer: options.signer }))
  const rows = answer.credentials.map(({ credentialID, signer, key, state, notAfter }) => ({
    credentialID,
    signer,
    key,
    state,
    expires: day(notAfter),
  }))
  const headings = { credentialID: 'CREDENTIAL ID', signer: 'SIGNER', key: 'KEY', state: 'STATE', expires: 'EXPIRES' }
  print(
    options,
    answer,
    rows.length === 0
      ? [options.signer === undefined ? 'There are no credentials yet.' : `${options.signer} has no credential yet.`]
      : table(rows, headings, ['signer']),
  )
}

async function show(credentialID: string, options: AdminOptions): Promise<void> {
  const answer = await callWorker(options, 'credential.show', { credentialID })
  print(
    options,
    answer,
    facts({
      'Credential id': answer.credentialID,
      Signer: answer.signer,
      State: answer.state,
      Key: answer.key,
      'At once': `${answer.multisign} ${answer.multisign === 1 ? 'signature' : 'signatures'} for one authorization`,
      Authorization:
        answer.scal === '2' ? 'names its hashes (SCAL 2)' : 'names its hashes, or only their number (SCAL 1)',
      ...policyFacts(answer),
      PIN: answer.pin ? 'asked for with each code' : 'none',
      Subject: answer.subject,
      'Serial number': answer.serialNumber,
      Expires: day(answer.notAfter) || undefined,
      Certificates: answer.certificates.length === 0 ? 'none' : `${answer.certificates.length}, as PEM with --json`,
    }),
  )
}

async function importChain(credentialID: string, options: AdminOptions & { chain: string }): Promise<void> {
  const chain = readFileSync(options.chain, 'utf8')
  const answer = await callWorker(options, 'credential.import', { credentialID, chain })
  print(options, answer, [`The certificate fits key and signer; the credential is ${answer.state}.`])
}

function parseKinds(text: string): FactorKind[] {
  const kinds = text.split(',').map((part) => part.trim())
  const known = FACTOR_KINDS.filter((kind) => kinds.includes(kind))
  if (known.length === 0 || kinds.some((kind) => !known.some((one) => one === kind))) {
    throw new InvalidArgumentError(`Write some of: ${FACTOR_KINDS.join(',')}.`)
  }
  return known
}

function collect(text: string, before: string[] = []): string[] {
  return [...before, text]
}

function parseCount(text: string): number {
  const count = Number(text)
  if (!/^[0-9]{1,7}$/.test(text) || count < 1 || count > 1_000_000) {
    throw new InvalidArgumentError('Write a whole number from 1 to 1000000.')
  }
  return count
}
