import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { after, before, test } from 'node:test'
import { HsmError } from '../../src/hsm/hsm.js'
import { secretHash } from '../../src/identity/secret-value.js'
import { decryptSignatures, encryptSignatures } from '../../src/signing/kept-signatures.js'
import { tokenOfAnotherClient } from '../helpers/another-client.js'
import {
  assertLogged,
  assertRefused,
  CscClient,
  digests,
  ECDSA_WITH,
  logged,
  PSS,
  RSA,
  RSA_WITH,
  spent,
  until,
  VERSIONS,
  watchedDevice,
} from '../helpers/csc.js'
import { type Answer, TestService, type TestSigner } from '../helpers/test-service.js'

const device = watchedDevice()
let service: TestService
let credentialID: string
let other: TestSigner
let otherCredential: string
/** Signatures of certificate requests. */
let certified: number
before(async () => {
  service = await TestService.start({ workers: 2, fronts: 2, device: (real) => device.wrap(real) })
  credentialID = service.credentials['p-256'] as string
  other = await service.newSigner('other@example.test', 'Other Signer')
  otherCredential = await service.newCredential(other, 'p-256')
  certified = device.calls
})
after(() => service?.close())

const IN_PROGRESS = [409, 'conflict', 'The first request with this Idempotency-Key is still being answered.'] as const
const SPENT = [409, 'conflict', 'The first request with this Idempotency-Key ended without signatures.'] as const
const CONTRADICTS = [422, 'invalid_request', 'This Idempotency-Key was used with another request.'] as const

const query = async (text: string, values: unknown[] = []) => (await (await service.owner()).query(text, values)).rows
const ecdsa = (SAD: string, hashes: string[]) => ({ credentialID, SAD, hashes, signAlgo: ECDSA_WITH['sha-256'] })

/** A client with a SAD for `count` signatures over one digest, and the request that uses one of them. */
async function agreed(label: string, count = 1) {
  const client = new CscClient(service, 'v2')
  await client.login()
  const hashes = digests(label)
  const sad = await client.sad({ credentialID, hashes: Array(count).fill(hashes[0]) })
  return { client, sad, request: ecdsa(sad, hashes), key: randomUUID() }
}

async function usedOf(sad: string): Promise<number> {
  return (await query('select used from paraph.authorization where sad_hash = $1', [secretHash(sad)]))[0].used
}

/** Refused without the device, without spending anything. */
async function assertKept(act: () => Promise<Answer>, refusal: readonly [number, string, string]): Promise<Answer> {
  const [before, calls] = [await spent(service), device.calls]
  const answer = await act()
  assertRefused(answer, ...refusal)
  assert.equal(await spent(service), before, 'nothing is spent')
  assert.equal(device.calls, calls, 'the device is not asked')
  return answer
}

test('the same request under the same key gets the same signatures, on every front and in both versions', async () => {
  const { client, sad, request, key } = await agreed('repeated', 3)
  const first = await client.signHash(request, key)
  assert.equal(first.status, 200)
  const [before, calls] = [await spent(service), device.calls]
  for (const version of VERSIONS) {
    for (const front of [0, 1]) {
      const again = await new CscClient(service, version, { front, bearer: client.bearer as string }).signHash(
        request,
        key,
      )
      assert.deepEqual([again.status, again.body], [200, first.body])
      const entries = await logged(service, again)
      assert.deepEqual(
        entries.map(({ ev, out }) => [ev, out]),
        [['sign.repeated', 'ok']],
      )
    }
  }
  assert.deepEqual([await spent(service), device.calls], [before, calls])
  assert.equal(await usedOf(sad), 1)

  // Without a key, and under another one, it is a request of its own.
  assert.notDeepEqual((await client.signHash(request)).body, first.body)
  assert.notDeepEqual((await client.signHash(request, randomUUID())).body, first.body)
  assert.equal(await usedOf(sad), 3)
  await service.checkWorld({ deviceCalls: device.calls - certified })
})

