import { execFile } from 'node:child_process'
import { existsSync, mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import type { Instance } from './instance.js'

const run = promisify(execFile)

/** Where packages of Debian, Fedora, Alpine and Homebrew put the module. */
const SOFTHSM_MODULES = [
  '/usr/lib/softhsm/libsofthsm2.so',
  '/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so',
  '/usr/lib/aarch64-linux-gnu/softhsm/libsofthsm2.so',
  '/usr/lib64/pkcs11/libsofthsm2.so',
  '/usr/lib64/softhsm/libsofthsm2.so',
  '/usr/local/lib/softhsm/libsofthsm2.so',
  '/opt/homebrew/lib/softhsm/libsofthsm2.so',
]

export interface DemoDevice {
  readonly kind: 'softhsm' | 'memory'
  readonly hsmUri: string
  /** The certificate authority's device: its own token, its own PIN. */
  readonly caHsmUri: string
  /** That of the time-stamp authority. */
  readonly tsaHsmUri: string
  /** That of the key which signs the log. */
  readonly checkpointHsmUri: string
  /** What a process that opens them needs in its environment, before the module is loaded. */
  readonly env: Readonly<Record<string, string>>
}

/**
 * SoftHSM where its module and the binding are there, else the memory device. Folders that began with one keep it.
 * @throws Error saying what to install when they began with SoftHSM and it is gone.
 */
export async function chooseDemoDevice(keys: string, begun: Instance['device'] | undefined): Promise<DemoDevice> {
  if (begun === 'memory') return memoryDevice(keys)
  const module = SOFTHSM_MODULES.find((path) => existsSync(path))
  if (module !== undefined && (await bindingLoads())) return softHsm(keys, module)
  if (begun !== undefined) {
    throw new Error(
      `${keys} began with SoftHSM, and ${module === undefined ? 'its module is gone: install the package softhsm2' : 'pkcs11js does not load: run `npm ci` with python3, make and g++ installed'}`,
    )
  }
  return memoryDevice(keys)
}

function memoryDevice(keys: string): DemoDevice {
  const uri = (name: string) => `memory:${join(keys, name).split('/').map(encodeURIComponent).join('/')}`
  return {
    kind: 'memory',
    hsmUri: uri('memory'),
    caHsmUri: uri('memory-ca'),
    tsaHsmUri: uri('memory-tsa'),
    checkpointHsmUri: uri('memory-log'),
    env: {},
  }
}

function softHsm(keys: string, module: string): DemoDevice {
  const uri = (token: string, pinFile: string) =>
    `pkcs11:${module}?token=${token}&pin-file=${encodeURIComponent(join(keys, pinFile))}`
  return {
    kind: 'softhsm',
    hsmUri: uri('paraph', 'pin'),
    caHsmUri: uri('paraph-ca', 'ca-pin'),
    tsaHsmUri: uri('paraph-tsa', 'tsa-pin'),
    checkpointHsmUri: uri('paraph-log', 'log-pin'),
    env: { SOFTHSM2_CONF: join(keys, 'softhsm2.conf') },
  }
}

/** Writes what SoftHSM reads at its start: where its tokens are. Written anew each time, since a folder may be moved. */
export function prepareSoftHsm(keys: string): void {
  const tokens = join(keys, 'tokens')
  mkdirSync(tokens, { recursive: true, mode: 0o700 })
  const lines = [
    `directories.tokendir = ${tokens}`,
    'objectstore.backend = file',
    'log.level = ERROR',
    'slots.removable = false',
  ]
  writeFileSync(join(keys, 'softhsm2.conf'), `${lines.join('\n')}\n`, { mode: 0o600 })
}

/** In a process of its own: a native module made for another Node may take its process down. */
async function bindingLoads(): Promise<boolean> {
  try {
    const binding = import.meta.resolve('pkcs11js')
    await run(process.execPath, ['--input-type=module', '--eval', 'await import(process.argv[1])', binding])
    return true
  } catch {
    return false
  }
}
