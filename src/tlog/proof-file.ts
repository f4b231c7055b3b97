import { decodeBase64 } from './note.js'
import { HASH_BYTES, type Hash } from './tree.js'

/** A proof that one entry is in a signed tree, as C2SP tlog-proof writes it (`.tlog-proof`). */
export interface TlogProof {
  /** Opaque, and not covered by any signature. */
  readonly extra?: Uint8Array
  readonly index: number
  readonly hashes: readonly Hash[]
  /** The signed note, verbatim. */
  readonly checkpoint: string
}

const HEADER = 'c2sp.org/tlog-proof@v1'
const MOST_HASHES = 63

export function formatProof({ extra, index, hashes, checkpoint }: TlogProof): string {
  const base64 = (bytes: Uint8Array) => Buffer.from(bytes).toString('base64')
  const lines = [
    HEADER,
    ...(extra === undefined ? [] : [`extra ${base64(extra)}`]),
    `index ${index}`,
    ...hashes.map(base64),
    '',
  ]
  return `${lines.join('\n')}\n${checkpoint}`
}

/** @throws RangeError when it is not a proof; only canonical base64 is taken */
export function parseProof(text: string): TlogProof {
  const end = text.indexOf('\n\n')
  const [header, ...lines] = text.slice(0, Math.max(end, 0)).split('\n')
  if (header !== HEADER) throw new RangeError('this is not a tlog proof')
  let extra: Uint8Array | undefined
  if (lines[0]?.startsWith('extra ')) {
    extra = decodeBase64((lines.shift() as string).slice('extra '.length))
    if (extra === undefined) throw new RangeError('the extra line of this proof is not base64')
  }
  const index = /^index (0|[1-9][0-9]{0,15})$/.exec(lines.shift() ?? '')?.[1]
  if (index === undefined || !Number.isSafeInteger(Number(index))) throw new RangeError('this proof has no index')
  if (lines.length > MOST_HASHES) throw new RangeError('this proof has too many hashes')
  const hashes = lines.map((line) => {
    const bytes = decodeBase64(line)
    if (bytes?.length !== HASH_BYTES) throw new RangeError('a line of this proof is not a hash')
    return bytes
  })
  return { ...(extra === undefined ? {} : { extra }), index: Number(index), hashes, checkpoint: text.slice(end + 2) }
}
