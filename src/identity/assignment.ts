import type { Tx } from '../audit/transaction-log.js'
import { type RowBinding, TamperedRow } from '../binding.js'
import { ServiceError } from '../errors.js'
import type { ClientId, SignerId } from '../ids.js'
import { type Bearer, type Caller, isCaller } from './caller.js'

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

/**
 * Whoever holds the token, acting for the owner of a credential: the signer's own token, or that of a client to which he
 * is assigned.
 * @param owner of the credential asked for; absent where there is no such credential
 * @throws ServiceError `credential_unknown`; TamperedRow
 */
export async function actingFor(
  db: Pick<Tx, 'query'>,
  binding: RowBinding,
  bearer: Bearer,
  owner: SignerId | undefined,
): Promise<Caller> {
  if (isCaller(bearer)) return bearer
  if (owner === undefined || !(await isAssigned(db, binding, bearer.clientId, owner))) {
    throw new ServiceError('credential_unknown')
  }
  return { ...bearer, signerId: owner }
}

/** Whether a client may reach this signer with a token of its own. @throws TamperedRow */
async function isAssigned(
  db: Pick<Tx, 'query'>,
  binding: RowBinding,
  client: ClientId,
  signer: SignerId,
): Promise<boolean> {
  const { rows } = await db.query<{ binding: Uint8Array }>(
    `select a.binding from paraph.client_signer a join paraph.signer g on g.id = a.signer_id and g.state = 'active'
      where a.client_id = $1 and a.signer_id = $2`,
    [client, signer],
  )
  const [row] = rows
  if (row !== undefined && !binding.fits('client_signer', fields(client, signer), row.binding)) {
    throw new TamperedRow('client_signer')
  }
  return row !== undefined
}
