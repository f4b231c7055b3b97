import assert from 'node:assert/strict'
import { subscribe } from 'node:diagnostics_channel'
import { after, before, test } from 'node:test'
import type { SigningStep } from '../../src/signing/steps.js'
import { FaultProxy } from '../helpers/fault-proxy.js'
import { type Answer, TestService } from '../helpers/test-service.js'

/** Bound on waiting for something to become true. */
const PATIENCE_MS = 10_000
/** The name of the prepared statement by which a signing writer commits, as it stands in the protocol's messages. */
const FLUSH = '\0flush\0'

let service: TestService
let proxy: FaultProxy
let bearer: string
let credential: string
let atStep: { step: SigningStep; act: () => void } | undefined

before(async () => {
  service = await TestService.start({
    keys: ['p-256'],
    network: async (url) => {
      proxy ??= await FaultProxy.before(url)
      return proxy.through(url)
    },
  })
  credential = service.credentials['p-256'] as string
  subscribe('paraph.signing', (message) => {
    if (atStep === undefined || (message as { step: string }).step !== atStep.step) return
    const { act } = atStep
    atStep = undefined
    act()
  })
  // The prepared statement must exist, so that its name is what each later message carries.
  bearer = await service.login()
  const hashes = service.digests('first')
  await service.signHash(bearer, credential, await service.authorize(bearer, credential, hashes), hashes)
})
after(async () => {
  await service?.close()
  await proxy?.close()
})

async function until(what: string, holds: () => Promise<boolean>): Promise<void> {
  const end = performance.now() + PATIENCE_MS
  while (performance.now() < end) {
    if (await holds()) return
    await new Promise((resolve) => setTimeout(resolve, 20))
  }
  assert.fail(`${what}, in vain for ${PATIENCE_MS / 1000} s`)
}

function assertUnavailable({ status, headers, body }: Answer): void {
  assert.equal(status, 503, JSON.stringify(body))
  assert.equal(body.error, 'temporarily_unavailable')
  assert.ok(Number(headers.get('retry-after')) >= 1, 'says when to try again')
}

const ready = () =>
  until('the service is ready again', async () => (await fetch(`${service.urls[0]}/health/ready`)).status === 200)
/** Tries until it is not 503, as a client would. */
async function signWhenUp(sad: string, hashes: string[]): Promise<Answer> {
  let answer = await service.signHash(bearer, credential, sad, hashes)
  await until('the service answers again', async () => {
    if (answer.status === 503) answer = await service.signHash(bearer, credential, sad, hashes)
    return answer.status !== 503
  })
  return answer
}

async function prepared(text: string): Promise<{ hashes: string[]; sad: string }> {
  bearer = await service.login()
  const hashes = service.digests(text)
  return { hashes, sad: await service.authorize(bearer, credential, hashes) }
}

test('F7: the intention is lost on the way: 503, nothing is spent, the same SAD signs afterwards', async () => {
  const { hashes, sad } = await prepared('intention lost')
  atStep = { step: 'before-intent', act: () => proxy.set('cut-before', FLUSH) }
  assertUnavailable(await service.signHash(bearer, credential, sad, hashes))
  assert.equal((await signWhenUp(sad, hashes)).status, 200)
  await service.checkWorld()
})

test('F7: the intention is committed but nobody hears it: 503, the device is not asked, and it ends as abandoned', async () => {
  const { hashes, sad } = await prepared('intention unheard')
  atStep = { step: 'before-intent', act: () => proxy.set('cut-after', FLUSH) }
  assertUnavailable(await service.signHash(bearer, credential, sad, hashes))
  const again = await signWhenUp(sad, hashes)
  assert.deepEqual([again.status, again.body.error_description], [400, 'Invalid parameter SAD'])
  const world = await service.checkWorld({ settled: false })
  assert.equal(world.of('sign.intent').length, world.of('sign.outcome').length + 1)
  // A worker that starts later closes it.
  await service.moveClock(60_000)
  await (await service.startWorker(service.newWorkerSettings(7))).close()
  assert.equal((await service.checkWorld()).of('sign.abandoned').length, 1)
})

