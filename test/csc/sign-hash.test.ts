import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { type ErrorCode, ServiceError } from '../../src/errors.js'
import { newId } from '../../src/ids.js'
import { RECEIPT } from '../front/fake-sam.js'
import { digestOf, SHA256, SHA384, SHA512, type TestFront, testFront } from '../front/helpers.js'
import { APIS, type Api, changed, type Refusal, refuses } from './refusals.js'

const RSA = '1.2.840.113549.1.1.1'
const PSS = '1.2.840.113549.1.1.10'
const ECDSA256 = '1.2.840.10045.4.3.2'
const PSS_SHA256 = 'MDSgDzANBglghkgBZQMEAgEFAKEcMBoGCSqGSIb3DQEBCDANBglghkgBZQMEAgEFAKIDAgEg'
const PSS_SHA512 = 'MDmgDzANBglghkgBZQMEAgMFAKEcMBoGCSqGSIb3DQEBCDANBglghkgBZQMEAgMFAKIDAgFAowMCAQE='

let front: TestFront
let rsa: string
let ec: string
before(async () => {
  front = await testFront()
  rsa = await front.seed.credential(front.signer)
  ec = await front.seed.credential(front.signer, { spec: 'p-256' })
})
after(() => front.close())

const A = digestOf('a')
const B = digestOf('b')
const path = (api: Api) => `/csc/${api}/signatures/signHash`
const named = (api: Api, hashes: unknown) => (api === 'v1' ? { hash: hashes } : { hashes })
const oid = (api: Api, value: unknown) => (api === 'v1' ? { hashAlgo: value } : { hashAlgorithmOID: value })
const request = (api: Api, change: Record<string, unknown> = {}) => ({
  SAD: 'the sad',
  credentialID: 'x',
  signAlgo: RSA,
  ...named(api, [A]),
  ...oid(api, SHA256),
  ...change,
})
const lastAsked = () => front.sam.asked('sign').at(-1)

for (const api of APIS) {
  test(`${api} signs, in the order of the request`, async () => {
    const hashes = [B, A, B]
    const { status, body } = await front.post(
      path(api),
      request(api, { credentialID: rsa, clientData: 'x', ...named(api, hashes) }),
    )
    assert.equal(status, 200)
    const signed = (digest: string) => Buffer.from(`signed ${digest}`).toString('base64')
    assert.deepEqual(body, { signatures: hashes.map(signed) })
    const { origin, ...asked } = lastAsked() ?? { origin: undefined }
    assert.deepEqual(asked, {
      bearer: front.token,
      sad: 'the sad',
      credentialId: rsa,
      digests: hashes,
      mechanism: { scheme: 'rsa-pkcs1', hash: 'sha-256' },
    })
    assert.equal(origin?.api, api)
  })

  const mechanisms: [Record<string, unknown>, string, unknown][] = [
    [{ signAlgo: RSA, ...oid(api, SHA384) }, 'sha384', { scheme: 'rsa-pkcs1', hash: 'sha-384' }],
    [{ signAlgo: '1.2.840.113549.1.1.11', ...oid(api, undefined) }, 'sha256', { scheme: 'rsa-pkcs1', hash: 'sha-256' }],
    [{ signAlgo: '1.2.840.113549.1.1.12', ...oid(api, null) }, 'sha384', { scheme: 'rsa-pkcs1', hash: 'sha-384' }],
    [{ signAlgo: '1.2.840.113549.1.1.13', ...oid(api, SHA512) }, 'sha512', { scheme: 'rsa-pkcs1', hash: 'sha-512' }],
    [
      { signAlgo: PSS, signAlgoParams: PSS_SHA256, ...oid(api, undefined) },
      'sha256',
      { scheme: 'rsa-pss', hash: 'sha-256', saltLength: 32 },
    ],
    [
      { signAlgo: PSS, signAlgoParams: PSS_SHA512, ...oid(api, SHA512) },
      'sha512',
      { scheme: 'rsa-pss', hash: 'sha-512', saltLength: 64 },
    ],
    [{ signAlgo: RSA, signAlgoParams: 'BQA=' }, 'sha256', { scheme: 'rsa-pkcs1', hash: 'sha-256' }],
    [
      { signAlgo: ECDSA256, credentialID: 'ec', ...oid(api, undefined) },
      'sha256',
      { scheme: 'ecdsa', hash: 'sha-256' },
    ],
    [{ signAlgo: ECDSA256, credentialID: 'ec', ...oid(api, SHA256) }, 'sha256', { scheme: 'ecdsa', hash: 'sha-256' }],
  ]
  for (const [change, algorithm, mechanism] of mechanisms) {
    test(`${api} ${JSON.stringify(change)}`, async () => {
      const credentialID = change.credentialID === 'ec' ? ec : rsa
      const body = request(api, { ...named(api, [digestOf('a', algorithm)]), ...change, credentialID })
      const answer = await front.post(path(api), body)
      assert.equal(answer.status, 200, JSON.stringify(answer.body))
      assert.deepEqual(lastAsked()?.mechanism, mechanism)
    })
  }

  test(`${api}: an algorithm of another kind of key`, async () => {
    const wrong: [string, Record<string, unknown>][] = [
      [rsa, { signAlgo: ECDSA256 }],
      [ec, { signAlgo: RSA }],
      [ec, { signAlgo: '1.2.840.10045.4.3.3', ...oid(api, SHA384), ...named(api, [digestOf('a', 'sha384')]) }],
    ]
    for (const [credentialID, change] of wrong) {
      const { status, body } = await front.post(path(api), request(api, { ...change, credentialID }))
      assert.deepEqual([status, body.error_description], [400, 'Invalid parameter signAlgo'])
    }
  })

  test(`${api}: somebody else's, one that does not exist and what is no id answer alike, whatever the algorithm`, async () => {
    const foreign = await front.seed.credential(await front.seed.signer())
    const before = front.sam.requests.length
    for (const credentialID of [foreign, newId(), 'no id', '\u0000']) {
      for (const signAlgo of [RSA, ECDSA256]) {
        const { status, body } = await front.post(path(api), request(api, { credentialID, signAlgo }))
        assert.deepEqual(
          [status, body],
          [400, { error: 'invalid_request', error_description: 'Invalid parameter credentialID' }],
        )
      }
    }
    assert.equal(front.sam.requests.length, before)
  })
}

