import assert from 'node:assert/strict'
import { createHash, verify, X509Certificate } from 'node:crypto'
import { after, before, describe, test } from 'node:test'
import type * as openid from 'openid-client'
import { type Client, openClient } from '../../src/db/pool.js'
import { type Hsm, HsmError } from '../../src/hsm/hsm.js'
import { parseCertificate } from '../../src/pki/certificate.js'
import { FormBrowser } from '../helpers/browser.js'
import { until } from '../helpers/csc.js'
import { type Answer, TestService, type TestSigner } from '../helpers/test-service.js'
import { ask as askWorker, newPasskey, newSecret, origin, pageSession, tokenHash } from './helpers.js'
import {
  answer,
  answerByPasskey,
  ask,
  discover,
  REDIRECT,
  type Registered,
  redeem,
  register,
  requestUrl,
} from './oauth-client.js'

const PATH = '/csc/v2/credentials/create'
const RSA = '2.999.1.1'
const P256 = '2.999.1.2'
const URI = 'https://cloudsignatureconsortium.org/2025/credential-creation'
const OVER = 'The access or refresh token is expired or has been revoked.'
const DENIED = 'The user, authorization server or remote service denied the request.'
const NAME = 'Test Signer'
const scopes = ['service', 'credential', 'credential-creation', 'credential-deletion']

let service: TestService
let owner: Client
let client: Registered
let config: openid.Configuration
/** Whether the device makes keys. */
let broken = false

const flawed = (real: Hsm): Hsm =>
  new Proxy(real, {
    get(device, name: keyof Hsm) {
      if (name === 'generateSignerKey' && broken)
        return async () => Promise.reject(new HsmError('unavailable', 'the device makes no keys'))
      const value = device[name]
      return typeof value === 'function' ? value.bind(device) : value
    },
  })

before(async () => {
  service = await TestService.start({
    workers: 2,
    fronts: 2,
    keys: ['p-256'],
    publicUrl: 'http://localhost',
    device: flawed,
  })
  owner = await service.owner()
  client = await register(service, { scopes } as object)
  config = await discover(service, client)
})
after(() => service?.close())

/** Signers who have few certificates yet. */
let count = 0
const newSigner = (name = NAME) => service.newSigner(`new-${++count}@example.test`, name)

const wish = (certificatePolicy: string, subjectData: Record<string, unknown> = { commonName: NAME }) => ({
  certificatePolicy,
  subjectData,
})
const detail = (credentialCreationRequest: object, more: object = {}, type = 'credential-creation') => ({
  authorization_details: JSON.stringify([{ type, credentialCreationRequest, ...more }]),
})

interface Obtained {
  readonly token: string
  readonly html: string
  readonly tokens: Awaited<ReturnType<typeof redeem>>
}

/** A token by the whole way. */
async function obtain(signer: TestSigner, parameters = detail(wish(P256))): Promise<Obtained> {
  const { url, verifier } = await requestUrl(config, parameters)
  const answered = await answer(service, url, { signer })
  const tokens = await redeem(config, answered, verifier)
  return { tokens, token: tokens.access_token, html: answered.browser.html }
}

const create = (bearer: string, request: object = wish(P256), more: object = {}, front = 0): Promise<Answer> =>
  service.post(PATH, { credentialCreationRequest: request, ...more }, { bearer, front })

/** All rows of the signer's credentials, with keys and without. */
async function rowsOf({ login }: TestSigner): Promise<{ id: string; state: string; spec: string }[]> {
  const { rows } = await owner.query(
    `select c.id, c.state, c.spec from paraph.credential c join paraph.signer g on g.id = c.signer_id
      where g.login = $1 order by c.created_at`,
    [login],
  )
  return rows
}

const none = async (signer: TestSigner, why: string) => assert.deepEqual(await rowsOf(signer), [], why)

/** Where the browser is sent back to, with an error. */
async function refusedAt(response: Response): Promise<[string | null, string | null]> {
  const back = new URL(response.headers.get('location') ?? 'none:', REDIRECT)
  return [back.searchParams.get('error'), back.searchParams.get('error_description')]
}

/** What a request to the authorization endpoint is answered with, before anybody signs in. */
async function refused(parameters: Record<string, string>, as = client) {
  const { url } = await requestUrl(config, parameters)
  url.searchParams.set('client_id', as.clientId)
  const response = await fetch(new URL(`${url.pathname}${url.search}`, service.urls[0]), { redirect: 'manual' })
  return refusedAt(response)
}

