/** credentials/extendTransaction: another SAD for what is left of an agreement, and never more than that. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
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
} from '../helpers/csc.js'
import { type Answer, TestService, type TestSigner } from '../helpers/test-service.js'

const ecdsa = { signAlgo: ECDSA_WITH['sha-256'] }
const NOT_AUTHORIZED = {
  v1: 'Hash is not authorized by the SAD.',
  v2: 'Hash is not authorized by neither SAD nor an access token with scope “credential”.',
}

let service: TestService
let bound: string
let open: string
let other: TestSigner
before(async () => {
  service = await TestService.start({ keys: ['p-256'], fronts: 2, workers: 2 })
  bound = service.credentials['p-256'] as string
  open = await service.newCredential(service.signer, 'p-256', { scal: '1' })
  other = await service.newSigner('other@example.test', 'Other')
})
after(() => service?.close())

const unknownSad = (answer: Answer) => assertRefused(answer, 400, 'invalid_request', 'Invalid parameter SAD')

for (const version of VERSIONS) {
  const fresh = async (signer?: TestSigner) => {
    const one = new CscClient(service, version)
    await one.login(signer)
    return one
  }
  const sign = (one: CscClient, SAD: string, hashes: string[], credentialID = bound) =>
    one.signHash({ credentialID, SAD, hashes, ...ecdsa })

  describe(`${version}: an agreement`, () => {
    test('goes on under a new SAD, and the old one is no longer known', async () => {
      const one = await fresh()
      const [a, b] = digests(`goes on ${version}`, 2) as [string, string]
      const first = await one.sad({ credentialID: bound, hashes: [a, b] })
      const answer = await one.extend({ credentialID: bound, SAD: first, hashes: [b, a] })
      assert.equal(answer.status, 200, JSON.stringify(answer.body))
      assert.deepEqual(Object.keys(answer.body).sort(), ['SAD', 'expiresIn'])
      assert.notEqual(answer.body.SAD, first)
      assert.ok(answer.body.expiresIn > 0 && answer.body.expiresIn <= 180)
      assert.deepEqual(
        (await logged(service, answer)).map(({ ev, out, f }) => [ev, out, f]),
        [['sad.extended', 'ok', { left: 2 }]],
      )
      unknownSad(await sign(one, first, [a]))
      unknownSad(await one.extend({ credentialID: bound, SAD: first, hashes: [a] }))
      assert.equal((await sign(one, answer.body.SAD, [a])).status, 200)
      const next = await one.extend({ credentialID: bound, SAD: answer.body.SAD, hashes: [b] })
      assert.equal(next.status, 200, JSON.stringify(next.body))
      const before = await spent(service)
      assertRefused(await sign(one, next.body.SAD, [a]), 400, 'invalid_request', NOT_AUTHORIZED[version])
      assert.equal(await spent(service), before, 'what is signed is not authorized again')
      assert.equal((await sign(one, next.body.SAD, [b])).status, 200)
      unknownSad(await one.extend({ credentialID: bound, SAD: next.body.SAD, hashes: [b] }))
    })

    test('gets no digest that the signer did not agree to, and none more often', async () => {
      const one = await fresh()
      const [a, b, c] = digests(`no other ${version}`, 3) as [string, string, string]
      const SAD = await one.sad({ credentialID: bound, hashes: [a, b] })
      const before = await spent(service)
      for (const hashes of [[c], [a, c], [a, a], [c, c]]) {
        const answer = await one.extend({ credentialID: bound, SAD, hashes })
        assertRefused(answer, 400, 'invalid_request', NOT_AUTHORIZED[version])
        await assertLogged(service, answer, 'sad.denied', 'digest_not_authorized')
      }
      const many = await one.extend({ credentialID: bound, SAD, hashes: [a, b, c] })
      assertRefused(many, 400, 'invalid_request', 'Numbers of signatures is too high')
      assert.equal((await sign(one, SAD, [a])).status, 200, 'a refused extension leaves the SAD as it was')
      const signed = await one.extend({ credentialID: bound, SAD, hashes: [a] })
      assertRefused(signed, 400, 'invalid_request', NOT_AUTHORIZED[version])
      assert.notEqual(await spent(service), before)
    })

    test('by count is renewed with what is left of the count', async () => {
      const one = await fresh()
      const [a, b, c] = digests(`count ${version}`, 3) as [string, string, string]
      const SAD = await one.sad({ credentialID: open, numSignatures: 2 })
      assert.equal((await sign(one, SAD, [a], open)).status, 200)
      const renewed = await one.extend({ credentialID: open, SAD })
      assert.equal(renewed.status, 200, JSON.stringify(renewed.body))
      // Hashes are of no use to an agreement that counts.
      const again = await one.extend({ credentialID: open, SAD: renewed.body.SAD, hashes: [a] })
      assert.equal(again.status, 200)
      assertRefused(
        await sign(one, again.body.SAD, [b, c], open),
        400,
        'invalid_request',
        'Numbers of signatures is too high',
      )
      assert.equal((await sign(one, again.body.SAD, [b], open)).status, 200)
      unknownSad(await one.extend({ credentialID: open, SAD: again.body.SAD }))
    })

    test('wants its hashes where the credential binds them, and well formed', async () => {
      const one = await fresh()
      const hashes = digests(`formed ${version}`)
      const SAD = await one.sad({ credentialID: bound, hashes })
      const name = version === 'v1' ? 'hash' : 'hashes'
      const refused = async (fields: object, text: string) =>
        assertRefused(await one.extend({ credentialID: bound, SAD, ...fields }), 400, 'invalid_request', text)
      await refused({}, `Missing (or invalid type) array parameter ${name}`)
      await refused({ hashes: [] }, `Empty ${name} array`)
      await refused({ hashes: ['!'] }, 'Invalid Base64 hash string parameter')
      await refused({ hashes: ['AAAA'] }, 'Invalid digest value length')
      await refused({ hashes, SAD: undefined }, 'Missing (or invalid type) string parameter SAD')
      await refused({ hashes, credentialID: undefined }, 'Missing (or invalid type) string parameter credentialID')
      await refused({ hashes, credentialID: 'x' }, 'Invalid parameter credentialID')
      await refused({ hashes, credentialID: open }, 'Invalid parameter SAD')
      if (version === 'v2') {
        await refused({ hashes, digestOid: HASH_OID['sha-384'] }, 'Invalid digest value length')
        const longer = digests('longer', 1, 'sha-384')
        await refused({ hashes: longer, digestOid: HASH_OID['sha-384'] }, NOT_AUTHORIZED.v2)
      }
      assert.equal((await sign(one, SAD, hashes)).status, 200)
    })

    test('of somebody else, of another session, and one that does not exist, answer alike', async () => {
      const [one, two, stranger] = [await fresh(), await fresh(), await fresh(other)]
      const hashes = digests(`foreign ${version}`)
      const SAD = await one.sad({ credentialID: bound, hashes })
      const before = await spent(service)
      for (const answer of [
        await two.extend({ credentialID: bound, SAD, hashes }),
        await one.extend({ credentialID: bound, SAD: 'x', hashes }),
        await one.extend({ credentialID: bound, SAD: one.bearer, hashes }),
      ]) {
        unknownSad(answer)
        await assertLogged(service, answer, 'sad.denied', 'sad_unknown')
      }
      const foreign = await stranger.extend({ credentialID: bound, SAD, hashes })
      assertRefused(foreign, 400, 'invalid_request', 'Invalid parameter credentialID')
      assert.equal(await spent(service), before)
      assert.equal((await sign(one, SAD, hashes)).status, 200)
    })

    test('dies with its session and with its credential', async () => {
      const one = await fresh()
      const hashes = digests(`dies ${version}`)
      const suspended = await one.sad({ credentialID: bound, hashes })
      await service.admin('credential.suspend', { credentialID: bound })
      assertRefused(
        await one.extend({ credentialID: bound, SAD: suspended, hashes }),
        400,
        'invalid_request',
        'The credential identified by credentialID is disabled',
      )
      await service.admin('credential.resume', { credentialID: bound })
      unknownSad(await one.extend({ credentialID: bound, SAD: suspended, hashes }))
      const SAD = await one.sad({ credentialID: bound, hashes })
      await one.revoke(one.bearer)
      assert.equal((await one.extend({ credentialID: bound, SAD, hashes })).status, 401)
    })
  })
}

/** As if the signer's session lasted longer than any agreement. */
async function lengthen(one: CscClient): Promise<void> {
  const hash = createHash('sha256')
    .update(one.bearer as string)
    .digest()
  const owner = await service.owner()
  await owner.query(
    `with t as (update paraph.token set expires_at = paraph.now() + interval '2 hours' where hash = $1 returning session_id)
     update paraph.session set ends_at = paraph.now() + interval '2 hours' where id = (select session_id from t)`,
    [hash],
  )
}

