import { DIGEST_LENGTH, type DigestAlgorithm } from '../../digest.js'
import { ServiceError } from '../../errors.js'

const BASE64 = /^[A-Za-z0-9+/_-]*={0,2}$/

/**
 * Base64 as clients write it: of either alphabet, padded or not, with `+` lost to a space on its way through a form.
 * Undefined for anything else.
 */
export function decodeBase64(text: string): Buffer | undefined {
  const repaired = text.replaceAll(' ', '+')
  if (!BASE64.test(repaired)) return undefined
  const padding = repaired.endsWith('==') ? 2 : repaired.endsWith('=') ? 1 : 0
  if ((repaired.length - padding) % 4 === 1 || (padding > 0 && repaired.length % 4 !== 0)) return undefined
  return Buffer.from(repaired, 'base64')
}

/**
 * The digests of a request, in its order.
 * @throws ServiceError `digests_empty`, `digest_undecodable`
 */
export function decodeDigests(texts: readonly string[]): Buffer[] {
  if (texts.length === 0) throw new ServiceError('digests_empty')
  return texts.map((text) => {
    const bytes = decodeBase64(text)
    if (bytes === undefined) throw new ServiceError('digest_undecodable')
    return bytes
  })
}

/** @throws ServiceError `digest_length_invalid` unless every digest is as long as those of `algorithm` */
export function requireLength(digests: readonly Uint8Array[], algorithm: DigestAlgorithm): void {
  if (digests.some(({ length }) => length !== DIGEST_LENGTH[algorithm])) throw new ServiceError('digest_length_invalid')
}
