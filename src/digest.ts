/** Hash functions a digest may come from. SHA-256 is the minimum strength (ETSI TS 119 312). */
export type DigestAlgorithm = 'sha-256' | 'sha-384' | 'sha-512'

/** Length of a digest in bytes, by algorithm. */
export const DIGEST_LENGTH: Readonly<Record<DigestAlgorithm, number>> = { 'sha-256': 32, 'sha-384': 48, 'sha-512': 64 }

/** A hash value together with the function it came from; its length is checked when it is made. */
export interface Digest {
  readonly algorithm: DigestAlgorithm
  readonly bytes: Uint8Array
}

/** @throws RangeError when `bytes` has not the length of the algorithm. */
export function digest(algorithm: DigestAlgorithm, bytes: Uint8Array): Digest {
  if (bytes.length !== DIGEST_LENGTH[algorithm])
    throw new RangeError(`a ${algorithm} digest has ${DIGEST_LENGTH[algorithm]} bytes`)
  return { algorithm, bytes }
}

/** The algorithm whose digests have this many bytes, if there is one. */
export function algorithmOfLength(length: number): DigestAlgorithm | undefined {
  return length === 32 ? 'sha-256' : length === 48 ? 'sha-384' : length === 64 ? 'sha-512' : undefined
}
