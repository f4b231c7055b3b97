/** Tessera's fsck, built from exactly what test/interop/tessera/go.mod and go.sum name. */
import { execFile } from 'node:child_process'
import { createHash } from 'node:crypto'
import { chmodSync, existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { arch } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'

const run = promisify(execFile)
const root = dirname(dirname(dirname(dirname(fileURLToPath(import.meta.url)))))
const module = join(root, 'test', 'interop', 'tessera')
const folder = join(root, '.build', 'interop-go')
const stamp = join(folder, 'made-of')

export const FSCK = join(folder, 'fsck')

const PACKAGE = 'github.com/transparency-dev/tessera/cmd/fsck'
/** What it needs, and what an older one gets from the module proxy to go on with, as Go itself does since 1.21. */
const NEEDED = [1, 24]
const TOOLCHAIN = 'golang.org/toolchain@v0.0.1-go1.24.13.linux-'

/**
 * Makes the program, or keeps the one that was made of the same modules. `go` takes its settings from whoever runs this.
 * @throws Error with what Go said, and what to type where it is missing
 */
export async function makeFsck(): Promise<void> {
  const wanted = createHash('sha256')
  for (const file of ['go.mod', 'go.sum']) wanted.update(readFileSync(join(module, file)))
  const made = wanted.digest('hex')
  if (existsSync(stamp) && existsSync(FSCK) && readFileSync(stamp, 'utf8') === made) return
  rmSync(folder, { recursive: true, force: true })
  mkdirSync(folder, { recursive: true })
  await run(await findGo(), ['build', '-o', FSCK, PACKAGE], { cwd: module, maxBuffer: 1 << 26 })
  // Last, so that an interrupted start is made anew.
  writeFileSync(stamp, made)
}

/** @returns a Go that is new enough */
async function findGo(): Promise<string> {
  const { stdout } = await run('go', ['version'], { cwd: folder }).catch((error: unknown) => {
    throw new Error(`Go is missing, which builds Tessera's fsck. Type: apt-get install golang-go\n${error}`)
  })
  const [, major, minor] = (/go(\d+)\.(\d+)/.exec(stdout) ?? []).map(Number)
  if (major === undefined || minor === undefined) throw new Error(`this is not Go: ${stdout}`)
  const [first, second] = NEEDED as [number, number]
  // From 1.21 on it fetches a newer one by itself.
  if (major > first || minor >= Math.min(second, 21)) return 'go'
  const name = `${TOOLCHAIN}${arch() === 'x64' ? 'amd64' : arch()}`
  const answer = await run('go', ['mod', 'download', '-json', name], { cwd: folder })
  const { Dir: newer } = JSON.parse(answer.stdout) as { Dir: string }
  // A module has no programs: Go makes them some when it fetches the toolchain itself.
  for (const place of ['bin', 'pkg/tool']) {
    for (const entry of readdirSync(join(newer, place), { recursive: true, withFileTypes: true })) {
      if (entry.isFile()) chmodSync(join(entry.parentPath, entry.name), 0o755)
    }
  }
  return join(newer, 'bin', 'go')
}
