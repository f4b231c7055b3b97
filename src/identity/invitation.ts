import type { Actor } from '../audit/event.js'
import type { Record, Tx } from '../audit/transaction-log.js'
import type { RowBinding } from '../binding.js'
import { readNow } from '../db/now.js'
import { ServiceError } from '../errors.js'
import { newId, type OperatorId, type SignerId, timeOf } from '../ids.js'
import { newSecretValue, secretHash } from './secret-value.js'

/** How long a link works once it may be used. */
const LINK_SECONDS = 72 * 3600
/** How long a replacement without a factor waits for an objection, unless a second operator vouches for it. */
const WAIT_SECONDS = 72 * 3600

/** A link that works once: its holder sets the password, enrols an authenticator, or both. */
export interface Invitation {
  readonly id: string
  readonly signer_id: SignerId
  readonly token_hash: Uint8Array
  readonly sets_password: boolean
  /** Where it enrols nothing, using it takes a code of the signer. */
  readonly enrols: boolean
  /** Using it ends every factor that the signer had. */
  readonly replaces: boolean
  /** Null where a factor or a recovery code of the signer opened the way. */
  readonly operator_id: OperatorId | null
  readonly approved_by: OperatorId | null
  readonly usable_from: Date
  readonly expires_at: Date
  /** The secret of the authenticator to be enrolled, from the first look on. */
  readonly sealed_secret: Uint8Array | null
  readonly used_at: Date | null
  readonly cancelled_at: Date | null
  readonly binding: Uint8Array
}

const COLUMNS = `id, signer_id, token_hash, sets_password, enrols, replaces, operator_id, approved_by, usable_from, expires_at,
  sealed_secret, used_at, cancelled_at, binding`

const fields = (i: Omit<Invitation, 'binding'>) => [
  i.id,
  i.signer_id,
  i.token_hash,
  i.sets_password,
  i.enrols,
  i.replaces,
  i.operator_id,
  i.approved_by,
  i.usable_from,
  i.expires_at,
  i.sealed_secret,
  i.used_at,
  i.cancelled_at,
]

/** What the authenticator's secret is sealed to while its link waits. */
export function invitationAssociatedData({ id, signer_id }: Pick<Invitation, 'id' | 'signer_id'>): Uint8Array {
  return Buffer.from(['paraph/invitation/v1', signer_id, id].join('\n'))
}

export interface NewInvitation {
  readonly signer: SignerId
  readonly setsPassword: boolean
  readonly enrols: boolean
  readonly replaces: boolean
  readonly operator?: OperatorId
}

/**
 * Makes a link; earlier ones of the signer work no longer. One that an operator gives and that replaces factors waits
 * three days, in which the signer can object, or for a second operator (`vouchFor`).
 * @returns the value of the link, of which only the hash is kept
 */
export async function invite(
  tx: Tx,
  record: Record,
  binding: RowBinding,
  actor: Actor,
  wanted: NewInvitation,
): Promise<{ id: string; token: string; usableFrom: Date }> {
  await cancelInvitations(tx, binding, wanted.signer)
  const token = newSecretValue()
  const now = await readNow(tx)
  const wait = wanted.replaces && wanted.operator !== undefined ? WAIT_SECONDS : 0
  const usableFrom = new Date(now.getTime() + wait * 1000)
  const row: Omit<Invitation, 'binding'> = {
    id: newId(),
    signer_id: wanted.signer,
    token_hash: secretHash(token),
    sets_password: wanted.setsPassword,
    enrols: wanted.enrols,
    replaces: wanted.replaces,
    operator_id: wanted.operator ?? null,
    approved_by: null,
    usable_from: usableFrom,
    expires_at: new Date(usableFrom.getTime() + LINK_SECONDS * 1000),
    sealed_secret: null,
    used_at: null,
    cancelled_at: null,
  }
  await tx.query(
    `insert into paraph.invitation (id, signer_id, token_hash, sets_password, enrols, replaces, operator_id, usable_from, expires_at, binding)
     values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)`,
    [
      row.id,
      row.signer_id,
      row.token_hash,
      row.sets_password,
      row.enrols,
      row.replaces,
      row.operator_id,
      row.usable_from,
      row.expires_at,
      binding.mac('invitation', fields(row)),
    ],
  )
  record({
    type: 'signer.invited',
    outcome: 'ok',
    actor,
    facts: { enrols: wanted.enrols ? 1 : 0, replaces: wanted.replaces ? 1 : 0, wait },
    evidence: { signer: wanted.signer },
  })
  return { id: row.id, token, usableFrom }
}

