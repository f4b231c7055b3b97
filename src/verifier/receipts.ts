import { decodeBase64 } from '../tlog/note.js'
import type { TrustPolicy } from '../tlog/policy.js'
import { parseProof, type TlogProof } from '../tlog/proof-file.js'
import { TILE_WIDTH, tilePath, tileWidth } from '../tlog/tiles.js'
import { HASH_BYTES, leafHash, sameHash, verifyInclusion } from '../tlog/tree.js'
import type { Finding } from './finding.js'
import { parseLeaf } from './leaf.js'
import { readWhole } from './pack.js'
import { judgeCheckpoint } from './scan-checkpoints.js'
import { openingFault } from './scan-openings.js'

/** A receipt (docs/audit-format.md §8) that is right by itself. */
export interface Receipt {
  readonly file: string
  readonly index: number
  readonly leafHash: Uint8Array
  /** Of the checkpoint in it. */
  readonly size: number
  readonly root: Uint8Array
}

/** R10, as far as receipts can be judged without the pack: signature, inclusion, openings. */
export function readReceipts(
  texts: ReadonlyMap<string, string>,
  policy: TrustPolicy,
  origin: string,
  fault: (finding: Finding) => void,
): Receipt[] {
  return [...texts].flatMap(([file, text]) => {
    try {
      return [readReceipt(file, parseProof(text), policy, origin)]
    } catch (error) {
      if (!(error instanceof RangeError) && !(error instanceof SyntaxError)) throw error
      fault({ rule: 'R10', file, what: error.message })
      return []
    }
  })
}

/** @throws RangeError, SyntaxError */
function readReceipt(file: string, proof: TlogProof, policy: TrustPolicy, origin: string): Receipt {
  const checkpoint = judgeCheckpoint(proof.checkpoint, policy, origin)
  if (typeof checkpoint === 'string') throw new RangeError(`the checkpoint of the receipt: ${checkpoint}`)
  const { leaf: text, openings } = JSON.parse(Buffer.from(proof.extra ?? []).toString('utf8'))
  const bytes = decodeBase64(String(text))
  const leaf = bytes && parseLeaf(bytes.toString('latin1', 0, bytes.length))
  if (bytes === undefined || leaf === undefined || !Array.isArray(openings)) {
    throw new RangeError('the receipt holds no leaf with its openings')
  }
  const hash = leafHash(bytes)
  const { size, root } = checkpoint
  if (!verifyInclusion(proof.index, size, hash, proof.hashes, root)) {
    throw new RangeError('the leaf of the receipt is not in the tree of its checkpoint')
  }
  for (const opening of openings) {
    const wrong = openingFault(opening, leaf, bytes)
    if (wrong !== undefined) throw new RangeError(`the receipt: ${wrong}`)
  }
  return { file, index: proof.index, leafHash: hash, size, root }
}

/**
 * R10 for the rest: the receipt is of this tree.
 * @param treeRoot root of the pack's tree at the receipt's size, when it reaches so far
 * @returns what cannot be judged
 */
export function judgeReceipt(
  { file, index, leafHash, root }: Receipt,
  pack: { readonly root: string; readonly size: number },
  treeRoot: Uint8Array | undefined,
  fault: (finding: Finding) => void,
): Finding | undefined {
  if (index < pack.size) {
    const n = Math.floor(index / TILE_WIDTH)
    const tile = readWhole(pack.root, tilePath(0, n, tileWidth(pack.size, 0, n)), TILE_WIDTH * HASH_BYTES)
    const at = (index % TILE_WIDTH) * HASH_BYTES
    if (!sameHash(tile.subarray(at, at + HASH_BYTES), leafHash)) {
      fault({ rule: 'R10', index, file, what: 'the log holds another entry than the receipt' })
      return undefined
    }
  }
  if (treeRoot === undefined) return { rule: 'R10', file, what: 'the receipt is of a later time than the pack' }
  if (!sameHash(treeRoot, root)) fault({ rule: 'R10', file, what: 'the checkpoint of the receipt is of another tree' })
  return undefined
}