for (const [key, budget] of [
  ['p-256', 1],
  ['rsa-2048', 100],
] as const) {
  test(`of 100 at once under one key one spends, and all that are answered get its signatures (${key})`, async () => {
    const credential = service.credentials[key] as string
    const client = new CscClient(service, 'v2')
    await client.login()
    const hashes = digests(`at once ${key}`)
    const SAD = await client.sad({ credentialID: credential, hashes: Array(budget).fill(hashes[0]) })
    const signAlgo = key === 'p-256' ? ECDSA_WITH['sha-256'] : RSA
    const body = { credentialID: credential, SAD, hashes, signAlgo, digestOid: '2.16.840.1.101.3.4.2.1' }
    const name = randomUUID()
    const calls = device.calls
    const ask = (i: number) =>
      new CscClient(service, 'v2', { front: i % 2, bearer: client.bearer as string }).signHash(body, name)
    const answers = await Promise.all(Array.from({ length: 100 }, (_, i) => ask(i)))
    const right = answers.filter(({ status }) => status === 200)
    assert.ok(right.length >= 1)
    for (const answer of right) assert.deepEqual(answer.body, right[0]?.body)
    for (const answer of answers.filter(({ status }) => status !== 200)) {
      assertRefused(answer, ...IN_PROGRESS)
      assert.equal(answer.headers.get('retry-after'), '1')
    }
    assert.deepEqual([device.calls, await usedOf(SAD)], [calls + 1, 1])
    assert.deepEqual((await ask(0)).body, right[0]?.body)
    await service.checkWorld({ deviceCalls: device.calls - certified })
  })
}

test('who comes while the first is in the device is told to come again; without an outcome in time there is none', async () => {
  const { client, sad, request, key } = await agreed('slow')
  let finish: () => void = () => {}
  const entered = new Promise<void>((resolve) => {
    device.before = () => {
      resolve()
      return new Promise<void>((done) => (finish = done))
    }
  })
  const first = client.signHash(request, key)
  await entered
  const early = await assertKept(() => client.signHash(request, key), IN_PROGRESS)
  assert.equal(early.headers.get('retry-after'), '1')
  await assertLogged(service, early, 'sign.denied', 'retry_in_progress')
  await service.moveClock(31_000)
  const late = await assertKept(() => client.signHash(request, key), SPENT)
  assert.equal(late.headers.get('retry-after'), null)
  await assertLogged(service, late, 'sign.denied', 'retry_spent')
  // The reconciler gives it up, and what the device returns then is withheld.
  await (await service.startWorker(service.newWorkerSettings(2))).close()
  finish()
  assert.equal((await first).status, 503)
  await assertKept(() => client.signHash(request, key), SPENT)
  assert.equal(await usedOf(sad), 1)
})

test('what was spent without signatures stays so: a device that fails, a stop before the outcome', async () => {
  const failed = await agreed('device fails', 2)
  device.before = () => Promise.reject(new HsmError('unavailable', 'gone'))
  assert.equal((await failed.client.signHash(failed.request, failed.key)).status, 503)
  const answer = await assertKept(() => failed.client.signHash(failed.request, failed.key), SPENT)
  assert.equal(answer.headers.get('retry-after'), null)

  const stopped = await agreed('stopped in the device', 2)
  const revoke = (value: string) =>
    query(`update paraph.authorization set revoked_at = ${value} where sad_hash = $1`, [secretHash(stopped.sad)])
  device.before = () => revoke('paraph.now()')
  assertRefused(
    await stopped.client.signHash(stopped.request, stopped.key),
    400,
    'invalid_request',
    'Invalid parameter SAD',
  )
  await revoke('null')
  await assertKept(() => stopped.client.signHash(stopped.request, stopped.key), SPENT)
  await service.checkWorld({ deviceCalls: device.calls - certified })
})

test('a refusal takes no key: what was not spent may be asked for again', async () => {
  const { client, request, key } = await agreed('refused first')
  const tooMany = { ...request, hashes: [...request.hashes, ...request.hashes] }
  assert.equal((await client.signHash(tooMany, key)).status, 400)
  assert.equal((await client.signHash(request, key)).status, 200)
})

test('another request under the same key is refused, whatever differs', async () => {
  const client = new CscClient(service, 'v2')
  await client.login()
  const [a, b] = digests('contradicting', 2) as [string, string]
  const SAD = await client.sad({ credentialID, hashes: [a, b, a, b] })
  const otherSad = await client.sad({ credentialID, hashes: [a, b] })
  const key = randomUUID()
  const first = await client.signHash(ecdsa(SAD, [a, b]), key)
  assert.equal(first.status, 200)
  const others = [
    ecdsa(SAD, [b, a]),
    ecdsa(SAD, [a]),
    ecdsa(SAD, [a, b, a]),
    ecdsa(otherSad, [a, b]),
    ecdsa('no SAD', [a, b]),
  ]
  for (const request of others) {
    const answer = await assertKept(() => client.signHash(request, key), CONTRADICTS)
    await assertLogged(service, answer, 'sign.denied', 'retry_contradicts')
  }
  assert.deepEqual((await client.signHash(ecdsa(SAD, [a, b]), key)).body, first.body)

  const rsa = service.credentials['rsa-2048'] as string
  const more = { credentialID: rsa, hashes: [a], digestOid: '2.16.840.1.101.3.4.2.1' }
  const rsaSad = await client.sad(more)
  const signed = await client.signHash({ ...more, SAD: rsaSad, signAlgo: RSA }, key)
  assert.equal(signed.status, 200, 'the key of another credential is another key')
  const pss = {
    signAlgo: PSS,
    signAlgoParams: 'MDSgDzANBglghkgBZQMEAgEFAKEcMBoGCSqGSIb3DQEBCDANBglghkgBZQMEAgEFAKIDAgEg',
  }
  await assertKept(() => client.signHash({ ...more, SAD: rsaSad, ...pss }, key), CONTRADICTS)
  // The same mechanism in other words is the same request.
  const words = { credentialID: rsa, hashes: [a], SAD: rsaSad, signAlgo: RSA_WITH['sha-256'] }
  assert.deepEqual((await client.signHash(words, key)).body, signed.body)
})

