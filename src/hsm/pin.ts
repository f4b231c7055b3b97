import { createHash } from 'node:crypto'
import { readSecretFile } from '../secret-file.js'
import { HsmError } from './hsm.js'
import { CK, type Handle, type Pkcs11, returnValue } from './pkcs11.js'

const REFUSALS: ReadonlySet<number> = new Set([
  CK.CKR_PIN_INCORRECT,
  CK.CKR_PIN_INVALID,
  CK.CKR_PIN_LEN_RANGE,
  CK.CKR_PIN_EXPIRED,
  CK.CKR_PIN_LOCKED,
])

/**
 * The user PIN, read from its file at each login and not kept. A PIN that the device refused is not offered again until the
 * file says something else: devices lock after a few wrong ones, and a service that reconnects by itself would see to it.
 */
export class Pin {
  readonly #file: string
  /** SHA-256 of the PIN that was refused. */
  #refused: string | undefined

  constructor(file: string) {
    this.#file = file
  }

  /** Logs the process in to the token of this session, unless it is. @throws HsmError `refused`, `unavailable` */
  login(pkcs11: Pkcs11, session: Handle): void {
    const pin = this.#read()
    const hash = createHash('sha256').update(pin).digest('hex')
    if (hash === this.#refused) throw this.#refusal()
    try {
      pkcs11.C_Login(session, CK.CKU_USER, pin)
    } catch (error) {
      const value = returnValue(error)
      if (value === CK.CKR_USER_ALREADY_LOGGED_IN) return
      if (value === undefined || !REFUSALS.has(value)) throw error
      this.#refused = hash
      throw this.#refusal()
    }
  }

  #read(): string {
    try {
      return readSecretFile(this.#file)
    } catch (error) {
      throw new HsmError('unavailable', `no PIN: ${(error as Error).message}`)
    }
  }

  #refusal(): HsmError {
    return new HsmError('refused', `the device refuses the PIN in ${this.#file}; put the right one there`)
  }
}
