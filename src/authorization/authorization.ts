import type { DigestAlgorithm } from '../digest.js'
import type { AuthorizationId, ClientId, CredentialId, SessionId, SignerId } from '../ids.js'

/** The signer's recorded agreement to sign with one credential until a given time, as the database keeps it. */
export interface Authorization {
  readonly id: AuthorizationId
  readonly signer_id: SignerId
  readonly client_id: ClientId
  readonly credential_id: CredentialId
  readonly session_id: SessionId
  readonly sad_hash: Uint8Array
  /** `bound`: these digests and no others. `open`: a number of signatures. */
  readonly kind: 'bound' | 'open'
  /** What the client said the digests are of, where it said it. */
  readonly digest_algorithm: DigestAlgorithm | null
  readonly digests: readonly Uint8Array[] | null
  readonly total: number
  /** JSON: which factor and step, and whether a PIN, agreed. */
  readonly evidence: string
  readonly expires_at: Date
  readonly binding: Uint8Array
}

/** Fields under the row binding: all but the counters, which only grow. */
export function authorizationFields(a: Omit<Authorization, 'binding'>) {
  return [
    a.id,
    a.signer_id,
    a.client_id,
    a.credential_id,
    a.session_id,
    a.sad_hash,
    a.kind,
    a.digest_algorithm,
    a.digests,
    a.total,
    a.evidence,
    a.expires_at,
  ]
}

/** Whether every wanted digest, counted with its repetitions, is among the authorized ones. */
export function covers(authorized: readonly Uint8Array[], wanted: readonly Uint8Array[]): boolean {
  const free = new Map<string, number>()
  for (const digest of authorized) {
    const key = Buffer.from(digest).toString('latin1')
    free.set(key, (free.get(key) ?? 0) + 1)
  }
  return wanted.every((digest) => {
    const key = Buffer.from(digest).toString('latin1')
    const left = free.get(key) ?? 0
    free.set(key, left - 1)
    return left > 0
  })
}
