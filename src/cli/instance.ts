import { linkSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { INSTANCE_FILE } from '../config.js'

/** What a data folder and a keys folder say about themselves (instance.json). */
export interface Instance {
  /** UUID; the same in both folders and in the origin of the log. */
  readonly instance: string
  readonly demo: boolean
  /** The device the folders began with. */
  readonly device: 'softhsm' | 'memory' | 'pkcs11'
}

export interface Folders {
  readonly data: string
  readonly keys: string
}

/**
 * Marks two folders as belonging together, once, or finds them marked. Returns what they say; `wanted` is only for new
 * ones.
 * @throws Error naming both values when they do not belong together, and what to do.
 */
export function claimFolders(folders: Folders, wanted: Instance): Instance {
  const found = readInstances(folders)
  if (found !== undefined) return found
  // The keys first: a crash between the two leaves a keys folder that is still empty, which the next start takes.
  const instance = readInstance(folders.keys) ?? mark(folders.keys, wanted, 0o700)
  // As root, the embedded database's user must be able to pass; every secret inside has a mode of its own.
  return mark(folders.data, instance, process.getuid?.() === 0 ? 0o711 : 0o700)
}

/**
 * What both folders say, or undefined when they are new.
 * @throws Error as `claimFolders`
 */
export function readInstances({ data, keys }: Folders): Instance | undefined {
  const ofData = readInstance(data)
  const ofKeys = readInstance(keys)
  if (ofData === undefined && (ofKeys === undefined || holdsNothingElse(keys))) return undefined
  if (ofData?.instance === ofKeys?.instance) return ofData
  throw new Error(
    `PARAPH_DATA ${data} belongs to instance ${ofData?.instance ?? 'none'}, PARAPH_KEYS ${keys} to instance ${ofKeys?.instance ?? 'none'}, ` +
      'and neither is of use without the other. Name, or restore, the folder that belongs to the other one; ' +
      'to begin anew, move both away (keep what signers may still need)',
  )
}

/** Undefined where the folder is not marked. */
export function readInstance(folder: string): Instance | undefined {
  const path = join(folder, INSTANCE_FILE)
  try {
    return JSON.parse(readFileSync(path, 'utf8')) as Instance
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw new Error(`${path} cannot be read: ${(error as Error).message}`)
  }
}

function holdsNothingElse(keys: string): boolean {
  return readdirSync(keys).every((name) => name === INSTANCE_FILE || name === 'README.md')
}

/** Never replaces a mark: of two processes that begin at once, both go on with the one that was first. */
function mark(folder: string, instance: Instance, mode: number): Instance {
  mkdirSync(folder, { recursive: true, mode })
  const path = join(folder, INSTANCE_FILE)
  const made = `${path}.${process.pid}`
  writeFileSync(made, `${JSON.stringify(instance)}\n`, { mode: 0o644, flush: true })
  try {
    linkSync(made, path)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EEXIST') throw error
  } finally {
    rmSync(made)
  }
  return readInstance(folder) as Instance
}
