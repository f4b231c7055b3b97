/** What the demo CA says about certificates later: revocation lists and OCSP answers. */
import { createHash } from 'node:crypto'
import * as asn1js from 'asn1js'
import {
  BasicOCSPResponse,
  type CertID,
  CertificateRevocationList,
  type Extension,
  Extensions,
  OCSPRequest,
  OCSPResponse,
  ResponseBytes,
  ResponseData,
  RevokedCertificate,
  SingleResponse,
} from 'pkijs'
import type { Clock } from '../clock.js'
import type { Hsm, ServiceKey } from '../hsm/hsm.js'
import { DIGEST_OID, digestOf, signatureAlgorithm } from './algorithm.js'
import { readCertificate, serialOf } from './certificate.js'
import { mechanismOf, signerOf, timeOf } from './demo-ca.js'
import { decode, encode, wholeSeconds } from './der.js'
import { authorityKeyIdentifier, crlNumber, keyBits, keyIdentifier } from './extensions.js'
import { signStructure } from './signed-structure.js'

/** What is known about a certificate of the CA. */
export type CertificateStatus =
  | { readonly state: 'good' }
  | { readonly state: 'revoked'; readonly revokedAt: Date }
  /** The CA never issued it. */
  | { readonly state: 'unknown' }

const CRL_LIFETIME = 24 * 3600 * 1000
const OCSP_LIFETIME = 3600 * 1000

/**
 * A revocation list, valid for a day; its number is the time in milliseconds.
 * @param root the CA's certificate, DER
 * @param revoked serial numbers in hexadecimal
 * @returns DER
 * @throws HsmError
 */
export async function makeCrl(
  hsm: Hsm,
  key: ServiceKey,
  root: Uint8Array,
  revoked: readonly { readonly serialNumber: string; readonly revokedAt: Date }[],
  clock: Clock,
): Promise<Uint8Array> {
  const now = clock.now()
  const list = new CertificateRevocationList({
    version: 1,
    issuer: readCertificate(root).subject,
    thisUpdate: timeOf(new Date(now)),
    nextUpdate: timeOf(new Date(now + CRL_LIFETIME)),
    crlExtensions: new Extensions({ extensions: [authorityKeyIdentifier(key.publicKey), crlNumber(now)] }),
  })
  // An empty list is left out, not written empty (RFC 5280 §5.1.2.6).
  if (revoked.length > 0) {
    list.revokedCertificates = revoked.map(
      ({ serialNumber, revokedAt }) =>
        new RevokedCertificate({
          userCertificate: asn1js.Integer.fromBigInt(BigInt(`0x${serialNumber}`)),
          revocationDate: timeOf(revokedAt),
        }),
    )
  }
  return signStructure(list, mechanismOf(key), signerOf(hsm, key))
}

/** SHA-1 only names the issuer here, and is what most clients send. */
const CERT_ID_HASH: Readonly<Record<string, string>> = {
  '1.3.14.3.2.26': 'sha1',
  [DIGEST_OID['sha-256']]: 'sha256',
  [DIGEST_OID['sha-384']]: 'sha384',
  [DIGEST_OID['sha-512']]: 'sha512',
}
const NONCE = '1.3.6.1.5.5.7.48.1.2'
const BASIC = '1.3.6.1.5.5.7.48.1.1'
/** Most certificates asked about in one request. */
const MAX_REQUESTS = 20

/**
 * Answers an OCSP request (RFC 6960), signed by the CA itself. Nothing in a request makes it fail: what cannot be read
 * is answered `malformedRequest`, and a certificate of another issuer is `unknown`.
 * @param root the CA's certificate, DER
 * @param lookup status by serial number, upper-case hexadecimal
 * @returns DER OCSPResponse
 * @throws HsmError, and what `lookup` throws
 */
export async function answerOcsp(
  hsm: Hsm,
  key: ServiceKey,
  root: Uint8Array,
  request: Uint8Array,
  lookup: (serialNumber: string) => Promise<CertificateStatus>,
  clock: Clock,
): Promise<Uint8Array> {
  const asked = readOcspRequest(request)
  if (asked === undefined) return encode(new OCSPResponse({ responseStatus: responseStatus(1) }).toSchema())
  const now = wholeSeconds(clock.now())
  const responses: SingleResponse[] = []
  for (const certID of asked.certIds) {
    const status = isIssuedBy(certID, root, key) ? await lookup(serialOf(certID.serialNumber)) : UNKNOWN
    const nextUpdate = new Date(now.getTime() + OCSP_LIFETIME)
    responses.push(new SingleResponse({ certID, certStatus: certStatus(status), thisUpdate: now, nextUpdate }))
  }
  const data = new ResponseData({
    responderID: new asn1js.OctetString({ valueHex: keyIdentifier(key.publicKey) }),
    producedAt: now,
    responses,
    ...(asked.nonce === undefined ? {} : { responseExtensions: [asked.nonce] }),
  })
  data.tbsView = encode(data.toSchema(true))
  const mechanism = mechanismOf(key)
  const signature = await signerOf(hsm, key)(digestOf(mechanism.hash, data.tbsView), mechanism)
  const basic = new BasicOCSPResponse({
    tbsResponseData: data,
    signatureAlgorithm: signatureAlgorithm(mechanism),
    signature: new asn1js.BitString({ valueHex: signature }),
  })
  const response = new asn1js.OctetString({ valueHex: encode(basic.toSchema()) })
  const responseBytes = new ResponseBytes({ responseType: BASIC, response })
  return encode(new OCSPResponse({ responseStatus: responseStatus(0), responseBytes }).toSchema())
}

const UNKNOWN = { state: 'unknown' } as const

function readOcspRequest(der: Uint8Array): { certIds: CertID[]; nonce: Extension | undefined } | undefined {
  try {
    const { tbsRequest } = new OCSPRequest({ schema: decode(der) })
    const certIds = tbsRequest.requestList.map(({ reqCert }) => reqCert)
    if (certIds.length === 0 || certIds.length > MAX_REQUESTS) return undefined
    return { certIds, nonce: tbsRequest.requestExtensions?.find(({ extnID }) => extnID === NONCE) }
  } catch {
    return undefined
  }
}

function isIssuedBy(id: CertID, root: Uint8Array, key: ServiceKey): boolean {
  const hash = CERT_ID_HASH[id.hashAlgorithm.algorithmId]
  if (hash === undefined) return false
  const name = createHash(hash)
    .update(encode(readCertificate(root).subject.toSchema()))
    .digest()
  const bits = createHash(hash).update(keyBits(key.publicKey)).digest()
  return name.equals(id.issuerNameHash.valueBlock.valueHexView) && bits.equals(id.issuerKeyHash.valueBlock.valueHexView)
}

function certStatus(status: CertificateStatus): asn1js.AsnType {
  switch (status.state) {
    case 'good':
      return new asn1js.Primitive({ idBlock: { tagClass: 3, tagNumber: 0 } })
    case 'revoked':
      return new asn1js.Constructed({
        idBlock: { tagClass: 3, tagNumber: 1 },
        value: [new asn1js.GeneralizedTime({ valueDate: wholeSeconds(status.revokedAt) })],
      })
    case 'unknown':
      return new asn1js.Primitive({ idBlock: { tagClass: 3, tagNumber: 2 } })
  }
}

function responseStatus(value: number): asn1js.Enumerated {
  return new asn1js.Enumerated({ value })
}
