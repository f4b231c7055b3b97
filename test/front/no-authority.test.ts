/** A service without a certificate authority of its own, as every production is: no credential is made over the API. */
import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { after, before, test } from 'node:test'
import { keepSecret } from '../helpers/test-service.js'
import { type TestFront, testFront } from './helpers.js'

const REDIRECT = 'https://app.example.test/callback'
const SCOPES = ['service', 'credential', 'credential-deletion']
const CREATION = 'credential-creation'
const REQUEST = { credentialCreationRequest: { certificatePolicy: '2.999.1.2', subjectData: {} } }

let production: TestFront
let demo: TestFront
before(async () => {
  production = await testFront()
  production.sam.on('health', () => ({
    device: true,
    database: true,
    clock: true,
    log: true,
    demo: false,
    timeStamps: false,
  }))
  demo = await testFront()
  for (const { seed } of [production, demo]) {
    await seed.query(
      `insert into paraph.client (id, name, redirect_uris, auth_method, scopes) values ('app', 'App', $1, 'none', $2)`,
      [[REDIRECT], [...SCOPES, CREATION]],
    )
  }
})
after(async () => {
  await production?.close()
  await demo?.close()
})

test('credentials/create is a method that is not there, whoever asks', async () => {
  const right = (await production.seed.session(production.signer, { scope: CREATION })).token
  for (const token of [right, production.token, 'none-of-ours', null]) {
    const { status, body } = await production.post('/csc/v2/credentials/create', REQUEST, token)
    assert.deepEqual([status, body.error], [501, 'not_implemented_method'])
  }
  assert.deepEqual(production.sam.asked('createCredential'), [])
  const { body } = await production.post('/csc/v2/info', {}, null)
  assert.ok(!(body.methods as string[]).includes('credentials/create'))
  assert.ok((body.methods as string[]).includes('credentials/delete'))
})

test('in a demo it is there, and wants its scope', async () => {
  assert.equal((await demo.post('/csc/v2/credentials/create', REQUEST)).status, 403)
  assert.equal((await demo.post('/csc/v2/credentials/create', REQUEST, 'none-of-ours')).status, 401)
})

test('its scope is neither named nor given', async () => {
  for (const [front, offered] of [
    [production, false],
    [demo, true],
  ] as const) {
    const metadata = (await front.app.inject({ url: '/.well-known/oauth-authorization-server' })).json()
    assert.equal(metadata.scopes_supported.includes(CREATION), offered)
    const types = metadata.authorization_details_types_supported as string[]
    assert.equal(types.filter((type) => type.includes(CREATION)).length, offered ? 2 : 0)
    for (const type of [CREATION, `https://cloudsignatureconsortium.org/2025/${CREATION}`]) {
      const before = front.sam.asked('requestApproval').length
      const answer = await front.app.inject({ url: `/oauth2/authorize?${query(type)}` })
      const asked = front.sam.asked('requestApproval').length - before
      const back = new URL(String(answer.headers.location), 'https://sign.example.test')
      assert.equal(back.searchParams.get('error'), offered ? null : 'invalid_authorization_details')
      assert.equal(asked, offered ? 1 : 0)
    }
  }
})

function query(type: string): URLSearchParams {
  const verifier = randomBytes(32).toString('base64url')
  keepSecret(verifier)
  return new URLSearchParams({
    response_type: 'code',
    client_id: 'app',
    redirect_uri: REDIRECT,
    code_challenge: createHash('sha256').update(verifier).digest('base64url'),
    code_challenge_method: 'S256',
    authorization_details: JSON.stringify([{ type, ...REQUEST }]),
  })
}
