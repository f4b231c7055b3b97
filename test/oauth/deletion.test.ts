import assert from 'node:assert/strict'
import { createHash, randomUUID } from 'node:crypto'
import { after, before, describe, test } from 'node:test'
import type * as openid from 'openid-client'
import { keepSecret, TestService, type TestSigner } from '../helpers/test-service.js'
import { ask as askWorker, newPasskey, newSecret, origin, tokenHash } from './helpers.js'
import {
  answer,
  answerByPasskey,
  ask,
  discover,
  ISSUER,
  type Registered,
  redeem,
  register,
  requestUrl,
} from './oauth-client.js'

const PATH = '/csc/v2/credentials/delete'
const OVER = 'The access or refresh token is expired or has been revoked.'
const DENIED = 'The user, authorization server or remote service denied the request.'
const scopes = ['service', 'credential', 'credential-deletion']

let service: TestService
let client: Registered
let config: openid.Configuration
let other: TestSigner

before(async () => {
  service = await TestService.start({ workers: 2, fronts: 2, keys: ['p-256'], publicUrl: 'http://localhost' })
  client = await register(service, { scopes } as object)
  config = await discover(service, client)
  other = await service.newSigner('ola', 'Ola Nowak')
})
after(() => service?.close())

const newCredential = (signer = service.signer) => service.newCredential(signer, 'p-256')

const urlOf = (parameters: Record<string, string>) => requestUrl(config, parameters)

/** A token by the whole way. */
async function obtain(parameters: Record<string, string>, fields: Record<string, string> = {}) {
  const { url, verifier } = await urlOf(parameters)
  const answered = await answer(service, url, { fields })
  const tokens = await redeem(config, answered, verifier)
  return { tokens, token: tokens.access_token, html: answered.browser.html }
}

const plain = (credentialID: string) => ({ scope: 'credential-deletion', credentialID })
const rich = (type: string, credentialID: string) => ({
  authorization_details: JSON.stringify([{ type, credentialID }]),
})
const remove = (bearer: string, credentialID: unknown, more: object = {}, front = 0) =>
  service.post(PATH, { credentialDeletionRequest: { credentialID, ...more } }, { bearer, front })

async function rowOf(id: string): Promise<{ state: string; size: number }> {
  const owner = await service.owner()
  const { rows } = await owner.query('select state, octet_length(blob) as size from paraph.credential where id = $1', [
    id,
  ])
  return rows[0]
}

const stays = async (id: string, why: string) => assert.equal((await rowOf(id)).state, 'active', why)

async function revocations(id: string) {
  const world = await service.checkWorld()
  return world.of('credential.revoked').filter(({ open }) => open.get('credential') === id)
}

