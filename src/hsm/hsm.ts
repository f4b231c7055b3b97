import type { Digest, DigestAlgorithm } from '../digest.js'

/** Kinds of key a device makes. */
export type KeySpec = 'rsa-2048' | 'rsa-3072' | 'rsa-4096' | 'p-256' | 'p-384' | 'p-521'
export const KEY_SPECS = [
  'rsa-2048',
  'rsa-3072',
  'rsa-4096',
  'p-256',
  'p-384',
  'p-521',
] as const satisfies readonly KeySpec[]

/** How a digest becomes a signature. The digest is always ready: no device hashes again. */
export type Mechanism =
  /** RFC 8017 §8.2; the device side builds the DigestInfo. */
  | { readonly scheme: 'rsa-pkcs1'; readonly hash: DigestAlgorithm }
  /** RFC 8017 §8.1 with MGF1 over the same hash and trailer 1; `saltLength` in bytes, 0 to what the modulus allows. */
  | { readonly scheme: 'rsa-pss'; readonly hash: DigestAlgorithm; readonly saltLength: number }
  /** ANSI X9.62; the result is DER `ECDSA-Sig-Value` (RFC 3279 §2.2.3). */
  | { readonly scheme: 'ecdsa'; readonly hash: DigestAlgorithm }

/**
 * A signer's key as the database keeps it: wrapped by the device and sealed to what it belongs to. Useless without the
 * device, and useless under other `associatedData` than it was made with.
 */
export interface SignerKey {
  readonly kind: 'signer'
  /** Stable while the blob stays the same; names the key in the cache of unwrapped keys. */
  readonly cacheId: string
  readonly spec: KeySpec
  readonly blob: Uint8Array
  readonly associatedData: Uint8Array
}

/** A key of the service itself, kept in the token under a name: `announce`, `ca`. */
export interface ServiceKey {
  readonly kind: 'service'
  readonly name: string
  readonly spec: KeySpec
  /** DER SubjectPublicKeyInfo. */
  readonly publicKey: Uint8Array
}

/** What making a signer's key gives back; the private half exists nowhere else than in `blob`. */
export interface NewSignerKey {
  /** DER SubjectPublicKeyInfo. */
  readonly publicKey: Uint8Array
  readonly blob: Uint8Array
}

/**
 * Holds private keys and never gives them back in clear. Calls may overlap; an implementation keeps to one operation a
 * session. Every method rejects with `HsmError` and with nothing else.
 */
export interface Hsm {
  /** Shown by `doctor` and written to the log: module, token label, serial. */
  readonly description: string
  /** Random bytes from the device. */
  random(length: number): Promise<Uint8Array>
  /** Makes a key pair that leaves the device only wrapped under the KEK of the newest epoch, and sealed with `associatedData`. */
  generateSignerKey(spec: KeySpec, associatedData: Uint8Array): Promise<NewSignerKey>
  /**
   * Signs ready digests in the order given. Never retried here once an operation began: only the caller knows whether
   * trying again is allowed.
   * @param deadline `performance.now()` after which a result is of no use; an implementation checks it between digests.
   */
  sign(
    key: SignerKey | ServiceKey,
    mechanism: Mechanism,
    digests: readonly Digest[],
    deadline: number,
  ): Promise<Uint8Array[]>
  /** Makes a service key in the token. Durable on return. `exists` when the name is taken. */
  createServiceKey(name: string, spec: KeySpec): Promise<ServiceKey>
  /** `not_found` when there is none of that name. */
  serviceKey(name: string): Promise<ServiceKey>
  /** AES-256-GCM under the device's sealing key; the result carries version, epoch and nonce. */
  seal(plaintext: Uint8Array, associatedData: Uint8Array): Promise<Uint8Array>
  /** `rejected` when the blob, the associated data or the key is not the one it was sealed with. */
  unseal(sealed: Uint8Array, associatedData: Uint8Array): Promise<Uint8Array>
  /** Waits for the operations under way, then logs out. */
  close(): Promise<void>
}

export type HsmErrorCode =
  /** The device cannot be used now, and made no signature. */
  | 'unavailable'
  /** An operation began and its result is unknown or late: the device may have signed. */
  | 'indeterminate'
  /** Blob, associated data or key do not belong together. */
  | 'rejected'
  /** The device does not take our PIN; to ask again would lock it. */
  | 'refused'
  | 'not_found'
  | 'exists'
  /** Mechanism, key and digest do not fit, or the device lacks the mechanism. */
  | 'unsupported'

export class HsmError extends Error {
  readonly code: HsmErrorCode
  constructor(code: HsmErrorCode, message: string, options?: { cause?: unknown }) {
    super(message, options)
    this.name = 'HsmError'
    this.code = code
  }
}