test('the same key of another signer or client is another key', async () => {
  const { client, request, key } = await agreed('one of many', 2)
  const first = await client.signHash(request, key)
  const stranger = new CscClient(service, 'v2')
  await stranger.login(other)
  const hashes = digests('one of many')
  const SAD = await stranger.sad({ credentialID: otherCredential, hashes }, other)
  const theirs = await stranger.signHash({ ...ecdsa(SAD, hashes), credentialID: otherCredential }, key)
  assert.equal(theirs.status, 200)
  assert.notDeepEqual(theirs.body, first.body)
  // With all that the first one sent, but his own token.
  await assertKept(() => stranger.signHash(request, key), [400, 'invalid_request', 'Invalid parameter credentialID'])

  const elsewhere = new CscClient(service, 'v2', { bearer: await tokenOfAnotherClient(service, service.signer) })
  await assertKept(() => elsewhere.signHash(request, key), [400, 'invalid_request', 'Invalid parameter SAD'])
  await service.checkWorld()
})

test('whoever is stopped gets nothing any more', async () => {
  const ended = await agreed('session ended')
  const first = await ended.client.signHash(ended.request, ended.key)
  assert.equal(first.status, 200)
  await ended.client.revoke(ended.client.bearer)
  const expired = 'The access or refresh token is expired or has been revoked.'
  await assertKept(() => ended.client.signHash(ended.request, ended.key), [401, 'expired_token', expired])
  // A new session is another one: the SAD is not its own.
  await ended.client.login()
  await assertKept(
    () => ended.client.signHash(ended.request, ended.key),
    [400, 'invalid_request', 'Invalid parameter SAD'],
  )

  const revoked = await agreed('SAD revoked')
  assert.equal((await revoked.client.signHash(revoked.request, revoked.key)).status, 200)
  await query('update paraph.authorization set revoked_at = paraph.now() where sad_hash = $1', [
    secretHash(revoked.sad),
  ])
  await assertKept(
    () => revoked.client.signHash(revoked.request, revoked.key),
    [400, 'invalid_request', 'Invalid parameter SAD'],
  )

  const suspended = await agreed('credential suspended')
  assert.equal((await suspended.client.signHash(suspended.request, suspended.key)).status, 200)
  await service.admin('credential.suspend', { credentialID })
  const disabled = 'The credential identified by credentialID is disabled'
  await assertKept(
    () => suspended.client.signHash(suspended.request, suspended.key),
    [400, 'invalid_request', disabled],
  )
  await service.admin('credential.resume', { credentialID })
  // What was suspended once was agreed to before; that is over.
  await assertKept(
    () => suspended.client.signHash(suspended.request, suspended.key),
    [400, 'invalid_request', 'Invalid parameter SAD'],
  )
  await service.checkWorld()
})

test('a stop in the very moment of repeating is seen', async () => {
  for (const [stop, refusal] of [
    ['update paraph.authorization set revoked_at = paraph.now() where sad_hash = $1', 'Invalid parameter SAD'],
    [
      `update paraph.session set ended_at = paraph.now() where id = (select session_id from paraph.authorization where sad_hash = $1)`,
      'The access or refresh token is expired or has been revoked.',
    ],
  ] as const) {
    // Who waits longer than half a second for a lock gives up, so that a slow machine may miss the moment and tries again.
    let answer: Answer
    do answer = await repeatedWhile(stop)
    while (answer.status === 503)
    assert.equal(answer.body.error_description, refusal)
    await assertLogged(service, answer, 'sign.denied', 'refused_at_spending')
  }
  await service.checkWorld()
})

