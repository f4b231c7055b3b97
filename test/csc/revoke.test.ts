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

for (const api of APIS) {
  const path = `/csc/${api}/auth/revoke`

  test(`${path} revokes, with an empty answer`, async () => {
    const answer = await front.app.inject({
      method: 'POST',
      url: path,
      headers: { authorization: `Bearer ${front.token}`, 'content-type': 'application/json' },
      payload: { token: 'some token', token_type_hint: 'refresh_token', clientData: 'x' },
    })
    assert.equal(answer.statusCode, 204)
    assert.equal(answer.body, '')
    const asked = front.sam.asked('revoke').at(-1)
    assert.deepEqual([asked?.token, asked?.hint, asked?.bearer], ['some token', 'refresh_token', front.token])
  })

  test(`${path} takes null for no hint`, async () => {
    assert.equal((await front.post(path, { token: 't', token_type_hint: null })).status, 204)
    assert.equal(front.sam.asked('revoke').at(-1)?.hint, undefined)
  })

  refuses(() => front, path, [
    [{}, 'Missing (or invalid type) string parameter token'],
    [{ token: 5 }, 'Missing (or invalid type) string parameter token'],
    [{ token: null }, 'Missing (or invalid type) string parameter token'],
    [{ token: 't', token_type_hint: 'other' }, 'Invalid string parameter token_type_hint'],
    [{ token: 't', token_type_hint: 5 }, 'Invalid string parameter token_type_hint'],
    [{ token: 't', clientData: 5 }, 'Invalid parameter clientData'],
    [{ token_type_hint: 'other' }, 'Missing (or invalid type) string parameter token'],
  ])

  test(`${path}: an unknown token`, async () => {
    front.sam.on('revoke', () => {
      throw new ServiceError('revoke_token_unknown')
    })
    const { status, body } = await front.post(path, { token: 't' })
    assert.deepEqual(
      [status, body],
      [400, { error: 'invalid_request', error_description: 'Invalid string parameter token' }],
    )
    front.sam.heal()
  })
}
