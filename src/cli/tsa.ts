import { mkdirSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { type Command, Option } from 'commander'
import { systemClock } from '../clock.js'
import { type Config, ConfigError, loadConfig } from '../config.js'
import { initializeToken } from '../hsm/ceremony.js'
import { type Hsm, HsmError, KEY_SPECS, type KeySpec, type ServiceKey } from '../hsm/hsm.js'
import { openHsm } from '../hsm/open-hsm.js'
import { checkTimeStampChain, parseCertificate, parseChain } from '../pki/certificate.js'
import { buildRequest } from '../pki/certificate-request.js'
import { toPem } from '../pki/pem.js'
import { signerOf } from '../pki/service-signer.js'
import { TIME_STAMP_KEY } from '../sam/time-stamps.js'
import { facts, type OutputOptions, print } from './output.js'

const HELP = `
The service's own time-stamp authority (RFC 3161), for CSC signatures/timestamp. Settings:

  PARAPH_TSA_HSM     a token of its own, with its own PIN:
                     pkcs11:/path/to/module.so?token=paraph-tsa&pin-file=/path/to/tsa-pin
  PARAPH_TSA_CHAIN   where its certificates are to be, a PEM file
  PARAPH_TSA_POLICY  OID of the policy under which it stamps

Example:
  paraph tsa key --name "Example time-stamp authority" > tsa.csr
  paraph tsa import --chain chain-from-your-ca.pem

Then start the workers anew. A demo has an authority of its own.`

/** Adds `paraph tsa`. */
export function registerTsa(program: Command): void {
  const tsa = program
    .command('tsa')
    .helpCommand(false)
    .summary('make the time-stamp authority ready')
    .description("Makes the service's own time-stamp authority ready.")
    .addHelpText('afterAll', HELP)
  tsa
    .command('key')
    .summary('make its key, and ask for its certificate')
    .description('Makes the token and the key where there is none, and writes a certificate request (PKCS#10, PEM).')
    .requiredOption('--name <CN>', 'common name that the certificate shall have')
    .option('--organization <O>', 'organization in it')
    .option('--country <CC>', 'country in it, two capital letters')
    .addOption(new Option('--key <kind>', 'kind of a new key').choices(KEY_SPECS).default('p-256'))
    .option('--json', 'tell the result as one line of JSON')
    .action(key)
  tsa
    .command('import')
    .summary('take over its certificates')
    .description('Checks the certificates against the key, and puts them where PARAPH_TSA_CHAIN says.')
    .requiredOption('--chain <FILE>', "certificates in PEM: the authority's first, then each one's issuer")
    .option('--json', 'tell the result as one line of JSON')
    .action(importChain)
}

interface KeyOptions extends OutputOptions {
  readonly name: string
  readonly organization?: string
  readonly country?: string
  readonly key: KeySpec
}

async function key(options: KeyOptions): Promise<void> {
  const { name: commonName, organization, country } = options
  const { hsmUri } = requireSettings(loadConfig(process.env))
  await initializeToken(hsmUri)
  await withDevice(hsmUri, async (hsm) => {
    const held = await foundOrMade(hsm, options.key)
    const subject = {
      commonName,
      ...(organization === undefined ? {} : { organization }),
      ...(country === undefined ? {} : { country }),
    }
    const request = toPem(
      'CERTIFICATE REQUEST',
      await buildRequest({ subject, publicKey: held.publicKey }, signerOf(hsm, held)),
    )
    print(options, { key: held.spec, request }, [request.trimEnd()])
  })
}

async function importChain(options: OutputOptions & { readonly chain: string }): Promise<void> {
  const { hsmUri, chainFile } = requireSettings(loadConfig(process.env))
  const text = readFileSync(options.chain, 'utf8')
  const chain = parseChain(text)
  await withDevice(hsmUri, async (hsm) => {
    const { publicKey } = await hsm.serviceKey(TIME_STAMP_KEY)
    checkTimeStampChain(chain, { publicKey, now: new Date(systemClock.now()) })
  })
  mkdirSync(dirname(chainFile), { recursive: true })
  writeFileSync(`${chainFile}.new`, chain.map((der) => toPem('CERTIFICATE', der)).join(''))
  renameSync(`${chainFile}.new`, chainFile)
  const { subjectDn, notAfter } = parseCertificate(chain[0] as Uint8Array)
  const result = { subject: subjectDn, notAfter: notAfter.toISOString(), chain: chainFile }
  print(options, result, [
    'The certificates fit the key. Start the workers anew to use them.',
    ...facts({ Subject: subjectDn, Expires: result.notAfter.slice(0, 10), Certificates: chainFile }),
  ])
}

async function withDevice(uri: string, work: (hsm: Hsm) => Promise<void>): Promise<void> {
  const hsm = await openHsm(uri)
  try {
    await work(hsm)
  } finally {
    await hsm.close()
  }
}

async function foundOrMade(hsm: Hsm, spec: KeySpec): Promise<ServiceKey> {
  try {
    return await hsm.serviceKey(TIME_STAMP_KEY)
  } catch (error) {
    if (error instanceof HsmError && error.code === 'not_found') return hsm.createServiceKey(TIME_STAMP_KEY, spec)
    throw error
  }
}

function requireSettings({ timeStamps }: Config): NonNullable<Config['timeStamps']> {
  if (timeStamps !== undefined) return timeStamps
  throw new ConfigError([
    'PARAPH_TSA_HSM, PARAPH_TSA_CHAIN and PARAPH_TSA_POLICY are missing: see `paraph tsa --help`. A demo has a time-stamp authority of its own',
  ])
}
