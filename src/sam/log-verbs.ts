import { signCheckpointKey } from '../audit/announce.js'
import { ServiceError } from '../errors.js'
import { formatVkey, type NoteKey, parseVkey } from '../tlog/note.js'
import type { AdminHandlers } from './admin-services.js'
import { checkpointKeyFields } from './tail-watch.js'

export const logVerbs: AdminHandlers<'log.origin' | 'log.key'> = {
  'log.origin': async ({ log }) => ({ origin: log.origin }),

  /** Names a key that signs checkpoints from now on. Older ones stay good for what they signed. */
  'log.key': async ({ transactions, binding, hsm, log }, actor, { vkey }) => {
    const key = requireKeyOf(log.origin, vkey)
    const signature = await signCheckpointKey(hsm, log.announceKey, log.origin, formatVkey(key))
    await transactions.transact(async (tx, record) => {
      await tx.query('insert into audit.checkpoint_key (vkey, binding) values ($1, $2)', [
        vkey,
        binding.mac('checkpoint_key', checkpointKeyFields(vkey)),
      ])
      record({
        type: 'audit.key',
        outcome: 'ok',
        actor,
        facts: { vkey, signature: Buffer.from(signature).toString('base64url') },
      })
    })
    return { origin: log.origin }
  },
}

/** @throws ServiceError `not_allowed` */
function requireKeyOf(origin: string, vkey: string): NoteKey {
  try {
    const key = parseVkey(vkey)
    if (key.name === origin && key.type !== 'cosignature') return key
  } catch (error) {
    if (!(error instanceof RangeError)) throw error
  }
  throw new ServiceError('not_allowed', { detail: `this is not a verifier key of the log ${origin}` })
}
