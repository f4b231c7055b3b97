import { closeSync, constants, fstatSync, fsyncSync, openSync, readFileSync, writeFileSync } from 'node:fs'

const LARGEST = 64 * 1024

/**
 * Reads a PIN, password or token from its file. One line break at the end is not part of the secret.
 *
 * The file must belong to the user of this process or to root, be readable by its owner alone (0600 or 0400) and be no
 * symbolic link: whoever could write the file, or the link, could choose the secret.
 * @throws Error whose message says what to type; it never holds the content.
 */
export function readSecretFile(path: string): string {
  const file = openWithoutFollowing(path)
  try {
    const stat = fstatSync(file)
    const self = process.geteuid?.()
    if (!stat.isFile()) throw new Error(`${path} is not a regular file`)
    if (self !== undefined && stat.uid !== self && stat.uid !== 0) {
      throw new Error(`${path} belongs to user ${stat.uid}: chown ${self} ${path}`)
    }
    if ((stat.mode & 0o177) !== 0) throw new Error(`${path} must be readable by its owner only: chmod 600 ${path}`)
    if (stat.size > LARGEST) throw new Error(`${path} is too large for a secret`)
    const secret = readFileSync(file, 'utf8').replace(/\r?\n$/, '')
    if (secret === '') throw new Error(`${path} is empty`)
    return secret
  } finally {
    closeSync(file)
  }
}

/**
 * Writes a new secret with mode 0600. Durable on return. Never touches a file that is already there.
 * @returns false when there was one
 */
export function createSecretFile(path: string, secret: string): boolean {
  let file: number
  try {
    file = openSync(path, 'wx', 0o600)
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'EEXIST') return false
    throw error
  }
  try {
    writeFileSync(file, `${secret}\n`)
    fsyncSync(file)
    return true
  } finally {
    closeSync(file)
  }
}

function openWithoutFollowing(path: string): number {
  try {
    // Not blocking, so that a pipe in the file's place is refused instead of waited for.
    return openSync(path, constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'ELOOP') throw new Error(`${path} is a symbolic link: name the file itself`)
    if (code === 'ENOENT') throw new Error(`${path} does not exist`)
    if (code === 'EACCES')
      throw new Error(`${path} cannot be read by user ${process.geteuid?.()}: chown it to that user`)
    throw error
  }
}
