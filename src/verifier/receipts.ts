import { decodeBase64 } from '../tlog/note.js'
import type { TrustPolicy } from '../tlog/policy.js'
import { parseProof } from '../tlog/proof-file.js'
import { TILE_WIDTH, tilePath, tileWidth } from '../tlog/tiles.js'
import { HASH_BYTES, leafHash, sameHash, verifyInclusion } from '../tlog/tree.js'
import type { Finding } from './finding.js'
import { type Leaf, readLeaf } from './leaf.js'
import { readWhole } from './pack.js'
import { judgeCheckpoint } from './scan-checkpoints.js'
import { readOpening } from './scan-openings.js'

/** What a receipt (docs/audit-format.md §8) proves by itself. */
export interface ProvenEntry {
  readonly origin: string
  readonly index: number
  readonly leaf: Leaf
  readonly leafHash: Uint8Array
  /** Of the checkpoint in it. */
  readonly size: number
  readonly root: Uint8Array
  /** Whether enough witnesses of the policy cosigned that. */
  readonly quorum: boolean
  /** Hidden values that it opens, by name. */
  readonly opened: ReadonlyMap<string, string>
}

/** A receipt that was given for a pack. */
export interface Receipt extends ProvenEntry {
  readonly file: string
}

/** R10, as far as receipts can be judged without the pack. */
export function readReceipts(
  texts: ReadonlyMap<string, string>,
  policy: TrustPolicy,
  origin: string,
  fault: (finding: Finding) => void,
): Receipt[] {
  return [...texts].flatMap(([file, text]) => {
    try {
      return [{ file, ...readReceipt(text, policy, origin) }]
    } catch (error) {
      if (!(error instanceof RangeError)) throw error
      fault({ rule: 'R10', file, what: error.message })
      return []
    }
  })
}

/**
 * Verifies a receipt by itself: a log key of the policy signed its checkpoint, the leaf is in that tree, and what it opens
 * fits the leaf.
 * @param origin of the log that it must be of; absent: of any that the policy trusts
 * @throws RangeError with what is wrong
 */
export function readReceipt(text: string, policy: TrustPolicy, origin?: string): ProvenEntry {
  const proof = parseProof(text)
  const named = origin ?? (proof.checkpoint.split('\n', 1)[0] as string)
  const checkpoint = judgeCheckpoint(proof.checkpoint, policy, named)
  if (typeof checkpoint === 'string') throw new RangeError(`the checkpoint of the receipt: ${checkpoint}`)
  const { leaf: encoded, openings } = extraOf(proof.extra)
  const bytes = decodeBase64(String(encoded))
  const one = bytes && readLeaf(bytes)
  if (bytes === undefined || one === undefined || !Array.isArray(openings)) {
    throw new RangeError('the receipt holds no leaf with its openings')
  }
  const hash = leafHash(bytes)
  const { size, root, quorum } = checkpoint
  if (!verifyInclusion(proof.index, size, hash, proof.hashes, root)) {
    throw new RangeError('the leaf of the receipt is not in the tree of its checkpoint')
  }
  const opened = new Map<string, string>()
  for (const opening of openings) {
    const fields = readOpening(opening, one)
    if (typeof fields === 'string') throw new RangeError(`the receipt: ${fields}`)
    for (const [name, value] of fields) opened.set(name, value)
  }
  return { origin: named, index: proof.index, leaf: one.leaf, leafHash: hash, size, root, quorum, opened }
}

/** @throws RangeError */
function extraOf(extra: Uint8Array = Buffer.alloc(0)): { leaf?: unknown; openings?: unknown } {
  try {
    const value = JSON.parse(Buffer.from(extra).toString('utf8')) as unknown
    return typeof value === 'object' && value !== null ? value : {}
  } catch {
    return {}
  }
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