test('renewed again and again it ends 900 seconds after the signer agreed, and an expired one is never renewed', async () => {
  const one = new CscClient(service, 'v2')
  await one.login()
  await lengthen(one)
  const hashes = digests('cap', 3)
  let SAD = await one.sad({ credentialID: bound, hashes })
  const began = service.clock.offset
  const lives: number[] = []
  for (const seconds of [200, 400, 600, 700, 890]) {
    await service.moveClock(began + seconds * 1000 - service.clock.offset)
    const { status, body } = await one.extend({ credentialID: bound, SAD, hashes })
    assert.equal(status, 200, JSON.stringify(body))
    lives.push(body.expiresIn)
    SAD = body.SAD
  }
  // A second may pass while the test runs.
  for (const [i, wanted] of [300, 300, 300, 200, 10].entries()) {
    assert.ok(Math.abs((lives[i] as number) - wanted) <= 2, `${lives[i]} is about ${wanted}`)
  }
  await service.moveClock(began + 901_000 - service.clock.offset)
  const late = await one.extend({ credentialID: bound, SAD, hashes })
  assertRefused(late, 400, 'invalid_request', 'SAD expired')
  await assertLogged(service, late, 'sad.denied', 'sad_expired')
})

test('of twenty who extend one SAD in the same moment on two fronts, one gets another', async () => {
  const one = new CscClient(service, 'v2')
  await one.login()
  const hashes = digests('at once', 3)
  const SAD = await one.sad({ credentialID: bound, hashes })
  const answers = await Promise.all(
    Array.from({ length: 20 }, (_, i) =>
      new CscClient(service, 'v2', { front: i % 2, bearer: one.bearer as string }).extend({
        credentialID: bound,
        SAD,
        hashes,
      }),
    ),
  )
  const won = answers.filter(({ status }) => status === 200)
  assert.equal(won.length, 1)
  for (const answer of answers.filter(({ status }) => status !== 200)) unknownSad(answer)
  const { body } = await one.signHash({ credentialID: bound, SAD: won[0]?.body.SAD, hashes, ...ecdsa })
  assert.equal(body.signatures.length, 3)
})

test('a row whose unsigned digests were changed in the database is not renewed', async () => {
  const one = new CscClient(service, 'v2')
  await one.login()
  const [agreed, slipped] = digests('slipped in', 2) as [string, string]
  const SAD = await one.sad({ credentialID: bound, hashes: [agreed] })
  const owner = await service.owner()
  const change = (digest: string) =>
    owner.query(
      `update paraph.authorization set remaining = array[$1::bytea] where id = (select id from paraph.authorization order by created_at desc limit 1)`,
      [Buffer.from(digest, 'base64')],
    )
  await change(slipped)
  const answer = await one.extend({ credentialID: bound, SAD, hashes: [slipped] })
  assert.deepEqual([answer.status, answer.body.error], [500, 'server_error'])
  await assertLogged(service, answer, 'sad.denied', 'row_tampered')
  await change(agreed)
  const { status } = await one.signHash({ credentialID: bound, SAD, hashes: [agreed], ...ecdsa })
  assert.equal(status, 200)
})

test('after all of this the log and the counters agree', async () => {
  const world = await service.checkWorld()
  assert.ok(world.of('sad.extended').length > 10)
})
