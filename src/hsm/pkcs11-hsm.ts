import { randomBytes } from 'node:crypto'
import type { Digest } from '../digest.js'
import { asHsmError, Calls } from './calls.js'
import type { Connection, Pkcs11Location } from './connection.js'
import { Device } from './device.js'
import { withFileLock } from './file-lock.js'
import { Gate } from './gate.js'
import {
  type Hsm,
  HsmError,
  type KeySpec,
  type Mechanism,
  type NewSignerKey,
  type ServiceKey,
  type SignerKey,
} from './hsm.js'
import { CK, type Handle, type Pkcs11 } from './pkcs11.js'
import { signDigests } from './pkcs11-signing.js'
import { decodeSealed, encodeSealed, encodeWrapped, sealedContext, wrappedKeyContext } from './sealed-blob.js'
import { seal, unseal } from './sealing.js'
import {
  type KeyPairRequest,
  newest,
  readPublicKey,
  requireServiceName,
  serviceKeyRequest,
  signerKeyRequest,
} from './token-keys.js'

/** Key generation runs on libuv's pool of four threads, which the rest of the process needs too. */
const GENERATIONS_AT_ONCE = 2

/** Longer than a wrapped RSA-4096 key. */
const WRAPPED_AT_MOST = 8192

/** The `Hsm` on a PKCS#11 module. See README.md for sessions, cache and KEK. */
export class Pkcs11Hsm implements Hsm {
  readonly description: string
  readonly #calls = new Calls()
  readonly #device: Device
  readonly #lockFile: string
  readonly #generations = new Gate(GENERATIONS_AT_ONCE)

  private constructor(device: Device, lockFile: string, description: string) {
    this.#device = device
    this.#lockFile = lockFile
    this.description = description
  }

  /**
   * Connects at once, so that what is missing is found at the start.
   * @param lockFile a file that all processes with this token share; one process at a time makes a service key
   * @throws HsmError `unavailable`
   */
  static async open(location: Pkcs11Location, lockFile: string): Promise<Pkcs11Hsm> {
    const device = new Device(location)
    try {
      const { pkcs11, serial } = device.connect()
      const library = pkcs11.C_GetInfo().libraryDescription.trim()
      const { module, token, allowLooseKek } = location
      const risk = allowLooseKek ? ', loose KEK accepted' : ''
      const description = `PKCS#11 ${library} (${module.path}), token ${token}, serial ${serial}${risk}`
      return new Pkcs11Hsm(device, lockFile, description)
    } catch (error) {
      device.close()
      throw asHsmError(error, false)
    }
  }

  random(length: number): Promise<Uint8Array> {
    return this.#calls.run(() =>
      this.#device.connected((connection) =>
        connection.operate((session) => connection.pkcs11.C_GenerateRandom(session, Buffer.alloc(length))),
      ),
    )
  }

  generateSignerKey(spec: KeySpec, associatedData: Uint8Array): Promise<NewSignerKey> {
    return this.#calls.run(() =>
      this.#generations.pass(() =>
        this.#device.connected(async (connection) => {
          const [kekEpoch, kek] = newest(connection.keys.keks) ?? []
          if (kekEpoch === undefined || kek === undefined) {
            throw new HsmError('unavailable', 'the token has no KEK: make one with paraph hsm init')
          }
          const { publicKey, wrapped } = await generateWrapped(connection, spec, kek)
          const box = seal(connection, wrapped, wrappedKeyContext(kekEpoch, spec, associatedData))
          return { publicKey, blob: encodeWrapped(kekEpoch, box) }
        }),
      ),
    )
  }

  sign(
    key: SignerKey | ServiceKey,
    mechanism: Mechanism,
    digests: readonly Digest[],
    deadline: number,
  ): Promise<Uint8Array[]> {
    return this.#calls.run(() => signDigests(this.#device, key, mechanism, digests, deadline))
  }

  createServiceKey(name: string, spec: KeySpec): Promise<ServiceKey> {
    return this.#calls.run(() =>
      withFileLock(this.#lockFile, () =>
        this.#device.connected(async (connection) => {
          requireServiceName(name)
          if (connection.serviceKey(name) !== undefined) {
            throw new HsmError('exists', `there is a service key ${name} already`)
          }
          const request = serviceKeyRequest(spec, name, randomBytes(16))
          await connection.inOwnSession('read-write', (session) => generate(connection.pkcs11, session, request))
          return requireServiceKey(connection, name)
        }),
      ),
    )
  }

  serviceKey(name: string): Promise<ServiceKey> {
    return this.#calls.run(() => this.#device.connected((connection) => requireServiceKey(connection, name)))
  }

  seal(plaintext: Uint8Array, associatedData: Uint8Array): Promise<Uint8Array> {
    return this.#calls.run(() =>
      this.#device.connected((connection) => encodeSealed(seal(connection, plaintext, sealedContext(associatedData)))),
    )
  }

  unseal(sealed: Uint8Array, associatedData: Uint8Array): Promise<Uint8Array> {
    return this.#calls.run(() =>
      this.#device.connected((connection) => unseal(connection, decodeSealed(sealed), sealedContext(associatedData))),
    )
  }

  async close(): Promise<void> {
    if (await this.#calls.close()) this.#device.close()
  }
}

/** A new key pair in a session that is closed at once, so that the private half remains only in what is returned. */
function generateWrapped(
  connection: Connection,
  spec: KeySpec,
  kek: Handle,
): Promise<{ publicKey: Uint8Array; wrapped: Buffer }> {
  const { pkcs11 } = connection
  return connection.inOwnSession('read-only', async (session) => {
    const pair = await generate(pkcs11, session, signerKeyRequest(spec))
    const publicKey = readPublicKey(pkcs11, session, pair.publicKey)
    const wrap = { mechanism: CK.CKM_AES_KEY_WRAP_PAD }
    const wrapped = pkcs11.C_WrapKey(session, wrap, kek, pair.privateKey, Buffer.alloc(WRAPPED_AT_MOST))
    pkcs11.C_DestroyObject(session, pair.privateKey)
    pkcs11.C_DestroyObject(session, pair.publicKey)
    return { publicKey, wrapped }
  })
}

function generate(
  pkcs11: Pkcs11,
  session: Handle,
  { mechanism, publicTemplate, privateTemplate }: KeyPairRequest,
): Promise<{ publicKey: Handle; privateKey: Handle }> {
  return pkcs11.C_GenerateKeyPairAsync(session, mechanism, publicTemplate, privateTemplate)
}

function requireServiceKey(connection: Connection, name: string): ServiceKey {
  requireServiceName(name)
  const held = connection.serviceKey(name)
  if (held === undefined) throw new HsmError('not_found', `there is no service key ${name}`)
  return held.key
}
