/** How a session stands, as its client is told, and that it ends when its signer says so. */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import {
  assertRefused,
  CscClient,
  digests,
  ECDSA_WITH,
  HASH_OID,
  logged,
  spent,
  watchedDevice,
} from '../helpers/csc.js'
import { type Answer, keepSecret, TestService, type TestSigner } from '../helpers/test-service.js'

const ecdsa = { signAlgo: ECDSA_WITH['sha-256'] }
const device = watchedDevice()

let service: TestService
let bound: string
let open: string
let wide: string
let other: TestSigner
before(async () => {
  service = await TestService.start({ keys: ['p-256'], fronts: 2, device: device.wrap })
  bound = service.credentials['p-256'] as string
  open = await service.newCredential(service.signer, 'p-256', { scal: '1' })
  wide = await service.newCredential(service.signer, 'p-256', {
    ...{ sessionWide: true, sessionClients: ['basic'], sessionCeiling: 40 },
  })
  other = await service.newSigner('other@example.test', 'Other')
})
after(() => service?.close())

const login = async (front = 0, signer?: TestSigner, body: object = {}) => {
  const client = new CscClient(service, 'v2', { front })
  const answer = await client.login(signer, body)
  return Object.assign(client, { refreshToken: answer.body.refresh_token as string })
}
const state = (client: CscClient) => client.askAt('/signer/v1/session', {})
const stop = (client: CscClient, body: object = {}) => client.askAt('/signer/v1/stop', body)
const isOver = (answer: Answer) =>
  assertRefused(answer, 401, 'expired_token', 'The access or refresh token is expired or has been revoked.')

describe('the state of a session', () => {
  test('tells who, until when, and what is left to sign', async () => {
    const client = await login()
    const empty = await state(client)
    assert.equal(empty.status, 200, JSON.stringify(empty.body))
    const { endsAt, expiresIn, ...rest } = empty.body
    assert.deepEqual(rest, {
      signer: { login: service.signer.login, name: 'Test Signer' },
      clientID: 'basic',
      remembered: false,
      authorizations: [],
    })
    assert.ok(expiresIn <= 180 && expiresIn > 170)
    assert.ok(Math.abs(Date.parse(endsAt) - service.clock.now() - 180_000) < 10_000)
    assert.deepEqual(
      (await logged(service, empty)).map(({ ev, out }) => [ev, out]),
      [['auth.session_read', 'ok']],
    )

    const hashes = digests('state', 3)
    const SAD = await client.sad({ credentialID: bound, hashes, description: 'Three contracts' })
    await client.sad({ credentialID: open, numSignatures: 2 })
    await client.signHash({ credentialID: bound, SAD, hashes: hashes.slice(0, 1), ...ecdsa })
    const told = (await state(client)).body.authorizations
    assert.deepEqual(
      told.map(({ expiresAt: _at, ...one }: { expiresAt: string }) => one),
      [
        { credentialID: bound, SCAL: '2', total: 3, remaining: 2, description: 'Three contracts' },
        { credentialID: open, SCAL: '1', total: 2, remaining: 2 },
      ],
    )
    await client.signHash({ credentialID: bound, SAD, hashes: hashes.slice(1), ...ecdsa })
    assert.equal((await state(client)).body.authorizations.length, 1, 'what is used up is not told')
  })

  test('tells of a remembered one, and never of another session', async () => {
    const [client, second, stranger] = [await login(), await login(), await login(0, other)]
    const { body } = await client.authorize({
      ...{ credentialID: wide, hashes: digests('state wide', 2), rememberSession: true },
      code: await service.freshCode(),
    })
    assert.equal(typeof body.SAD, 'string')
    const { remembered, expiresIn, authorizations } = (await state(client)).body
    assert.equal(remembered, true)
    assert.ok(expiresIn > 1700)
    assert.deepEqual([authorizations[0].SCAL, authorizations[0].total, authorizations[0].remaining], ['1', 40, 40])
    for (const one of [second, stranger]) {
      const told = (await state(one)).body
      assert.deepEqual([told.remembered, told.authorizations], [false, []])
    }
    assert.equal((await state(stranger)).body.signer.login, other.login)
  })
})