test('v1 ignores a hash algorithm that is implied, v2 wants it to agree', async () => {
  for (const signAlgo of ['1.2.840.113549.1.1.11', PSS]) {
    const change = { credentialID: rsa, signAlgo, signAlgoParams: PSS_SHA256 }
    assert.equal((await front.post(path('v1'), request('v1', { ...change, hashAlgo: SHA512 }))).status, 200)
    assert.equal((await front.post(path('v1'), request('v1', { ...change, hashAlgo: 'nonsense' }))).status, 200)
    const contradiction = await front.post(path('v2'), request('v2', { ...change, hashAlgorithmOID: SHA512 }))
    assert.equal(
      contradiction.body.error_description,
      'String parameter hashAlgorithmOID contradicts with signAlgo signAlgoParams parameter',
    )
    const nonsense = await front.post(path('v2'), request('v2', { ...change, hashAlgorithmOID: 'nonsense' }))
    assert.equal(nonsense.body.error_description, 'Invalid parameter hashAlgorithmOID')
  }
})

test('v2 takes the names of v1, v1 not those of v2', async () => {
  const body = { SAD: 's', credentialID: rsa, signAlgo: RSA }
  assert.equal((await front.post(path('v2'), { ...body, hash: [A], hashAlgo: SHA256 })).status, 200)
  const { status, body: refusal } = await front.post(path('v1'), { ...body, hashes: [A], hashAlgorithmOID: SHA256 })
  assert.deepEqual([status, refusal.error_description], [400, 'Missing (or invalid type) array parameter hash'])
})

test('v2 takes the synchronous mode and ignores what belongs to the other', async () => {
  const more = { operationMode: 'S', validity_period: 'x', response_uri: 5 }
  assert.equal((await front.post(path('v2'), request('v2', { credentialID: rsa, ...more }))).status, 200)
  assert.equal((await front.post(path('v2'), request('v2', { credentialID: rsa, operationMode: null }))).status, 200)
})

test('500 hashes in one call', async () => {
  const hashes = Array.from({ length: 500 }, (_, i) => digestOf(String(i), 'sha512'))
  const { status, body } = await front.post(
    path('v2'),
    request('v2', { credentialID: rsa, hashes, hashAlgorithmOID: SHA512 }),
  )
  assert.equal(status, 200)
  assert.equal((body.signatures as string[]).length, 500)
})

