import type { Origin } from '../activation.js'
import type { Actor } from '../audit/event.js'
import type { Record as AuditRecord, Tx } from '../audit/transaction-log.js'
import type { RowBinding } from '../binding.js'
import { ServiceError } from '../errors.js'
import type { CredentialId } from '../ids.js'
import type { BindServices } from './bind-certificate.js'
import type { Credential, CredentialState } from './credential.js'
import { endAuthorizations, readCredential, writeCredential } from './credential-store.js'

const CHANGES = {
  suspend: { from: ['active'], to: 'suspended', event: 'credential.suspended' },
  resume: { from: ['suspended'], to: 'active', event: 'credential.resumed' },
  revoke: { from: ['pending', 'active', 'suspended'], to: 'revoked', event: 'credential.revoked' },
} as const satisfies Record<string, { from: readonly CredentialState[]; to: CredentialState; event: string }>

/**
 * Suspends, resumes or revokes a credential; its live authorizations die with either of the first and the last. Revoking
 * is final: the wrapped key is deleted from the row, and only a backup still holds it.
 * @throws ServiceError `not_found`, `not_allowed`
 */
export async function changeState(
  services: Omit<BindServices, 'clock'>,
  actor: Actor,
  id: CredentialId,
  change: keyof typeof CHANGES,
): Promise<Credential> {
  return services.transactions.transact((tx, record) =>
    applyChange(tx, record, services.binding, { actor, id, change }),
  )
}

/** A change that is part of more, with what else the log says of it. @throws as `changeState` */
export async function applyChange(
  tx: Tx,
  record: AuditRecord,
  binding: RowBinding,
  wanted: {
    readonly actor: Actor
    readonly id: CredentialId
    readonly change: keyof typeof CHANGES
    readonly origin?: Origin
    /** As in RFC 5280 §5.3.1. */
    readonly reason?: number
  },
): Promise<Credential> {
  const { actor, id, change, origin, reason } = wanted
  const { from, to, event } = CHANGES[change]
  const credential = await readCredential(tx, binding, id, true)
  if (credential === undefined) throw new ServiceError('not_found', { detail: 'no such credential' })
  if (!(from as readonly string[]).includes(credential.state)) {
    throw new ServiceError('not_allowed', { detail: `the credential is ${credential.state}` })
  }
  await endAuthorizations(tx, id)
  record({
    type: event,
    outcome: 'ok',
    actor,
    ...(origin === undefined ? {} : { origin }),
    ...(reason === undefined ? {} : { facts: { reason } }),
    evidence: { signer: credential.signer_id, credential: id },
  })
  return writeCredential(tx, binding, credential, {
    state: to,
    ...(to === 'revoked' ? { blob: Buffer.alloc(0) } : {}),
  })
}
