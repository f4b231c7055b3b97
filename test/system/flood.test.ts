/** Whoever has no business here, in great number: signing goes on, and the log stays readable. */
import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { after, before, test } from 'node:test'
import { startFront } from '../../src/front/main.js'
import type { World } from '../helpers/check-world.js'
import { basic, digests, ECDSA_WITH } from '../helpers/csc.js'
import { TestService } from '../helpers/test-service.js'

const REQUESTS = 3000
const AT_ONCE = 60
const ADDRESSES = 25
const NODES = ['test/flooded-0', 'test/flooded-1']

let service: TestService
let loginsRefused = 0
const fronts: { url: string; close(): Promise<void> }[] = []
before(async () => {
  service = await TestService.start({ workers: 2, fronts: 2, keys: ['p-256'] })
  // Behind a proxy, as whoever comes from many addresses meets them; after the service's own they are number 2 and 3.
  for (const [index, node] of NODES.entries()) {
    const settings = { ...service.newFrontSettings(index), trustedProxies: ['127.0.0.1'], node }
    const front = await startFront({ logger: service.logger, clock: service.clock, settings })
    fronts.push(front)
    service.urls.push(front.url)
  }
})
const closeFronts = () => Promise.all(fronts.splice(0).map((front) => front.close()))
after(async () => {
  await closeFronts()
  await service?.close()
})

const from = (i: number, authorization?: string) => ({
  front: 2 + (i % 2),
  headers: {
    'x-forwarded-for': `198.51.100.${Math.floor(i / 2) % ADDRESSES}`,
    ...(authorization === undefined ? {} : { authorization }),
  },
})
/** What the flood consists of: path, header, status. */
const KINDS: readonly (readonly [path: string, authorization: string | undefined, status: number])[] = [
  ['/csc/v2/credentials/list', undefined, 400],
  ['/csc/v2/credentials/list', 'Bearer nobody', 401],
  ['/csc/v2/credentials/authorize', 'Bearer nobody', 401],
  ['/csc/v2/signatures/signHash', 'Bearer nobody', 401],
  ['/csc/v1/signatures/signHash', 'Basic nobody', 400],
  ['/csc/v2/nothing', undefined, 501],
]

test('signing goes on in a flood of requests that nobody may make, and the log counts them together', async () => {
  const credentialID = service.credentials['p-256'] as string
  const bearer = await service.login()
  const hashes = digests('in the flood', 60)
  const sad = await service.authorize(bearer, credentialID, hashes)

  let sent = 0
  let logins = 0
  let shed = 0
  const drown = async () => {
    while (sent < REQUESTS) {
      const i = sent++
      if (i % 50 === 0) {
        // Those reach a worker, and its passwords.
        logins++
        const answer = await service.post(
          '/csc/v2/auth/login',
          {},
          from(i, basic(`${randomUUID()}@example.test`, 'a wrong password').authorization),
        )
        assert.ok([400, 503].includes(answer.status), `${answer.status}`)
        if (answer.status === 400) loginsRefused++
        continue
      }
      const [path, authorization, status] = KINDS[i % KINDS.length] as (typeof KINDS)[number]
      const answer = await service.post(path, {}, from(i, authorization))
      // A machine that is too slow for all of it sheds some, and does not count those.
      if (answer.status === 503) shed++
      else assert.equal(answer.status, status)
    }
  }
  const flood = Promise.all(Array.from({ length: AT_ONCE }, drown))
  let signed = 0
  for (const [i, hash] of hashes.entries()) {
    const key = randomUUID()
    const options = { front: i % 4, signAlgo: ECDSA_WITH['sha-256'], key }
    let answer = await service.signHash(bearer, credentialID, sad, [hash], options)
    for (let again = 0; answer.status !== 200 && again < 20; again++) {
      assert.ok([409, 503].includes(answer.status) && answer.headers.has('retry-after'), JSON.stringify(answer.body))
      answer = await service.signHash(bearer, credentialID, sad, [hash], options)
    }
    assert.equal(answer.status, 200)
    if (sent < REQUESTS) signed++
  }
  assert.ok(signed >= 10, `${signed} were signed before the flood was over`)
  await flood
  await closeFronts()

  const world = await service.checkWorld()
  const refused = world.of('access.refused').filter(({ leaf }) => NODES.includes(leaf.node))
  const counted = refused.reduce((sum, { leaf }) => sum + Number(leaf.f?.count), 0)
  assert.equal(counted, REQUESTS - logins - shed, 'each is counted')
  // One at once and one at the end, for each front, address, and endpoint with its reason.
  const most = 2 * NODES.length * ADDRESSES * KINDS.length
  assert.ok(refused.length <= most, `${refused.length} entries, ${most} at most`)
  assert.ok(world.of('auth.login_failed').length <= logins)
  const made = world.of('sign.outcome').filter(({ leaf }) => leaf.out === 'ok')
  assert.equal(made.length, hashes.length)
})

