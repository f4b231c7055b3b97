/** CSC `signatures/timestamp`: who gets a time-stamp, what is in it, and what the log says. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { after, before, describe, test } from 'node:test'
import { startFront } from '../../src/front/main.js'
import { timeStampChainFile } from '../../src/sam/demo.js'
import { assertRefused, CscClient, digests, HASH_OID, logged, VERSIONS } from '../helpers/csc.js'
import { setClock } from '../helpers/temp-database.js'
import { type Answer, TestService } from '../helpers/test-service.js'
import { ask, newSecret, origin } from '../oauth/helpers.js'
import { folder, openssl } from '../pki/openssl.js'

const UNAVAILABLE =
  'The authorization server is currently unable to handle the request due to a temporary overloading or maintenance of the server.'

let service: TestService
before(async () => {
  service = await TestService.start({ keys: [], workers: 2, fronts: 2, timeStamps: true })
})
after(() => service?.close())

const login = async (version: 'v1' | 'v2', front = 0) => {
  const client = new CscClient(service, version, { front })
  await client.login()
  return client
}
const stamp = (client: CscClient, hash: string | undefined, more: object = {}) =>
  client.ask('signatures/timestamp', { hash, hashAlgo: HASH_OID['sha-256'], ...more })

/** What `openssl ts -reply -text` reads in a token. */
async function read(files: Awaited<ReturnType<typeof folder>>, { status, body }: Answer) {
  assert.equal(status, 200, JSON.stringify(body))
  const file = await files.put('token', Buffer.from(body.timestamp, 'base64'))
  const { ok, text } = await openssl('ts', '-reply', '-token_in', '-in', file, '-text')
  assert.ok(ok, text)
  const serial = BigInt(/Serial number: (0x[0-9A-F]+)/.exec(text)?.[1] ?? '')
  return { file, text, serial }
}

for (const version of VERSIONS) {
  describe(`${version}: signatures/timestamp`, () => {
    test('gives a token that openssl verifies against the chain of the authority', async (context) => {
      const client = await login(version)
      const files = await folder(context)
      for (const algorithm of ['sha-256', 'sha-384', 'sha-512'] as const) {
        const data = await files.put('data', `stamped ${algorithm}`)
        const bytes = createHash(algorithm.replace('-', '')).update(readFileSync(data)).digest()
        const answer = await stamp(client, bytes.toString('base64'), { hashAlgo: HASH_OID[algorithm], nonce: '00ff3A' })
        const { file, text, serial } = await read(files, answer)
        assert.match(text, /Nonce: 0xFF3A\n/)
        assert.match(text, /Policy OID: 2\.999\.2\n/)
        const chain = ['-CAfile', timeStampChainFile(service.keysDir)]
        const verified = await openssl('ts', '-verify', '-token_in', '-in', file, '-data', data, ...chain)
        assert.match(verified.text, /Verification: OK/)
        const other = await files.put('other', 'something else')
        assert.ok(!(await openssl('ts', '-verify', '-token_in', '-in', file, '-data', other, ...chain)).ok)

        const entries = await logged(service, answer)
        assert.deepEqual(
          entries.map((entry) => [entry.ev, entry.out, entry.api]),
          [['timestamp.issued', 'ok', version]],
        )
        const world = await service.checkWorld()
        const [entry] = world.of('timestamp.issued').filter(({ open }) => open.get('stamp') === String(serial))
        assert.equal(entry?.open.get('dtbsr[0]'), bytes.toString('base64url'))
        assert.ok(entry.open.has('signer') && entry.open.has('client') && entry.open.has('session'))
      }
    })

    test('is named by info', async () => {
      const { body } = await new CscClient(service, version).ask('info', {})
      assert.ok(body.methods.includes('signatures/timestamp'))
    })

    test('takes a hash, its function, and a nonce, or says what is wrong', async () => {
      const client = await login(version)
      const [hash] = digests(`faults ${version}`) as [string]
      const before = (await service.checkWorld()).of('timestamp.issued').length
      for (const [changes, text] of [
        [{ hash: undefined }, 'Missing (or invalid type) string parameter hash'],
        [{ hash: [hash] }, 'Missing (or invalid type) string parameter hash'],
        [{ hash: null }, 'Missing (or invalid type) string parameter hash'],
        [{ hash: '' }, 'Empty hash parameter'],
        [{ hash: '', hashAlgo: undefined }, 'Invalid parameter hashAlgo'],
        [{ hash: '****' }, 'Invalid Base64 hash string parameter'],
        [{ hash: 'AAAA' }, 'Invalid digest value length'],
        [{ hashAlgo: HASH_OID['sha-384'] }, 'Invalid digest value length'],
        [{ hashAlgo: undefined }, 'Invalid parameter hashAlgo'],
        [{ hashAlgo: 5 }, 'Invalid parameter hashAlgo'],
        [{ hashAlgo: '1.3.14.3.2.26' }, 'Invalid parameter hashAlgo'],
        [{ hashAlgo: 'constructor' }, 'Invalid parameter hashAlgo'],
        [{ nonce: 5 }, 'Invalid parameter nonce'],
        [{ nonce: '' }, 'Invalid parameter nonce'],
        [{ nonce: '-1' }, 'Invalid parameter nonce'],
        [{ nonce: 'f'.repeat(129) }, 'Invalid parameter nonce'],
        [{ clientData: {} }, 'Invalid parameter clientData'],
      ] as const) {
        assertRefused(await stamp(client, hash, changes), 400, 'invalid_request', text)
      }
      assert.equal((await service.checkWorld()).of('timestamp.issued').length, before)
    })
  })
}

