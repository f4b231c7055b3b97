/** One-time codes and PINs: what is refused, what a refusal spends, and where guessing ends. */
import assert from 'node:assert/strict'
import { after, before, describe, mock, test } from 'node:test'
import { Client } from '../../src/db/pool.js'
import {
  assertLogged,
  assertRefused,
  CscClient,
  digests,
  ECDSA_WITH,
  logged,
  VERSIONS,
  type Version,
  wrongCode,
} from '../helpers/csc.js'
import { type Answer, keepSecret, TestService, type TestSigner } from '../helpers/test-service.js'

const PIN = '80417263'
const WRONG_PIN = '80417264'

let service: TestService
before(async () => {
  service = await TestService.start({ keys: [] })
  keepSecret(PIN, WRONG_PIN)
})
after(() => service?.close())

type Refusal = readonly [error: string, text: string]
const authenticationRefused: Refusal = ['invalid_authentication_data', 'The authentication data is invalid']
const REFUSALS = {
  v1: {
    code: ['invalid_otp', 'The OTP is invalid'],
    pin: ['invalid_pin', 'The PIN is invalid'],
    pinMissing: ['invalid_request', 'Missing (or invalid type) string parameter PIN'],
    codeMissing: ['invalid_request', 'Missing (or invalid type) string parameter OTP'],
    locked: ['invalid_request', 'OTP locked'],
  },
  v2: {
    code: authenticationRefused,
    pin: authenticationRefused,
    pinMissing: authenticationRefused,
    codeMissing: authenticationRefused,
    locked: ['invalid_request', 'Credential locked'],
  },
} as const satisfies Readonly<Record<Version, Readonly<Record<string, Refusal>>>>

/** A signer of his own for a test, since wrong codes are counted for each. */
class Person {
  readonly #refusals: (typeof REFUSALS)[Version]
  readonly signer: TestSigner
  readonly credentialID: string
  readonly client: CscClient
  readonly hashes: string[]

  private constructor(version: Version, signer: TestSigner, credentialID: string) {
    this.signer = signer
    this.credentialID = credentialID
    this.client = new CscClient(service, version)
    this.hashes = digests(signer.login)
    this.#refusals = REFUSALS[version]
  }

  static async create(version: Version, name: string, pin?: string): Promise<Person> {
    const signer = await service.newSigner(`${name}-${version}@example.test`, `${name} ${version}`)
    const credentialID = await service.newCredential(signer, 'p-256', pin === undefined ? {} : { pin })
    const person = new Person(version, signer, credentialID)
    await person.client.login(signer)
    // A code of its own makes the next one step on.
    await service.freshCode(signer)
    return person
  }

  authorize(factors: { code?: string; pin?: string }): Promise<Answer> {
    return this.client.authorize({ credentialID: this.credentialID, hashes: this.hashes, ...factors })
  }

  async refused(factors: { code?: string; pin?: string }, how: keyof (typeof REFUSALS)['v1'], why: string) {
    const before = await this.state()
    const answer = await this.authorize(factors)
    const [error, text] = this.#refusals[how]
    assertRefused(answer, 400, error, text)
    const ev = how === 'locked' ? 'factor.locked' : how.endsWith('Missing') ? 'sad.denied' : 'factor.failed'
    await assertLogged(service, answer, ev, why)
    const after = await this.state()
    assert.equal(after.authorizations, before.authorizations, 'nobody agreed to anything')
    return { answer, before, after }
  }

  async accepted(factors: { code?: string; pin?: string }): Promise<void> {
    const { status, body } = await this.authorize(factors)
    assert.equal(status, 200, JSON.stringify(body))
    const signed = await this.client.signHash({
      ...{ credentialID: this.credentialID, SAD: body.SAD, hashes: this.hashes },
      signAlgo: ECDSA_WITH['sha-256'],
    })
    assert.equal(signed.status, 200, JSON.stringify(signed.body))
  }

  /** What the database says of his factor and of his failures. */
  async state(): Promise<{ lastStep: number; factor: string; failures: number; authorizations: number }> {
    const { rows } = await (await service.owner()).query(
      `select f.last_step as "lastStep", f.state as factor,
              coalesce((select failures from paraph.guess q where q.signer_id = g.id and target = 'factor'), 0) as failures,
              (select count(*) from paraph.authorization a where a.signer_id = g.id) as authorizations
         from paraph.signer g join paraph.factor f on f.signer_id = g.id where g.login = $1`,
      [this.signer.login],
    )
    return rows[0]
  }
}

