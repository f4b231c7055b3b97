/** Codes that are sent: to whom, for what, how often, and that each works once. */
import assert from 'node:assert/strict'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { createSamClient } from '../../src/front/sam-client.js'
import {
  assertLogged,
  assertRefused,
  CscClient,
  digests,
  ECDSA_WITH,
  logged,
  spent,
  until,
  VERSIONS,
  type Version,
} from '../helpers/csc.js'
import { type Answer, keepSecret, TestService, type TestSigner } from '../helpers/test-service.js'

const ecdsa = { signAlgo: ECDSA_WITH['sha-256'] }
const REJECTED = {
  v1: ['invalid_otp', 'The OTP is invalid'],
  v2: ['invalid_authentication_data', 'The authentication data is invalid'],
} as const
const LOCKED = { v1: 'OTP locked', v2: 'Credential locked' } as const

let service: TestService
before(async () => {
  service = await TestService.start({ keys: [], fronts: 2, workers: 2 })
})
after(() => service?.close())

interface Delivered {
  readonly channel: string
  readonly to: string
  readonly code: string
}

/** What has arrived so far, oldest first. */
function arrived(): Delivered[] {
  const outbox = join(service.folder, 'outbox')
  if (!existsSync(outbox)) return []
  return readdirSync(outbox)
    .sort()
    .map((name) => {
      const { channel, to, text } = JSON.parse(readFileSync(join(outbox, name), 'utf8'))
      const code = /\b\d{8}\b/.exec(text)?.[0] as string
      keepSecret(code)
      return { channel, to, code }
    })
}

let people = 0

/** A signer of his own for a test, since codes are counted for each. */
class Person {
  readonly client: CscClient
  readonly signer: TestSigner
  readonly credentialID: string
  readonly phone: string

  private constructor(client: CscClient, signer: TestSigner, credentialID: string, phone: string) {
    this.client = client
    this.signer = signer
    this.credentialID = credentialID
    this.phone = phone
  }

  static async create(version: Version, kinds: ('totp' | 'sms' | 'email')[], credential: object = {}): Promise<Person> {
    const n = people++
    const login = `person-${n}@example.test`
    const phone = `+4812345${String(1000 + n)}`
    const { password = '' } = await service.admin('signer.create', { login, name: `Person ${n}`, phone, email: login })
    let secret = ''
    for (const kind of kinds) {
      if (kind === 'totp') secret = (await service.admin('authenticator.enrol', { signer: login })).secret
      else await service.admin('authenticator.enrolDelivered', { signer: login, kind })
    }
    keepSecret(password, secret, phone)
    const signer = { login, password, secret }
    const credentialID = await service.newCredential(signer, 'p-256', credential)
    const client = new CscClient(service, version)
    await client.login(signer)
    return new Person(client, signer, credentialID, phone)
  }

  send(id = 'SMS', credentialID = this.credentialID, client = this.client): Promise<Answer> {
    return client.version === 'v1'
      ? client.ask('credentials/sendOTP', { credentialID })
      : client.ask('credentials/getChallenge', { credentialID, authObjectID: id })
  }

  /** A code that has just been sent. */
  async code(id?: string): Promise<string> {
    const { status, body } = await this.send(id)
    assert.equal(status, 204, JSON.stringify(body))
    return arrived().at(-1)?.code as string
  }

  authorize(code: string, way: 'OTP' | 'SMS' | 'EMAIL' = 'SMS', more: object = {}): Promise<Answer> {
    return this.client.authorize({
      credentialID: this.credentialID,
      hashes: digests(this.signer.login),
      code,
      way,
      ...more,
    })
  }

  async refused(answer: Answer): Promise<void> {
    const [error, text] = REJECTED[this.client.version]
    assertRefused(answer, 400, error, text)
    await assertLogged(service, answer, 'factor.failed', 'code_rejected')
  }
}

