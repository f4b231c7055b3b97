import { generateKeyPair } from 'node:crypto'
import { createRequire } from 'node:module'
import { setImmediate } from 'node:timers/promises'
import type { Digest } from '../digest.js'
import { asHsmError, Calls, requireInTime } from './calls.js'
import {
  type Hsm,
  HsmError,
  type KeySpec,
  type Mechanism,
  type NewSignerKey,
  type ServiceKey,
  type SignerKey,
} from './hsm.js'
import { KeyCache, type Lease } from './key-cache.js'
import { isRsa, KEY_BITS, requireFit, TURN } from './mechanisms.js'
import { MemoryStore, type StoredKeys, type StoredServiceKey } from './memory-store.js'
import { SigningKey } from './openssl.js'
import {
  cacheName,
  decodeSealed,
  decodeWrapped,
  encodeSealed,
  encodeWrapped,
  NONCE_LENGTH,
  type SealedBox,
  sealedContext,
  wrappedKeyContext,
} from './sealed-blob.js'
import { requireServiceName } from './token-keys.js'

// Required, not imported: its ES build has no module type, which some loaders take for CommonJS.
const { Crypto } = createRequire(import.meta.url)('@peculiar/webcrypto') as typeof import('@peculiar/webcrypto')
const webCrypto = new Crypto()

/** Generates the first keys under the folder, or finds those of an earlier start. @throws HsmError `unavailable` */
export async function openMemoryHsm(folder: string, cachedKeys: number): Promise<Hsm> {
  try {
    const store = new MemoryStore(folder)
    return new MemoryHsm(folder, store, await store.update((stored) => stored ?? firstKeys()), cachedKeys)
  } catch (error) {
    throw asHsmError(error, false)
  }
}

/**
 * The `Hsm` without a device: keys in a file and in this process. For tests, and for a demo on a computer without a PKCS#11
 * module; it protects nothing from whoever reads its folder. Several processes may have the same folder open.
 */
class MemoryHsm implements Hsm {
  readonly description: string
  readonly #calls = new Calls()
  readonly #store: MemoryStore
  readonly #cache: KeyCache<SigningKey>
  readonly #serviceKeys = new Map<string, SigningKey>()
  #stored: StoredKeys

  constructor(folder: string, store: MemoryStore, stored: StoredKeys, cachedKeys: number) {
    this.description = `memory device in ${folder}, ${stored.id}, for development only`
    this.#store = store
    this.#stored = stored
    this.#cache = new KeyCache(cachedKeys, (key) => key.close())
  }

  random(length: number): Promise<Uint8Array> {
    return this.#calls.run(async () => webCrypto.getRandomValues(Buffer.alloc(length)))
  }

  generateSignerKey(spec: KeySpec, associatedData: Uint8Array): Promise<NewSignerKey> {
    return this.#calls.run(async () => {
      const { publicKey, privateKey } = await newKeyPair(spec)
      const [kekEpoch, kek] = newest(this.#stored.keks)
      const wrapped = await encrypt(kek, privateKey, Buffer.alloc(0))
      privateKey.fill(0)
      const box = await this.#seal(wrapped, wrappedKeyContext(kekEpoch, spec, associatedData))
      return { publicKey, blob: encodeWrapped(kekEpoch, box) }
    })
  }

  sign(
    key: SignerKey | ServiceKey,
    mechanism: Mechanism,
    digests: readonly Digest[],
    deadline: number,
  ): Promise<Uint8Array[]> {
    return this.#calls.run(async () => {
      requireFit(key.spec, mechanism, digests)
      const lease = await this.#lease(key)
      const signatures: Uint8Array[] = []
      try {
        for (const [index, digest] of digests.entries()) {
          if (index > 0 && index % TURN[key.spec] === 0) await setImmediate()
          requireInTime(deadline)
          signatures.push(lease.key.sign(mechanism, digest))
        }
        requireInTime(deadline)
        return signatures
      } catch (error) {
        throw asHsmError(error, signatures.length > 0)
      } finally {
        lease.release()
      }
    })
  }

  createServiceKey(name: string, spec: KeySpec): Promise<ServiceKey> {
    return this.#calls.run(async () => {
      requireServiceName(name)
      this.#stored = await this.#store.update(async (stored = this.#stored) => {
        if (stored.services.some((service) => service.name === name)) {
          throw new HsmError('exists', `there is a service key ${name} already`)
        }
        const { publicKey, privateKey } = await newKeyPair(spec)
        const made = { name, spec, privateKey: privateKey.toString('base64'), publicKey: publicKey.toString('base64') }
        return { ...stored, services: [...stored.services, made] }
      })
      return asServiceKey(this.#storedService(name))
    })
  }

  serviceKey(name: string): Promise<ServiceKey> {
    return this.#calls.run(async () => {
      requireServiceName(name)
      return asServiceKey(this.#storedService(name))
    })
  }

  seal(plaintext: Uint8Array, associatedData: Uint8Array): Promise<Uint8Array> {
    return this.#calls.run(async () => encodeSealed(await this.#seal(plaintext, sealedContext(associatedData))))
  }

  unseal(sealed: Uint8Array, associatedData: Uint8Array): Promise<Uint8Array> {
    return this.#calls.run(() => this.#unseal(decodeSealed(sealed), sealedContext(associatedData)))
  }

  async close(): Promise<void> {
    if (!(await this.#calls.close())) return
    this.#cache.clear()
    for (const key of this.#serviceKeys.values()) key.close()
  }

  async #lease(key: SignerKey | ServiceKey): Promise<Lease<SigningKey>> {
    if (key.kind === 'service') return { key: this.#serviceSigningKey(key), release: () => undefined }
    const name = cacheName(key)
    return this.#cache.acquire(name) ?? this.#cache.put(name, await this.#unwrap(key))
  }

  #serviceSigningKey(key: ServiceKey): SigningKey {
    const stored = this.#storedService(key.name)
    if (!Buffer.from(stored.publicKey, 'base64').equals(key.publicKey)) {
      throw new HsmError('rejected', `the service key ${key.name} is another one by now`)
    }
    const known = this.#serviceKeys.get(key.name)
    if (known !== undefined) return known
    const signingKey = new SigningKey(Buffer.from(stored.privateKey, 'base64'), stored.spec)
    this.#serviceKeys.set(key.name, signingKey)
    return signingKey
  }

  async #unwrap(key: SignerKey): Promise<SigningKey> {
    const { kekEpoch, box } = decodeWrapped(key.blob)
    const kek = this.#secret('keks', kekEpoch)
    const wrapped = await this.#unseal(box, wrappedKeyContext(kekEpoch, key.spec, key.associatedData))
    const privateKey = await decrypt(kek, wrapped, Buffer.alloc(0))
    try {
      return new SigningKey(privateKey, key.spec)
    } finally {
      privateKey.fill(0)
    }
  }

  async #seal(plaintext: Uint8Array, context: Buffer): Promise<SealedBox> {
    const [epoch, key] = newest(this.#stored.seals)
    const sealed = await encrypt(key, plaintext, context)
    return { epoch, nonce: sealed.subarray(0, NONCE_LENGTH), ciphertext: sealed.subarray(NONCE_LENGTH) }
  }

  #unseal({ epoch, nonce, ciphertext }: SealedBox, context: Buffer): Promise<Buffer> {
    return decrypt(this.#secret('seals', epoch), Buffer.concat([nonce, ciphertext]), context)
  }

  #secret(kind: 'keks' | 'seals', epoch: number): Buffer {
    const key = this.#stored[kind][epoch] ?? this.#reread()[kind][epoch]
    if (key === undefined) throw new HsmError('rejected', 'made under a key that this device does not have')
    return Buffer.from(key, 'base64')
  }

  /** Also one that another process made. */
  #storedService(name: string): StoredServiceKey {
    const found =
      this.#stored.services.find((service) => service.name === name) ??
      this.#reread().services.find((service) => service.name === name)
    if (found === undefined) throw new HsmError('not_found', `there is no service key ${name}`)
    return found
  }

  #reread(): StoredKeys {
    this.#stored = this.#store.read()
    return this.#stored
  }
}