/** To the beginning of a step, so that codes keep their age while a test runs. */
async function beginStep(): Promise<void> {
  await service.moveClock(30_000 - (service.clock.now() % 30_000) + 1_000)
}

for (const version of VERSIONS) {
  describe(version, () => {
    test('a code works once, and whoever is refused with it spends nothing more', async () => {
      const person = await Person.create(version, 'once')
      const code = await service.freshCode(person.signer)
      await person.accepted({ code })
      const { before, after } = await person.refused({ code }, 'code', 'code_rejected')
      assert.equal(after.lastStep, before.lastStep)
      assert.equal(after.failures, before.failures + 1, 'it counts like any wrong code')
      await person.accepted({ code: await service.freshCode(person.signer) })
      assert.equal((await person.state()).failures, 0, 'a right one begins the count anew')
    })

    test('a code of the step before or after is right, and ends all that are older', async () => {
      const person = await Person.create(version, 'neighbours')
      await beginStep()
      const [before, now, next] = [-1, 0, 1].map((steps) => service.code(person.signer, steps))
      await person.accepted({ code: before as string })
      await person.accepted({ code: next as string })
      await person.refused({ code: now as string }, 'code', 'code_rejected')
      await person.refused({ code: next as string }, 'code', 'code_rejected')
    })

    /** A code of a wrong clock: refused with what the clock is, its step burned before that is told. */
    async function drifted(person: Person, steps: number, text: string, pin?: string): Promise<void> {
      const code = service.code(person.signer, steps)
      const before = await person.state()
      const answer = await person.authorize({ code, ...(pin === undefined ? {} : { pin }) })
      const [error, rejected] = REFUSALS[version].code
      assertRefused(answer, 400, error, `${rejected}${text}`)
      assert.deepEqual(
        (await logged(service, answer)).map(({ ev, out, why, f }) => [ev, out, why, f?.seconds]),
        [
          ['factor.failed', 'refused', 'code_rejected', undefined],
          ['factor.drifted', 'refused', 'code_rejected', steps * 30],
        ],
      )
      const after = await person.state()
      assert.ok(after.lastStep > before.lastStep, 'the step is burned')
      assert.equal(after.failures, before.failures + 1, 'it counts like any wrong code')
      assert.equal(after.authorizations, before.authorizations)
    }
    const clock = (seconds: number, where: string) =>
      `: the clock of the authenticator is about ${seconds} seconds ${where}` +
      (where === 'ahead' ? `; once it is right, its codes are taken again within ${seconds + 30} seconds` : '')

    test('a code of a clock that is up to five minutes wrong is refused, and its owner is told', async () => {
      const person = await Person.create(version, 'drift')
      await beginStep()
      await drifted(person, -10, clock(300, 'behind'))
      await drifted(person, -2, clock(60, 'behind'))
      // Told once: burned, it is a wrong code like any other.
      await person.refused({ code: service.code(person.signer, -2) }, 'code', 'code_rejected')
      await service.admin('signer.unlock', { signer: person.signer.login })
      await person.accepted({ code: service.code(person.signer) })
      await drifted(person, 2, clock(60, 'ahead'))
      await person.refused({ code: service.code(person.signer, 1) }, 'code', 'code_rejected')
      await service.moveClock(90_000)
      await person.accepted({ code: service.code(person.signer) })
    })

    test('a code further away than that is just wrong', async () => {
      const person = await Person.create(version, 'far')
      await beginStep()
      for (const steps of [-11, 11]) {
        const { before, after } = await person.refused(
          { code: service.code(person.signer, steps) },
          'code',
          'code_rejected',
        )
        assert.equal(after.lastStep, before.lastStep)
      }
      await person.accepted({ code: service.code(person.signer) })
    })

    test('of a wrong clock nothing is told with a wrong PIN', async () => {
      const person = await Person.create(version, 'drift pin', PIN)
      await beginStep()
      await drifted(person, -3, '', WRONG_PIN)
      await drifted(person, 3, clock(90, 'ahead'), PIN)
    })

    test('a code of another signer is wrong, and stays right for him', async () => {
      const person = await Person.create(version, 'mine')
      const his = await Person.create(version, 'his')
      const code = await service.freshCode(his.signer)
      await person.refused({ code }, 'code', 'code_rejected')
      await his.accepted({ code })
    })

    test('what has not the form of a code is a wrong code', async () => {
      const person = await Person.create(version, 'form')
      for (const code of ['123456', '123456789', '1234 678', 'ABCDEFGH', '١٢٣٤٥٦٧٨', '', '1'.repeat(5000)]) {
        const { before, after } = await person.refused({ code }, 'code', 'code_rejected')
        assert.equal(after.failures, before.failures + 1, code)
        await service.admin('signer.unlock', { signer: person.signer.login })
      }
    })

    test('a wrong PIN with the right code is told, and the code is spent', async () => {
      const person = await Person.create(version, 'wrong pin', PIN)
      const code = await service.freshCode(person.signer)
      const { before, after } = await person.refused({ code, pin: WRONG_PIN }, 'pin', 'pin_rejected')
      assert.ok(after.lastStep > before.lastStep, 'the step is burned')
      assert.equal(after.failures, before.failures + 1)
      await person.refused({ code, pin: PIN }, 'code', 'code_rejected')
      await person.accepted({ code: await service.freshCode(person.signer), pin: PIN })
    })

    test('the right PIN with a wrong code, and both wrong, tell nothing of the PIN', async () => {
      const person = await Person.create(version, 'wrong code', PIN)
      await service.freshCode(person.signer)
      const code = wrongCode(service, person.signer)
      const one = await person.refused({ code, pin: PIN }, 'code', 'code_rejected')
      const two = await person.refused({ code, pin: WRONG_PIN }, 'code', 'code_rejected')
      assert.deepEqual(one.answer.body, two.answer.body)
      assert.equal(two.after.lastStep, one.before.lastStep)
      await person.accepted({ code: service.code(person.signer), pin: PIN })
    })

    test('a missing PIN or code is no guess', async () => {
      const person = await Person.create(version, 'missing', PIN)
      const code = await service.freshCode(person.signer)
      const { before, after } = await person.refused({ code }, 'pinMissing', 'pin_missing')
      assert.deepEqual(after, before)
      await person.refused({ pin: PIN }, 'codeMissing', 'code_missing')
      await person.refused({}, 'pinMissing', 'pin_missing')
      assert.deepEqual(await person.state(), before)
      await person.accepted({ code, pin: PIN })
    })

    test('a PIN where the credential has none changes nothing', async () => {
      const person = await Person.create(version, 'spare pin')
      await person.accepted({ code: await service.freshCode(person.signer), pin: PIN })
    })

    test('after three wrong codes not even the right one is looked at, for a time that doubles', async () => {
      const person = await Person.create(version, 'locked')
      for (let i = 0; i < 3; i++) {
        await person.refused({ code: wrongCode(service, person.signer) }, 'code', 'code_rejected')
      }
      for (const seconds of [1, 2, 4, 8]) {
        const locked = await person.refused({ code: service.code(person.signer) }, 'locked', 'code_locked')
        assert.deepEqual(locked.after, locked.before, 'nothing was looked at, nothing is counted')
        await service.moveClock(seconds * 1000)
        await person.refused({ code: wrongCode(service, person.signer) }, 'code', 'code_rejected')
      }
      await person.refused({ code: service.code(person.signer) }, 'locked', 'code_locked')
      await service.moveClock(16_000)
      await person.accepted({ code: service.code(person.signer) })
      assert.equal((await person.state()).failures, 0)
    })

    test('a PIN is guessed no faster than a code', async () => {
      const person = await Person.create(version, 'guessed pin', PIN)
      for (let i = 0; i < 3; i++) {
        const code = await service.freshCode(person.signer)
        await person.refused({ code, pin: WRONG_PIN }, 'pin', 'pin_rejected')
      }
      const code = service.code(person.signer, 1)
      await person.refused({ code, pin: PIN }, 'locked', 'code_locked')
      await service.admin('signer.unlock', { signer: person.signer.login })
      await person.accepted({ code, pin: PIN })
    })

    test('neither another session nor another credential is a way around it', async () => {
      const person = await Person.create(version, 'around')
      for (let i = 0; i < 3; i++) {
        await person.refused({ code: wrongCode(service, person.signer) }, 'code', 'code_rejected')
      }
      await person.client.login(person.signer)
      const code = service.code(person.signer)
      await person.refused({ code }, 'locked', 'code_locked')
      const second = await service.newCredential(person.signer, 'p-256')
      const [error, text] = REFUSALS[version].locked
      assertRefused(
        await person.client.authorize({ credentialID: second, hashes: person.hashes, code }),
        400,
        error,
        text,
      )
    })
  })
}