describe('a signer deletes a credential', () => {
  test('by the whole way, once', async () => {
    const id = await newCredential()
    const { token, tokens, html } = await obtain(plain(id))
    assert.match(html, /Signing app asks to delete one of your certificates/)
    assert.match(html, /cannot be taken back/)
    assert.equal(tokens['credentialID'], id)
    assert.equal(tokens.refresh_token, undefined)
    await stays(id, 'agreed to, not done')
    const gone = await remove(token, id)
    assert.deepEqual([gone.status, gone.body], [204, undefined])
    assert.deepEqual(await rowOf(id), { state: 'revoked', size: 0 })
    for (const front of [0, 1]) {
      const again = await remove(token, id, {}, front)
      assert.deepEqual([again.status, again.body.error, again.body.error_description], [401, 'expired_token', OVER])
    }
    const done = (await revocations(id)).filter(({ leaf }) => leaf.out === 'ok')
    assert.equal(done.length, 1)
    assert.equal(done[0]?.open.get('actor'), done[0]?.open.get('signer'))
    assert.equal(done[0]?.leaf.f?.['reason'], undefined)
  })

  test('by authorization_details in both spellings, with a reason to revoke', async () => {
    for (const type of ['credential-deletion', 'https://cloudsignatureconsortium.org/2025/credential-deletion']) {
      const id = await newCredential()
      const { token, tokens } = await obtain(rich(type, id))
      assert.deepEqual(tokens.authorization_details, [{ type, credentialID: id }])
      const gone = await remove(token, id, { revoke: true, revocationReason: 4 })
      assert.equal(gone.status, 204, JSON.stringify(gone.body))
      assert.equal((await revocations(id))[0]?.leaf.f?.['reason'], 4)
    }
  })

  test('also a suspended one', async () => {
    const id = await newCredential()
    await service.admin('credential.suspend', { credentialID: id })
    const { token } = await obtain(plain(id))
    assert.equal((await remove(token, id)).status, 204)
  })

  test('with the PIN that it has, right and beside a code', async () => {
    const pin = '271828'
    keepSecret(pin)
    const id = await service.newCredential(service.signer, 'p-256', { pin })
    const browser = await ask(service, (await urlOf(plain(id))).url)
    assert.match(browser.html, /name="pin"/)
    const { url: action } = browser
    const code = await service.freshCode()
    assert.equal(await browser.submit(action, { answer: 'yes', code }), 400, 'without it')
    assert.equal(await browser.submit(action, { answer: 'yes', code, pin: '314159' }), 400, 'with another')
    assert.equal(await browser.submit(action, { answer: 'yes', code, pin }), 400, 'the code is spent')
    await stays(id, 'nobody agreed')
    const { token } = await obtain(plain(id), { pin })
    assert.equal((await remove(token, id)).status, 204)
  })

  test('by passkey, with the PIN where there is one; what was agreed to can be verified again', async () => {
    const pin = '161803'
    keepSecret(pin)
    const signer = await service.newSigner('passkey@example.test', 'Pia Key')
    const passkey = await newPasskey(service, signer)
    for (const more of [{}, { pin }]) {
      const id = await service.newCredential(signer, 'p-256', more)
      const { url, verifier } = await urlOf(plain(id))
      if ('pin' in more) {
        await assert.rejects(answerByPasskey(service, url, passkey, { signer }), 'without the PIN')
        await stays(id, 'nobody agreed')
      }
      const asked = 'pin' in more ? await urlOf(plain(id)) : { url, verifier }
      const answered = await answerByPasskey(service, asked.url, passkey, { signer, fields: more })
      const { access_token: token } = await redeem(config, answered, asked.verifier)
      assert.equal((await remove(token, id)).status, 204)
      const granted = (await service.checkWorld())
        .of('approval.granted')
        .find(({ open, leaf }) => open.get('credential') === id && leaf.out === 'ok')
      assert.equal(granted?.leaf.f?.['factor'], 'passkey')
      const { statement, response } = JSON.parse(granted?.open.get('assertion') ?? '{}')
      const lines = statement.split('\n')
      assert.deepEqual([lines[0], lines[3], lines[4]], ['paraph/approve-deletion/v1', client.clientId, id])
      const { challenge } = JSON.parse(Buffer.from(response.response.clientDataJSON, 'base64url').toString())
      assert.equal(challenge, createHash('sha256').update(statement).digest('base64url'))
    }
  })

  test('of two who come with the token at once, one does', async () => {
    const id = await newCredential()
    const { token } = await obtain(plain(id))
    const answers = await Promise.all(
      [0, 1, 0, 1].map((front, i) => remove(token, id, i % 2 === 0 ? {} : { revoke: null }, front)),
    )
    assert.deepEqual(answers.map(({ status }) => status).sort(), [204, 401, 401, 401])
    for (const { status, body } of answers) if (status === 401) assert.equal(body.error, 'expired_token')
    assert.equal((await revocations(id)).filter(({ leaf }) => leaf.out === 'ok').length, 1)
  })
})

