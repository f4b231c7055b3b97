import * as asn1js from 'asn1js'

/**
 * Reads exactly one value that fills all of `bytes`, in DER or well-formed BER.
 * @throws RangeError otherwise
 */
export function decode(bytes: Uint8Array): asn1js.AsnType {
  if (endOfValue(bytes, 0, bytes.length) !== bytes.length) throw new RangeError('something follows the ASN.1 value')
  const { offset, result } = asn1js.fromBER(bytes)
  if (offset !== bytes.length || result.error !== '') throw new RangeError('not an ASN.1 value')
  return result
}

/**
 * Where the value at `start` ends. The library lets the last part of a whole run over its end; two readers of such
 * bytes could see different things, so we check that every part lies within its whole.
 */
function endOfValue(bytes: Uint8Array, start: number, limit: number): number {
  let at = start
  const next = () => {
    const byte = bytes[at++]
    if (byte === undefined || at > limit) throw new RangeError('an ASN.1 value is cut off')
    return byte
  }
  const tag = next()
  const constructed = (tag & 0x20) !== 0
  if ((tag & 0x1f) === 0x1f) while (next() >= 0x80);
  let length = next()
  if (length === 0x80) {
    if (!constructed) throw new RangeError('an ASN.1 value without a length')
    while (bytes[at] !== 0 || bytes[at + 1] !== 0) at = endOfValue(bytes, at, limit)
    next()
    next()
    return at
  }
  if (length > 0x80) {
    const digits = length - 0x80
    length = 0
    for (let digit = 0; digit < digits; digit++) length = length * 256 + next()
  }
  const end = at + length
  if (end > limit) throw new RangeError('an ASN.1 value is cut off')
  if (constructed) while (at < end) at = endOfValue(bytes, at, end)
  return end
}

/** The bytes of a value, as an array of their own. */
export function encode(value: { toBER(): ArrayBuffer }): Uint8Array {
  return new Uint8Array(value.toBER())
}

/** The same moment without its fraction: certificate and revocation profiles forbid fractions of a second. */
export function wholeSeconds(moment: Date | number): Date {
  return new Date(Math.floor(Number(moment) / 1000) * 1000)
}

/** The order DER wants for the members of a SET OF (X.690 §11.6). */
export function inDerOrder<Member extends { toBER(): ArrayBuffer }>(members: readonly Member[]): Member[] {
  return members
    .map((member) => ({ member, bytes: Buffer.from(member.toBER()) }))
    .sort((a, b) => Buffer.compare(a.bytes, b.bytes))
    .map(({ member }) => member)
}

/**
 * A BIT STRING whose bits have names, counted from the left (keyUsage and its like): DER drops the zero bits at its
 * end (X.690 §11.2.2).
 */
export function namedBits(bits: readonly number[]): asn1js.BitString {
  const last = Math.max(...bits)
  const bytes = new Uint8Array(Math.floor(last / 8) + 1)
  for (const bit of bits) {
    const place = Math.floor(bit / 8)
    bytes[place] = (bytes[place] ?? 0) | (0x80 >> (bit % 8))
  }
  return new asn1js.BitString({ valueHex: bytes, unusedBits: 7 - (last % 8) })
}
