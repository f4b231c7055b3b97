import { randomInt } from 'node:crypto'
import type { TransactionLog, Tx } from '../audit/transaction-log.js'
import { type RowBinding, TamperedRow } from '../binding.js'
import { ServiceError } from '../errors.js'
import type { FactorKind } from '../factor-kind.js'
import type { Hsm } from '../hsm/hsm.js'
import { type ClientId, type CredentialId, type FactorId, newId, type SignerId } from '../ids.js'
import { CHANNELS, type Channel } from './delivery/message.js'
import { FACTOR_COLUMNS, type Factor, factorAssociatedData, factorFields } from './factor.js'
import { CODE_DIGITS } from './one-time-code.js'
import type { PasswordHasher } from './password.js'
import type { FactorMatch } from './verify-factors.js'

/** How long a code that was sent can be used, in seconds. */
const CODE_SECONDS = 300
/** A factor gets a code only so long after the last one, and only so many in a while; in seconds. */
const PAUSE_SECONDS = 30
const WHILE_SECONDS = 900
const MOST_IN_A_WHILE = 5

/** For what a code was sent: it is good for nothing else. */
export interface CodePurpose {
  readonly signer: SignerId
  readonly client: ClientId
  readonly credential: CredentialId
}

/** A code that was sent, as the database keeps it. */
interface Challenge {
  readonly id: string
  readonly factor_id: FactorId
  readonly signer_id: SignerId
  readonly client_id: ClientId
  readonly credential_id: CredentialId
  readonly code_hash: string
  readonly expires_at: Date
  readonly used_at: Date | null
  readonly binding: Uint8Array
}

/** Fields under the row binding: everything but whether it was used, which changes once. */
function challengeFields(c: Omit<Challenge, 'binding' | 'used_at'>) {
  return [c.id, c.factor_id, c.signer_id, c.client_id, c.credential_id, c.code_hash, c.expires_at]
}

/** A code that nobody can foresee. */
export function newDeliveredCode(): string {
  return String(randomInt(10 ** CODE_DIGITS)).padStart(CODE_DIGITS, '0')
}

/**
 * The signer's active factor that a code can be sent to, of one of these kinds: by text message before mail, and the newest
 * of several. @throws TamperedRow
 */
export async function deliveredFactor(
  tx: Tx,
  binding: RowBinding,
  signer: SignerId,
  kinds: readonly FactorKind[],
): Promise<(Factor & { kind: Channel }) | undefined> {
  const { rows } = await tx.query<Factor & { kind: Channel }>(
    `select ${FACTOR_COLUMNS} from paraph.factor
      where signer_id = $1 and state = 'active' and kind = any ($2) and kind = any ($3)
      order by array_position($3, kind), created_at desc limit 1`,
    [signer, kinds, CHANNELS],
  )
  const [factor] = rows
  if (factor !== undefined && !binding.fits('factor', factorFields(factor), factor.binding))
    throw new TamperedRow('factor')
  return factor
}

/** Where its codes go. */
export async function addressOf(hsm: Pick<Hsm, 'unseal'>, factor: Factor): Promise<string> {
  return Buffer.from(await hsm.unseal(factor.sealed_secret, factorAssociatedData(factor))).toString()
}

/** An address as it may be shown to whoever uses the factor. */
export function maskedAddress(channel: Channel, address: string): string {
  return channel === 'sms' ? `***${address.slice(-4)}` : address.replace(/^(.).*(?=@)/, '$1***')
}

/**
 * Records a new code for the factor, which makes every earlier one worthless. Whether it is too soon for one is judged under
 * the factor's lock, so that requests in the same moment do not each get one.
 * @param codeHash by PasswordHasher
 * @throws ServiceError `too_many_codes` with the time to wait; `factor_unknown` when it has ended meanwhile
 */
