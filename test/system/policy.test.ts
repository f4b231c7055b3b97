/** What a credential accepts: which factors and clients agree, and that nobody else changes it. */
import assert from 'node:assert/strict'
import { after, before, describe, test } from 'node:test'
import { sessionCeiling } from '../../src/credentials/policy.js'
import type { ClientId } from '../../src/ids.js'
import {
  assertLogged,
  assertRefused,
  CscClient,
  digests,
  ECDSA_WITH,
  spent,
  VERSIONS,
  watchedDevice,
} from '../helpers/csc.js'
import { type Answer, TestService } from '../helpers/test-service.js'

const ecdsa = { signAlgo: ECDSA_WITH['sha-256'] }
const device = watchedDevice()

let service: TestService
let credential: string
let app: string
before(async () => {
  service = await TestService.start({ keys: ['p-256'], device: device.wrap })
  credential = service.credentials['p-256'] as string
  app = (await service.admin('client.create', { name: 'App' })).clientId
})
after(() => service?.close())

const notAllowed = (answer: Answer) =>
  assertRefused(answer, 400, 'unauthorized_client', 'The client is not authorized to use this method.')
const policy = (more: object = {}) => service.admin('credential.policy', { credentialID: credential, ...more })

for (const version of VERSIONS) {
  describe(`${version}: a policy`, () => {
    const login = async () => {
      const client = new CscClient(service, version)
      await client.login()
      return client
    }
    const sign = (client: CscClient, SAD: string, hashes: string[]) =>
      client.signHash({ credentialID: credential, SAD, hashes, ...ecdsa })

    test('names the clients that may have it sign, at the agreement and at the signature', async () => {
      const client = await login()
      const hashes = digests(`client ${version}`)
      const SAD = await client.sad({ credentialID: credential, hashes })
      await policy({ clients: [app] })
      const code = await service.freshCode()
      const [before, asked] = [await spent(service), device.calls]
      for (const [answer, ev] of [
        [await client.authorize({ credentialID: credential, hashes, code }), 'sad.denied'],
        [await client.extend({ credentialID: credential, hashes, SAD }), 'sad.denied'],
        [await sign(client, SAD, hashes), 'sign.denied'],
      ] as const) {
        notAllowed(answer)
        await assertLogged(service, answer, ev, 'client_not_allowed')
      }
      assert.equal(await spent(service), before)
      assert.equal(device.calls, asked)
      await policy({ clients: [app, 'basic'] })
      const gone = await sign(client, SAD, hashes)
      assertRefused(gone, 400, 'invalid_request', 'Invalid parameter SAD')
      // The code was not looked at, and is still good.
      const again = await client.sad({ credentialID: credential, hashes, code })
      assert.equal((await sign(client, again, hashes)).status, 200)
      await policy()
    })

    test('names the kinds of factors that may agree', async () => {
      await policy({ factors: ['passkey'] })
      const client = await login()
      const hashes = digests(`factor ${version}`)
      const code = await service.freshCode()
      const answer = await client.authorize({ credentialID: credential, hashes, code })
      assert.equal(answer.status, 400)
      await assertLogged(service, answer, 'factor.failed', 'code_rejected')
      await policy({ factors: ['passkey', 'totp'] })
      const SAD = await client.sad({ credentialID: credential, hashes })
      assert.equal((await sign(client, SAD, hashes)).status, 200)
      await policy()
    })

    test('that somebody put into the database signs nothing', async () => {
      const client = await login()
      const hashes = digests(`policy row ${version}`)
      const SAD = await client.sad({ credentialID: credential, hashes })
      const owner = await service.owner()
      const put = (text: string | null, wide: boolean) =>
        owner.query(
          'update paraph.credential set policy = $2, session_wide = $3, version = version + 1 where id = $1',
          [credential, text, wide],
        )
      for (const [text, wide] of [
        ['{"factors":["totp"]}', false],
        [null, true],
      ] as const) {
        await put(text, wide)
        for (const answer of [
          await sign(client, SAD, hashes),
          await client.authorize({ credentialID: credential, hashes, code: service.code() }),
        ]) {
          assert.deepEqual([answer.status, answer.body.error], [500, 'server_error'])
        }
      }
      await put(null, false)
      assert.equal((await sign(client, SAD, hashes)).status, 200)
    })
  })
}

test('one code covers a session only where the credential says so, for the clients it names and for our own pages', () => {
  const ceiling = (client: string, session_wide: boolean, policy: string | null) =>
    sessionCeiling({ session_wide, policy }, client as ClientId)
  assert.equal(ceiling('pages', false, null), undefined)
  assert.equal(ceiling('pages', true, null), 1000)
  assert.equal(ceiling('app', true, null), undefined)
  assert.equal(ceiling('app', true, '{"session":{"ceiling":5,"clients":["app"]}}'), 5)
  assert.equal(ceiling('app', false, '{"session":{"ceiling":5,"clients":["app"]}}'), undefined)
  assert.equal(ceiling('pages', true, '{"session":{"ceiling":5,"clients":["app"]}}'), 5)
})

test('a policy that makes no sense is refused, and changes nothing', async () => {
  const before = await service.admin('credential.show', { credentialID: credential })
  const refused = (request: object, code: string) =>
    assert.rejects(policy(request), (error: { code?: string }) => error.code === code)
  await refused({ clients: ['nobody'] }, 'not_found')
  await refused({ sessionWide: true, sessionClients: ['nobody'] }, 'not_found')
  await refused({ sessionCeiling: 5 }, 'not_allowed')
  await refused({ sessionClients: ['basic'] }, 'not_allowed')
  await refused({ factors: [] }, 'not_allowed')
  await refused({ factors: ['carrier pigeon'] }, 'not_allowed')
  await refused({ sessionWide: true, sessionCeiling: 0 }, 'not_allowed')
  assert.deepEqual(await service.admin('credential.show', { credentialID: credential }), before)
  await assert.rejects(
    service.admin('credential.policy', { credentialID: '01980000-0000-7000-8000-000000000000' }),
    (error: { code?: string }) => error.code === 'not_found',
  )
})

test('after all of this the log and the counters agree', async () => {
  const world = await service.checkWorld()
  assert.ok(world.of('credential.policy_changed').length >= 8)
})
