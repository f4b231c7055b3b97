import type { Actor } from '../audit/event.js'
import { ServiceError } from '../errors.js'
import type { CredentialId } from '../ids.js'
import type { BindServices } from './bind-certificate.js'
import type { Credential } from './credential.js'
import { endAuthorizations, readCredential, writeCredential } from './credential-store.js'
import { type CredentialPolicy, policyText } from './policy.js'

/**
 * Gives the credential another policy, whole. What was agreed to under the old one ends: it might not be agreed to under
 * the new one.
 * @throws ServiceError `not_found`, `not_allowed`
 */
export async function changePolicy(
  services: Omit<BindServices, 'clock'>,
  actor: Actor,
  id: CredentialId,
  change: { readonly sessionWide: boolean; readonly policy: CredentialPolicy },
): Promise<Credential> {
  const { sessionWide, policy } = change
  return services.transactions.transact(async (tx, record) => {
    const credential = await readCredential(tx, services.binding, id, true)
    if (credential === undefined) throw new ServiceError('not_found', { detail: 'no such credential' })
    if (credential.state === 'revoked') throw new ServiceError('not_allowed', { detail: 'the credential is revoked' })
    await endAuthorizations(tx, id)
    record({
      type: 'credential.policy_changed',
      outcome: 'ok',
      actor,
      facts: {
        factors: policy.factors?.join(' ') ?? 'any',
        clients: policy.clients?.length ?? 'any',
        session: sessionWide ? (policy.session?.clients?.length ?? 0) : 'never',
      },
      evidence: { signer: credential.signer_id, credential: id },
    })
    return writeCredential(tx, services.binding, credential, { session_wide: sessionWide, policy: policyText(policy) })
  })
}
