import { HsmError } from './hsm.js'
import { describeFailure, returnValue } from './pkcs11.js'

/** The calls under way on a device: counted, so that closing waits for them, and throwing nothing but `HsmError`. */
export class Calls {
  #running = 0
  #closed = false
  #whenIdle: (() => void) | undefined

  async run<Result>(call: () => Promise<Result>): Promise<Result> {
    if (this.#closed) throw new HsmError('unavailable', 'the device is closed')
    this.#running++
    try {
      return await call()
    } catch (error) {
      throw asHsmError(error, false)
    } finally {
      this.#running--
      if (this.#running === 0) this.#whenIdle?.()
    }
  }

  /** Takes no more calls and waits for those under way. False when that was done before. */
  async close(): Promise<boolean> {
    if (this.#closed) return false
    this.#closed = true
    if (this.#running > 0) {
      await new Promise<void>((resolve) => {
        this.#whenIdle = resolve
      })
    }
    return true
  }
}

/** The device, or the key in it, cannot do what was asked: no use in trying again. */
const CANNOT: ReadonlySet<number> = new Set([
  0x62, // CKR_KEY_SIZE_RANGE
  0x63, // CKR_KEY_TYPE_INCONSISTENT
  0x68, // CKR_KEY_FUNCTION_NOT_PERMITTED
  0x70, // CKR_MECHANISM_INVALID
  0x71, // CKR_MECHANISM_PARAM_INVALID
  0x140, // CKR_DOMAIN_PARAMS_INVALID
])

/** @param begun whether the device may have made a signature; then no other code would be true */
export function asHsmError(error: unknown, begun: boolean): HsmError {
  if (begun) {
    return new HsmError('indeterminate', `signing began and did not end: ${describeFailure(error)}`, { cause: error })
  }
  if (error instanceof HsmError) return error
  const code = CANNOT.has(returnValue(error) ?? -1) ? 'unsupported' : 'unavailable'
  return new HsmError(code, `the device failed: ${describeFailure(error)}`, { cause: error })
}

/** @returns `performance.now()` @throws HsmError `unavailable` when that is past the deadline */
export function requireInTime(deadline: number): number {
  const now = performance.now()
  if (now > deadline) throw new HsmError('unavailable', 'the deadline has passed')
  return now
}