test('no two stamps of any worker have the same number, and each one’s is its time', async (context) => {
  const clients = await Promise.all([login('v1', 0), login('v2', 1), login('v2', 0), login('v1', 1)])
  const files = await folder(context)
  const [hash] = digests('many') as [string]
  const rounds = await Promise.all(
    clients.map(async (client) => {
      const serials: bigint[] = []
      for (let i = 0; i < 5; i++) {
        const answer = await stamp(client, hash)
        assert.equal(answer.status, 200)
        serials.push((await read(await folder(context), answer)).serial)
      }
      return serials
    }),
  )
  assert.equal(new Set(rounds.flat()).size, 20)
  for (const serials of rounds)
    assert.deepEqual(
      serials,
      [...serials].sort((a, b) => (a < b ? -1 : 1)),
    )
  const { text, serial } = await read(files, await stamp(clients[0], hash))
  const time = /Time stamp: (\w+) +(\d+) ([\d:]+)\.(\d+) (\d+) GMT/.exec(text) ?? []
  const [, month, day, clock, fraction = '', year] = time
  const seconds = Date.parse(`${month} ${day} ${year} ${clock} GMT`) / 1000
  assert.equal(serial, BigInt(seconds) * 1_000_000n + BigInt(fraction.padEnd(6, '0')))
})

test('a database that was restored from an old copy gives no number again', async (context) => {
  const client = await login('v2')
  const files = await folder(context)
  const [hash] = digests('restored') as [string]
  const { serial } = await read(files, await stamp(client, hash))
  await (await service.owner()).query('update paraph.time_stamp set last = 0')
  assert.ok((await read(files, await stamp(client, hash))).serial > serial)
})

test('only a live token for the service gets one, and a worker sees that by itself', async () => {
  const [hash] = digests('strangers') as [string]
  const client = new CscClient(service, 'v2')
  const wish = { origin, digest: hash, digestAlgorithm: 'sha-256' as const }
  assertRefused(await stamp(client, hash), 400, 'invalid_request', 'Malformed authorization header.')
  client.bearer = newSecret()
  assert.equal((await stamp(client, hash)).status, 401)
  await assert.rejects(ask(service, 'timestamp', { ...wish, bearer: newSecret() }), { code: 'token_unknown' })

  await client.login()
  const bearer = client.bearer as string
  await (await service.owner()).query(
    `update paraph.token set scope = 'credential' where hash = sha256(convert_to($1, 'UTF8'))`,
    [bearer],
  )
  assertRefused(
    await stamp(client, hash),
    403,
    'access_denied',
    'The user, authorization server or remote service denied the request.',
  )
  await assert.rejects(ask(service, 'timestamp', { ...wish, bearer }), { code: 'scope_missing' })

  await client.login()
  const token = client.bearer as string
  assert.equal((await client.revoke(token)).status, 204)
  await assert.rejects(ask(service, 'timestamp', { ...wish, bearer: token }), { code: 'token_expired' })
  const refused = (await service.checkWorld()).of('timestamp.issued').filter(({ leaf }) => leaf.out === 'refused')
  assert.deepEqual(
    refused.map(({ leaf }) => [leaf.why, leaf.act]),
    ['token_unknown', 'scope_missing', 'token_expired'].map((why) => [why, 'anonymous']),
  )
})

test('nothing is stamped while the clocks disagree by more than the accuracy that a stamp claims', async () => {
  const client = await login('v2')
  const [hash] = digests('clock') as [string]
  const before = (await service.checkWorld()).of('timestamp.issued').length
  for (const apart of [1500, -1500, 60_000]) {
    await setClock(service.ownerUrl, service.clock.offset + apart)
    assertRefused(await stamp(client, hash), 503, 'temporarily_unavailable', UNAVAILABLE)
  }
  await setClock(service.ownerUrl, service.clock.offset)
  assert.equal((await stamp(client, hash)).status, 200, 'nothing is left of it')
  assert.ok((await service.checkWorld()).of('timestamp.issued').length > before)
})

