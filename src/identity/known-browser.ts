import type { Tx } from '../audit/transaction-log.js'
import type { RowBinding } from '../binding.js'
import { readNow } from '../db/now.js'
import type { SignerId } from '../ids.js'
import { newSecretValue, secretHash } from './secret-value.js'

/** How long a browser stays known without being used, in seconds. */
export const BROWSER_SECONDS = 365 * 24 * 3600

interface BrowserRow {
  readonly hash: Uint8Array
  readonly signer_id: SignerId
  readonly expires_at: Date
  readonly binding: Uint8Array
}

const fields = (row: Omit<BrowserRow, 'binding'>) => [row.hash, row.signer_id, row.expires_at]

/**
 * A browser that its signer has used with a verified code (table paraph.device). With the password it comes past the
 * waiting that strangers' guesses cause; its own guesses are counted by themselves.
 * @returns the value of its cookie, of which only the hash is kept
 */
export async function knowBrowser(tx: Tx, binding: RowBinding, signer: SignerId): Promise<string> {
  const value = newSecretValue()
  const expires = new Date((await readNow(tx)).getTime() + BROWSER_SECONDS * 1000)
  const row = { hash: secretHash(value), signer_id: signer, expires_at: expires }
  await tx.query('insert into paraph.device (hash, signer_id, expires_at, binding) values ($1, $2, $3, $4)', [
    row.hash,
    row.signer_id,
    row.expires_at,
    binding.mac('device', fields(row)),
  ])
  return value
}

/** The hash of a cookie's value, if that browser is known to be this signer's. */
export async function knownBrowser(
  tx: Pick<Tx, 'query'>,
  binding: RowBinding,
  signer: SignerId,
  value: string | undefined,
): Promise<Uint8Array | undefined> {
  if (value === undefined) return undefined
  const { rows } = await tx.query<BrowserRow>(
    'select hash, signer_id, expires_at, binding from paraph.device where hash = $1 and signer_id = $2 and expires_at > paraph.now()',
    [secretHash(value), signer],
  )
  const [row] = rows
  return row !== undefined && binding.fits('device', fields(row), row.binding) ? row.hash : undefined
}

/** No browser of this signer is known any more. */
export async function forgetBrowsers(tx: Tx, signer: SignerId): Promise<void> {
  await tx.query('delete from paraph.device where signer_id = $1', [signer])
}
