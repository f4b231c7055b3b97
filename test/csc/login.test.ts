import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { ServiceError } from '../../src/errors.js'
import { CONFIG, type TestFront, testFront } from '../front/helpers.js'
import { APIS, MALFORMED } from './refusals.js'

let front: TestFront
before(async () => {
  front = await testFront()
})
after(() => front.close())

const basic = (text: string | Buffer) => `Basic ${Buffer.from(text).toString('base64')}`

async function login(api: string, headers: Record<string, string>, body?: unknown) {
  const payload = typeof body === 'string' ? body : JSON.stringify(body)
  const answer = await front.app.inject({
    method: 'POST',
    url: `/csc/${api}/auth/login`,
    headers: { ...(body === undefined ? {} : { 'content-type': 'application/json' }), ...headers },
    ...(body === undefined ? {} : { payload }),
  })
  return { status: answer.statusCode, body: answer.json() as unknown, headers: answer.headers }
}

for (const api of APIS) {
  test(`${api}: login and password open a session`, async () => {
    const { status, body } = await login(api, { authorization: basic('żaba@example.test:pa:ss') }, {})
    assert.equal(status, 200)
    assert.deepEqual(body, { access_token: 'access', expires_in: 180 })
    const asked = front.sam.asked('login').at(-1)
    assert.equal(asked?.login, 'żaba@example.test')
    assert.equal(asked?.password, 'pa:ss')
    assert.equal(asked?.rememberMe, false)
    assert.equal(asked?.origin.api, api)
    assert.equal(asked?.origin.address, '127.0.0.1')
  })

  test(`${api}: the body may be empty, and the scheme is a word of any case`, async () => {
    const { status } = await login(api, { authorization: basic('a:b').replace('Basic', 'bASIC') })
    assert.equal(status, 200)
  })

  test(`${api}: rememberMe gives a refresh token`, async () => {
    const { body } = await login(api, { authorization: basic('a:b') }, { rememberMe: true })
    assert.deepEqual(body, { access_token: 'access', refresh_token: 'refresh', expires_in: 180 })
  })

  test(`${api}: a refresh token needs no header`, async () => {
    const { body } = await login(api, {}, { refresh_token: 'old' })
    assert.deepEqual(body, { access_token: 'access2', refresh_token: 'refresh2', expires_in: 180 })
    assert.equal(front.sam.asked('refresh').at(-1)?.refreshToken, 'old')
  })

  test(`${api}: members given as null are absent`, async () => {
    const body = { refresh_token: null, rememberMe: null, clientData: null }
    assert.equal((await login(api, { authorization: basic('a:b') }, body)).status, 200)
  })

  const malformed = 'Malformed authentication parameter.'
  const undecodable = 'Malformed username-password.'
  const rows: [string, Record<string, string>, unknown, number, string][] = [
    ['no header and no refresh token', {}, {}, 401, malformed],
    ['another scheme', { authorization: 'Bearer abc' }, {}, 401, malformed],
    ['no base64', { authorization: 'Basic ***' }, {}, 401, malformed],
    ['half base64', { authorization: 'Basic abcde' }, {}, 401, malformed],
    ['nothing after Basic', { authorization: 'Basic ' }, {}, 401, malformed],
    ['no colon', { authorization: basic('nocolon') }, {}, 400, undecodable],
    ['no UTF-8', { authorization: basic(Buffer.from([0xff, 0x3a, 0x61])) }, {}, 400, undecodable],
    ['a control character', { authorization: basic('a:b\u0000c') }, {}, 400, undecodable],
    [
      'a refresh token of another type',
      { authorization: basic('a:b') },
      { refresh_token: 1 },
      400,
      'Invalid string parameter: refresh_token',
    ],
    [
      'rememberMe of another type',
      { authorization: basic('a:b') },
      { rememberMe: 'true' },
      400,
      'Invalid parameter rememberMe',
    ],
    [
      'clientData of another type',
      { authorization: basic('a:b') },
      { clientData: [] },
      400,
      'Invalid parameter clientData',
    ],
    [
      'clientData too long',
      { authorization: basic('a:b') },
      { clientData: 'x'.repeat(4097) },
      400,
      'Invalid parameter clientData',
    ],
    ['a body that is no object', { authorization: basic('a:b') }, [], 400, MALFORMED],
    ['a body that is no JSON', { authorization: basic('a:b') }, '{', 400, MALFORMED],
    ['types before the header', {}, { refresh_token: 1 }, 400, 'Invalid string parameter: refresh_token'],
  ]
  for (const [what, headers, body, status, description] of rows) {
    test(`${api}: refuses ${what}`, async () => {
      const before = front.sam.requests.length
      const answer = await login(api, headers, body)
      assert.deepEqual(
        [answer.status, answer.body],
        [status, { error: 'invalid_request', error_description: description }],
      )
      assert.equal(front.sam.requests.length, before)
      if (status === 401) assert.match(String(answer.headers['www-authenticate']), /^Basic /)
    })
  }

  test(`${api}: wrong credentials and unknown refresh tokens`, async () => {
    front.sam.on('login', () => {
      throw new ServiceError('login_failed')
    })
    front.sam.on('refresh', () => {
      throw new ServiceError('refresh_token_unknown')
    })
    const failed = await login(api, { authorization: basic('a:b') }, {})
    assert.deepEqual(
      [failed.status, failed.body],
      [400, { error: 'authentication_error', error_description: 'An error occurred during authentication process' }],
    )
    const unknown = await login(api, {}, { refresh_token: 'x' })
    assert.deepEqual(
      [unknown.status, unknown.body],
      [400, { error: 'invalid_request', error_description: 'Invalid refresh_token' }],
    )
    front.sam.heal()
  })
}

test('what the worker refused is not logged a second time, what never reached it is', async () => {
  front.entries.list.length = 0
  front.sam.on('login', () => {
    throw new ServiceError('login_failed')
  })
  await login('v1', { authorization: basic('a:b') }, {})
  assert.equal(front.entries.list.length, 0)
  // Another reason than those refused above, so that it is the first of its kind in this minute.
  await login('v2', { authorization: basic('a:b') }, 'x'.repeat(300 * 1024))
  assert.deepEqual(
    front.entries.of('access.refused').map(({ why, facts, actor }) => ({ why, facts, actor })),
    [
      {
        why: 'body_too_large',
        facts: { endpoint: '/csc/v2/auth/login', count: 1, status: 413 },
        actor: { kind: 'anonymous' },
      },
    ],
  )
})

test('where password login is off, the method does not exist', async () => {
  const other = await testFront({ config: { ...CONFIG, basicLogin: false } })
  try {
    for (const api of APIS) {
      const { status, body } = await other.post(`/csc/${api}/auth/login`, { refresh_token: 'x' }, null)
      assert.equal(status, 501)
      assert.equal(body.error, 'not_implemented_method')
    }
    assert.equal(other.sam.requests.length, 0)
  } finally {
    await other.close()
  }
})
