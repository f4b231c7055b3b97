/** Requests of those who may not ask, or that are no requests: refused before anything is looked at, and in the log. */
import assert from 'node:assert/strict'
import { randomBytes, randomUUID } from 'node:crypto'
import { after, before, describe, mock, test } from 'node:test'
import { Client } from '../../src/db/pool.js'
import { PasswordHasher } from '../../src/identity/password.js'
import { Keeper } from '../../src/keeper/keeper.js'
import { Chores } from '../../src/sam/chores.js'
import { TailWatch } from '../../src/sam/tail-watch.js'
import {
  assertCounted,
  assertLogged,
  assertRefused,
  authorizeBody,
  basic,
  CscClient,
  digests,
  HASH_OID,
  logged,
  OwnFront,
  RSA,
  signHashBody,
  spent,
  until,
  VERSIONS,
  type Version,
  watchedDevice,
} from '../helpers/csc.js'
import { type Answer, TestService, type TestSigner } from '../helpers/test-service.js'

const MALFORMED =
  'The request is missing a required parameter, includes an invalid parameter value, includes a parameter more than once, or is otherwise malformed.'
const UNKNOWN_TOKEN = 'The token provided is not a valid OAuth access or refresh token.'
const OVER = 'The access or refresh token is expired or has been revoked.'
const LOGIN_FAILED = 'An error occurred during authentication process'
const HASHES = ['a', 'b']

const device = watchedDevice()
let service: TestService
let front: OwnFront
let credential: string
let stranger: TestSigner
let strangersCredential: string

before(async () => {
  // What is done again and again, of itself, would stand among the statements that are compared here.
  mock.method(Chores.prototype, 'start', () => {})
  mock.method(TailWatch.prototype, 'start', () => {})
  mock.getter(TailWatch.prototype, 'bounded', () => true)
  mock.method(Keeper.prototype, 'start', () => {})
  service = await TestService.start({ keys: ['rsa-2048'], device: device.wrap })
  credential = service.credentials['rsa-2048'] as string
  stranger = await service.newSigner('stranger@example.test', 'Stranger')
  strangersCredential = await service.newCredential(stranger, 'p-256', { pin: '123456' })
  front = await OwnFront.open(service)
})
after(async () => {
  mock.restoreAll()
  await front?.close()
  await service?.close()
})

/** Right requests for every method that needs a token, whatever comes of them. */
const closedMethods = (version: Version): Record<string, unknown> => ({
  'credentials/list': {},
  'credentials/info': { credentialID: credential },
  'credentials/authorize': authorizeBody(version, {
    credentialID: credential,
    hashes: digests('closed'),
    code: '12345678',
  }),
  'credentials/extendTransaction': {
    credentialID: credential,
    SAD: 'closed',
    [version === 'v1' ? 'hash' : 'hashes']: digests('closed'),
    hashAlgorithmOID: HASH_OID['sha-256'],
  },
  'signatures/signHash': signHashBody(version, {
    credentialID: credential,
    SAD: 'closed',
    hashes: digests('closed'),
    signAlgo: RSA,
    digestOid: HASH_OID['sha-256'],
  }),
  'auth/revoke': { token: 'closed' },
})

