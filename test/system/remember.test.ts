/** One code for all files of a session: where that is allowed, how far it goes, and that it can be stopped. */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import {
  assertLogged,
  assertRefused,
  CscClient,
  digests,
  ECDSA_WITH,
  HASH_OID,
  logged,
  spent,
  VERSIONS,
  watchedDevice,
} from '../helpers/csc.js'
import { type Answer, TestService } from '../helpers/test-service.js'

const ecdsa = { signAlgo: ECDSA_WITH['sha-256'] }
const device = watchedDevice()

let service: TestService
/** One code may cover a session with it, for the client `basic`. */
let wide: string
let plain: string
before(async () => {
  service = await TestService.start({ keys: ['p-256'], fronts: 2, device: device.wrap })
  plain = service.credentials['p-256'] as string
  wide = await service.newCredential(service.signer, 'p-256', { sessionWide: true, sessionClients: ['basic'] })
})
after(() => service?.close())

const NOT_ALLOWED = 'The session cannot be remembered for this credential and client'
const isOver = (answer: Answer) =>
  assertRefused(answer, 401, 'expired_token', 'The access or refresh token is expired or has been revoked.')

for (const version of VERSIONS) {
  const login = async (front = 0) => {
    const client = new CscClient(service, version, { front })
    await client.login()
    return client
  }
  const sign = (client: CscClient, SAD: string, hashes: string[], credentialID = wide) =>
    client.signHash({ credentialID, SAD, hashes, ...ecdsa })
  const scal = async (client: CscClient, id = wide) => (await client.info(id)).body.SCAL

  describe(`${version}: a remembered session`, () => {
    test('takes one code for five hundred files in many calls', async () => {
      const client = await login()
      const files = digests(`five hundred ${version}`, 500)
      const first = await client.authorize({
        credentialID: wide,
        hashes: files.slice(0, 10),
        code: await service.freshCode(),
        rememberSession: true,
      })
      assert.equal(first.status, 200, JSON.stringify(first.body))
      assert.ok(first.body.expiresIn > 1780 && first.body.expiresIn <= 1800)
      assert.deepEqual(
        (await logged(service, first)).map(({ ev, f }) => [ev, f]),
        [
          ['auth.session_extended', undefined],
          ['sad.issued', { factor: 'totp', kind: 'bound', pin: 0, session: 1, total: 1000 }],
        ],
      )
      assert.equal(await scal(client), '1', 'further files may come')
      assert.equal(await scal(client, plain), '2')
      assert.equal(await scal(await login()), '2', 'in another session they may not')
      let SAD = first.body.SAD
      let signed = 0
      for (let at = 0; at < files.length; at += 10) {
        // After 25 calls the session has lasted longer than any that is not remembered.
        if (at === 250) await service.moveClock(600_000)
        const batch = files.slice(at, at + 10)
        if (at > 0) {
          const more = await client.extend({ credentialID: wide, SAD, hashes: batch })
          assert.equal(more.status, 200, JSON.stringify(more.body))
          SAD = more.body.SAD
        }
        const { status, body } = await sign(client, SAD, batch)
        assert.equal(status, 200, JSON.stringify(body))
        signed += body.signatures.length
      }
      assert.equal(signed, 500)
      const again = files.slice(0, 1)
      const SADs = await client.extend({ credentialID: wide, SAD, hashes: again })
      assert.equal(SADs.status, 200, 'a digest may be agreed to again')
      assert.equal((await sign(client, SADs.body.SAD, again)).status, 200)
      await service.moveClock(1_200_000)
      isOver(await sign(client, SADs.body.SAD, again))
    })

    test('ends two hours after it began, whatever is entered', async () => {
      const client = await login()
      const began = service.clock.offset
      const lives: number[] = []
      for (const minutes of [0, 25, 50, 75, 100, 115]) {
        await service.moveClock(began + minutes * 60_000 - service.clock.offset)
        const hashes = digests(`two hours ${version} ${minutes}`)
        const { status, body } = await client.authorize({
          ...{ credentialID: wide, hashes, rememberSession: true },
          code: await service.freshCode(),
        })
        assert.equal(status, 200, JSON.stringify(body))
        lives.push(Math.round(body.expiresIn / 60))
      }
      assert.deepEqual(lives.slice(0, 4), [30, 30, 30, 30])
      assert.ok((lives[4] as number) <= 20 && (lives[5] as number) <= 5, String(lives))
      await service.moveClock(began + 121 * 60_000 - service.clock.offset)
      isOver(await client.list())
    })

    test('gives no more than its ceiling, whatever is added', async () => {
      const policy = { sessionWide: true, sessionClients: ['basic'], sessionCeiling: 5 }
      const small = await service.newCredential(service.signer, 'p-256', { ...policy, multisign: 2 })
      const client = await login()
      const files = digests(`ceiling ${version}`, 7)
      const ask = async (hashes: string[], code: string) =>
        client.authorize({ credentialID: small, hashes, code, rememberSession: true })
      const code = await service.freshCode()
      const TOO_MANY = 'Numbers of signatures is too high'
      assertRefused(await ask(files.slice(0, 6), code), 400, 'invalid_request', TOO_MANY)
      let { SAD } = (await ask(files.slice(0, 3), code)).body
      const extend = (hashes: string[]) => client.extend({ credentialID: small, SAD, hashes })
      assertRefused(await extend(files.slice(3, 6)), 400, 'invalid_request', TOO_MANY)
      SAD = (await extend(files.slice(3, 5))).body.SAD
      assertRefused(await extend(files.slice(5, 6)), 400, 'invalid_request', TOO_MANY)
      assert.equal((await sign(client, SAD, files.slice(0, 4), small)).status, 200)
      assertRefused(await extend(files.slice(5, 6)), 400, 'invalid_request', TOO_MANY)
      assert.equal((await sign(client, SAD, files.slice(4, 5), small)).status, 200)
      assertRefused(await extend(files.slice(5, 6)), 400, 'invalid_request', 'Invalid parameter SAD')
    })

    test('by count signs any files up to its ceiling', async () => {
      const policy = { sessionWide: true, sessionClients: ['basic'], sessionCeiling: 3 }
      const open = await service.newCredential(service.signer, 'p-256', { ...policy, scal: '1' })
      const client = await login()
      const code = await service.freshCode()
      const { body } = await client.authorize({ credentialID: open, numSignatures: 1, code, rememberSession: true })
      const [a, b, c, d] = digests(`open ${version}`, 4) as [string, string, string, string]
      assert.equal((await sign(client, body.SAD, [a, b], open)).status, 200)
      assertRefused(
        await sign(client, body.SAD, [c, d], open),
        400,
        'invalid_request',
        'Numbers of signatures is too high',
      )
      assert.equal((await sign(client, body.SAD, [c], open)).status, 200)
    })

    test('is refused without the policy, before the code is looked at', async () => {
      const unnamed = await service.newCredential(service.signer, 'p-256', { sessionWide: true })
      const client = await login()
      const hashes = digests(`refused ${version}`)
      const code = await service.freshCode()
      const before = await spent(service)
      for (const credentialID of [plain, unnamed]) {
        const answer = await client.authorize({ credentialID, hashes, code, rememberSession: true })
        assertRefused(answer, 400, 'invalid_request', NOT_ALLOWED)
        await assertLogged(service, answer, 'sad.denied', 'remember_not_allowed')
      }
      if (version === 'v2') {
        const outOfBand = { credentialID: wide, numSignatures: 1, hashes, authData: [{ id: 'APPROVAL' }] }
        const hashAlgorithmOID = HASH_OID['sha-256']
        const answer = await client.ask('credentials/authorize', {
          ...outOfBand,
          hashAlgorithmOID,
          rememberSession: true,
        })
        assertRefused(answer, 400, 'invalid_request', NOT_ALLOWED)
      }
      const wrong = await client.authorize({ credentialID: wide, hashes, code, rememberSession: 'yes' })
      assertRefused(wrong, 400, 'invalid_request', 'Invalid parameter rememberSession')
      assert.equal(await spent(service), before)
      const { body } = await client.authorize({ credentialID: wide, hashes, code, rememberSession: false })
      assert.ok(body.expiresIn <= 180, 'a session is not remembered unless that is asked for')
      await service.moveClock(180_000)
      isOver(await client.list())
    })

    test('is not remembered for a wrong code', async () => {
      const client = await login()
      const hashes = digests(`wrong code ${version}`)
      const used = await service.freshCode()
      await client.sad({ credentialID: wide, hashes, code: used })
      const answer = await client.authorize({ credentialID: wide, hashes, code: used, rememberSession: true })
      assert.equal(answer.status, 400)
      await service.moveClock(180_000)
      isOver(await client.list())
    })

    test('that is stopped on one front signs nothing more on another, in mid-batch included', async () => {
      const here = await login()
      const there = new CscClient(service, version, { front: 1, bearer: here.bearer as string })
      const files = digests(`stopped ${version}`, 60)
      const { body } = await there.authorize({
        ...{ credentialID: wide, hashes: files.slice(0, 20), rememberSession: true },
        code: await service.freshCode(),
      })
      assert.equal((await sign(there, body.SAD, files.slice(0, 10))).status, 200)
      const released = service.released.length
      device.before = async () => assert.equal((await here.revoke(here.bearer)).status, 204)
      isOver(await sign(there, body.SAD, files.slice(10, 20)))
      assert.equal(service.released.length, released, 'nothing leaves that was under way')
      const [before, asked] = [await spent(service), device.calls]
      for (const client of [here, there]) {
        isOver(await sign(client, body.SAD, files.slice(10, 11)))
        isOver(await client.extend({ credentialID: wide, SAD: body.SAD, hashes: files.slice(20, 30) }))
        isOver(await client.list())
      }
      assert.equal(await spent(service), before)
      assert.equal(device.calls, asked)
    })
  })
}

test('an agreement that somebody made one for the session in the database signs nothing', async () => {
  const client = new CscClient(service, 'v2')
  await client.login()
  const [agreed, more] = digests('made wide', 2) as [string, string]
  const SAD = await client.sad({ credentialID: wide, hashes: [agreed] })
  const owner = await service.owner()
  const put = (isWide: boolean) =>
    owner.query(
      `update paraph.authorization set session_wide = $1
        where id = (select id from paraph.authorization order by created_at desc limit 1)`,
      [isWide],
    )
  await put(true)
  for (const answer of [
    await client.extend({ credentialID: wide, SAD, hashes: [more] }),
    await client.signHash({ credentialID: wide, SAD, hashes: [agreed], ...ecdsa }),
  ]) {
    assert.deepEqual([answer.status, answer.body.error], [500, 'server_error'])
  }
  await put(false)
  assert.equal((await client.signHash({ credentialID: wide, SAD, hashes: [agreed], ...ecdsa })).status, 200)
})

test('after all of this the log and the counters agree', async () => {
  const world = await service.checkWorld()
  assert.ok(world.of('sad.extended').length >= 98)
  assert.ok(world.of('sign.withheld').length >= 2)
})
