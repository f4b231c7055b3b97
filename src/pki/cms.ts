/**
 * CMS signatures (RFC 5652): detached ones, and those that hold their content (time-stamps), of the CAdES baseline profile B (ETSI EN 319 122-1): content-type, message-digest
 * and signing-certificate-v2 are signed together with the digest of the content. The signature comes from elsewhere.
 */
import * as asn1js from 'asn1js'
import {
  AlgorithmIdentifier,
  Attribute,
  Certificate,
  ContentInfo,
  EncapsulatedContentInfo,
  IssuerAndSerialNumber,
  SignedAndUnsignedAttributes,
  SignedData,
  SignerInfo,
} from 'pkijs'
import { type Digest, type DigestAlgorithm, digest } from '../digest.js'
import { ServiceError } from '../errors.js'
import type { Mechanism } from '../hsm/hsm.js'
import {
  DIGEST_OID,
  digestAlgorithmOf,
  digestOf,
  isSignatureOver,
  readSignatureAlgorithm,
  signatureAlgorithm,
} from './algorithm.js'
import { type CertificateFacts, parseCertificate, readCertificate, readX509 } from './certificate.js'
import { decode, encode, inDerOrder, wholeSeconds } from './der.js'

const DATA = ContentInfo.DATA
const CONTENT_TYPE = '1.2.840.113549.1.9.3'
const MESSAGE_DIGEST = '1.2.840.113549.1.9.4'
const SIGNING_TIME = '1.2.840.113549.1.9.5'
const SIGNING_CERTIFICATE_V2 = '1.2.840.113549.1.9.16.2.47'

/** A signature under construction: sign `toSign`, then `finish`. */
export interface PreparedCms {
  /** What goes to the signer, of the same algorithm as the content's digest. */
  readonly toSign: Digest
  /**
   * @param signature as the API returns it: RSA of the modulus' length, ECDSA as DER
   * @param mechanism how it was made; its hash is that of `toSign`
   * @returns DER ContentInfo
   * @throws ServiceError `not_allowed` when it is not the leaf certificate's signature over `toSign`
   */
  finish(signature: Uint8Array, mechanism: Mechanism): Uint8Array
}

/**
 * First half of a signature, which is detached unless it is given the content.
 * @param messageDigest the digest of the content
 * @param certificates DER, the signer's first
 * @param signingTime what the signature claims; left out for PAdES, which says it elsewhere (ETSI EN 319 142-1 §6.3)
 * @param content what goes in, and the OID of its type; absent: data that is elsewhere
 * @param included which of the certificates go in; all of them unless said
 * @throws ServiceError `not_allowed` when a certificate cannot be read
 */
export function prepareCms({
  messageDigest,
  certificates,
  signingTime,
  content,
  included = certificates,
}: {
  readonly messageDigest: Digest
  readonly certificates: readonly Uint8Array[]
  readonly signingTime?: Date
  readonly content?: { readonly type: string; readonly bytes: Uint8Array }
  readonly included?: readonly Uint8Array[]
}): PreparedCms {
  const [leaf] = certificates
  if (leaf === undefined) throw new ServiceError('not_allowed', { detail: 'a signature needs a certificate' })
  const { algorithm } = messageDigest
  const attributes = inDerOrder(
    [
      attribute(CONTENT_TYPE, new asn1js.ObjectIdentifier({ value: content?.type ?? DATA })),
      attribute(MESSAGE_DIGEST, new asn1js.OctetString({ valueHex: messageDigest.bytes })),
      attribute(SIGNING_CERTIFICATE_V2, signingCertificate(leaf)),
      ...(signingTime === undefined ? [] : [attribute(SIGNING_TIME, timeValue(signingTime))]),
    ].map((one) => one.toSchema()),
  )
  const signedBytes = encode(new asn1js.Set({ value: attributes }))

  return {
    toSign: digestOf(algorithm, signedBytes),
    finish(signature, mechanism) {
      if (mechanism.hash !== algorithm) throw new RangeError('the signature is over a digest of another algorithm')
      if (!isSignatureOver(signedBytes, signature, mechanism, readX509(leaf).publicKey)) {
        throw new ServiceError('not_allowed', { detail: 'the signature does not fit the certificate' })
      }
      return assemble({ algorithm, attributes, leaf, content, included, signature, mechanism })
    },
  }
}

function attribute(type: string, value: asn1js.AsnType): Attribute {
  return new Attribute({ type, values: [value] })
}

/** RFC 5035 §4: one ESSCertIDv2, its hash SHA-256, which is the default and therefore not written. */
function signingCertificate(leaf: Uint8Array): asn1js.Sequence {
  const hash = new asn1js.OctetString({ valueHex: digestOf('sha-256', leaf).bytes })
  const identifier = new asn1js.Sequence({ value: [hash] })
  return new asn1js.Sequence({ value: [new asn1js.Sequence({ value: [identifier] })] })
}