for (const version of VERSIONS) {
  describe(`${version}: a code that is sent`, () => {
    test('agrees, once, and is told to nobody but its signer', async () => {
      const person = await Person.create(version, ['sms'])
      const before = arrived().length
      const sent = await person.send()
      assert.deepEqual([sent.status, sent.body], [204, undefined])
      assert.deepEqual(
        (await logged(service, sent)).map(({ ev, out, f }) => [ev, out, f]),
        [['factor.challenge_sent', 'ok', { kind: 'sms' }]],
      )
      const [message, ...more] = arrived().slice(before) as [Delivered]
      assert.deepEqual([message.channel, message.to, more.length], ['sms', person.phone, 0])
      const answer = await person.authorize(message.code)
      assert.equal(answer.status, 200, JSON.stringify(answer.body))
      assert.equal((await logged(service, answer)).at(-1)?.f?.factor, 'sms')
      const hashes = digests(person.signer.login)
      const signed = await person.client.signHash({
        credentialID: person.credentialID,
        SAD: answer.body.SAD,
        hashes,
        ...ecdsa,
      })
      assert.equal(signed.status, 200)
      await person.refused(await person.authorize(message.code))
    })

    test('is worth nothing after five minutes, or once there is a newer one', async () => {
      const person = await Person.create(version, ['sms'])
      const old = await person.code()
      await service.moveClock(31_000)
      const newer = await person.code()
      assert.notEqual(old, newer)
      await person.refused(await person.authorize(old))
      await service.moveClock(301_000)
      await person.client.login(person.signer)
      await person.refused(await person.authorize(newer))
      const last = await person.code()
      await service.moveClock(170_000)
      assert.equal((await person.authorize(last)).status, 200)
    })

    test('is good for the credential it was sent for', async () => {
      const person = await Person.create(version, ['sms'])
      const other = await service.newCredential(person.signer, 'p-256')
      const code = await person.code()
      await person.refused(await person.authorize(code, 'SMS', { credentialID: other }))
      assert.equal((await person.authorize(code)).status, 200)
    })

    test('used in the same moment by twenty gives one agreement', async () => {
      const person = await Person.create(version, ['sms'])
      const code = await person.code()
      const answers = await Promise.all(
        Array.from({ length: 20 }, (_, i) =>
          new CscClient(service, version, { front: i % 2, bearer: person.client.bearer as string }).authorize({
            ...{ credentialID: person.credentialID, hashes: digests(person.signer.login), code, way: 'SMS' },
          }),
        ),
      )
      assert.equal(answers.filter(({ status }) => status === 200).length, 1)
    })

    test('comes not too often, whatever the number of requests', async () => {
      const person = await Person.create(version, ['sms'])
      const ask = () => Promise.all(Array.from({ length: 8 }, () => person.send()))
      const before = arrived().length
      const first = await ask()
      assert.equal(first.filter(({ status }) => status === 204).length, 1)
      for (const answer of first.filter(({ status }) => status !== 204)) {
        assert.deepEqual([answer.status, answer.body.error], [429, 'too_many_requests'])
        const wait = Number(answer.headers.get('retry-after'))
        assert.ok(wait >= 1 && wait <= 30, String(wait))
        await assertLogged(service, answer, 'factor.challenge_sent', 'too_many_codes')
      }
      assert.equal(arrived().length, before + 1)
      for (let i = 0; i < 4; i++) {
        await service.moveClock(31_000)
        await person.client.login(person.signer)
        assert.equal((await person.send()).status, 204)
      }
      await service.moveClock(31_000)
      await person.client.login(person.signer)
      const sixth = await person.send()
      assert.equal(sixth.status, 429)
      const wait = Number(sixth.headers.get('retry-after'))
      assert.ok(wait > 600 && wait <= 900, String(wait))
      await service.moveClock((wait + 1) * 1000)
      await person.client.login(person.signer)
      assert.equal((await person.send()).status, 204)
    })

    test('is not sent while nothing is looked at, and does not make failures forgotten', async () => {
      const person = await Person.create(version, ['sms'])
      const failures = async () =>
        (
          await (
            await service.owner()
          ).query(
            `select q.failures from paraph.guess q join paraph.signer g on g.id = q.signer_id where g.login = $1 and target = 'factor'`,
            [person.signer.login],
          )
        ).rows[0].failures
      for (const wrong of ['00000000', '11111111']) await person.authorize(wrong)
      assert.equal(await failures(), 2)
      await person.code()
      assert.equal(await failures(), 2)
      await person.authorize('22222222')
      await service.moveClock(500)
      const before = arrived().length
      const locked = await person.send()
      assertRefused(locked, 400, 'invalid_request', LOCKED[version])
      await assertLogged(service, locked, 'factor.challenge_sent', 'code_locked')
      assert.equal(arrived().length, before)
    })

    test('is not sent for somebody else’s credential, to nobody, and not by what the policy leaves out', async () => {
      const [person, stranger] = [await Person.create(version, ['sms']), await Person.create(version, ['totp'])]
      const before = [arrived().length, await spent(service)]
      const unknown = (answer: Answer) =>
        assertRefused(answer, 400, 'invalid_request', 'Invalid parameter credentialID')
      unknown(await person.send('SMS', stranger.credentialID))
      unknown(await person.send('SMS', 'x'))
      const none = await stranger.send()
      const text = version === 'v1' ? 'Invalid parameter credentialID' : 'Invalid parameter authObjectID'
      assertRefused(none, 400, 'invalid_request', text)
      await service.admin('credential.policy', { credentialID: person.credentialID, factors: ['totp', 'email'] })
      assertRefused(await person.send(), 400, 'invalid_request', text)
      await service.admin('credential.suspend', { credentialID: person.credentialID })
      const disabled = await person.send()
      assertRefused(disabled, 400, 'invalid_request', 'The credential identified by credentialID is disabled')
      assert.deepEqual([arrived().length, await spent(service)], before)
    })

    test('or an app agrees, with the PIN, and either alone does not', async () => {
      const pin = '517293'
      keepSecret(pin)
      const person = await Person.create(version, ['totp', 'sms'], { pin })
      const info = (await person.client.info(person.credentialID, { authInfo: true })).body
      if (version === 'v2') assert.equal(info.auth.expression, '(PIN AND (OTP OR SMS)) OR APPROVAL')
      else assert.deepEqual([info.PIN.presence, info.OTP.type], ['true', 'offline'])
      const app = await service.freshCode(person.signer)
      assert.equal((await person.authorize(app, 'OTP', { pin })).status, 200)
      const code = await person.code()
      assert.equal((await person.authorize(code, 'SMS', { pin })).status, 200)
      await service.moveClock(31_000)
      const second = await person.code()
      const wrongPin = await person.authorize(second, 'SMS', { pin: '111111' })
      assert.equal(wrongPin.body.error, version === 'v1' ? 'invalid_pin' : REJECTED.v2[0])
      await person.refused(await person.authorize(second, 'SMS', { pin }))
      const missing = await person.authorize(second)
      assert.equal(missing.status, 400)
      await assertLogged(service, missing, 'sad.denied', 'pin_missing')
    })

    test('that somebody put into the database is worth nothing', async () => {
      const [one, two] = [await Person.create(version, ['sms']), await Person.create(version, ['sms'])]
      const [hers, his] = [await one.code(), await two.code()]
      const owner = await service.owner()
      const newest = `(select c.id from paraph.challenge c join paraph.signer g on g.id = c.signer_id where g.login = $1
        order by c.created_at desc limit 1)`
      await owner.query(
        `update paraph.challenge set code_hash = (select code_hash from paraph.challenge where id = ${newest.replace('$1', '$2')})
          where id = ${newest}`,
        [one.signer.login, two.signer.login],
      )
      await one.refused(await one.authorize(his))
      await one.refused(await one.authorize(hers))
      await owner.query(
        `update paraph.factor set sealed_secret = (select f.sealed_secret from paraph.factor f join paraph.signer g on g.id = f.signer_id
            where g.login = $2)
          where signer_id = (select id from paraph.signer where login = $1)`,
        [one.signer.login, two.signer.login],
      )
      await service.moveClock(31_000)
      const before = arrived().length
      const diverted = await one.send()
      assert.deepEqual([diverted.status, diverted.body.error], [500, 'server_error'])
      await assertLogged(service, diverted, 'factor.challenge_sent', 'row_tampered')
      assert.equal(arrived().length, before)
    })
  })
}

