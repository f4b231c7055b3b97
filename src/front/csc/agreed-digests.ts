import { algorithmOfLength, type DigestAlgorithm } from '../../digest.js'
import { ServiceError } from '../../errors.js'
import { decodeDigests, requireLength } from './digests.js'
import { requireDigest } from './mechanism.js'

/** What a signer agrees to, or goes on with: hashes, and the function where the version names it. */
export interface AgreedDigests {
  readonly digests?: readonly Buffer[]
  readonly digestAlgorithm?: DigestAlgorithm
}

/**
 * Version 1 does not name the hash function: the length of the first digest does, and all must have it.
 * @throws ServiceError `digests_empty`, `digest_undecodable`, `digest_length_invalid`
 */
export function digestsV1(texts: readonly string[] | undefined): AgreedDigests {
  if (texts === undefined) return {}
  const digests = decodeDigests(texts)
  const algorithm = algorithmOfLength(digests[0]?.length ?? 0)
  if (algorithm === undefined) throw new ServiceError('digest_length_invalid')
  requireLength(digests, algorithm)
  return { digests }
}

/** @throws ServiceError as digestsV1, and `digest_algorithm_missing`, `digest_algorithm_invalid` */
export function digestsV2(texts: readonly string[] | undefined, oid: string | undefined): AgreedDigests {
  const digests = texts === undefined ? undefined : decodeDigests(texts)
  if (oid === undefined) {
    if (digests !== undefined) throw new ServiceError('digest_algorithm_missing')
    return {}
  }
  const digestAlgorithm = requireDigest(oid)
  if (digests === undefined) return { digestAlgorithm }
  requireLength(digests, digestAlgorithm)
  return { digests, digestAlgorithm }
}

/** The members of a worker's request; digests as base64. */
export function asked({ digests, digestAlgorithm }: AgreedDigests): {
  digests?: string[]
  digestAlgorithm?: DigestAlgorithm
} {
  return {
    ...(digests === undefined ? {} : { digests: digests.map((bytes) => bytes.toString('base64')) }),
    ...(digestAlgorithm === undefined ? {} : { digestAlgorithm }),
  }
}
