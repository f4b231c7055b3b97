import { X509Certificate } from 'node:crypto'
import type * as asn1js from 'asn1js'
import { BasicConstraints, Certificate, CertificatePolicies, ExtKeyUsage, QCStatements } from 'pkijs'
import { ServiceError } from '../errors.js'
import { readPublicKey } from './algorithm.js'
import { decode } from './der.js'
import { attributeOf, COMMON_NAME, distinguishedName, ORGANIZATION } from './name.js'
import { fromPem } from './pem.js'

/** RFC 5280 §4.2.1.3, in the order of the bits. */
export const KEY_USAGES = [
  'digitalSignature',
  'nonRepudiation',
  'keyEncipherment',
  'dataEncipherment',
  'keyAgreement',
  'keyCertSign',
  'cRLSign',
  'encipherOnly',
  'decipherOnly',
] as const
export type KeyUsage = (typeof KEY_USAGES)[number]

/** id-kp-timeStamping (RFC 3161 §2.3). */
export const TIME_STAMPING = '1.3.6.1.5.5.7.3.8'

/** What a certificate says, as CSC and the log want it. */
export interface CertificateFacts {
  /** RFC 4514, most specific RDN first. */
  readonly subjectDn: string
  readonly issuerDn: string
  readonly commonName: string | undefined
  readonly organization: string | undefined
  /** Upper-case hexadecimal, an even number of digits, without the byte that only keeps it positive. */
  readonly serialNumber: string
  readonly notBefore: Date
  readonly notAfter: Date
  /** DER SubjectPublicKeyInfo. */
  readonly publicKey: Uint8Array
  readonly ca: boolean
  /** How many CA certificates may stand between this one and the leaf; absent where it does not say. */
  readonly pathLength: number | undefined
  /** Absent where the certificate restricts nothing. */
  readonly keyUsage: readonly KeyUsage[] | undefined
  readonly extendedKeyUsage: readonly string[] | undefined
  /** OIDs of the QCStatements (RFC 3739 §3.2.6); empty where there are none. */
  readonly qcStatements: readonly string[]
  /** OIDs of the certificate policies. */
  readonly policies: readonly string[]
  /** OIDs of the extensions a reader must understand. */
  readonly criticalExtensions: readonly string[]
}

/** Largest certificate that is read, in bytes. */
const MAX_CERTIFICATE = 64 * 1024
/** Most certificates in a chain. */
const MAX_CHAIN = 10

/**
 * @param der exactly one certificate
 * @throws ServiceError `not_allowed` when it is none
 */
export function parseCertificate(der: Uint8Array): CertificateFacts {
  const certificate = readCertificate(der)
  const x509 = readX509(der)
  const constraints = parsed(certificate, BasicConstraints)
  return {
    subjectDn: distinguishedName(certificate.subject),
    issuerDn: distinguishedName(certificate.issuer),
    commonName: attributeOf(certificate.subject, COMMON_NAME),
    organization: attributeOf(certificate.subject, ORGANIZATION),
    serialNumber: serialOf(certificate.serialNumber),
    notBefore: certificate.notBefore.value,
    notAfter: certificate.notAfter.value,
    publicKey: new Uint8Array(x509.publicKey.export({ type: 'spki', format: 'der' })),
    ca: x509.ca,
    pathLength: constraints?.pathLenConstraint === undefined ? undefined : Number(constraints.pathLenConstraint),
    keyUsage: keyUsageOf(certificate),
    extendedKeyUsage: parsed(certificate, ExtKeyUsage)?.keyPurposes,
    qcStatements: parsed(certificate, QCStatements)?.values.map(({ id }) => id) ?? [],
    policies:
      parsed(certificate, CertificatePolicies)?.certificatePolicies.map(({ policyIdentifier }) => policyIdentifier) ??
      [],
    criticalExtensions: (certificate.extensions ?? []).filter(({ critical }) => critical).map(({ extnID }) => extnID),
  }
}

/** @throws ServiceError `not_allowed` when `der` is not exactly one certificate */
export function readCertificate(der: Uint8Array): Certificate {
  try {
    if (der.length > MAX_CERTIFICATE) throw new RangeError('too large')
    return new Certificate({ schema: decode(der) })
  } catch (cause) {
    throw new ServiceError('not_allowed', { detail: 'not a certificate', cause })
  }
}

/** @throws ServiceError `not_allowed` when OpenSSL cannot read it, or cannot read its public key */
export function readX509(der: Uint8Array): X509Certificate {
  try {
    const x509 = new X509Certificate(der)
    void x509.publicKey
    return x509
  } catch (cause) {
    throw new ServiceError('not_allowed', { detail: 'not a certificate', cause })
  }
}

/** Upper-case hexadecimal of a certificate's serial number. */
function serialOf(serial: asn1js.Integer): string {
  const bytes = Buffer.from(serial.valueBlock.valueHexView)
  return (bytes.length > 1 && bytes[0] === 0 ? bytes.subarray(1) : bytes).toString('hex').toUpperCase()
}

function parsed<Value extends object>(
  certificate: Certificate,
  kind: abstract new (...parameters: never[]) => Value,
): Value | undefined {
  const extension = certificate.extensions?.find(({ parsedValue }) => parsedValue instanceof kind)
  return extension?.parsedValue as Value | undefined
}

function keyUsageOf(certificate: Certificate): KeyUsage[] | undefined {
  const extension = certificate.extensions?.find(({ extnID }) => extnID === '2.5.29.15')
  if (extension === undefined) return undefined
  const bits = (extension.parsedValue as asn1js.BitString | undefined)?.valueBlock.valueHexView ?? new Uint8Array()
  return KEY_USAGES.filter((_, bit) => ((bits[Math.floor(bit / 8)] ?? 0) & (0x80 >> (bit % 8))) !== 0)
}