describe('nothing is deleted', () => {
  test('by a request that is wrong, which spends nothing', async () => {
    const id = await newCredential()
    const theirs = await newCredential(other)
    const { token } = await obtain(plain(id))
    const send = (body: unknown) => service.post(PATH, body, { bearer: token })
    const asked = (request: unknown) => send({ credentialDeletionRequest: request })
    const missing = 'Missing (or invalid type) parameter "credentialDeletionRequest"'
    const unnamed = 'Missing (or invalid type) string parameter "credentialID"'
    const contradicting = 'Contradicting "credentialID" parameters'
    const reason = 'Invalid parameter "revocationReason"'
    const wrong: [() => ReturnType<typeof send>, string][] = [
      [() => send({}), missing],
      [() => send({ credentialID: id }), missing],
      [() => asked(null), missing],
      [() => asked([id]), missing],
      [() => asked(id), missing],
      [() => asked({}), unnamed],
      [() => asked({ credentialID: 7, revoke: 'x' }), unnamed],
      [() => asked({ credentialID: id, revoke: 'true' }), 'Invalid parameter "revoke"'],
      [
        () => asked({ credentialID: id, revoke: true }),
        'Missing (or invalid type) integer parameter "revocationReason"',
      ],
      ...[7, 11, -1, 1.5, '1'].map((revocationReason): [() => ReturnType<typeof send>, string] => [
        () => asked({ credentialID: id, revoke: true, revocationReason }),
        reason,
      ]),
      [() => asked({ credentialID: theirs }), contradicting],
      [() => asked({ credentialID: randomUUID() }), contradicting],
      [() => asked({ credentialID: 'nothing\0' }), contradicting],
      [() => send({ credentialDeletionRequest: { credentialID: id }, clientData: 7 }), 'Invalid parameter clientData'],
    ]
    for (const [ask, text] of wrong) {
      const { status, body } = await ask()
      assert.deepEqual([status, body], [400, { error: 'invalid_request', error_description: text }])
    }
    await stays(id, 'nothing was right')
    await stays(theirs, 'not agreed to')
    assert.equal((await remove(token, id)).status, 204)
  })

  test('that is gone already', async () => {
    const id = await newCredential()
    const { token } = await obtain(plain(id))
    await service.admin('credential.revoke', { credentialID: id })
    const { status, body } = await remove(token, id)
    assert.deepEqual([status, body.error_description], [400, 'Invalid parameter "credentialID"'])
  })

  test('with a token of another scope, and with this one nothing else is done', async () => {
    const id = await newCredential()
    const basic = await service.login()
    const { token: letIn } = await obtain({ scope: 'service' })
    for (const bearer of [basic, letIn]) {
      const { status, body } = await remove(bearer, id)
      assert.deepEqual([status, body.error, body.error_description], [403, 'access_denied', DENIED])
    }
    const { token } = await obtain(plain(id))
    for (const [method, body] of [
      ['credentials/list', {}],
      ['credentials/info', { credentialID: id }],
      ['credentials/authorize', { credentialID: id, numSignatures: 1 }],
      ['signatures/signHash', { credentialID: id }],
    ] as const) {
      assert.equal((await service.post(`/csc/v2/${method}`, body, { bearer: token })).status, 403, method)
    }
    await assert.rejects(
      askWorker(service, 'deleteCredential', { origin, bearer: basic, credentialId: id }),
      { code: 'scope_missing' },
      'whatever a front lets in',
    )
    await stays(id, 'no token for it')
  })

  test('without a code, with a wrong one, or against the signer’s will', async () => {
    const id = await newCredential()
    const { url } = await urlOf(plain(id))
    const browser = await ask(service, url)
    const action = browser.url
    assert.equal(await browser.submit(action, { answer: 'yes' }), 400)
    assert.equal(await browser.submit(action, { answer: 'yes', code: '00000000' }), 400)
    const name = action.split('/').at(-1) as string
    await assert.rejects(
      askWorker(service, 'exchange', { origin, name, tokenHash: tokenHash(newSecret()) }),
      { code: 'approval_unknown' },
      'a front alone gets no token',
    )
    const { url: back } = await answer(service, (await urlOf(plain(id))).url, { no: true })
    assert.equal(back.searchParams.get('error'), 'access_denied')
    await stays(id, 'nobody agreed')
    await service.checkWorld()
  })

  test('that is somebody else’s, or nobody’s', async () => {
    for (const id of [await newCredential(other), randomUUID(), 'nothing']) {
      const browser = await ask(service, (await urlOf(plain(id))).url)
      assert.match(browser.html, /is not yours/, id)
    }
  })

  test('for a client that may not ask for it', async () => {
    const plainClient = await register(service, { name: 'Plain' })
    const query = { ...plain(await newCredential()), response_type: 'code', client_id: plainClient.clientId }
    const { url } = await urlOf(query)
    url.searchParams.set('client_id', plainClient.clientId)
    const response = await fetch(new URL(`${url.pathname}${url.search}`, service.urls[0]), { redirect: 'manual' })
    const back = new URL(response.headers.get('location') ?? ISSUER)
    assert.equal(back.searchParams.get('error'), 'unauthorized_client', String(back))
  })

  test('through a client that its policy does not name', async () => {
    const id = await service.newCredential(service.signer, 'p-256', { clients: ['basic'] })
    const browser = await ask(service, (await urlOf(plain(id))).url)
    assert.doesNotMatch(browser.html, /name="code"/)
    await stays(id, 'not even asked')
  })

  test('by whoever owns the database', async () => {
    const id = await newCredential()
    const precious = await newCredential()
    const { token } = await obtain(plain(id))
    const owner = await service.owner()
    const forged = newSecret()
    await owner.query(
      `insert into paraph.token (hash, kind, session_id, signer_id, client_id, scope, family, expires_at, approval_id)
       select $1, kind, session_id, signer_id, client_id, scope, family, expires_at, approval_id from paraph.token where hash = $2`,
      [Buffer.from(tokenHash(forged), 'base64'), Buffer.from(tokenHash(token), 'base64')],
    )
    const { status, body } = await remove(forged, id)
    assert.deepEqual([status, body.error], [401, 'invalid_token'], 'a token that no approval knows')
    await owner.query(
      'update paraph.approval set credential_id = $1 where id = (select approval_id from paraph.token where hash = $2)',
      [precious, Buffer.from(tokenHash(token), 'base64')],
    )
    assert.equal((await remove(token, precious)).status, 500, 'an approval that somebody changed')
    await stays(precious, 'nobody agreed to it')
    await stays(id, 'the row is not trusted')
  })
})
