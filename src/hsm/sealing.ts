import { randomBytes } from 'node:crypto'
import type { Connection } from './connection.js'
import { HsmError } from './hsm.js'
import { gcm, returnValue } from './pkcs11.js'
import { NONCE_LENGTH, type SealedBox, TAG_LENGTH } from './sealed-blob.js'
import { newest } from './token-keys.js'

/** Encrypts under the newest sealing key of the token. @throws HsmError `unavailable`, or an error of the binding */
export function seal(connection: Connection, plaintext: Uint8Array, context: Buffer): SealedBox {
  const [epoch, key] = newest(connection.keys.seals) ?? []
  if (epoch === undefined || key === undefined) {
    throw new HsmError('unavailable', 'the token has no sealing key: make one with paraph hsm init')
  }
  const nonce = randomBytes(NONCE_LENGTH)
  const input = bytes(plaintext)
  const ciphertext = connection.operate((session) => {
    connection.pkcs11.C_EncryptInit(session, gcm(nonce, context), key)
    return connection.pkcs11.C_Encrypt(session, input, Buffer.alloc(input.length + TAG_LENGTH))
  })
  return { epoch, nonce, ciphertext }
}

/** @throws HsmError `rejected` when it was not sealed by this token in this context, or an error of the binding */
export function unseal(connection: Connection, box: SealedBox, context: Buffer): Buffer {
  const key = connection.keys.seals.get(box.epoch)
  if (key === undefined) throw new HsmError('rejected', 'sealed under a key that this device does not have')
  const nonce = bytes(box.nonce)
  const input = bytes(box.ciphertext)
  let decrypting = false
  try {
    return connection.operate((session) => {
      connection.pkcs11.C_DecryptInit(session, gcm(nonce, context), key)
      decrypting = true
      // Some modules want room for the tag even here.
      return connection.pkcs11.C_Decrypt(session, input, Buffer.alloc(input.length))
    })
  } catch (error) {
    if (decrypting && MAYBE_WRONG_TAG.has(returnValue(error) ?? -1) && canSeal(connection)) {
      throw new HsmError('rejected', 'not what was sealed, or not in this place', { cause: error })
    }
    throw error
  }
}

/** What devices answer to a wrong tag. The first two also mean that something is broken, and SoftHSM uses the first. */
const MAYBE_WRONG_TAG: ReadonlySet<number> = new Set([
  0x05, // CKR_GENERAL_ERROR
  0x06, // CKR_FUNCTION_FAILED
  0x35, // CKR_AEAD_DECRYPT_FAILED
  0x40, // CKR_ENCRYPTED_DATA_INVALID
  0x41, // CKR_ENCRYPTED_DATA_LEN_RANGE
])

/** A device that works with its newest key now has not failed a moment ago: then it was the data. */
function canSeal(connection: Connection): boolean {
  try {
    seal(connection, Buffer.of(1), Buffer.of(1))
    return true
  } catch {
    return false
  }
}

/** As a buffer with an address even when it is empty: the binding hands on a null pointer otherwise, which devices refuse. */
function bytes(data: Uint8Array): Buffer {
  const copy = Buffer.alloc(data.length + 1)
  copy.set(data)
  return copy.subarray(0, data.length)
}
