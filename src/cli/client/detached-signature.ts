/** FILE and FILE.p7s, and FILE.tlog-proof beside them. */
import { randomBytes } from 'node:crypto'
import { createReadStream } from 'node:fs'
import { access, constants, link, lstat, open, readFile, rename, rm, stat } from 'node:fs/promises'
import { basename, dirname, join } from 'node:path'
import type { Digest, DigestAlgorithm } from '../../digest.js'
import { startDigest } from '../../pki/algorithm.js'
import { type CmsSignature, type ParsedCms, parseCms, verifyCms } from '../../pki/cms.js'
import { reasonOf } from './reason.js'

export const SUFFIX = '.p7s'
export const RECEIPT_SUFFIX = '.tlog-proof'
/** Largest signature file that is read, in bytes. */
const MAX_SIGNATURE = 1024 * 1024
const PIECE = 1024 * 1024

/** The digest of a file of any size, read piece by piece. */
export async function digestOfFile(path: string, algorithm: DigestAlgorithm): Promise<Digest> {
  const digest = startDigest(algorithm)
  for await (const piece of createReadStream(path, { highWaterMark: PIECE })) digest.update(piece as Buffer)
  return digest.finish()
}

/**
 * Says why FILE cannot be signed, before anybody has to agree to anything.
 * @param replace whether what is there under its names may go
 */
export async function whyNotSignable(path: string, replace: boolean): Promise<string | undefined> {
  try {
    await access(path, constants.R_OK)
    if (!(await stat(path)).isFile()) return `${path} is not a file`
    await access(dirname(path), constants.W_OK)
    for (const suffix of replace ? [] : [SUFFIX, RECEIPT_SUFFIX]) {
      if (await exists(path + suffix)) return `${path}${suffix} exists: --force replaces it`
    }
    return undefined
  } catch (error) {
    return reasonOf(error)
  }
}

/**
 * Writes FILE.p7s: a reader sees the whole of it or nothing, and only after it has been read back and found to be a
 * signature of what FILE holds now.
 * @throws Error when it does not verify, or there is a FILE.p7s and `replace` is false
 */
export async function writeSignature(path: string, cms: Uint8Array, replace: boolean): Promise<CmsSignature> {
  return writeWhole(path + SUFFIX, cms, replace, async (made) => (await checkSignature(path, made)).signature)
}

/**
 * Writes a file so that a reader sees the whole of it or nothing.
 * @param check looks at what was written, before it appears under its name
 * @throws Error when there is one of that name and `replace` is false
 */
export async function writeWhole<Checked>(
  target: string,
  bytes: Uint8Array,
  replace: boolean,
  check: (made: string) => Promise<Checked>,
): Promise<Checked> {
  const made = join(dirname(target), `.${basename(target)}.${randomBytes(6).toString('hex')}`)
  try {
    const file = await open(made, 'wx', 0o666)
    try {
      await file.writeFile(bytes)
      await file.sync()
    } finally {
      await file.close()
    }
    const checked = await check(made)
    if (replace) await rename(made, target)
    else await place(made, target)
    return checked
  } finally {
    await rm(made, { force: true })
  }
}

/** A link fails where the name is taken; a rename would replace what has appeared there meanwhile. */
async function place(made: string, target: string): Promise<void> {
  try {
    await link(made, target)
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException
    if (code === 'EEXIST' || (await exists(target))) throw new Error(`${target} exists: --force replaces it`)
    // File systems without links.
    await rename(made, target)
  }
}

/**
 * Checks a signature file against the file it is for; whether its certificate deserves trust is another question.
 * @throws ServiceError `not_allowed`, or the file system's error
 */
export async function checkSignature(
  path: string,
  signaturePath: string,
): Promise<{ cms: ParsedCms; signature: CmsSignature }> {
  const { size } = await stat(signaturePath)
  if (size > MAX_SIGNATURE) throw new Error(`${signaturePath} is too large for a signature`)
  const cms = parseCms(new Uint8Array(await readFile(signaturePath)))
  return { cms, signature: verifyCms(cms, await digestOfFile(path, cms.digestAlgorithm)) }
}

async function exists(path: string): Promise<boolean> {
  try {
    await lstat(path)
    return true
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return false
    throw error
  }
}
