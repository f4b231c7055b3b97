import { type ApprovalKind, type Origin, SCOPE_OF_KIND } from '../activation.js'
import type { Record, Tx } from '../audit/transaction-log.js'
import type { RowBinding } from '../binding.js'
import { ServiceError } from '../errors.js'
import { type Caller, callerOf, TOKEN_COLUMNS, TOKEN_JOINS, type TokenRow } from '../identity/caller.js'
import { secretHash } from '../identity/secret-value.js'
import { endSessions } from '../identity/session.js'
import { type Approval, lockApproval, writeApproval } from './approval.js'

/** What a token stands for that is good for one thing, once. */
export interface Spendable {
  readonly caller: Caller
  /** Locked until the end of the transaction. */
  readonly approval: Approval
}

/** Kinds whose token does what was agreed to by the approval itself, once. */
export function isSpendable(kind: ApprovalKind): boolean {
  return kind === 'creation' || kind === 'deletion'
}

interface Bound {
  readonly token?: string
}

/** Evidence that also says which token was made of it. @param tokenHash base64 */
export function withToken(evidence: string | null, tokenHash: string): string {
  return JSON.stringify({ ...JSON.parse(evidence ?? '{}'), token: tokenHash })
}

/**
 * The approval whose token this is, not used yet. The row of a token is not bound, so that the approval, which is, must
 * name it: whoever can write tokens still makes nothing of what a signer approved for another.
 * @throws ServiceError `token_unknown`, `token_expired` also for one that is used up, `scope_missing`; TamperedRow
 */
export async function lockSpendable(
  tx: Tx,
  binding: RowBinding,
  kind: ApprovalKind,
  bearer: string,
): Promise<Spendable> {
  const hash = secretHash(bearer)
  const { rows } = await tx.query<TokenRow & { approval_id: string | null }>(
    `select ${TOKEN_COLUMNS}, t.approval_id from (select $1::bytea as hash) q left join paraph.token t on t.hash = q.hash ${TOKEN_JOINS}`,
    [hash],
  )
  const caller = callerOf(rows[0])
  if (typeof caller === 'string') throw new ServiceError(caller)
  if (caller.scope !== SCOPE_OF_KIND[kind]) throw new ServiceError('scope_missing')
  const id = rows[0]?.approval_id ?? null
  if (id === null) throw new ServiceError('token_unknown')
  const { approval } = await lockApproval(tx, binding, { id })
  const { token } = JSON.parse(approval.evidence ?? '{}') as Bound
  const own = approval.signer_id === caller.signerId && approval.client_id === caller.clientId
  if (!own || approval.kind !== kind || token !== Buffer.from(hash).toString('base64')) {
    throw new ServiceError('token_unknown')
  }
  if (approval.state !== 'exchanged') throw new ServiceError('token_expired')
  return { caller, approval }
}

/** Uses it up, with its token and its session; part of the transaction that locked it. */
export async function spend(
  tx: Tx,
  record: Record,
  binding: RowBinding,
  { caller, approval }: Spendable,
  origin: Origin,
): Promise<void> {
  await writeApproval(tx, binding, approval, { state: 'denied' })
  await tx.query('update paraph.token set revoked_at = coalesce(revoked_at, paraph.now()) where family = $1', [
    approval.id,
  ])
  await endSessions(tx, record, { session: caller.sessionId }, 'used_up', origin)
}
