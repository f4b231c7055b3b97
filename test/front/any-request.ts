/** Requests to the operations of openapi.yaml as nobody should send them: near to what is right, and far from it. */
import fc from 'fast-check'
import { type OperationObject, readOpenApi, resolve, type Schema } from '../../src/front/openapi.js'
import { digestOf, SHA256, SHA384 } from './helpers.js'

const { document } = readOpenApi()

export interface AnyRequest {
  readonly method: string
  readonly url: string
  readonly headers: Readonly<Record<string, string>>
  readonly payload?: string | Buffer
}

/** What the requests may be about. */
export interface Known {
  readonly credentials: readonly string[]
  /** Of the log. */
  readonly operations: readonly string[]
  /** Values of the Authorization header: of a caller who may ask, by the scope that it takes, and of those who may not. */
  readonly right: Readonly<Record<string, string>>
  readonly wrong: readonly string[]
}

export interface FuzzedOperation {
  readonly id: string
  readonly method: string
  readonly path: string
  readonly operation: OperationObject
}

export const operations: readonly FuzzedOperation[] = Object.entries(document.paths).flatMap(([path, item]) =>
  Object.entries(item)
    // Those of OAuth 2 take forms, and a whole worker.
    .filter(([, operation]) => !operation.tags.includes('OAuth'))
    .map(([method, operation]) => ({
      id: operation.operationId,
      method: method.toUpperCase(),
      path,
      operation,
    })),
)

/** The header of whoever may ask for this. */
export function rightFor(known: Known, { operation }: FuzzedOperation): string {
  const [security = {}] = operation.security ?? []
  const { operator, ticket, bearer: [scope = 'service'] = [] } = security
  return known.right[operator !== undefined ? 'auditor' : ticket !== undefined ? 'ticket' : scope] as string
}

const A = digestOf('a')
const B = digestOf('b')
/** DER RSASSA-PSS-params with SHA-256, base64. */
const PSS_PARAMS = 'MDSgDzANBglghkgBZQMEAgEFAKEcMBoGCSqGSIb3DQEBCDANBglghkgBZQMEAgEFAKIDAgEg'
/** Members of which a random value of the right type says nothing. */
const MEANT: Readonly<Record<string, readonly unknown[]>> = {
  hash: [[A], [A, B], [digestOf('a', 'sha512')]],
  hashes: [[A], [A, B], [A, A], [digestOf('a', 'sha384')]],
  hashAlgo: [SHA256, SHA384],
  hashAlgorithmOID: [SHA256, SHA384],
  signAlgo: ['1.2.840.113549.1.1.1', '1.2.840.113549.1.1.11', '1.2.840.113549.1.1.10', '1.2.840.10045.4.3.2'],
  signAlgoParams: [PSS_PARAMS, 'MAA='],
  numSignatures: [1, 2],
  authData: [[{ id: 'OTP', value: '12345678' }]],
  operationMode: ['S', 'A'],
  authObjectID: ['SMS', 'EMAIL', 'OTP'],
  from: ['2026-11-24T10:00:00Z', '2026-11-24T10:00:00.123Z'],
  to: ['2099-01-01T00:00:00Z'],
  signer: ['signer@example.test', '01980000-0000-7000-8000-000000000001'],
  digest: [A, B],
  event: ['sign.intent', 'sign'],
  rest: ['0/000.p/1', 'entries/000.p/1'],
  part: ['entries', 'openings', 'flushes', 'checkpoints', 'anchors'],
  size: [1],
  after: [0, 1],
  cursor: ['0', '7', '999999999999999'],
  limit: ['1', '500'],
  index: ['0', '1'],
}
/** Values that have broken services before. */
const telling = fc.constantFrom<unknown>(
  [],
  [null],
  {},
  JSON.parse('[{"__proto__":{"id":"OTP"}}]'),
  0,
  -1,
  1.5,
  1e308,
  2 ** 53,
  true,
  null,
  '',
  ' ',
  '\u0000',
  '\ud800',
  "' or 1=1 --",
  '__proto__',
  'constructor',
  '../../etc/passwd',
  'A'.repeat(5000),
  Array(501).fill(A),
)

