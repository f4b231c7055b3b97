import type { FrontVerbs } from '../../activation.js'
import type { DigestAlgorithm } from '../../digest.js'
import type { KeySpec } from '../reads.js'

export type Mechanism = FrontVerbs['sign']['request']['mechanism']

const DIGESTS: Readonly<Record<string, DigestAlgorithm>> = {
  '2.16.840.1.101.3.4.2.1': 'sha-256',
  '2.16.840.1.101.3.4.2.2': 'sha-384',
  '2.16.840.1.101.3.4.2.3': 'sha-512',
}

/** What a `signAlgo` says: the scheme, and the hash function where it is implied. */
export interface SignatureAlgorithm {
  readonly scheme: Mechanism['scheme']
  readonly hash?: DigestAlgorithm
}

const RSA = '1.2.840.113549.1.1.1'
const RSASSA_PSS = '1.2.840.113549.1.1.10'
export const MGF1 = '1.2.840.113549.1.1.8'

const SIGNATURES: Readonly<Record<string, SignatureAlgorithm>> = {
  [RSA]: { scheme: 'rsa-pkcs1' },
  '1.2.840.113549.1.1.11': { scheme: 'rsa-pkcs1', hash: 'sha-256' },
  '1.2.840.113549.1.1.12': { scheme: 'rsa-pkcs1', hash: 'sha-384' },
  '1.2.840.113549.1.1.13': { scheme: 'rsa-pkcs1', hash: 'sha-512' },
  [RSASSA_PSS]: { scheme: 'rsa-pss' },
  '1.2.840.10045.4.3.2': { scheme: 'ecdsa', hash: 'sha-256' },
  '1.2.840.10045.4.3.3': { scheme: 'ecdsa', hash: 'sha-384' },
  '1.2.840.10045.4.3.4': { scheme: 'ecdsa', hash: 'sha-512' },
}

/** Every value that some key takes as `signAlgo`. */
export const SIGNATURE_OIDS: readonly string[] = Object.keys(SIGNATURES)

/** `key.algo`, `key.len` and `key.curve` of a credential; `algo` is at the same time what `signAlgo` may be. */
interface KeyDescription {
  readonly algo: readonly string[]
  readonly len: number
  readonly curve?: string
}

// RFC 5480 and NIST SP 800-57: a curve goes with the hash function of its own strength.
const RSA_OIDS = SIGNATURE_OIDS.filter((oid) => SIGNATURES[oid]?.scheme !== 'ecdsa')
const KEYS: Readonly<Record<KeySpec, KeyDescription>> = {
  'rsa-2048': { algo: RSA_OIDS, len: 2048 },
  'rsa-3072': { algo: RSA_OIDS, len: 3072 },
  'rsa-4096': { algo: RSA_OIDS, len: 4096 },
  'p-256': { algo: ['1.2.840.10045.4.3.2'], len: 256, curve: '1.2.840.10045.3.1.7' },
  'p-384': { algo: ['1.2.840.10045.4.3.3'], len: 384, curve: '1.3.132.0.34' },
  'p-521': { algo: ['1.2.840.10045.4.3.4'], len: 521, curve: '1.3.132.0.35' },
}

export function digestOf(oid: string): DigestAlgorithm | undefined {
  return Object.hasOwn(DIGESTS, oid) ? DIGESTS[oid] : undefined
}

export function signatureOf(oid: string): SignatureAlgorithm | undefined {
  return Object.hasOwn(SIGNATURES, oid) ? SIGNATURES[oid] : undefined
}

export function keyOf(spec: KeySpec): KeyDescription {
  return KEYS[spec]
}
