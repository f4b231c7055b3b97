import { hash } from 'node:crypto'

/**
 * The Merkle tree of RFC 6962 §2.1 over SHA-256. Pure: nothing here reads or writes. Sizes and indices are whole numbers
 * below 2^53.
 */
export type Hash = Uint8Array
export const HASH_BYTES = 32

/** MTH of the empty tree: SHA-256 of nothing. */
export const EMPTY_ROOT: Hash = hash('sha256', '', 'buffer')

const LEAF_PREFIX = Buffer.of(0)

/** SHA-256(0x00 || leaf). */
export function leafHash(leaf: Uint8Array): Buffer {
  return hash('sha256', Buffer.concat([LEAF_PREFIX, leaf]), 'buffer')
}

const pair = Buffer.alloc(1 + 2 * HASH_BYTES, 1)

/** SHA-256(0x01 || left || right). */
export function nodeHash(left: Hash, right: Hash): Buffer {
  pair.set(left, 1)
  pair.set(right, 1 + HASH_BYTES)
  return hash('sha256', pair, 'buffer')
}

/** MTH over subtrees that stand side by side, all of one size except the last, which may be smaller. */
export function foldHashes(hashes: readonly Hash[]): Hash {
  if (hashes.length === 0) return EMPTY_ROOT
  if (hashes.length === 1) return hashes[0] as Hash
  const k = splitPoint(hashes.length)
  return nodeHash(foldHashes(hashes.slice(0, k)), foldHashes(hashes.slice(k)))
}

/** Largest power of two below `n`, for n of at least 2. */
function splitPoint(n: number): number {
  let k = 1
  while (k * 2 < n) k *= 2
  return k
}

/** MTH(D[index * 2^level : (index + 1) * 2^level]): the root of one whole subtree. */
export type NodeReader = (level: number, index: number) => Promise<Hash>

/** MTH(D[from:to]), from whole subtrees. `from` must be where a subtree of that width begins. */
async function rangeRoot(read: NodeReader, from: number, to: number): Promise<Hash> {
  const width = to - from
  const level = Math.log2(width)
  if (Number.isInteger(level)) return read(level, from / width)
  const k = splitPoint(width)
  return nodeHash(await rangeRoot(read, from, from + k), await rangeRoot(read, from + k, to))
}

/** The root of the first `size` entries. */
export async function rootAt(read: NodeReader, size: number): Promise<Hash> {
  return size === 0 ? EMPTY_ROOT : rangeRoot(read, 0, size)
}

/** PATH(index, D[size]) of RFC 6962 §2.1.1, from the leaf's sibling up. */
export async function inclusionProof(read: NodeReader, index: number, size: number): Promise<Hash[]> {
  if (!(index >= 0 && index < size)) throw new RangeError('there is no such entry in a tree of that size')
  const proof: Hash[] = []
  let from = 0
  let to = size
  while (to - from > 1) {
    const middle = from + splitPoint(to - from)
    if (index < middle) {
      proof.unshift(await rangeRoot(read, middle, to))
      to = middle
    } else {
      proof.unshift(await rangeRoot(read, from, middle))
      from = middle
    }
  }
  return proof
}

/** PROOF(old, D[size]) of RFC 6962 §2.1.2; empty when the old tree is empty or the same. */
export async function consistencyProof(read: NodeReader, old: number, size: number): Promise<Hash[]> {
  if (!(old >= 0 && old <= size)) throw new RangeError('the older tree is not the smaller one')
  const proof: Hash[] = []
  if (old === 0 || old === size) return proof
  let from = 0
  let to = size
  let complete = true
  while (old !== to) {
    const middle = from + splitPoint(to - from)
    if (old <= middle) {
      proof.unshift(await rangeRoot(read, middle, to))
      to = middle
    } else {
      proof.unshift(await rangeRoot(read, from, middle))
      from = middle
      complete = false
    }
  }
  if (!complete) proof.unshift(await rangeRoot(read, from, to))
  return proof
}

/** RFC 9162 §2.1.3.2: whether the entry with this leaf hash is number `index` of the tree with that size and root. */
export function verifyInclusion(index: number, size: number, leaf: Hash, proof: readonly Hash[], root: Hash): boolean {
  if (!(Number.isSafeInteger(size) && index >= 0 && index < size)) return false
  let fn = BigInt(index)
  let sn = BigInt(size - 1)
  let r: Hash = leaf
  for (const p of proof) {
    if (sn === 0n) return false
    if ((fn & 1n) === 1n || fn === sn) {
      r = nodeHash(p, r)
      while ((fn & 1n) === 0n && fn !== 0n) {
        fn >>= 1n
        sn >>= 1n
      }
    } else {
      r = nodeHash(r, p)
    }
    fn >>= 1n
    sn >>= 1n
  }
  return sn === 0n && sameHash(r, root)
}

/** RFC 9162 §2.1.4.2: whether the newer tree begins with the whole of the older one. Empty proofs fit equal or empty trees. */
export function verifyConsistency(
  old: { readonly size: number; readonly root: Hash },
  now: { readonly size: number; readonly root: Hash },
  proof: readonly Hash[],
): boolean {
  if (!(Number.isSafeInteger(now.size) && old.size >= 0 && old.size <= now.size)) return false
  if (old.size === 0) return proof.length === 0 && sameHash(old.root, EMPTY_ROOT)
  if (old.size === now.size) return proof.length === 0 && sameHash(old.root, now.root)
  const path = Number.isInteger(Math.log2(old.size)) ? [old.root, ...proof] : [...proof]
  const first = path.shift()
  if (first === undefined) return false
  let fn = BigInt(old.size - 1)
  let sn = BigInt(now.size - 1)
  while ((fn & 1n) === 1n) {
    fn >>= 1n
    sn >>= 1n
  }
  let fr: Hash = first
  let sr: Hash = first
  for (const c of path) {
    if (sn === 0n) return false
    if ((fn & 1n) === 1n || fn === sn) {
      fr = nodeHash(c, fr)
      sr = nodeHash(c, sr)
      while ((fn & 1n) === 0n && fn !== 0n) {
        fn >>= 1n
        sn >>= 1n
      }
    } else {
      sr = nodeHash(sr, c)
    }
    fn >>= 1n
    sn >>= 1n
  }
  return sn === 0n && sameHash(fr, old.root) && sameHash(sr, now.root)
}

export function sameHash(a: Hash, b: Hash): boolean {
  return Buffer.compare(a, b) === 0
}
