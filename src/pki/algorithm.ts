/**
 * Our mechanisms and their names in certificates and signatures: object identifiers, AlgorithmIdentifier, and the
 * check of a signature over a whole message.
 */
import { constants, createHash, createPublicKey, type KeyObject, verify } from 'node:crypto'
import * as asn1js from 'asn1js'
import { AlgorithmIdentifier, RSASSAPSSParams } from 'pkijs'
import { type Digest, type DigestAlgorithm, digest } from '../digest.js'
import type { Mechanism } from '../hsm/hsm.js'

/** Signs one ready digest; the private key stays where it is. */
export type SignDigest = (digest: Digest, mechanism: Mechanism) => Promise<Uint8Array>

/** RFC 5754 §2. */
export const DIGEST_OID: Readonly<Record<DigestAlgorithm, string>> = {
  'sha-256': '2.16.840.1.101.3.4.2.1',
  'sha-384': '2.16.840.1.101.3.4.2.2',
  'sha-512': '2.16.840.1.101.3.4.2.3',
}

/** rsaEncryption: as the name of a signature it says PKCS#1 v1.5 and leaves the hash to a second field. */
export const RSA_OID = '1.2.840.113549.1.1.1'
const PSS_OID = '1.2.840.113549.1.1.10'
const MGF1_OID = '1.2.840.113549.1.1.8'

/** RFC 4055 §5. */
const RSA_PKCS1_OID: Readonly<Record<DigestAlgorithm, string>> = {
  'sha-256': '1.2.840.113549.1.1.11',
  'sha-384': '1.2.840.113549.1.1.12',
  'sha-512': '1.2.840.113549.1.1.13',
}

/** RFC 5758 §3.2. */
const ECDSA_OID: Readonly<Record<DigestAlgorithm, string>> = {
  'sha-256': '1.2.840.10045.4.3.2',
  'sha-384': '1.2.840.10045.4.3.3',
  'sha-512': '1.2.840.10045.4.3.4',
}

const NODE_HASH: Readonly<Record<DigestAlgorithm, string>> = {
  'sha-256': 'sha256',
  'sha-384': 'sha384',
  'sha-512': 'sha512',
}

/** The digest of some bytes held in memory. */
export function digestOf(algorithm: DigestAlgorithm, bytes: Uint8Array): Digest {
  return digest(algorithm, createHash(NODE_HASH[algorithm]).update(bytes).digest())
}

/** A running digest for content that arrives in pieces. */
export function startDigest(algorithm: DigestAlgorithm): {
  update(bytes: Uint8Array): void
  finish(): Digest
} {
  const hash = createHash(NODE_HASH[algorithm])
  return { update: (bytes) => void hash.update(bytes), finish: () => digest(algorithm, hash.digest()) }
}

/** The digest algorithm of this name, if it is one of ours. */
export function digestAlgorithmOf(oid: string): DigestAlgorithm | undefined {
  return algorithmIn(DIGEST_OID, oid)
}

function algorithmIn(names: Readonly<Record<DigestAlgorithm, string>>, oid: string): DigestAlgorithm | undefined {
  return (Object.keys(names) as DigestAlgorithm[]).find((algorithm) => names[algorithm] === oid)
}

/**
 * How a key signs what is ours to choose (requests, certificates, containers): RSA by PKCS#1 v1.5 with SHA-256, P-256
 * with SHA-256, P-384 with SHA-384, P-521 with SHA-512; `undefined` for any other kind of key.
 * @param publicKey DER SubjectPublicKeyInfo, or the key
 */
export function usualMechanism(publicKey: Uint8Array | KeyObject): Mechanism | undefined {
  const key = publicKey instanceof Uint8Array ? readPublicKey(publicKey) : publicKey
  if (key.asymmetricKeyType === 'rsa') return { scheme: 'rsa-pkcs1', hash: 'sha-256' }
  if (key.asymmetricKeyType !== 'ec') return undefined
  switch (key.asymmetricKeyDetails?.namedCurve) {
    case 'prime256v1':
      return { scheme: 'ecdsa', hash: 'sha-256' }
    case 'secp384r1':
      return { scheme: 'ecdsa', hash: 'sha-384' }
    case 'secp521r1':
      return { scheme: 'ecdsa', hash: 'sha-512' }
    default:
      return undefined
  }
}

/** @throws Error when it is no DER SubjectPublicKeyInfo. */
export function readPublicKey(der: Uint8Array): KeyObject {
  return createPublicKey({ key: Buffer.from(der), format: 'der', type: 'spki' })
}