/** Mostly what the schema admits. */
function fitting(reference: Schema): fc.Arbitrary<unknown> {
  const schema = resolve(document, reference)
  if (schema.const !== undefined) return fc.constant(schema.const)
  if (schema.enum !== undefined) return fc.constantFrom(...schema.enum)
  const types = [schema.type ?? []].flat()
  if (types.length === 0) return fc.jsonValue()
  return fc.oneof(
    ...types.map((type): fc.Arbitrary<unknown> => {
      if (type === 'string') return fc.oneof(fc.string(), fc.string({ unit: 'binary', maxLength: 40 }))
      if (type === 'integer') return fc.integer({ min: -2, max: 600 })
      if (type === 'number') return fc.double()
      if (type === 'boolean') return fc.boolean()
      if (type === 'array') return fc.array(fitting(schema.items ?? {}), { maxLength: 4 })
      if (type === 'object') return objectOf(schema, (_, member) => fitting(member))
      return fc.constant(null)
    }),
  )
}

function objectOf(
  schema: Schema,
  memberOf: (name: string, member: Schema) => fc.Arbitrary<unknown>,
): fc.Arbitrary<object> {
  const members = Object.entries(schema.properties ?? {})
  const record = Object.fromEntries(members.map(([name, member]) => [name, memberOf(name, member)]))
  return fc.record(record, { requiredKeys: [] })
}

function bodyOf(reference: Schema, { credentials }: Known): fc.Arbitrary<object> {
  const meantFor = (name: string) => (name === 'credentialID' ? credentials : MEANT[name])
  const memberOf = (name: string, member: Schema) => {
    // Of `signatures/timestamp` the hash is one, of all others a list.
    const meant = meantFor(name)?.map((value) => (member.type === 'string' && Array.isArray(value) ? value[0] : value))
    // The first ones go together.
    const right = meant === undefined ? fitting(member) : fc.constantFrom(...Array(6).fill(meant[0]), ...meant)
    return fc.oneof(
      { weight: 60, arbitrary: right },
      { weight: 3, arbitrary: fitting(member) },
      { weight: 2, arbitrary: telling },
      { weight: 1, arbitrary: fc.jsonValue() },
    )
  }
  const schema = resolve(document, reference)
  const some = objectOf(schema, memberOf)
  // As they come most members are missing; what gets further has all that must be there.
  const whole = fc.record(
    Object.fromEntries(
      Object.entries(schema.properties ?? {})
        .filter(([name]) => schema.required?.includes(name) || MEANT[name] !== undefined)
        .map(([name, member]) => [name, memberOf(name, member)]),
    ),
  )
  return fc.oneof(
    some,
    whole,
    fc.tuple(some, whole).map(([more, must]) => ({ ...more, ...must })),
  )
}

/** Bytes for a body: mostly its JSON. */
function payloadOf(schema: Schema | undefined, known: Known): fc.Arbitrary<string | Buffer | undefined> {
  const json = schema === undefined ? fc.json() : bodyOf(schema, known).map((body) => JSON.stringify(body))
  return fc.oneof(
    { weight: 60, arbitrary: json },
    { weight: 1, arbitrary: fc.json() },
    { weight: 1, arbitrary: json.map((text) => text.slice(0, -1)) },
    { weight: 1, arbitrary: json.map((text) => text.replace('{', '{"__proto__":{"scope":"service"},')) },
    { weight: 1, arbitrary: json.map((text) => text.replace('{', '{"credentialID":"x","credentialID":["x"],')) },
    { weight: 1, arbitrary: json.map((text) => `\ufeff${text}`) },
    { weight: 1, arbitrary: fc.integer({ min: 1, max: 3000 }).map((depth) => '['.repeat(depth) + ']'.repeat(depth)) },
    { weight: 1, arbitrary: fc.uint8Array({ maxLength: 200 }).map((bytes) => Buffer.from(bytes)) },
    { weight: 1, arbitrary: fc.constant(undefined) },
  )
}

const visible = fc.string({ unit: 'grapheme-ascii', maxLength: 300 })
const extraHeaders = fc.record(
  {
    accept: fc.constantFrom('application/json', 'text/html', '*/*', 'x'),
    'accept-language': visible,
    'content-encoding': fc.constantFrom('identity', 'gzip', 'br'),
    'x-forwarded-for': fc.oneof(fc.ipV4(), visible),
    'x-forwarded-proto': visible,
    'x-request-id': visible,
    'x-http-method-override': fc.constantFrom('GET', 'DELETE'),
    cookie: visible,
    origin: fc.webUrl(),
    prefer: fc.oneof(fc.constantFrom('wait=1', 'wait=9999999999', 'respond-async, wait = "2"; x'), visible),
  },
  { requiredKeys: [] },
)

