import koffi from 'koffi'
import type { Digest, DigestAlgorithm } from '../digest.js'
import type { KeySpec, Mechanism } from './hsm.js'
import { fits } from './mechanisms.js'
import { specOfPublicKey } from './public-key.js'

/**
 * Signing and verifying over ready digests, by the OpenSSL inside Node. Neither node:crypto nor WebCrypto does that: both
 * want the message, and hash it themselves.
 *
 * Everything here is synchronous and takes 60 to 90 microseconds for a P-256 verification on an ordinary server.
 */

type Pointer = bigint

const inNode = koffi.load(null)

function native<Call>(declaration: string): Call {
  return inNode.func(declaration) as unknown as Call
}

const bioOver = native<(bytes: Uint8Array, length: number) => Pointer | null>(
  'void *BIO_new_mem_buf(const void *bytes, int length)',
)
const bioFree = native<(bio: Pointer) => number>('int BIO_free(void *bio)')
const readPublicKey = native<(bio: Pointer, none: null) => Pointer | null>(
  'void *d2i_PUBKEY_bio(void *bio, void *none)',
)
const readPrivateKey = native<(bio: Pointer, none: null) => Pointer | null>(
  'void *d2i_PrivateKey_bio(void *bio, void *none)',
)
const keyFree = native<(key: Pointer) => void>('void EVP_PKEY_free(void *key)')
const keySize = native<(key: Pointer) => number>('int EVP_PKEY_get_size(void *key)')
const contextNew = native<(key: Pointer, engine: null) => Pointer | null>(
  'void *EVP_PKEY_CTX_new(void *key, void *engine)',
)
const contextFree = native<(context: Pointer) => void>('void EVP_PKEY_CTX_free(void *context)')
const verifyInit = native<(context: Pointer) => number>('int EVP_PKEY_verify_init(void *context)')
const signInit = native<(context: Pointer) => number>('int EVP_PKEY_sign_init(void *context)')
const setHash = native<(context: Pointer, hash: Pointer) => number>(
  'int EVP_PKEY_CTX_set_signature_md(void *context, const void *hash)',
)
const setPadding = native<(context: Pointer, padding: number) => number>(
  'int EVP_PKEY_CTX_set_rsa_padding(void *context, int padding)',
)
const setSaltLength = native<(context: Pointer, length: number) => number>(
  'int EVP_PKEY_CTX_set_rsa_pss_saltlen(void *context, int length)',
)
const evpVerify = native<
  (context: Pointer, signature: Uint8Array, length: number, digest: Uint8Array, digestLength: number) => number
>('int EVP_PKEY_verify(void *context, const void *signature, size_t length, const void *digest, size_t digestLength)')
const evpSign = native<
  (context: Pointer, signature: Buffer, length: BigUint64Array, digest: Uint8Array, digestLength: number) => number
>('int EVP_PKEY_sign(void *context, void *signature, void *length, const void *digest, size_t digestLength)')
const clearErrors = native<() => void>('void ERR_clear_error()')

const HASH: Readonly<Record<DigestAlgorithm, Pointer>> = {
  'sha-256': native<() => Pointer>('const void *EVP_sha256()')(),
  'sha-384': native<() => Pointer>('const void *EVP_sha384()')(),
  'sha-512': native<() => Pointer>('const void *EVP_sha512()')(),
}
const RSA_PKCS1_PADDING = 1
const RSA_PKCS1_PSS_PADDING = 6

/** Frees keys whose owner forgot to close them. */
const forgotten = new FinalizationRegistry<Pointer>((key) => keyFree(key))

/** A parsed key of OpenSSL; usable until closed. */
class NativeKey {
  #pointer: Pointer | undefined
  readonly spec: KeySpec

