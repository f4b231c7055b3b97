import type { FrontVerbs } from '../activation.js'
import type { TransactionLog } from '../audit/transaction-log.js'
import { type ErrorCode, ServiceError } from '../errors.js'
import type { SessionId } from '../ids.js'
import { bearerOf, isCaller, TOKEN_COLUMNS, TOKEN_JOINS, type TokenRow } from './caller.js'
import { revokeFamily } from './login.js'
import { secretHash } from './secret-value.js'
import { endSessions } from './session.js'

/**
 * CSC `auth/revoke` (v1 §11.3, v2.2 §11.3). A refresh token dies with every access token of its grant and their sessions;
 * an access token dies alone, and with it its session where nothing else can use that any more. Only tokens of the
 * caller's own signer and client; others answer like unknown ones.
 * @throws ServiceError `token_unknown`, `token_expired`, `revoke_token_unknown`
 */
export async function revokeToken(
  services: { transactions: TransactionLog },
  request: FrontVerbs['revoke']['request'],
): Promise<void> {
  const refusal = await services.transactions.transact(async (tx, record): Promise<ErrorCode | undefined> => {
    const refuse = (why: ErrorCode, signer?: string): ErrorCode => {
      const actor = signer === undefined ? ({ kind: 'anonymous' } as const) : ({ kind: 'signer', id: signer } as const)
      record({ type: 'auth.token_revoked', outcome: 'refused', actor, origin: request.origin, why })
      return why
    }
    const found = await tx.query<TokenRow>(
      `select ${TOKEN_COLUMNS} from paraph.token t ${TOKEN_JOINS} where t.hash = $1`,
      [secretHash(request.bearer)],
    )
    const caller = bearerOf(found.rows[0])
    if (typeof caller === 'string') return refuse(caller)
    const signer = isCaller(caller) ? caller.signerId : undefined
    const { rows } = await tx.query<{ kind: string; session_id: SessionId; family: string }>(
      `update paraph.token set revoked_at = paraph.now()
        where hash = $1 and signer_id is not distinct from $2 and client_id = $3 and revoked_at is null and expires_at > paraph.now()
       returning kind, session_id, family`,
      [secretHash(request.token), signer ?? null, caller.clientId],
    )
    const token = rows[0]
    if (token === undefined) return refuse('revoke_token_unknown', signer)
    record({
      type: 'auth.token_revoked',
      outcome: 'ok',
      actor: signer === undefined ? { kind: 'client', id: caller.clientId } : { kind: 'signer', id: signer },
      origin: request.origin,
      facts: { kind: token.kind },
      evidence: {
        client: caller.clientId,
        session: token.session_id,
        ...(signer === undefined ? {} : { signer }),
      },
    })
    if (token.kind === 'refresh') {
      await revokeFamily(tx, token.family)
      await endSessions(tx, record, { family: token.family }, 'token_revoked', request.origin)
    } else {
      await endSessions(tx, record, { session: token.session_id }, 'token_revoked', request.origin)
    }
    return undefined
  })
  if (refusal !== undefined) throw new ServiceError(refusal)
}
