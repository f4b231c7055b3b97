import { ServiceError } from '../../errors.js'
import { closed } from '../contract.js'
import type { FrontServices } from '../services.js'
import { askWorker } from '../worker.js'

/** CSC v2.2 §11.5. */
export function deleteDoors({ sam }: FrontServices) {
  return {
    v2CredentialsDelete: closed<'v2CredentialsDelete'>(async ({ origin, bearer, body }) => {
      const { credentialID, revoke, revocationReason } = body.credentialDeletionRequest
      if (revoke === true && revocationReason == null) throw new ServiceError('parameter_invalid', { detail: MISSING })
      await askWorker(sam, 'deleteCredential', {
        origin,
        bearer,
        credentialId: credentialID,
        ...(revoke === true && revocationReason != null ? { revocationReason } : {}),
      })
      return undefined
    }),
  }
}

const MISSING = 'Missing (or invalid type) integer parameter "revocationReason"'
