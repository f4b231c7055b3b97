import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import { leakFinder, parseSecrets } from './leaks.js'

test('a secret is found wherever it stands, and its kind is told', () => {
  const find = leakFinder(parseSecrets('password\tcorrect horse\nPIN\t12345678\nnameless-secret\n\n'))
  assert.deepEqual(find('{"msg":"wrong password: correct horse"}'), ['password'])
  assert.deepEqual(find('PIN=12345678'), ['PIN'])
  assert.deepEqual(find('12345678'), ['PIN'])
  assert.deepEqual(find('x nameless-secret and correct horse'), ['secret', 'password'])
  assert.deepEqual(find('nothing of that kind: correct hors'), [])
})

test('bytes are found in hex, base64 and base64url, however the secret was given', () => {
  const bytes = randomBytes(32)
  bytes.set([0xfb, 0xff, 0xfe])
  for (const given of ['hex', 'base64', 'base64url'] as const) {
    const find = leakFinder(parseSecrets(`digest\t${bytes.toString(given)}`))
    for (const printed of ['hex', 'base64', 'base64url'] as const) {
      assert.deepEqual(find(`hash ${bytes.toString(printed)}.`), ['digest'], `given as ${given}, printed as ${printed}`)
    }
    assert.deepEqual(find(bytes.toString('hex').toUpperCase()), ['digest'])
    assert.deepEqual(find(`?hash=${encodeURIComponent(bytes.toString('base64'))}`), ['digest'])
    assert.deepEqual(find(randomBytes(32).toString('hex')), [])
  }
})

test('a code inside a longer number is chance, and what is too short stands everywhere', () => {
  const find = leakFinder(parseSecrets('code\t76312345\npassword\ttest'))
  assert.deepEqual(find('{"time":1763123456789,"took":0.76312345}'), [])
  assert.deepEqual(find('a test'), [])
  assert.deepEqual(find('{"code":"76312345"}'), ['code'])
})
