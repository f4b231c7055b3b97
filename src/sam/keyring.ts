import type { Executor } from '../db/pool.js'
import type { Hsm } from '../hsm/hsm.js'

/** The service's own secrets: 32 random bytes each, sealed by the device, opened only in SAM workers. */
export const KEYRING = ['pepper', 'binding'] as const
export type Keyring = Record<(typeof KEYRING)[number], Uint8Array>

const associatedData = (name: string, instance: string) => Buffer.from(`paraph/keyring/v1\n${name}\n${instance}`)

/** Makes them, for `audit init`. */
export async function createKeyring(
  hsm: Pick<Hsm, 'random' | 'seal'>,
  db: Pick<Executor, 'query'>,
  instance: string,
): Promise<Keyring> {
  const keyring: Partial<Keyring> = {}
  for (const name of KEYRING) {
    const secret = await hsm.random(32)
    keyring[name] = secret
    await db.query('insert into paraph.sealed_secret (name, sealed) values ($1, $2)', [
      name,
      await hsm.seal(secret, associatedData(name, instance)),
    ])
  }
  return keyring as Keyring
}

/** @throws HsmError `rejected` when this device did not seal them; Error when there are none */
export async function openKeyring(
  hsm: Pick<Hsm, 'unseal'>,
  db: Pick<Executor, 'query'>,
  instance: string,
): Promise<Keyring> {
  const { rows } = await db.query<{ name: string; sealed: Uint8Array }>('select name, sealed from paraph.sealed_secret')
  const keyring: Partial<Keyring> = {}
  for (const name of KEYRING) {
    const row = rows.find((candidate) => candidate.name === name)
    if (row === undefined) throw new Error('this database has no keys of the service: run `paraph audit init`')
    keyring[name] = await hsm.unseal(row.sealed, associatedData(name, instance))
  }
  return keyring as Keyring
}
