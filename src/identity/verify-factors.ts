import type { AuditEvent } from '../audit/event.js'
import type { Record, TransactionLog, Tx } from '../audit/transaction-log.js'
import type { RowBinding } from '../binding.js'
import type { Clock } from '../clock.js'
import { ServiceError } from '../errors.js'
import type { FactorKind } from '../factor-kind.js'
import type { Hsm } from '../hsm/hsm.js'
import type { SignerId } from '../ids.js'
import { closeFactor, FACTOR_COLUMNS, type Factor, matchCode } from './factor.js'
import { clearGuesses, countGuess, FACTOR_LIMIT, takeBackGuess } from './guess.js'
import { knownBrowser } from './known-browser.js'
import { CODE_PERIOD } from './one-time-code.js'
import type { PasswordHasher } from './password.js'

export interface FactorServices {
  readonly transactions: TransactionLog
  /** `unseal` rejects with ServiceError `unavailable` while the device is away. */
  readonly hsm: Pick<Hsm, 'unseal'>
  readonly passwords: PasswordHasher
  readonly binding: RowBinding
  readonly clock: Clock
}

/** What a presented value turned out to be. */
export interface FactorMatch {
  readonly factor: string
  readonly kind: FactorKind | 'recovery'
  /** The time step of a one-time code. */
  readonly step?: number
  /** Set where the code is not right, but would be by another clock: seconds by which the authenticator's is ahead. */
  readonly drift?: number
  /** Uses it up, compare-and-set: of all who present the same value, one is told true. */
  burn(tx: Tx): Promise<boolean>
}

/** What a signer presents, and against what. */
export interface FactorQuestion {
  readonly signer: SignerId
  /** Compares what was presented, outside any transaction; undefined when it is wrong. */
  match(): Promise<FactorMatch | undefined>
  readonly pin: string
  /** Of the credential's PIN; null where it has none. */
  readonly pinHash: string | null
  /** Cookie of a browser that may be known to be the signer's: strangers cannot make its owner wait. */
  readonly browser?: string
  /** The entry that a refusal for this reason leaves, but for its type. */
  denied(why: string): AuditEvent
}

/** Which factor agreed; goes into the row that depends on it, and into the log. */
export interface FactorEvidence {
  readonly factor: string
  readonly kind: FactorMatch['kind']
  readonly step?: number
  readonly pin: boolean
}

/**
 * The signer's factors, verified, and what depends on them: both or neither.
 *
 * Durable before anything is compared: that an attempt was made. Durable on return, in one transaction: the code is used
 * up, and whatever `then` did. A right code is used up whatever becomes of the rest, so that it tells nothing twice.
 * @param then runs in that transaction, after the code is used up; a ServiceError that it returns is thrown once the
 *   transaction is durable
 * @throws ServiceError `code_locked`, `code_rejected` (its detail tells an authenticator's wrong clock), `pin_rejected`, `unavailable`, `overloaded`; what `then` returns
 */
