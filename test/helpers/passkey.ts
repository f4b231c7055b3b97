import { createHash, generateKeyPairSync, randomBytes, sign } from 'node:crypto'
import type { PasskeyRequest } from '../../src/activation.js'
import { keepSecret } from './test-service.js'

const VERIFIED = 0x05
const WITH_KEY = 0x40

/** A passkey without a browser: it makes the JSON that a page would send (WebAuthn §5.1), its user verified. */
export class Passkey {
  readonly #id = randomBytes(32)
  readonly #pair = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  readonly #origin: string
  #counter = 0

  /** @param origin of the page that asks */
  constructor(origin: string) {
    this.#origin = origin
  }

  register({ rpId, challenge }: Pick<PasskeyRequest, 'rpId' | 'challenge'>): string {
    const { x = '', y = '' } = this.#pair.publicKey.export({ format: 'jwk' })
    const coordinates = [x, y].map((text) => Buffer.from(text, 'base64url'))
    // COSE_Key: EC2, ES256, P-256.
    const key = Buffer.concat([
      Buffer.from('a5010203262001215820', 'hex'),
      coordinates[0] as Buffer,
      Buffer.from('225820', 'hex'),
      coordinates[1] as Buffer,
    ])
    const attested = Buffer.concat([Buffer.alloc(16), Buffer.from([0, this.#id.length]), this.#id, key])
    const data = this.#authenticatorData(rpId, VERIFIED | WITH_KEY, attested)
    const attestationObject = Buffer.concat([
      Buffer.from('a363666d74646e6f6e656761747453746d74a068617574684461746158', 'hex'),
      Buffer.from([data.length]),
      data,
    ])
    return this.#json({
      clientDataJSON: this.#clientData('webauthn.create', challenge),
      attestationObject: attestationObject.toString('base64url'),
    })
  }

  assert({ rpId, challenge }: Pick<PasskeyRequest, 'rpId' | 'challenge'>): string {
    const data = this.#authenticatorData(rpId, VERIFIED, Buffer.alloc(0))
    const clientDataJSON = this.#clientData('webauthn.get', challenge)
    const hashed = createHash('sha256').update(Buffer.from(clientDataJSON, 'base64url')).digest()
    return this.#json({
      clientDataJSON,
      authenticatorData: data.toString('base64url'),
      signature: sign('sha256', Buffer.concat([data, hashed]), this.#pair.privateKey).toString('base64url'),
    })
  }

  #authenticatorData(rpId: string, flags: number, attested: Buffer): Buffer {
    const head = Buffer.alloc(5)
    head.writeUInt8(flags)
    head.writeUInt32BE(++this.#counter, 1)
    return Buffer.concat([createHash('sha256').update(rpId).digest(), head, attested])
  }

  #clientData(type: string, challenge: string): string {
    return Buffer.from(JSON.stringify({ type, challenge, origin: this.#origin, crossOrigin: false })).toString(
      'base64url',
    )
  }

  #json(response: object): string {
    const id = this.#id.toString('base64url')
    const text = JSON.stringify({ id, rawId: id, type: 'public-key', clientExtensionResults: {}, response })
    keepSecret(text)
    return text
  }
}
