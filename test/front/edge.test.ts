import assert from 'node:assert/strict'
import { once } from 'node:events'
import { type AddressInfo, connect } from 'node:net'
import { after, before, test } from 'node:test'
import type { InjectOptions } from 'fastify'
import { isUuid } from '../../src/ids.js'
import { MALFORMED } from '../csc/refusals.js'
import { CONFIG, type TestFront, testFront } from './helpers.js'

let front: TestFront
before(async () => {
  front = await testFront()
})
after(() => front.close())

const JSON_TYPE = { 'content-type': 'application/json' }

async function send(options: InjectOptions) {
  const answer = await front.app.inject(options)
  const text = answer.body
  return {
    status: answer.statusCode,
    headers: answer.headers,
    body:
      String(answer.headers['content-type']).startsWith('application/json') && text
        ? (JSON.parse(text) as { error?: string; error_description?: string })
        : undefined,
    text,
  }
}

test('a method that does not exist is 501, whatever else is wrong with the request', async () => {
  const urls = [
    '/csc/v1/signatures/signDoc',
    '/csc/v2/signatures/signDoc',
    '/csc/v3/info',
    '/csc',
    '/csc/v1',
    '/csc/v1/',
    '/csc/v2/info/',
    '/csc/v1/INFO',
  ]
  for (const url of urls) {
    for (const method of ['POST', 'GET', 'DELETE', 'PROPFIND'] as const) {
      const { status, body } = await send({
        method: method as 'POST',
        url,
        headers: { 'content-type': 'text/plain' },
        payload: '{',
      })
      assert.deepEqual([status, body?.error], [501, 'not_implemented_method'], `${method} ${url}`)
    }
  }
})

test('an address outside is 404', async () => {
  for (const url of ['/', '/favicon.ico', '/cscx/v1/info', '/csc%2Fv1/info', '/docs/', '/%2e%2e/etc/passwd']) {
    const { status, body } = await send({ method: 'GET', url })
    assert.deepEqual([status, body?.error], [404, 'not_found'], url)
  }
})

test('a known address called otherwise is 405 and says how', async () => {
  const rows: [string, string, string][] = [
    ['/csc/v1/info', 'PUT', 'GET, HEAD, POST'],
    ['/csc/v2/credentials/list', 'GET', 'POST'],
    ['/csc/v2/credentials/list', 'HEAD', 'POST'],
    ['/csc//v2/credentials/li%73t?x=1', 'DELETE', 'POST'],
    ['/health/live', 'POST', 'GET, HEAD'],
    ['/docs', 'PATCH', 'GET, HEAD'],
    ['/csc/v1/signatures/signHash', 'TRACE', 'POST'],
  ]
  for (const [url, method, allow] of rows) {
    const { status, headers, body } = await send({ method: method as 'PUT', url, headers: JSON_TYPE, payload: '{' })
    assert.deepEqual([status, headers.allow], [405, allow], `${method} ${url}`)
    if (method !== 'HEAD') assert.equal(body?.error, 'invalid_request')
  }
})

test('OPTIONS tells the methods, HEAD answers like GET without a body', async () => {
  const options = await send({ method: 'OPTIONS', url: '/csc/v1/info' })
  assert.deepEqual([options.status, options.headers.allow, options.text], [204, 'GET, HEAD, POST', ''])
  assert.equal((await send({ method: 'OPTIONS', url: '/csc/v1/nothing' })).status, 501)
  const [get, head] = await Promise.all([
    send({ method: 'GET', url: '/csc/v1/info' }),
    send({ method: 'HEAD', url: '/csc/v1/info' }),
  ])
  assert.deepEqual([head.status, head.text, head.headers['content-length']], [200, '', get.headers['content-length']])
})

test('slashes are collapsed, escapes decoded, queries ignored', async () => {
  for (const url of [
    '//csc/v1/info',
    '/csc///v1//info',
    '/csc/v1/inf%6f',
    '/%63sc/v2/info',
    '/csc/v1/info?lang=5&lang=6',
    '/csc/v1/info?__proto__[x]=1',
  ]) {
    assert.equal((await send({ method: 'GET', url })).status, 200, url)
  }
})

