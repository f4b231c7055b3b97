import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { TestService } from '../helpers/test-service.js'

let service: TestService
before(async () => {
  service = await TestService.start({ workers: 2, fronts: 2 })
})
after(() => service?.close())

const many = <T>(count: number, act: (i: number) => Promise<T>) =>
  Promise.all(Array.from({ length: count }, (_, i) => act(i)))

for (const key of ['rsa-2048', 'p-256'] as const) {
  test(`F15: 100 parallel replays of one SAD, over two fronts and two workers, give one success (${key})`, async () => {
    const bearer = await service.login()
    const credential = service.credentials[key] as string
    const hashes = service.digests(`replayed ${key}`)
    const sad = await service.authorize(bearer, credential, hashes)
    const answers = await many(100, (i) => service.signHash(bearer, credential, sad, hashes, { front: i % 2 }))
    assert.equal(answers.filter(({ status }) => status === 200).length, 1)
    for (const { status, body } of answers.filter((answer) => answer.status !== 200)) {
      assert.deepEqual([status, body], [400, { error: 'invalid_request', error_description: 'Invalid parameter SAD' }])
    }
    await service.checkWorld()
  })
}

test('40 parallel submissions of one code give one authorization', async () => {
  const bearer = await service.login()
  const credential = service.credentials['p-256'] as string
  const hashes = service.digests('one code')
  const code = await service.freshCode()
  const answers = await many(40, (i) =>
    service.post(
      '/csc/v2/credentials/authorize',
      {
        credentialID: credential,
        numSignatures: 1,
        hashes,
        hashAlgorithmOID: '2.16.840.1.101.3.4.2.1',
        authData: [{ id: 'OTP', value: code }],
      },
      { bearer, front: i % 2 },
    ),
  )
  assert.equal(answers.filter(({ status }) => status === 200).length, 1)
  for (const { status, body } of answers.filter((answer) => answer.status !== 200)) {
    assert.equal(status, 400)
    assert.ok(
      ['The authentication data is invalid', 'Credential locked'].includes(body.error_description),
      body.error_description,
    )
  }
  const world = await service.checkWorld()
  assert.equal(
    world
      .of('sad.issued')
      .filter(({ open }) => open.get('dtbsr[0]') === Buffer.from(hashes[0] as string, 'base64').toString('base64url'))
      .length,
    1,
  )
})

test('an authorization for five digests, asked for two at a time by forty callers, never gives more than five', async () => {
  const bearer = await service.login()
  const credential = service.credentials['p-256'] as string
  const hashes = service.digests('a', 'b', 'c', 'd', 'd')
  const sad = await service.authorize(bearer, credential, hashes)
  const answers = await many(40, (i) => {
    const pair = [hashes[i % 5] as string, hashes[(i + 1 + (i % 3)) % 5] as string]
    return service.signHash(bearer, credential, sad, pair, { front: i % 2 })
  })
  const signed = answers
    .filter(({ status }) => status === 200)
    .reduce((sum, { body }) => sum + body.signatures.length, 0)
  assert.ok(signed === 2 || signed === 4, `${signed} signatures`)
  await service.checkWorld()
})

test('F15: two workers that spend one authorization in the same moment see one another', async () => {
  const credential = service.credentials['p-256'] as string
  const owner = await service.owner()
  const spending = async () => {
    const { rows } = await owner.query(
      `select count(*) as n from pg_stat_activity where datname = current_database() and usename = 'paraph_sam'
        and wait_event_type = 'Lock' and query like '%paraph.flush%'`,
    )
    return rows[0].n
  }
  // Who waits longer than half a second for a lock gives up, so that a slow machine may miss the moment and tries again.
  for (let attempt = 1; ; attempt++) {
    const bearer = await service.login()
    const hashes = service.digests(...['a', 'b', 'c', 'd'].map((name) => `moment ${attempt} ${name}`))
    const [a, b, c] = hashes as [string, string, string, string]
    const sad = await service.authorize(bearer, credential, hashes)
    // While somebody else holds the head of the log, one worker has spent and cannot commit, and the other comes to spend.
    await owner.query('begin')
    await owner.query('select size from audit.head for update')
    const both = Promise.all([
      service.signHash(bearer, credential, sad, [a, b]),
      service.signHash(bearer, credential, sad, [a, c]),
    ])
    const end = performance.now() + 400
    while ((await spending()) < 2 && performance.now() < end);
    const met = (await spending()) === 2
    await owner.query('rollback')
    const answers = await both
    await service.checkWorld()
    if (!met || answers.some(({ status }) => status === 503)) {
      assert.ok(attempt < 5, 'two workers never met')
      continue
    }
    assert.deepEqual(answers.map(({ status }) => status).sort(), [200, 400])
    assert.match(answers.find(({ status }) => status === 400)?.body.error_description, /^Hash is not authorized/)
    return
  }
})

test('F15: requests of many authorizations at once share commits and stay apart', async () => {
  const bearer = await service.login()
  const credential = service.credentials['p-256'] as string
  const batches = Array.from({ length: 4 }, (_, i) =>
    service.digests(...Array.from({ length: 10 }, (_, j) => `batch ${i} ${j}`)),
  )
  const sads: string[] = []
  for (const hashes of batches) sads.push(await service.authorize(bearer, credential, hashes))
  const answers = await many(40, (i) =>
    service.signHash(bearer, credential, sads[i % 4] as string, [batches[i % 4]?.[i >> 2] as string], { front: i % 2 }),
  )
  assert.deepEqual(
    answers.map(({ status }) => status),
    answers.map(() => 200),
  )
  await service.checkWorld()
})
