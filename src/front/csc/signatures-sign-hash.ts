import type { FrontVerbs } from '../../activation.js'
import { ServiceError } from '../../errors.js'
import { waitAsPreferred } from '../audit/prefer.js'
import { Answer, type ClosedRequest, closed } from '../contract.js'
import type { FrontServices } from '../services.js'
import type { SignHashResponse } from '../wire.js'
import { askWorker } from '../worker.js'
import { decodeDigests, requireLength } from './digests.js'
import { namingExpired } from './expired-certificate.js'
import { type AlgorithmRequest, chooseMechanism } from './mechanism.js'
import { keyOf } from './oids.js'

/** Hashes to be signed, in the words of neither version. */
interface Wish extends AlgorithmRequest {
  readonly sad: string | undefined
  readonly credentialId: string
  readonly hashes: readonly string[]
}

type Request = ClosedRequest<'v1SignHash'> | ClosedRequest<'v2SignHash'>

/** CSC v1 §11.9, v2.2 §11.13. */
export function signHashDoors(services: FrontServices) {
  return {
    v1SignHash: closed<'v1SignHash'>((request) => {
      const {
        SAD: sad,
        credentialID: credentialId,
        hash: hashes,
        signAlgo,
        signAlgoParams,
        hashAlgo: hashOid,
      } = request.body
      return signHash(services, request, {
        sad,
        credentialId,
        hashes,
        signAlgo,
        signAlgoParams,
        hashOid,
        impliedHash: 'wins',
      })
    }),
    v2SignHash: closed<'v2SignHash'>((request) => {
      const {
        SAD: sad,
        credentialID: credentialId,
        hashes,
        signAlgo,
        signAlgoParams,
        hashAlgorithmOID: hashOid,
      } = request.body
      return signHash(services, request, {
        sad,
        credentialId,
        hashes,
        signAlgo,
        signAlgoParams,
        hashOid,
        impliedHash: 'must agree',
      })
    }),
  }
}

/** The header that says where in which log the signing's outcome stands (docs/audit-format.md §8). */
function receiptHeader(
  operation: string,
  { origin, index, leafHash }: FrontVerbs['sign']['response']['receipt'],
): string {
  return `${origin};op=${operation};index=${index};leaf=${Buffer.from(leafHash, 'base64').toString('base64url')}`
}

/**
 * Everything that can be said about the request without its SAD is said here, so that a malformed value never becomes
 * "not authorized"; the worker then checks all of it again, together with the SAD.
 */
async function signHash(
  { sam, db, checkpoints }: FrontServices,
  request: Request,
  wish: Wish,
): Promise<Answer<SignHashResponse>> {
  const { origin, bearer, caller } = request
  const retryKey = request.headers['Idempotency-Key']
  const { sad, credentialId } = wish
  if (sad === undefined && caller.scope !== 'credential') throw new ServiceError('sad_missing')
  const digests = decodeDigests(wish.hashes)
  const mechanism = chooseMechanism(wish)
  requireLength(digests, mechanism.hash)
  const spec = await db.keySpec(caller.signerId, credentialId)
  if (spec === undefined) throw new ServiceError('credential_unknown')
  if (!keyOf(spec).algo.includes(wish.signAlgo)) throw new ServiceError('algorithm_invalid')

  const { operation, signatures, receipt } = await namingExpired(db, caller, credentialId, () =>
    askWorker(sam, 'sign', {
      origin,
      bearer,
      ...(sad === undefined ? {} : { sad }),
      credentialId,
      digests: digests.map((bytes) => bytes.toString('base64')),
      mechanism,
      ...(retryKey === undefined ? {} : { retryKey }),
    }),
  )
  if (signatures.length !== digests.length) throw new ServiceError('internal')
  // Nobody else waits for the log to be signed.
  const waited = await waitAsPreferred(checkpoints, request.headers.Prefer, receipt.index)
  return new Answer(200, { signatures }, { 'audit-receipt': receiptHeader(operation, receipt), ...waited })
}