for (const [mode, what] of [
  ['cut-before', 'lost on the way'],
  ['cut-after', 'committed but unheard'],
] as const) {
  test(`F7: the outcome is ${what}: it is looked up, stands once, and the signature is released`, async () => {
    const { hashes, sad } = await prepared(`outcome ${mode}`)
    atStep = { step: 'before-outcome', act: () => proxy.set(mode, FLUSH) }
    const answer = await service.signHash(bearer, credential, sad, hashes)
    assert.equal(answer.status, 200, JSON.stringify(answer.body))
    await service.checkWorld()
  })
}

test('F7: an authorization that is lost on the way: 503, and its code is not burned', async () => {
  bearer = await service.login()
  const hashes = service.digests('authorization lost')
  const code = await service.freshCode()
  proxy.set('cut-before', 'insert into audit.staged')
  await assert.rejects(service.authorize(bearer, credential, hashes, { code }), /answered 503/)
  await ready()
  await service.authorize(bearer, credential, hashes, { code })
  await service.checkWorld()
})

test('F7: an authorization whose commit is unheard: 503, its code is burned, and the signer takes the next', async () => {
  bearer = await service.login()
  const hashes = service.digests('authorization unheard')
  const code = await service.freshCode()
  proxy.set('cut-after', 'commit', 'insert into audit.staged')
  await assert.rejects(service.authorize(bearer, credential, hashes, { code }), /answered 503/)
  await ready()
  await assert.rejects(service.authorize(bearer, credential, hashes, { code }), /authentication data is invalid/)
  await service.authorize(bearer, credential, hashes)
  await service.checkWorld()
})

test('no database at all: everything answers 503 at once, and works by itself when it is back', async () => {
  const { hashes, sad } = await prepared('no database')
  proxy.set('refuse')
  const answers = await Promise.all([
    ...Array.from({ length: 50 }, () => service.signHash(bearer, credential, sad, hashes)),
    service.post('/csc/v2/credentials/list', {}, { bearer }),
    service.post('/csc/v1/credentials/info', { credentialID: credential }, { bearer }),
    service.post(
      '/csc/v2/auth/login',
      {},
      { headers: { authorization: `Basic ${Buffer.from('a:b').toString('base64')}` } },
    ),
  ])
  for (const answer of answers) assertUnavailable(answer)
  assert.equal((await fetch(`${service.urls[0]}/health/live`)).status, 200)
  await until('health tells the truth', async () => (await fetch(`${service.urls[0]}/health/ready`)).status === 503)
  proxy.set('pass')
  await ready()
  assert.equal((await signWhenUp(sad, hashes)).status, 200)
  await service.checkWorld()
})

test('F22: a database that hangs is given up, and nothing piles up', async () => {
  const { hashes, sad } = await prepared('hang')
  proxy.set('hang')
  const answers = await Promise.all(Array.from({ length: 20 }, () => service.signHash(bearer, credential, sad, hashes)))
  for (const answer of answers) assertUnavailable(answer)
  proxy.set('refuse')
  proxy.set('pass')
  await ready()
  assert.equal((await signWhenUp(sad, hashes)).status, 200)
  await service.checkWorld()
})

test('F22: somebody holds the head of the log: 503 after half a second, and on it goes', async () => {
  const { hashes, sad } = await prepared('lock')
  const owner = await service.owner()
  await owner.query('begin')
  await owner.query('lock table audit.head in access exclusive mode')
  try {
    assertUnavailable(await service.signHash(bearer, credential, sad, hashes))
  } finally {
    await owner.query('rollback')
  }
  assert.equal((await signWhenUp(sad, hashes)).status, 200)
  await service.checkWorld()
})

test('every connection is ended by the operator of the database: the service makes new ones', async () => {
  const { hashes, sad } = await prepared('terminated')
  const owner = await service.owner()
  await owner.query(
    'select pg_terminate_backend(pid) from pg_stat_activity where datname = current_database() and pid <> pg_backend_pid()',
  )
  await ready()
  assert.equal((await signWhenUp(sad, hashes)).status, 200)
  await service.checkWorld()
})
