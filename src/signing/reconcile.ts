import type { TransactionLog } from '../audit/transaction-log.js'
import type { OperationId } from '../ids.js'

const MOST = 100
/** How long a credential may wait for its key before its making counts as abandoned, in minutes. */
const CREATION_MINUTES = 5

/**
 * Closes what a crash left open: signings past their deadline without an outcome get `sign.abandoned` (the device may have
 * signed, nothing was released), and credentials whose key was never made get `credential.abandoned`. Safe to run in
 * several workers at once: each intention is closed by one.
 * @returns how many were closed
 */
export async function reconcile(transactions: TransactionLog): Promise<number> {
  let closed = 0
  for (;;) {
    const n = await transactions.transact(async (tx, record) => {
      const { rows } = await tx.query<{ op: OperationId; credential_id: string }>(
        'select op, credential_id from paraph.abandon($1)',
        [MOST],
      )
      for (const { op, credential_id } of rows) {
        record({
          type: 'sign.abandoned',
          op,
          outcome: 'indeterminate',
          actor: { kind: 'system' },
          evidence: { credential: credential_id },
        })
      }
      return rows.length
    })
    closed += n
    if (n < MOST) break
  }
  return (
    closed +
    (await transactions.transact(async (tx, record) => {
      const { rows } = await tx.query<{ id: string; signer_id: string }>(
        `delete from paraph.credential where state = 'pending' and public_key = '' and created_at < paraph.now() - make_interval(mins => $1)
         returning id, signer_id`,
        [CREATION_MINUTES],
      )
      for (const { id, signer_id } of rows) {
        record({
          type: 'credential.abandoned',
          outcome: 'failed',
          actor: { kind: 'system' },
          evidence: { signer: signer_id, credential: id },
        })
      }
      return rows.length
    }))
  )
}
