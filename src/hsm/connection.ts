import { HsmError, type KeySpec } from './hsm.js'
import { weaknessesOfKek } from './kek-probe.js'
import { KeyCache } from './key-cache.js'
import type { Pin } from './pin.js'
import { CK, ConnectionClosed, type Handle, type Pkcs11 } from './pkcs11.js'
import { findToken, type Pkcs11Module } from './pkcs11-module.js'
import {
  findServiceKey,
  findTokenKeys,
  type HeldServiceKey,
  isUnreadable,
  newest,
  type TokenKeys,
  unwrapTemplate,
} from './token-keys.js'

export interface Pkcs11Location {
  readonly module: Pkcs11Module
  readonly token: string
  readonly pin: Pin
  /** How many unwrapped keys to keep. */
  readonly cachedKeys: number
  /** Accepts a KEK from which the holder of the PIN can get keys in clear, for devices without CKA_UNWRAP_TEMPLATE. */
  readonly allowLooseKek: boolean
}

/**
 * Everything that is lost together when a device forgets us: login, sessions, handles, unwrapped keys. So it is replaced as
 * a whole and never mended; only the session for operations is exchanged alone.
 *
 * Two sessions. One holds the unwrapped keys, which live as long as it does, and does nothing that could break it; the other
 * does the operations, each one begun and ended without a pause between, so that they cannot meet.
 */
export class Connection {
  readonly pkcs11: Pkcs11
  readonly serial: string
  readonly keys: TokenKeys
  readonly cache: KeyCache<Handle>
  readonly #slot: Handle
  readonly #holding: Handle
  #operations: Handle | undefined
  #broken = false

  private constructor(location: Pkcs11Location, slot: Handle, serial: string, holding: Handle) {
    this.pkcs11 = location.module.pkcs11
    this.serial = serial
    this.#slot = slot
    this.#holding = holding
    this.keys = findTokenKeys(this.pkcs11, holding)
    this.cache = new KeyCache(location.cachedKeys, (key) => this.#destroyUnwrapped(key))
  }

  /** Opens sessions, logs in, finds the keys of the token and probes the KEK. @throws HsmError or an error of the binding */
  static open(location: Pkcs11Location): Connection {
    const { module, token, pin } = location
    module.initialize()
    const found = findToken(module.pkcs11, token)
    if (found === undefined) {
      throw new HsmError('unavailable', `${module.path} has no token labelled ${token}: make one with paraph hsm init`)
    }
    const holding = module.pkcs11.C_OpenSession(found.slot, CK.CKF_SERIAL_SESSION)
    try {
      pin.login(module.pkcs11, holding)
      const connection = new Connection(location, found.slot, found.serial, holding)
      if (!location.allowLooseKek) connection.#requireTightKek()
      return connection
    } catch (error) {
      closeQuietly(module.pkcs11, holding)
      throw error
    }
  }

  /** False when it must be replaced before the next use. */
  get usable(): boolean {
    return !this.#broken
  }

  /**
   * Runs one operation, from its C_…Init to its end, on the session for operations. After an error that session is closed and
   * the next operation gets a fresh one: nobody knows what the device thinks is still under way.
   */
  operate<Result>(operation: (session: Handle) => Result): Result {
    if (this.#broken) throw new ConnectionClosed('the connection was closed')
    this.#operations ??= this.pkcs11.C_OpenSession(this.#slot, CK.CKF_SERIAL_SESSION)
    try {
      return operation(this.#operations)
    } catch (error) {
      closeQuietly(this.pkcs11, this.#operations)
      this.#operations = undefined
      throw error
    }
  }

  /** Runs something that takes long, or leaves objects behind, in a session of its own. */
  async inOwnSession<Result>(
    access: 'read-only' | 'read-write',
    work: (session: Handle) => Promise<Result>,
  ): Promise<Result> {
    if (this.#broken) throw new ConnectionClosed('the connection was closed')
    const session = this.#openSession(access)
    try {
      return await work(session)
    } finally {
      closeQuietly(this.pkcs11, session)
    }
  }

  /** Unwraps a key into the session that holds them. The caller puts it into the cache, which destroys it one day. */
  unwrap(kek: Handle, wrapped: Buffer, spec: KeySpec): Handle {
    if (this.#broken) throw new ConnectionClosed('the connection was closed')
    try {
      const wrap = { mechanism: CK.CKM_AES_KEY_WRAP_PAD }
      const key = this.pkcs11.C_UnwrapKey(this.#holding, wrap, kek, wrapped, unwrapTemplate(spec))
      if (isUnreadable(this.pkcs11, this.#holding, key)) return key
      throw new HsmError('unsupported', 'the device unwraps keys so that they can be read: not used')
    } catch (error) {
      this.#broken = true
      throw error
    }
  }

  /** The service key of that name, also one that another process made since the connection was opened. */
  serviceKey(name: string): HeldServiceKey | undefined {
    const known = this.keys.services.get(name)
    if (known !== undefined) return known
    const found = this.operate((session) => findServiceKey(this.pkcs11, session, name))
    if (found !== undefined) this.keys.services.set(name, found)
    return found
  }

  /** Closes the sessions, and with them destroys the unwrapped keys. The last session of a process takes the login along. */
  close(): void {
    this.#broken = true
    this.cache.clear()
    if (this.#operations !== undefined) closeQuietly(this.pkcs11, this.#operations)
    closeQuietly(this.pkcs11, this.#holding)
  }

  #openSession(access: 'read-only' | 'read-write'): Handle {
    const flags = access === 'read-only' ? CK.CKF_SERIAL_SESSION : CK.CKF_SERIAL_SESSION | CK.CKF_RW_SESSION
    return this.pkcs11.C_OpenSession(this.#slot, flags)
  }

  /** Looks at the KEK that new keys will be wrapped under: the holder of the PIN could have put it there himself. */
  #requireTightKek(): void {
    const kek = newest(this.keys.keks)
    if (kek === undefined) return
    const session = this.#openSession('read-only')
    try {
      const weaknesses = weaknessesOfKek(this.pkcs11, session, kek[1])
      if (weaknesses.length > 0) {
        throw new HsmError(
          'unavailable',
          `the KEK of epoch ${kek[0]} ${weaknesses.join(', ')}; if the device knows no CKA_UNWRAP_TEMPLATE and that is accepted, add loose-kek=accepted to its URI`,
        )
      }
    } finally {
      closeQuietly(this.pkcs11, session)
    }
  }

  #destroyUnwrapped(key: Handle): void {
    if (this.#broken) return
    try {
      this.pkcs11.C_DestroyObject(this.#holding, key)
    } catch {
      this.#broken = true
    }
  }
}

function closeQuietly(pkcs11: Pkcs11, session: Handle): void {
  try {
    pkcs11.C_CloseSession(session)
  } catch {
    // Gone already, which is what was wanted.
  }
}