/** The name that says scheme and hash together; PSS parameters go beside it. */
export function signatureOid(mechanism: Mechanism): string {
  switch (mechanism.scheme) {
    case 'rsa-pkcs1':
      return RSA_PKCS1_OID[mechanism.hash]
    case 'rsa-pss':
      return PSS_OID
    case 'ecdsa':
      return ECDSA_OID[mechanism.hash]
  }
}

/** RFC 4055 §5 for RSA (parameters NULL), §3.1 for PSS, RFC 5758 §3.2 for ECDSA (no parameters). */
export function signatureAlgorithm(mechanism: Mechanism): AlgorithmIdentifier {
  const algorithmId = signatureOid(mechanism)
  switch (mechanism.scheme) {
    case 'rsa-pkcs1':
      return new AlgorithmIdentifier({ algorithmId, algorithmParams: new asn1js.Null() })
    case 'ecdsa':
      return new AlgorithmIdentifier({ algorithmId })
    case 'rsa-pss': {
      const hashAlgorithm = new AlgorithmIdentifier({
        algorithmId: DIGEST_OID[mechanism.hash],
        algorithmParams: new asn1js.Null(),
      })
      const maskGenAlgorithm = new AlgorithmIdentifier({
        algorithmId: MGF1_OID,
        algorithmParams: hashAlgorithm.toSchema(),
      })
      const algorithmParams = new RSASSAPSSParams({ hashAlgorithm, maskGenAlgorithm, saltLength: mechanism.saltLength })
      return new AlgorithmIdentifier({ algorithmId, algorithmParams: algorithmParams.toSchema() })
    }
  }
}

/**
 * Reads an AlgorithmIdentifier back; `undefined` when it names nothing that we accept.
 * @param hash what plain rsaEncryption is used with (RFC 5652 leaves it to the digest algorithm beside it)
 */
export function readSignatureAlgorithm(identifier: AlgorithmIdentifier, hash?: DigestAlgorithm): Mechanism | undefined {
  const oid = identifier.algorithmId
  if (oid === PSS_OID) return readPssParameters(identifier)
  if (oid === RSA_OID && hash !== undefined) return { scheme: 'rsa-pkcs1', hash }
  const pkcs1 = algorithmIn(RSA_PKCS1_OID, oid)
  if (pkcs1 !== undefined) return { scheme: 'rsa-pkcs1', hash: pkcs1 }
  const ecdsa = algorithmIn(ECDSA_OID, oid)
  return ecdsa === undefined ? undefined : { scheme: 'ecdsa', hash: ecdsa }
}

function readPssParameters(identifier: AlgorithmIdentifier): Mechanism | undefined {
  try {
    const parameters = new RSASSAPSSParams({ schema: identifier.algorithmParams })
    const hash = digestAlgorithmOf(parameters.hashAlgorithm.algorithmId)
    const mask = new AlgorithmIdentifier({ schema: parameters.maskGenAlgorithm.algorithmParams })
    const fits =
      parameters.maskGenAlgorithm.algorithmId === MGF1_OID &&
      mask.algorithmId === parameters.hashAlgorithm.algorithmId &&
      parameters.trailerField === 1
    return hash !== undefined && fits ? { scheme: 'rsa-pss', hash, saltLength: parameters.saltLength } : undefined
  } catch {
    return undefined
  }
}

/** Whether `signature` is the key's signature over the whole message, made by exactly this mechanism. */
export function isSignatureOver(
  message: Uint8Array,
  signature: Uint8Array,
  mechanism: Mechanism,
  key: KeyObject,
): boolean {
  const hash = NODE_HASH[mechanism.hash]
  try {
    switch (mechanism.scheme) {
      case 'rsa-pkcs1':
        if (key.asymmetricKeyType !== 'rsa') return false
        return verify(hash, message, { key, padding: constants.RSA_PKCS1_PADDING }, signature)
      case 'rsa-pss':
        if (key.asymmetricKeyType !== 'rsa' && key.asymmetricKeyType !== 'rsa-pss') return false
        return verify(
          hash,
          message,
          { key, padding: constants.RSA_PKCS1_PSS_PADDING, saltLength: mechanism.saltLength },
          signature,
        )
      case 'ecdsa':
        if (key.asymmetricKeyType !== 'ec') return false
        return verify(hash, message, { key, dsaEncoding: 'der' }, signature)
    }
  } catch {
    return false
  }
}
