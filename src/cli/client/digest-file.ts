import { readFile, stat } from 'node:fs/promises'
import { algorithmOfLength, type Digest, digest } from '../../digest.js'

const MAX_FILE = 16 * 1024 * 1024

/**
 * Reads one digest a line, in hexadecimal or base64, all of one algorithm, which their length tells. Empty lines do not
 * count.
 * @throws Error naming the line that is wrong
 */
export async function readDigests(path: string): Promise<Digest[]> {
  const found = await stat(path)
  if (!found.isFile()) throw new Error(`${path} is not a file`)
  if (found.size > MAX_FILE) throw new Error(`${path} is too large`)
  const lines = (await readFile(path, 'utf8')).split('\n').map((line) => line.trim())
  const digests = lines.flatMap((line, index) => {
    if (line === '') return []
    const bytes = /^(?:[0-9a-fA-F]{2})+$/.test(line) ? Buffer.from(line, 'hex') : readBase64(line)
    const algorithm = algorithmOfLength(bytes?.length ?? 0)
    if (bytes === undefined || algorithm === undefined) {
      throw new Error(`${path}, line ${index + 1}: not a SHA-256, SHA-384 or SHA-512 digest in hexadecimal or base64`)
    }
    return [{ line: index + 1, digest: digest(algorithm, bytes) }]
  })
  const [first] = digests
  if (first === undefined) throw new Error(`${path} has no digests`)
  const other = digests.find((one) => one.digest.algorithm !== first.digest.algorithm)
  if (other !== undefined) throw new Error(`${path}, line ${other.line}: not of the same length as the first digest`)
  return digests.map((one) => one.digest)
}

function readBase64(text: string): Buffer | undefined {
  const bytes = Buffer.from(text, 'base64')
  return bytes.toString('base64') === text ? bytes : undefined
}