/** What a repeated request gets, if this happens after it was looked at and before it is answered. */
async function repeatedWhile(stop: string): Promise<Answer> {
  const { client, sad, request, key } = await agreed(stop)
  assert.equal((await client.signHash(request, key)).status, 200)
  await query('begin')
  await query('select 1 from paraph.authorization where sad_hash = $1 for update', [secretHash(sad)])
  const again = client.signHash(request, key)
  const waiting = until('the worker comes to write its entry', async () => {
    const [{ n }] = await query(
      `select count(*) as n from pg_stat_activity where datname = current_database() and usename = 'paraph_sam'
         and wait_event_type = 'Lock' and query like '%paraph.flush%'`,
    )
    return n === 1
  })
  await Promise.race([waiting, again])
  await query(stop, [secretHash(sad)])
  await query('commit')
  await waiting.catch(() => {})
  return again
}

test('ten minutes later the key is free again, and what was kept is gone', async () => {
  const { client, sad, request, key } = await agreed('ten minutes')
  // A session that outlives the key.
  await query(
    `update paraph.session set ends_at = ends_at + interval '1 hour' where id = (
    select session_id from paraph.authorization where sad_hash = $1)`,
    [secretHash(sad)],
  )
  await query(`update paraph.token set expires_at = expires_at + interval '1 hour' where hash = $1`, [
    secretHash(client.bearer as string),
  ])
  const first = await client.signHash(request, key)
  assert.equal(first.status, 200)
  await service.moveClock(9 * 60_000 + 30_000)
  assert.deepEqual((await client.signHash(request, key)).body, first.body, 'the SAD itself expired long ago')
  await service.moveClock(31_000)
  assertRefused(await client.signHash(request, key), 400, 'invalid_request', 'SAD expired')

  // The key may name something else now; what expired makes place for it.
  const SAD = await client.sad({ credentialID, hashes: request.hashes })
  const anew = await client.signHash(ecdsa(SAD, request.hashes), key)
  assert.equal(anew.status, 200)
  assert.notDeepEqual(anew.body, first.body)

  await service.moveClock(16 * 60_000)
  await query('select paraph.purge()')
  assert.deepEqual(await query('select count(*) as n from paraph.retry'), [{ n: 0 }])
  await service.checkWorld()
})

test('who has the database gets no kept signature out, nor into another answer', async () => {
  const client = new CscClient(service, 'v2')
  await client.login()
  const [a, b] = digests('kept', 2) as [string, string]
  const SAD = await client.sad({ credentialID, hashes: [a, b, b] })
  const [keyA, keyB] = [randomUUID(), randomUUID()]
  const [first, second] = [await client.signHash(ecdsa(SAD, [a]), keyA), await client.signHash(ecdsa(SAD, [b]), keyB)]
  const rowOf = async (key: string) =>
    (await query('select * from paraph.retry where key_hash = $1', [secretHash(key)]))[0]
  const [rowA, rowB] = [await rowOf(keyA), await rowOf(keyB)]

  // All that stands in the database, tried as the secret it is encrypted under.
  const to = { operation: rowA.op, credential: credentialID as never, body: rowA.body_hash }
  assert.equal(decryptSignatures(rowA.signatures, SAD, to).length, 1)
  const hash = secretHash(SAD)
  for (const guess of ['', hash.toString('latin1'), hash.toString('hex'), hash.toString('base64url'), rowA.op, keyA]) {
    assert.throws(() => decryptSignatures(rowA.signatures, guess, to))
  }
  assert.ok(!rowA.signatures.includes(Buffer.from(first.body.signatures[0], 'base64')))

  // The one under the same SAD comes closest to opening in another's place.
  const put = (columns: Record<string, unknown>) => {
    const names = Object.keys(columns)
    return query(
      `update paraph.retry set ${names.map((name, i) => `${name} = $${i + 2}`).join(', ')} where key_hash = $1`,
      [secretHash(keyB), ...Object.values(columns)],
    )
  }
  await query('delete from paraph.retry where key_hash = $1', [secretHash(keyA)])
  const forged = encryptSignatures([Buffer.from(first.body.signatures[0], 'base64')], SAD, {
    ...to,
    operation: rowB.op,
    body: rowB.body_hash,
  })
  for (const [columns, answer] of [
    [{ signatures: rowA.signatures }, 500],
    [{ signatures: rowA.signatures, op: rowA.op }, 500],
    [{ signatures: rowA.signatures, op: rowA.op, body_hash: rowA.body_hash }, 422],
    [{ signatures: Buffer.alloc(3) }, 500],
    // With the SAD itself one could at most put in a signature over another digest: the public key does not confirm it.
    [{ signatures: forged }, 500],
  ] as const) {
    await put(columns)
    const got = await client.signHash(ecdsa(SAD, [b]), keyB)
    assert.equal(got.status, answer)
    if (answer === 500) await assertLogged(service, got, 'sign.denied', 'row_tampered')
    await put(rowB)
  }
  assert.deepEqual((await client.signHash(ecdsa(SAD, [b]), keyB)).body, second.body)
  await service.checkWorld({ deviceCalls: device.calls - certified })
})