/**
 * The certificates of a chain, leaf first, as DER.
 * @param pem CERTIFICATE blocks; text between them is ignored, any other kind of block is not
 * @throws ServiceError `not_allowed` when it holds anything but 1 to 10 certificates
 */
export function parseChain(pem: string): Uint8Array[] {
  const chain = fromPem('CERTIFICATE', pem)
  if (chain.length > MAX_CHAIN) {
    throw new ServiceError('not_allowed', { detail: `a chain has at most ${MAX_CHAIN} certificates` })
  }
  for (const der of chain) parseCertificate(der)
  return chain
}

/**
 * Checks that a chain may be used with a signer's key: the leaf holds that key, is no CA and may sign content; each
 * certificate is issued and signed by the next, and all are valid now. Whether the last one deserves trust is not
 * asked here.
 * @param chain DER, leaf first
 * @param expected `publicKey` is DER SubjectPublicKeyInfo
 * @throws ServiceError `not_allowed` saying what is wrong
 */
export function checkChain(
  chain: readonly Uint8Array[],
  expected: { readonly publicKey: Uint8Array; readonly now: Date },
): void {
  checkSigningCertificate(requireKeyOf(chain, expected.publicKey), expected.now)
  checkIssuers(chain, expected.now)
}

/**
 * Checks that a chain may be used with the key of a time-stamp authority: like `checkChain`, with a leaf that serves
 * time-stamps and nothing else, and says so critically (RFC 3161 §2.3).
 * @throws ServiceError `not_allowed` saying what is wrong
 */
export function checkTimeStampChain(
  chain: readonly Uint8Array[],
  expected: { readonly publicKey: Uint8Array; readonly now: Date },
): void {
  const leaf = requireKeyOf(chain, expected.publicKey)
  checkSigningCertificate(leaf, expected.now)
  const { extendedKeyUsage, criticalExtensions } = parseCertificate(leaf)
  const [purpose, ...others] = extendedKeyUsage ?? []
  if (purpose !== TIME_STAMPING || others.length > 0 || !criticalExtensions.includes('2.5.29.37')) {
    throw new ServiceError('not_allowed', {
      detail: 'the certificate has not the one critical extended key usage timeStamping',
    })
  }
  checkIssuers(chain, expected.now)
}

/** The leaf. @throws ServiceError `not_allowed` where it is for another key, or there is none */
function requireKeyOf([leaf]: readonly Uint8Array[], publicKey: Uint8Array): Uint8Array {
  if (leaf === undefined) throw new ServiceError('not_allowed', { detail: 'the chain is empty' })
  if (!readX509(leaf).publicKey.equals(readPublicKey(publicKey))) {
    throw new ServiceError('not_allowed', { detail: 'the certificate is for another key' })
  }
  return leaf
}

function checkIssuers(chain: readonly Uint8Array[], now: Date): void {
  chain.slice(1).forEach((issuer, below) => {
    checkIssuer(chain[below] as Uint8Array, issuer, below, now)
  })
}

/**
 * Checks that a certificate is a signer's: no CA, for signatures over content, valid now.
 * @throws ServiceError `not_allowed`
 */
export function checkSigningCertificate(der: Uint8Array, now: Date): void {
  const facts = parseCertificate(der)
  if (facts.ca) throw new ServiceError('not_allowed', { detail: 'the certificate is a CA certificate' })
  if (!(facts.keyUsage?.some((usage) => usage === 'nonRepudiation' || usage === 'digitalSignature') ?? false)) {
    throw new ServiceError('not_allowed', {
      detail: 'the certificate has neither key usage nonRepudiation nor digitalSignature',
    })
  }
  checkDates(facts, now)
}

/**
 * Checks that `issuer` is a CA that issued and signed `subject`.
 * @param below how many CA certificates stand between `issuer` and the leaf
 * @throws ServiceError `not_allowed`
 */
export function checkIssuer(subject: Uint8Array, issuer: Uint8Array, below: number, now: Date): void {
  const certificate = readX509(subject)
  const ca = readX509(issuer)
  const facts = parseCertificate(issuer)
  const name = parseCertificate(subject).subjectDn
  if (!certificate.checkIssued(ca) || !isSignedBy(certificate, ca)) {
    throw new ServiceError('not_allowed', { detail: `${name} is not signed by ${facts.subjectDn}` })
  }
  if (!facts.ca || facts.keyUsage?.includes('keyCertSign') === false) {
    throw new ServiceError('not_allowed', { detail: `${facts.subjectDn} may not issue certificates` })
  }
  if (facts.pathLength !== undefined && below > facts.pathLength) {
    throw new ServiceError('not_allowed', { detail: `${facts.subjectDn} does not allow a chain this long` })
  }
  checkDates(facts, now)
}

function isSignedBy(certificate: X509Certificate, issuer: X509Certificate): boolean {
  try {
    return certificate.verify(issuer.publicKey)
  } catch {
    return false
  }
}

function checkDates(facts: CertificateFacts, now: Date): void {
  if (now < facts.notBefore) {
    throw new ServiceError('not_allowed', {
      detail: `${facts.subjectDn} is not valid before ${facts.notBefore.toISOString()}`,
    })
  }
  if (now > facts.notAfter) {
    throw new ServiceError('not_allowed', { detail: `${facts.subjectDn} expired on ${facts.notAfter.toISOString()}` })
  }
}
