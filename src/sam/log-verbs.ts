import { signCheckpointKey } from '../audit/announce.js'
import { eraseDue, keptOf } from '../audit/erase.js'
import { ServiceError } from '../errors.js'
import { formatVkey, type NoteKey, parseVkey } from '../tlog/note.js'
import type { AdminHandlers } from './admin-services.js'
import { requireSigner } from './signer-verbs.js'
import { checkpointKeyFields } from './tail-watch.js'

export const logVerbs: AdminHandlers<'log.origin' | 'log.key' | 'log.erase'> = {
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

  'log.erase': async ({ transactions }, actor, { signer: who, from = 0 }) =>
    transactions.transact(async (tx, record) => {
      const signer = who === undefined ? undefined : (await requireSigner(tx, who)).id
      const { rows } = await tx.query<{ size: number }>('select size from audit.head')
      const size = rows[0]?.size ?? 0
      const to = Math.min(size, from + ERASED_AT_ONCE)
      const range = { from, to, ...(signer === undefined ? {} : { signer }) }
      // By whom an entry's network opening is, its evidence tells.
      const network = await eraseDue(tx, record, actor, { kind: 'network', ...range })
      const evidence = await eraseDue(tx, record, actor, { kind: 'evidence', ...range })
      if (to < size) return { evidence, network, next: to }
      const kept = signer === undefined ? undefined : await keptOf(tx, signer)
      if (signer === undefined || kept === undefined) return { evidence, network }
      const facts = { count: kept.count, until: kept.until }
      record({ type: 'audit.erase', outcome: 'refused', actor, why: 'retention', facts, evidence: { signer } })
      return { evidence, network, kept }
    }),
}

/** Entries looked at in one transaction, others of which wait for it. */
const ERASED_AT_ONCE = 20_000

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
