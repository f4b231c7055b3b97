import { hash } from 'node:crypto'
import type { KeySpec, SignerKey } from '../hsm/hsm.js'
import type { CredentialId, SignerId } from '../ids.js'

/** `expired` is never stored: it follows from the certificate's dates. */
export type CredentialState = 'pending' | 'active' | 'suspended' | 'revoked'

/** A key in the device and its certificate, belonging to one signer, as the database keeps it. */
export interface Credential {
  readonly id: CredentialId
  readonly signer_id: SignerId
  readonly spec: KeySpec
  readonly state: CredentialState
  readonly description: string | null
  readonly scal: '1' | '2'
  /** Signatures one authorization may cover at most. */
  readonly multisign: number
  readonly session_wide: boolean
  /** JSON; null is the default. See policy.ts. */
  readonly policy: string | null
  readonly pin_hash: string | null
  /** Grows with each new key. */
  readonly generation: number
  /** Grows with each change of the row. */
  readonly version: number
  /** DER SubjectPublicKeyInfo; empty until the device has made the key. */
  readonly public_key: Uint8Array
  readonly blob: Uint8Array
  readonly request: Uint8Array | null
  /** DER, leaf first. */
  readonly chain: readonly Uint8Array[]
  readonly subject_dn: string | null
  readonly issuer_dn: string | null
  readonly serial_number: string | null
  readonly not_before: Date | null
  readonly not_after: Date | null
  readonly binding: Uint8Array
}

export const CREDENTIAL_COLUMNS = `id, signer_id, spec, state, description, scal, multisign, session_wide, policy, pin_hash, generation, version,
  public_key, blob, request, chain, subject_dn, issuer_dn, serial_number, not_before, not_after, binding`

/** Fields under the row binding: owner, key, certificate, policy and state. */
export function credentialFields(
  c: Omit<Credential, 'binding' | 'version' | 'description' | 'request' | 'subject_dn' | 'issuer_dn'>,
) {
  return [
    c.id,
    c.signer_id,
    c.spec,
    c.state,
    c.scal,
    c.multisign,
    c.session_wide,
    c.pin_hash,
    c.generation,
    c.public_key,
    hash('sha256', c.blob, 'buffer'),
    c.chain,
    c.serial_number,
    c.not_before,
    c.not_after,
    // Rows from before the column was there have not got it.
    ...(c.policy === null ? [] : [c.policy]),
  ]
}

/** What the key's blob is sealed to: it opens for no other credential, signer or generation. */
export function keyAssociatedData(c: Pick<Credential, 'id' | 'signer_id' | 'generation'>): Uint8Array {
  return Buffer.from(['paraph/key/v1', c.id, c.signer_id, c.generation].join('\n'))
}

export function signerKey(c: Pick<Credential, 'id' | 'signer_id' | 'generation' | 'spec' | 'blob'>): SignerKey {
  return {
    kind: 'signer',
    cacheId: `${c.id}.${c.generation}`,
    spec: c.spec,
    blob: c.blob,
    associatedData: keyAssociatedData(c),
  }
}

/** SHA-256 of the SubjectPublicKeyInfo, base64url: what the log calls the key. */
export function keyName(publicKey: Uint8Array): string {
  return hash('sha256', publicKey, 'base64url')
}
