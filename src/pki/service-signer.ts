import { ServiceError } from '../errors.js'
import type { Hsm, ServiceKey } from '../hsm/hsm.js'
import type { SignDigest } from './algorithm.js'

/** How long one signature by a key of an authority may take, in milliseconds. */
const SIGNING_TIME = 10_000

/** Signs digests with a service key, one at a time. */
export function signerOf(hsm: Pick<Hsm, 'sign'>, key: ServiceKey): SignDigest {
  return async (digest, mechanism) => {
    const [signature] = await hsm.sign(key, mechanism, [digest], performance.now() + SIGNING_TIME)
    if (signature === undefined) throw new ServiceError('internal', { detail: 'the device returned no signature' })
    return signature
  }
}
