import { constants, createHash, randomBytes, verify, X509Certificate } from 'node:crypto'
import { DIGEST_LENGTH, type DigestAlgorithm } from '../digest.js'

const name = (algorithm: DigestAlgorithm) => algorithm.replace('-', '')

export function isDigestAlgorithm(text: string): text is DigestAlgorithm {
  return Object.hasOwn(DIGEST_LENGTH, text)
}

/**
 * The documents whose digests are sent. Since the suite has the documents themselves, it verifies a signature over the
 * document, by the hash-and-verify functions of Node alone: a digest that was hashed once more does not verify.
 */
export class Documents {
  readonly #byDigest = new Map<string, { document: Buffer; algorithm: DigestAlgorithm }>()

  /** The digest of a document that nobody has signed before. */
  newDigest(algorithm: DigestAlgorithm): Buffer {
    const document = randomBytes(100)
    const digest = createHash(name(algorithm)).update(document).digest()
    this.#byDigest.set(digest.toString('hex'), { document, algorithm })
    return digest
  }

  /**
   * What is wrong with a signature over a digest (base64 or base64url) that was made here; undefined when it verifies.
   * @param certificate DER in base64
   */
  fault(signature: string, digest: string, certificate: string, scheme: 'rsa' | 'pss' | 'ecdsa'): string | undefined {
    const known = this.#byDigest.get(Buffer.from(digest, 'base64').toString('hex'))
    if (known === undefined) return 'is over a digest that this suite has not made'
    const bytes = Buffer.from(signature, 'base64')
    if (bytes.toString('base64') !== signature) return 'is not padded base64'
    const { publicKey } = new X509Certificate(Buffer.from(certificate, 'base64'))
    const wanted = scheme === 'ecdsa' ? 'ec' : 'rsa'
    if (publicKey.asymmetricKeyType !== wanted)
      return `is for a certificate with a key of type ${publicKey.asymmetricKeyType}`
    const key =
      scheme === 'ecdsa'
        ? ({ key: publicKey, dsaEncoding: 'der' } as const)
        : scheme === 'rsa'
          ? { key: publicKey, padding: constants.RSA_PKCS1_PADDING }
          : {
              key: publicKey,
              padding: constants.RSA_PKCS1_PSS_PADDING,
              saltLength: DIGEST_LENGTH[known.algorithm],
            }
    if (verify(name(known.algorithm), known.document, key, bytes)) return undefined
    return 'does not verify over the document with the certificate'
  }
}
