/** What the tests need of the system. Nothing of it is optional: a test that cannot run is a promise nobody checked. */
import { execFileSync } from 'node:child_process'
import { accessSync, constants, existsSync } from 'node:fs'
import { delimiter, join } from 'node:path'
import { findBinaries } from '../../src/db/postgres-binaries.js'
import { SOFTHSM } from '../helpers/temp-token.js'

/** Programs, and the packages of Debian that hold them. */
const PROGRAMS = {
  openssl: 'openssl',
  pdfsig: 'poppler-utils',
  certutil: 'libnss3-tools',
  cc: 'gcc',
  ps: 'procps',
  chromium: 'chromium',
} as const

/** What is missing, a line each with what to type; empty when the tests can run. */
export async function missingRequirements(): Promise<string[]> {
  const packages: string[] = []
  const missing: string[] = []
  const lacks = (what: string, debian: string) => {
    missing.push(`${what} is missing (package ${debian})`)
    packages.push(debian)
  }
  for (const [program, debian] of Object.entries(PROGRAMS))
    if (!isOnPath(program)) lacks(`the program ${program}`, debian)
  if (!existsSync(SOFTHSM)) lacks(SOFTHSM, 'softhsm2')
  if ((await findBinaries()).length === 0) lacks('a PostgreSQL server, 15 or newer,', 'postgresql')

  const sudo = process.getuid?.() === 0 ? '' : 'sudo '
  const install = (names: readonly string[]) => `${sudo}apt-get install -y --no-install-recommends ${names.join(' ')}`
  if (packages.length > 0) missing.push(`Type: ${install(packages)}`)
  if (!bindingLoads()) {
    missing.push('pkcs11js does not load: it is compiled when it is installed, and made for one version of Node')
    missing.push(`Type: ${install(['python3', 'make', 'g++'])} && npm rebuild pkcs11js`)
  }
  return missing
}

function isOnPath(program: string): boolean {
  return (process.env['PATH'] ?? '').split(delimiter).some((folder) => {
    try {
      accessSync(join(folder, program), constants.X_OK)
      return true
    } catch {
      return false
    }
  })
}

/** In a process of its own: a native module made for another Node may take its process down. */
function bindingLoads(): boolean {
  try {
    execFileSync(process.execPath, ['--eval', 'require(process.argv[1])', 'pkcs11js'], { stdio: 'ignore' })
    return true
  } catch {
    return false
  }
}
