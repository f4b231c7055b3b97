import type { Credential } from '../credentials/credential.js'
import type { Digest } from '../digest.js'
import { HsmError, type Mechanism } from '../hsm/hsm.js'
import { VerificationKey } from '../hsm/openssl.js'

const MAX_KEYS = 4096

/**
 * Checks signatures over their digests with the certificate's public key, outside the device: a faulty module, a swapped
 * key or a wrong certificate gives an error, never a signature. Public keys are parsed once and the most recent kept.
 */
export class SignatureVerifier {
  readonly #keys = new Map<string, VerificationKey>()

  /** @throws HsmError `indeterminate` when any signature is not right: the device signed something, but not this. */
  requireValid(
    credential: Credential,
    mechanism: Mechanism,
    digests: readonly Digest[],
    signatures: readonly Uint8Array[],
  ): void {
    const key = this.#key(credential)
    digests.forEach((digest, i) => {
      const signature = signatures[i]
      if (signature === undefined || !key.verify(mechanism, digest, signature)) {
        throw new HsmError('indeterminate', 'the device returned a signature that does not verify')
      }
    })
  }

  #key(credential: Credential): VerificationKey {
    const name = `${credential.id}.${credential.generation}`
    let key = this.#keys.get(name)
    if (key === undefined) {
      key = new VerificationKey(credential.public_key)
      if (this.#keys.size >= MAX_KEYS) {
        const oldest = this.#keys.entries().next().value
        if (oldest !== undefined) {
          this.#keys.delete(oldest[0])
          oldest[1].close()
        }
      }
      this.#keys.set(name, key)
    }
    return key
  }
}