/** RFC 5652 §11.3. */
function timeValue(moment: Date): asn1js.AsnType {
  const valueDate = wholeSeconds(moment)
  return valueDate.getUTCFullYear() < 2050
    ? new asn1js.UTCTime({ valueDate })
    : new asn1js.GeneralizedTime({ valueDate })
}

function assemble(parts: {
  algorithm: DigestAlgorithm
  attributes: readonly asn1js.Sequence[]
  leaf: Uint8Array
  content: { readonly type: string; readonly bytes: Uint8Array } | undefined
  included: readonly Uint8Array[]
  signature: Uint8Array
  mechanism: Mechanism
}): Uint8Array {
  const certificates = parts.included.map((der) => sameBytes(readCertificate(der), der))
  const leaf = readCertificate(parts.leaf)
  // The bare digest name without parameters, as RFC 5754 §2 wants it.
  const digestAlgorithm = new AlgorithmIdentifier({ algorithmId: DIGEST_OID[parts.algorithm] })
  const signer = new SignerInfo({
    version: 1,
    sid: new IssuerAndSerialNumber({ issuer: leaf.issuer, serialNumber: leaf.serialNumber }),
    digestAlgorithm,
    signedAttrs: new SignedAndUnsignedAttributes({
      type: 0,
      attributes: parts.attributes.map((schema) => new Attribute({ schema })),
    }),
    signatureAlgorithm: signatureAlgorithm(parts.mechanism),
    signature: new asn1js.OctetString({ valueHex: parts.signature }),
  })
  const encapContentInfo = new EncapsulatedContentInfo({ eContentType: parts.content?.type ?? DATA })
  // Set afterwards: the constructor would cut the octets into a constructed string, which DER has not.
  if (parts.content !== undefined) encapContentInfo.eContent = new asn1js.OctetString({ valueHex: parts.content.bytes })
  const signedData = new SignedData({
    // RFC 5652 §5.1
    version: parts.content === undefined ? 1 : 3,
    digestAlgorithms: [digestAlgorithm],
    encapContentInfo,
    ...(certificates.length === 0
      ? {}
      : {
          certificates: inDerOrder(certificates.map((certificate) => certificate.toSchema())).map(
            (schema) => new Certificate({ schema }),
          ),
        }),
    signerInfos: [signer],
  })
  return encode(new ContentInfo({ contentType: ContentInfo.SIGNED_DATA, content: signedData.toSchema() }).toSchema())
}

/** The container takes certificates apart and writes them again, which may change one that is not strict DER. */
function sameBytes(certificate: Certificate, der: Uint8Array): Certificate {
  if (Buffer.compare(encode(certificate.toSchema()), der) !== 0) {
    throw new ServiceError('not_allowed', { detail: 'a certificate of the chain is not in DER' })
  }
  return certificate
}

/** A signature as it was read; nothing in it has been checked. */
export interface ParsedCms {
  /** What the content has to be hashed with. */
  readonly digestAlgorithm: DigestAlgorithm
  /** DER, in the order in which they stand there. */
  readonly certificates: readonly Uint8Array[]
  readonly signer: SignerInfo
}

/**
 * Reads a detached signature with one signer.
 * @throws ServiceError `not_allowed` when it is something else
 */
export function parseCms(der: Uint8Array): ParsedCms {
  let signedData: SignedData
  try {
    const content = new ContentInfo({ schema: decode(der) })
    if (content.contentType !== ContentInfo.SIGNED_DATA) throw new TypeError('not SignedData')
    signedData = new SignedData({ schema: content.content })
  } catch (cause) {
    throw refuse('not a CMS signature', cause)
  }
  const { encapContentInfo, signerInfos } = signedData
  if (encapContentInfo.eContentType !== DATA) throw refuse('the signature is for another type of content')
  if (encapContentInfo.eContent !== undefined) throw refuse('the signature is not detached: it contains the content')
  const [signer, ...others] = signerInfos
  if (signer === undefined || others.length > 0) throw refuse('the container does not hold exactly one signature')
  if (signer.version !== 1) throw refuse('the signature is of an unknown version')
  const digestAlgorithm = digestAlgorithmOf(signer.digestAlgorithm.algorithmId)
  if (digestAlgorithm === undefined) throw refuse('the digest algorithm is too weak or unknown')
  const certificates = (signedData.certificates ?? [])
    .filter((item) => item instanceof Certificate)
    .map((certificate) => encode(certificate.toSchema()))
  return { digestAlgorithm, certificates, signer }
}

