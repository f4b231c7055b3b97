import { createPublicKey, hash, type KeyObject, verify } from 'node:crypto'

/** What `approval.granted` says beside its assertion. */
export interface Approved {
  /** `credential` for signing. */
  readonly kind: string
  readonly approval: string
  readonly client: string
  readonly credential: string
  readonly total: number
  /** Signatures of the whole session, where the signer chose that it may have further ones. */
  readonly ceiling: number | undefined
  /** base64url */
  readonly digests: readonly string[]
}

const USER_PRESENT_AND_VERIFIED = 0x05

/**
 * What is wrong with a passkey's assertion (docs/audit-format.md §7), if anything.
 * @param assertion JSON, as the entry's opening holds it
 */
export function faultOfAssertion(assertion: string, approved: Approved): string | undefined {
  try {
    const { statement, id, origin, publicKey, response } = JSON.parse(assertion)
    const { clientDataJSON, authenticatorData, signature } = response.response
    const clientData = decode(clientDataJSON)
    const data = decode(authenticatorData)
    const client = JSON.parse(clientData.toString('utf8'))
    if (client.type !== 'webauthn.get' || client.origin !== origin) return 'the passkey answered somebody else'
    if (client.challenge !== hash('sha256', statement, 'base64url')) return 'the passkey answered another question'
    if (!data.subarray(0, 32).equals(hash('sha256', id, 'buffer'))) return 'the passkey belongs to another place'
    if (((data[32] as number) & USER_PRESENT_AND_VERIFIED) !== USER_PRESENT_AND_VERIFIED) {
      return 'the passkey did not verify its user'
    }
    const signed = Buffer.concat([data, hash('sha256', clientData, 'buffer')])
    if (!verifies(decode(publicKey), signed, decode(signature))) return 'the signature of the passkey is not one'
    const [said, , approval, clientId, credential, , total, , ...rest] = (statement as string).split('\n')
    const { kind, ceiling } = approved
    const [form, more] =
      ceiling !== undefined
        ? ['paraph/approve-session/v1', rest.splice(0, 2)[0]]
        : [kind === 'credential' ? 'paraph/approve/v1' : `paraph/approve-${kind}/v1`, undefined]
    // What a new credential will be stands in one line more.
    if (kind === 'creation') rest.pop()
    const fits =
      said === form &&
      more === (ceiling === undefined ? undefined : String(ceiling)) &&
      approval === approved.approval &&
      clientId === approved.client &&
      credential === approved.credential &&
      total === String(approved.total) &&
      rest.join() === approved.digests.join()
    return fits ? undefined : 'the passkey approved something else than the entry says'
  } catch {
    return 'the assertion cannot be read'
  }
}

/** The COSE key of an assertion, base64url. */
export function publicKeyOf(assertion: string): string {
  try {
    return String(JSON.parse(assertion).publicKey)
  } catch {
    return ''
  }
}

function decode(text: unknown): Buffer {
  if (typeof text !== 'string' || !/^[A-Za-z0-9_-]*$/.test(text)) throw new RangeError('this is not base64url')
  return Buffer.from(text, 'base64url')
}

const ES256 = -7
const EDDSA = -8
const RS256 = -257

/** By a COSE_Key (RFC 9052 §7) of the algorithms that passkeys are registered with here. */
function verifies(cose: Buffer, signed: Buffer, signature: Buffer): boolean {
  const key = readCose(cose)
  const text = (label: number) => (key.get(label) as Buffer).toString('base64url')
  const alg = key.get(3)
  const imported = (jwk: Record<string, string>): KeyObject => createPublicKey({ key: jwk, format: 'jwk' })
  if (alg === ES256 && key.get(1) === 2 && key.get(-1) === 1) {
    return verify('sha256', signed, imported({ kty: 'EC', crv: 'P-256', x: text(-2), y: text(-3) }), signature)
  }
  if (alg === EDDSA && key.get(1) === 1 && key.get(-1) === 6) {
    return verify(null, signed, imported({ kty: 'OKP', crv: 'Ed25519', x: text(-2) }), signature)
  }
  if (alg === RS256 && key.get(1) === 3) {
    return verify('sha256', signed, imported({ kty: 'RSA', n: text(-1), e: text(-2) }), signature)
  }
  throw new RangeError('a passkey of this kind is not known here')
}

/** A CBOR map of integers to integers and byte strings (RFC 8949), which is all a COSE key of ours has. */
function readCose(bytes: Buffer): Map<number, number | Buffer> {
  let at = 0
  const head = (): [number, number] => {
    const byte = bytes.readUInt8(at++)
    const [major, info] = [byte >> 5, byte & 31]
    if (info < 24) return [major, info]
    const width = 2 ** (info - 24)
    if (width > 4) throw new RangeError('this is not a COSE key')
    const value = bytes.readUIntBE(at, width)
    at += width
    return [major, value]
  }
  const integer = (major: number, value: number) => {
    if (major > 1) throw new RangeError('this is not a COSE key')
    return major === 0 ? value : -1 - value
  }
  const [major, count] = head()
  if (major !== 5 || count > 16) throw new RangeError('this is not a COSE key')
  const map = new Map<number, number | Buffer>()
  for (let i = 0; i < count; i++) {
    const label = integer(...head())
    const [kind, value] = head()
    if (kind !== 2) {
      map.set(label, integer(kind, value))
      continue
    }
    if (at + value > bytes.length) throw new RangeError('this is not a COSE key')
    map.set(label, bytes.subarray(at, at + value))
    at += value
  }
  return map
}
