import type { Tx } from '../audit/transaction-log.js'
import type { RowBinding } from '../binding.js'
import type { SignerId } from '../ids.js'

/** What can be guessed: the password, and PIN and one-time code together. */
export type GuessTarget = 'password' | 'factor'

/** Wrong codes in a row after which the signer's authenticators end for good. */
export const FACTOR_LIMIT = 100

/** A power of two. */
const NOBODIES = 4096

const FREE: Record<GuessTarget, number> = { password: 5, factor: 3 }
const LONGEST_DELAY: Record<GuessTarget, number> = { password: 60, factor: 3600 }

/**
 * Failures so far and this one, and the time during which no further attempt is looked at. An attempt that is not looked at
 * changes neither and is written all the same, so that its commit takes as long as another's.
 */
const COUNTED = `(looked_at, failures, blocked_until) = (
  select free, g.failures + free::integer,
    case when not free then g.blocked_until
         when g.failures + 1 >= $3 then at + make_interval(secs => least(power(2, least(g.failures + 1 - $3, 30)), $4)) end
  from (select at, g.blocked_until is null or g.blocked_until <= at as free from (select paraph.now() as at) clock) attempt)`
const ATTEMPTS = 'case when looked_at then failures end as attempts'

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
           on conflict (signer_id, target) do update set ${COUNTED} returning ${ATTEMPTS}`,
          [signer, target, ...limits],
        )
      : await db.query(
          `update paraph.device g set ${COUNTED} where g.hash = $1 and g.signer_id = $2 returning ${ATTEMPTS}`,
          [browser, signer, ...limits],
        )
  return (rows[0]?.attempts as number | null | undefined) ?? undefined
}

/**
 * As whom attempts on a login that nobody has are counted: always the same for one login, one of a few thousand for all.
 * Which one it is can be told under the binding key only.
 */
export function nobody(binding: RowBinding, login: string): SignerId {
  const row = binding.mac('guess', [login.toLowerCase()]).readUInt16BE() % NOBODIES
  return `00000000-0000-4000-8000-${row.toString(16).padStart(12, '0')}` as SignerId
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