/** Who signed, as far as the signature itself proves it. Whether to trust the certificate is for `trustedPath`. */
export interface CmsSignature {
  /** DER. */
  readonly certificate: Uint8Array
  readonly facts: CertificateFacts
  /** A claim of the signer's, if there is one. */
  readonly signingTime: Date | undefined
  readonly mechanism: Mechanism
  /** The bare value. */
  readonly signature: Uint8Array
}

/**
 * Checks the signature over the content and that it names the certificate it came with.
 * @param content the content's digest by `cms.digestAlgorithm`
 * @throws ServiceError `not_allowed` saying what is wrong
 */
export function verifyCms(cms: ParsedCms, content: Digest): CmsSignature {
  const { signer } = cms
  const attributes = signer.signedAttrs
  if (attributes === undefined) throw refuse('the signature has no signed attributes')
  const contentType = onlyValue(attributes, CONTENT_TYPE)
  if (!(contentType instanceof asn1js.ObjectIdentifier) || contentType.getValue() !== DATA) {
    throw refuse('the signature is for another type of content')
  }
  const messageDigest = onlyValue(attributes, MESSAGE_DIGEST)
  if (!(messageDigest instanceof asn1js.OctetString) || !isDigest(messageDigest, content)) {
    throw refuse('the signature is for other content')
  }
  const certificate = signersCertificate(cms, attributes)
  const mechanism = readSignatureAlgorithm(signer.signatureAlgorithm, cms.digestAlgorithm)
  if (mechanism === undefined || mechanism.hash !== cms.digestAlgorithm) {
    throw refuse('the signature algorithm is too weak or unknown')
  }
  const signature = new Uint8Array(signer.signature.valueBlock.valueHexView)
  const signedBytes = new Uint8Array(attributes.encodedValue)
  if (!isSignatureOver(signedBytes, signature, mechanism, readX509(certificate).publicKey)) {
    throw refuse('the signature is wrong')
  }
  const time = attributes.attributes.find(({ type }) => type === SIGNING_TIME)?.values[0]
  const signingTime = time instanceof asn1js.UTCTime ? time.toDate() : undefined
  return { certificate, facts: parseCertificate(certificate), signingTime, mechanism, signature }
}

function isDigest(value: asn1js.OctetString, expected: Digest): boolean {
  return Buffer.compare(value.valueBlock.valueHexView, expected.bytes) === 0
}

/** The one value of an attribute that must be there once (RFC 5652 §11). */
function onlyValue(attributes: SignedAndUnsignedAttributes, type: string): asn1js.AsnType | undefined {
  const [first, ...others] = attributes.attributes.filter((one) => one.type === type)
  return first === undefined || others.length > 0 || first.values.length !== 1 ? undefined : first.values[0]
}

/** The certificate that the signature names twice: by issuer and serial number, and by hash under the signature. */
function signersCertificate(cms: ParsedCms, attributes: SignedAndUnsignedAttributes): Uint8Array {
  const { sid } = cms.signer
  const certificate = cms.certificates.find((der) => {
    const { issuer, serialNumber } = readCertificate(der)
    return sid instanceof IssuerAndSerialNumber && sid.issuer.isEqual(issuer) && sid.serialNumber.isEqual(serialNumber)
  })
  if (certificate === undefined) throw refuse("the signer's certificate is not in the container")
  const named = namedCertificate(attributes)
  if (named === undefined) throw refuse('the signature does not say which certificate it was made for')
  if (Buffer.compare(named.bytes, digestOf(named.algorithm, certificate).bytes) !== 0) {
    throw refuse('the signature was made for another certificate')
  }
  return certificate
}

/** The first ESSCertIDv2 (RFC 5035 §4). */
function namedCertificate(attributes: SignedAndUnsignedAttributes): Digest | undefined {
  try {
    const value = onlyValue(attributes, SIGNING_CERTIFICATE_V2)
    const identifiers = (value as asn1js.Sequence).valueBlock.value[0] as asn1js.Sequence
    const [first, second] = (identifiers.valueBlock.value[0] as asn1js.Sequence).valueBlock.value
    const algorithm =
      first instanceof asn1js.OctetString
        ? 'sha-256'
        : digestAlgorithmOf(new AlgorithmIdentifier({ schema: first }).algorithmId)
    const hash = first instanceof asn1js.OctetString ? first : (second as asn1js.OctetString)
    return algorithm === undefined ? undefined : digest(algorithm, hash.valueBlock.valueHexView)
  } catch {
    return undefined
  }
}

function refuse(detail: string, cause?: unknown): ServiceError {
  return new ServiceError('not_allowed', { detail, cause })
}