for (const version of VERSIONS) {
  const malformedHeader = { v1: MALFORMED, v2: 'Malformed authorization header.' }[version]
  const path = (method: string) => `/csc/${version}/${method}`

  describe(`${version}: who asks`, () => {
    /** Every method answers like this to such a token, and nothing is spent. */
    async function refuseEverywhere(
      headers: Record<string, string>,
      status: number,
      error: string,
      description: string,
      why: string,
    ): Promise<void> {
      const before = await spent(service)
      const client = front.client(version)
      for (const [method, body] of Object.entries(closedMethods(version))) {
        const answer = await client.ask(method, body, headers)
        assertRefused(answer, status, error, description)
        front.count(path(method), status, why)
        const challenge = answer.headers.get('www-authenticate')
        assert.equal(challenge, status === 401 ? 'Bearer realm="paraph", error="invalid_token"' : null)
        assert.equal(answer.headers.get('cache-control'), 'no-store')
      }
      assert.equal(await spent(service), before)
    }
    const bearer = (token: string) => ({ authorization: `Bearer ${token}` })

    test('nobody, or with a header that is no Bearer', async () => {
      const token = (await front.client(version).login()).body.access_token
      const refuse = (headers: Record<string, string>) =>
        refuseEverywhere(headers, 400, 'invalid_request', malformedHeader, 'token_malformed')
      await refuse({})
      await refuse({ authorization: '' })
      await refuse({ authorization: token })
      await refuse({ authorization: 'Bearer' })
      await refuse({ authorization: `Bearer ${token} ${token}` })
      await refuse({ authorization: `Token ${token}` })
      await refuse(basic(service.signer.login, service.signer.password))
    })

    test('with a token that nobody has', async () => {
      const refuse = (token: string) =>
        refuseEverywhere(bearer(token), 401, 'invalid_token', UNKNOWN_TOKEN, 'token_unknown')
      const token = (await front.client(version).login()).body.access_token
      await refuse(randomBytes(32).toString('base64url'))
      await refuse(`${token}A`)
      await refuse(token.slice(0, -1))
      await refuse('x'.repeat(4000))
    })

    test('with a token of another kind', async () => {
      const client = front.client(version)
      const { body } = await client.login(service.signer, { rememberMe: true })
      const SAD = await client.sad({ credentialID: credential, hashes: digests(`another kind ${version}`) })
      for (const token of [body.refresh_token, SAD]) {
        await refuseEverywhere(bearer(token), 401, 'invalid_token', UNKNOWN_TOKEN, 'token_unknown')
      }
    })

    test('with a token that is over: revoked, of a session that ended, of a signer who is suspended', async () => {
      const refuse = (token: string) => refuseEverywhere(bearer(token), 401, 'expired_token', OVER, 'token_expired')
      const revoked = front.client(version)
      await revoked.login()
      const first = revoked.bearer as string
      assert.equal((await revoked.revoke(first)).status, 204)
      await refuse(first)

      const ended = (await front.client(version).login()).body.access_token
      await service.moveClock(180_000)
      await refuse(ended)

      const suspended = (await front.client(version).login()).body.access_token
      await service.admin('signer.suspend', { signer: service.signer.login })
      await refuse(suspended)
      await service.admin('signer.resume', { signer: service.signer.login })
      await refuse(suspended)
    })

    test('and the first refusal of a kind is in the log at once, with its request', async () => {
      const answer = await new CscClient(service, version).ask('credentials/list', {})
      await until('the log has it', async () => (await logged(service, answer)).length > 0)
      const [entry, ...more] = await logged(service, answer)
      assert.deepEqual(more, [])
      assert.deepEqual(
        [entry?.ev, entry?.out, entry?.why, entry?.api, entry?.f],
        [
          'access.refused',
          'refused',
          'token_malformed',
          version,
          { count: 1, endpoint: path('credentials/list'), status: 400 },
        ],
      )
    })
  })

  describe(`${version}: what is no request`, () => {
    const bodies = ['{', '{"credentialID":}', '', '[]', 'null', '7', '"text"', '{"a":1}{"b":2}', "{'a':1}"]

    test('a body that is no JSON object', async () => {
      const client = front.client(version)
      await client.login()
      const before = await spent(service)
      for (const method of ['credentials/info', 'credentials/authorize', 'signatures/signHash', 'auth/revoke']) {
        for (const body of [...bodies, '{"__proto__":{"credentialID":"x"}}', '\ufeff{']) {
          assertRefused(await client.ask(method, body), 400, 'invalid_request', MALFORMED)
          front.count(path(method), 400, 'request_malformed')
        }
      }
      for (const body of bodies.filter((one) => one !== '')) {
        assertRefused(await client.tokens(body), 400, 'invalid_request', MALFORMED)
        front.count(path('auth/login'), 400, 'request_malformed')
      }
      assert.equal(await spent(service), before)
    })

    test('a body that is too large, of another type, or in no UTF-8', async () => {
      const client = front.client(version)
      await client.login()
      const before = await spent(service)
      const right = closedMethods(version)
      for (const method of Object.keys(right)) {
        const large = JSON.stringify({ ...(right[method] as object), filler: 'x'.repeat(256 * 1024) })
        assertRefused(await client.ask(method, large), 413, 'invalid_request', 'The request body is too large.')
        front.count(path(method), 413, 'body_too_large')
        const form = await client.ask(method, JSON.stringify(right[method]), {
          'content-type': 'application/x-www-form-urlencoded',
        })
        assertRefused(form, 415, 'invalid_request', 'The content type must be application/json.')
        front.count(path(method), 415, 'media_type_unsupported')
        const latin = await fetch(`${service.urls[front.index]}${path(method)}`, {
          method: 'POST',
          headers: { 'content-type': 'application/json', authorization: `Bearer ${client.bearer}` },
          body: Buffer.from('{"clientData":"\xe9"}', 'latin1'),
        })
        assert.deepEqual(
          [latin.status, await latin.json()],
          [400, { error: 'invalid_request', error_description: MALFORMED }],
        )
        front.count(path(method), 400, 'request_malformed')
      }
      assert.equal(await spent(service), before)
    })

    test('a stranger with such a body learns only that he has no token', async () => {
      const client = front.client(version)
      for (const body of ['{', 'x'.repeat(300_000)]) {
        assertRefused(await client.ask('credentials/info', body), 400, 'invalid_request', malformedHeader)
        front.count(path('credentials/info'), 400, 'token_malformed')
      }
    })

    test('another HTTP method, an unknown method, another address', async () => {
      const ask = async (method: string, address: string) => {
        const response = await fetch(`${service.urls[front.index]}${address}`, { method })
        return { status: response.status, headers: response.headers, body: await response.json() }
      }
      const other = await ask('GET', path('signatures/signHash'))
      assertRefused(other, 405, 'invalid_request', 'This address has other HTTP methods.')
      assert.equal(other.headers.get('allow'), 'POST')
      front.count(path('signatures/signHash'), 405, 'verb_not_allowed')
      const unknown = await ask('POST', path('signatures/signDoc'))
      assertRefused(unknown, 501, 'not_implemented_method', 'This method is not implemented.')
      front.count('unknown', 501, 'method_unknown')
      const nothing = await ask('POST', '/signHash')
      assertRefused(nothing, 404, 'not_found', 'There is nothing at this address.')
      front.count('unknown', 404, 'not_found')
    })
  })

  describe(`${version}: login`, () => {
    const login = (headers: Record<string, string>, body: unknown = {}) => front.client(version).tokens(body, headers)
    const encoded = (bytes: string | Buffer) => ({ authorization: `Basic ${Buffer.from(bytes).toString('base64')}` })

    test('without login and password, or with what is neither', async () => {
      for (const headers of [
        {},
        { authorization: 'Basic' },
        { authorization: 'Basic !!!!' },
        { authorization: 'Bearer x' },
      ]) {
        const answer = await login(headers)
        assertRefused(answer, 401, 'invalid_request', 'Malformed authentication parameter.')
        assert.equal(answer.headers.get('www-authenticate'), 'Basic realm="paraph", charset="UTF-8"')
        front.count(path('auth/login'), 401, 'login_malformed')
      }
      for (const headers of [encoded('no colon'), encoded('a\0b:c'), encoded(Buffer.from([0xff, 0x3a, 0xff]))]) {
        assertRefused(await login(headers), 400, 'invalid_request', 'Malformed username-password.')
        front.count(path('auth/login'), 400, 'login_undecodable')
      }
    })

    test('with members of the wrong type', async () => {
      for (const [body, text] of [
        [{ refresh_token: 7 }, 'Invalid string parameter: refresh_token'],
        [{ rememberMe: 'yes' }, 'Invalid parameter rememberMe'],
      ] as const) {
        assertRefused(await login({}, body), 400, 'invalid_request', text)
        front.count(path('auth/login'), 400, 'parameter_invalid')
      }
    })

    test('with a wrong password, an unknown login or a suspended signer: one answer, one path', async () => {
      const suspended = await service.newSigner(`suspended-${version}@example.test`, 'Suspended')
      await service.admin('signer.suspend', { signer: suspended.login })
      const known = await service.newSigner(`known-${version}@example.test`, 'Known')
      const seen: object[] = []
      for (const [user, password] of [
        [known.login, 'not the password'],
        [`nobody-${version}@example.test`, service.signer.password],
        [suspended.login, suspended.password],
        [known.login.toUpperCase(), stranger.password],
      ] as const) {
        // The first and the second of them, and the tenth, which nobody looks at.
        for (let attempt = 1; attempt <= 10; attempt++) {
          const before = await guesses()
          const { answer, path: taken } = await watched(() => login(basic(user, password)))
          assertRefused(answer, 400, 'authentication_error', LOGIN_FAILED)
          await assertCounted(service, answer, 'auth.login_failed', 'login_failed')
          const written = (await guesses()).filter((row) => !before.includes(row)).length
          seen.push({ headers: headersOf(answer), path: taken, written })
        }
      }
      for (const one of seen) assert.deepEqual(one, { ...seen[0], written: 1 })
      await service.moveClock(60_000)
      assert.equal((await login(basic(known.login, known.password))).status, 200)
    })

    test('after five wrong passwords not even the right one is looked at, for a while', async () => {
      const signer = await service.newSigner(`guessed-${version}@example.test`, 'Guessed')
      const wrong = basic(signer.login, 'guess number one')
      const right = basic(signer.login, signer.password)
      for (let i = 0; i < 5; i++) assertRefused(await login(wrong), 400, 'authentication_error', LOGIN_FAILED)
      const refused = await watched(() => login(right))
      assertRefused(refused.answer, 400, 'authentication_error', LOGIN_FAILED)
      await assertCounted(service, refused.answer, 'auth.login_failed', 'login_failed')
      assert.equal(refused.path.slow, 1, 'as slow as ever')
      await service.moveClock(1_000)
      assert.equal((await login(right)).status, 200)
      assertRefused(await login(wrong), 400, 'authentication_error', LOGIN_FAILED)
      assert.equal((await login(right)).status, 200, 'a right one begins the count anew')
    })
  })
}