test('v2: each code is of its own authenticator', async () => {
  const person = await Person.create('v2', ['sms', 'email', 'totp'])
  const { body } = await person.client.info(person.credentialID, { authInfo: true })
  assert.equal(body.auth.expression, 'OTP OR SMS OR EMAIL OR APPROVAL')
  const [sms, email] = [await person.code('SMS'), await person.code('EMAIL')]
  assert.deepEqual(
    arrived()
      .slice(-2)
      .map(({ channel, to }) => [channel, to]),
    [
      ['sms', person.phone],
      ['email', person.signer.login],
    ],
  )
  await person.refused(await person.authorize(email, 'SMS'))
  await person.refused(await person.authorize(sms, 'OTP'))
  assert.equal((await person.authorize(email, 'EMAIL')).status, 200)
  assert.equal((await person.authorize(sms, 'SMS')).status, 200)
})

test('v2: sendOTP sends by text message before mail', async () => {
  const person = await Person.create('v2', ['email', 'sms'])
  const answer = await person.client.ask('credentials/sendOTP', { credentialID: person.credentialID })
  assert.equal(answer.status, 204)
  assert.equal(arrived().at(-1)?.channel, 'sms')
})

test('what nobody takes over is told, and in the log; the code is worth nothing', async () => {
  const person = await Person.create('v2', ['sms'])
  const settings = { ...service.newWorkerSettings(7), delivery: { sms: { url: 'http://127.0.0.1:1/' } } }
  const worker = await service.startWorker(settings)
  const sam = createSamClient({ sockets: [settings.socket], logger: service.logger })
  try {
    const origin = { requestId: 'not-delivered', address: '192.0.2.1', api: 'v2' } as const
    const request = { origin, bearer: person.client.bearer as string, credentialId: person.credentialID }
    await until('the worker is there', () =>
      sam.call('health', {}).then(
        () => true,
        () => false,
      ),
    )
    await assert.rejects(sam.call('sendCode', request), (error: { code?: string }) => error.code === 'unavailable')
  } finally {
    await sam.close()
    await worker.close()
    service.workerSettings.pop()
  }
  const world = await service.checkWorld()
  const told = world
    .of('factor.challenge_sent')
    .filter(({ leaf }) => (leaf as { rid?: string }).rid === 'not-delivered')
  assert.deepEqual(
    told.map(({ leaf }) => [leaf.out, leaf.why]),
    [
      ['ok', undefined],
      ['failed', 'not_delivered'],
    ],
  )
})

test('the tables hold no code, and addresses only sealed', async () => {
  const owner = await service.owner()
  const { rows } = await owner.query(
    `select jsonb_agg(to_jsonb(c))::text || (select jsonb_agg(to_jsonb(f))::text from paraph.factor f) as all from paraph.challenge c`,
  )
  for (const { code, to } of arrived()) {
    assert.ok(!rows[0].all.includes(code))
    assert.ok(!rows[0].all.includes(to))
  }
})

test('after all of this the log and the counters agree', async () => {
  await service.checkWorld()
})
