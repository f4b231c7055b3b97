import { createHmac, hash } from 'node:crypto'
import type { ApprovalKind, Origin } from '../activation.js'
import type { AuditEvent } from '../audit/event.js'
import type { Tx } from '../audit/transaction-log.js'
import { type RowBinding, TamperedRow } from '../binding.js'
import type { Credential } from '../credentials/credential.js'
import { readCredential } from '../credentials/credential-store.js'
import { allowsClient, sessionCeiling } from '../credentials/policy.js'
import { requireUsable } from '../credentials/require-usable.js'
import type { DigestAlgorithm } from '../digest.js'
import { ServiceError } from '../errors.js'
import type { Caller } from '../identity/caller.js'
import { REMEMBERED_SECONDS } from '../identity/session.js'
import type { ApprovalId, ClientId, CredentialId, SessionId, SignerId } from '../ids.js'

/** What a signer is asked to agree to on our own pages, and what became of it, as the database keeps it. */
export interface Approval {
  readonly id: ApprovalId
  /** SHA-256 of the name under which it was asked for: a handle, or the uid of an OAuth interaction. */
  readonly name_hash: Uint8Array
  readonly kind: ApprovalKind
  readonly way: 'oauth' | 'handle'
  /** What was revoked after it was exchanged, or is used up, is `denied` again. */
  readonly state: 'pending' | 'approved' | 'denied' | 'exchanged'
  readonly client_id: ClientId
  /** The session that asked, of a handle. */
  readonly session_id: SessionId | null
  /** Nobody yet, until the signer whose credential it is reads it. */
  readonly signer_id: SignerId | null
  readonly credential_id: CredentialId | null
  readonly qualifier: string | null
  readonly digest_algorithm: DigestAlgorithm | null
  readonly digests: readonly Uint8Array[] | null
  readonly labels: readonly string[] | null
  readonly total: number | null
  readonly description: string | null
  /** JSON: what shall be made; or the credential that was asked for and does not exist. */
  readonly details: string | null
  /** Whether the signer chose that the client may come back without asking. */
  readonly remember: boolean
  readonly nonce: Uint8Array
  /** JSON: which factor agreed, in which session of our pages, and for what is used once, the SHA-256 of its token. */
  readonly evidence: string | null
  readonly created_at: Date
  /** Until when it can be answered; of a remembered one that was exchanged, until when the client may come back. */
  readonly expires_at: Date
  readonly decided_at: Date | null
  readonly exchanged_at: Date | null
  /** How many signatures the session may have, where the signer chose that it may have further ones. */
  readonly session_ceiling: number | null
  readonly binding: Uint8Array
}

export const APPROVAL_COLUMNS = `id, name_hash, kind, way, state, client_id, session_id, signer_id, credential_id, qualifier, digest_algorithm,
  digests, labels, total, description, details, remember, nonce, evidence, created_at, expires_at, decided_at, exchanged_at,
  session_ceiling, binding`

/** Fields under the row binding: everything. */
export function approvalFields(a: Omit<Approval, 'binding'>) {
  return [
    a.id,
    a.name_hash,
    a.kind,
    a.way,
    a.state,
    a.client_id,
    a.session_id,
    a.signer_id,
    a.credential_id,
    a.qualifier,
    a.digest_algorithm,
    a.digests,
    a.labels?.map((label) => Buffer.from(label)),
    a.total,
    a.description,
    a.details,
    a.remember,
    a.nonce,
    a.evidence,
    a.created_at,
    a.expires_at,
    a.decided_at,
    a.exchanged_at,
    // Under its name, and only where it is not as rows of before 0007 are.
    ...(a.session_ceiling === null ? [] : ['session_ceiling', a.session_ceiling]),
  ]
}

/** The only form in which a name is stored. */
export function nameHash(name: string): Buffer {
  return hash('sha256', `paraph/approval/v1\n${name}`, 'buffer')
}

/**
 * Six digits that the page shows and that a client can compute as well once it has the nonce, so that a signer sees
 * that both speak of the same files. The nonce is drawn after the digests are fixed: nobody can choose files for a code.
 */
export function comparisonCode(
  a: Pick<Approval, 'id' | 'client_id' | 'credential_id' | 'digest_algorithm' | 'digests' | 'total' | 'nonce'>,
): string {
  const lines = [
    'paraph/comparison/v1',
    a.id,
    a.client_id,
    a.credential_id ?? '',
    a.digest_algorithm ?? '',
    String(a.total ?? 0),
    ...(a.digests ?? []).map((digest) => Buffer.from(digest).toString('base64url')),
  ]
  const mac = createHmac('sha256', a.nonce).update(lines.join('\n')).digest()
  return String(mac.readUIntBE(0, 6) % 1_000_000).padStart(6, '0')
}

/**
 * All that the signer agrees to, a line each: what a passkey's assertion is made over is its SHA-256. Whoever has these
 * lines and the assertion can see for himself what was approved.
 */
export function approvalStatement(
  a: Pick<
    Approval,
    | 'id'
    | 'kind'
    | 'client_id'
    | 'credential_id'
    | 'digest_algorithm'
    | 'digests'
    | 'total'
    | 'details'
    | 'nonce'
    | 'expires_at'
    | 'session_ceiling'
  >,
): string {
  const what = a.session_ceiling !== null ? '-session' : a.kind === 'credential' ? '' : `-${a.kind}`
  return [
    `paraph/approve${what}/v1`,
    Buffer.from(a.nonce).toString('base64url'),
    a.id,
    a.client_id,
    a.credential_id ?? '',
    a.digest_algorithm ?? '',
    String(a.total ?? 0),
    a.expires_at.toISOString(),
    // How many signatures in all, and for how many seconds, where further files may follow.
    ...(a.session_ceiling === null ? [] : [String(a.session_ceiling), String(REMEMBERED_SECONDS)]),
    ...(a.digests ?? []).map((digest) => Buffer.from(digest).toString('base64url')),
    ...(a.kind === 'creation' ? [a.details ?? ''] : []),
  ].join('\n')
}

