import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { type ErrorCode, ServiceError } from '../../src/errors.js'
import { digestOf, SHA256, SHA384, SHA512, type TestFront, testFront } from '../front/helpers.js'
import { APIS, type Api, changed, type Refusal, refuses } from './refusals.js'

let front: TestFront
let id: string
before(async () => {
  front = await testFront()
  id = await front.seed.credential(front.signer)
})
after(() => front.close())

const A = digestOf('a')
const B = digestOf('b')
const path = (api: Api) => `/csc/${api}/credentials/authorize`
/** `hash` in v1, `hashes` in v2. */
const named = (api: Api, hashes: unknown) => (api === 'v1' ? { hash: hashes } : { hashes })
const V1 = { credentialID: 'x', numSignatures: 1, hash: [A], PIN: '1', OTP: '12345678' }
const V2 = {
  credentialID: 'x',
  numSignatures: 1,
  hashes: [A],
  hashAlgorithmOID: SHA256,
  authData: [{ id: 'OTP', value: '12345678' }],
}
const BASE = { v1: V1, v2: V2 }

const lastAsked = () => front.sam.asked('authorize').at(-1)

test('v1 passes on what the signer agrees to', async () => {
  const { status, body } = await front.post(path('v1'), {
    credentialID: id,
    numSignatures: 2,
    hash: [A, B],
    PIN: '1234',
    OTP: '12345678',
    description: 'Zwei Verträge',
    clientData: 'ignored',
  })
  assert.equal(status, 200)
  assert.deepEqual(body, { SAD: 'sad', expiresIn: 180 })
  const { origin, ...asked } = lastAsked() ?? { origin: undefined }
  assert.deepEqual(asked, {
    bearer: front.token,
    credentialId: id,
    numSignatures: 2,
    digests: [A, B],
    factors: { code: '12345678', pin: '1234' },
    description: 'Zwei Verträge',
  })
  assert.equal(origin?.api, 'v1')
})

test('v2 passes on what the signer agrees to', async () => {
  const hashes = [digestOf('a', 'sha512'), digestOf('b', 'sha512')]
  const { status, body } = await front.post(path('v2'), {
    credentialID: id,
    numSignatures: 2,
    hashes,
    hashAlgorithmOID: SHA512,
    authData: [
      { id: 'PIN', value: '1234' },
      { id: 'OTP', value: '12345678' },
    ],
  })
  assert.equal(status, 200)
  assert.deepEqual(body, { SAD: 'sad', expiresIn: 180 })
  const { origin, ...asked } = lastAsked() ?? { origin: undefined }
  assert.deepEqual(asked, {
    bearer: front.token,
    credentialId: id,
    numSignatures: 2,
    digests: hashes,
    digestAlgorithm: 'sha-512',
    factors: { code: '12345678', kind: 'totp', pin: '1234' },
  })
  assert.equal(origin?.api, 'v2')
})

test('without hashes the agreement is open, and null is absent', async () => {
  const nulls = { description: null, clientData: null }
  await front.post(path('v1'), { credentialID: id, numSignatures: 3, hash: null, PIN: null, OTP: '1', ...nulls })
  assert.deepEqual([lastAsked()?.digests, lastAsked()?.factors], [undefined, { code: '1' }])
  await front.post(path('v2'), {
    credentialID: id,
    numSignatures: 3,
    hashes: null,
    hashAlgorithmOID: null,
    authData: [
      { id: 'OTP', value: '1' },
      { id: 'PIN', value: null },
    ],
    ...nulls,
  })
  assert.deepEqual([lastAsked()?.digests, lastAsked()?.factors], [undefined, { code: '1', kind: 'totp' }])
})

test('v2 says of what kind of authenticator the code is', async () => {
  for (const [id, kind] of [
    ['SMS', 'sms'],
    ['EMAIL', 'email'],
  ]) {
    await front.post(path('v2'), { credentialID: id, numSignatures: 1, authData: [{ id, value: '1' }] })
    assert.deepEqual(lastAsked()?.factors, { code: '1', kind })
  }
})

test('what is missing is for the worker to tell, who knows what the credential asks for', async () => {
  await front.post(path('v2'), { credentialID: id, numSignatures: 1 })
  assert.deepEqual(lastAsked()?.factors, {})
})

test('v2 takes the name of v1 for the hashes, v1 not that of v2', async () => {
  await front.post(path('v2'), { credentialID: id, numSignatures: 1, hash: [A], hashAlgorithmOID: SHA256 })
  assert.deepEqual(lastAsked()?.digests, [A])
  await front.post(path('v1'), { credentialID: id, numSignatures: 1, hashes: [A] })
  assert.equal(lastAsked()?.digests, undefined)
})

