import { cpSync, existsSync, mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { initializeToken } from '../../src/hsm/ceremony.js'
import { openCheckpointKey } from '../../src/hsm/checkpoint-key.js'

/** Where Debian's package puts the module. */
export const SOFTHSM = '/usr/lib/softhsm/libsofthsm2.so'

export interface TempToken {
  /** The token of signers' keys. */
  readonly uri: string
  /** A second token beside it, with its own PIN, for the demo CA. */
  readonly uriCa: string
  /** A third, for the key that signs checkpoints. */
  readonly uriLog: string
  /** A fourth, for the time-stamp authority. */
  readonly uriTsa: string
  /** SoftHSM's configuration file; SOFTHSM2_CONF names it from now on, in this process and in its children. */
  readonly conf: string
  readonly folder: string
  /** The user PIN of the token of signers' keys. */
  readonly pinFile: string
  /** After every device on it is closed. */
  remove(): void
}

/**
 * A SoftHSM token of its own, ready for the service. No device may be open in this process: SoftHSM reads its
 * configuration only when the first one is opened.
 */
export async function tempToken(): Promise<TempToken> {
  const template = await templateToken()
  const folder = mkdtempSync(join(tmpdir(), 'paraph-token-'))
  cpSync(template, folder, { recursive: true })
  const conf = configure(folder)
  return { ...addresses(folder), conf, folder, remove: () => rmSync(folder, { recursive: true, force: true }) }
}

let template: Promise<string> | undefined

/**
 * The folder that is copied: made once a run, by whichever test process comes first. PARAPH_TEST_RUN names the run, and
 * its owner removes the folder; without it the run is this process.
 */
function templateToken(): Promise<string> {
  template ??= makeTemplate()
  return template
}

async function makeTemplate(): Promise<string> {
  const run = process.env.PARAPH_TEST_RUN
  const folder = join(tmpdir(), `paraph-token-template-${run ?? `pid-${process.pid}`}`)
  if (run === undefined) process.on('exit', () => rmSync(folder, { recursive: true, force: true }))
  else if (existsSync(folder)) return folder

  const making = mkdtempSync(join(tmpdir(), 'paraph-token-making-'))
  configure(making)
  const { uri, uriCa, uriLog, uriTsa } = addresses(making)
  await initializeToken(uri)
  await initializeToken(uriCa)
  await initializeToken(uriLog)
  await initializeToken(uriTsa)
  const key = await openCheckpointKey(uriLog, { create: true })
  key.close()
  try {
    renameSync(making, folder)
  } catch (error) {
    // Another process was faster; its template is as good.
    rmSync(making, { recursive: true, force: true })
    if (!existsSync(folder)) throw error
  }
  return folder
}

function addresses(folder: string): { uri: string; uriCa: string; uriLog: string; uriTsa: string; pinFile: string } {
  const pinFile = join(folder, 'pin')
  return {
    uri: `pkcs11:${SOFTHSM}?token=paraph&pin-file=${pinFile}`,
    uriCa: `pkcs11:${SOFTHSM}?token=paraph-ca&pin-file=${join(folder, 'pin-ca')}`,
    uriLog: `pkcs11:${SOFTHSM}?token=paraph-log&pin-file=${join(folder, 'pin-log')}`,
    uriTsa: `pkcs11:${SOFTHSM}?token=paraph-tsa&pin-file=${join(folder, 'pin-tsa')}`,
    pinFile,
  }
}

function configure(folder: string): string {
  const tokens = join(folder, 'tokens')
  mkdirSync(tokens, { recursive: true })
  const conf = join(folder, 'softhsm2.conf')
  writeFileSync(conf, `directories.tokendir = ${tokens}\nobjectstore.backend = file\nlog.level = ERROR\n`)
  process.env.SOFTHSM2_CONF = conf
  return conf
}
