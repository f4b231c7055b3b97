import type { Tx } from '../audit/transaction-log.js'
import { ServiceError } from '../errors.js'
import { type Caller, callerOf, TOKEN_COLUMNS, TOKEN_JOINS, type TokenRow } from './caller.js'
import { PAGES_CLIENT } from './client.js'
import { secretHash } from './secret-value.js'

/**
 * The signer who is signed in to our own pages. No other client may answer for him.
 * @throws ServiceError `token_unknown`, `token_expired`, `scope_missing`
 */
export async function requirePageCaller(tx: Tx, bearer: string): Promise<Caller> {
  const { rows } = await tx.query(
    `select ${TOKEN_COLUMNS} from (select $1::bytea as hash) q left join paraph.token t on t.hash = q.hash ${TOKEN_JOINS}`,
    [secretHash(bearer)],
  )
  const caller = callerOf(rows[0] as TokenRow | undefined)
  if (typeof caller === 'string') throw new ServiceError(caller)
  if (caller.clientId !== PAGES_CLIENT) throw new ServiceError('scope_missing')
  return caller
}
