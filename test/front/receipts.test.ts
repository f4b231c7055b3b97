/** What a front makes of the stored tree, and of those who wait for it to grow. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import pino from 'pino'
import type { StoredCheckpoint } from '../../src/audit/stored-tree.js'
import { watchCheckpoints } from '../../src/front/audit/checkpoint-watch.js'
import { waitAsPreferred } from '../../src/front/audit/prefer.js'
import { StoredProofs } from '../../src/front/audit/stored-proofs.js'
import { GrowingTree } from '../../src/tlog/tiles.js'
import { type Hash, leafHash, verifyInclusion } from '../../src/tlog/tree.js'

const logger = pino({ level: 'silent' })
const leafOf = (index: number): Hash => leafHash(createHash('sha256').update(`${index}`).digest())

/** A stored tree that grows, and counts what is read of it. */
class Stored {
  readonly tree = new GrowingTree()
  readonly tiles = new Map<string, Uint8Array>()
  readonly read: string[] = []
  /** Throws instead of answering. */
  down = false
  #checkpoint: StoredCheckpoint | undefined

  grow(size: number): void {
    while (this.tree.size < size) this.tree.append(leafOf(this.tree.size))
    for (const { level, n, data } of this.tree.takeTiles()) this.tiles.set(`${level}/${n}`, data)
    this.#checkpoint = { size, root: this.tree.root(), note: `note of ${size}` }
  }

  checkpoint = async () => {
    this.read.push('checkpoint')
    if (this.down) throw new Error('down')
    return this.#checkpoint
  }

  tile = async (level: number, n: number) => {
    this.read.push(`${level}/${n}`)
    if (this.down) throw new Error('down')
    return this.tiles.get(`${level}/${n}`) ?? Buffer.alloc(0)
  }
}

test('proofs are those of the newest checkpoint, and a tile is read once, and again when it has grown', async () => {
  const stored = new Stored()
  const proofs = new StoredProofs(stored)
  assert.equal(await proofs.of(0, leafOf(0)), undefined)
  for (const size of [1, 5, 256, 300, 700, 66_000]) {
    stored.grow(size)
    for (const index of [0, size >> 1, size - 1]) {
      const proof = await proofs.of(index, leafOf(index))
      assert.equal(proof?.checkpoint, `note of ${size}`)
      assert.ok(verifyInclusion(index, size, leafOf(index), proof.hashes, stored.tree.root()))
    }
    assert.equal(await proofs.of(size, leafOf(size)), undefined, 'no checkpoint covers it')
  }
  stored.read.length = 0
  await Promise.all(Array.from({ length: 40 }, (_, i) => proofs.of(65_900 + i, leafOf(65_900 + i))))
  const tiles = stored.read.filter((what) => what !== 'checkpoint')
  assert.equal(new Set(tiles).size, tiles.length, `each tile once: ${tiles}`)
})

test('a stored tree that does not have the entry proves nothing, and is read anew', async () => {
  const stored = new Stored()
  stored.grow(300)
  const proofs = new StoredProofs(stored)
  await assert.rejects(proofs.of(7, leafOf(8)), { code: 'unavailable' })
  const whole = stored.tiles.get('0/0') as Uint8Array
  const spoiled = Buffer.from(whole)
  spoiled[32 * 6] = (spoiled[32 * 6] as number) ^ 1
  for (const wrong of [spoiled, whole.subarray(0, 32 * 100), Buffer.alloc(0)]) {
    stored.tiles.set('0/0', wrong)
    await assert.rejects(proofs.of(7, leafOf(7)), { code: 'unavailable' })
  }
  stored.tiles.set('0/0', whole)
  stored.down = true
  await assert.rejects(proofs.of(7, leafOf(7)), /down/)
  stored.down = false
  assert.ok(await proofs.of(7, leafOf(7)))
})

/** Never hears of anything, and finds out by looking. */
function watched(stored: Stored) {
  return watchCheckpoints({ url: 'postgres://127.0.0.1:1/none', db: stored, logger })
}

test('those who wait are told by one look for all, when the tree has their entry', async () => {
  const stored = new Stored()
  stored.grow(3)
  const watch = watched(stored)
  const waiting = Array.from({ length: 40 }, (_, i) => watch.covers(i, 10_000))
  stored.grow(20)
  const early = await Promise.all(waiting.slice(0, 20))
  assert.ok(early.every((covered) => covered))
  assert.ok(stored.read.length < 20, `${stored.read.length} looks`)
  stored.grow(40)
  assert.ok((await Promise.all(waiting.slice(20))).every((covered) => covered))
  assert.equal(await watch.covers(39, 0), true)
  assert.equal(await watch.covers(40, 0), false)
  assert.equal(await watch.covers(40, 1), false)
  await watch.close()
})

test('a fault, an end and a crowd end the wait', async () => {
  const stored = new Stored()
  const watch = watched(stored)
  stored.down = true
  assert.deepEqual(await Promise.all([watch.covers(0, 10_000), watch.covers(1, 10_000)]), [false, false])
  stored.down = false
  stored.grow(2)
  assert.equal(await watch.covers(1, 10_000), true, 'and the next one waits again')
  const many = Array.from({ length: 1000 }, () => watch.covers(5, 10_000))
  assert.equal(await watch.covers(5, 10_000), false)
  await watch.close()
  assert.ok((await Promise.all(many)).every((covered) => !covered))
  assert.equal(await watch.covers(5, 10_000), false)
})

test('of a Prefer header only the wait counts, and ten seconds at most', async () => {
  const asked: number[] = []
  const checkpoints = {
    covers: async (_index: number, ms: number) => {
      asked.push(ms)
      return ms < 10_000
    },
  }
  const waits = { 'wait=2': 2, 'respond-async, wait=3': 3, 'WAIT = "4"; x=y': 4, 'wait=11': 10, 'wait=999999999': 10 }
  for (const [prefer, seconds] of Object.entries(waits)) {
    const told = await waitAsPreferred(checkpoints, prefer, 7)
    assert.deepEqual(
      [asked.pop(), told],
      [seconds * 1000, seconds < 10 ? { 'preference-applied': 'wait' } : {}],
      prefer,
    )
  }
  for (const prefer of [
    undefined,
    '',
    'wait',
    'wait=',
    'wait=0',
    'wait=-1',
    'wait=1e3',
    'awaited=3',
    'wait=9999999999',
  ]) {
    assert.deepEqual([await waitAsPreferred(checkpoints, prefer, 7), asked.pop()], [{}, undefined], prefer)
  }
  assert.deepEqual(await waitAsPreferred(undefined, 'wait=2', 7), {})
})