function firstKeys(): StoredKeys {
  const key = (): string => webCrypto.getRandomValues(Buffer.alloc(32)).toString('base64')
  return { version: 1, id: webCrypto.randomUUID(), keks: { 1: key() }, seals: { 1: key() }, services: [] }
}

function newest(keys: Readonly<Record<string, string>>): [epoch: number, key: Buffer] {
  const epoch = Math.max(...Object.keys(keys).map(Number))
  return [epoch, Buffer.from(keys[epoch] ?? '', 'base64')]
}

function asServiceKey({ name, spec, publicKey }: StoredServiceKey): ServiceKey {
  return { kind: 'service', name, spec, publicKey: Buffer.from(publicKey, 'base64') }
}

/** By Node and not by WebCrypto, whose implementation here stops the process for the seconds that an RSA-4096 key takes. */
function newKeyPair(spec: KeySpec): Promise<{ publicKey: Buffer; privateKey: Buffer }> {
  const encoding = {
    publicKeyEncoding: { type: 'spki', format: 'der' },
    privateKeyEncoding: { type: 'pkcs8', format: 'der' },
  } as const
  return new Promise((resolve, reject) => {
    const done = (error: Error | null, publicKey: Buffer, privateKey: Buffer): void =>
      error === null ? resolve({ publicKey, privateKey }) : reject(error)
    if (isRsa(spec)) generateKeyPair('rsa', { modulusLength: KEY_BITS[spec], ...encoding }, done)
    else generateKeyPair('ec', { namedCurve: spec.toUpperCase(), ...encoding }, done)
  })
}

/** AES-256-GCM: nonce, then ciphertext and tag. */
async function encrypt(key: Buffer, plaintext: Uint8Array, context: Buffer): Promise<Buffer> {
  const nonce = webCrypto.getRandomValues(Buffer.alloc(NONCE_LENGTH))
  const secret = await webCrypto.subtle.importKey('raw', key, 'AES-GCM', false, ['encrypt'])
  const parameters = { name: 'AES-GCM', iv: nonce, additionalData: context }
  return Buffer.concat([nonce, Buffer.from(await webCrypto.subtle.encrypt(parameters, secret, Buffer.from(plaintext)))])
}

/** @throws HsmError `rejected` */
async function decrypt(key: Buffer, sealed: Buffer, context: Buffer): Promise<Buffer> {
  const secret = await webCrypto.subtle.importKey('raw', key, 'AES-GCM', false, ['decrypt'])
  const parameters = { name: 'AES-GCM', iv: sealed.subarray(0, NONCE_LENGTH), additionalData: context }
  try {
    return Buffer.from(await webCrypto.subtle.decrypt(parameters, secret, sealed.subarray(NONCE_LENGTH)))
  } catch (error) {
    throw new HsmError('rejected', 'not what was sealed, or not in this place', { cause: error })
  }
}
