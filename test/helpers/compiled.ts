import { spawnSync } from 'node:child_process'
import { existsSync, renameSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = dirname(dirname(dirname(dirname(fileURLToPath(import.meta.url)))))

/**
 * The library made of `test/helpers/<name>.c`: once a run, by whichever test process comes first. Without a run it is this
 * process's.
 * @throws Error naming the package of Debian when there is no C compiler
 */
export function compiled(name: string): string {
  const run = process.env['PARAPH_TEST_RUN']
  const library = join(tmpdir(), `paraph-${name}-${run ?? `pid-${process.pid}`}.so`)
  if (existsSync(library)) return library
  if (run === undefined) process.on('exit', () => rmSync(library, { force: true }))
  const making = `${library}.${process.pid}`
  const source = join(root, 'test', 'helpers', `${name}.c`)
  const { error, status, stderr } = spawnSync('cc', ['-shared', '-fPIC', '-O1', '-o', making, source, '-ldl'], {
    encoding: 'utf8',
  })
  if (error !== undefined)
    throw new Error('there is no C compiler cc: install the package gcc (apt-get install gcc libc6-dev)')
  if (status !== 0) throw new Error(`${source} does not compile: ${stderr}`)
  renameSync(making, library)
  return library
}
