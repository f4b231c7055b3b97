/** A log of invented leaves, for those who judge trees: signs whatever size it is asked for. */
import { generateKeyPairSync, hash, type KeyObject, sign } from 'node:crypto'
import { formatAddCheckpoint } from '../../src/tlog/add-checkpoint.js'
import { checkpointText, type NoteKey, noteKey, signatureLine } from '../../src/tlog/note.js'
import { consistencyProof, foldHashes, type Hash, rootAt } from '../../src/tlog/tree.js'

export class PaperLog {
  readonly origin: string
  readonly key: NoteKey
  readonly #privateKey: KeyObject
  /** From this entry on the leaves are others. */
  readonly #splitAt: number

  constructor(origin: string, like?: { log: PaperLog; until: number }) {
    this.origin = origin
    const pair = generateKeyPairSync('ed25519')
    const spki = pair.publicKey.export({ type: 'spki', format: 'der' })
    this.key = like?.log.key ?? noteKey(origin, 'ed25519', spki)
    this.#privateKey = like === undefined ? pair.privateKey : like.log.#privateKey
    this.#splitAt = like?.until ?? Number.POSITIVE_INFINITY
  }

  leaf(index: number): Hash {
    return hash('sha256', `${index >= this.#splitAt ? 'other' : 'entry'} ${index}`, 'buffer')
  }

  readonly nodes = async (level: number, index: number): Promise<Hash> =>
    foldHashes(Array.from({ length: 2 ** level }, (_, i) => this.leaf(index * 2 ** level + i)))

  async note(size: number, root?: Hash): Promise<string> {
    const text = checkpointText({ origin: this.origin, size, root: root ?? (await rootAt(this.nodes, size)) })
    return `${text}\n${signatureLine(this.key, sign(null, Buffer.from(text), this.#privateKey))}`
  }

  /** A request for a cosignature, as it should be. */
  async request(old: number, size: number): Promise<string> {
    const proof = await consistencyProof(this.nodes, Math.min(old, size), size)
    return formatAddCheckpoint({ old, proof, checkpoint: await this.note(size) })
  }
}
