import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { CscFactor } from '../../src/cli/client/csc-client.js'
import { factorsToPresent } from '../../src/cli/client/factor-expression.js'

const KINDS: Readonly<Record<string, CscFactor['kind']>> = { PIN: 'pin', OTP: 'code', OTP2: 'code', APPROVAL: 'other' }
const presented = (expression: string | undefined, ...ids: string[]) =>
  factorsToPresent(
    ids.map((id) => ({ id, kind: KINDS[id] ?? 'other' })),
    expression,
  )
    .map(({ id }) => id)
    .sort()
    .join(' ')

test('a client presents the least that the expression is content with', () => {
  const all = ['PIN', 'OTP', 'OTP2', 'APPROVAL']
  assert.equal(presented('(PIN AND OTP) OR APPROVAL', 'PIN', 'OTP', 'APPROVAL'), 'OTP PIN')
  assert.equal(presented('OTP OR APPROVAL', 'OTP', 'APPROVAL'), 'OTP')
  assert.equal(presented('PIN AND (OTP OR OTP2)', ...all), 'OTP PIN')
  assert.equal(presented('PIN OR OTP', ...all), 'OTP')
  assert.equal(presented('PIN XOR OTP', ...all), 'OTP')
  assert.equal(presented('PIN OR OTP AND OTP2', ...all), 'PIN')
})

test('what it cannot satisfy, or cannot read, stays whole', () => {
  for (const expression of ['APPROVAL', 'PIN AND APPROVAL', 'PIN AND', '(PIN', 'PIN OTP', ')', 'NOT APPROVAL']) {
    assert.equal(presented(expression, 'PIN', 'OTP', 'APPROVAL'), 'APPROVAL OTP PIN', expression)
  }
  assert.equal(presented(undefined, 'PIN', 'APPROVAL'), 'APPROVAL PIN')
  assert.equal(presented('', 'PIN', 'OTP'), 'OTP PIN')
})
