import assert from 'node:assert/strict'
import { test } from 'node:test'
import { Turns } from '../src/lane.js'

test('work on one thing takes turns, whatever becomes of the work before; on another it does not wait', async () => {
  const turns = new Turns()
  const done: string[] = []
  let open = () => {}
  const gate = new Promise<void>((resolve) => {
    open = resolve
  })
  const first = turns.run('a', async () => {
    await gate
    done.push('first')
    throw new Error('failed')
  })
  const second = turns.run('a', async () => done.push('second'))
  await turns.run('b', async () => done.push('other'))
  open()
  await assert.rejects(first, /failed/)
  await second
  await turns.run('a', async () => done.push('third'))
  assert.deepEqual(done, ['other', 'first', 'second', 'third'])
})
