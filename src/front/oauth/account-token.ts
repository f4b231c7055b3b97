import { jwtVerify } from 'jose'
import type { Clock } from '../../clock.js'
import { ServiceError } from '../../errors.js'
import { addReplay, type StoreDatabase } from '../../identity/oauth-store.js'

/** Seconds that an account token may be old or early. */
const WINDOW = 600

/**
 * Whom the client means (CSC v2.2 §8.2.1): a JWT under the SHA-256 of the client's secret, which is all that a front has
 * of that. It fills in the login where the signer signs in, and proves nothing.
 * @param key SHA-256 of the client's secret
 * @returns its `sub`
 * @throws ServiceError `parameter_invalid` for one that is not the client's, too old, or used before; `unavailable`
 */
export async function accountOf(
  { store, clock }: { readonly store: StoreDatabase; readonly clock: Clock },
  token: string,
  client: { readonly id: string; readonly key: Uint8Array | undefined },
): Promise<string> {
  const refused = () => new ServiceError('parameter_invalid', { detail: 'Invalid parameter account_token' })
  if (client.key === undefined) throw refused()
  const { payload } = await jwtVerify(token, client.key, {
    algorithms: ['HS256'],
    currentDate: new Date(clock.now()),
  }).catch(() => {
    throw refused()
  })
  const { sub, iat, jti, azp } = payload
  const fresh = typeof iat === 'number' && Math.abs(clock.now() / 1000 - iat) <= WINDOW
  if (!fresh || azp !== client.id || typeof sub !== 'string' || typeof jti !== 'string' || jti.length > 256) {
    throw refused()
  }
  if (!(await addReplay(store, `account\n${client.id}\n${jti}`, 3 * WINDOW))) throw refused()
  return sub
}
