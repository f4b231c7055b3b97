import {
  createPrivateKey,
  createPublicKey,
  generateKeyPairSync,
  hash,
  type KeyObject,
  randomBytes,
  sign,
} from 'node:crypto'
import { mkdirSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'
import { createSecretFile, readSecretFile } from '../secret-file.js'
import { withFolderLock } from './file-lock.js'
import { HsmError } from './hsm.js'
import { ecdsaSigValue } from './mechanisms.js'
import { parseHsmUri } from './open-hsm.js'
import { Pin } from './pin.js'
import {
  type Attribute,
  attribute,
  CK,
  describeFailure,
  findObjects,
  type Handle,
  isLost,
  type Pkcs11Mechanism,
  returnValue,
} from './pkcs11.js'
import { findToken, openModule, type Pkcs11Module } from './pkcs11-module.js'
import { ecPublicKey } from './public-key.js'

/**
 * The key that signs the checkpoints of the log, and nothing else: in a token of its own with its own PIN, so that neither
 * the login of signers' keys nor that of an authority signs trees.
 */
export interface CheckpointKey {
  /** Ed25519, or ECDSA P-256 on a device that knows no Ed25519. */
  readonly type: 'ed25519' | 'ecdsa'
  /** DER SubjectPublicKeyInfo. */
  readonly publicKey: Uint8Array
  /**
   * Ed25519 over the text, or ECDSA (DER) over its SHA-256.
   * @throws HsmError `unavailable`, `refused`
   */
  sign(text: Uint8Array): Uint8Array
  close(): void
}

const LABEL = 'paraph-checkpoint'
const ED25519_PARAMS = Buffer.from('130c656477617264733235353139', 'hex')
const P256_PARAMS = Buffer.from('06082a8648ce3d030107', 'hex')
const ED25519_SPKI = Buffer.from('302a300506032b6570032100', 'hex')

/**
 * @param options.create makes the key where there is none yet
 * @throws HsmError `not_found` when there is none, `unavailable`, `refused`; Error when the URI is wrong
 */
export async function openCheckpointKey(uri: string, options: { create?: boolean } = {}): Promise<CheckpointKey> {
  const { create = false } = options
  const location = parseHsmUri(uri)
  if (location.kind === 'memory') return openInFolder(location.folder, create)
  const { token, pinFile } = location
  return await withFolderLock(dirname(resolve(pinFile)), () => {
    const module = openModule(location.module)
    try {
      return TokenKey.open(module, token, new Pin(pinFile), create)
    } catch (error) {
      module.release()
      throw asUnavailable(error)
    }
  })
}

function openInFolder(folder: string, create: boolean): CheckpointKey {
  const file = join(folder, 'checkpoint-key.pem')
  if (create) {
    mkdirSync(folder, { recursive: true, mode: 0o700 })
    const { privateKey } = generateKeyPairSync('ed25519')
    createSecretFile(file, privateKey.export({ type: 'pkcs8', format: 'pem' }).toString().trim())
  }
  let key: KeyObject
  try {
    key = createPrivateKey(readSecretFile(file))
  } catch (error) {
    throw new HsmError('not_found', `there is no checkpoint key in ${folder}`, { cause: error })
  }
  return {
    type: 'ed25519',
    publicKey: createPublicKey(key).export({ type: 'spki', format: 'der' }),
    sign: (text) => sign(null, text, key),
    close: () => undefined,
  }
}

/** A login of its own, opened anew once when the device has forgotten it. To sign a text twice does no harm. */
class TokenKey implements CheckpointKey {
  readonly type: 'ed25519' | 'ecdsa'
  readonly publicKey: Uint8Array
  readonly #module: Pkcs11Module
  readonly #token: string
  readonly #pin: Pin
  #session: Handle | undefined
  #key: Handle | undefined

  static open(module: Pkcs11Module, token: string, pin: Pin, create: boolean): TokenKey {
    const session = login(module, token, pin, create)
    if (create && findKey(module, session) === undefined) generate(module, session)
    module.pkcs11.C_CloseSession(session)
    return new TokenKey(module, token, pin)
  }

  private constructor(module: Pkcs11Module, token: string, pin: Pin) {
    this.#module = module
    this.#token = token
    this.#pin = pin
    const { session } = this.#connect()
    const [object, another] = findObjects(module.pkcs11, session, [
      { type: CK.CKA_CLASS, value: CK.CKO_PUBLIC_KEY },
      { type: CK.CKA_LABEL, value: LABEL },
    ])
    if (object === undefined || another !== undefined) {
      throw new HsmError('unavailable', `the token has not exactly one public key labelled ${LABEL}`)
    }
    const point = attribute(module.pkcs11, session, object, CK.CKA_EC_POINT)
    this.type = attribute(module.pkcs11, session, object, CK.CKA_EC_PARAMS).equals(P256_PARAMS) ? 'ecdsa' : 'ed25519'
    this.publicKey = this.type === 'ecdsa' ? ecPublicKey('p-256', point) : edPublicKey(point)
  }

  sign(text: Uint8Array): Uint8Array {
    try {
      return this.#sign(text)
    } catch (error) {
      this.#drop()
      if (!isLost(error)) throw asUnavailable(error)
    }
    try {
      return this.#sign(text)
    } catch (error) {
      this.#drop()
      throw asUnavailable(error)
    }
  }

  close(): void {
    this.#drop()
    this.#module.release()
  }

  #sign(text: Uint8Array): Uint8Array {
    const { session, key } = this.#connect()
    const { pkcs11 } = this.#module
    const [mechanism, input]: [Pkcs11Mechanism, Uint8Array] =
      this.type === 'ed25519'
        ? [{ mechanism: CK.CKM_EDDSA }, text]
        : [{ mechanism: CK.CKM_ECDSA }, hash('sha256', text, 'buffer')]
    pkcs11.C_SignInit(session, mechanism, key)
    const signature = pkcs11.C_Sign(session, Buffer.from(input), Buffer.alloc(64))
    return this.type === 'ed25519' ? signature : ecdsaSigValue(signature)
  }

  #connect(): { session: Handle; key: Handle } {
    this.#session ??= login(this.#module, this.#token, this.#pin, false)
    this.#key ??= findKey(this.#module, this.#session)
    if (this.#key === undefined) throw new HsmError('not_found', `the token ${this.#token} has no checkpoint key`)
    return { session: this.#session, key: this.#key }
  }

  #drop(): void {
    try {
      if (this.#session !== undefined) this.#module.pkcs11.C_CloseSession(this.#session)
    } catch {
      // Gone already, which is what was wanted.
    }
    this.#session = this.#key = undefined
  }
}

function login(module: Pkcs11Module, token: string, pin: Pin, write: boolean): Handle {
  module.initialize()
  const found = findToken(module.pkcs11, token)
  if (found === undefined) throw new HsmError('unavailable', `${module.path} has no token labelled ${token}`)
  const flags = CK.CKF_SERIAL_SESSION | (write ? CK.CKF_RW_SESSION : 0)
  const session = module.pkcs11.C_OpenSession(found.slot, flags)
  try {
    pin.login(module.pkcs11, session)
    return session
  } catch (error) {
    module.pkcs11.C_CloseSession(session)
    throw error
  }
}

function findKey({ pkcs11 }: Pkcs11Module, session: Handle): Handle | undefined {
  const [key, another] = findObjects(pkcs11, session, [
    { type: CK.CKA_CLASS, value: CK.CKO_PRIVATE_KEY },
    { type: CK.CKA_LABEL, value: LABEL },
  ])
  if (another !== undefined) throw new HsmError('unavailable', `the token holds two keys labelled ${LABEL}`)
  return key
}

function generate({ pkcs11 }: Pkcs11Module, session: Handle): void {
  const both: Attribute[] = [
    { type: CK.CKA_TOKEN, value: true },
    { type: CK.CKA_LABEL, value: LABEL },
    { type: CK.CKA_ID, value: randomBytes(16) },
  ]
  const make = (mechanism: number, params: Buffer) =>
    pkcs11.C_GenerateKeyPair(
      session,
      { mechanism },
      [...both, { type: CK.CKA_EC_PARAMS, value: params }, { type: CK.CKA_VERIFY, value: true }],
      [
        ...both,
        { type: CK.CKA_PRIVATE, value: true },
        { type: CK.CKA_SENSITIVE, value: true },
        { type: CK.CKA_EXTRACTABLE, value: false },
        { type: CK.CKA_SIGN, value: true },
        { type: CK.CKA_DECRYPT, value: false },
        { type: CK.CKA_UNWRAP, value: false },
        { type: CK.CKA_DERIVE, value: false },
      ],
    )
  try {
    make(CK.CKM_EC_EDWARDS_KEY_PAIR_GEN, ED25519_PARAMS)
  } catch (error) {
    if (returnValue(error) !== CK.CKR_MECHANISM_INVALID) throw error
    make(CK.CKM_EC_KEY_PAIR_GEN, P256_PARAMS)
  }
}

/** From CKA_EC_POINT: an OCTET STRING of 32 bytes, or, on some devices, the bytes alone. */
function edPublicKey(point: Buffer): Uint8Array {
  const bytes = point.length === 34 && point[0] === 4 && point[1] === 32 ? point.subarray(2) : point
  if (bytes.length !== 32) throw new HsmError('unsupported', 'the device does not show the checkpoint key as Ed25519')
  return Buffer.concat([ED25519_SPKI, bytes])
}

function asUnavailable(error: unknown): unknown {
  if (error instanceof HsmError || returnValue(error) === undefined) return error
  return new HsmError('unavailable', `the device failed: ${describeFailure(error)}`, { cause: error })
}
