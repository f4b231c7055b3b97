/** Guessing in great number, from many addresses and at the best moments there are. */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { openPool } from '../../src/db/pool.js'
import { startFront } from '../../src/front/main.js'
import { countGuess, FACTOR_LIMIT } from '../../src/identity/guess.js'
import { secretHash } from '../../src/identity/secret-value.js'
import { basic, digests, HASH_OID } from '../helpers/csc.js'
import { TestService } from '../helpers/test-service.js'

/** So many come whenever the wait is over: some over HTTP, the others straight to the counter that all of them have to pass. */
const OVER_HTTP = 4
const STRAIGHT = 110
/** Failures after which the wait is longer than any machine takes for what comes at once. */
const LONG_WAITS = 10
const HOUR_MS = 3_600_000

let service: TestService
const fronts: { url: string; close(): Promise<void> }[] = []
before(async () => {
  service = await TestService.start({ workers: 2, keys: ['p-256'] })
  // Behind a proxy, as whoever comes from many addresses meets them.
  for (const index of [0, 1]) {
    const settings = {
      ...service.newFrontSettings(index),
      trustedProxies: ['127.0.0.1'],
      node: `test/proxied-${index}`,
    }
    const front = await startFront({ logger: service.logger, clock: service.clock, settings })
    fronts.push(front)
    service.urls.push(front.url)
  }
})
after(async () => {
  for (const front of fronts) await front.close()
  await service?.close()
})

const query = async (text: string, values: unknown[] = []) => (await (await service.owner()).query(text, values)).rows
/** The fronts behind the proxy are the second and the third. */
const from = (i: number) => ({
  front: 1 + (i % 2),
  headers: { 'x-forwarded-for': `198.51.${(i >> 8) % 256}.${i % 256}` },
})
/** A session that outlives whatever a test does: of a thief who has the password, and so a login whenever he likes. */
async function lastingLogin(): Promise<string> {
  const bearer = await service.login()
  await query(
    `with s as (update paraph.session set ends_at = ends_at + interval '1 year'
       where id = (select session_id from paraph.token where hash = $1) returning id, ends_at)
     update paraph.token t set expires_at = s.ends_at from s where t.session_id = s.id`,
    [secretHash(bearer)],
  )
  return bearer
}

test('of 10,000 wrong codes a hundred are looked at, none opens anything, and they end the authenticator', async () => {
  const credentialID = service.credentials['p-256'] as string
  const bearer = await lastingLogin()
  const hashes = digests('guessed')
  const authorize = (value: string, i: number) =>
    service.post(
      '/csc/v2/credentials/authorize',
      {
        ...{ credentialID, numSignatures: 1, hashes, hashAlgorithmOID: HASH_OID['sha-256'] },
        authData: [{ id: 'OTP', value }],
      },
      { bearer, ...from(i) },
    )
  let guessed = 0
  const wrong = () => {
    const right = [-2, -1, 0, 1, 2].map((steps) => service.code(service.signer, steps))
    const guess = (n: number) => String((n * 9973) % 100_000_000).padStart(8, '0')
    return right.includes(guess(guessed)) ? guess(guessed + 50_000_000) : guess(guessed)
  }
  const [{ id: signer }] = await query('select id from paraph.signer where login = $1', [service.signer.login])
  const worker = openPool(service.samUrl, { max: 8 })
  const factor = async () => (await query('select state from paraph.factor where signer_id = $1', [signer]))[0].state
  let lookedAt = 0
  try {
    while ((await factor()) === 'active') {
      const strict = lookedAt >= LONG_WAITS && lookedAt < FACTOR_LIMIT - 1
      const answers = await Promise.all(Array.from({ length: OVER_HTTP }, () => authorize(wrong(), guessed++)))
      const texts = answers.map(({ status, body }) => `${status} ${body.error_description}`)
      const seen = texts.filter((text) => text === '400 The authentication data is invalid').length
      const unseen = texts.filter((text) => text === '400 Credential locked').length
      assert.equal(seen + unseen, OVER_HTTP, texts.join())
      if (strict) {
        assert.equal(seen, 1, 'of those who come at once one is looked at')
        const straight = Array.from({ length: STRAIGHT }, () => countGuess(worker, signer, 'factor'))
        guessed += STRAIGHT
        assert.deepEqual([...new Set(await Promise.all(straight))], [undefined])
      }
      lookedAt += seen
      // The longest wait.
      await service.moveClock(HOUR_MS)
    }
  } finally {
    await worker.end()
  }
  while (guessed < 10_000) assert.equal((await authorize(wrong(), guessed++)).status, 400)
  assert.equal(await factor(), 'ended')

  await service.moveClock(24 * HOUR_MS)
  assert.equal((await authorize(service.code(), 0)).status, 400, 'the right code is none any more')
  const world = await service.checkWorld()
  assert.deepEqual([world.of('sad.issued').length, world.of('factor.ended').length], [0, 1])
  const ended = world.of('factor.ended')[0]?.idx as number
  assert.equal(world.of('factor.failed').filter(({ idx }) => idx < ended).length, FACTOR_LIMIT, 'looked at until then')
})

test('wrong passwords from many addresses are looked at ever more rarely, and the owner gets in at last', async () => {
  const login = (password: string, i: number) =>
    service.post(
      '/csc/v2/auth/login',
      {},
      { ...from(i), headers: { ...from(i).headers, ...basic(service.signer.login, password) } },
    )
  const guesses = async () =>
    (
      await query(
        `select failures, extract(epoch from blocked_until - paraph.now())::float as wait from paraph.guess
          where target = 'password' and signer_id = (select id from paraph.signer where login = $1)`,
        [service.signer.login],
      )
    )[0]
  const storm = async (count: number) => {
    const answers = await Promise.all(Array.from({ length: count }, (_, i) => login(`wrong password ${i}`, i)))
    for (const { status, body } of answers) assert.deepEqual([status, body.error], [400, 'authentication_error'])
  }
  await storm(16)
  assert.ok((await guesses()).failures >= 5, 'five are free')
  for (let round = 0; round < 8; round++) {
    const before = (await guesses()).failures
    await service.moveClock(61_000)
    await storm(3)
    const { failures, wait } = await guesses()
    assert.ok(failures > before)
    assert.ok(wait <= Math.min(2 ** (failures - 5), 60), `${wait} s after ${failures}`)
    if (failures > LONG_WAITS) assert.equal(failures, before + 1, 'of those who come at once one is looked at')
  }
  const { status, body } = await login(service.signer.password, 0)
  assert.deepEqual([status, body.error], [400, 'authentication_error'], 'the right one is not looked at either')
  await service.moveClock(61_000)
  assert.equal((await login(service.signer.password, 0)).status, 200)
  await service.checkWorld()
})
