import { createPublicKey, type KeyObject, verify } from 'node:crypto'
import { decodeBase64 } from '../tlog/note.js'
import { HASH_BYTES } from '../tlog/tree.js'
import type { FlushSeen } from './acts.js'
import type { Finding } from './finding.js'
import { linesOf, type PackFile } from './pack.js'

const LINE =
  /^\{"boot":"([0-9a-f-]{36})","no":(0|[1-9][0-9]{0,15}),"first":(0|[1-9][0-9]{0,15}),"body":"([A-Za-z0-9+/=]*)","signature":"([A-Za-z0-9+/]{86}==)"\}$/

/** Key of a line of flushes.jsonl, for finding it. */
export const FLUSH_KEY = /^\{"boot":"[0-9a-f-]{36}","no":[0-9]{1,16},"first":([0-9]{1,16}),/

/** The entries, as commits offer them. */
export interface Committed {
  /** Writer of the entry; undefined beyond the end of the log. */
  bootOf(index: number): string | undefined
  /** Whether the entry's leaf hash stands in `bytes` at `at`. */
  isAt(index: number, bytes: Uint8Array, at: number): boolean
}

/**
 * R5 for the commits that begin in a range: each is signed by its writer, and the entries of the log are what it offered.
 */
export function scanFlushes(
  file: PackFile,
  [from, to]: readonly [number, number],
  keyOf: (boot: string) => KeyObject | undefined,
  entries: Committed,
  fault: (finding: Finding) => void,
): FlushSeen[] {
  const seen: FlushSeen[] = []
  for (const line of linesOf(file, from, to)) {
    const text = line.toString('latin1', 0, line.length)
    const match = LINE.exec(text)
    const body = match === null ? undefined : decodeBase64(match[4] as string)
    const signature = match === null ? undefined : decodeBase64(match[5] as string)
    if (match === null || body === undefined || signature === undefined) {
      fault({ rule: 'R5', file: file.path, what: `a line is not a flush: ${text.slice(0, 60)}` })
      continue
    }
    const boot = match[1] as string
    const [no, first] = [Number(match[2]), Number(match[3])]
    const wrong = (what: string, index = first) => fault({ rule: 'R5', index, file: file.path, what })
    const key = keyOf(boot)
    const signed = Buffer.concat([Buffer.from(`paraph/flush/v1\n${boot}\n${no}\n`), body])
    if (key === undefined) fault({ rule: 'R5', file: file.path, what: `there is no key of boot ${boot}` })
    else if (!verify(null, signed, key, signature)) wrong(`the signature of flush ${no} of boot ${boot} is not one`)
    const count = compareBody(body, first, boot, entries, wrong)
    seen.push({ boot, no, first, count })
  }
  return seen
}

/** @returns how many entries the flush is of */
function compareBody(
  body: Buffer,
  first: number,
  boot: string,
  entries: Committed,
  wrong: (what: string, index?: number) => void,
): number {
  let count = 0
  for (let at = 0; at < body.length; count++) {
    const offers = body[at++] as number
    const end = at + offers * HASH_BYTES
    const writer = entries.bootOf(first + count)
    if ((offers !== 1 && offers !== 2) || end > body.length || writer === undefined) {
      wrong('the flush is not of entries of this log')
      return count
    }
    let offered = false
    for (; at < end; at += HASH_BYTES) offered ||= entries.isAt(first + count, body, at)
    if (!offered || writer !== boot) wrong('the entry is not one that its writer committed', first + count)
  }
  if (count === 0) wrong('the flush is empty')
  return count
}

/** Keys of boots, imported once each. */
export function keyring(keys: ReadonlyMap<string, string>): (boot: string) => KeyObject | undefined {
  const imported = new Map<string, KeyObject | undefined>()
  return (boot) => {
    const text = keys.get(boot)
    if (!imported.has(boot)) imported.set(boot, text === undefined ? undefined : importKey(text))
    return imported.get(boot)
  }
}

/** @param spki base64url SubjectPublicKeyInfo */
function importKey(spki: string): KeyObject | undefined {
  try {
    const key = createPublicKey({ key: Buffer.from(spki, 'base64url'), format: 'der', type: 'spki' })
    return key.asymmetricKeyType === 'ed25519' ? key : undefined
  } catch {
    return undefined
  }
}