test('an address that cannot be decoded is malformed', async () => {
  for (const url of ['/csc/v1/%zz', '/%', '/csc/v1/info%E0%A4%A']) {
    const { status, body } = await send({ method: 'GET', url })
    assert.deepEqual([status, body?.error_description], [400, MALFORMED], url)
  }
})

const url = '/csc/v1/info'
test('bodies that are no JSON in UTF-8 are 415', async () => {
  const types = [
    undefined,
    'text/plain',
    'text/json',
    'application/x-www-form-urlencoded',
    'application/jsonx',
    'application/json; charset=latin1',
    'nonsense',
    'application/json, text/plain',
  ]
  for (const type of types) {
    const headers = type === undefined ? { 'content-type': '' } : { 'content-type': type }
    const { status, body } = await send({ method: 'POST', url, headers, payload: '{}' })
    assert.deepEqual([status, body?.error], [415, 'invalid_request'], type)
  }
  const encoded = await send({
    method: 'POST',
    url,
    headers: { ...JSON_TYPE, 'content-encoding': 'gzip' },
    payload: '{}',
  })
  assert.equal(encoded.status, 415)
  for (const type of [
    'application/json',
    'Application/JSON ; Charset="UTF-8"',
    'application/json;charset=utf-8',
    'application/json; profile=x',
  ]) {
    assert.equal(
      (await send({ method: 'POST', url, headers: { 'content-type': type }, payload: '{}' })).status,
      200,
      type,
    )
  }
})

test('bodies that are no object are malformed', async () => {
  const payloads = [
    '{',
    '[]',
    '5',
    '"x"',
    'null',
    'true',
    '{}{}',
    '{"lang":"en",}',
    '{"__proto__":{"lang":5}}',
    '{"constructor":{"prototype":{"x":1}}}',
    '\u0000',
    '   ',
    Buffer.from([0x7b, 0x22, 0xff, 0x22, 0x3a, 0x31, 0x7d]),
  ]
  for (const payload of payloads) {
    const { status, body } = await send({ method: 'POST', url, headers: JSON_TYPE, payload })
    assert.deepEqual([status, body?.error_description], [400, MALFORMED], String(payload))
  }
  assert.equal(({} as { lang?: unknown }).lang, undefined)
})

test('an empty body is malformed where something is required', async () => {
  for (const path of ['/csc/v1/credentials/info', '/csc/v2/signatures/signHash', '/csc/v1/auth/revoke']) {
    const { status, body } = await front.post(path)
    assert.deepEqual([status, body.error_description], [400, MALFORMED], path)
  }
  assert.equal((await front.post('/csc/v1/credentials/list')).status, 200)
})

test('256 KiB pass, a byte more does not', async () => {
  const body = (size: number) => `{"x":"${'y'.repeat(size - 8)}"}`
  const fits = await send({ method: 'POST', url, headers: JSON_TYPE, payload: body(256 * 1024) })
  assert.equal(fits.status, 200)
  const large = await send({ method: 'POST', url, headers: JSON_TYPE, payload: body(256 * 1024 + 1) })
  assert.deepEqual([large.status, large.body?.error], [413, 'invalid_request'])
})

test('who may not come in is told so before the body is looked at', async () => {
  for (const payload of ['{', 'x'.repeat(300_000)]) {
    const { status } = await send({
      method: 'POST',
      url: '/csc/v1/credentials/list',
      headers: { 'content-type': 'text/plain' },
      payload,
    })
    assert.equal(status, 400)
    const unknown = await send({
      method: 'POST',
      url: '/csc/v1/credentials/list',
      headers: { 'content-type': 'text/plain', authorization: 'Bearer unknown' },
      payload,
    })
    assert.equal(unknown.status, 401)
  }
})