const shared = (api: Api): Refusal[] => {
  const name = api === 'v1' ? 'hash' : 'hashes'
  const algorithm = api === 'v1' ? 'hashAlgo' : 'hashAlgorithmOID'
  const body = request(api)
  return [
    [changed(body, { SAD: undefined }), 'Missing (or invalid type) string parameter SAD'],
    [changed(body, { SAD: 5 }), 'Missing (or invalid type) string parameter SAD'],
    [changed(body, { SAD: null }), 'Missing (or invalid type) string parameter SAD'],
    [changed(body, { credentialID: undefined }), 'Missing (or invalid type) string parameter credentialID'],
    [changed(body, named(api, undefined)), `Missing (or invalid type) array parameter ${name}`],
    [changed(body, named(api, null)), `Missing (or invalid type) array parameter ${name}`],
    [changed(body, named(api, A)), `Missing (or invalid type) array parameter ${name}`],
    [changed(body, named(api, [A, 5])), `Missing (or invalid type) array parameter ${name}`],
    [changed(body, named(api, [])), `Empty ${name} array`],
    [changed(body, named(api, Array(501).fill('A'))), 'Numbers of signatures is too high'],
    [changed(body, named(api, ['%%'])), 'Invalid Base64 hash string parameter'],
    [changed(body, named(api, [A, 'AAAAA'])), 'Invalid Base64 hash string parameter'],
    [changed(body, { signAlgo: undefined }), 'Missing (or invalid type) string parameter signAlgo'],
    [changed(body, { signAlgo: 5 }), 'Missing (or invalid type) string parameter signAlgo'],
    [changed(body, { signAlgo: '1.2.840.113549.1.1.5' }), 'Invalid parameter signAlgo'],
    [changed(body, { signAlgo: '1.2.840.10045.2.1' }), 'Invalid parameter signAlgo'],
    [changed(body, { signAlgo: '1.3.101.112' }), 'Invalid parameter signAlgo'],
    [changed(body, { signAlgo: '__proto__' }), 'Invalid parameter signAlgo'],
    [changed(body, { signAlgo: PSS }), 'Missing (or invalid type) string parameter signAlgoParams'],
    [changed(body, { signAlgo: PSS, signAlgoParams: 5 }), 'Missing (or invalid type) string parameter signAlgoParams'],
    [changed(body, { signAlgo: PSS, signAlgoParams: 'MAA=' }), 'Invalid parameter signAlgoParams'],
    [changed(body, { signAlgo: PSS, signAlgoParams: '!' }), 'Invalid parameter signAlgoParams'],
    [changed(body, oid(api, undefined)), `Missing (or invalid type) string parameter ${algorithm}`],
    [changed(body, oid(api, 5)), `Missing (or invalid type) string parameter ${algorithm}`],
    [changed(body, oid(api, '1.3.14.3.2.26')), `Invalid parameter ${algorithm}`],
    [changed(body, oid(api, 'toString')), `Invalid parameter ${algorithm}`],
    [changed(body, oid(api, SHA384)), 'Invalid digest value length'],
    // A ready DigestInfo is no hash value.
    [changed(body, named(api, [Buffer.alloc(51).toString('base64')])), 'Invalid digest value length'],
    // The specification's own sample, which is base64 of base64.
    [
      changed(body, named(api, ['c1RPZ3dPbSs0NzRnRmowcTB4MWlTTnNwS3FiY3NlNEllaXFsRGcvSFd1ST0='])),
      'Invalid digest value length',
    ],
    [changed(body, { clientData: 5 }), 'Invalid parameter clientData'],
    // The first of several.
    [changed(body, { SAD: 5, credentialID: 5, signAlgo: 5 }), 'Missing (or invalid type) string parameter SAD'],
    [changed(body, { credentialID: 5, ...named(api, []) }), 'Missing (or invalid type) string parameter credentialID'],
    [changed(body, { signAlgo: 5, ...named(api, []) }), 'Missing (or invalid type) string parameter signAlgo'],
    [changed(body, { signAlgo: 'x', ...named(api, []) }), `Empty ${name} array`],
    [changed(body, { signAlgo: 'x', ...named(api, ['!']) }), 'Invalid Base64 hash string parameter'],
    [changed(body, { signAlgo: 'x', ...oid(api, 'y') }), 'Invalid parameter signAlgo'],
    [changed(body, { signAlgo: PSS, ...oid(api, 'y') }), 'Missing (or invalid type) string parameter signAlgoParams'],
    [changed(body, { ...oid(api, 'y'), ...named(api, ['AAAA']) }), `Invalid parameter ${algorithm}`],
  ]
}
refuses(() => front, path('v1'), shared('v1'))
refuses(() => front, path('v2'), [
  ...shared('v2'),
  [request('v2', { operationMode: 'A' }), 'Invalid parameter operationMode'],
  [request('v2', { operationMode: 5 }), 'Invalid parameter operationMode'],
])

