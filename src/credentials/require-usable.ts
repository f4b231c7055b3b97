import { ServiceError } from '../errors.js'
import type { Caller } from '../identity/caller.js'
import type { Credential } from './credential.js'

/**
 * The caller's own, active credential with a certificate valid at `now`. Somebody else's, a
 * pending and a revoked one answer like a missing one.
 * @throws ServiceError `credential_unknown`, `credential_disabled`, `certificate_expired`
 */
export function requireUsable(
  caller: Pick<Caller, 'signerId'>,
  credential: Credential | undefined,
  now: number,
): Credential {
  if (credential === undefined || credential.signer_id !== caller.signerId) throw new ServiceError('credential_unknown')
  if (credential.state === 'pending' || credential.state === 'revoked') throw new ServiceError('credential_unknown')
  if (credential.state !== 'active') throw new ServiceError('credential_disabled')
  if (credential.not_before === null || credential.not_after === null || now < credential.not_before.getTime()) {
    throw new ServiceError('credential_disabled')
  }
  if (now > credential.not_after.getTime()) {
    throw new ServiceError('certificate_expired', { detail: credential.subject_dn ?? '' })
  }
  return credential
}