test('every answer has a request id of ours and may be neither sniffed nor kept', async () => {
  const ids = new Set<string>()
  const requests: InjectOptions[] = [
    { method: 'GET', url: '/csc/v1/info' },
    { method: 'GET', url: '/nothing' },
    { method: 'GET', url: '/%zz' },
    { method: 'POST', url: '/csc/v1/info', payload: '{' },
    { method: 'GET', url: '/health/live' },
  ]
  for (const request of requests) {
    const { headers } = await send({ ...request, headers: { 'x-request-id': 'mine', 'request-id': 'mine' } })
    const id = String(headers['x-request-id'])
    assert.ok(isUuid(id))
    ids.add(id)
    assert.deepEqual([headers['x-content-type-options'], headers['cache-control']], ['nosniff', 'no-store'])
  }
  assert.equal(ids.size, requests.length)
})

test('an unexpected error is a neutral 500 and one line without anything of the request', async () => {
  const secret = 'otp 12345678'
  const other = await testFront({
    db: {
      caller: () => Promise.reject(new TypeError(`cannot read ${secret}`, { cause: new Error(secret) })),
    } as never,
  })
  try {
    const { status, body } = await other.post('/csc/v1/credentials/list', { clientData: secret })
    assert.deepEqual([status, body.error], [500, 'server_error'])
    assert.equal(other.logs.lines.length, 1)
    const line = other.logs.lines[0] ?? ''
    assert.match(line, /"endpoint":"\/csc\/v1\/credentials\/list"/)
    assert.match(line, /TypeError/)
    assert.equal(line.includes(secret) || line.includes(other.token), false)
  } finally {
    await other.close()
  }
})

test('bytes that are no HTTP get a CSC body too', async () => {
  await front.app.listen({ host: '127.0.0.1', port: 0 })
  const { port } = front.app.server.address() as AddressInfo
  for (const [bytes, status] of [
    ['nonsense\r\n\r\n', '400'],
    [`GET / HTTP/1.1\r\nHost: x\r\nA: ${'b'.repeat(20_000)}\r\n\r\n`, '431'],
  ] as const) {
    const socket = connect(port, '127.0.0.1')
    const chunks: Buffer[] = []
    socket.on('data', (chunk) => chunks.push(chunk))
    socket.write(bytes)
    await once(socket, 'close')
    const text = Buffer.concat(chunks).toString()
    assert.match(text, new RegExp(`^HTTP/1.1 ${status} `))
    assert.match(text, /X-Request-Id: [0-9a-f-]{36}\r\n/)
    assert.deepEqual(JSON.parse(text.split('\r\n\r\n')[1] ?? ''), {
      error: 'invalid_request',
      error_description: MALFORMED,
    })
  }
})

test('what a proxy says counts only when the proxy is known', async () => {
  const forwarded = { 'x-forwarded-for': '198.51.100.7', 'x-forwarded-proto': 'https' }
  const addressSeen = async (config: typeof CONFIG, remoteAddress: string) => {
    const other = await testFront({ config })
    try {
      await other.app.inject({ method: 'GET', url: '/csc/v1/info', remoteAddress, headers: forwarded })
      await other.app.inject({
        method: 'POST',
        url: '/csc/v1/auth/login',
        remoteAddress,
        headers: { ...forwarded, authorization: `Basic ${Buffer.from('a:b').toString('base64')}` },
      })
      return other.sam.asked('login')[0]?.origin.address
    } finally {
      await other.close()
    }
  }
  assert.equal(await addressSeen(CONFIG, '10.1.2.3'), '10.1.2.3')
  const behind = { ...CONFIG, trustedProxies: ['10.1.0.0/16', '192.0.2.1'] }
  assert.equal(await addressSeen(behind, '10.1.2.3'), '198.51.100.7')
  assert.equal(await addressSeen(behind, '::ffff:192.0.2.1'), '198.51.100.7')
  assert.equal(await addressSeen(behind, '10.2.2.3'), '10.2.2.3')
  assert.equal(await addressSeen(CONFIG, '::ffff:10.1.2.3'), '10.1.2.3')
})