/** Each row of counted guesses, with the transaction that wrote it. */
async function guesses(): Promise<string[]> {
  const { rows } = await (await service.owner()).query(
    `select concat_ws(' ', signer_id, target, xmin, ctid) as row from paraph.guess`,
  )
  return rows.map(({ row }) => row)
}

/** What the service did meanwhile: its statements in their order, and how often it did something slow. */
async function watched(act: () => Promise<Answer>): Promise<{
  answer: Answer
  path: { statements: string[]; slow: number; device: number }
}> {
  const statements: string[] = []
  const query = Client.prototype.query
  const queries = mock.method(Client.prototype, 'query', function (this: Client, ...parameters: unknown[]) {
    const [asked] = parameters as [string | { text: string }]
    const text = typeof asked === 'string' ? asked : asked.text
    // A refusal is written beside its answer, and only the first of a kind at once.
    if (!/append_front|audit\.staged|^(begin|commit)$/.test(text)) statements.push(text)
    return Reflect.apply(query, this, parameters)
  })
  const verify = mock.method(PasswordHasher.prototype, 'verify')
  const asked = device.calls
  try {
    const answer = await act()
    return {
      answer,
      path: { statements, slow: verify.mock.callCount(), device: device.calls - asked },
    }
  } finally {
    queries.mock.restore()
    verify.mock.restore()
  }
}

