import type { FrontVerbs } from '../activation.js'
import { PHASE } from '../audit/event.js'
import type { SigningLog } from '../authorization/signing-log.js'
import type { RowBinding } from '../binding.js'
import type { Executor } from '../db/pool.js'
import { asServiceError } from '../db/transaction.js'
import { ServiceError } from '../errors.js'
import { actingFor } from '../identity/assignment.js'
import { bearerOf, type Caller, TOKEN_COLUMNS, TOKEN_JOINS, type TokenRow } from '../identity/caller.js'
import { secretHash } from '../identity/secret-value.js'
import { isUuid, newId, type SignerId } from '../ids.js'

export interface ReceiptServices {
  readonly db: Executor
  readonly binding: RowBinding
  readonly log: SigningLog
}

type Row = TokenRow & {
  /** Whose signing it is; null where it is none of this client's, and of this signer's. */
  readonly owner: SignerId | null
  /** The entry; null while there is none. */
  readonly idx: number | null
  readonly leaf: Uint8Array
  readonly openings: readonly { class: number; seed: string; fields: string }[]
  /** Entries that the newest checkpoint covers. */
  readonly covered: number
}

/** However a signing ended, its end is what the receipt is for. */
const PHASES = { intent: [PHASE.intent], outcome: [PHASE.outcome, PHASE.abandoned, PHASE.withheld] } as const

/**
 * An entry of a signing with its openings, for the client that asked for the signing, with a token of that client and
 * signer: a front that was taken over reads none without one. Somebody else's is the same question as one that does not
 * exist. What is given out is an entry itself, durable before it leaves.
 * @throws ServiceError `token_unknown`, `token_expired`, `scope_missing`, `not_found`, `unavailable`, `overloaded`; TamperedRow
 */
export async function readReceipt(
  services: ReceiptServices,
  request: FrontVerbs['receipt']['request'],
): Promise<FrontVerbs['receipt']['response']> {
  const row = await read(services.db, request)
  const caller = await callerOf(services, row)
  const { idx: index, leaf, openings, covered } = row
  if (index === null) return { pending: true }
  if (covered <= index) return { pending: true, index }
  await services.log.append({
    type: 'receipt.given',
    outcome: 'ok',
    actor: { kind: 'signer', id: caller.signerId },
    origin: request.origin,
    facts: { of: request.operation, phase: request.phase },
    evidence: { client: caller.clientId, signer: caller.signerId, session: caller.sessionId },
  })
  return { index, leaf: Buffer.from(leaf).toString('base64'), openings: [...openings] }
}

async function read(db: Executor, { bearer, operation, phase }: FrontVerbs['receipt']['request']): Promise<Row> {
  // Anything that is no id at all asks like an id that nobody has.
  const op = isUuid(operation) ? operation : newId()
  try {
    const { rows } = await db.query<Row>(
      `select ${TOKEN_COLUMNS}, n.signer_id as owner, e.idx, e.leaf,
         coalesce((select json_agg(json_build_object('class', p.class,
             'seed', translate(encode(p.seed, 'base64'), '+/=', '-_'), 'fields', p.fields) order by p.class)
           from audit.opening p where p.idx = e.idx), '[]') as openings,
         coalesce((select max(size) from audit.checkpoint), 0) as covered
       from (select $1::bytea as hash) q left join paraph.token t on t.hash = q.hash ${TOKEN_JOINS}
       left join paraph.signing n on n.op = $2 and n.client_id = t.client_id
         and (n.signer_id = t.signer_id or t.signer_id is null)
       left join lateral (select o.idx from audit.op_index o where o.op = n.op and o.ph = any ($3) order by o.idx limit 1) o on true
       left join audit.entry e on e.idx = o.idx`,
      [secretHash(bearer), op, PHASES[phase]],
    )
    return rows[0] as Row
  } catch (error) {
    throw asServiceError(error)
  }
}

/** @throws ServiceError; TamperedRow */
async function callerOf({ db, binding }: ReceiptServices, row: Row): Promise<Caller> {
  const bearer = bearerOf(row)
  if (typeof bearer === 'string') throw new ServiceError(bearer)
  if (bearer.scope !== 'service' && bearer.scope !== 'credential') throw new ServiceError('scope_missing')
  if (row.owner === null) throw new ServiceError('not_found')
  try {
    return await actingFor(db, binding, bearer, row.owner)
  } catch (error) {
    if (error instanceof ServiceError && error.code === 'credential_unknown') throw new ServiceError('not_found')
    throw asServiceError(error)
  }
}