test('hashes of either alphabet, padded or not, arrive as one form', async () => {
  const bytes = Buffer.alloc(32, 0xfb)
  const forms = [
    bytes.toString('base64'),
    bytes.toString('base64url'),
    `${bytes.toString('base64url')}=`,
    bytes.toString('base64').replaceAll('+', ' '),
  ]
  for (const api of APIS) {
    const { status } = await front.post(path(api), {
      ...BASE[api],
      credentialID: id,
      numSignatures: 4,
      ...named(api, forms),
    })
    assert.equal(status, 200)
    assert.deepEqual(lastAsked()?.digests, Array(4).fill(bytes.toString('base64')))
  }
})

const shared = (api: Api): Refusal[] => {
  const body = BASE[api]
  const name = api === 'v1' ? 'hash' : 'hashes'
  return [
    [changed(body, { credentialID: undefined }), 'Missing (or invalid type) string parameter credentialID'],
    [changed(body, { credentialID: 5 }), 'Missing (or invalid type) string parameter credentialID'],
    [changed(body, { numSignatures: undefined }), 'Missing (or invalid type) integer parameter numSignatures'],
    [changed(body, { numSignatures: '1' }), 'Missing (or invalid type) integer parameter numSignatures'],
    [changed(body, { numSignatures: 1.5 }), 'Missing (or invalid type) integer parameter numSignatures'],
    [changed(body, { numSignatures: null }), 'Missing (or invalid type) integer parameter numSignatures'],
    [
      `{"credentialID":"x","numSignatures":1e999,"OTP":"1"}`,
      'Missing (or invalid type) integer parameter numSignatures',
    ],
    [changed(body, { numSignatures: 0 }), 'Invalid value for parameter numSignatures'],
    [changed(body, { numSignatures: -1 }), 'Invalid value for parameter numSignatures'],
    [changed(body, { numSignatures: 1000001 }), 'Numbers of signatures is too high'],
    [changed(body, { numSignatures: 1e300 }), 'Numbers of signatures is too high'],
    [changed(body, { numSignatures: 2 }), 'Invalid value for parameter numSignatures'],
    [changed(body, named(api, [A, B])), 'Invalid value for parameter numSignatures'],
    [changed(body, named(api, A)), `Missing (or invalid type) array parameter ${name}`],
    [changed(body, named(api, [5])), `Missing (or invalid type) array parameter ${name}`],
    [changed(body, named(api, [null])), `Missing (or invalid type) array parameter ${name}`],
    [changed(body, named(api, [])), `Empty ${name} array`],
    [changed(body, named(api, Array(501).fill('A'))), 'Numbers of signatures is too high'],
    [changed(body, named(api, ['no base64!'])), 'Invalid Base64 hash string parameter'],
    [changed(body, named(api, ['AAAAA'])), 'Invalid Base64 hash string parameter'],
    [changed(body, named(api, ['AAAA='])), 'Invalid Base64 hash string parameter'],
    [changed(body, named(api, [''])), 'Invalid digest value length'],
    [changed(body, named(api, ['AAAA'])), 'Invalid digest value length'],
    [changed(body, { description: 'x'.repeat(501) }), 'Invalid parameter description'],
    [changed(body, { description: 'a\u0000b' }), 'Invalid parameter description'],
    [changed(body, { description: 5 }), 'Invalid parameter description'],
    [changed(body, { clientData: 5 }), 'Invalid parameter clientData'],
    // The first of several, in the order of the parameters, types before values, values before what goes across.
    [changed(body, { credentialID: 5, numSignatures: '1' }), 'Missing (or invalid type) string parameter credentialID'],
    [changed(body, { numSignatures: 0, ...named(api, 'x') }), `Missing (or invalid type) array parameter ${name}`],
    [changed(body, { numSignatures: 0, ...named(api, []) }), 'Invalid value for parameter numSignatures'],
    [changed(body, { numSignatures: 7, ...named(api, ['!']) }), 'Invalid Base64 hash string parameter'],
  ]
}

