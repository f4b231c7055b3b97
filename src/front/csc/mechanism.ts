import type { DigestAlgorithm } from '../../digest.js'
import { ServiceError } from '../../errors.js'
import { decodeBase64 } from './digests.js'
import { digestOf, type Mechanism, signatureOf } from './oids.js'
import { pssMechanism } from './pss.js'

export interface AlgorithmRequest {
  readonly signAlgo: string
  readonly signAlgoParams: string | undefined
  /** `hashAlgo` of v1, `hashAlgorithmOID` of v2. */
  readonly hashOid: string | undefined
  /** Whether a hash algorithm beside one that `signAlgo` implies must be the same (v2.2) or is ignored (v1). */
  readonly impliedHash: 'must agree' | 'wins'
}

/**
 * Signature algorithm, its parameters and the hash algorithm, as one mechanism.
 * @throws ServiceError `algorithm_invalid`, `algorithm_parameters_missing`, `algorithm_parameters_invalid`,
 *   `digest_algorithm_missing`, `digest_algorithm_invalid`, `digest_algorithm_contradicts`, in this order
 */
export function chooseMechanism(request: AlgorithmRequest): Mechanism {
  const signature = signatureOf(request.signAlgo)
  if (signature === undefined) throw new ServiceError('algorithm_invalid')
  if (signature.scheme === 'rsa-pss') {
    const mechanism = parametersOf(request.signAlgoParams)
    requireAgreement(request, mechanism.hash)
    return mechanism
  }
  if (signature.hash !== undefined) {
    requireAgreement(request, signature.hash)
    return { scheme: signature.scheme, hash: signature.hash }
  }
  if (request.hashOid === undefined) throw new ServiceError('digest_algorithm_missing')
  return { scheme: signature.scheme, hash: requireDigest(request.hashOid) }
}

function parametersOf(text: string | undefined): Extract<Mechanism, { scheme: 'rsa-pss' }> {
  if (text === undefined) throw new ServiceError('algorithm_parameters_missing')
  const der = decodeBase64(text)
  const mechanism = der === undefined ? undefined : pssMechanism(der)
  if (mechanism === undefined) throw new ServiceError('algorithm_parameters_invalid')
  return mechanism
}

function requireAgreement({ hashOid, impliedHash }: AlgorithmRequest, implied: DigestAlgorithm): void {
  if (hashOid === undefined || impliedHash === 'wins') return
  if (requireDigest(hashOid) !== implied) throw new ServiceError('digest_algorithm_contradicts')
}

/** @throws ServiceError `digest_algorithm_invalid` */
export function requireDigest(oid: string): DigestAlgorithm {
  const algorithm = digestOf(oid)
  if (algorithm === undefined) throw new ServiceError('digest_algorithm_invalid')
  return algorithm
}
