import { ServiceError } from '../errors.js'
import type { KeySpec, Mechanism } from '../hsm/hsm.js'
import { isRsa, longestSalt } from '../hsm/mechanisms.js'

/**
 * Whether a key of this kind may sign this way. RSA: PKCS#1 v1.5, and PSS with any salt the modulus has room for. ECDSA: any
 * of the three hashes with any of the curves; of a digest longer than the order the leftmost bits count (FIPS 186-5 §6.4).
 * @throws ServiceError `algorithm_invalid`, `algorithm_parameters_invalid`
 */
export function requireMechanism(spec: KeySpec, mechanism: Mechanism): Mechanism {
  if (isRsa(spec) === (mechanism.scheme === 'ecdsa')) throw new ServiceError('algorithm_invalid')
  if (mechanism.scheme === 'rsa-pss' && mechanism.saltLength > longestSalt(spec, mechanism.hash)) {
    throw new ServiceError('algorithm_parameters_invalid')
  }
  return mechanism
}
