import { ServiceError } from '../../errors.js'
import { formatProof } from '../../tlog/proof-file.js'
import { leafHash } from '../../tlog/tree.js'
import { Answer, audited, closed } from '../contract.js'
import type { FrontServices } from '../services.js'
import type { AuditOpening } from '../wire.js'
import { readEntry } from './log-reads.js'
import { waitAsPreferred } from './prefer.js'
import { StoredProofs } from './stored-proofs.js'

/** Seconds after which a checkpoint is likely to cover what it does not cover yet. */
const SOON = { 'retry-after': '1' }

/** The receipt of an entry; undefined while no checkpoint covers it. @throws ServiceError `unavailable` */
export async function formatReceipt(
  proofs: StoredProofs,
  index: number,
  leaf: Buffer,
  openings: readonly AuditOpening[],
): Promise<string | undefined> {
  const proof = await proofs.of(index, leafHash(leaf))
  const extra = Buffer.from(JSON.stringify({ leaf: leaf.toString('base64'), openings }))
  return proof && formatProof({ extra, index, ...proof })
}

/**
 * Receipts (docs/audit-format.md §8). An entry of a signing and what opens it come from a worker, who looks whose they are, and
 * every entry from the database for an auditor; the proof is made here, from hashes alone.
 */
export function receiptDoors({ sam, db, auditors, checkpoints }: FrontServices) {
  const proofs = new StoredProofs(db)

  /** The receipt, or when to ask again. */
  async function answer(
    index: number,
    leaf: Buffer,
    openings: readonly AuditOpening[],
    headers: Readonly<Record<string, string>> = {},
  ): Promise<Answer<string | undefined>> {
    const receipt = await formatReceipt(proofs, index, leaf, openings)
    return receipt === undefined ? new Answer(202, undefined, SOON) : new Answer(200, receipt, headers)
  }

  return {
    auditReceipt: closed<'auditReceipt'>(async ({ origin, bearer, parameters, headers }) => {
      const { op: operation, phase = 'outcome' } = parameters
      // What a worker refuses here it has not written to the log: it is counted like what a front refuses by itself.
      const ask = () => sam.call('receipt', { origin, bearer, operation, phase })
      let parts = await ask()
      let waited = {}
      if (parts.pending === true && parts.index !== undefined) {
        waited = await waitAsPreferred(checkpoints, headers.Prefer, parts.index)
        if ('preference-applied' in waited) parts = await ask()
      }
      if (parts.pending === true) return new Answer(202, undefined, SOON)
      const openings = parts.openings.map(({ class: kind, seed, fields }) => ({
        class: kind,
        seed,
        fields: JSON.parse(fields) as string[][],
      }))
      return answer(parts.index, Buffer.from(parts.leaf, 'base64'), openings, waited)
    }),
    auditEntryReceipt: audited<'auditEntryReceipt'>('read', 'receipt', async ({ parameters: { index }, look }) => {
      const entry = await readEntry(auditors, look, index)
      if (entry === undefined) throw new ServiceError('not_found')
      return answer(index, entry.leaf, entry.openings)
    }),
  }
}
