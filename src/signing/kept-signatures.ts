import { createCipheriv, createDecipheriv, hkdfSync, randomBytes } from 'node:crypto'
import type { CredentialId, OperationId } from '../ids.js'

/** What kept signatures belong to; under anything else they do not open. */
export interface Belonging {
  readonly operation: OperationId
  readonly credential: CredentialId
  /** SHA-256 of what was asked for. */
  readonly body: Uint8Array
}

const NONCE = 12
const TAG = 16

/**
 * Signatures as they are kept for a client that asks again: AES-256-GCM under a key that only the SAD gives (HKDF-SHA-256,
 * RFC 5869). The database has the SAD's hash and nothing that leads to the SAD, so that whoever reads it reads none of them.
 */
export function encryptSignatures(signatures: readonly Uint8Array[], sad: string, to: Belonging): Buffer {
  const nonce = randomBytes(NONCE)
  const cipher = createCipheriv('aes-256-gcm', keyOf(sad, to), nonce).setAAD(associatedData(to))
  const text = JSON.stringify(signatures.map((bytes) => Buffer.from(bytes).toString('base64')))
  return Buffer.concat([nonce, cipher.update(text), cipher.final(), cipher.getAuthTag()])
}

/** @throws Error when SAD or belonging are others, or a byte was changed */
export function decryptSignatures(kept: Uint8Array, sad: string, to: Belonging): Uint8Array[] {
  if (kept.length < NONCE + TAG) throw new RangeError('too short')
  const decipher = createDecipheriv('aes-256-gcm', keyOf(sad, to), kept.subarray(0, NONCE), { authTagLength: TAG })
  decipher.setAAD(associatedData(to)).setAuthTag(kept.subarray(kept.length - TAG))
  const text = Buffer.concat([decipher.update(kept.subarray(NONCE, kept.length - TAG)), decipher.final()]).toString()
  return (JSON.parse(text) as string[]).map((signature) => Buffer.from(signature, 'base64'))
}

function keyOf(sad: string, { operation }: Belonging): Buffer {
  return Buffer.from(hkdfSync('sha256', sad, operation, 'paraph/retry/v1', 32))
}

function associatedData({ operation, credential, body }: Belonging): Buffer {
  return Buffer.concat([Buffer.from(`paraph/retry/v1\n${operation}\n${credential}\n`), body])
}
