import { generateSecret, generateURI, verifySync } from 'otplib'

/** TOTP as every authenticator does it (RFC 6238): 8 digits, 30 seconds, ±1 step. */
export const CODE_DIGITS = 8
export const CODE_PERIOD = 30
export type CodeAlgorithm = 'SHA1' | 'SHA256'

/** A new authenticator secret: base32 of 20 bytes for SHA-1, 32 for SHA-256. */
export function newCodeSecret(algorithm: CodeAlgorithm): string {
  return generateSecret({ length: algorithm === 'SHA1' ? 20 : 32 })
}

/** The otpauth URI that an authenticator scans. */
export function codeUri(secret: string, login: string, algorithm: CodeAlgorithm, issuer = 'Paraph'): string {
  return generateURI({
    issuer,
    label: login,
    secret,
    algorithm: algorithm === 'SHA1' ? 'sha1' : 'sha256',
    digits: CODE_DIGITS,
    period: CODE_PERIOD,
  })
}

/** Codes of the current step and its neighbours are right; up to so many steps away the authenticator's clock is wrong. */
const RIGHT_STEPS = 1
const DRIFTED_STEPS = 10

/**
 * The time step that `code` belongs to, if it is the current one or a neighbour; anything malformed is just wrong.
 * Whether the step was used before is for the statement that burns it.
 * @param now milliseconds
 */
export function stepOfCode(secret: string, algorithm: CodeAlgorithm, code: string, now: number): number | undefined {
  return stepWithin(RIGHT_STEPS, secret, algorithm, code, now)
}

/** The time step of a code that is not right, but would be if the authenticator's clock were. */
export function driftedStepOfCode(
  secret: string,
  algorithm: CodeAlgorithm,
  code: string,
  now: number,
): number | undefined {
  return stepWithin(DRIFTED_STEPS, secret, algorithm, code, now)
}

/** By how many seconds a clock that is at this step is ahead; behind, if negative. */
export function driftOf(step: number, now: number): number {
  return (step - Math.floor(now / 1000 / CODE_PERIOD)) * CODE_PERIOD
}

function stepWithin(
  steps: number,
  secret: string,
  algorithm: CodeAlgorithm,
  code: string,
  now: number,
): number | undefined {
  if (!/^[0-9]{8}$/.test(code)) return undefined
  try {
    const result = verifySync({
      secret,
      token: code,
      epoch: Math.floor(now / 1000),
      epochTolerance: steps * CODE_PERIOD,
      algorithm: algorithm === 'SHA1' ? 'sha1' : 'sha256',
      digits: CODE_DIGITS,
      period: CODE_PERIOD,
    })
    return result.valid ? (result as { timeStep?: number }).timeStep : undefined
  } catch {
    return undefined
  }
}
