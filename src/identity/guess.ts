import type { Tx } from '../audit/transaction-log.js'
import type { SignerId } from '../ids.js'

/** What can be guessed: the password, and PIN and one-time code together. */
export type GuessTarget = 'password' | 'factor'

/** Wrong codes in a row after which the signer's authenticators end for good. */
export const FACTOR_LIMIT = 100

const FREE: Record<GuessTarget, number> = { password: 5, factor: 3 }
const LONGEST_DELAY: Record<GuessTarget, number> = { password: 60, factor: 3600 }

/** Failures so far and this one, and the time during which no further attempt is looked at. */
const COUNTED = `failures = g.failures + 1, blocked_until = case when g.failures + 1 >= $3
  then paraph.now() + make_interval(secs => least(power(2, least(g.failures + 1 - $3, 30)), $4)) end
  where (g.blocked_until is null or g.blocked_until <= paraph.now())`

/**
 * Counts an attempt before anything is compared, durably, so that neither a crash nor parallel attempts are free. From
 * the third (password: fifth) failure on, each doubles the time during which no attempt is looked at.
 * @param browser hash of a browser known to be the signer's: its attempts are counted by themselves, so that strangers
 *   cannot make the owner wait
 * @returns attempts in a row, this one included; undefined while attempts are not looked at.
 */
export async function countGuess(
  db: Pick<Tx, 'query'>,
  signer: SignerId,
  target: GuessTarget,
  browser?: Uint8Array,
): Promise<number | undefined> {
  const limits = [FREE[target], LONGEST_DELAY[target]]
  const { rows } =
    browser === undefined
      ? await db.query(
          `insert into paraph.guess as g (signer_id, target, failures) values ($1, $2, 1)
           on conflict (signer_id, target) do update set ${COUNTED} returning failures`,
          [signer, target, ...limits],
        )
      : await db.query(
          `update paraph.device g set ${COUNTED} and g.hash = $1 and g.signer_id = $2 returning failures`,
          [browser, signer, ...limits],
        )
  return rows[0]?.failures as number | undefined
}

/** Whether no attempt is looked at now. Asking is no attempt. */
export async function isLocked(db: Pick<Tx, 'query'>, signer: SignerId, target: GuessTarget): Promise<boolean> {
  const { rowCount } = await db.query(
    'select from paraph.guess where signer_id = $1 and target = $2 and blocked_until > paraph.now()',
    [signer, target],
  )
  return rowCount !== 0
}

/** The attempt was not looked at, through no fault of who made it: it does not count. */
export async function takeBackGuess(
  tx: Tx,
  signer: SignerId,
  target: GuessTarget,
  browser?: Uint8Array,
): Promise<void> {
  if (browser === undefined) {
    await tx.query(
      'update paraph.guess set failures = greatest(failures - 1, 0) where signer_id = $1 and target = $2',
      [signer, target],
    )
  } else {
    await tx.query('update paraph.device set failures = greatest(failures - 1, 0) where hash = $1', [browser])
  }
}

/** The attempt was right: the row of failures ends; from a known browser, that browser's. */
export async function clearGuesses(tx: Tx, signer: SignerId, target: GuessTarget, browser?: Uint8Array): Promise<void> {
  if (browser === undefined) {
    await tx.query('update paraph.guess set failures = 0, blocked_until = null where signer_id = $1 and target = $2', [
      signer,
      target,
    ])
  } else {
    await tx.query('update paraph.device set failures = 0, blocked_until = null where hash = $1', [browser])
  }
}