/** Without what differs between any two answers. */
function headersOf({ headers }: Answer): Record<string, string> {
  const { date: _date, 'x-request-id': _id, ...rest } = Object.fromEntries(headers)
  return rest
}

describe("somebody else's credential", () => {
  const unknown = [randomUUID(), 'no id at all']

  for (const version of VERSIONS) {
    const requests: Record<string, (client: CscClient, id: string, SAD: string, code: string) => Promise<Answer>> = {
      'credentials/info': (client, id) => client.info(id, { certInfo: true, authInfo: true }),
      'credentials/authorize': (client, id, _SAD, code) =>
        client.authorize({ credentialID: id, hashes: HASHES.flatMap((label) => digests(label)), code, pin: '123456' }),
      'signatures/signHash': (client, id, SAD) =>
        client.signHash({
          ...{ credentialID: id, SAD, hashes: HASHES.flatMap((label) => digests(label)) },
          ...{ signAlgo: RSA, digestOid: HASH_OID['sha-256'] },
        }),
    }
    for (const [method, request] of Object.entries(requests)) {
      test(`${version} ${method}: the answer and the way to it are those of a credential that nobody has`, async () => {
        const client = front.client(version)
        await client.login()
        const hashes = HASHES.flatMap((label) => digests(label))
        const SAD = await client.sad({ credentialID: credential, hashes })
        const code = await service.freshCode()
        const before = await spent(service)
        // Whoever comes first is remembered as a caller; this is not what is compared.
        assert.equal((await client.list()).status, 200)
        const ask = async (id: string) => {
          const { answer, path } = await watched(() => request(client, id, SAD, code))
          assertRefused(answer, 400, 'invalid_request', 'Invalid parameter credentialID')
          if (method === 'credentials/authorize')
            await assertLogged(service, answer, 'sad.denied', 'credential_unknown')
          else front.count(`/csc/${version}/${method}`, 400, 'credential_unknown')
          return { status: answer.status, body: answer.body, headers: headersOf(answer), path }
        }
        const foreign = await ask(strangersCredential)
        for (const id of unknown) assert.deepEqual(await ask(id), foreign)
        assert.deepEqual([foreign.path.slow, foreign.path.device], [0, 0])
        assert.ok(foreign.path.statements.length > 0, 'the statements were seen')
        assert.equal(await spent(service), before)
        assert.equal((await client.authorize({ credentialID: credential, hashes, code })).status, 200)
      })
    }
  }

  test('is not listed either', async () => {
    for (const version of VERSIONS) {
      const client = front.client(version)
      await client.login()
      assert.deepEqual((await client.list()).body.credentialIDs, [credential])
      await client.login(stranger)
      assert.deepEqual((await client.list()).body.credentialIDs, [strangersCredential])
    }
  })
})

test('the log has every one of these refusals', async () => {
  await front.close()
  front.assertLogged(await service.checkWorld())
})
