import { DIGEST_LENGTH, type Digest, type DigestAlgorithm } from '../digest.js'
import { HsmError, type KeySpec, type Mechanism } from './hsm.js'
import { CK } from './pkcs11.js'

/** Bits of the modulus, or of the order of the curve. */
export const KEY_BITS: Readonly<Record<KeySpec, number>> = {
  'rsa-2048': 2048,
  'rsa-3072': 3072,
  'rsa-4096': 4096,
  'p-256': 256,
  'p-384': 384,
  'p-521': 521,
}

/** Signatures before the event loop gets a turn: about ten milliseconds of SoftHSM on an ordinary server. */
export const TURN: Readonly<Record<KeySpec, number>> = {
  'rsa-2048': 8,
  'rsa-3072': 4,
  'rsa-4096': 2,
  'p-256': 32,
  'p-384': 8,
  'p-521': 4,
}

/** Whether it is an RSA key; else it is a key on one of the NIST curves. */
export function isRsa(spec: KeySpec): boolean {
  return spec.startsWith('rsa-')
}

/** The longest PSS salt in bytes (RFC 8017 §9.1.1: emLen - hLen - 2). */
export function longestSalt(spec: KeySpec, hash: DigestAlgorithm): number {
  return Math.ceil((KEY_BITS[spec] - 1) / 8) - DIGEST_LENGTH[hash] - 2
}

/** Whether a key of this kind can sign this digest by this mechanism. */
export function fits(spec: KeySpec, mechanism: Mechanism, digest: Digest): boolean {
  if (digest.algorithm !== mechanism.hash || digest.bytes.length !== DIGEST_LENGTH[mechanism.hash]) return false
  if (isRsa(spec) !== (mechanism.scheme !== 'ecdsa')) return false
  if (mechanism.scheme !== 'rsa-pss') return true
  const { saltLength } = mechanism
  return Number.isInteger(saltLength) && saltLength >= 0 && saltLength <= longestSalt(spec, mechanism.hash)
}

/** @throws HsmError `unsupported` when one of the digests does not fit. */
export function requireFit(spec: KeySpec, mechanism: Mechanism, digests: readonly Digest[]): void {
  if (!digests.every((digest) => fits(spec, mechanism, digest))) {
    throw new HsmError(
      'unsupported',
      `a ${spec} key does not sign such a digest by ${mechanism.scheme} with ${mechanism.hash}`,
    )
  }
}

/** DER before the digest in a DigestInfo (RFC 8017 §9.2, note 1). */
const DIGEST_INFO: Readonly<Record<DigestAlgorithm, Buffer>> = {
  'sha-256': Buffer.from('3031300d060960864801650304020105000420', 'hex'),
  'sha-384': Buffer.from('3041300d060960864801650304020205000430', 'hex'),
  'sha-512': Buffer.from('3051300d060960864801650304020305000440', 'hex'),
}

/** CKM_ and CKG_ numbers of the hash functions. */
const PKCS11_HASH: Readonly<Record<DigestAlgorithm, { readonly hashAlg: number; readonly mgf: number }>> = {
  'sha-256': { hashAlg: 0x250, mgf: 2 },
  'sha-384': { hashAlg: 0x260, mgf: 3 },
  'sha-512': { hashAlg: 0x270, mgf: 4 },
}

/** How PKCS#11 is asked for one of our mechanisms. */
export interface Pkcs11Signing {
  /** As the binding takes it. */
  readonly mechanism: { readonly mechanism: number; readonly parameter?: object }
  /** What C_Sign is given for a digest. */
  input(digest: Digest): Buffer
  /** Bytes that C_Sign gives back. */
  readonly resultLength: number
  /** C_Sign's result as our signature. */
  output(result: Buffer): Uint8Array
}

const CKM_RSA_PKCS = 0x1
const CKM_RSA_PKCS_PSS = 0xd
/** The binding's own number for CK_RSA_PKCS_PSS_PARAMS. */
const CK_PARAMS_RSA_PSS = 5

/** Mechanism, input and result for a key of this kind; `requireFit` has been called. */
export function pkcs11Signing(spec: KeySpec, mechanism: Mechanism): Pkcs11Signing {
  const bytes = Math.ceil(KEY_BITS[spec] / 8)
  switch (mechanism.scheme) {
    case 'rsa-pkcs1':
      return {
        mechanism: { mechanism: CKM_RSA_PKCS },
        input: (digest) => Buffer.concat([DIGEST_INFO[digest.algorithm], digest.bytes]),
        resultLength: bytes,
        output: (result) => result,
      }
    case 'rsa-pss':
      return {
        mechanism: {
          mechanism: CKM_RSA_PKCS_PSS,
          parameter: { type: CK_PARAMS_RSA_PSS, ...PKCS11_HASH[mechanism.hash], saltLen: mechanism.saltLength },
        },
        input: (digest) => Buffer.from(digest.bytes),
        resultLength: bytes,
        output: (result) => result,
      }
    case 'ecdsa':
      return {
        mechanism: { mechanism: CK.CKM_ECDSA },
        // FIPS 186-5 §6.4.1 takes the leftmost bits; some devices refuse a longer input instead of cutting it.
        input: (digest) => Buffer.from(digest.bytes.subarray(0, bytes)),
        resultLength: 2 * bytes,
        output: ecdsaSigValue,
      }
  }
}

/** r and s of equal length, one after the other, as DER `ECDSA-Sig-Value` (RFC 3279 §2.2.3). */
export function ecdsaSigValue(raw: Uint8Array): Uint8Array {
  const half = raw.length / 2
  const integers = Buffer.concat([derInteger(raw.subarray(0, half)), derInteger(raw.subarray(half))])
  const length = integers.length < 0x80 ? [integers.length] : [0x81, integers.length]
  return Buffer.concat([Buffer.from([0x30, ...length]), integers])
}

/** An unsigned big-endian number of at most 126 bytes. */
function derInteger(bytes: Uint8Array): Buffer {
  let start = 0
  while (start < bytes.length - 1 && bytes[start] === 0) start++
  const digits = bytes.subarray(start)
  const sign = (digits[0] as number) >= 0x80 ? [0] : []
  return Buffer.from([0x02, sign.length + digits.length, ...sign, ...digits])
}
