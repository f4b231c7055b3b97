import { generateKeyPairSync, randomBytes } from 'node:crypto'
import { type Hsm, HsmError, type KeySpec, type ServiceKey } from '../../src/hsm/hsm.js'
import { SigningKey } from '../../src/hsm/openssl.js'

const CURVE: Partial<Record<KeySpec, string>> = { 'p-256': 'P-256', 'p-384': 'P-384', 'p-521': 'P-521' }

/** Service keys in memory and nothing else: what certificates and containers need of a device. */
export class SoftwareHsm implements Hsm {
  readonly description = 'service keys in memory'
  readonly #keys = new Map<string, { key: ServiceKey; privateKey: SigningKey }>()

  async random(length: number): Promise<Uint8Array> {
    return randomBytes(length)
  }

  async createServiceKey(name: string, spec: KeySpec): Promise<ServiceKey> {
    if (this.#keys.has(name)) throw new HsmError('exists', name)
    const namedCurve = CURVE[spec]
    const pair =
      namedCurve === undefined
        ? generateKeyPairSync('rsa', { modulusLength: Number(spec.slice(4)) })
        : generateKeyPairSync('ec', { namedCurve })
    const publicKey = new Uint8Array(pair.publicKey.export({ type: 'spki', format: 'der' }))
    const privateKey = new SigningKey(pair.privateKey.export({ type: 'pkcs8', format: 'der' }), spec)
    const key: ServiceKey = { kind: 'service', name, spec, publicKey }
    this.#keys.set(name, { key, privateKey })
    return key
  }

  async serviceKey(name: string): Promise<ServiceKey> {
    return this.#find(name).key
  }

  sign: Hsm['sign'] = async (key, mechanism, digests) => {
    if (key.kind !== 'service') throw new HsmError('unsupported', 'service keys only')
    const { privateKey } = this.#find(key.name)
    return digests.map((digest) => privateKey.sign(mechanism, digest))
  }

  async close(): Promise<void> {
    for (const { privateKey } of this.#keys.values()) privateKey.close()
  }

  async generateSignerKey(): Promise<never> {
    throw new HsmError('unsupported', 'service keys only')
  }

  async seal(): Promise<never> {
    throw new HsmError('unsupported', 'service keys only')
  }

  async unseal(): Promise<never> {
    throw new HsmError('unsupported', 'service keys only')
  }

  #find(name: string): { key: ServiceKey; privateKey: SigningKey } {
    const found = this.#keys.get(name)
    if (found === undefined) throw new HsmError('not_found', name)
    return found
  }
}