describe('a signer has a credential made', () => {
  for (const [type, policy, key, front] of [
    ['credential-creation', RSA, { spec: 'rsa-3072', len: 3072, words: 'RSA, 3072 bits' }, 0],
    [URI, P256, { spec: 'p-256', len: 256, words: 'Elliptic curve P-256' }, 1],
  ] as const) {
    test(`by the whole way, with ${policy}, and signs with it`, async () => {
      const signer = await newSigner()
      const parameters = detail(wish(policy), { acr_values: ['urn:example:loa:high'] }, type)
      const { token, tokens, html } = await obtain(signer, parameters)
      for (const shown of ['Signing app asks to have a new key and certificate', NAME, policy, key.words]) {
        assert.ok(html.includes(shown), shown)
      }
      assert.deepEqual(tokens.authorization_details, JSON.parse(parameters.authorization_details))
      assert.deepEqual([tokens.refresh_token, tokens['credentialID']], [undefined, undefined])
      await none(signer, 'agreed to, not made')

      const made = await create(token, wish(policy), { certificates: 'chain', certInfo: true, authInfo: true }, front)
      assert.equal(made.status, 201, JSON.stringify(made.body))
      const { credentialID, cert, key: described, auth, SCAL, multisign } = made.body
      assert.deepEqual(await rowsOf(signer), [{ id: credentialID, state: 'active', spec: key.spec }])
      assert.deepEqual([described.status, described.len, SCAL, multisign], ['enabled', key.len, '2', 100])
      assert.deepEqual([cert.policy, cert.status, cert.subjectDN], [[policy], 'valid', `CN=${NAME},O=Paraph demo`])
      assert.deepEqual(
        auth.objects.map(({ id }: { id: string }) => id),
        ['OTP', 'APPROVAL'],
      )

      const root = new X509Certificate((await service.admin('ca.root', {})).pem)
      const [leaf, issuer] = cert.certificates.map((der: string) => new X509Certificate(Buffer.from(der, 'base64')))
      assert.ok(leaf.verify(root.publicKey) && leaf.checkIssued(root) && issuer.fingerprint256 === root.fingerprint256)
      const bearer = await service.login(signer)
      const told = await service.post(
        '/csc/v2/credentials/info',
        { credentialID, certificates: 'chain', certInfo: true, authInfo: true },
        { bearer },
      )
      assert.deepEqual({ credentialID, ...told.body }, made.body, 'as credentials/info tells it')
      const hashes = service.digests('the first')
      const sad = await service.authorize(bearer, credentialID, hashes, { signer })
      const signAlgo = policy === RSA ? '1.2.840.113549.1.1.11' : '1.2.840.10045.4.3.2'
      const { body } = await service.signHash(bearer, credentialID, sad, hashes, { signAlgo })
      assert.ok(verify('sha256', Buffer.from('the first'), leaf.publicKey, Buffer.from(body.signatures[0], 'base64')))

      for (const other of [0, 1]) {
        const again = await create(token, wish(policy), {}, other)
        assert.deepEqual([again.status, again.body.error, again.body.error_description], [401, 'expired_token', OVER])
      }
      assert.equal((await rowsOf(signer)).length, 1)
      const world = await service.checkWorld()
      const [entry, ...more] = world
        .of('credential.created')
        .filter(({ open }) => open.get('credential') === credentialID)
      assert.ok(entry && more.length === 0)
      const { open, op } = entry
      assert.deepEqual([open.get('actor'), open.get('client')], [open.get('signer'), client.clientId])
      const granted = world.of('approval.granted').find((one) => one.open.get('approval') === open.get('approval'))
      assert.deepEqual([granted?.leaf.f?.['kind'], granted?.leaf.f?.['factor']], ['creation', 'totp'])
      assert.equal(world.of('credential.request_signed').filter((one) => one.op === op).length, 1, 'and its outcome')
      for (const event of ['key.generated', 'key.linked_cert'])
        assert.equal(world.of(event).filter((one) => one.open.get('credential') === credentialID).length, 1, event)

      const { state } = await service.admin('credential.renew', { credentialID })
      assert.equal(state, 'active')
      const shown = await service.admin('credential.show', { credentialID })
      const renewed = new X509Certificate(shown.certificates[0] as string)
      assert.notEqual(renewed.serialNumber, leaf.serialNumber)
      assert.deepEqual(parseCertificate(renewed.raw).policies, [policy], 'a renewal is of the same policy')
    })
  }

  test('without a word of the name, and hears no more than its id where it wants no more', async () => {
    const signer = await newSigner('Zażółć Gęślą')
    const { token } = await obtain(signer, detail({ certificatePolicy: P256 }))
    const made = await create(
      token,
      { certificatePolicy: P256 },
      { credentialInfo: false, lang: 'en', clientData: 'x' },
    )
    assert.equal(made.status, 201, JSON.stringify(made.body))
    const [row] = await rowsOf(signer)
    assert.deepEqual(made.body, { credentialID: row?.id })
    const { subject } = await service.admin('credential.show', { credentialID: row?.id ?? '' })
    assert.match(subject ?? '', /^CN=Zażółć Gęślą/)
  })

  test('under a name that is written a little otherwise, and gets it as the operator wrote it', async () => {
    const signer = await newSigner('Anna Nowak')
    const asked = wish(P256, { commonName: ' anna NOWAK ' })
    const { token } = await obtain(signer, detail(asked))
    const { status, body } = await create(token, asked, { certInfo: true })
    assert.deepEqual([status, body.cert?.subjectDN], [201, 'CN=Anna Nowak,O=Paraph demo'])
  })

  test('in Polish', async () => {
    const signer = await newSigner()
    const browser = new FormBrowser(service, 0, { 'accept-language': 'pl' })
    const { url } = await requestUrl(config, detail(wish(P256)))
    const first = await browser.send('GET', `${url.pathname}${url.search}`)
    await browser.open(first.headers.get('location') ?? '')
    await browser.submit('/portal/sign-in', { login: signer.login, password: signer.password })
    assert.match(browser.html, /Czy chcesz nowy certyfikat\?/)
    assert.match(browser.html, /Krzywa eliptyczna P-256/)
  })

  test('of 40 who come with the token at once, on two fronts, one gets it', async () => {
    const signer = await newSigner()
    const { token } = await obtain(signer)
    const answers = await Promise.all(Array.from({ length: 40 }, (_, i) => create(token, wish(P256), {}, i % 2)))
    assert.equal(answers.filter(({ status }) => status === 201).length, 1)
    for (const { status, body } of answers)
      if (status !== 201) assert.deepEqual([status, body.error], [401, 'expired_token'])
    assert.equal((await rowsOf(signer)).length, 1)
    await service.checkWorld()
  })

  test('by passkey, which is asked for this policy and this name', async () => {
    const signer = await newSigner()
    const passkey = await newPasskey(service, signer)
    const { url, verifier } = await requestUrl(config, detail(wish(P256)))
    const answered = await answerByPasskey(service, url, passkey, { signer })
    const { access_token: token } = await redeem(config, answered, verifier)
    assert.equal((await create(token)).status, 201)
    const granted = (await service.checkWorld()).of('approval.granted').at(-1)
    assert.deepEqual([granted?.leaf.f?.['kind'], granted?.leaf.f?.['factor']], ['creation', 'passkey'])
    const { statement, response } = JSON.parse(granted?.open.get('assertion') ?? '{}')
    const lines = statement.split('\n')
    assert.equal(lines[0], 'paraph/approve-creation/v1')
    assert.deepEqual(JSON.parse(lines.at(-1)), wish(P256))
    const { challenge } = JSON.parse(Buffer.from(response.response.clientDataJSON, 'base64url').toString())
    assert.equal(challenge, createHash('sha256').update(statement).digest('base64url'))
  })
})

