import { createPublicKey, type KeyObject } from 'node:crypto'
import { KEY_SPECS, type KeySpec } from './hsm.js'

const CURVE_OF: Readonly<Record<string, KeySpec>> = { prime256v1: 'p-256', secp384r1: 'p-384', secp521r1: 'p-521' }
const JWK_CURVE = { 'p-256': 'P-256', 'p-384': 'P-384', 'p-521': 'P-521' } as const
const COORDINATE = { 'p-256': 32, 'p-384': 48, 'p-521': 66 } as const

/** DER SubjectPublicKeyInfo of an RSA key; both numbers big-endian and unsigned. */
export function rsaPublicKey(modulus: Buffer, exponent: Buffer): Uint8Array {
  return spki(createPublicKey({ key: { kty: 'RSA', n: unpadded(modulus), e: unpadded(exponent) }, format: 'jwk' }))
}

/**
 * DER SubjectPublicKeyInfo of a point as devices give it in CKA_EC_POINT: uncompressed, inside a DER OCTET STRING as the
 * standard wants it, or bare as some devices have it.
 * @throws Error when it is no point of the curve
 */
export function ecPublicKey(spec: keyof typeof COORDINATE, point: Buffer): Uint8Array {
  const size = COORDINATE[spec]
  const bare = point.subarray(Math.max(0, point.length - 2 * size - 1))
  if (bare.length !== 2 * size + 1 || bare[0] !== 4) throw new Error(`not an uncompressed ${spec} point`)
  const x = bare.subarray(1, 1 + size).toString('base64url')
  const y = bare.subarray(1 + size).toString('base64url')
  return spki(createPublicKey({ key: { kty: 'EC', crv: JWK_CURVE[spec], x, y }, format: 'jwk' }))
}

/** @throws TypeError unless it is the DER SubjectPublicKeyInfo of a key we use, and nothing beside it. */
export function specOfPublicKey(publicKey: Uint8Array): KeySpec {
  let key: KeyObject
  try {
    key = createPublicKey({ key: Buffer.from(publicKey), format: 'der', type: 'spki' })
  } catch {
    throw new TypeError('not a SubjectPublicKeyInfo')
  }
  const { modulusLength, namedCurve = '' } = key.asymmetricKeyDetails ?? {}
  const spec =
    key.asymmetricKeyType === 'rsa' ? KEY_SPECS.find((known) => known === `rsa-${modulusLength}`) : CURVE_OF[namedCurve]
  if (spec === undefined) throw new TypeError('not an RSA or NIST curve key of a size we use')
  if (!spki(key).equals(publicKey)) throw new TypeError('not DER, or something beside it')
  return spec
}

function spki(key: KeyObject): Buffer {
  return key.export({ type: 'spki', format: 'der' })
}

function unpadded(number: Buffer): string {
  const start = number.findIndex((byte) => byte !== 0)
  return number.subarray(Math.max(0, start)).toString('base64url')
}
