import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import { claimFolders, type Folders, readInstances } from '../../src/cli/instance.js'

const A = { instance: '0197-a', demo: true, device: 'memory' } as const
const B = { instance: '0197-b', demo: true, device: 'softhsm' } as const

function folders(t: TestContext): Folders {
  const parent = mkdtempSync(join(tmpdir(), 'paraph-instance-'))
  t.after(() => rmSync(parent, { recursive: true }))
  return { data: join(parent, 'var'), keys: join(parent, 'keys') }
}

test('new folders are marked once and keep what they began with', (t) => {
  const both = folders(t)
  assert.equal(readInstances(both), undefined)
  assert.deepEqual(claimFolders(both, A), A)
  assert.deepEqual(claimFolders(both, B), A)
  assert.deepEqual(readInstances(both), A)
})

test('folders of two instances are refused, with both values', (t) => {
  const one = folders(t)
  const other = folders(t)
  claimFolders(one, A)
  claimFolders(other, B)
  assert.throws(
    () => claimFolders({ data: one.data, keys: other.keys }, A),
    /instance 0197-a.*instance 0197-b.*Name, or restore/,
  )
})

test('keys without their data, and data without their keys, are refused', (t) => {
  const both = folders(t)
  claimFolders(both, A)
  writeFileSync(join(both.keys, 'pin'), '1')
  rmSync(both.data, { recursive: true })
  assert.throws(() => claimFolders(both, B), /instance none.*instance 0197-a/)

  const others = folders(t)
  claimFolders(others, A)
  rmSync(others.keys, { recursive: true })
  assert.throws(() => claimFolders(others, B), /instance 0197-a.*instance none/)
})

test('a start that ended between the two marks is taken up again', (t) => {
  const both = folders(t)
  mkdirSync(both.keys)
  writeFileSync(join(both.keys, 'README.md'), '')
  writeFileSync(join(both.keys, 'instance.json'), JSON.stringify(A))
  assert.deepEqual(claimFolders(both, B), A)
  assert.deepEqual(readInstances(both), A)
})
