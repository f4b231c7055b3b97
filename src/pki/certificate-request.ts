import { CertificationRequest, PublicKeyInfo, type RelativeDistinguishedNames } from 'pkijs'
import { ServiceError } from '../errors.js'
import { isSignatureOver, readPublicKey, readSignatureAlgorithm, type SignDigest, usualMechanism } from './algorithm.js'
import { decode, encode } from './der.js'
import { type Subject, toName } from './name.js'
import { signStructure } from './signed-structure.js'

/**
 * A certificate request (RFC 2986) for a key held elsewhere: only the digest of what is to be signed goes to `sign`.
 * @param subject whom the certificate shall name; `publicKey` is DER SubjectPublicKeyInfo
 * @returns DER; `toPem('CERTIFICATE REQUEST', …)` makes it text
 * @throws ServiceError `not_allowed` for a subject that fits no certificate or a key of a kind we do not use
 */
export async function buildRequest(
  { subject, publicKey }: { readonly subject: Subject; readonly publicKey: Uint8Array },
  sign: SignDigest,
): Promise<Uint8Array> {
  const mechanism = usualMechanism(publicKey)
  if (mechanism === undefined) throw new ServiceError('not_allowed', { detail: 'a key of this kind cannot sign here' })
  const request = new CertificationRequest({
    subject: toName(subject),
    subjectPublicKeyInfo: new PublicKeyInfo({ schema: decode(publicKey) }),
    attributes: [],
  })
  return signStructure(request, mechanism, sign)
}

/**
 * Reads a request and checks that whoever made it holds its key.
 * @throws ServiceError `not_allowed` when it is none, or is not signed by its own key
 */
export function readRequest(der: Uint8Array): { subject: RelativeDistinguishedNames; publicKey: Uint8Array } {
  let request: CertificationRequest
  let publicKey: Uint8Array
  try {
    request = new CertificationRequest({ schema: decode(der) })
    publicKey = encode(request.subjectPublicKeyInfo.toSchema())
    readPublicKey(publicKey)
  } catch (cause) {
    throw new ServiceError('not_allowed', { detail: 'not a certificate request', cause })
  }
  const mechanism = readSignatureAlgorithm(request.signatureAlgorithm)
  const signature = new Uint8Array(request.signatureValue.valueBlock.valueHexView)
  if (mechanism === undefined || !isSignatureOver(request.tbsView, signature, mechanism, readPublicKey(publicKey))) {
    throw new ServiceError('not_allowed', { detail: 'the certificate request is not signed by its own key' })
  }
  return { subject: request.subject, publicKey }
}