describe('nothing is made', () => {
  test('by a request that is wrong or was not agreed to, which spends nothing', async () => {
    const signer = await newSigner()
    const { token } = await obtain(signer)
    const send = (body: unknown) => service.post(PATH, body, { bearer: token })
    const asked = (request: unknown, more: object = {}) => send({ credentialCreationRequest: request, ...more })
    const missing = 'Missing (or invalid type) parameter "credentialCreationRequest"'
    const unnamed = 'Missing (or invalid type) string parameter certificatePolicy'
    const policy = 'Invalid parameter certificatePolicy'
    const subject = 'Invalid parameter subjectData'
    const wrong: [() => ReturnType<typeof send>, string][] = [
      [() => send({}), missing],
      [() => send(wish(P256)), missing],
      ...[null, 'x', 7, [wish(P256)]].map((request): [() => ReturnType<typeof send>, string] => [
        () => asked(request),
        missing,
      ]),
      [() => asked({}), unnamed],
      [() => asked({ certificatePolicy: 7, subjectData: 'x' }), unnamed],
      [() => asked({ certificatePolicy: P256, subjectData: 'x' }), subject],
      [() => asked({ certificatePolicy: P256, subjectData: [] }), subject],
      ...['', '2.999.1', '2.999.1.3', '1.2.3', `${P256}\0`, '__proto__'].map(
        (one): [() => ReturnType<typeof send>, string] => [() => asked(wish(one)), policy],
      ),
      [() => asked(wish(RSA)), policy],
      ...[
        {},
        { commonName: 'Other Person' },
        { commonName: NAME.toUpperCase() },
        { commonName: NAME, organization: 'Acme' },
        { commonName: [NAME] },
        { commonName: null },
      ].map((data): [() => ReturnType<typeof send>, string] => [() => asked(wish(P256, data)), subject]),
      [() => asked({ certificatePolicy: P256 }), subject],
      [() => asked(wish(P256), { credentialInfo: 'true' }), 'Invalid parameter "credentialInfo"'],
      [() => asked(wish(P256), { certificates: 'all' }), 'Invalid parameter "certificates"'],
      [() => asked(wish(P256), { certificates: 1 }), 'Invalid parameter "certificates"'],
      [() => asked(wish(P256), { certInfo: 'yes' }), 'Invalid parameter "certInfo"'],
      [() => asked(wish(P256), { authInfo: 1 }), 'Invalid parameter "authData"'],
      [() => asked(wish(P256), { authData: 'yes' }), 'Invalid parameter "authData"'],
      [() => asked(wish(P256), { clientData: 7 }), 'Invalid parameter clientData'],
    ]
    for (const [request, text] of wrong) {
      const { status, body } = await request()
      assert.deepEqual([status, body], [400, { error: 'invalid_request', error_description: text }])
    }
    await none(signer, 'nothing was right')
    assert.equal((await create(token)).status, 201)
    await service.checkWorld()
  })

  test('that cannot be made: the client is told before a code is asked for', async () => {
    const invalid = (name: string) => ['invalid_request', `Invalid parameter ${name}`]
    const early: [object, object][] = [
      [{ certificatePolicy: '1.2.3' }, invalid('certificatePolicy')],
      [{ subjectData: {} }, ['invalid_request', 'Missing (or invalid type) string parameter certificatePolicy']],
      [wish(P256, { organization: 'Acme' }), invalid('subjectData')],
      [{ certificatePolicy: P256, subjectData: 'x' }, invalid('subjectData')],
    ]
    for (const [request, expected] of early) assert.deepEqual(await refused(detail(request)), expected)
    assert.deepEqual(await refused({ authorization_details: '[{"type":"credential-creation"}]' }), [
      'invalid_request',
      'Missing (or invalid type) parameter "credentialCreationRequest"',
    ])
    assert.deepEqual(await refused(detail(wish(P256), { acr_values: 'high' })), [
      'invalid_request',
      'Missing (or invalid type) array parameter acr_values',
    ])
    assert.deepEqual(
      await refused({ scope: 'credential-creation' }),
      ['invalid_scope', 'The requested scope is invalid, unknown, or malformed.'],
      'a scope alone does not say what',
    )
    const signer = await newSigner('Ola Nowak')
    assert.deepEqual(await signedInAnd(signer, detail(wish(P256))), invalid('subjectData'), 'the name of another')
    await none(signer, 'not even asked')
  })

  /** The error that a signer is sent back with when the page is shown. */
  async function signedInAnd(signer: TestSigner, parameters: Record<string, string>) {
    const { url } = await requestUrl(config, parameters)
    const browser = new FormBrowser(service)
    const first = await browser.send('GET', `${url.pathname}${url.search}`)
    await browser.open(first.headers.get('location') ?? '')
    const form = { ...browser.hidden('/portal/sign-in'), login: signer.login, password: signer.password }
    let response = await browser.send('POST', '/portal/sign-in', form)
    for (let to = response.headers.get('location'); to?.startsWith('/'); to = response.headers.get('location')) {
      response = await browser.send('GET', to)
    }
    return refusedAt(response)
  }

  test('for a signer who has ten, also when they came after the agreement', async () => {
    const signer = await newSigner()
    for (let n = 0; n < 9; n++) await service.newCredential(signer, 'p-256')
    const both = [await obtain(signer), await obtain(signer)]
    const holder = await openClient(service.ownerUrl)
    await holder.query('begin')
    await holder.query('select from paraph.signer where login = $1 for update', [signer.login])
    const outcomes = Promise.allSettled(
      both.map(({ token }, i) =>
        askWorker(service, 'createCredential', { origin, bearer: token, creation: wish(P256) }, i),
      ),
    )
    await until('both wait for each other', async () => {
      const { rows } = await owner.query(
        `select count(*)::int as n from pg_stat_activity where datname = current_database() and wait_event_type = 'Lock'`,
      )
      return rows[0].n === 2
    })
    await holder.query('rollback')
    await holder.end()
    const made = (await outcomes).map(({ status }) => status)
    assert.deepEqual([...made].sort(), ['fulfilled', 'rejected'])
    assert.equal((await rowsOf(signer)).length, 10)
    const late = both[made.indexOf('rejected')]?.token ?? ''
    const text = 'The signer has as many credentials as can be made in this way.'
    const { status, body } = await create(late)
    assert.deepEqual([status, body], [400, { error: 'access_denied', error_description: text }])
    assert.deepEqual(await signedInAnd(signer, detail(wish(P256))), ['access_denied', text])
    await service.admin('credential.revoke', { credentialID: (await rowsOf(signer))[0]?.id ?? '' })
    assert.equal((await create(late)).status, 201, 'it was not spent')
  })

  test('with a token of another scope, and with this one nothing else is done', async () => {
    const signer = await newSigner()
    const id = await service.newCredential(signer, 'p-256')
    const { token: deletion } = await obtain(signer, {
      authorization_details: JSON.stringify([{ type: 'credential-deletion', credentialID: id }]),
    })
    for (const bearer of [
      await service.login(signer),
      (await obtain(signer, { scope: 'service' } as never)).token,
      deletion,
    ]) {
      const { status, body } = await create(bearer)
      assert.deepEqual([status, body.error, body.error_description], [403, 'access_denied', DENIED])
      await assert.rejects(
        askWorker(service, 'createCredential', { origin, bearer, creation: wish(P256) }),
        { code: 'scope_missing' },
        'whatever a front lets in',
      )
    }
    const { token } = await obtain(signer)
    for (const [method, body] of [
      ['credentials/list', {}],
      ['credentials/info', { credentialID: id }],
      ['credentials/delete', { credentialDeletionRequest: { credentialID: id } }],
      ['credentials/authorize', { credentialID: id, numSignatures: 1 }],
      ['signatures/signHash', { credentialID: id }],
    ] as const) {
      assert.equal((await service.post(`/csc/v2/${method}`, body, { bearer: token })).status, 403, method)
    }
    await assert.rejects(askWorker(service, 'deleteCredential', { origin, bearer: token, credentialId: id }), {
      code: 'scope_missing',
    })
    assert.equal((await rowsOf(signer)).length, 1)
  })

  test('without a code, with a wrong one, or against the signer’s will', async () => {
    const signer = await newSigner()
    const browser = await ask(service, (await requestUrl(config, detail(wish(P256)))).url, { signer })
    const action = browser.url
    assert.equal(await browser.submit(action, { answer: 'yes' }), 400)
    assert.equal(await browser.submit(action, { answer: 'yes', code: '00000000' }), 400)
    const name = action.split('/').at(-1) as string
    const bearer = await pageSession(service, signer)
    const { approvalId } = await askWorker(service, 'readApproval', { origin, bearer, name })
    await assert.rejects(
      askWorker(service, 'approve', { origin, bearer, approvalId, factors: {} }),
      { code: 'code_missing' },
      'a front with the session of the page, and no code',
    )
    await assert.rejects(
      askWorker(service, 'exchange', { origin, name, tokenHash: tokenHash(newSecret()) }),
      { code: 'approval_unknown' },
      'a front alone gets no token',
    )
    await assert.rejects(askWorker(service, 'createCredential', { origin, bearer, creation: wish(P256) }), {
      code: 'scope_missing',
    })
    await assert.rejects(
      askWorker(service, 'createCredential', { origin, bearer: newSecret(), creation: wish(P256) }),
      {
        code: 'token_unknown',
      },
    )
    const { url } = await requestUrl(config, detail(wish(P256)))
    const { url: back } = await answer(service, url, { signer, no: true })
    assert.equal(back.searchParams.get('error'), 'access_denied')
    await none(signer, 'nobody agreed')
    await service.checkWorld()
  })

  test('for a client that may not ask for it', async () => {
    const plain = await register(service, { name: 'Plain' })
    assert.deepEqual(await refused(detail(wish(P256)), plain), [
      'invalid_authorization_details',
      "authorization details type 'credential-creation' is not allowed for this client",
    ])
    const request = { origin, way: 'oauth', kind: 'creation', redirectUri: REDIRECT, creation: wish(P256) } as const
    await assert.rejects(
      askWorker(service, 'requestApproval', { ...request, name: newSecret(), clientId: plain.clientId }),
      { code: 'client_unknown' },
      'whatever a front asks',
    )
    await assert.rejects(
      askWorker(service, 'requestApproval', {
        ...request,
        name: newSecret(),
        clientId: client.clientId,
        creation: wish('1.2.3'),
      }),
      { code: 'parameter_invalid' },
    )
  })

  test('by a worker without a certificate authority, which spends nothing', async () => {
    const signer = await newSigner()
    const { token } = await obtain(signer)
    const { caHsmUri: _, ...settings } = service.newWorkerSettings(2)
    const worker = await service.startWorker(settings)
    try {
      const creation = wish(P256)
      await assert.rejects(askWorker(service, 'createCredential', { origin, bearer: token, creation }, 2), {
        code: 'method_unknown',
      })
      const asked = { origin, name: newSecret(), way: 'oauth', kind: 'creation', creation } as const
      await assert.rejects(
        askWorker(service, 'requestApproval', { ...asked, clientId: client.clientId, redirectUri: REDIRECT }, 2),
        { code: 'client_unknown' },
      )
    } finally {
      await worker.close()
    }
    await none(signer, 'nobody would have certified it')
    assert.equal((await create(token)).status, 201)
  })

  test('by whoever owns the database', async () => {
    const signer = await newSigner()
    const { token } = await obtain(signer)
    const hashOf = (text: string) => Buffer.from(tokenHash(text), 'base64')
    const forged = newSecret()
    await owner.query(
      `insert into paraph.token (hash, kind, session_id, signer_id, client_id, scope, family, expires_at, approval_id)
       select $1, kind, session_id, signer_id, client_id, scope, family, expires_at, approval_id from paraph.token where hash = $2`,
      [hashOf(forged), hashOf(token)],
    )
    const { status, body } = await create(forged)
    assert.deepEqual([status, body.error], [401, 'invalid_token'], 'a token that no approval knows')
    const more = JSON.stringify(wish(RSA))
    await owner.query(
      'update paraph.approval set details = $1 where id = (select approval_id from paraph.token where hash = $2)',
      [more, hashOf(token)],
    )
    assert.equal((await create(token, wish(RSA))).status, 500, 'an approval that somebody changed')
    await none(signer, 'the row is not trusted')
  })

  test('by a device that fails: what was agreed to is spent, and the reconciler closes what was begun', async () => {
    const signer = await newSigner()
    const { token } = await obtain(signer)
    broken = true
    const failed = await create(token).finally(() => {
      broken = false
    })
    assert.deepEqual([failed.status, failed.body.error], [503, 'temporarily_unavailable'])
    assert.deepEqual((await create(token)).body.error, 'expired_token')
    assert.deepEqual(
      (await rowsOf(signer)).map(({ state }) => state),
      ['pending'],
    )
    const bearer = await service.login(signer)
    assert.deepEqual((await service.post('/csc/v2/credentials/list', {}, { bearer })).body, { credentialIDs: [] })
    await service.moveClock(6 * 60_000)
    const late = await service.startWorker(service.newWorkerSettings(3))
    await late.close()
    await none(signer, 'abandoned')
    assert.equal((await service.checkWorld()).of('credential.abandoned').length, 1)
  })
})
