import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { ServiceError } from '../../src/errors.js'
import { type TestFront, testFront } from '../front/helpers.js'
import { APIS, refuses } from './refusals.js'

let front: TestFront
before(async () => {
  front = await testFront()
})
after(() => front.close())

const CHALLENGE = '/csc/v2/credentials/getChallenge'
const last = () => {
  const {
    origin: _origin,
    bearer: _bearer,
    ...asked
  } = front.sam.asked('sendCode').at(-1) ?? { origin: {}, bearer: '' }
  return asked
}

test('a code is asked for by the object of the credential, and is not in the answer', async () => {
  for (const [authObjectID, kind] of [
    ['SMS', 'sms'],
    ['EMAIL', 'email'],
  ]) {
    const { status, body } = await front.post(CHALLENGE, { credentialID: 'x', authObjectID })
    assert.deepEqual([status, body], [204, { text: '' }])
    assert.deepEqual(last(), { credentialId: 'x', kind })
  }
  for (const api of APIS) {
    const { status } = await front.post(`/csc/${api}/credentials/sendOTP`, { credentialID: 'y', clientData: 'z' })
    assert.equal(status, 204)
    assert.deepEqual(last(), { credentialId: 'y' })
  }
})

test('what the worker refuses is told in the words of the version', async () => {
  const rows = [
    [new ServiceError('factor_unknown'), 'Invalid parameter credentialID', 'Invalid parameter authObjectID'],
    [new ServiceError('code_locked'), 'OTP locked', 'Credential locked'],
    [new ServiceError('credential_unknown'), 'Invalid parameter credentialID', 'Invalid parameter credentialID'],
  ] as const
  for (const [error, v1, v2] of rows) {
    front.sam.on('sendCode', () => {
      throw error
    })
    const old = await front.post('/csc/v1/credentials/sendOTP', { credentialID: 'x' })
    const current = await front.post(CHALLENGE, { credentialID: 'x', authObjectID: 'SMS' })
    assert.deepEqual(
      [old.body, current.body],
      [v1, v2].map((text) => ({ error: 'invalid_request', error_description: text })),
    )
  }
  front.sam.on('sendCode', () => {
    throw new ServiceError('too_many_codes', { retryAfter: 27 })
  })
  const { status, headers, body } = await front.post(CHALLENGE, { credentialID: 'x', authObjectID: 'SMS' })
  assert.deepEqual([status, headers['retry-after'], body.error], [429, '27', 'too_many_requests'])
  front.sam.heal()
})

test('v1 sendOTP has a text of its own for a malformed header, with the typo of the specification', async () => {
  const answer = await front.post('/csc/v1/credentials/sendOTP', { credentialID: 'x' }, null)
  assert.deepEqual(
    [answer.status, answer.body],
    [400, { error: 'invalid_request', error_description: 'Malformed authroization header.' }],
  )
  const v2 = await front.post('/csc/v2/credentials/sendOTP', { credentialID: 'x' }, null)
  assert.equal(v2.body.error_description, 'Malformed authorization header.')
})

refuses(() => front, CHALLENGE, [
  [{}, 'Missing (or invalid type) string parameter credentialID'],
  [{ credentialID: 'x' }, 'Missing (or invalid type) string parameter authObjectID'],
  [{ credentialID: 'x', authObjectID: 1 }, 'Missing (or invalid type) string parameter authObjectID'],
  [{ credentialID: 'x', authObjectID: 'OTP' }, 'Invalid parameter authObjectID'],
  [{ credentialID: 'x', authObjectID: 'PIN' }, 'Invalid parameter authObjectID'],
  [{ credentialID: 'x', authObjectID: '' }, 'Invalid parameter authObjectID'],
])
for (const api of APIS) {
  refuses(() => front, `/csc/${api}/credentials/sendOTP`, [
    [{}, 'Missing (or invalid type) string parameter credentialID'],
    [{ credentialID: null }, 'Missing (or invalid type) string parameter credentialID'],
    [{ credentialID: 'x', clientData: 1 }, 'Invalid parameter clientData'],
  ])
}