export async function verifyFactors<T>(
  services: FactorServices,
  question: FactorQuestion,
  then: (tx: Tx, record: Record, evidence: FactorEvidence) => Promise<T | ServiceError>,
): Promise<T> {
  const { transactions, binding } = services
  const { signer, pinHash, denied } = question
  const { attempts, browser } = await transactions.transact(async (tx) => {
    const browser = await knownBrowser(tx, binding, signer, question.browser)
    return { browser, attempts: await countGuess(tx, signer, 'factor', browser) }
  })
  if (attempts === undefined) {
    await transactions.append({ ...denied('code_locked'), type: 'factor.locked' })
    throw new ServiceError('code_locked')
  }
  const { match, pinRight } = await compare(services, question).catch(async (error: unknown) => {
    if (!(error instanceof ServiceError)) throw error
    // Nobody is told what was compared. If a device that is away counted against the signer, it would lock him out for
    // as long as it was away, and longer.
    await transactions.transact(async (tx, record) => {
      await takeBackGuess(tx, signer, 'factor', browser)
      record(denied('unavailable'))
    })
    throw error
  })
  const outcome = await transactions.transact(async (tx, record): Promise<T | ServiceError> => {
    const burned = match !== undefined && (await match.burn(tx))
    const drift = burned ? match.drift : undefined
    if (!burned || !pinRight || drift !== undefined) {
      const why = burned && drift === undefined ? 'pin_rejected' : 'code_rejected'
      record({ ...denied(why), type: 'factor.failed', facts: { attempts } })
      if (attempts >= FACTOR_LIMIT && (await endFactors(tx, binding, signer))) {
        await clearGuesses(tx, signer, 'factor', browser)
        record({ ...denied('too_many_failures'), type: 'factor.ended', evidence: { signer } })
      }
      if (drift === undefined) return new ServiceError(why)
      record(driftedEvent(denied(why), match?.factor ?? '', drift))
      // Burned already, so that the answer is of no use to whoever guessed it; and told only with the right PIN.
      return new ServiceError(why, pinRight ? { detail: inWords(drift) } : {})
    }
    await clearGuesses(tx, signer, 'factor', browser)
    const { factor, kind, step } = match
    return then(tx, record, { factor, kind, ...(step === undefined ? {} : { step }), pin: pinHash !== null })
  })
  if (outcome instanceof ServiceError) throw outcome
  return outcome
}

/** Of the entry of the refusal all but the credential, which this event does not open. */
function driftedEvent(refusal: AuditEvent, factor: string, drift: number): AuditEvent {
  const { credential: _credential, ...evidence } = refusal.evidence ?? {}
  return { ...refusal, type: 'factor.drifted', facts: { seconds: drift }, evidence: { ...evidence, factor } }
}

/**
 * Of a clock that is ahead also how long to wait: burned is burned up to that step, so that a code is never taken twice
 * whichever way a clock is moved (last_step only grows), and codes count again from the step after it.
 */
function inWords(drift: number): string {
  if (drift < 0) return `the clock of the authenticator is about ${-drift} seconds behind`
  return `the clock of the authenticator is about ${drift} seconds ahead; once it is right, its codes are taken again within ${drift + CODE_PERIOD} seconds`
}

/** Factor and PIN, always both, so that the time it takes says nothing about the one that was wrong. */
async function compare({ passwords }: FactorServices, { match, pin, pinHash }: FactorQuestion) {
  const matched = await match()
  const pinRight = pinHash === null || (await passwords.verify('pin', pinHash, pin))
  return { match: matched, pinRight }
}

/** A code of any of the signer's authenticators, where `kinds` of factors that may agree include those. */
export async function matchOneTimeCode(
  { transactions, hsm, binding, clock }: FactorServices,
  signer: SignerId,
  code: string,
  kinds: readonly FactorKind[] = ['totp'],
): Promise<FactorMatch | undefined> {
  const factors = await transactions.query<Factor>(
    `select ${FACTOR_COLUMNS} from paraph.factor where signer_id = $1 and kind = 'totp' and state = 'active' and 'totp' = any ($2)`,
    [signer, kinds],
  )
  const match = await matchCode(hsm, binding, factors, code, clock.now())
  if (match === undefined) return undefined
  const { factor, step, drift } = match
  const wrongClock = drift === undefined ? {} : { drift }
  return { factor: factor.id, kind: factor.kind, step, ...wrongClock, burn: (tx) => burnStep(tx, factor, step) }
}

async function burnStep(tx: Tx, factor: Factor, step: number): Promise<boolean> {
  const { rowCount } = await tx.query(
    `update paraph.factor set last_step = $2 where id = $1 and state = 'active' and last_step < $2`,
    [factor.id, step],
  )
  return rowCount === 1
}

/** None of the signer's factors is taken any longer, for good. @returns whether there was one */
async function endFactors(tx: Tx, binding: RowBinding, signer: SignerId): Promise<boolean> {
  const { rows } = await tx.query<Factor>(
    `select ${FACTOR_COLUMNS} from paraph.factor where signer_id = $1 and state = 'active' for update`,
    [signer],
  )
  for (const factor of rows) await closeFactor(tx, binding, factor, 'ended')
  return rows.length > 0
}
