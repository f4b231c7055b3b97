import type { AuditEvent } from '../audit/event.js'
import type { Record, TransactionLog, Tx } from '../audit/transaction-log.js'
import type { RowBinding } from '../binding.js'
import type { Clock } from '../clock.js'
import { ServiceError } from '../errors.js'
import type { Hsm } from '../hsm/hsm.js'
import type { SignerId } from '../ids.js'
import { FACTOR_COLUMNS, type Factor, factorFields, matchCode } from './factor.js'
import { clearGuesses, countGuess, FACTOR_LIMIT, takeBackGuess } from './guess.js'
import type { PasswordHasher } from './password.js'

export interface FactorServices {
  readonly transactions: TransactionLog
  /** `unseal` rejects with ServiceError `unavailable` while the device is away. */
  readonly hsm: Pick<Hsm, 'unseal'>
  readonly passwords: PasswordHasher
  readonly binding: RowBinding
  readonly clock: Clock
}

/** What a signer presents, and against what. */
export interface FactorQuestion {
  readonly signer: SignerId
  readonly code: string
  readonly pin: string
  /** Of the credential's PIN; null where it has none. */
  readonly pinHash: string | null
  /** The entry that a refusal for this reason leaves, but for its type. */
  denied(why: string): AuditEvent
}

/** Which factor agreed; goes into the row that depends on it, and into the log. */
export interface FactorEvidence {
  readonly factor: string
  readonly step: number
  readonly pin: boolean
}

/**
 * The signer's factors, verified, and what depends on them: both or neither.
 *
 * Durable before anything is compared: that an attempt was made. Durable on return, in one transaction: the code's step is
 * burned, and whatever `then` did. A right code is burned whatever becomes of the rest, so that it tells nothing twice.
 * @param then runs in that transaction, after the step is burned; a ServiceError that it returns is thrown once the
 *   transaction is durable
 * @throws ServiceError `code_locked`, `code_rejected`, `pin_rejected`, `unavailable`, `overloaded`; what `then` returns
 */
export async function verifyFactors<T>(
  services: FactorServices,
  question: FactorQuestion,
  then: (tx: Tx, record: Record, evidence: FactorEvidence) => Promise<T | ServiceError>,
): Promise<T> {
  const { transactions, binding } = services
  const { signer, pinHash, denied } = question
  const attempts = await transactions.transact((tx) => countGuess(tx, signer, 'factor'))
  if (attempts === undefined) {
    await transactions.append({ ...denied('code_locked'), type: 'factor.locked' })
    throw new ServiceError('code_locked')
  }
  const { factors, match, pinRight } = await compare(services, question).catch(async (error: unknown) => {
    if (!(error instanceof ServiceError)) throw error
    // Nobody is told what was compared. If a device that is away counted against the signer, it would lock him out for
    // as long as it was away, and longer.
    await transactions.transact(async (tx, record) => {
      await takeBackGuess(tx, signer, 'factor')
      record(denied('unavailable'))
    })
    throw error
  })
  const outcome = await transactions.transact(async (tx, record): Promise<T | ServiceError> => {
    const burned = match !== undefined && (await burnStep(tx, match.factor, match.step))
    if (!burned || !pinRight) {
      const why = burned ? 'pin_rejected' : 'code_rejected'
      record({ ...denied(why), type: 'factor.failed', facts: { attempts } })
      if (attempts >= FACTOR_LIMIT && factors.length > 0) {
        await endFactors(tx, binding, factors)
        await clearGuesses(tx, signer, 'factor')
        record({ ...denied('too_many_failures'), type: 'factor.ended', evidence: { signer } })
      }
      return new ServiceError(why)
    }
    await clearGuesses(tx, signer, 'factor')
    return then(tx, record, { factor: match.factor.id, step: match.step, pin: pinHash !== null })
  })
  if (outcome instanceof ServiceError) throw outcome
  return outcome
}

/** Code and PIN, always both, so that the time it takes says nothing about the one that was wrong. */
async function compare(services: FactorServices, { signer, code, pin, pinHash }: FactorQuestion) {
  const factors = await services.transactions.query<Factor>(
    `select ${FACTOR_COLUMNS} from paraph.factor where signer_id = $1 and state = 'active'`,
    [signer],
  )
  const match = await matchCode(services.hsm, services.binding, factors, code, services.clock.now())
  const pinRight = pinHash === null || (await services.passwords.verify('pin', pinHash, pin))
  return { factors, match, pinRight }
}

/** Compare-and-set: of all who present the same step, one burns it. */
async function burnStep(tx: Tx, factor: Factor, step: number): Promise<boolean> {
  const { rowCount } = await tx.query(
    `update paraph.factor set last_step = $2 where id = $1 and state = 'active' and last_step < $2`,
    [factor.id, step],
  )
  return rowCount === 1
}

/** The signer's authenticators are no longer taken, for good. */
async function endFactors(tx: Tx, binding: RowBinding, factors: readonly Factor[]): Promise<void> {
  for (const factor of factors) {
    const ended = { ...factor, state: 'ended' as const }
    await tx.query(`update paraph.factor set state = 'ended', binding = $2 where id = $1`, [
      factor.id,
      binding.mac('factor', factorFields(ended)),
    ])
  }
}
