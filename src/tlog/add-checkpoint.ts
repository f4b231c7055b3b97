import { decodeBase64 } from './note.js'
import { HASH_BYTES, type Hash } from './tree.js'

/** What a log sends to a witness: C2SP tlog-witness, add-checkpoint. */
export interface AddCheckpoint {
  /** Size of the tree that the witness cosigned last, as far as the log knows; 0 for none. */
  readonly old: number
  /** RFC 6962 consistency from there to the checkpoint. */
  readonly proof: readonly Hash[]
  /** The signed note, verbatim. */
  readonly checkpoint: string
}

/** Of the answer 409, whose body is the size of the tree that the witness cosigned last. */
export const SIZE_TYPE = 'text/x.tlog.size'
const MOST_HASHES = 63

export function formatAddCheckpoint({ old, proof, checkpoint }: AddCheckpoint): string {
  const hashes = proof.map((hash) => `${Buffer.from(hash).toString('base64')}\n`)
  return `old ${old}\n${hashes.join('')}\n${checkpoint}`
}

/** @throws RangeError when it is not such a request; the note is not looked at */
export function parseAddCheckpoint(text: string): AddCheckpoint {
  const end = text.indexOf('\n\n')
  const [first, ...lines] = text.slice(0, Math.max(end, 0)).split('\n')
  const old = parseSize(/^old (.*)$/.exec(first ?? '')?.[1] ?? '')
  if (old === undefined || lines.length > MOST_HASHES) throw new RangeError('this asks for no cosignature')
  const proof = lines.map((line) => {
    const hash = decodeBase64(line)
    if (hash?.length !== HASH_BYTES) throw new RangeError('a line of the proof is not a hash')
    return hash
  })
  return { old, proof, checkpoint: text.slice(end + 2) }
}

/** A size in decimal without leading zeros; undefined for everything else. */
export function parseSize(text: string): number | undefined {
  return /^(0|[1-9][0-9]{0,15})$/.test(text) && Number.isSafeInteger(Number(text)) ? Number(text) : undefined
}
