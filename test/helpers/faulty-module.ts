import { spawnSync } from 'node:child_process'
import { existsSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
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

const root = dirname(dirname(dirname(dirname(fileURLToPath(import.meta.url)))))

/**
 * @param folder where its files are put; the caller removes it
 * @throws Error naming the package of Debian when there is no C compiler
 */
export function faultyModule(folder: string): FaultyModule {
  const module = compile()
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

/** The compiled module: made once a run, by whichever test process comes first. Without a run it is this process's. */
function compile(): string {
  const run = process.env['PARAPH_TEST_RUN']
  const module = join(tmpdir(), `paraph-faulty-p11-${run ?? `pid-${process.pid}`}.so`)
  if (existsSync(module)) return module
  if (run === undefined) process.on('exit', () => rmSync(module, { force: true }))
  const making = `${module}.${process.pid}`
  const source = join(root, 'test', 'helpers', 'faulty-p11.c')
  const { error, status, stderr } = spawnSync('cc', ['-shared', '-fPIC', '-O1', '-o', making, source, '-ldl'], {
    encoding: 'utf8',
  })
  if (error !== undefined)
    throw new Error('there is no C compiler cc: install the package gcc (apt-get install gcc libc6-dev)')
  if (status !== 0) throw new Error(`${source} does not compile: ${stderr}`)
  renameSync(making, module)
  return module
}
