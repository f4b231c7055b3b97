import assert from 'node:assert/strict'
import { createServer } from 'node:net'
import { describe, test } from 'node:test'
import { CscClient } from '../../src/cli/client/csc-client.js'
import { CscError } from '../../src/cli/client/csc-error.js'
import { digestOf } from '../../src/pki/algorithm.js'
import { LOGIN, PASSWORD, refused, startService } from './sign-server.js'

const clock = { now: () => Date.now() }
const digests = [digestOf('sha-256', Buffer.from('content'))]
const codes = new Map([['OTP', '12345678']])

/** What a call that must fail failed with. */
async function failure(call: Promise<unknown>): Promise<CscError> {
  const error = await call.then(
    () => assert.fail('it succeeded'),
    (reason: unknown) => reason,
  )
  assert.ok(error instanceof CscError, String(error))
  return error
}

describe('CscClient', () => {
  test('goes through login, list, info, authorize, signHash and revoke', async (t) => {
    const service = await startService(t, clock)
    const { id, leaf } = await service.addCredential('p-256')
    for (const address of [service.url, `${service.url}/`, `${service.url}/csc/v2`, `${service.url}/csc/v2/`]) {
      const client = new CscClient(address)
      const session = await client.login(LOGIN, PASSWORD)
      const [credential] = await client.credentials(session)
      assert.ok(credential)
      assert.deepEqual([credential.credentialId, credential.certificates], [id, [leaf, service.root]])
      assert.deepEqual(await client.credential(session, id), credential)
      const sad = await client.authorize(session, id, digests, codes)
      const mechanism = { scheme: 'ecdsa', hash: 'sha-256' } as const
      assert.equal((await client.signHash(session, credential, sad, mechanism, digests)).signatures.length, 1)
      const again = await failure(client.signHash(session, credential, sad, mechanism, digests))
      assert.equal(again.message, 'Invalid parameter SAD')
      await client.revoke(session)
      const { status, code, retryable } = await failure(client.credentials(session))
      assert.deepEqual([status, code, retryable], [401, 'invalid_token', false])
    }
  })

  test('an error says what, which request, and whether to try again', async (t) => {
    const service = await startService(t, clock)
    const client = new CscClient(service.url)
    const wrong = await failure(client.login(LOGIN, 'wrong'))
    assert.deepEqual([wrong.status, wrong.code, wrong.retryable], [400, 'authentication_error', false])
    assert.match(wrong.requestId ?? '', /^[0-9a-f-]{36}$/)

    const session = await client.login(LOGIN, PASSWORD)
    for (const [status, retryable] of [
      [429, true],
      [500, false],
      [503, true],
    ] as const) {
      service.interfere = () => ({ ...refused('No.', status), headers: { 'retry-after': '3' } })
      const error = await failure(client.authorize(session, 'x', digests, codes))
      assert.deepEqual([error.status, error.retryable, error.retryAfter], [status, retryable, 3])
    }
    service.interfere = () => ({ status: 502 })
    assert.equal((await failure(client.credentials(session))).message, 'the service answered 502')
  })

  test('after an answer that never came, only what spends nothing may be repeated', async (t) => {
    const service = await startService(t, clock)
    const session = await new CscClient(service.url).login(LOGIN, PASSWORD)
    service.interfere = () => 'never'
    const hasty = new CscClient(service.url, 50)
    const listing = await failure(hasty.credentials(session))
    assert.deepEqual([listing.retryable, listing.status], [true, undefined])
    assert.match(listing.message, /did not answer in time/)
    const authorizing = await failure(hasty.authorize(session, 'x', digests, codes))
    assert.equal(authorizing.retryable, false)
    assert.match(authorizing.message, /whether the code was used is unknown/)
    assert.ok(authorizing.cause instanceof Error)
  })

  test('a lost answer with signatures is asked for once more, under the same key', async (t) => {
    const service = await startService(t, clock)
    const { id } = await service.addCredential('p-256')
    const client = new CscClient(service.url)
    const session = await client.login(LOGIN, PASSWORD)
    const credential = await client.credential(session, id)
    const mechanism = { scheme: 'ecdsa', hash: 'sha-256' } as const
    const signing = async (lost: number) => {
      const sad = await client.authorize(session, id, digests, codes)
      service.calls.length = 0
      service.lose = () => service.calls.length <= lost
      return client.signHash(session, credential, sad, mechanism, digests).finally(() => (service.lose = () => false))
    }
    assert.equal((await signing(1)).signatures.length, 1)
    assert.deepEqual(service.calls, ['signatures/signHash 1', 'signatures/signHash 1'])

    assert.match((await failure(signing(9))).message, /whether the code was used is unknown/)
    assert.equal(service.calls.length, 2, 'and not a third time')
    service.keepsAnswers = false
    assert.match((await failure(signing(1))).message, /whether the code was used is unknown/)
  })

  test('where nobody listens nothing was spent', async () => {
    const server = createServer().listen(0, '127.0.0.1')
    await new Promise((resolve) => server.once('listening', resolve))
    const { port } = server.address() as { port: number }
    await new Promise((resolve) => server.close(resolve))
    const client = new CscClient(`http://127.0.0.1:${port}`)
    const error = await failure(client.authorize({ token: 'x', expiresAt: 0 }, 'x', digests, codes))
    assert.equal(error.retryable, true)
    assert.match(error.message, /cannot be reached \(ECONNREFUSED\)$/)
  })

  test('neither follows a redirect with the password nor reads without end', async (t) => {
    const service = await startService(t, clock)
    const client = new CscClient(service.url)
    service.interfere = () => ({ status: 307, headers: { location: `${service.url}/elsewhere` } })
    assert.match((await failure(client.login(LOGIN, PASSWORD))).message, /cannot be reached/)
    assert.deepEqual(service.calls, ['auth/login'])
    service.interfere = () => ({ status: 200, body: { access_token: 'x'.repeat(9 * 1024 * 1024) } })
    const error = await failure(client.login(LOGIN, PASSWORD))
    assert.match(String(error.cause), /too large/)
  })

  test('does not send secrets in clear to another computer', () => {
    for (const address of ['http://sign.example.test', 'http://192.168.1.7:8080', 'http://localhost.example.test']) {
      assert.throws(() => new CscClient(address), { name: 'RangeError', message: /in clear: use https/ })
    }
    for (const address of ['ftp://localhost', 'sign.example.test', ''])
      assert.throws(() => new CscClient(address), RangeError)
    for (const address of ['https://sign.example.test', 'http://localhost', 'http://[::1]:8080', 'http://127.9.9.9']) {
      new CscClient(address)
    }
  })
})