  protected constructor(der: Uint8Array, spec: KeySpec, read: (bio: Pointer, none: null) => Pointer | null) {
    this.spec = spec
    this.#pointer = parse(der, read)
    forgotten.register(this, this.#pointer, this)
  }

  /** Runs one operation in a context of its own, set up for the mechanism. */
  protected inContext<Result>(
    mechanism: Mechanism,
    init: (context: Pointer) => number,
    operation: (context: Pointer, key: Pointer) => Result,
  ): Result {
    const key = this.#pointer
    if (key === undefined) throw new Error('the key is closed')
    const context = contextNew(key, null)
    if (context === null) throw new Error('OpenSSL has no memory for the operation')
    try {
      if (init(context) <= 0 || !configure(context, mechanism)) throw new Error('OpenSSL refuses the mechanism')
      return operation(context, key)
    } finally {
      contextFree(context)
      // What failed here must not show up as the reason of a later failure in node:crypto.
      clearErrors()
    }
  }

  /** Frees the key now instead of whenever it is collected. May be called again. */
  close(): void {
    if (this.#pointer === undefined) return
    forgotten.unregister(this)
    keyFree(this.#pointer)
    this.#pointer = undefined
  }
}

/** A public key, parsed once and used for many verifications. */
export class VerificationKey extends NativeKey {
  /**
   * @param publicKey DER SubjectPublicKeyInfo of one of the kinds in `KeySpec`
   * @throws TypeError when it is anything else
   */
  constructor(publicKey: Uint8Array) {
    super(publicKey, specOfPublicKey(publicKey), readPublicKey)
  }

  /**
   * Whether `signature` was made over exactly this digest with this mechanism. Strict: RSA with the length of the modulus, PSS
   * with exactly the given salt length, ECDSA in DER without a spare byte. False too when mechanism, key and digest do not fit.
   */
  verify(mechanism: Mechanism, digest: Digest, signature: Uint8Array): boolean {
    if (!fits(this.spec, mechanism, digest) || signature.length === 0) return false
    return this.inContext(
      mechanism,
      verifyInit,
      (context) => evpVerify(context, signature, signature.length, digest.bytes, digest.bytes.length) === 1,
    )
  }
}

/** A private key in the memory of this process: for the memory device, which is for development. */
export class SigningKey extends NativeKey {
  /** @throws TypeError when `privateKey` is not PKCS#8 DER */
  constructor(privateKey: Uint8Array, spec: KeySpec) {
    super(privateKey, spec, readPrivateKey)
  }

  /**
   * RSA: as long as the modulus. ECDSA: DER `ECDSA-Sig-Value`.
   * @throws Error when mechanism, key and digest do not fit
   */
  sign(mechanism: Mechanism, digest: Digest): Uint8Array {
    if (!fits(this.spec, mechanism, digest)) throw new Error('key, mechanism and digest do not fit')
    return this.inContext(mechanism, signInit, (context, key) => {
      const signature = Buffer.alloc(keySize(key))
      const length = BigUint64Array.of(BigInt(signature.length))
      if (evpSign(context, signature, length, digest.bytes, digest.bytes.length) !== 1) {
        throw new Error('OpenSSL could not sign')
      }
      return signature.subarray(0, Number(length[0]))
    })
  }
}

function parse(der: Uint8Array, read: (bio: Pointer, none: null) => Pointer | null): Pointer {
  const bio = bioOver(der, der.length)
  if (bio === null) throw new Error('OpenSSL has no memory for the key')
  try {
    const key = read(bio, null)
    if (key === null) throw new TypeError('OpenSSL cannot read the key')
    return key
  } finally {
    bioFree(bio)
    clearErrors()
  }
}

function configure(context: Pointer, mechanism: Mechanism): boolean {
  const hash = HASH[mechanism.hash]
  switch (mechanism.scheme) {
    case 'ecdsa':
      return setHash(context, hash) > 0
    case 'rsa-pkcs1':
      return setPadding(context, RSA_PKCS1_PADDING) > 0 && setHash(context, hash) > 0
    case 'rsa-pss':
      // MGF1 takes the same hash unless told otherwise.
      return (
        setPadding(context, RSA_PKCS1_PSS_PADDING) > 0 &&
        setHash(context, hash) > 0 &&
        setSaltLength(context, mechanism.saltLength) > 0
      )
  }
}

/** Verifies once, for callers that see a key only once; the others keep a `VerificationKey`. */
export function verifyDigest(
  publicKey: Uint8Array,
  mechanism: Mechanism,
  digest: Digest,
  signature: Uint8Array,
): boolean {
  const key = new VerificationKey(publicKey)
  try {
    return key.verify(mechanism, digest, signature)
  } finally {
    key.close()
  }
}
