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

/**
 * The time step that `code` belongs to, if it is the current one or a neighbour; anything malformed is just wrong.
 * Whether the step was used before is for the statement that burns it.
 * @param now milliseconds
 */
export function stepOfCode(secret: string, algorithm: CodeAlgorithm, code: string, now: number): number | undefined {
  if (!/^[0-9]{8}$/.test(code)) return undefined
  try {
    const result = verifySync({
      secret,
      token: code,
      epoch: Math.floor(now / 1000),
      epochTolerance: CODE_PERIOD,
      algorithm: algorithm === 'SHA1' ? 'sha1' : 'sha256',
      digits: CODE_DIGITS,
      period: CODE_PERIOD,
    })
    return result.valid ? (result as { timeStep?: number }).timeStep : undefined
  } catch {
    return undefined
  }
}