/** What a signer changes on the account page. */
const CHANGES = [
  'password',
  'recovery-codes',
  'authenticator',
  'remove-authenticator',
  'new-passkey',
  'passkey',
  'stop',
  'stop-replacement',
]
const WAVE = 500
const WAVES = 12

test('however many invent tokens, a signer is never sent away', async () => {
  const credentialID = service.credentials['p-256'] as string
  const seen = { 400: 0, 401: 0, 503: 0 }
  const meet = ({ status, headers }: { status: number; headers: Headers }) => {
    assert.ok(status === 400 || status === 401 || status === 503, `${status}`)
    if (status === 503) assert.equal(headers.get('retry-after'), '1')
    seen[status]++
  }
  const inventions = [
    () => service.post('/csc/v2/credentials/list', {}, { bearer: randomUUID() }),
    () => fetch(`${service.urls[0]}/oauth2/authorize?client_id=${randomUUID()}`),
  ]
  let waves = 0
  /** One kind after the other, and in each round the other way around. */
  const wave = () => {
    const invented = inventions[(waves + Math.floor(waves / 4)) % inventions.length] as (typeof inventions)[number]
    waves++
    return Promise.all(Array.from({ length: WAVE }, async () => meet(await invented())))
  }
  /** What `act` answers, asked when a wave has just begun, on a machine that in the first round is far too slow for it. */
  const inWave = async <T>(act: () => Promise<T>): Promise<T> => {
    const isFirstRound = waves < 4
    const strangers = wave()
    const asked = act()
    if (isFirstRound) {
      await new Promise((resolve) => setTimeout(resolve, 50))
      const end = performance.now() + 1200
      while (performance.now() < end);
    }
    const [answer] = await Promise.all([asked, strangers])
    return answer
  }
  for (let i = 0; i < WAVES / 4; i++) {
    // These throw on any answer but 200.
    const bearer = await inWave(() => service.login())
    const hashes = digests(`in wave ${i}`, 2)
    const code = await service.freshCode()
    const sad = await inWave(() => service.authorize(bearer, credentialID, hashes, { code }))
    for (const hash of hashes) {
      // So that the front has to ask again who this is.
      await service.moveClock(1_000)
      const options = { signAlgo: ECDSA_WITH['sha-256'] }
      const answer = await inWave(() => service.signHash(bearer, credentialID, sad, [hash], options))
      assert.equal(answer.status, 200, JSON.stringify(answer.body))
    }
  }
  assert.ok(
    Object.values(seen).every((times) => times > 0),
    JSON.stringify(seen),
  )
  await service.checkWorld()
})

test('a token is no stranger’s on a front where it was not issued', async () => {
  const refused: number[] = []
  // The first wave opens the connections over which the others come all at once.
  for (let i = 0; i < 3; i++) {
    const bearer = await service.login(service.signer, 0)
    const wave = Array.from({ length: WAVE }, async () => {
      refused.push((await service.post('/csc/v2/credentials/list', {}, { bearer: randomUUID(), front: 1 })).status)
    })
    const { status } = await service.post('/csc/v2/credentials/list', {}, { bearer, front: 1 })
    await Promise.all(wave)
    assert.equal(status, 200)
  }
  assert.ok(refused.includes(503), 'it was a flood')
})

