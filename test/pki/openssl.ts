import { execFile } from 'node:child_process'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import type { TestContext } from 'node:test'

/** What a program said; `ok` is whether it ended with status 0. */
export interface Verdict {
  readonly ok: boolean
  readonly text: string
}

/** Runs a program with stdout and stderr together, and never throws for what it says. */
function run(program: string, ...parameters: readonly string[]): Promise<Verdict> {
  return new Promise((resolve) => {
    execFile(program, parameters, (error, stdout, stderr) => resolve({ ok: error === null, text: stdout + stderr }))
  })
}

/** OpenSSL as a stranger who judges what we made. */
export function openssl(...parameters: readonly string[]): Promise<Verdict> {
  return run('openssl', ...parameters)
}

/** A folder that goes when the test ends, and a way to put files into it. */
export async function folder(test: TestContext): Promise<{
  path(name: string): string
  put(name: string, content: string | Uint8Array): Promise<string>
}> {
  const root = await mkdtemp(join(tmpdir(), 'paraph-pki-'))
  test.after(() => rm(root, { recursive: true, force: true }))
  const path = (name: string) => join(root, name)
  return {
    path,
    async put(name, content) {
      await writeFile(path(name), content)
      return path(name)
    },
  }
}