const FROM_WORKER: [ErrorCode, string, string?][] = [
  ['sad_unknown', 'Invalid parameter SAD'],
  ['sad_expired', 'SAD expired'],
  [
    'digest_not_authorized',
    'Hash is not authorized by the SAD.',
    'Hash is not authorized by neither SAD nor an access token with scope “credential”.',
  ],
  ['signature_count_too_high', 'Numbers of signatures is too high'],
  ['credential_disabled', 'The credential identified by credentialID is disabled'],
  ['credential_unknown', 'Invalid parameter credentialID'],
  ['certificate_expired', "Signing certificate 'O=Example Sp. z o.o.,CN=Demo Signer' is expired."],
]
for (const [code, v1, v2 = v1] of FROM_WORKER) {
  test(`the worker's ${code} in the words of either version, without a second entry`, async () => {
    front.sam.on('sign', () => {
      throw new ServiceError(code, { detail: 'not for the client' })
    })
    front.entries.list.length = 0
    for (const [api, error_description] of [
      ['v1', v1],
      ['v2', v2],
    ] as const) {
      const { status, body } = await front.post(path(api), request(api, { credentialID: rsa }))
      assert.deepEqual([status, body], [400, { error: 'invalid_request', error_description }])
    }
    assert.equal(front.entries.list.length, 0)
    front.sam.heal()
  })
}

for (const api of APIS) {
  const ask = (key: string) =>
    front.app.inject({
      method: 'POST',
      url: path(api),
      headers: { authorization: `Bearer ${front.token}`, 'idempotency-key': key },
      payload: request(api, { credentialID: rsa }),
    })

  test(`${api} hands the name of a request on as it is`, async () => {
    for (const key of ['1', '"8e03978e-40d5-43dd-bc93-6894a57f9324"', '~'.repeat(255)]) {
      assert.equal((await ask(key)).statusCode, 200)
      assert.equal(lastAsked()?.retryKey, key)
    }
    assert.equal((await front.post(path(api), request(api, { credentialID: rsa }))).status, 200)
    assert.ok(!Object.hasOwn(lastAsked() ?? {}, 'retryKey'))
  })

  test(`${api} refuses a name that is none`, async () => {
    const before = front.sam.requests.length
    for (const key of ['', 'x'.repeat(256), 'one two', 'a\tb', 'ż', '\u00e9', '\u007f']) {
      const answer = await ask(key)
      assert.deepEqual(
        [answer.statusCode, answer.json()],
        [400, { error: 'invalid_request', error_description: 'Invalid parameter Idempotency-Key' }],
        JSON.stringify(key),
      )
    }
    assert.equal(front.sam.requests.length, before)
  })
}

test('what became of the first request of the same name', async () => {
  const answers: [ErrorCode, number, string, string | undefined][] = [
    ['retry_in_progress', 409, 'conflict', '1'],
    ['retry_spent', 409, 'conflict', undefined],
    ['retry_contradicts', 422, 'invalid_request', undefined],
  ]
  for (const [code, status, error, retryAfter] of answers) {
    front.sam.on('sign', () => {
      throw new ServiceError(code, retryAfter === undefined ? {} : { retryAfter: 1 })
    })
    for (const api of APIS) {
      const answer = await front.post(path(api), request(api, { credentialID: rsa }))
      assert.deepEqual(
        [answer.status, answer.body.error, answer.headers['retry-after']],
        [status, error, retryAfter],
        code,
      )
    }
  }
  front.sam.heal()
})

test('unavailable, overloaded and unexpected', async () => {
  const answers: [ErrorCode, number, string, string | undefined][] = [
    ['unavailable', 503, 'temporarily_unavailable', '3'],
    ['overloaded', 503, 'temporarily_unavailable', '3'],
    ['internal', 500, 'server_error', '3'],
    ['not_allowed', 500, 'server_error', '3'],
  ]
  for (const [code, status, error, retryAfter] of answers) {
    front.sam.on('sign', () => {
      throw new ServiceError(code, { retryAfter: 3 })
    })
    const answer = await front.post(path('v1'), request('v1', { credentialID: rsa }))
    assert.deepEqual(
      [answer.status, answer.body.error, answer.headers['retry-after']],
      [status, error, retryAfter],
      code,
    )
  }
  front.sam.heal()
})

test('fewer signatures than hashes are none', async () => {
  front.sam.on('sign', () => ({ operation: 'op', signatures: [], receipt: RECEIPT }))
  const { status, body } = await front.post(path('v1'), request('v1', { credentialID: rsa }))
  assert.deepEqual([status, body.error], [500, 'server_error'])
  front.sam.heal()
})