test('however many guess passwords, a signer who is logged in is never sent away', async () => {
  const credentialID = service.credentials['p-256'] as string
  const bearer = await service.login()
  for (let i = 0; i < 2; i++) {
    const hashes = digests(`among guesses ${i}`, 1)
    const code = await service.freshCode()
    const guesses = Array.from({ length: 700 }, async () => {
      const login = `${randomUUID()}@example.test`
      const { status } = await service.post('/csc/v2/auth/login', {}, { headers: basic(login, 'a wrong password') })
      assert.ok(status === 400 || status === 503, `${status}`)
      if (status === 400) loginsRefused++
    })
    const sad = await service.authorize(bearer, credentialID, hashes, { code })
    const answer = await service.signHash(bearer, credentialID, sad, hashes, { signAlgo: ECDSA_WITH['sha-256'] })
    assert.equal(answer.status, 200, JSON.stringify(answer.body))
    await Promise.all(guesses)
  }
})

test('however many sign out of what they invented, authorizations do not wait for it', async () => {
  const credentialID = service.credentials['p-256'] as string
  const bearer = await service.login()
  const seen = new Set<number>()
  for (const path of ['/portal/sign-out', '/portal/account/stop']) {
    const hashes = digests(`among those who leave ${path}`, 1)
    const code = await service.freshCode()
    const leaving = Array.from({ length: 700 }, async () => {
      const answer = await fetch(`${service.urls[0]}${path}`, {
        method: 'POST',
        redirect: 'manual',
        headers: {
          'content-type': 'application/x-www-form-urlencoded',
          cookie: `paraph-form=invented; paraph-session=${randomUUID()}`,
        },
        body: 'form=invented',
      })
      await answer.text()
      seen.add(answer.status)
    })
    const sad = await service.authorize(bearer, credentialID, hashes, { code })
    const answer = await service.signHash(bearer, credentialID, sad, hashes, { signAlgo: ECDSA_WITH['sha-256'] })
    assert.equal(answer.status, 200, JSON.stringify(answer.body))
    await Promise.all(leaving)
  }
  assert.deepEqual([...seen].sort(), [303, 503])
})

test('however many invent an auditor, whom only a worker can judge, signers do not wait, and few entries tell of it', async () => {
  const credentialID = service.credentials['p-256'] as string
  const bearer = await service.login()
  const seen = new Set<number>()
  const hashes = digests('among auditors', 1)
  const code = await service.freshCode()
  const before = (await service.checkWorld()).entries.length
  const looks = Array.from({ length: 700 }, async () => {
    const headers = { authorization: `Bearer ${randomUUID()}` }
    const answer = await fetch(`${service.urls[0]}/audit/v1/entries`, { headers })
    await answer.text()
    seen.add(answer.status)
  })
  const sad = await service.authorize(bearer, credentialID, hashes, { code })
  const answer = await service.signHash(bearer, credentialID, sad, hashes, { signAlgo: ECDSA_WITH['sha-256'] })
  assert.equal(answer.status, 200, JSON.stringify(answer.body))
  await Promise.all(looks)
  assert.deepEqual([...seen].sort(), [401, 503])
  const { entries } = await service.checkWorld()
  const told = entries.slice(before).filter(({ leaf }) => leaf.act === 'anonymous')
  // At once, and once more if a minute ends meanwhile.
  assert.ok(told.length <= 2, `${told.length} were written`)
})

