import type { Tx } from '../audit/transaction-log.js'
import type { RowBinding } from '../binding.js'
import type { DigestAlgorithm } from '../digest.js'
import type { ApprovalId, AuthorizationId, ClientId, CredentialId, SessionId, SignerId } from '../ids.js'

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
  /** Serves all files of a remembered session: more digests may come to it. */
  readonly session_wide: boolean
  /** `token`: named by an access token, whose session is its own; it serves any session of its signer and client. */
  readonly via: 'session' | 'token'
  readonly approval_id: ApprovalId | null
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
    // Each under its name, and only where it is not as rows of before 0003 are.
    ...(a.via === 'session' ? [] : ['via', a.via]),
    ...(a.approval_id === null ? [] : ['approval', a.approval_id]),
    ...(a.session_wide ? ['session_wide'] : []),
  ]
}

/** Records an agreement, bound, with its whole budget ahead of it. */
export async function insertAuthorization(
  tx: Tx,
  binding: RowBinding,
  row: Omit<Authorization, 'binding'>,
  more: { description: string | null; createdAt: Date },
): Promise<void> {
  await tx.query(
    `insert into paraph.authorization (id, signer_id, client_id, credential_id, session_id, sad_hash, kind, digest_algorithm, digests,
       remaining, total, evidence, description, created_at, expires_at, via, approval_id, session_wide, binding)
     values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18)`,
    [
      row.id,
      row.signer_id,
      row.client_id,
      row.credential_id,
      row.session_id,
      row.sad_hash,
      row.kind,
      row.digest_algorithm,
      row.digests,
      row.total,
      row.evidence,
      more.description,
      more.createdAt,
      row.expires_at,
      row.via,
      row.approval_id,
      row.session_wide,
      binding.mac('authorization', authorizationFields(row)),
    ],
  )
}

/** Those of the wanted digests, counted with their repetitions, that are not among the authorized ones. */
export function notAmong(authorized: readonly Uint8Array[], wanted: readonly Uint8Array[]): Uint8Array[] {
  const free = new Map<string, number>()
  for (const digest of authorized) {
    const key = Buffer.from(digest).toString('latin1')
    free.set(key, (free.get(key) ?? 0) + 1)
  }
  return wanted.filter((digest) => {
    const key = Buffer.from(digest).toString('latin1')
    const left = free.get(key) ?? 0
    free.set(key, left - 1)
    return left <= 0
  })
}
