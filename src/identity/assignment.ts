import type { Tx } from '../audit/transaction-log.js'
import { type RowBinding, TamperedRow } from '../binding.js'
import type { ClientId, SignerId } from '../ids.js'

const fields = (client: ClientId, signer: SignerId) => [client, signer]

/** Lets a client reach a signer's credentials with a token of its own. @returns false where it could already */
export async function assignSigner(tx: Tx, binding: RowBinding, client: ClientId, signer: SignerId): Promise<boolean> {
  const { rowCount } = await tx.query(
    'insert into paraph.client_signer (client_id, signer_id, binding) values ($1, $2, $3) on conflict do nothing',
    [client, signer, binding.mac('client_signer', fields(client, signer))],
  )
  return rowCount === 1
}

/** @returns false where it was not assigned */
export async function unassignSigner(tx: Tx, client: ClientId, signer: SignerId): Promise<boolean> {
  const { rowCount } = await tx.query('delete from paraph.client_signer where client_id = $1 and signer_id = $2', [
    client,
    signer,
  ])
  return rowCount === 1
}

/** Whether a client may reach this signer with a token of its own. @throws TamperedRow */
export async function isAssigned(
  db: Pick<Tx, 'query'>,
  binding: RowBinding,
  client: ClientId,
  signer: SignerId,
): Promise<boolean> {
  const { rows } = await db.query<{ binding: Uint8Array }>(
    'select binding from paraph.client_signer where client_id = $1 and signer_id = $2',
    [client, signer],
  )
  const [row] = rows
  if (row !== undefined && !binding.fits('client_signer', fields(client, signer), row.binding)) {
    throw new TamperedRow('client_signer')
  }
  return row !== undefined
}