function headersOf(known: Known, right: string): fc.Arbitrary<Record<string, string>> {
  const authorization = fc.oneof(
    { weight: 12, arbitrary: fc.constant(right) },
    { weight: 6, arbitrary: fc.constantFrom(...known.wrong) },
    { weight: 1, arbitrary: visible },
    { weight: 1, arbitrary: visible.map((text) => `Bearer ${text}`) },
    { weight: 1, arbitrary: visible.map((text) => `Basic ${Buffer.from(text).toString('base64')}`) },
    { weight: 1, arbitrary: fc.constant(undefined) },
  )
  const type = fc.oneof(
    { weight: 24, arbitrary: fc.constantFrom('application/json', 'application/json; charset=utf-8') },
    {
      weight: 1,
      arbitrary: fc.constantFrom('text/plain', '', 'a/b;c', 'application/json; charset=utf-16', 'multipart/form-data'),
    },
    { weight: 1, arbitrary: visible },
  )
  const extra = fc.oneof({ weight: 3, arbitrary: fc.constant({}) }, { weight: 1, arbitrary: extraHeaders })
  const key = fc.option(fc.oneof(fc.uuid(), visible, fc.constantFrom('', 'a b', 'é', 'x'.repeat(256))), {
    nil: undefined,
    freq: 2,
  })
  return fc.tuple(authorization, type, key, extra).map(([value, contentType, name, more]) => ({
    ...more,
    ...(name === undefined ? {} : { 'idempotency-key': name }),
    'content-type': contentType,
    ...(value === undefined ? {} : { authorization: value }),
  }))
}

/** The address of an operation, with what its parameters may be. */
function addressOf({ path, operation }: FuzzedOperation, known: Known): fc.Arbitrary<string> {
  const parameters = (operation.parameters ?? []).map((reference) => resolve(document, reference))
  const textOf = (name: string, schema: Schema) => {
    const meant =
      name === 'op' || name === 'operation' ? known.operations : name === 'credential' ? known.credentials : MEANT[name]
    const right = fc.constantFrom(...(meant ?? resolve(document, schema).enum ?? ['x']))
    return fc
      .oneof(
        { weight: 12, arbitrary: right },
        { weight: 1, arbitrary: fitting(schema) },
        { weight: 1, arbitrary: telling },
      )
      .map((value) => encodeURIComponent(String(value).replaceAll(/\p{Cs}/gu, '?')))
  }
  const inPlace = (place: string) =>
    Object.fromEntries(
      parameters.filter((one) => one.in === place).map(({ name, schema }) => [name, textOf(name, schema)]),
    )
  return fc
    .tuple(fc.record(inPlace('path')), fc.record(inPlace('query'), { requiredKeys: [] }))
    .map(([steps, query]) => {
      const address = path.replaceAll(/\{(\w+)\}/g, (_, name: string) => String(steps[name]))
      const pairs = Object.entries(query).map(([name, value]) => `${name}=${value}`)
      return pairs.length === 0 ? address : `${address}?${pairs.join('&')}`
    })
}

export function anyRequest(fuzzed: FuzzedOperation, known: Known): fc.Arbitrary<AnyRequest> {
  const { method, operation } = fuzzed
  const schema = operation.requestBody?.content['application/json']?.schema
  const verb = fc.oneof(
    { weight: 20, arbitrary: fc.constant(method) },
    { weight: 1, arbitrary: fc.constantFrom('GET', 'HEAD', 'POST', 'PUT', 'DELETE', 'OPTIONS') },
  )
  const query = fc.oneof({ weight: 9, arbitrary: fc.constant('') }, fc.webQueryParameters())
  return fc
    .tuple(verb, addressOf(fuzzed, known), query, headersOf(known, rightFor(known, fuzzed)), payloadOf(schema, known))
    .map(([asked, address, search, headers, payload]) => ({
      method: asked,
      url: search === '' ? address : `${address}${address.includes('?') ? '&' : '?'}${search}`,
      headers,
      ...(payload === undefined || asked === 'GET' || asked === 'HEAD' ? {} : { payload }),
    }))
}
