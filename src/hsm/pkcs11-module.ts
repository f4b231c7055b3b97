import { createRequire } from 'node:module'
import { HsmError } from './hsm.js'
import { CK, describeFailure, type Handle, type Pkcs11, returnValue } from './pkcs11.js'

/** One initialised module of this process, shared by every device in it. */
export interface Pkcs11Module {
  readonly path: string
  readonly pkcs11: Pkcs11
  /** Initialises again after something else in the process finalised the module. */
  initialize(): void
  /** To be called once; the last one out finalises. */
  release(): void
}

interface Loaded {
  readonly pkcs11: Pkcs11
  users: number
  initializedHere: boolean
}

/** Never emptied: unloading a PKCS#11 module from a living process is asking for trouble. */
const loaded = new Map<string, Loaded>()

/** @throws HsmError `unavailable`, saying what is missing */
export function openModule(path: string): Pkcs11Module {
  const entry = loaded.get(path) ?? { pkcs11: load(path), users: 0, initializedHere: false }
  loaded.set(path, entry)

  const initialize = (): void => {
    try {
      // Without this flag two threads in SoftHSM end in a double free.
      entry.pkcs11.C_Initialize({ flags: CK.CKF_OS_LOCKING_OK })
      entry.initializedHere = true
    } catch (error) {
      if (returnValue(error) === CK.CKR_CRYPTOKI_ALREADY_INITIALIZED) return
      throw new HsmError('unavailable', `${path} does not start: ${describeFailure(error)}`, { cause: error })
    }
  }
  initialize()
  entry.users++

  return {
    path,
    pkcs11: entry.pkcs11,
    initialize,
    release: () => {
      entry.users--
      if (entry.users > 0 || !entry.initializedHere) return
      entry.initializedHere = false
      try {
        entry.pkcs11.C_Finalize()
      } catch {
        // Finalised already, or broken: either way there is nothing left to give back.
      }
    },
  }
}

function load(path: string): Pkcs11 {
  let binding: { readonly PKCS11: new () => Pkcs11 }
  try {
    binding = createRequire(import.meta.url)('pkcs11js') as typeof binding
  } catch (error) {
    throw new HsmError(
      'unavailable',
      'the package pkcs11js is not installed: it needs python3, make and g++ when npm ci runs',
      { cause: error },
    )
  }
  const pkcs11 = new binding.PKCS11()
  try {
    pkcs11.load(path)
  } catch (error) {
    throw new HsmError('unavailable', `${path} cannot be loaded as a PKCS#11 module`, { cause: error })
  }
  return pkcs11
}

/** The slot whose token has this label; undefined when there is none. Slot numbers change, labels do not. */
export function findToken(pkcs11: Pkcs11, label: string): { slot: Handle; serial: string } | undefined {
  const found = pkcs11
    .C_GetSlotList(true)
    .map((slot) => ({ slot, info: pkcs11.C_GetTokenInfo(slot) }))
    .filter(({ info }) => (info.flags & CK.CKF_TOKEN_INITIALIZED) !== 0 && info.label.trimEnd() === label)
  const [first] = found
  if (first === undefined) return undefined
  if (found.length > 1) throw new HsmError('unavailable', `${found.length} tokens are labelled ${label}`)
  return { slot: first.slot, serial: first.info.serialNumber.trim() }
}
