import type { FrontVerbs, Origin } from '../activation.js'
import type { Record, TransactionLog, Tx } from '../audit/transaction-log.js'
import { isRefusal, type RowBinding, reasonOf } from '../binding.js'
import { ServiceError } from '../errors.js'
import { type Caller, callerOf, TOKEN_COLUMNS, TOKEN_JOINS, type TokenRow } from '../identity/caller.js'
import { secretHash } from '../identity/secret-value.js'
import { endSessions, revokeTokens } from '../identity/session.js'
import { approvalEvent, lockApproval, writeApproval } from './approval.js'

export interface StopServices {
  readonly transactions: TransactionLog
  readonly binding: RowBinding
}

/**
 * Ends the caller's session at once, or everything of the signer: every session, token and authorization, refresh tokens
 * and what was agreed to in the session of a client itself included. What is asked of the signer and has not come to an
 * authorization is denied. Takes no code: to stop must never be hard. Durable on return; what is being signed is not
 * released, on any process.
 * @throws ServiceError `token_unknown`, `token_expired`, `unavailable`, `overloaded`; TamperedRow
 */
export async function stop(services: StopServices, request: FrontVerbs['stop']['request']): Promise<void> {
  const { transactions, binding } = services
  const { origin, bearer, all } = request
  try {
    await transactions.transact(async (tx, record) => {
      const { rows } = await tx.query<TokenRow>(
        `select ${TOKEN_COLUMNS} from paraph.token t ${TOKEN_JOINS} where t.hash = $1`,
        [secretHash(bearer)],
      )
      const caller = callerOf(rows[0])
      if (typeof caller === 'string') throw new ServiceError(caller)
      record({
        type: 'signer.stopped',
        outcome: 'ok',
        actor: { kind: 'signer', id: caller.signerId },
        origin,
        facts: { which: all ? 'all' : 'session' },
        evidence: { client: caller.clientId, signer: caller.signerId, session: caller.sessionId },
      })
      await denyApprovals(tx, record, binding, caller, all, origin)
      if (all) await revokeTokens(tx, caller.signerId)
      const which = all ? { signer: caller.signerId } : { session: caller.sessionId }
      await endSessions(tx, record, which, 'stopped', origin)
      if (all) await revokeAuthorizations(tx, caller)
    })
  } catch (error) {
    if (error instanceof ServiceError && isRefusal(error)) {
      const actor = { kind: 'anonymous' } as const
      await transactions.append({ type: 'signer.stopped', outcome: 'refused', actor, origin, why: reasonOf(error) })
    }
    throw error
  }
}

/** Of the session that asked, or all that the signer has not answered, or has answered and nobody has exchanged. */
async function denyApprovals(
  tx: Tx,
  record: Record,
  binding: RowBinding,
  caller: Caller,
  all: boolean,
  origin: Origin,
): Promise<void> {
  const { rows } = await tx.query<{ id: string }>(
    `select id from paraph.approval where signer_id = $1 and state in ('pending', 'approved') and ($2 or session_id = $3)
      order by id`,
    [caller.signerId, all, caller.sessionId],
  )
  for (const { id } of rows) {
    const { approval, now } = await lockApproval(tx, binding, { id })
    if (approval.state !== 'pending' && approval.state !== 'approved') continue
    const denied = await writeApproval(tx, binding, approval, { state: 'denied', decided_at: now })
    record({ ...approvalEvent('approval.denied', denied, origin, caller.sessionId), why: 'stopped' })
  }
}

/** A session of a client itself goes on, for its other signers. */
async function revokeAuthorizations(tx: Tx, { signerId }: Caller): Promise<void> {
  await tx.query(
    `update paraph.authorization set revoked_at = paraph.now()
      where signer_id = $1 and revoked_at is null and expires_at > paraph.now()`,
    [signerId],
  )
}
