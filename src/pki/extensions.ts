import { createHash } from 'node:crypto'
import * as asn1js from 'asn1js'
import {
  AuthorityKeyIdentifier,
  BasicConstraints,
  CertificatePolicies,
  Extension,
  ExtKeyUsage,
  PolicyInformation,
  PolicyQualifierInfo,
  PublicKeyInfo,
  QCStatement,
  QCStatements,
} from 'pkijs'
import { KEY_USAGES, type KeyUsage, TIME_STAMPING } from './certificate.js'
import { decode, encode, namedBits } from './der.js'

/** A CA that may issue certificates, and none for another CA. */
export function issuingCa(): Extension {
  return extension('2.5.29.19', true, new BasicConstraints({ cA: true, pathLenConstraint: 0 }).toSchema())
}

export function keyUsage(...usages: readonly KeyUsage[]): Extension {
  return extension('2.5.29.15', true, namedBits(usages.map((usage) => KEY_USAGES.indexOf(usage))))
}

/** For time-stamps and nothing else, as RFC 3161 §2.3 wants it: critical, and alone. */
export function timeStampingOnly(): Extension {
  return extension('2.5.29.37', true, new ExtKeyUsage({ keyPurposes: [TIME_STAMPING] }).toSchema())
}

/** @param publicKey DER SubjectPublicKeyInfo */
export function subjectKeyIdentifier(publicKey: Uint8Array): Extension {
  return extension('2.5.29.14', false, new asn1js.OctetString({ valueHex: keyIdentifier(publicKey) }))
}

/** @param publicKey the issuer's, DER SubjectPublicKeyInfo */
export function authorityKeyIdentifier(publicKey: Uint8Array): Extension {
  const identifier = new asn1js.OctetString({ valueHex: keyIdentifier(publicKey) })
  return extension('2.5.29.35', false, new AuthorityKeyIdentifier({ keyIdentifier: identifier }).toSchema())
}

/** RFC 5280 §4.2.1.2, method 1: SHA-1 over the key's bits, as a name and not as a protection. */
function keyIdentifier(publicKey: Uint8Array): Uint8Array {
  return createHash('sha1').update(keyBits(publicKey)).digest()
}

/** The subjectPublicKey bits of a DER SubjectPublicKeyInfo. */
function keyBits(publicKey: Uint8Array): Uint8Array {
  return new PublicKeyInfo({ schema: decode(publicKey) }).subjectPublicKey.valueBlock.valueHexView
}

/** One policy with a notice for whoever reads the certificate (RFC 5280 §4.2.1.4); at most 200 characters. */
export function policy(oid: string, notice: string): Extension {
  const qualifier = new asn1js.Sequence({ value: [new asn1js.Utf8String({ value: notice })] })
  const information = new PolicyInformation({
    policyIdentifier: oid,
    policyQualifiers: [new PolicyQualifierInfo({ policyQualifierId: '1.3.6.1.5.5.7.2.2', qualifier })],
  })
  return extension('2.5.29.32', false, new CertificatePolicies({ certificatePolicies: [information] }).toSchema())
}

/** What a qualified certificate for signatures states: QcCompliance, QcSSCD, QcType esign (ETSI EN 319 412-5). */
export function qcStatements(): Extension {
  const esign = new asn1js.Sequence({ value: [new asn1js.ObjectIdentifier({ value: '0.4.0.1862.1.6.1' })] })
  const statements = new QCStatements()
  statements.values = [
    new QCStatement({ id: '0.4.0.1862.1.1' }),
    new QCStatement({ id: '0.4.0.1862.1.4' }),
    new QCStatement({ id: '0.4.0.1862.1.6', type: esign }),
  ]
  return extension('1.3.6.1.5.5.7.1.3', false, statements.toSchema())
}

function extension(extnID: string, critical: boolean, value: { toBER(): ArrayBuffer }): Extension {
  return new Extension({ extnID, critical, extnValue: encode(value).buffer as ArrayBuffer })
}
