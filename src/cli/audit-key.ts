import type { Command } from 'commander'
import { ConfigError, loadConfig } from '../config.js'
import { initializeToken } from '../hsm/ceremony.js'
import { openCheckpointKey } from '../hsm/checkpoint-key.js'
import { parseHsmUri } from '../hsm/open-hsm.js'
import { formatVkey, noteKey } from '../tlog/note.js'
import { type AdminOptions, adminCommand, callWorker } from './admin.js'
import { facts, print } from './output.js'

const HELP = `
Makes in the token that PARAPH_CHECKPOINT_HSM names what is missing, a key among it, and has a worker
write into the log that this key signs it from now on. Done once after \`paraph audit init\`, with
the workers running, and again with another token to change the key. Without it nothing is signed.

The token is one of its own, with its own PIN: whoever can have documents signed cannot sign the log.`

/** Adds `paraph audit key`. */
export function registerAuditKey(audit: Command): void {
  adminCommand(audit, 'key')
    .summary('name the key that signs the log')
    .description('Names the key that signs the log, and makes it where there is none.')
    .addHelpText('after', HELP)
    .action(key)
}

async function key(options: AdminOptions): Promise<void> {
  const uri = requireToken()
  if (parseHsmUri(uri).kind === 'pkcs11') await initializeToken(uri)
  const held = await openCheckpointKey(uri, { create: true })
  try {
    const { origin } = await callWorker(options, 'log.origin', {})
    const vkey = formatVkey(noteKey(origin, held.type, held.publicKey))
    await callWorker(options, 'log.key', { vkey })
    print(options, { origin, vkey }, [
      `The log is signed by this key from now on:`,
      ...facts({ Log: origin, 'Verifier key': vkey }),
      '',
      "Give the verifier key to your auditors: it is the line 'log …' of their policy.",
    ])
  } finally {
    held.close()
  }
}

function requireToken(): string {
  const { checkpointHsm } = loadConfig(process.env)
  if (checkpointHsm !== undefined) return checkpointHsm
  throw new ConfigError([
    'PARAPH_CHECKPOINT_HSM is missing: type PARAPH_CHECKPOINT_HSM="pkcs11:/path/to/module.so?token=paraph-log&pin-file=/path/to/log-pin". A demo names its key when it first starts',
  ])
}
