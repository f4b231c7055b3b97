import { ServiceError } from '../errors.js'
import { checkIssuer, checkSigningCertificate, parseCertificate, readX509 } from './certificate.js'

/** Extensions whose meaning is checked here, or restricts nothing that we use. */
const UNDERSTOOD = new Set([
  '2.5.29.14', // subject key identifier
  '2.5.29.15', // key usage
  '2.5.29.17', // subject alternative name
  '2.5.29.19', // basic constraints
  '2.5.29.31', // revocation list
  '2.5.29.32', // policies
  '2.5.29.35', // authority key identifier
  '1.3.6.1.5.5.7.3', // information access
  '1.3.6.1.5.5.7.1.3', // QC statements
])

const MAX_LENGTH = 10

/**
 * The path from a signer's certificate to a trusted root, all valid now. Revocation is not asked about.
 * @param leaf DER
 * @param others certificates that may stand between, DER, in any order
 * @param roots DER; a root is trusted for being here
 * @returns leaf first, root last
 * @throws ServiceError `not_allowed` saying where the path ends
 */
export function trustedPath(
  leaf: Uint8Array,
  others: readonly Uint8Array[],
  roots: readonly Uint8Array[],
  now: Date,
): Uint8Array[] {
  checkSigningCertificate(leaf, now)
  const path = [leaf]
  for (let subject = leaf; path.length < MAX_LENGTH; ) {
    checkUnderstood(subject)
    const root = roots.find((candidate) => isIssuer(subject, candidate))
    const issuer = root ?? others.find((candidate) => isIssuer(subject, candidate) && !path.includes(candidate))
    if (issuer === undefined) break
    checkIssuer(subject, issuer, path.length - 1, now)
    path.push(issuer)
    if (root !== undefined) return path
    subject = issuer
  }
  const last = parseCertificate(path.at(-1) ?? leaf)
  throw new ServiceError('not_allowed', { detail: `${last.subjectDn} is not issued by a trusted root` })
}

function isIssuer(subject: Uint8Array, candidate: Uint8Array): boolean {
  const certificate = readX509(subject)
  const issuer = readX509(candidate)
  try {
    return certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey)
  } catch {
    return false
  }
}

function checkUnderstood(der: Uint8Array): void {
  const { criticalExtensions, subjectDn } = parseCertificate(der)
  const strange = criticalExtensions.find((oid) => !UNDERSTOOD.has(oid))
  if (strange !== undefined) {
    throw new ServiceError('not_allowed', {
      detail: `${subjectDn} has a restriction that is not understood: ${strange}`,
    })
  }
}