/**
 * The live invitation of this link, its row locked. Unknown, used, cancelled, expired and tampered with answer alike.
 * @throws ServiceError `link_unknown`; `link_early` with the time from which it works (ISO 8601) as detail
 */
export async function requireInvitation(tx: Tx, binding: RowBinding, token: string): Promise<Invitation> {
  const { rows } = await tx.query<Invitation & { now: Date }>(
    `select ${COLUMNS}, paraph.now() as now from paraph.invitation where token_hash = $1 for update`,
    [secretHash(token)],
  )
  const [row] = rows
  if (
    row === undefined ||
    !binding.fits('invitation', fields(row), row.binding) ||
    row.used_at !== null ||
    row.cancelled_at !== null ||
    row.expires_at.getTime() <= row.now.getTime()
  ) {
    throw new ServiceError('link_unknown')
  }
  if (row.usable_from.getTime() > row.now.getTime()) {
    throw new ServiceError('link_early', { detail: row.usable_from.toISOString() })
  }
  return row
}

/** Changes a row whose lock is held. */
export async function writeInvitation(
  tx: Tx,
  binding: RowBinding,
  before: Invitation,
  changes: Partial<Pick<Invitation, 'sealed_secret' | 'used_at' | 'cancelled_at' | 'approved_by' | 'usable_from'>>,
): Promise<void> {
  const after = { ...before, ...changes }
  await tx.query(
    `update paraph.invitation set sealed_secret = $2, used_at = $3, cancelled_at = $4, approved_by = $5, usable_from = $6,
            binding = $7 where id = $1`,
    [
      after.id,
      after.sealed_secret,
      after.used_at,
      after.cancelled_at,
      after.approved_by,
      after.usable_from,
      binding.mac('invitation', fields(after)),
    ],
  )
}

/**
 * The signer's links work no longer.
 * @param usableFrom only the one that works from then on
 * @returns how many that concerned
 */
export async function cancelInvitations(
  tx: Tx,
  binding: RowBinding,
  signer: SignerId,
  usableFrom?: Date,
): Promise<number> {
  const now = await readNow(tx)
  const live = (await liveInvitations(tx, binding, signer)).filter(
    ({ usable_from }) => usableFrom === undefined || usable_from.getTime() === usableFrom.getTime(),
  )
  for (const row of live) await writeInvitation(tx, binding, row, { cancelled_at: now })
  return live.length
}

/** Links of the signer that work now or later, their rows locked. */
export async function liveInvitations(tx: Tx, binding: RowBinding, signer: SignerId): Promise<Invitation[]> {
  const { rows } = await tx.query<Invitation>(
    `select ${COLUMNS} from paraph.invitation
      where signer_id = $1 and used_at is null and cancelled_at is null and expires_at > paraph.now() for update`,
    [signer],
  )
  return rows.filter((row) => binding.fits('invitation', fields(row), row.binding))
}

/**
 * A second operator has seen the signer's proof of identity: the link need not wait. Whoever could make an operator for
 * the purpose would otherwise need nobody else.
 * @throws ServiceError `not_found`, `not_allowed` for the operator who gave the link, and for one of less than three days
 */
export async function vouchFor(
  tx: Tx,
  record: Record,
  binding: RowBinding,
  operator: OperatorId,
  signer: SignerId,
): Promise<void> {
  const [row] = (await liveInvitations(tx, binding, signer)).filter(({ approved_by }) => approved_by === null)
  if (row === undefined || row.operator_id === null)
    throw new ServiceError('not_found', { detail: 'no link of this signer waits' })
  if (row.operator_id === operator) {
    throw new ServiceError('not_allowed', { detail: 'it takes another operator than the one who gave the link' })
  }
  const now = await readNow(tx)
  if (timeOf(operator) > now.getTime() - WAIT_SECONDS * 1000) {
    throw new ServiceError('not_allowed', { detail: 'an operator vouches for nobody in the first three days' })
  }
  await writeInvitation(tx, binding, row, { approved_by: operator, usable_from: now })
  record({
    type: 'operator.vouched',
    outcome: 'ok',
    actor: { kind: 'operator', id: operator },
    evidence: { operator, signer },
  })
}