test('a session that ends while its code is looked at agrees to nothing, and the code is spent', async () => {
  for (const version of VERSIONS) {
    const person = await Person.create(version, 'ended meanwhile')
    const code = await service.freshCode(person.signer)
    const owner = await service.owner()
    const query = Client.prototype.query
    const queries = mock.method(Client.prototype, 'query', function (this: Client, ...parameters: unknown[]) {
      const ask = () => Reflect.apply(query, this, parameters)
      if (!String(parameters[0]).startsWith('update paraph.guess set failures = 0')) return ask()
      queries.mock.restore()
      // By then the code was found right, and nothing else was asked again.
      return owner.query('update paraph.session set ended_at = paraph.now() where ended_at is null').then(ask)
    })
    const before = await person.state()
    const answer = await person.authorize({ code })
    queries.mock.restore()
    const text = 'The access or refresh token is expired or has been revoked.'
    assertRefused(answer, 401, 'expired_token', text)
    const [entry] = await logged(service, answer)
    assert.deepEqual([entry?.ev, entry?.why], ['sad.denied', 'token_expired'])
    const after = await person.state()
    assert.equal(after.authorizations, before.authorizations)
    assert.ok(after.lastStep > before.lastStep)
    await person.client.login(person.signer)
    await person.refused({ code }, 'code', 'code_rejected')
  }
})

