import { createHash, hash, verify, X509Certificate } from 'node:crypto'
import { parseNote } from '../tlog/note.js'
import type { CheckpointSeen } from './acts.js'
import { type Der, readDer } from './der.js'
import type { Finding } from './finding.js'
import { readWhole } from './pack.js'

/** Clocks of two places may differ by so much. */
const TOLERANCE_MS = 5000
const LONGEST_RESPONSE = 2 ** 16

const OID = {
  signedData: '2a864886f70d010702',
  tstInfo: '2a864886f70d0109100104',
  messageDigest: '2a864886f70d010904',
  sha256: '608648016503040201',
} as const
const DIGESTS: Readonly<Record<string, string>> = {
  [OID.sha256]: 'sha256',
  '608648016503040202': 'sha384',
  '608648016503040203': 'sha512',
}

/** R7: no outside clock says of a checkpoint an earlier time than the entries below it. */
export class TimeStamps {
  readonly #root: string
  readonly #fault: (finding: Finding) => void
  readonly #waiting: Set<number>

  constructor(root: string, anchors: readonly number[], fault: (finding: Finding) => void) {
    this.#root = root
    this.#fault = fault
    this.#waiting = new Set(anchors)
  }

  /** @param latest time of the entries that it covers */
  checkpoint(checkpoint: CheckpointSeen, latest: number): void {
    this.cosigned(checkpoint, 'checkpoints.jsonl', latest)
    const { size, note } = checkpoint
    if (!this.#waiting.delete(size)) return
    const file = `anchors/${size}.tsr`
    const wrong = (what: string) => this.#fault({ rule: 'R7', file, what })
    let time: number
    try {
      time = readTimeStamp(readWhole(this.#root, file, LONGEST_RESPONSE), Buffer.from(parseNote(note).text))
    } catch (error) {
      if (error instanceof RangeError) {
        wrong(error.message)
        return
      }
      throw error
    }
    if (time + TOLERANCE_MS < latest) wrong('the time-stamp is older than the entries below it')
  }

  cosigned({ size, cosigned }: CheckpointSeen, file: string, latest: number): void {
    if (cosigned === undefined || cosigned + TOLERANCE_MS >= latest) return
    const what = `a cosignature of size ${size} is older than the entries below it`
    this.#fault({ rule: 'R7', file, what })
  }

  finish(): void {
    for (const size of this.#waiting) {
      this.#fault({ rule: 'R7', file: `anchors/${size}.tsr`, what: 'there is no checkpoint of this size' })
    }
  }
}

/**
 * The time in a granted RFC 3161 response over SHA-256 of `text`, signed by the certificate that it carries. Whose
 * certificate that is, and whether he is believed, is for the auditor to see.
 * @returns milliseconds
 * @throws RangeError
 */
export function readTimeStamp(response: Buffer, text: Uint8Array): number {
  try {
    const [status, token] = readDer(response).children() as [Der, Der]
    const granted = (status.children()[0] as Der).content
    if (granted.length !== 1 || (granted[0] as number) > 1) throw new RangeError('the time-stamp was not granted')
    const [type, wrapped] = token.children() as [Der, Der]
    if (type.hex() !== OID.signedData) throw new RangeError('the time-stamp is not signed')
    const parts = (wrapped.children()[0] as Der).children()
    const [infoType, infoBytes] = (parts[2] as Der).children() as [Der, Der]
    if (infoType.hex() !== OID.tstInfo) throw new RangeError('the time-stamp holds something else')
    const info = (infoBytes.children()[0] as Der).content
    const [, , imprint, , genTime] = readDer(info).children() as [Der, Der, Der, Der, Der]
    const [algorithm, imprinted] = imprint.children() as [Der, Der]
    const right =
      algorithm.children()[0]?.hex() === OID.sha256 && imprinted.content.equals(hash('sha256', text, 'buffer'))
    if (!right) throw new RangeError('the time-stamp is of another checkpoint')
    requireSigned(parts, info)
    return timeOf(genTime.content.toString('latin1', 0, 40))
  } catch (error) {
    if (error instanceof RangeError) throw error
    throw new RangeError('this is not a time-stamp', { cause: error })
  }
}

/** CMS (RFC 5652 §5.4): the one signer's attributes name the content, and a certificate confirms the signature. */
function requireSigned(parts: readonly Der[], content: Buffer): void {
  const signer = ((parts.at(-1) as Der).children()[0] as Der).children()
  const attributes = signer.find(({ tag }) => tag === 0xa0)
  const at = attributes === undefined ? -1 : signer.indexOf(attributes)
  const digest = DIGESTS[(signer[2] as Der).children()[0]?.hex() ?? '']
  const signature = signer[at + 2]?.content
  if (attributes === undefined || digest === undefined || signature === undefined) {
    throw new RangeError('the signature of the time-stamp is of no known form')
  }
  const named = attributes.children().find((each) => each.children()[0]?.hex() === OID.messageDigest)
  const value = named?.children()[1]?.children()[0]?.content
  if (value?.equals(createHash(digest).update(content).digest()) !== true) {
    throw new RangeError('the signature of the time-stamp is over something else')
  }
  // Signed is the set itself, not the tag it has here.
  const signed = Buffer.from(attributes.whole)
  signed[0] = 0x31
  const certificates = parts.find(({ tag }) => tag === 0xa0)?.children() ?? []
  const confirmed = certificates.some(({ whole }) =>
    verify(digest, signed, new X509Certificate(whole).publicKey, signature),
  )
  if (!confirmed) throw new RangeError('no certificate in the time-stamp confirms its signature')
}

function timeOf(text: string): number {
  const match = /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(\.\d{1,9})?Z$/.exec(text)
  if (match === null) throw new RangeError('the time of the time-stamp cannot be read')
  const [, year, month, day, hour, minute, second, fraction = ''] = match
  return Date.parse(`${year}-${month}-${day}T${hour}:${minute}:${second}${fraction.slice(0, 4)}Z`)
}
