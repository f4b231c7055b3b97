import type { FrontVerbs } from '../activation.js'
import { beginCreation } from '../authorization/begin-creation.js'
import type { ApprovalServices } from '../authorization/request-approval.js'
import { type CredentialServices, makeKey } from '../credentials/create-credential.js'
import { ServiceError } from '../errors.js'
import { certify } from './certify.js'
import type { OpenDemoCa } from './demo-ca-files.js'

/**
 * A new credential that its signer agreed to (CSC API v2.2, credentials/create): the agreement is used up with the
 * intention, then the device makes the key, and the demo CA certifies it. What fails after the intention stays spent. A
 * crash leaves what it leaves of an operator's command: a pending credential, which the reconciler closes while it has no
 * key, and an operator renews when it has one.
 * @throws ServiceError `method_unknown` where certificates come from outside; as `beginCreation` and `makeKey`
 */
export async function createAgreed(
  services: ApprovalServices & CredentialServices,
  ca: OpenDemoCa | undefined,
  request: FrontVerbs['createCredential']['request'],
): Promise<FrontVerbs['createCredential']['response']> {
  if (ca === undefined) throw new ServiceError('method_unknown')
  const begun = await beginCreation(services, request)
  const pending = await makeKey(services, begun)
  const { id } = await certify(services, ca, begun.maker.actor, pending, request.creation.certificatePolicy)
  return { credentialId: id }
}