describe('RFC 3161 over HTTP', () => {
  const send = (body: Uint8Array, headers: Record<string, string> = {}, front = 0) =>
    fetch(`${service.urls[front]}/tsa`, {
      method: 'POST',
      headers: { 'content-type': 'application/timestamp-query', ...headers },
      body,
    })

  test('a program on this machine gets what openssl asked for', async (context) => {
    const files = await folder(context)
    const data = await files.put('data', 'over HTTP')
    await openssl('ts', '-query', '-data', data, '-sha256', '-cert', '-out', files.path('query'))
    const query = readFileSync(files.path('query'))
    const response = await send(query)
    assert.deepEqual([response.status, response.headers.get('content-type')], [200, 'application/timestamp-reply'])
    const reply = await files.put('reply', Buffer.from(await response.arrayBuffer()))
    const chain = ['-CAfile', timeStampChainFile(service.keysDir)]
    for (const against of [
      ['-queryfile', files.path('query')],
      ['-data', data],
    ]) {
      assert.match((await openssl('ts', '-verify', '-in', reply, ...against, ...chain)).text, /Verification: OK/)
    }
    const [last] = (await service.checkWorld()).of('timestamp.issued').slice(-1)
    assert.deepEqual([last?.leaf.out, last?.leaf.act], ['ok', 'anonymous'])

    // What cannot be answered is answered so.
    const read = async (answer: Response) => {
      assert.equal(answer.status, 200)
      const file = await files.put('answer', Buffer.from(await answer.arrayBuffer()))
      return (await openssl('ts', '-reply', '-in', file, '-text')).text
    }
    await openssl('ts', '-query', '-data', data, '-sha1', '-out', files.path('weak'))
    assert.match(await read(await send(readFileSync(files.path('weak')))), /Rejected.*unrecognized or unsupported alg/s)
    assert.match(await read(await send(Buffer.from('nonsense'))), /Rejected.*data submitted has the wrong format/s)
    await setClock(service.ownerUrl, service.clock.offset + 1500)
    assert.match(await read(await send(query)), /Rejected.*time source is not available/s)
    await setClock(service.ownerUrl, service.clock.offset)
    const why = (await service.checkWorld()).of('timestamp.issued').map(({ leaf }) => leaf.why)
    assert.deepEqual(why.slice(-2), ['badAlg', 'badDataFormat'])
  })

  test('whoever comes through a proxy, or with something else, gets nothing', async () => {
    const before = (await service.checkWorld()).of('timestamp.issued').length
    assert.equal((await send(Buffer.alloc(10), { 'x-forwarded-for': '127.0.0.1' })).status, 404)
    assert.equal((await send(Buffer.alloc(10), { forwarded: 'for=127.0.0.1' })).status, 404)
    assert.equal((await send(Buffer.alloc(10), { 'content-type': 'application/json' })).status, 415)
    assert.equal((await send(Buffer.alloc(5000))).status, 413)
    assert.equal((await service.checkWorld()).of('timestamp.issued').length, before)
  })

  test('one worker stamps sixty times a minute for those whom nobody knows, and still for callers', async () => {
    // What is no query counts, too.
    const query = Buffer.from('nonsense')
    const answers = await Promise.all(Array.from({ length: 140 }, () => send(query)))
    const statuses = answers.map(({ status }) => status)
    assert.ok(statuses.filter((status) => status === 200).length <= 120)
    const late = answers.find(({ status }) => status === 429)
    assert.match(late?.headers.get('retry-after') ?? '', /^\d+$/)
    assert.equal((await stamp(await login('v2'), digests('still')[0])).status, 200)
  })
})

test('where there is no authority the method is not there, whoever asks', async () => {
  const { timeStamps: _none, ...settings } = service.newWorkerSettings(2)
  const worker = await service.startWorker(settings)
  const front = await startFront({
    logger: service.logger,
    clock: service.clock,
    settings: { ...service.newFrontSettings(2), samSockets: [settings.socket] },
  })
  const index = service.urls.push(front.url) - 1
  try {
    for (const version of VERSIONS) {
      const client = new CscClient(service, version, { front: index })
      const { body } = await client.ask('info', {})
      assert.ok(!body.methods.includes('signatures/timestamp'))
      for (const bearer of [undefined, newSecret(), (await login(version)).bearer]) {
        client.bearer = bearer
        assertRefused(await stamp(client, undefined), 501, 'not_implemented_method', 'This method is not implemented.')
      }
    }
    const bearer = (await login('v2')).bearer as string
    const [digest] = digests('nobody') as [string]
    await assert.rejects(ask(service, 'timestamp', { origin, bearer, digest, digestAlgorithm: 'sha-256' }, 2), {
      code: 'method_unknown',
    })
  } finally {
    await front.close()
    await worker.close()
    service.urls.pop()
  }
})
