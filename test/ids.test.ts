import assert from 'node:assert/strict'
import { test } from 'node:test'
import { isUuid, newId, timeOf } from '../src/ids.js'

test('ids are UUIDv7, unlike one another, and sort in the order they were made in', () => {
  const now = Date.UTC(2026, 10, 22)
  const ids = Array.from({ length: 1000 }, () => newId(now))
  assert.ok(ids.every(isUuid))
  assert.equal(new Set(ids).size, ids.length)
  assert.deepEqual([...ids].sort(), ids)
  for (const id of ids) assert.match(id, /^[0-9a-f]{8}-[0-9a-f]{4}-7[0-9a-f]{3}-[89ab]/)
  assert.equal(timeOf(ids[0] as string), now)
  assert.ok(newId(now + 1) > (ids[999] as string))
})