describe('stopping', () => {
  test('ends the session on every front, and nothing leaves that is under way', async () => {
    const here = await login()
    const there = new CscClient(service, 'v2', { front: 1, bearer: here.bearer as string })
    const unrelated = await login()
    const hashes = digests('stopping', 20)
    const SAD = await there.sad({ credentialID: bound, hashes })
    assert.equal((await there.signHash({ credentialID: bound, SAD, hashes: hashes.slice(0, 1), ...ecdsa })).status, 200)
    const released = service.released.length
    let stopped: Answer | undefined
    device.before = async () => {
      stopped = await stop(here)
    }
    isOver(await there.signHash({ credentialID: bound, SAD, hashes: hashes.slice(1, 11), ...ecdsa }))
    assert.equal(stopped?.status, 204)
    assert.equal(service.released.length, released)
    assert.deepEqual(
      (await logged(service, stopped as Answer)).map(({ ev, out, f, why }) => [ev, out, f?.which, why]),
      [
        ['signer.stopped', 'ok', 'session', undefined],
        ['auth.session_ended', 'ok', undefined, 'stopped'],
      ],
    )
    const [before, asked] = [await spent(service), device.calls]
    for (const client of [here, there]) {
      isOver(await client.signHash({ credentialID: bound, SAD, hashes: hashes.slice(11), ...ecdsa }))
      isOver(await state(client))
      isOver(await stop(client))
    }
    assert.equal(await spent(service), before)
    assert.equal(device.calls, asked)
    assert.equal((await state(unrelated)).status, 200)
  })

  test('everything ends every session and refresh token of the signer, and nobody else’s', async () => {
    const one = await login(0, undefined, { rememberMe: true })
    const two = await login(1)
    const stranger = await login(0, other)
    const hashes = digests('stop all', 2)
    const SAD = await two.sad({ credentialID: bound, hashes })
    assert.equal((await state(two)).status, 200)
    assert.equal((await stop(one, { all: true })).status, 204)
    for (const client of [one, two]) isOver(await state(client))
    isOver(await two.signHash({ credentialID: bound, SAD, hashes, ...ecdsa }))
    const again = await one.tokens({ refresh_token: one.refreshToken })
    assertRefused(again, 400, 'invalid_request', 'Invalid refresh_token')
    assert.equal((await state(stranger)).status, 200)
    assert.equal((await (await login()).list()).status, 200, 'the signer may log in again')
  })

  test('denies what is asked of the signer out of band, pending or agreed to', async () => {
    const [client, other] = [await login(), await login()]
    const ask = async (one: CscClient) => {
      const hashes = digests('asked')
      const hashAlgorithmOID = HASH_OID['sha-256']
      const wish = { credentialID: bound, numSignatures: 1, hashes, hashAlgorithmOID, authData: [{ id: 'APPROVAL' }] }
      const { status, body } = await one.ask('credentials/authorize', wish)
      assert.equal(status, 202, JSON.stringify(body))
      keepSecret(body.handle, body.comparisonNonce)
      return body.approvalID as string
    }
    const states = async (...ids: string[]) => {
      const { rows } = await (await service.owner()).query(
        'select id, state from paraph.approval where id = any ($1)',
        [ids],
      )
      return ids.map((id) => rows.find((row) => row.id === id)?.state)
    }
    const [here, there] = [await ask(client), await ask(other)]
    const stopped = await stop(client)
    assert.equal(stopped.status, 204)
    assert.deepEqual(await states(here, there), ['denied', 'pending'])
    assert.deepEqual(
      (await logged(service, stopped)).map(({ ev, why }) => [ev, why]),
      [
        ['signer.stopped', undefined],
        ['approval.denied', 'stopped'],
        ['auth.session_ended', 'stopped'],
      ],
    )
    assert.equal((await stop(other, { all: true })).status, 204)
    assert.deepEqual(await states(there), ['denied'])
  })

  test('takes a token, and says all or not', async () => {
    const client = await login()
    for (const all of ['yes', 1, {}]) {
      assertRefused(await stop(client, { all }), 400, 'invalid_request', 'Invalid parameter all')
    }
    assert.equal((await state(client)).status, 200)
    const nobody = new CscClient(service, 'v2', { bearer: 'unknown' })
    assert.equal((await stop(nobody)).status, 401)
    assert.equal((await state(nobody)).status, 401)
    assert.equal((await stop(client, { all: null })).status, 204)
  })

  test('by one whose session is over already is refused by the worker, too', async () => {
    const client = await login()
    await service.admin('signer.suspend', { signer: service.signer.login })
    await service.admin('signer.resume', { signer: service.signer.login })
    isOver(await stop(client))
  })
})

test('after all of this the log and the counters agree', async () => {
  const world = await service.checkWorld()
  assert.ok(world.of('signer.stopped').length >= 3)
})
