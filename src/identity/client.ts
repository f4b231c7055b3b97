import type { Tx } from '../audit/transaction-log.js'
import { type RowBinding, TamperedRow } from '../binding.js'
import { ServiceError } from '../errors.js'
import type { ClientId } from '../ids.js'

/** How a client proves who it is at the OAuth 2 endpoints. */
export type ClientAuthMethod = 'client_secret' | 'private_key_jwt' | 'tls' | 'none'

/** An application that calls for signers, as the database keeps it. */
export interface Client {
  readonly id: ClientId
  /** Shown to the signer who is asked to agree. */
  readonly name: string
  readonly secret_hash: Uint8Array | null
  readonly redirect_uris: readonly string[]
  readonly state: 'active' | 'disabled'
  readonly auth_method: ClientAuthMethod
  /** JSON Web Key Set, JSON. */
  readonly jwks: string | null
  /** What it may ask for: scopes of tokens. */
  readonly scopes: readonly string[]
  /** Grows with each change of the row. */
  readonly version: number
  /** Null for a client of before 0003, which had no use for the OAuth 2 endpoints. */
  readonly binding: Uint8Array | null
}

const COLUMNS = 'id, name, secret_hash, redirect_uris, state, auth_method, jwks, scopes, version, binding'

/** Fields under the row binding: all of them, since together they decide where an agreement of a signer goes. */
function clientFields(c: Omit<Client, 'binding'>) {
  const list = (values: readonly string[]) => values.map((value) => Buffer.from(value))
  return [c.id, c.name, c.secret_hash, list(c.redirect_uris), c.state, c.auth_method, c.jwks, list(c.scopes), c.version]
}

/** A new client, bound. */
export async function insertClient(tx: Tx, binding: RowBinding, client: Omit<Client, 'binding'>): Promise<void> {
  await tx.query(
    `insert into paraph.client (id, name, secret_hash, redirect_uris, state, auth_method, jwks, scopes, version, binding)
     values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`,
    [
      client.id,
      client.name,
      client.secret_hash,
      client.redirect_uris,
      client.state,
      client.auth_method,
      client.jwks,
      client.scopes,
      client.version,
      binding.mac('client', clientFields(client)),
    ],
  )
}

/**
 * Changes a client, with a new version and binding. A row of before 0003 has no binding yet and gets one.
 * @throws ServiceError `not_found`; TamperedRow
 */
export async function changeClient(
  tx: Tx,
  binding: RowBinding,
  id: string,
  change: (before: Client) => Partial<Omit<Client, 'id' | 'version' | 'binding'>>,
): Promise<void> {
  const before = await readRow(tx, id, true)
  if (before === undefined) throw new ServiceError('not_found', { detail: 'no such client' })
  if (before.binding !== null) requireFit(binding, before)
  const { binding: _, ...rest } = before
  const after = { ...rest, ...change(before), version: before.version + 1 }
  await tx.query(
    `update paraph.client set name = $2, secret_hash = $3, redirect_uris = $4, state = $5, auth_method = $6, jwks = $7, scopes = $8,
            version = $9, binding = $10 where id = $1`,
    [
      after.id,
      after.name,
      after.secret_hash,
      after.redirect_uris,
      after.state,
      after.auth_method,
      after.jwks,
      after.scopes,
      after.version,
      binding.mac('client', clientFields(after)),
    ],
  )
}

/**
 * The active client of this id, as a SAM worker wrote it.
 * @throws ServiceError `client_unknown` also for a disabled one; TamperedRow, also for one without a binding
 */
export async function requireClient(tx: Tx, binding: RowBinding, id: string): Promise<Client> {
  const client = await readRow(tx, id, false)
  if (client === undefined) throw new ServiceError('client_unknown')
  requireFit(binding, client)
  if (client.state !== 'active') throw new ServiceError('client_unknown')
  return client
}

async function readRow(tx: Tx, id: string, lock: boolean): Promise<Client | undefined> {
  const { rows } = await tx.query(`select ${COLUMNS} from paraph.client where id = $1${lock ? ' for update' : ''}`, [
    id,
  ])
  return rows[0] as Client | undefined
}

function requireFit(binding: RowBinding, client: Client): void {
  if (client.binding === null || !binding.fits('client', clientFields(client), client.binding)) {
    throw new TamperedRow('client')
  }
}
