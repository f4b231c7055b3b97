import { ServiceError } from '../errors.js'
import type { Caller } from '../identity/caller.js'
import type { Credential } from './credential.js'
import { allowsClient } from './policy.js'

/**
 * The caller's own, active credential with a certificate valid at `now`, for a client that its policy allows. Somebody
 * else's, a pending and a revoked one answer like a missing one.
 * @throws ServiceError `credential_unknown`, `client_not_allowed`, `credential_disabled`, `certificate_expired`
 */
export function requireUsable(
  caller: Pick<Caller, 'signerId' | 'clientId'>,
  credential: Credential | undefined,
  now: number,
): Credential {
  if (credential === undefined || credential.signer_id !== caller.signerId) throw new ServiceError('credential_unknown')
  if (credential.state === 'pending' || credential.state === 'revoked') throw new ServiceError('credential_unknown')
  if (!allowsClient(credential, caller.clientId)) throw new ServiceError('client_not_allowed')
  if (credential.state !== 'active') throw new ServiceError('credential_disabled')
  if (credential.not_before === null || credential.not_after === null || now < credential.not_before.getTime()) {
    throw new ServiceError('credential_disabled')
  }
  if (now > credential.not_after.getTime()) {
    throw new ServiceError('certificate_expired', { detail: credential.subject_dn ?? '' })
  }
  return credential
}
