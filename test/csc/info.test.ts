import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { CONFIG, connected, post, type TestFront, testFront } from '../front/helpers.js'

let front: TestFront
before(async () => {
  front = await testFront()
})
after(() => front.close())

const METHODS = [
  'auth/login',
  'auth/revoke',
  'credentials/list',
  'credentials/info',
  'credentials/authorize',
  'credentials/extendTransaction',
  'credentials/getChallenge',
  'credentials/sendOTP',
  'signatures/signHash',
  'signatures/timestamp',
]
const METHODS_V1 = METHODS.filter((method) => method !== 'credentials/getChallenge')
const METHODS_V2 = METHODS.toSpliced(5, 0, 'credentials/authorizeCheck', 'credentials/create', 'credentials/delete')
const DESCRIPTION =
  'Demo: nothing signed here is worth anything. A remote signing service with keys in a hardware security module.'

test('v1 tells what it is', async () => {
  const { status, body } = await front.post('/csc/v1/info', {}, null)
  assert.equal(status, 200)
  assert.deepEqual(body, {
    specs: '1.0.3.0',
    name: 'Paraph',
    logo: 'https://sign.example.test/logo.png',
    region: 'PL',
    lang: 'en',
    description: DESCRIPTION,
    authType: ['basic', 'oauth2code', 'oauth2client'],
    oauth2: 'https://sign.example.test/csc/v1/',
    methods: METHODS_V1,
  })
})

test('v2 tells what it is', async () => {
  const { status, body } = await front.post('/csc/v2/info', { lang: 'pl' }, null)
  assert.equal(status, 200)
  assert.deepEqual(body, {
    specs: '2.2.0.0',
    name: 'Paraph',
    logo: 'https://sign.example.test/logo.png',
    region: 'PL',
    lang: 'en',
    description: DESCRIPTION,
    authType: ['basic', 'oauth2code', 'oauth2client'],
    oauth2: 'https://sign.example.test/csc/v2/',
    supportsRar: true,
    supportedHashTypes: ['dtbsr'],
    asynchronousOperationMode: false,
    methods: METHODS_V2,
    signAlgorithms: {
      algos: [
        '1.2.840.113549.1.1.1',
        '1.2.840.113549.1.1.11',
        '1.2.840.113549.1.1.12',
        '1.2.840.113549.1.1.13',
        '1.2.840.113549.1.1.10',
        '1.2.840.10045.4.3.2',
        '1.2.840.10045.4.3.3',
        '1.2.840.10045.4.3.4',
      ],
    },
    signature_formats: { formats: [], envelope_properties: [] },
    conformance_levels: [],
  })
})

for (const base of ['/csc/v1', '/csc/v2']) {
  test(`${base}/info takes GET, an empty body of any type, and null`, async () => {
    const { body } = await post(front.app, `${base}/info`, {})
    const ways = [
      { method: 'GET' as const },
      { method: 'POST' as const },
      { method: 'POST' as const, headers: { 'content-type': 'text/plain' } },
      { method: 'POST' as const, headers: { 'content-type': 'nonsense' } },
      { method: 'POST' as const, headers: { 'content-type': 'application/json' } },
      {
        method: 'POST' as const,
        headers: { 'content-type': 'application/json' },
        payload: '{"lang":null,"unknown":1}',
      },
    ]
    for (const way of ways) {
      const answer = await front.app.inject({ url: `${base}/info`, ...way })
      assert.equal(answer.statusCode, 200, JSON.stringify(way))
      assert.deepEqual(answer.json(), body)
    }
  })

  test(`${base}/info refuses a language that is no string`, async () => {
    const { status, body } = await post(front.app, `${base}/info`, { lang: 5 })
    assert.equal(status, 400)
    assert.deepEqual(body, { error: 'invalid_request', error_description: 'Invalid parameter lang' })
  })
}

test('the demo shows, and is asked for once', async () => {
  const asked = front.sam.asked('health').length
  await front.post('/csc/v1/info', {}, null)
  await front.post('/csc/v2/info', {}, null)
  assert.equal(front.sam.asked('health').length, asked)
})

test('a production says nothing of a demo, and waits to know which it is', async () => {
  const other = await testFront()
  try {
    other.sam.on('health', () => ({
      device: true,
      database: true,
      clock: true,
      log: true,
      demo: false,
      timeStamps: false,
    }))
    await other.sam.kill()
    const early = await other.post('/csc/v1/info', {}, null)
    assert.equal(early.status, 503)
    await other.sam.start()
    await connected(other.client)
    const { body } = await other.post('/csc/v1/info', {}, null)
    assert.equal(body.description, 'A remote signing service with keys in a hardware security module.')
  } finally {
    await other.close()
  }
})

test('without password login neither the method nor that way to log in is claimed', async () => {
  const other = await testFront({ config: { ...CONFIG, basicLogin: false } })
  try {
    for (const [base, methods] of [
      ['/csc/v1', METHODS_V1],
      ['/csc/v2', METHODS_V2],
    ] as const) {
      const { body } = await other.post(`${base}/info`, {}, null)
      assert.deepEqual(body.authType, ['oauth2code', 'oauth2client'])
      assert.deepEqual(body.methods, methods.slice(1))
    }
  } finally {
    await other.close()
  }
})
