/** Sessions and tokens: how they begin, and that everything in them ends when they do. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { after, before, describe, test } from 'node:test'
import { Client } from '../../src/db/pool.js'
import {
  assertCounted,
  assertLogged,
  assertRefused,
  basic,
  CscClient,
  digests,
  ECDSA_WITH,
  logged,
  OwnFront,
  spent,
  until,
  VERSIONS,
  watchedDevice,
} from '../helpers/csc.js'
import { type Answer, keepSecret, TestService, type TestSigner } from '../helpers/test-service.js'

const OVER = 'The access or refresh token is expired or has been revoked.'
const ecdsa = { signAlgo: ECDSA_WITH['sha-256'] }
const device = watchedDevice()

let service: TestService
let credential: string
let other: TestSigner
before(async () => {
  service = await TestService.start({ keys: ['p-256'], device: device.wrap })
  credential = service.credentials['p-256'] as string
  other = await service.newSigner('other@example.test', 'Other')
})
after(() => service?.close())

const isOver = (answer: Answer) => assertRefused(answer, 401, 'expired_token', OVER)
const isUnknownRefresh = (answer: Answer) => assertRefused(answer, 400, 'invalid_request', 'Invalid refresh_token')

for (const version of VERSIONS) {
  const newClient = () => new CscClient(service, version)
  const withToken = (bearer: string) => new CscClient(service, version, { bearer })
  const refresh = (token: unknown, headers: Record<string, string> = {}) =>
    newClient().tokens({ refresh_token: token }, headers)
  const sign = (client: CscClient, SAD: string, hashes: string[]) =>
    client.signHash({ credentialID: credential, SAD, hashes, ...ecdsa })

  describe(`${version}: a session`, () => {
    test('begins with a login, tells how long it lasts, and gives no refresh token unless asked', async () => {
      const client = newClient()
      const answer = await client.login()
      assert.deepEqual(Object.keys(answer.body).sort(), ['access_token', 'expires_in'])
      assert.equal(answer.body.expires_in, 180)
      assert.match(answer.body.access_token, /^[A-Za-z0-9._-]{43,}$/)
      assert.deepEqual(
        (await logged(service, answer)).map(({ ev, out, api }) => [ev, out, api]),
        [['auth.login', 'ok', version]],
      )
      const another = await newClient().login()
      assert.notEqual(another.body.access_token, answer.body.access_token)
      assert.equal((await client.list()).status, 200, 'two sessions stand side by side')
    })

    test('does not mind how the login is spelled, and takes UTF-8', async () => {
      const { login, password } = service.signer
      const spelled = await newClient().tokens({}, basic(login.toUpperCase(), password))
      assert.equal(spelled.status, 200)
      const unicode = { login: `zoë-${version}@example.test`, password: 'pässwörd: with a colon' }
      keepSecret(unicode.password)
      await service.admin('signer.create', { ...unicode, name: 'Zoë' })
      assert.equal((await newClient().tokens({}, basic(unicode.login, unicode.password))).status, 200)
      const decomposed = unicode.password.normalize('NFD')
      assert.equal((await newClient().tokens({}, basic(unicode.login, decomposed))).status, 200)
    })

    test('ends after 180 seconds, and with it its SADs', async () => {
      const client = newClient()
      await client.login()
      const began = service.clock.offset
      const age = (seconds: number) => service.moveClock(began + seconds * 1000 - service.clock.offset)
      const hashes = digests(`ends ${version}`)
      const SAD = await client.sad({ credentialID: credential, hashes })
      await age(150)
      assert.equal((await client.list()).status, 200)
      await age(180)
      const [before, asked] = [await spent(service), device.calls]
      for (const answer of [
        await client.list(),
        await client.info(credential),
        await client.authorize({ credentialID: credential, hashes, code: '12345678' }),
        await sign(client, SAD, hashes),
        await client.revoke(client.bearer),
      ]) {
        isOver(answer)
        assert.equal(answer.headers.get('www-authenticate'), 'Bearer realm="paraph", error="invalid_token"')
      }
      await client.login()
      assertRefused(await sign(client, SAD, hashes), 400, 'invalid_request', 'Invalid parameter SAD')
      assert.equal(await spent(service), before)
      assert.equal(device.calls, asked)
    })
  })

  describe(`${version}: a refresh token`, () => {
    test('opens a new session, without the agreements of the old one', async () => {
      const client = newClient()
      const first = await client.login(service.signer, { rememberMe: true })
      const hashes = digests(`refreshed ${version}`)
      const SAD = await client.sad({ credentialID: credential, hashes })
      const second = await refresh(first.body.refresh_token)
      assert.equal(second.status, 200)
      assert.deepEqual(Object.keys(second.body).sort(), ['access_token', 'expires_in', 'refresh_token'])
      assert.equal(second.body.expires_in, 180)
      assert.notEqual(second.body.refresh_token, first.body.refresh_token)
      assert.deepEqual(
        (await logged(service, second)).map(({ ev, out }) => [ev, out]),
        [['auth.token_refreshed', 'ok']],
      )
      const renewed = withToken(second.body.access_token)
      assertRefused(await sign(renewed, SAD, hashes), 400, 'invalid_request', 'Invalid parameter SAD')
      assert.equal((await sign(client, SAD, hashes)).status, 200, 'the old session is still there')
      // When that one has ended, the new one has half a minute left.
      await service.moveClock(150_000)
      isOver(await client.list())
      const third = await refresh(second.body.refresh_token)
      assert.equal(third.status, 200)
      assert.equal((await withToken(third.body.access_token).list()).status, 200)
    })

    test('works when its session is long over, until thirty days have passed', async () => {
      const { body } = await newClient().login(other, { rememberMe: true })
      await service.moveClock(1 * 24 * 3600_000)
      const next = await refresh(body.refresh_token)
      assert.equal(next.status, 200)
      await service.moveClock(30 * 24 * 3600_000)
      const late = await refresh(next.body.refresh_token)
      isUnknownRefresh(late)
      await assertCounted(service, late, 'auth.login_failed', 'refresh_token_unknown')
    })

    test('that is empty, or longer than any, is an unknown one', async () => {
      for (const token of ['', 'x'.repeat(5000)]) {
        const answer = await refresh(token)
        isUnknownRefresh(answer)
        await assertCounted(service, answer, 'auth.login_failed', 'refresh_token_unknown')
      }
    })

    test('used twice is in wrong hands: all that came of it ends', async () => {
      const first = await newClient().login(service.signer, { rememberMe: true })
      const second = await refresh(first.body.refresh_token)
      const third = await refresh(second.body.refresh_token)
      const client = withToken(third.body.access_token)
      const hashes = digests(`family ${version}`)
      const SAD = await client.sad({ credentialID: credential, hashes })
      const unrelated = newClient()
      await unrelated.login(service.signer, { rememberMe: true })

      const replay = await refresh(first.body.refresh_token)
      isUnknownRefresh(replay)
      assert.deepEqual(
        (await logged(service, replay)).filter(({ ev }) => ev === 'auth.session_ended').map(({ why }) => why),
        Array(3).fill('refresh_token_replayed'),
      )
      const before = await spent(service)
      for (const { body } of [first, second, third]) isOver(await withToken(body.access_token).list())
      isOver(await sign(client, SAD, hashes))
      isUnknownRefresh(await refresh(third.body.refresh_token))
      assert.equal(await spent(service), before)
      assert.equal((await unrelated.list()).status, 200, 'another login is another family')
    })

    test('used twice at the same moment opens one session, and that ends too', async () => {
      const { body } = await newClient().login(service.signer, { rememberMe: true })
      const answers = await Promise.all(Array.from({ length: 8 }, () => refresh(body.refresh_token)))
      const opened = answers.filter(({ status }) => status === 200)
      assert.equal(opened.length, 1)
      for (const answer of answers.filter(({ status }) => status !== 200)) isUnknownRefresh(answer)
      isOver(await withToken(opened[0]?.body.access_token).list())
      isUnknownRefresh(await refresh(opened[0]?.body.refresh_token))
    })

    test('is no password, no access token, and nothing that somebody makes up', async () => {
      const { body } = await newClient().login(service.signer, { rememberMe: true })
      for (const token of [body.access_token, randomBytes(32).toString('base64url'), `${body.refresh_token}A`, 'x']) {
        const answer = await refresh(token)
        isUnknownRefresh(answer)
        await assertCounted(service, answer, 'auth.login_failed', 'refresh_token_unknown')
      }
      // A password beside it is not looked at.
      const { login } = service.signer
      assert.equal((await refresh(body.refresh_token, basic(login, 'not the password'))).status, 200)
    })
  })

  describe(`${version}: revoking`, () => {
    test('an access token ends its session and its SADs', async () => {
      const client = newClient()
      await client.login()
      const hashes = digests(`revoked ${version}`)
      const SAD = await client.sad({ credentialID: credential, hashes })
      const answer = await client.revoke(client.bearer)
      assert.deepEqual([answer.status, answer.body], [204, undefined])
      assert.deepEqual(
        (await logged(service, answer)).map(({ ev, out, f }) => [ev, out, f?.kind]),
        [
          ['auth.token_revoked', 'ok', 'access'],
          ['auth.session_ended', 'ok', undefined],
        ],
      )
      const [before, asked] = [await spent(service), device.calls]
      isOver(await client.list())
      isOver(await sign(client, SAD, hashes))
      await client.login()
      assertRefused(await sign(client, SAD, hashes), 400, 'invalid_request', 'Invalid parameter SAD')
      assert.equal(await spent(service), before)
      assert.equal(device.calls, asked)
    })

    test('an access token leaves the refresh token alive, and another session', async () => {
      const [one, two] = [newClient(), newClient()]
      const { body } = await one.login(service.signer, { rememberMe: true })
      await two.login()
      assert.equal((await two.revoke(one.bearer, 'access_token')).status, 204)
      isOver(await one.list())
      assert.equal((await two.list()).status, 200)
      assert.equal((await refresh(body.refresh_token)).status, 200)
    })

    test('a refresh token ends every access token of its grant', async () => {
      const client = newClient()
      const first = await client.login(service.signer, { rememberMe: true })
      const second = await refresh(first.body.refresh_token)
      const unrelated = newClient()
      await unrelated.login()
      // The hint is only a hint.
      assert.equal((await unrelated.revoke(second.body.refresh_token, 'access_token')).status, 204)
      for (const { body } of [first, second]) isOver(await withToken(body.access_token).list())
      isUnknownRefresh(await refresh(second.body.refresh_token))
      assert.equal((await unrelated.list()).status, 200)
    })

    test("somebody else's token answers like one that nobody has, and lives on", async () => {
      const [mine, his] = [newClient(), newClient()]
      await mine.login()
      const { body } = await his.login(other, { rememberMe: true })
      for (const token of [his.bearer, body.refresh_token, randomBytes(32).toString('base64url'), 'x']) {
        assertRefused(await mine.revoke(token), 400, 'invalid_request', 'Invalid string parameter token')
      }
      assert.equal((await his.list()).status, 200)
      assert.equal((await refresh(body.refresh_token)).status, 200)
      assert.equal((await mine.list()).status, 200)
    })

    test("a token that is nobody's, or somebody else's, is in the log", async () => {
      const signer = await service.newSigner(`nosy-${version}@example.test`, 'Nosy')
      const client = newClient()
      await client.login(signer)
      const his = (await newClient().login(other)).body.access_token
      const [entry] = await eventually(await client.revoke(his))
      assert.deepEqual([entry?.ev, entry?.out, entry?.why], ['auth.token_revoked', 'refused', 'revoke_token_unknown'])
    })

    test('a token that is empty, or longer than any, is an unknown one', async () => {
      const client = newClient()
      await client.login()
      for (const token of ['', 'x'.repeat(5000)]) {
        assertRefused(await client.revoke(token), 400, 'invalid_request', 'Invalid string parameter token')
      }
    })

    test('a token that is over already, or with a wrong request', async () => {
      const [one, two] = [newClient(), newClient()]
      await one.login()
      await two.login()
      const token = one.bearer
      assert.equal((await two.revoke(token)).status, 204)
      assertRefused(await two.revoke(token), 400, 'invalid_request', 'Invalid string parameter token')
      const missing = 'Missing (or invalid type) string parameter token'
      for (const wrong of [undefined, null, 7, [token]]) {
        assertRefused(await two.revoke(wrong), 400, 'invalid_request', missing)
      }
      const hint = 'Invalid string parameter token_type_hint'
      for (const wrong of ['SAD', 7]) {
        assertRefused(await two.revoke(two.bearer, wrong), 400, 'invalid_request', hint)
      }
      assert.equal((await two.list()).status, 200)
    })
  })

  describe(`${version}: while the device signs`, () => {
    /** Whatever happens to it meanwhile, what was signed stays inside, and what was spent is spent. */
    async function withheld(
      stop: (client: CscClient) => Promise<unknown>,
      isStopped: (answer: Answer) => void = isOver,
    ): Promise<CscClient> {
      const client = newClient()
      await client.login()
      const hashes = digests(`withheld ${version} ${stop}`, 2)
      const SAD = await client.sad({ credentialID: credential, hashes })
      device.before = () => stop(client)
      const asked = device.calls
      const answer = await sign(client, SAD, hashes.slice(0, 1))
      assert.equal(device.calls, asked + 1)
      isStopped(answer)
      const world = await service.checkWorld()
      const rid = answer.headers.get('x-request-id')
      const intent = world.of('sign.intent').find(({ leaf }) => (leaf as { rid?: string }).rid === rid)
      const ends = world.entries.filter(({ op, idx }) => op === intent?.op && idx !== intent.idx)
      assert.deepEqual(
        ends.map(({ leaf }) => [leaf.ev, leaf.out]),
        [['sign.withheld', 'refused']],
      )
      const [before, after] = [await spent(service), device.calls]
      assert.notEqual((await sign(client, SAD, hashes.slice(1))).status, 200)
      assert.deepEqual([await spent(service), device.calls], [before, after])
      return client
    }

    test('the token is revoked: nothing leaves', async () => {
      isOver(await (await withheld((client) => client.revoke(client.bearer))).list())
    })

    test('the signer is suspended: nothing leaves', async () => {
      const { login } = service.signer
      try {
        await withheld(() => service.admin('signer.suspend', { signer: login }))
      } finally {
        await service.admin('signer.resume', { signer: login })
      }
    })

    test('the credential is suspended: nothing leaves', async () => {
      const credentialID = credential
      try {
        const client = await withheld(
          () => service.admin('credential.suspend', { credentialID }),
          (answer) => assertRefused(answer, 400, 'invalid_request', 'Invalid parameter SAD'),
        )
        assert.equal((await client.list()).status, 200, 'the session has nothing to do with it')
      } finally {
        await service.admin('credential.resume', { credentialID })
      }
    })
  })

  describe(`${version}: the operator`, () => {
    test('suspends a signer: his tokens are dead for good, and he cannot log in', async () => {
      const client = newClient()
      const { body } = await client.login(other, { rememberMe: true })
      await service.admin('signer.suspend', { signer: other.login })
      isOver(await client.list())
      isUnknownRefresh(await refresh(body.refresh_token))
      const denied = await newClient().tokens({}, basic(other.login, other.password))
      assertRefused(denied, 400, 'authentication_error', 'An error occurred during authentication process')
      await service.admin('signer.resume', { signer: other.login })
      isOver(await client.list())
      await client.login(other)
      assert.equal((await client.list()).status, 200)
    })

    test('sets a new password: every session and refresh token of the old one ends', async () => {
      const signer = await service.newSigner(`forgetful-${version}@example.test`, 'Forgetful')
      const client = newClient()
      const { body } = await client.login(signer, { rememberMe: true })
      const { password = '' } = await service.admin('signer.resetPassword', { signer: signer.login })
      keepSecret(password)
      isOver(await client.list())
      isUnknownRefresh(await refresh(body.refresh_token))
      assert.equal((await newClient().tokens({}, basic(signer.login, signer.password))).status, 400)
      assert.equal((await newClient().tokens({}, basic(signer.login, password))).status, 200)
    })

    test('revokes an authenticator: sessions end, and its codes are wrong', async () => {
      const signer = await service.newSigner(`lost-${version}@example.test`, 'Lost')
      const credentialID = await service.newCredential(signer, 'p-256')
      const client = newClient()
      await client.login(signer)
      const { authenticators } = await service.admin('authenticator.list', { signer: signer.login })
      const authenticatorId = authenticators[0]?.authenticatorId as string
      await service.admin('authenticator.revoke', { authenticatorId })
      isOver(await client.list())
      await client.login(signer)
      const code = await service.freshCode(signer)
      const answer = await client.authorize({ credentialID, hashes: digests(`lost ${version}`), code })
      assert.equal(answer.status, 400)
      await assertLogged(service, answer, 'factor.failed', 'code_rejected')
    })
  })
}

