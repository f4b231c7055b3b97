import { algorithmOfLength, DIGEST_LENGTH, type DigestAlgorithm } from '../digest.js'
import { ServiceError } from '../errors.js'

/**
 * The digests of a request, in its order; each as long as its algorithm has them, or some algorithm where none is named.
 * @param texts base64
 * @throws ServiceError `digests_empty`, `digest_length_invalid`
 */
export function requestedDigests(texts: readonly string[], algorithm: DigestAlgorithm | undefined): Uint8Array[] {
  if (texts.length === 0) throw new ServiceError('digests_empty')
  return texts.map((text) => {
    const bytes = Buffer.from(text, 'base64')
    const fits =
      algorithm === undefined
        ? algorithmOfLength(bytes.length) !== undefined
        : bytes.length === DIGEST_LENGTH[algorithm]
    if (!fits) throw new ServiceError('digest_length_invalid')
    return bytes
  })
}
