import type { FrontVerbs } from '../activation.js'
import { ServiceError } from '../errors.js'
import { endSessions } from '../identity/session.js'
import type { SessionId, SignerId } from '../ids.js'
import { lockApproval, writeApproval } from './approval.js'
import type { ApprovalServices } from './request-approval.js'

type Empty = { [key: string]: never }

/**
 * Ends what a signer agreed to: no more tokens of it, and the sessions of those that there are. One that was not
 * exchanged yet stays, since whoever exchanges it has not been heard of.
 */
export async function revokeGrant(
  services: ApprovalServices,
  request: FrontVerbs['revokeGrant']['request'],
): Promise<Empty> {
  const { transactions, binding } = services
  return transactions.transact(async (tx, record) => {
    const found = await lockApproval(tx, binding, { name: request.name }).catch((error: unknown) => {
      if (error instanceof ServiceError && error.code === 'approval_unknown') return undefined
      throw error
    })
    if (found === undefined || found.approval.state !== 'exchanged') return {}
    const { approval } = found
    await writeApproval(tx, binding, approval, { state: 'denied' })
    await tx.query('update paraph.token set revoked_at = coalesce(revoked_at, paraph.now()) where family = $1', [
      approval.id,
    ])
    await endSessions(tx, record, { family: approval.id }, request.why, request.origin)
    record({
      type: 'auth.token_revoked',
      outcome: 'ok',
      actor: { kind: 'client', id: approval.client_id },
      origin: request.origin,
      why: request.why,
      facts: { kind: 'grant' },
      evidence: { client: approval.client_id, ...(approval.signer_id === null ? {} : { signer: approval.signer_id }) },
    })
    return {}
  })
}

/**
 * Ends one access token of a client and its session (RFC 7009).
 * @returns whether there was one
 */
export async function revokeAccessToken(
  services: ApprovalServices,
  request: FrontVerbs['revokeAccess']['request'],
): Promise<FrontVerbs['revokeAccess']['response']> {
  return services.transactions.transact(async (tx, record) => {
    const { rows } = await tx.query<{ session_id: SessionId; signer_id: SignerId | null }>(
      `update paraph.token set revoked_at = paraph.now()
        where hash = $1 and client_id = $2 and kind = 'access' and revoked_at is null and expires_at > paraph.now()
       returning session_id, signer_id`,
      [Buffer.from(request.tokenHash, 'base64'), request.clientId],
    )
    const token = rows[0]
    if (token === undefined) return { found: false }
    record({
      type: 'auth.token_revoked',
      outcome: 'ok',
      actor: { kind: 'client', id: request.clientId },
      origin: request.origin,
      facts: { kind: 'access' },
      evidence: {
        client: request.clientId,
        session: token.session_id,
        ...(token.signer_id === null ? {} : { signer: token.signer_id }),
      },
    })
    await endSessions(tx, record, { session: token.session_id }, 'token_revoked', request.origin)
    return { found: true }
  })
}
