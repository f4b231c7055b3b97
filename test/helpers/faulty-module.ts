import { existsSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { compiled } from './compiled.js'
import { SOFTHSM } from './temp-token.js'

/** A PKCS#11 module between the service and SoftHSM that breaks the calls it is told to; see faulty-p11.c. */
export interface FaultyModule {
  /** The same device, reached through the faulty module. */
  uri(realUri: string): string
  /** For the environment of the process that uses the device. */
  readonly env: Readonly<Record<string, string>>
  /** From the next call on: lines of the control file, such as `C_Sign fail 0x30` or `C_SignInit hang 1`. */
  set(...lines: string[]): void
  /** No faults any more; what hangs goes on hanging. */
  clear(): void
  /** Signatures asked for with signers' keys, by all processes since the beginning. */
  calls(): number
}

/**
 * @param folder where its files are put; the caller removes it
 * @throws Error naming the package of Debian when there is no C compiler
 */
export function faultyModule(folder: string): FaultyModule {
  const module = compiled('faulty-p11')
  const control = join(folder, 'faulty-p11')
  const signatures = join(folder, 'faulty-p11-calls')
  return {
    uri(realUri) {
      if (!realUri.startsWith(`pkcs11:${SOFTHSM}?`)) throw new Error('the faulty module stands before SoftHSM only')
      return realUri.replace(SOFTHSM, module)
    },
    env: { FAULTY_P11_MODULE: SOFTHSM, FAULTY_P11_CONTROL: control, FAULTY_P11_CALLS: signatures },
    set(...lines) {
      // Replaced as a whole: who reads the old one meanwhile writes its counts there.
      writeFileSync(`${control}.new`, `${lines.join('\n')}\n`)
      renameSync(`${control}.new`, control)
    },
    clear: () => rmSync(control, { force: true }),
    calls: () =>
      existsSync(signatures) ? [...readFileSync(signatures, 'latin1')].filter((key) => key === 's').length : 0,
  }
}