/** The challenge of a passkey's assertion. */
export function approvalChallenge(approval: Parameters<typeof approvalStatement>[0]): Buffer {
  return hash('sha256', approvalStatement(approval), 'buffer')
}

/** An approval locked until the end of the transaction, and the database's time. */
export interface LockedApproval {
  readonly approval: Approval
  readonly now: Date
}

/**
 * The approval of that name or id, locked, its binding checked.
 * @throws ServiceError `approval_unknown`; TamperedRow
 */
export async function lockApproval(
  tx: Tx,
  binding: RowBinding,
  which: { name: string } | { id: string },
): Promise<LockedApproval> {
  const [condition, value] = 'name' in which ? ['name_hash = $1', nameHash(which.name)] : ['id = $1', which.id]
  const { rows } = await tx.query(
    `select ${APPROVAL_COLUMNS}, paraph.now() as now from paraph.approval where ${condition} for update`,
    [value],
  )
  const row = rows[0] as (Approval & { now: Date }) | undefined
  if (row === undefined) throw new ServiceError('approval_unknown')
  const { now, ...approval } = row
  if (!binding.fits('approval', approvalFields(approval), approval.binding)) throw new TamperedRow('approval')
  return { approval, now }
}

/** Writes what became of it; the caller holds the row's lock. */
export async function writeApproval(
  tx: Tx,
  binding: RowBinding,
  before: Approval,
  changes: Partial<Approval>,
): Promise<Approval> {
  const after = { ...before, ...changes }
  const sealed = { ...after, binding: binding.mac('approval', approvalFields(after)) }
  await tx.query(
    `update paraph.approval set state = $2, signer_id = $3, credential_id = $4, remember = $5, evidence = $6, decided_at = $7,
            exchanged_at = $8, expires_at = $9, binding = $10, session_ceiling = $11 where id = $1`,
    [
      sealed.id,
      sealed.state,
      sealed.signer_id,
      sealed.credential_id,
      sealed.remember,
      sealed.evidence,
      sealed.decided_at,
      sealed.exchanged_at,
      sealed.expires_at,
      sealed.binding,
      sealed.session_ceiling,
    ],
  )
  return sealed
}

/**
 * The signer's usable credential that the approval names, if its policy allows what is asked for; to delete it, it need
 * not be usable, but have its key.
 * @throws ServiceError `credential_unknown`, `client_not_allowed`, `credential_disabled`, `certificate_expired`, `signature_count_too_high`,
 *   `digests_missing`; TamperedRow
 */
export async function requireApprovable(
  tx: Tx,
  binding: RowBinding,
  asked: Pick<Approval, 'kind' | 'total' | 'digests' | 'client_id'>,
  whose: { signer: SignerId; credential: CredentialId },
  now: number,
): Promise<Credential> {
  const found = await readCredential(tx, binding, whose.credential)
  const caller = { signerId: whose.signer, clientId: asked.client_id }
  if (asked.kind === 'deletion') return requireDeletable(caller, found)
  const credential = requireUsable(caller, found, now)
  if (asked.total === null || asked.total > credential.multisign) throw new ServiceError('signature_count_too_high')
  if (asked.digests === null && credential.scal === '2') throw new ServiceError('digests_missing')
  return credential
}

/**
 * How many signatures the session may have if the signer chooses on the page that further files may follow; undefined where
 * the credential's policy does not let him choose it for this client.
 */
export function offeredCeiling(
  credential: Credential,
  asked: Pick<Approval, 'kind' | 'client_id' | 'total'>,
): number | undefined {
  if (asked.kind !== 'credential') return undefined
  const ceiling = sessionCeiling(credential, asked.client_id)
  return ceiling !== undefined && ceiling >= (asked.total ?? 1) ? ceiling : undefined
}

/** @throws ServiceError `credential_unknown` also for one without a certificate, `client_not_allowed` */
function requireDeletable(
  caller: Pick<Caller, 'signerId' | 'clientId'>,
  credential: Credential | undefined,
): Credential {
  const there = credential?.state === 'active' || credential?.state === 'suspended'
  if (!there || credential.signer_id !== caller.signerId) throw new ServiceError('credential_unknown')
  if (!allowsClient(credential, caller.clientId)) throw new ServiceError('client_not_allowed')
  return credential
}

type ApprovalEvent = 'approval.requested' | 'approval.granted' | 'approval.denied'

/** What the log says of an approval, but for what became of it. */
export function approvalEvent<Type extends ApprovalEvent>(
  type: Type,
  approval: Pick<Approval, 'id' | 'kind' | 'way' | 'client_id' | 'signer_id' | 'credential_id' | 'total' | 'digests'>,
  origin: Origin,
  session: SessionId | null,
) {
  const { signer_id: signer, credential_id: credential } = approval
  return {
    type,
    outcome: 'ok',
    actor: signer === null ? { kind: 'client', id: approval.client_id } : { kind: 'signer', id: signer },
    origin,
    facts: {
      kind: approval.kind,
      way: approval.way,
      ...(approval.total === null ? {} : { total: approval.total }),
    },
    evidence: {
      client: approval.client_id,
      approval: approval.id,
      ...(signer === null ? {} : { signer }),
      ...(credential === null ? {} : { credential }),
      ...(session === null ? {} : { session }),
    },
    ...(approval.digests === null ? {} : { digests: approval.digests }),
  } as const satisfies AuditEvent
}