refuses(() => front, path('v1'), [
  ...shared('v1'),
  [changed(V1, { PIN: 1234 }), 'Missing (or invalid type) string parameter PIN'],
  [changed(V1, { OTP: 12345678 }), 'Missing (or invalid type) string parameter OTP'],
  [changed(V1, { numSignatures: 2, hash: [A, digestOf('b', 'sha384')] }), 'Invalid digest value length'],
])
const rejected = (body: unknown): Refusal => [body, 'The authentication data is invalid', 'invalid_authentication_data']
refuses(() => front, path('v2'), [
  ...shared('v2'),
  [changed(V2, { hashAlgorithmOID: undefined }), 'Missing (or invalid type) string parameter hashAlgorithmOID'],
  [changed(V2, { hashAlgorithmOID: null }), 'Missing (or invalid type) string parameter hashAlgorithmOID'],
  [changed(V2, { hashAlgorithmOID: 5 }), 'Missing (or invalid type) string parameter hashAlgorithmOID'],
  [changed(V2, { hashAlgorithmOID: '1.3.14.3.2.26' }), 'Invalid parameter hashAlgorithmOID'],
  [changed(V2, { hashAlgorithmOID: 'constructor' }), 'Invalid parameter hashAlgorithmOID'],
  [changed(V2, { hashAlgorithmOID: SHA384 }), 'Invalid digest value length'],
  [changed(V2, { hashes: undefined, hashAlgorithmOID: '1.2' }), 'Invalid parameter hashAlgorithmOID'],
  [changed(V2, { authData: {} }), 'Missing (or invalid type) array parameter authData'],
  [changed(V2, { authData: [{ value: 'x' }] }), 'Missing (or invalid type) array parameter authData'],
  [changed(V2, { authData: [{ id: 'OTP', value: 12345678 }] }), 'Missing (or invalid type) array parameter authData'],
  [changed(V2, { authData: Array(11).fill({ id: 'OTP', value: '1' }) }), 'Invalid parameter authData'],
  rejected(changed(V2, { authData: [{ id: 'FAX', value: '1' }] })),
  rejected(
    changed(V2, {
      authData: [
        { id: 'OTP', value: '1' },
        { id: 'SMS', value: '1' },
      ],
    }),
  ),
  rejected(
    changed(V2, {
      authData: [
        { id: 'OTP', value: '1' },
        { id: 'OTP', value: '2' },
      ],
    }),
  ),
])

const FROM_WORKER: [ErrorCode, [string, string], [string, string]][] = [
  [
    'credential_unknown',
    ['invalid_request', 'Invalid parameter credentialID'],
    ['invalid_request', 'Invalid parameter credentialID'],
  ],
  [
    'credential_disabled',
    ['invalid_request', 'The credential identified by credentialID is disabled'],
    ['invalid_request', 'The credential identified by credentialID is disabled'],
  ],
  [
    'signature_count_too_high',
    ['invalid_request', 'Numbers of signatures is too high'],
    ['invalid_request', 'Numbers of signatures is too high'],
  ],
  [
    'digests_missing',
    ['invalid_request', 'Missing (or invalid type) array parameter hash'],
    ['invalid_request', 'Missing (or invalid type) array parameter hashes'],
  ],
  [
    'code_rejected',
    ['invalid_otp', 'The OTP is invalid'],
    ['invalid_authentication_data', 'The authentication data is invalid'],
  ],
  [
    'pin_rejected',
    ['invalid_pin', 'The PIN is invalid'],
    ['invalid_authentication_data', 'The authentication data is invalid'],
  ],
  [
    'code_missing',
    ['invalid_request', 'Missing (or invalid type) string parameter OTP'],
    ['invalid_authentication_data', 'The authentication data is invalid'],
  ],
  [
    'pin_missing',
    ['invalid_request', 'Missing (or invalid type) string parameter PIN'],
    ['invalid_authentication_data', 'The authentication data is invalid'],
  ],
  ['code_locked', ['invalid_request', 'OTP locked'], ['invalid_request', 'Credential locked']],
  ['pin_locked', ['invalid_request', 'PIN locked'], ['invalid_request', 'Credential locked']],
  [
    'certificate_expired',
    ['invalid_request', "Signing certificate 'O=Example Sp. z o.o.,CN=Demo Signer' is expired."],
    ['invalid_request', "Signing certificate 'O=Example Sp. z o.o.,CN=Demo Signer' is expired."],
  ],
]
for (const [code, v1, v2] of FROM_WORKER) {
  test(`the worker's ${code} in the words of either version, without a second entry`, async () => {
    front.sam.on('authorize', () => {
      throw new ServiceError(code, code === 'code_rejected' ? {} : { detail: 'not for the client' })
    })
    front.entries.list.length = 0
    for (const [api, [error, error_description]] of [
      ['v1', v1],
      ['v2', v2],
    ] as const) {
      const { status, body } = await front.post(path(api), { ...BASE[api], credentialID: id })
      assert.deepEqual([status, body], [400, { error, error_description }])
    }
    assert.equal(front.entries.list.length, 0)
    front.sam.heal()
  })
}

test('of a wrong code its owner is told what the worker says of the clock', async () => {
  const detail = 'the clock of the authenticator is about 90 seconds ahead'
  front.sam.on('authorize', () => {
    throw new ServiceError('code_rejected', { detail })
  })
  for (const [api, error, text] of [
    ['v1', 'invalid_otp', 'The OTP is invalid'],
    ['v2', 'invalid_authentication_data', 'The authentication data is invalid'],
  ] as const) {
    const { status, body } = await front.post(path(api), { ...BASE[api], credentialID: id })
    assert.deepEqual([status, body], [400, { error, error_description: `${text}: ${detail}` }])
  }
  front.sam.heal()
})
