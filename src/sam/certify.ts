import type { Actor } from '../audit/event.js'
import { type BindServices, bindCertificate } from '../credentials/bind-certificate.js'
import type { Credential } from '../credentials/credential.js'
import { ServiceError } from '../errors.js'
import { HsmError } from '../hsm/hsm.js'
import { parseCertificate } from '../pki/certificate.js'
import { issue, isTestPolicy } from '../pki/demo-ca.js'
import type { OpenDemoCa } from './demo-ca-files.js'

/**
 * Has the demo CA sign a certificate for the credential's key, and binds it.
 * @param policy OID of the certificate policy; that of the certificate before, unless said
 * @throws ServiceError `not_allowed` when the root has expired, `unavailable`
 */
export async function certify(
  services: BindServices,
  ca: OpenDemoCa,
  actor: Actor,
  credential: Credential,
  policy: string | undefined = policyBefore(credential),
): Promise<Credential> {
  if (credential.request === null) return credential
  const leaf = await issue(ca.hsm, ca.key, ca.root, credential.request, services.clock, policy).catch(
    (error: unknown) => {
      if (error instanceof HsmError) throw new ServiceError('unavailable', { retryAfter: 1, cause: error })
      throw error
    },
  )
  return bindCertificate(services, actor, credential.id, [leaf, ca.root])
}

function policyBefore({ chain: [leaf] }: Credential): string | undefined {
  return leaf === undefined ? undefined : parseCertificate(leaf).policies.find(isTestPolicy)
}
