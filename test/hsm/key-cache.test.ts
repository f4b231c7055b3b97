import assert from 'node:assert/strict'
import { describe, it } from 'node:test'
import fc from 'fast-check'
import { KeyCache, type Lease } from '../../src/hsm/key-cache.js'

describe('the cache of unwrapped keys', () => {
  it('forgets the least recently used first', () => {
    const destroyed: string[] = []
    const cache = new KeyCache<string>(2, (key) => destroyed.push(key))
    cache.put('a', 'A').release()
    cache.put('b', 'B').release()
    cache.acquire('a')?.release()
    cache.put('c', 'C').release()
    assert.deepEqual(destroyed, ['B'])
    assert.equal(cache.acquire('b'), undefined)
  })

  it('grows while more keys are in use than fit, and shrinks when they are released', () => {
    const destroyed: string[] = []
    const cache = new KeyCache<string>(1, (key) => destroyed.push(key))
    const leases = ['A', 'B', 'C'].map((key) => cache.put(key, key))
    assert.equal(cache.size, 3)
    assert.deepEqual(destroyed, [])
    for (const lease of leases) lease.release()
    assert.equal(cache.size, 1)
    assert.deepEqual(destroyed, ['A', 'B'])
  })

  it('keeps what it has when the same key comes twice', () => {
    const destroyed: string[] = []
    const cache = new KeyCache<string>(2, (key) => destroyed.push(key))
    const first = cache.put('a', 'A1')
    const second = cache.put('a', 'A2')
    assert.equal(second.key, 'A1')
    assert.deepEqual(destroyed, ['A2'])
    first.release()
    second.release()
  })

  it('destroys each key once, never in use, and all of them in the end', () => {
    const steps = fc.array(
      fc.record({ act: fc.constantFrom('use', 'release', 'clear'), name: fc.integer({ min: 0, max: 5 }) }),
      { maxLength: 80 },
    )
    fc.assert(
      fc.property(steps, fc.integer({ min: 0, max: 3 }), (all, capacity) => {
        const inUse = new Map<number, number>()
        const alive = new Set<number>()
        let made = 0
        const cache = new KeyCache<number>(capacity, (key) => {
          assert.ok(alive.delete(key), 'destroyed twice')
          assert.equal(inUse.get(key) ?? 0, 0, 'destroyed in use')
        })
        const leases: Lease<number>[] = []
        for (const { act, name } of all) {
          if (act === 'clear') cache.clear()
          else if (act === 'use') {
            let lease = cache.acquire(`${name}`)
            if (lease === undefined) {
              alive.add(++made)
              lease = cache.put(`${name}`, made)
            }
            assert.ok(alive.has(lease.key))
            inUse.set(lease.key, (inUse.get(lease.key) ?? 0) + 1)
            leases.push(lease)
          } else {
            const lease = leases.splice(name, 1)[0]
            if (lease !== undefined) {
              inUse.set(lease.key, (inUse.get(lease.key) ?? 0) - 1)
              lease.release()
              lease.release()
            }
          }
          const used = [...inUse.values()].filter((users) => users > 0).length
          assert.ok(cache.size <= Math.max(capacity, used))
        }
        for (const lease of leases) {
          inUse.set(lease.key, 0)
          lease.release()
        }
        cache.clear()
        assert.equal(alive.size, 0)
      }),
    )
  })
})
