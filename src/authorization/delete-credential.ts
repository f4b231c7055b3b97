import type { FrontVerbs } from '../activation.js'
import { isRefusal, reasonOf } from '../binding.js'
import { applyChange } from '../credentials/change-state.js'
import { ServiceError } from '../errors.js'
import type { CredentialId } from '../ids.js'
import { requireApprovable } from './approval.js'
import type { ApprovalServices } from './request-approval.js'
import { lockSpendable, type Spendable, spend } from './spend-approval.js'

/**
 * Deletes the credential that its signer agreed to delete (CSC API v2.2, credentials/delete). The wrapped key goes with
 * whatever was authorized with it, and the token is used up: one transaction, so that of all who come with the token one
 * succeeds.
 * @throws ServiceError `token_unknown`, `token_expired`, `scope_missing`, `parameter_invalid`; TamperedRow
 */
export async function deleteCredential(
  services: ApprovalServices,
  request: FrontVerbs['deleteCredential']['request'],
): Promise<Record<string, never>> {
  const { transactions, binding, clock } = services
  const { origin, bearer, credentialId, revocationReason: reason } = request
  let known: Spendable | undefined
  try {
    return await transactions.transact(async (tx, record) => {
      known = await lockSpendable(tx, binding, 'deletion', bearer)
      const { caller, approval } = known
      // The approval names one, or it would never have become a signer's.
      const id = approval.credential_id as CredentialId
      if (credentialId !== id) throw refused('Contradicting "credentialID" parameters')
      await requireApprovable(tx, binding, approval, { signer: caller.signerId, credential: id }, clock.now()).catch(
        (error: unknown) => {
          if (error instanceof ServiceError) throw refused('Invalid parameter "credentialID"')
          throw error
        },
      )
      await applyChange(tx, record, binding, {
        actor: { kind: 'signer', id: caller.signerId },
        id,
        change: 'revoke',
        origin,
        ...(reason === undefined ? {} : { reason }),
      })
      await spend(tx, record, binding, known, origin)
      return {}
    })
  } catch (error) {
    if (error instanceof ServiceError && isRefusal(error)) {
      const { caller, approval } = known ?? {}
      await transactions.append({
        type: 'credential.revoked',
        outcome: 'refused',
        actor: caller === undefined ? { kind: 'anonymous' } : { kind: 'signer', id: caller.signerId },
        origin,
        why: reasonOf(error),
        evidence: {
          ...(caller === undefined ? {} : { signer: caller.signerId }),
          ...(approval?.credential_id == null ? {} : { credential: approval.credential_id }),
        },
      })
    }
    throw error
  }
}

function refused(detail: string): ServiceError {
  return new ServiceError('parameter_invalid', { detail })
}
