import type { TokenScope } from '../activation.js'
import type { Tx } from '../audit/transaction-log.js'
import type { RowBinding } from '../binding.js'
import type { Credential } from '../credentials/credential.js'
import { readCredential } from '../credentials/credential-store.js'
import { ServiceError } from '../errors.js'
import { actingFor } from '../identity/assignment.js'
import { bearerOf, type Caller, isCaller, TOKEN_COLUMNS, TOKEN_JOINS, type TokenRow } from '../identity/caller.js'
import { secretHash } from '../identity/secret-value.js'
import { type CredentialId, isUuid, newId } from '../ids.js'

/** Who asks, and for which key; nothing of it judged but the token and the credential's binding. */
export interface CallerContext {
  readonly caller: Caller
  /** Whether the token is the signer's, and not that of a client to which he is assigned. */
  readonly own: boolean
  /** Whosever it is. */
  readonly credential: Credential | undefined
}

export interface CallerServices {
  readonly binding: RowBinding
  /** @throws ServiceError `unavailable` when this machine's clock and the database's disagree. */
  requireClock(databaseNow: Date): void
}

/**
 * @param scopes those of a token that may ask
 * @throws ServiceError `token_unknown`, `token_expired`, `scope_missing`, `credential_unknown`, `unavailable`; TamperedRow
 */
export async function readCallerContext(
  services: CallerServices,
  tx: Tx,
  request: { bearer: string; credentialId: string },
  scopes: readonly TokenScope[] = ['service'],
): Promise<CallerContext> {
  const { rows } = await tx.query<TokenRow & { now: Date }>(
    `select ${TOKEN_COLUMNS}, paraph.now() as now from (select $1::bytea as hash) q left join paraph.token t on t.hash = q.hash ${TOKEN_JOINS}`,
    [secretHash(request.bearer)],
  )
  const [row] = rows
  if (row !== undefined) services.requireClock(row.now)
  const bearer = bearerOf(row)
  if (typeof bearer === 'string') throw new ServiceError(bearer)
  if (!scopes.some((scope) => scope === bearer.scope)) throw new ServiceError('scope_missing')
  // Anything that is no id at all asks the database like an id that nobody has.
  const id = (isUuid(request.credentialId) ? request.credentialId : newId()) as CredentialId
  const credential = await readCredential(tx, services.binding, id)
  const caller = await actingFor(tx, services.binding, bearer, credential?.signer_id)
  return { caller, own: isCaller(bearer), credential }
}

/** What the log may know of a caller and what he asked for. */
export function callerEvidence(caller: Caller, credentialId: string) {
  return {
    client: caller.clientId,
    signer: caller.signerId,
    session: caller.sessionId,
    ...(isUuid(credentialId) ? { credential: credentialId } : {}),
  }
}
