import { type ClosedRequest, closed } from '../contract.js'
import type { FrontServices } from '../services.js'
import type { AuthorizeResponse } from '../wire.js'
import { askWorker } from '../worker.js'
import { type AgreedDigests, asked, digestsV1, digestsV2 } from './agreed-digests.js'
import { namingExpired } from './expired-certificate.js'

type Request = ClosedRequest<'v1ExtendTransaction'> | ClosedRequest<'v2ExtendTransaction'>

/** CSC v1 §11.7, v2.2 §11.11. */
export function extendDoors(services: FrontServices) {
  return {
    v1ExtendTransaction: closed<'v1ExtendTransaction'>((request) =>
      extend(services, request, digestsV1(request.body.hash)),
    ),
    v2ExtendTransaction: closed<'v2ExtendTransaction'>((request) =>
      extend(services, request, digestsV2(request.body.hashes, request.body.hashAlgorithmOID)),
    ),
  }
}

async function extend(
  { sam, db }: FrontServices,
  { origin, bearer, caller, body }: Request,
  digests: AgreedDigests,
): Promise<AuthorizeResponse> {
  const { credentialID: credentialId, SAD } = body
  const { sad, expiresIn } = await namingExpired(db, caller, credentialId, () =>
    askWorker(sam, 'extend', { origin, bearer, sad: SAD, credentialId, ...asked(digests) }),
  )
  return { SAD: sad, expiresIn }
}
