import type { Tx } from '../audit/transaction-log.js'
import { type RowBinding, TamperedRow } from '../binding.js'
import type { CredentialId } from '../ids.js'
import { CREDENTIAL_COLUMNS, type Credential, credentialFields } from './credential.js'

/** Reads one credential and checks its binding. @throws TamperedRow */
export async function readCredential(
  tx: Pick<Tx, 'query'>,
  binding: RowBinding,
  id: CredentialId,
  lock = false,
): Promise<Credential | undefined> {
  const { rows } = await tx.query(
    `select ${CREDENTIAL_COLUMNS} from paraph.credential where id = $1${lock ? ' for update' : ''}`,
    [id],
  )
  const credential = rows[0] as Credential | undefined
  if (credential !== undefined && !binding.fits('credential', credentialFields(credential), credential.binding)) {
    throw new TamperedRow('credential')
  }
  return credential
}

/** Writes what changed, with a new version and binding; the caller holds the row's lock. */
export async function writeCredential(
  tx: Tx,
  binding: RowBinding,
  before: Credential,
  changes: Partial<Credential>,
): Promise<Credential> {
  const after = { ...before, ...changes, version: before.version + 1 }
  const sealed = { ...after, binding: binding.mac('credential', credentialFields(after)) }
  await tx.query(
    `update paraph.credential set state = $2, public_key = $3, blob = $4, request = $5, chain = $6, subject_dn = $7, issuer_dn = $8,
            serial_number = $9, not_before = $10, not_after = $11, version = $12, binding = $13, session_wide = $14, policy = $15 where id = $1`,
    [
      sealed.id,
      sealed.state,
      sealed.public_key,
      sealed.blob,
      sealed.request,
      sealed.chain,
      sealed.subject_dn,
      sealed.issuer_dn,
      sealed.serial_number,
      sealed.not_before,
      sealed.not_after,
      sealed.version,
      sealed.binding,
      sealed.session_wide,
      sealed.policy,
    ],
  )
  return sealed
}

/** What was agreed to for this credential is agreed to no longer. */
export async function endAuthorizations(tx: Tx, id: CredentialId): Promise<void> {
  await tx.query(
    'update paraph.authorization set revoked_at = paraph.now() where credential_id = $1 and revoked_at is null',
    [id],
  )
}

/** Verified credentials by id and version, the most recently used kept; so that a signature reads key and certificate once. */
export class CredentialCache {
  readonly #entries = new Map<string, Credential>()
  readonly #limit: number

  constructor(limit = 10_000) {
    this.#limit = limit
  }

  get(id: CredentialId, version: number): Credential | undefined {
    const credential = this.#entries.get(id)
    if (credential === undefined || credential.version !== version) return undefined
    this.#entries.delete(id)
    this.#entries.set(id, credential)
    return credential
  }

  set(credential: Credential): void {
    this.#entries.delete(credential.id)
    this.#entries.set(credential.id, credential)
    if (this.#entries.size > this.#limit) {
      const oldest = this.#entries.keys().next().value
      if (oldest !== undefined) this.#entries.delete(oldest)
    }
  }
}
