import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { GrowingTree, nodesOfTiles, parseTilePath, type Tile, tilePath, tileWidth } from '../../src/tlog/tiles.js'
import {
  consistencyProof,
  EMPTY_ROOT,
  type Hash,
  inclusionProof,
  leafHash,
  nodeHash,
  rootAt,
  verifyConsistency,
  verifyInclusion,
} from '../../src/tlog/tree.js'

/** The definition of RFC 6962 §2.1, word for word. */
function naiveRoot(leaves: readonly Hash[]): Hash {
  if (leaves.length === 0) return EMPTY_ROOT
  if (leaves.length === 1) return leaves[0] as Hash
  let k = 1
  while (k * 2 < leaves.length) k *= 2
  return nodeHash(naiveRoot(leaves.slice(0, k)), naiveRoot(leaves.slice(k)))
}

const leaves = Array.from({ length: 70_000 }, (_, i) => leafHash(Buffer.from(`entry ${i}`)))

/** Tiles of the first `size` leaves, appended in steps, each step by another process that knows the edge only. */
function grow(size: number, steps: readonly number[] = []) {
  const tiles = new Map<string, Tile>()
  let tree = new GrowingTree()
  let at = 0
  for (const stop of [...steps, size]) {
    for (; at < stop; at++) tree.append(leaves[at] as Hash)
    for (const tile of tree.takeTiles()) tiles.set(`${tile.level}/${tile.n}`, tile)
    const edge: Uint8Array[] = []
    for (let level = 0; 256 ** level <= at; level++) {
      const n = Math.floor(Math.floor(at / 256 ** level) / 256)
      const width = tileWidth(at, level, n)
      edge.push(width === 0 ? Buffer.alloc(0) : (tiles.get(`${level}/${n}`) as Tile).data)
    }
    tree = new GrowingTree(at, edge)
  }
  const read = nodesOfTiles(async (level, n) => (tiles.get(`${level}/${n}`) as Tile).data)
  return { tree, tiles, read }
}

test('roots are those of the known answers', () => {
  const inputs = ['', '00', '10', '2021', '3031', '40414243', '5051525354555657', '606162636465666768696a6b6c6d6e6f']
  const roots = [
    '6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d',
    'fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125',
    'aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77',
    'd37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7',
    '4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4',
    '76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef',
    'ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c',
    '5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328',
  ]
  const tree = new GrowingTree()
  assert.equal(Buffer.from(tree.root()).toString('hex'), Buffer.from(EMPTY_ROOT).toString('hex'))
  inputs.forEach((input, i) => {
    tree.append(leafHash(Buffer.from(input, 'hex')))
    assert.equal(Buffer.from(tree.root()).toString('hex'), roots[i])
  })
})

test('a tree of 70,000 has the tiles that tlog-tiles counts for it', () => {
  const { tiles, tree } = grow(70_000, [1, 255, 256, 257, 65_535, 65_536, 65_537])
  const byLevel = (level: number) => [...tiles.values()].filter((tile) => tile.level === level)
  assert.equal(byLevel(0).filter(({ data }) => data.length === 8192).length, 273)
  assert.equal(tiles.get('0/273')?.data.length, 112 * 32)
  assert.equal(tiles.get('1/0')?.data.length, 8192)
  assert.equal(tiles.get('1/1')?.data.length, 17 * 32)
  assert.equal(tiles.get('2/0')?.data.length, 32)
  assert.equal(tiles.size, 273 + 1 + 2 + 1)
  assert.deepEqual(tree.root(), naiveRoot(leaves))
  for (const { level, n, data } of tiles.values()) assert.equal(tileWidth(70_000, level, n) * 32, data.length)
})

test('in whatever steps a tree grows, root and tiles are the same', () => {
  fc.assert(
    fc.property(fc.nat(1200), fc.array(fc.nat(1200), { maxLength: 6 }), (size, steps) => {
      const inSteps = grow(
        size,
        steps.filter((step) => step <= size).sort((a, b) => a - b),
      )
      const atOnce = grow(size)
      assert.deepEqual(inSteps.tree.root(), naiveRoot(leaves.slice(0, size)))
      assert.deepEqual(new Map([...inSteps.tiles].sort()), new Map([...atOnce.tiles].sort()))
    }),
    { numRuns: 60 },
  )
})

test('an edge of another size is refused', () => {
  assert.throws(() => new GrowingTree(2, [leaves[0] as Hash]), RangeError)
  assert.throws(() => new GrowingTree(256, []), RangeError)
  assert.throws(() => new GrowingTree(1, [leaves[0] as Hash, leaves[1] as Hash]), RangeError)
})

test('every proof verifies, and no other index, size, hash, root or proof does', async () => {
  const { read } = grow(1000)
  const roots = Array.from({ length: 1001 }, (_, size) => naiveRoot(leaves.slice(0, size)))
  await fc.assert(
    fc.asyncProperty(fc.integer({ min: 1, max: 1000 }), fc.nat(), fc.nat(), async (size, a, b) => {
      const index = a % size
      const root = roots[size] as Hash
      assert.deepEqual(await rootAt(read, size), root)
      const proof = await inclusionProof(read, index, size)
      const leaf = leaves[index] as Hash
      assert.ok(verifyInclusion(index, size, leaf, proof, root))
      assert.ok(!verifyInclusion(index, size, leaves[size] as Hash, proof, root))
      assert.ok(!verifyInclusion(index, size, leaf, [...proof, leaf], root))
      assert.ok(size === 1 || !verifyInclusion(index, size, leaf, proof.slice(1), root))
      if (size > 1) assert.ok(!verifyInclusion((index + 1) % size, size, leaf, proof, root))
      const old = b % (size + 1)
      const links = await consistencyProof(read, old, size)
      const [was, now] = [
        { size: old, root: roots[old] as Hash },
        { size, root },
      ]
      assert.ok(verifyConsistency(was, now, links))
      assert.ok(!verifyConsistency(was, { size, root: leaf.map((x) => x ^ 1) }, links) || old === 0)
      if (old > 0) {
        assert.ok(!verifyConsistency({ size: old, root: leafHash(leaf) }, now, links))
        assert.ok(!verifyConsistency(was, now, [...links, leaf]))
        assert.ok(links.length === 0 || !verifyConsistency(was, now, links.slice(1)))
      }
    }),
    { numRuns: 300 },
  )
})

test('a tile has one address', () => {
  assert.equal(tilePath(0, 1234067, 256), 'tile/0/x001/x234/067')
  assert.equal(tilePath('entries', 0, 3), 'tile/entries/000.p/3')
  assert.deepEqual(parseTilePath('tile/1/x001/000.p/17'), { level: 1, n: 1000, width: 17 })
  for (const path of [
    'tile/0/1',
    'tile/00/001',
    'tile/0/x000/001',
    'tile/0/001.p/256',
    'tile/0/001.p/0',
    'tile/0/001.p/07',
    'tile/64/001',
    'tile/0/001/',
    'tile/0/../001',
    'checkpoint',
  ]) {
    assert.equal(parseTilePath(path), undefined, path)
  }
})
