/**
 * The demo's certificate authority: one root for each demo folder and the signers' certificates under it. Everything it
 * issues says that it is a test. Its key is a service key; nothing here sees the private half.
 */
import * as asn1js from 'asn1js'
import { Certificate, PublicKeyInfo, Time } from 'pkijs'
import type { Clock } from '../clock.js'
import { ServiceError } from '../errors.js'
import type { Hsm, ServiceKey } from '../hsm/hsm.js'
import { readPublicKey, usualMechanism } from './algorithm.js'
import { readCertificate } from './certificate.js'
import { readRequest } from './certificate-request.js'
import { decode, wholeSeconds } from './der.js'
import {
  authorityKeyIdentifier,
  issuingCa,
  keyUsage,
  policy,
  qcStatements,
  subjectKeyIdentifier,
  timeStampingOnly,
} from './extensions.js'
import { attributeOf, COMMON_NAME, type Subject, toName } from './name.js'
import { signerOf } from './service-signer.js'
import { signStructure } from './signed-structure.js'

/** The organization in every name of the demo. */
const DEMO_ORGANIZATION = 'Paraph demo'
/** Policy of a signer's certificate of the demo, unless another is asked for; the arc 2.999 is set aside for examples (ITU-T X.660). */
export const TEST_POLICY = '2.999.1'

/** Policy of the demo's time-stamps. */
export const TEST_TIME_STAMP_POLICY = '2.999.2'

/** Whether a certificate with this policy is a demo's: that one, and all below it. */
export function isTestPolicy(policyOid: string): boolean {
  return policyOid === TEST_POLICY || policyOid.startsWith(`${TEST_POLICY}.`)
}

const NOTICE = 'TEST ONLY: issued by a Paraph demo to whoever asked for it. It proves nothing about anybody.'
const LIFETIME = 90 * 24 * 3600 * 1000

/**
 * A new self-signed root with a name of its own, valid for 90 days; it may issue signers' certificates and no CA.
 * @returns DER
 * @throws HsmError
 */
export async function createRoot(hsm: Hsm, key: ServiceKey, clock: Clock): Promise<Uint8Array> {
  const suffix = Buffer.from(await hsm.random(4)).toString('hex')
  const name = toName({ commonName: `Paraph demo root ${suffix}`, organization: DEMO_ORGANIZATION })
  const notBefore = wholeSeconds(clock.now())
  const root = new Certificate({
    version: 2,
    serialNumber: await newSerial(hsm),
    issuer: name,
    subject: name,
    notBefore: timeOf(notBefore),
    notAfter: timeOf(new Date(notBefore.getTime() + LIFETIME)),
    subjectPublicKeyInfo: new PublicKeyInfo({ schema: decode(key.publicKey) }),
    extensions: [
      issuingCa(),
      keyUsage('keyCertSign'),
      subjectKeyIdentifier(key.publicKey),
      authorityKeyIdentifier(key.publicKey),
    ],
  })
  return signStructure(root, mechanismOf(key), signerOf(hsm, key))
}

/**
 * A signer's certificate for a key held elsewhere: for content commitment only (nonRepudiation), valid for 90 days or as
 * long as the root. It takes over common name, country and serial number, and names the demo as organization.
 * @param root the CA's certificate, DER
 * @param request a PKCS#10 request, of which the common name is taken; or subject and key (DER SubjectPublicKeyInfo)
 * @param policyOid the certificate policy it is issued under
 * @returns DER
 * @throws ServiceError `not_allowed` when the root has expired or the request is not acceptable
 * @throws HsmError
 */
export async function issue(
  hsm: Hsm,
  key: ServiceKey,
  root: Uint8Array,
  request: Uint8Array | { readonly subject: Subject; readonly publicKey: Uint8Array },
  clock: Clock,
  policyOid: string = TEST_POLICY,
): Promise<Uint8Array> {
  const issuer = readCertificate(root)
  const notBefore = wholeSeconds(clock.now())
  if (notBefore >= issuer.notAfter.value) {
    throw new ServiceError('not_allowed', { detail: 'the root of the demo CA has expired; start a new demo folder' })
  }
  const { subject, publicKey } = request instanceof Uint8Array ? subjectOfRequest(request) : request
  if (usualMechanism(readPublicKey(publicKey)) === undefined) {
    throw new ServiceError('not_allowed', { detail: 'a key of this kind cannot sign here' })
  }
  const certificate = new Certificate({
    version: 2,
    serialNumber: await newSerial(hsm),
    issuer: issuer.subject,
    subject: toName({ ...subject, organization: DEMO_ORGANIZATION }),
    notBefore: timeOf(notBefore),
    notAfter: timeOf(new Date(Math.min(notBefore.getTime() + LIFETIME, issuer.notAfter.value.getTime()))),
    subjectPublicKeyInfo: new PublicKeyInfo({ schema: decode(publicKey) }),
    extensions: [
      keyUsage('nonRepudiation'),
      subjectKeyIdentifier(publicKey),
      authorityKeyIdentifier(key.publicKey),
      policy(policyOid, NOTICE),
      qcStatements(),
    ],
  })
  return signStructure(certificate, mechanismOf(key), signerOf(hsm, key))
}

/**
 * A certificate of the demo's time-stamp authority, for time-stamps only and valid as long as the root.
 * @param publicKey its key, DER SubjectPublicKeyInfo
 * @returns DER
 * @throws HsmError
 */
export async function issueTimeStamping(
  hsm: Hsm,
  key: ServiceKey,
  root: Uint8Array,
  publicKey: Uint8Array,
  clock: Clock,
): Promise<Uint8Array> {
  const issuer = readCertificate(root)
  const certificate = new Certificate({
    version: 2,
    serialNumber: await newSerial(hsm),
    issuer: issuer.subject,
    subject: toName({ commonName: 'Paraph demo time-stamp authority', organization: DEMO_ORGANIZATION }),
    notBefore: timeOf(wholeSeconds(clock.now())),
    notAfter: timeOf(issuer.notAfter.value),
    subjectPublicKeyInfo: new PublicKeyInfo({ schema: decode(publicKey) }),
    extensions: [
      keyUsage('digitalSignature'),
      timeStampingOnly(),
      subjectKeyIdentifier(publicKey),
      authorityKeyIdentifier(key.publicKey),
      policy(TEST_TIME_STAMP_POLICY, NOTICE),
    ],
  })
  return signStructure(certificate, mechanismOf(key), signerOf(hsm, key))
}

function subjectOfRequest(der: Uint8Array): { subject: Subject; publicKey: Uint8Array } {
  const { subject, publicKey } = readRequest(der)
  return { subject: { commonName: attributeOf(subject, COMMON_NAME) ?? '' }, publicKey }
}

/** How the CA's key signs. */
function mechanismOf(key: ServiceKey) {
  const mechanism = usualMechanism(key.publicKey)
  if (mechanism === undefined) throw new ServiceError('not_allowed', { detail: 'a key of this kind cannot be a CA' })
  return mechanism
}

/** 127 random bits, positive and of constant length (RFC 5280 §4.1.2.2). */
async function newSerial(hsm: Hsm): Promise<asn1js.Integer> {
  const bytes = Uint8Array.from(await hsm.random(16))
  bytes[0] = ((bytes[0] ?? 0) & 0x7f) | 0x40
  return new asn1js.Integer({ valueHex: bytes })
}

/** UTCTime to 2049, GeneralizedTime from 2050 (RFC 5280 §4.1.2.5). */
function timeOf(moment: Date): Time {
  const value = wholeSeconds(moment)
  return new Time({ type: value.getUTCFullYear() < 2050 ? 0 : 1, value })
}
