import { hash, randomBytes } from 'node:crypto'
import type { FrontVerbs } from '../activation.js'
import type { CountedEntries } from '../audit/counted.js'
import type { TransactionLog } from '../audit/transaction-log.js'
import type { RowBinding } from '../binding.js'
import { ServiceError } from '../errors.js'
import { operatorOf } from '../identity/operator.js'

/** How long a look lasts, in seconds: one answer of a front, or an export that is long on its way. */
const LASTS = { read: 120, export: 3600 } as const

/**
 * Lets an auditor look at the log. The entry that says so and the row that the database's functions want to see are one
 * commit: nothing is shown that was not recorded first. An unknown token writes nothing here, since anybody can make one
 * up; the front counts it.
 * @throws ServiceError `operator_unknown`, `role_missing`, `unavailable`, `overloaded`
 */
export async function look(
  services: {
    readonly transactions: TransactionLog
    readonly binding: RowBinding
    /** Of operators who are known and whose role is another. */
    readonly refusals: Pick<CountedEntries<'operator.refused'>, 'note'>
  },
  { origin, token, kind, what, query }: FrontVerbs['look']['request'],
): Promise<FrontVerbs['look']['response']> {
  const { transactions, binding, refusals } = services
  const ticket = randomBytes(32)
  return transactions.transact(async (tx, record) => {
    const operator = await operatorOf(tx, binding, token)
    const actor = { kind: 'operator', id: operator.id } as const
    if (operator.role !== 'auditor') {
      const why = 'role_missing'
      refusals.note({ type: 'operator.refused', outcome: 'refused', actor, origin, why, facts: { verb: 'look' } })
      throw new ServiceError(why)
    }
    const { rows } = await tx.query<{ size: number; expires_at: Date }>(
      `insert into audit.look (hash, operator_id, kind, size, expires_at)
         select $1, $2, $3, size, paraph.now() + make_interval(secs => $4) from audit.head returning size, expires_at`,
      [hash('sha256', ticket, 'buffer'), operator.id, kind, LASTS[kind]],
    )
    const [row] = rows
    if (row === undefined) throw new Error('the log has no head')
    record({
      type: `audit.${kind}`,
      outcome: 'ok',
      actor,
      origin,
      facts: { what, size: row.size },
      evidence: { operator: operator.id, ...(query === undefined ? {} : { query }) },
    })
    return { ticket: ticket.toString('base64'), size: row.size, expiresAt: row.expires_at.toISOString() }
  })
}
