import { createHash } from 'node:crypto'
import { lstatSync, mkdirSync, realpathSync } from 'node:fs'
import { dirname, join, resolve } from 'node:path'

/** The path of a unix socket has 108 bytes on Linux and 104 on macOS, with the zero at its end. */
const LONGEST = 100

/** What a front connects to. */
export const samSocket = (folder: string, index: number): string => join(folder, `sam-${index}.sock`)
/** What the commands of an operator connect to. */
export const adminSocket = (folder: string, index: number): string => join(folder, `admin-${index}.sock`)

/**
 * The private folder (0700) of the sockets that belong to a data folder: `run` in it, or, where that path would be too
 * long for a socket, one below /tmp that every process derives from the data folder alike. Made where it is missing.
 * @throws Error when it belongs to somebody else or others could enter it.
 */
export function socketFolder(dataDir: string): string {
  const data = realPath(resolve(dataDir))
  const near = join(data, 'run')
  const longest = adminSocket(near, 999)
  const folder = Buffer.byteLength(longest) < LONGEST ? near : join('/tmp', `paraph-${fingerprint(data)}`)
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  requirePrivate(folder)
  return folder
}

/** In /tmp anybody could have made it first. */
function requirePrivate(folder: string): void {
  const stat = lstatSync(folder)
  const self = process.geteuid?.() ?? stat.uid
  if (!stat.isDirectory()) throw new Error(`${folder} is not a folder: remove it`)
  if (stat.uid !== self)
    throw new Error(`${folder} belongs to user ${stat.uid}: run this as that user, or remove the folder`)
  if ((stat.mode & 0o077) !== 0) throw new Error(`${folder} must be open to its owner only: chmod 700 ${folder}`)
}

/** Links resolved as far as the path exists, so that all ways to the data folder lead to one socket folder. */
function realPath(path: string): string {
  try {
    return realpathSync(path)
  } catch {
    const parent = dirname(path)
    return parent === path ? path : join(realPath(parent), path.slice(parent.length).replace(/^\//, ''))
  }
}

function fingerprint(path: string): string {
  return createHash('sha256').update(path).digest('hex').slice(0, 16)
}
