import type { OperatorRole } from '../activation.js'
import type { Tx } from '../audit/transaction-log.js'
import type { RowBinding } from '../binding.js'
import type { Executor } from '../db/pool.js'
import { ServiceError } from '../errors.js'
import { newId, type OperatorId } from '../ids.js'
import { newSecretValue, secretHash } from './secret-value.js'

/** A named person who runs the service. */
export interface Operator {
  readonly id: OperatorId
  readonly name: string
  readonly role: OperatorRole
}

interface OperatorRow extends Operator {
  readonly token_hash: Uint8Array
  readonly disabled_at: Date | null
  readonly binding: Uint8Array
}

const fields = (o: Omit<OperatorRow, 'binding'>) => [o.id, o.name, o.role, o.token_hash, o.disabled_at]

/** A new operator with a new token, which is told once and kept only as its hash. */
export async function insertOperator(tx: Tx, binding: RowBinding, operator: Operator): Promise<{ token: string }> {
  const token = newSecretValue()
  const row = { ...operator, token_hash: secretHash(token), disabled_at: null }
  await tx.query('insert into paraph.operator (id, name, role, token_hash, binding) values ($1, $2, $3, $4, $5)', [
    row.id,
    row.name,
    row.role,
    row.token_hash,
    binding.mac('operator', fields(row)),
  ])
  return { token }
}

/** Says when the operator was made, which the row binding covers. */
export const newOperatorId = (now: number) => newId<OperatorId>(now)

/**
 * The operator whose token this is.
 * @throws ServiceError `operator_unknown` for an unknown token, a disabled operator, or a row that no SAM worker wrote
 */
export async function operatorOf(db: Pick<Executor, 'query'>, binding: RowBinding, token: string): Promise<Operator> {
  const { rows } = await db.query<OperatorRow>(
    'select id, name, role, token_hash, disabled_at, binding from paraph.operator where token_hash = $1',
    [secretHash(token)],
  )
  const [row] = rows
  if (row === undefined || row.disabled_at !== null || !binding.fits('operator', fields(row), row.binding)) {
    throw new ServiceError('operator_unknown')
  }
  return { id: row.id, name: row.name, role: row.role }
}

/** Ends an operator's rights for good. @throws ServiceError `not_found` */
export async function disableOperator(tx: Tx, binding: RowBinding, id: string): Promise<void> {
  const { rows } = await tx.query<OperatorRow & { now: Date }>(
    'select id, name, role, token_hash, disabled_at, binding, paraph.now() as now from paraph.operator where id = $1 and disabled_at is null for update',
    [id],
  )
  const [row] = rows
  if (row === undefined) throw new ServiceError('not_found', { detail: 'no such operator' })
  const disabled = { ...row, disabled_at: row.now }
  await tx.query('update paraph.operator set disabled_at = $2, binding = $3 where id = $1', [
    id,
    disabled.disabled_at,
    binding.mac('operator', fields(disabled)),
  ])
}
