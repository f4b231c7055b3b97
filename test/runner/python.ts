/** The Python that runs foreign tools: an environment of its own with exactly what test/interop/requirements.txt names. */
import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const run = promisify(execFile)
const root = dirname(dirname(dirname(dirname(fileURLToPath(import.meta.url)))))
const requirements = join(root, 'test', 'interop', 'requirements.txt')
const folder = join(root, '.build', 'interop-venv')
const stamp = join(folder, 'made-of')

export const PYTHON = join(folder, 'bin', 'python')

/**
 * Makes the environment, or keeps the one that was made of the same requirements by the same Python. `pip` takes its
 * settings from whoever runs this.
 * @throws Error with what Python or pip said, and what to type where a package of Debian is missing
 */
export async function makePython(): Promise<void> {
  const version = await run('python3', ['-c', 'import sys, ensurepip; print(sys.executable, sys.version)']).catch(
    (error: unknown) => {
      throw new Error(
        `Python 3.11 or newer with its venv module is missing. Type: apt-get install python3 python3-venv\n${error}`,
      )
    },
  )
  const wanted = createHash('sha256').update(version.stdout).update(readFileSync(requirements)).digest('hex')
  if (existsSync(stamp) && readFileSync(stamp, 'utf8') === wanted) return
  rmSync(folder, { recursive: true, force: true })
  await run('python3', ['-m', 'venv', folder])
  const install = ['-m', 'pip', 'install', '--quiet', '--disable-pip-version-check', '--no-input', '--require-hashes']
  await run(PYTHON, [...install, '--only-binary=:all:', '--requirement', requirements], { maxBuffer: 1 << 26 })
  // Last, so that an interrupted start is made anew.
  writeFileSync(stamp, wanted)
}
