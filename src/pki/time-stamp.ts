/** Time-stamp queries and responses (RFC 3161), and what a token says. */
import * as asn1js from 'asn1js'
import { AlgorithmIdentifier, PKIStatusInfo, TimeStampReq } from 'pkijs'
import { DIGEST_LENGTH, type Digest, digest } from '../digest.js'
import { DIGEST_OID, digestAlgorithmOf } from './algorithm.js'
import { decode, encode, namedBits } from './der.js'

/** id-ct-TSTInfo: the content type of a token. */
export const TST_INFO = '1.2.840.113549.1.9.16.1.4'

/** PKIFailureInfo (RFC 3161 §2.4.2): the bit that tells why there is no token. */
const FAILURE = {
  badAlg: 0,
  badRequest: 2,
  badDataFormat: 5,
  timeNotAvailable: 14,
  unacceptedPolicy: 15,
  unacceptedExtension: 16,
  systemFailure: 25,
} as const
export type TimeStampFailure = keyof typeof FAILURE

/** What shall be stamped, and how the answer is wished for. */
export interface TimeStampWish {
  readonly imprint: Digest
  /** How the query named the hash function, with the parameters it had; absent: without any. */
  readonly algorithm?: AlgorithmIdentifier
  /** DER INTEGER, as it came. */
  readonly nonce?: Uint8Array
  /** Whether the certificates go into the token. */
  readonly certificates: boolean
}

/** Why there will be no token. */
export class TimeStampRefusal extends Error {
  readonly failure: TimeStampFailure
  constructor(failure: TimeStampFailure, message: string, options?: { cause?: unknown }) {
    super(message, options)
    this.name = 'TimeStampRefusal'
    this.failure = failure
  }
}

/** Longer nonces serve nobody; in bytes, with the header. */
const LONGEST_NONCE = 66

/**
 * Reads a TimeStampReq (RFC 3161 §2.4.1).
 * @param policy the only one that stamps are given under
 * @throws TimeStampRefusal
 */
export function parseQuery(der: Uint8Array, policy: string): TimeStampWish {
  let query: TimeStampReq
  try {
    query = new TimeStampReq({ schema: decode(der) })
  } catch (cause) {
    throw new TimeStampRefusal('badDataFormat', 'this is not a time-stamp query', { cause })
  }
  if (query.version !== 1) throw new TimeStampRefusal('badRequest', 'the query is of an unknown version')
  const { hashAlgorithm, hashedMessage } = query.messageImprint
  const algorithm = digestAlgorithmOf(hashAlgorithm.algorithmId)
  const parameters = hashAlgorithm.algorithmParams
  if (algorithm === undefined || !(parameters === undefined || parameters instanceof asn1js.Null)) {
    throw new TimeStampRefusal('badAlg', 'the hash function is too weak or unknown')
  }
  const bytes = new Uint8Array(hashedMessage.valueBlock.valueHexView)
  if (bytes.length !== DIGEST_LENGTH[algorithm]) {
    throw new TimeStampRefusal('badDataFormat', 'the hash has not the length of its function')
  }
  if (query.reqPolicy !== undefined && query.reqPolicy !== policy) {
    throw new TimeStampRefusal('unacceptedPolicy', `time-stamps are given under ${policy} only`)
  }
  if (query.extensions !== undefined) {
    throw new TimeStampRefusal('unacceptedExtension', 'no extension is understood')
  }
  const nonce = query.nonce === undefined ? undefined : encode(query.nonce)
  if (nonce !== undefined && nonce.length > LONGEST_NONCE) {
    throw new TimeStampRefusal('badRequest', 'the nonce is too long')
  }
  return {
    imprint: digest(algorithm, bytes),
    algorithm: hashAlgorithm,
    ...(nonce === undefined ? {} : { nonce }),
    certificates: query.certReq === true,
  }
}

/** A nonce that is written as hexadecimal digits, as DER INTEGER; it is never negative. */
export function nonceOf(hex: string): Uint8Array {
  return encode(integer(BigInt(`0x${hex}`)))
}

/**
 * The TSTInfo of a token (RFC 3161 §2.4.2).
 * @param at microseconds since 1970: the serial number at once, since no two stamps have the same
 */
export function timeStampInfo(wish: TimeStampWish, policy: string, at: bigint): Uint8Array {
  const { imprint, algorithm = new AlgorithmIdentifier({ algorithmId: DIGEST_OID[imprint.algorithm] }) } = wish
  const hashed = new asn1js.OctetString({ valueHex: imprint.bytes })
  return encode(
    new asn1js.Sequence({
      value: [
        new asn1js.Integer({ value: 1 }),
        new asn1js.ObjectIdentifier({ value: policy }),
        new asn1js.Sequence({ value: [algorithm.toSchema(), hashed] }),
        integer(at),
        generalizedTime(at),
        // Accuracy.
        new asn1js.Sequence({ value: [new asn1js.Integer({ value: ACCURACY_SECONDS })] }),
        // Ordering.
        new asn1js.Boolean({ value: true }),
        ...(wish.nonce === undefined ? [] : [decode(wish.nonce)]),
      ],
    }),
  )
}

/** How far the time in a token may be from the true one. */
export const ACCURACY_SECONDS = 1

/** @param token DER ContentInfo */
export function grantedResponse(token: Uint8Array): Uint8Array {
  const status = new asn1js.Sequence({ value: [new asn1js.Integer({ value: 0 })] })
  return encode(new asn1js.Sequence({ value: [status, decode(token)] }))
}

export function rejectedResponse({ failure, message }: TimeStampRefusal): Uint8Array {
  const status = new PKIStatusInfo({
    status: 2,
    statusStrings: [new asn1js.Utf8String({ value: message })],
    failInfo: namedBits([FAILURE[failure]]),
  })
  return encode(new asn1js.Sequence({ value: [status.toSchema()] }))
}

function integer(value: bigint): asn1js.Integer {
  const hex = value.toString(16)
  const even = hex.length % 2 === 0 ? hex : `0${hex}`
  // A leading one bit would make it negative.
  return new asn1js.Integer({ valueHex: Buffer.from(/^[89a-f]/.test(even) ? `00${even}` : even, 'hex') })
}

/** GeneralizedTime with what fraction there is, and no zeros at its end (X.690 §11.7). */
function generalizedTime(at: bigint): asn1js.Primitive {
  const text = new Date(Number(at / 1000n)).toISOString()
  const fraction = String(at % 1_000_000n)
    .padStart(6, '0')
    .replace(/0+$/, '')
  const digits = `${text.slice(0, 19).replaceAll(/[-T:]/g, '')}${fraction === '' ? '' : `.${fraction}`}Z`
  return new asn1js.Primitive({ idBlock: { tagClass: 1, tagNumber: 24 }, valueHex: Buffer.from(digits, 'latin1') })
}