test('what nobody gave out is counted together on our pages, too, and no worker writes an entry of its own', async () => {
  const settings = { ...service.newFrontSettings(0), node: 'test/pages' }
  const front = await startFront({ logger: service.logger, clock: service.clock, settings })
  fronts.push(front)
  const post = async (path: string) => {
    const answer = await fetch(`${front.url}${path}`, {
      method: 'POST',
      redirect: 'manual',
      headers: {
        'content-type': 'application/x-www-form-urlencoded',
        cookie: `paraph-form=invented; paraph-session=${randomUUID()}`,
      },
      body: 'form=invented&answer=no&code=12345678&password=a+long+enough+password&again=a+long+enough+password',
    })
    await answer.text()
    return answer.status
  }
  const session = ['sign-out', `answer/${randomUUID()}`, ...CHANGES.map((change) => `account/${change}`)]
  const before = await service.checkWorld()
  const times = 8
  for (const path of session) {
    for (let i = 0; i < times; i++) assert.equal(await post(`/portal/${path}`), 303, path)
  }
  for (let i = 0; i < times; i++) assert.equal(await post(`/portal/activate/${randomUUID()}`), 404)
  for (let i = 0; i < times; i++)
    assert.equal((await fetch(`${front.url}/portal/activate/${randomUUID()}`)).status, 404)
  await closeFronts()

  const world = await service.checkWorld()
  const refused = world.of('access.refused').filter(({ leaf }) => leaf.node === 'test/pages')
  assert.deepEqual([...new Set(refused.map(({ leaf }) => `${leaf.f?.endpoint} ${leaf.why}`))].sort(), [
    '/portal link_unknown',
    '/portal token_unknown',
  ])
  const counted = refused.reduce((sum, { leaf }) => sum + Number(leaf.f?.count), 0)
  assert.equal(counted, (session.length + 2) * times, 'each is counted')
  // At once, in the end, and once more if a minute ends meanwhile: for each reason.
  assert.ok(refused.length <= 3 * 2, `${refused.length} were written`)
  const anonymous = ({ entries }: World) => entries.filter(({ leaf }) => leaf.act === 'anonymous').length
  assert.equal(anonymous(world) - anonymous(before), refused.length, 'and nothing else of strangers')
})

test('refused logins are counted together, and what was only counted is in the log in the end', async () => {
  const failures = (world: World) => world.of('auth.login_failed')
  const counted = (world: World) => failures(world).reduce((sum, { leaf }) => sum + Number(leaf.f?.count), 0)
  const before = await service.checkWorld()
  const guess = (login: string) => service.post('/csc/v2/auth/login', {}, { headers: basic(login, 'a wrong password') })
  const refresh = () => service.post('/csc/v2/auth/login', { refresh_token: randomUUID() })
  const other = await service.newSigner('also-guessed@example.test', 'Also Guessed')
  const guesses = { [service.signer.login]: 9, [other.login]: 4 }
  for (const [login, times] of Object.entries(guesses)) {
    for (let i = 0; i < times; i++) assert.equal((await guess(login)).status, 400)
  }
  for (let i = 0; i < 20; i++) {
    assert.equal((await guess(`${randomUUID()}@example.test`)).status, 400)
    assert.equal((await refresh()).status, 400)
  }
  await service.closeWorkers()
  const world = await service.checkWorld()
  const entries = failures(world).length - failures(before).length
  // At once, in the end, and once more if a minute ends meanwhile: for each of two workers, of two signers, unknown
  // logins from here and from the flood, and unknown refresh tokens.
  assert.ok(entries <= 3 * 2 * 5, `${entries} were written`)
  const { rows } = await (await service.owner()).query('select id, login from paraph.signer')
  for (const [login, times] of Object.entries(guesses)) {
    const id = rows.find((row) => row.login === login)?.id
    const his = failures(world).filter(({ open }) => open.get('signer') === id)
    assert.equal(
      his.reduce((sum, { leaf }) => sum + Number(leaf.f?.count), 0),
      times,
      'each signer by himself',
    )
    assert.ok(his.every(({ open }) => open.get('ip') === '127.0.0.1' && open.get('client') === 'basic'))
  }
  assert.equal(counted(world), loginsRefused + 9 + 4 + 20 + 20, 'each is counted')
  const durable = await (await service.owner()).query(
    `select failures from paraph.guess where target = 'password' and signer_id = $1`,
    [rows.find((row) => row.login === other.login)?.id],
  )
  assert.equal(durable.rows[0].failures, 4, 'guesses are counted as ever')
})
