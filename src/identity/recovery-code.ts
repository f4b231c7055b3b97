import { randomBytes } from 'node:crypto'
import type { Tx } from '../audit/transaction-log.js'
import type { RowBinding } from '../binding.js'
import { readNow } from '../db/now.js'
import type { SignerId } from '../ids.js'
import type { PasswordHasher } from './password.js'

const CODES = 10
/** Five bits each; no letter that is read as a digit. */
const ALPHABET = 'abcdefghijkmnpqrstuvwxyz23456789'
const SELECTOR = 4
const SECRET = 12

interface RecoveryCode {
  readonly signer_id: SignerId
  readonly selector: string
  readonly hash: string
  readonly used_at: Date | null
  readonly binding: Uint8Array
}

const fields = (row: Omit<RecoveryCode, 'binding'>) => [row.signer_id, row.selector, row.hash, row.used_at]

export interface NewRecoveryCodes {
  /** `ssss-xxxx-xxxx-xxxx`: four letters that find the row, then 60 random bits. */
  readonly codes: readonly string[]
  readonly rows: readonly { readonly selector: string; readonly hash: string }[]
}

/** Makes ten codes and their slow hashes; nothing is kept yet. @throws ServiceError `overloaded` */
export async function newRecoveryCodes(passwords: PasswordHasher): Promise<NewRecoveryCodes> {
  const selectors = new Set<string>()
  while (selectors.size < CODES) selectors.add(letters(SELECTOR))
  const codes: string[] = []
  const rows: { selector: string; hash: string }[] = []
  for (const selector of selectors) {
    const secret = letters(SECRET)
    codes.push([selector, ...(secret.match(/.{4}/g) ?? [])].join('-'))
    rows.push({ selector, hash: await passwords.hash('recovery', selector + secret) })
  }
  return { codes, rows }
}

/** The signer's codes from now on; those before are worth nothing. */
export async function replaceRecoveryCodes(
  tx: Tx,
  binding: RowBinding,
  signer: SignerId,
  { rows }: NewRecoveryCodes,
): Promise<void> {
  await tx.query('delete from paraph.recovery_code where signer_id = $1', [signer])
  for (const { selector, hash } of rows) {
    const row = { signer_id: signer, selector, hash, used_at: null }
    await tx.query('insert into paraph.recovery_code (signer_id, selector, hash, binding) values ($1, $2, $3, $4)', [
      signer,
      selector,
      hash,
      binding.mac('recovery_code', fields(row)),
    ])
  }
}

/** A code as it is hashed, however it was typed. */
export function plainRecoveryCode(code: string): string {
  return code.toLowerCase().replaceAll(/[^a-z0-9]/g, '')
}

/** The unused code that this may be: its hash is not compared yet. Whether it is still unused is for `useRecoveryCode`. */
export async function findRecoveryCode(
  db: Pick<Tx, 'query'>,
  binding: RowBinding,
  signer: SignerId,
  code: string,
): Promise<RecoveryCode | undefined> {
  const { rows } = await db.query<RecoveryCode>(
    `select signer_id, selector, hash, used_at, binding from paraph.recovery_code
      where signer_id = $1 and selector = $2 and used_at is null`,
    [signer, plainRecoveryCode(code).slice(0, SELECTOR)],
  )
  return rows.find((row) => binding.fits('recovery_code', fields(row), row.binding))
}

/** Compare-and-set: of all who present the same code, one uses it. */
export async function useRecoveryCode(tx: Tx, binding: RowBinding, row: RecoveryCode): Promise<boolean> {
  const used = { ...row, used_at: await readNow(tx) }
  const { rowCount } = await tx.query(
    `update paraph.recovery_code set used_at = $3, binding = $4 where signer_id = $1 and selector = $2 and used_at is null`,
    [row.signer_id, row.selector, used.used_at, binding.mac('recovery_code', fields(used))],
  )
  return rowCount === 1
}

function letters(count: number): string {
  return Array.from(randomBytes(count), (byte) => ALPHABET[byte & 31]).join('')
}
