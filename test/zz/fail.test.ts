import assert from 'node:assert/strict'
import { appendFileSync } from 'node:fs'
import { describe, it, test } from 'node:test'
appendFileSync(process.env['PARAPH_TEST_SECRETS'] as string, 'PIN\t83746592\n')
describe('group', () => {
  it('fails', () => { assert.deepEqual({ a: 1 }, { a: 2 }) })
  it('passes', () => {})
})
test('outer', async (t) => { await t.test('inner', () => { throw new Error('inner fails', { cause: new Error('why') }) }) })
test('skips', { skip: 'because' }, () => {})
process.stdout.write('pin is 83746592 here\n')