test('a hundred wrong codes end the authenticator for good, however slowly they come', async () => {
  const person = await Person.create('v1', 'hundred')
  const other = new CscClient(service, 'v2')
  await person.accepted({ code: await service.freshCode(person.signer) })
  let last: Answer | undefined
  for (let attempt = 1; attempt <= 100; attempt++) {
    // The delay before this attempt: from the fourth on it doubles from a second up to an hour.
    if (attempt > 3) await service.moveClock(Math.min(2 ** (attempt - 4), 3600) * 1000)
    if (attempt === 100) assert.deepEqual(await person.state().then(({ factor }) => factor), 'active')
    const client = attempt % 2 === 0 ? person.client : other
    await client.login(person.signer)
    const code = wrongCode(service, person.signer)
    last = await client.authorize({ credentialID: person.credentialID, hashes: person.hashes, code })
    const [error, text] = REFUSALS[client.version].code
    assertRefused(last, 400, error, text)
  }
  assert.deepEqual(
    (await logged(service, last as Answer)).map(({ ev, why, f }) => [ev, why, f?.attempts]),
    [
      ['factor.failed', 'code_rejected', 100],
      ['factor.ended', 'too_many_failures', undefined],
    ],
  )
  assert.equal((await person.state()).factor, 'ended')

  // Neither time nor the operator's word brings it back.
  await service.moveClock(3600_000)
  await person.client.login(person.signer)
  await person.refused({ code: await service.freshCode(person.signer) }, 'code', 'code_rejected')
  await service.admin('signer.unlock', { signer: person.signer.login })
  await person.refused({ code: await service.freshCode(person.signer) }, 'code', 'code_rejected')
})

test('an authenticator that follows one that ended begins with no failures', async () => {
  const person = await Person.create('v2', 'follower')
  await (await service.owner()).query(
    `insert into paraph.guess (signer_id, target, failures) select id, 'factor', 99 from paraph.signer where login = $1`,
    [person.signer.login],
  )
  assertRefused(await person.authorize({ code: wrongCode(service, person.signer) }), 400, ...REFUSALS.v2.code)
  assert.equal((await person.state()).factor, 'ended')
  const { secret } = await service.admin('authenticator.enrol', { signer: person.signer.login })
  keepSecret(secret)
  const renewed = { ...person.signer, secret }
  await service.moveClock(3600_000)
  await person.client.login(person.signer)
  assertRefused(await person.authorize({ code: wrongCode(service, renewed) }), 400, ...REFUSALS.v2.code)
  await service.moveClock(3600_000)
  await person.client.login(person.signer)
  await person.accepted({ code: service.code(renewed) })
})

test('after all of this the log and the counters agree', async () => {
  await service.checkWorld()
})