/** What the log says of a refusal, which a front writes beside its answer. */
async function eventually(answer: Answer) {
  await until('the log has the refusal', async () => (await logged(service, answer)).length > 0)
  return logged(service, answer)
}

describe('two fronts', () => {
  /** For such a front a second never passes: what it remembers of a caller it forgets only when it is told. */
  const frozen = () => {
    const now = service.clock.now()
    return { now: () => now }
  }

  /** Asks until the front answers without asking the database who it is. */
  async function remembered(client: CscClient): Promise<void> {
    let asked = false
    const query = Client.prototype.query
    Client.prototype.query = function (this: Client, ...parameters: unknown[]) {
      if ((parameters[0] as { name?: string }).name === 'caller') asked = true
      return Reflect.apply(query, this, parameters)
    } as typeof query
    try {
      await until('the front remembers the caller', async () => {
        asked = false
        assert.equal((await client.list()).status, 200)
        return !asked
      })
    } finally {
      Client.prototype.query = query
    }
  }

  for (const version of VERSIONS) {
    test(`what ${version} revokes on one is refused by the other, which had remembered the caller`, async () => {
      const here = new CscClient(service, version)
      const front = await OwnFront.open(service, frozen())
      try {
        const { body } = await here.login(service.signer, { rememberMe: true })
        for (const token of [here.bearer, body.refresh_token]) {
          if (token !== here.bearer) await here.login()
          const session = token === here.bearer ? body : (await here.tokens({ refresh_token: token })).body
          const there = front.client(version, session.access_token)
          await remembered(there)
          const victim = token === here.bearer ? token : session.refresh_token
          assert.equal((await here.revoke(victim)).status, 204)
          await until('the other front refuses', async () => (await there.list()).status === 401)
          isOver(await there.list())
        }
      } finally {
        await front.close()
      }
    })
  }

  test('one that could not listen when a session ended believes nothing that it remembers', async () => {
    const front = await OwnFront.open(service, frozen())
    try {
      const here = new CscClient(service, 'v2')
      await here.login()
      const there = front.client('v2', here.bearer)
      await remembered(there)
      const owner = await service.owner()
      await owner.query('begin')
      await owner.query(`select pg_terminate_backend(pid) from pg_stat_activity
         where application_name = 'paraph-front-sessions' and datname = current_database()`)
      await owner.query(
        `update paraph.session set ended_at = paraph.now(), ended_why = 'unheard' where ended_at is null`,
      )
      await owner.query('commit')
      await until('the front refuses', async () => (await there.list()).status === 401)
    } finally {
      await front.close()
    }
  })

  test('one that still believes in a session that is over gets nothing from a worker, and the log says so', async () => {
    const front = await OwnFront.open(service, frozen())
    try {
      const here = new CscClient(service, 'v2')
      await here.login()
      const there = front.client('v2', here.bearer)
      const hashes = digests('believed')
      const SAD = await here.sad({ credentialID: credential, hashes })
      await remembered(there)
      // Nobody tells of a session that ends because its time is over.
      await service.moveClock(180_000)
      assert.equal((await there.list()).status, 200, 'it believes')
      const [before, asked] = [await spent(service), device.calls]
      const code = service.code()
      for (const answer of [
        await sign(there, SAD, hashes),
        await there.authorize({ credentialID: credential, hashes, code }),
        await there.revoke(here.bearer),
      ]) {
        isOver(answer)
        const [entry] = await eventually(answer)
        assert.deepEqual([entry?.out, entry?.why], ['refused', 'token_expired'])
      }
      assert.equal(await spent(service), before)
      assert.equal(device.calls, asked)
    } finally {
      await front.close()
    }
  })

  const sign = (client: CscClient, SAD: string, hashes: string[]) =>
    client.signHash({ credentialID: credential, SAD, hashes, ...ecdsa })
})

test('after all of this the log and the counters agree', async () => {
  await service.checkWorld()
})
