import { mkdirSync } from 'node:fs'
import { dirname } from 'node:path'
import type { Command } from 'commander'
import { ANNOUNCE_KEY } from '../audit/announce.js'
import { loadConfig } from '../config.js'
import { initializeToken, type TokenSummary } from '../hsm/ceremony.js'
import { HsmError } from '../hsm/hsm.js'
import { openHsm, parseHsmUri } from '../hsm/open-hsm.js'
import { requireDevice, warningAbout } from './device-setting.js'
import { facts, type OutputOptions, print, wrapped } from './output.js'

const HELP = `
Makes in the device that PARAPH_HSM names what is missing: the token and its PIN, the key under which
signers' keys are wrapped (KEK), the sealing key, and the key that vouches for the writers of the
log. Then it attacks the KEK as a thief of PIN and database would. What is there already stays, so
run it again at any time to check.

A PIN file that does not exist is made, with a PIN made up here. A demo does all this when it first
starts, and a memory device needs none of it.

Example:
  export PARAPH_HSM="pkcs11:/path/to/module.so?token=paraph&pin-file=/path/to/pin"
  paraph hsm init`

interface InitOptions extends OutputOptions {
  readonly soPinFile?: string
}

/** Adds `paraph hsm`. */
export function registerHsm(program: Command): void {
  const hsm = program
    .command('hsm')
    .helpCommand(false)
    .summary('make the device that holds the keys ready')
    .description('Makes the device ready.')
  hsm
    .command('init')
    .summary('make the device ready, once')
    .description('Makes the device ready for the service, once; also checks it.')
    .option('--so-pin-file <F>', "the security officer's PIN, for a new token (default: the PIN file's name with -so)")
    .option('--json', 'tell the result as one line of JSON')
    .addHelpText('after', HELP)
    .action(init)
}

async function init(options: InitOptions): Promise<void> {
  const uri = requireDevice(loadConfig(process.env))
  const { soPinFile } = options
  const folder = makePinFolder(uri)
  const token = await initializeToken(uri, soPinFile === undefined ? {} : { soPinFile })
  const usable = token.kekTemplateEnforced || allowsLooseKek(uri)
  const made = [...folder, ...token.made, ...(usable ? await makeAnnounceKey(uri) : [])]
  const warning = warningAbout(uri)
  const result = { ...token, made, usable, ...(warning === undefined ? {} : { warning }) }
  print(options, result, [
    made.length === 0 ? 'Everything was there already.' : 'The device is ready. Made:',
    ...made.map((thing) => `  ${thing}`),
    '',
    ...facts({
      Module: token.module,
      Token: `${token.token}, serial ${token.serial}`,
      KEK: `epoch ${token.kekEpoch}, ${enforced(token)}`,
      'Sealing key': `epoch ${token.sealEpoch}`,
    }),
    ...(warning === undefined ? [] : ['', ...wrapped(warning, '')]),
    ...(usable ? [] : ['', ...wrapped(REFUSED, '')]),
    ...(made.some((thing) => thing.includes('security officer')) ? ['', ...wrapped(SO_PIN, '')] : []),
  ])
  if (!usable) process.exitCode = 1
}

const REFUSED =
  'The service refuses this device, because whoever has its PIN and the database can read all keys. To take that risk, add &loose-kek=accepted to PARAPH_HSM.'

const SO_PIN =
  "The service never needs the security officer's PIN: take that file to a safe place, away from this computer."

function enforced({ kekTemplateEnforced, kekWeaknesses }: TokenSummary): string {
  return kekTemplateEnforced
    ? 'gives keys back unreadable only (an attack was tried, and failed)'
    : `LETS KEYS BE READ: ${kekWeaknesses.join(', ')}`
}

/** @returns what was made, in words */
function makePinFolder(uri: string): string[] {
  const location = parseHsmUri(uri)
  if (location.kind !== 'pkcs11') return []
  const folder = dirname(location.pinFile)
  return mkdirSync(folder, { recursive: true, mode: 0o700 }) === undefined ? [] : [`folder ${folder}`]
}

function allowsLooseKek(uri: string): boolean {
  const location = parseHsmUri(uri)
  return location.kind === 'pkcs11' && location.allowLooseKek
}

/** @returns what was made, in words */
async function makeAnnounceKey(uri: string): Promise<string[]> {
  const hsm = await openHsm(uri)
  try {
    await hsm.createServiceKey(ANNOUNCE_KEY, 'p-256')
    return [`service key ${ANNOUNCE_KEY}`]
  } catch (error) {
    if (error instanceof HsmError && error.code === 'exists') return []
    throw error
  } finally {
    await hsm.close()
  }
}