export async function insertChallenge(
  tx: Tx,
  binding: RowBinding,
  factor: FactorId,
  purpose: CodePurpose,
  codeHash: string,
): Promise<void> {
  const locked = await tx.query(`select from paraph.factor where id = $1 and state = 'active' for update`, [factor])
  if (locked.rowCount === 0) throw new ServiceError('factor_unknown')
  const { rows } = await tx.query<{ now: Date; wait: number }>(
    `select date_trunc('milliseconds', paraph.now()) as now, coalesce(ceil(extract(epoch from greatest(
         max(created_at) + make_interval(secs => $2),
         case when count(*) >= $4 then min(created_at) + make_interval(secs => $3) end) - paraph.now())), 0)::int as wait
       from (select created_at from paraph.challenge
              where factor_id = $1 and created_at > paraph.now() - make_interval(secs => $3)
              order by created_at desc limit $4) c`,
    [factor, PAUSE_SECONDS, WHILE_SECONDS, MOST_IN_A_WHILE],
  )
  const { now, wait } = rows[0] as { now: Date; wait: number }
  if (wait > 0) throw new ServiceError('too_many_codes', { retryAfter: wait })
  const row = {
    id: newId<string>(),
    factor_id: factor,
    signer_id: purpose.signer,
    client_id: purpose.client,
    credential_id: purpose.credential,
    code_hash: codeHash,
    expires_at: new Date(now.getTime() + CODE_SECONDS * 1000),
  }
  await tx.query(
    `insert into paraph.challenge (id, factor_id, signer_id, client_id, credential_id, code_hash, created_at, expires_at, binding)
     values ($1, $2, $3, $4, $5, $6, $7, $8, $9)`,
    [
      row.id,
      row.factor_id,
      row.signer_id,
      row.client_id,
      row.credential_id,
      row.code_hash,
      now,
      row.expires_at,
      binding.mac('challenge', challengeFields(row)),
    ],
  )
}

export interface DeliveredCodeServices {
  readonly transactions: TransactionLog
  readonly passwords: PasswordHasher
  readonly binding: RowBinding
}

/**
 * The newest code that was sent to one of the signer's factors of these kinds, if this is it and it was sent for this. A row
 * that does not fit its binding matches nothing.
 */
export async function matchDeliveredCode(
  { transactions, passwords, binding }: DeliveredCodeServices,
  purpose: CodePurpose,
  code: string,
  kinds: readonly FactorKind[] = CHANNELS,
): Promise<FactorMatch | undefined> {
  const factors = await transactions.query<Factor>(
    `select ${FACTOR_COLUMNS} from paraph.factor where signer_id = $1 and state = 'active' and kind = any ($2) and kind = any ($3)`,
    [purpose.signer, kinds, CHANNELS],
  )
  let match: FactorMatch | undefined
  for (const factor of factors) {
    if (!binding.fits('factor', factorFields(factor), factor.binding)) continue
    const [newest] = await transactions.query<Challenge>(
      `select id, factor_id, signer_id, client_id, credential_id, code_hash, expires_at, used_at, binding
         from paraph.challenge where factor_id = $1 order by created_at desc, id desc limit 1`,
      [factor.id],
    )
    if (newest === undefined || !binding.fits('challenge', challengeFields(newest), newest.binding)) continue
    if (!isFor(newest, purpose) || !(await passwords.verify('code', newest.code_hash, code))) continue
    match ??= { factor: factor.id, kind: factor.kind, burn: (tx) => useChallenge(tx, newest) }
  }
  return match
}

function isFor(challenge: Challenge, { signer, client, credential }: CodePurpose): boolean {
  return (
    challenge.used_at === null &&
    challenge.signer_id === signer &&
    challenge.client_id === client &&
    challenge.credential_id === credential
  )
}

/** Compare-and-set: of all who present the code, one uses it; nobody once a newer one was sent. */
async function useChallenge(tx: Tx, { id, factor_id, expires_at }: Challenge): Promise<boolean> {
  const { rowCount } = await tx.query(
    `update paraph.challenge c set used_at = paraph.now()
      where id = $1 and used_at is null and $2 > paraph.now()
        and exists (select from paraph.factor f where f.id = c.factor_id and f.state = 'active')
        and id = (select n.id from paraph.challenge n where n.factor_id = $3 order by n.created_at desc, n.id desc limit 1)`,
    [id, expires_at, factor_id],
  )
  return rowCount === 1
}
