/** A signing application that speaks either version of CSC, and what the service must have said and written to it. */
import assert from 'node:assert/strict'
import { createHash, X509Certificate } from 'node:crypto'
import type { ValidateFunction } from 'ajv'
import type { Clock } from '../../src/clock.js'
import type { DigestAlgorithm } from '../../src/digest.js'
import { startFront } from '../../src/front/main.js'
import { readOpenApi, resolve } from '../../src/front/openapi.js'
import { ajvOf, schemaAt } from '../../src/front/validate.js'
import type { Hsm } from '../../src/hsm/hsm.js'
import type { World } from './check-world.js'
import { type Answer, keepSecret, type TestService, type TestSigner } from './test-service.js'

export const VERSIONS = ['v1', 'v2'] as const
export type Version = (typeof VERSIONS)[number]

export const HASH_OID: Readonly<Record<DigestAlgorithm, string>> = {
  'sha-256': '2.16.840.1.101.3.4.2.1',
  'sha-384': '2.16.840.1.101.3.4.2.2',
  'sha-512': '2.16.840.1.101.3.4.2.3',
}
export const RSA = '1.2.840.113549.1.1.1'
export const RSA_WITH: Readonly<Record<DigestAlgorithm, string>> = {
  'sha-256': '1.2.840.113549.1.1.11',
  'sha-384': '1.2.840.113549.1.1.12',
  'sha-512': '1.2.840.113549.1.1.13',
}
export const PSS = '1.2.840.113549.1.1.10'
export const ECDSA_WITH: Readonly<Record<DigestAlgorithm, string>> = {
  'sha-256': '1.2.840.10045.4.3.2',
  'sha-384': '1.2.840.10045.4.3.3',
  'sha-512': '1.2.840.10045.4.3.4',
}

/** What a request says, in the words of neither version. Members may be anything at all, so that a test can ask wrongly. */
interface Fields {
  readonly credentialID?: unknown
  /** `hash` of v1, `hashes` of v2. */
  readonly hashes?: unknown
  /** `hashAlgo` of v1, `hashAlgorithmOID` of v2. */
  readonly digestOid?: unknown
  readonly [member: string]: unknown
}
interface AuthorizeFields extends Fields {
  readonly code?: unknown
  /** The id under which v2 sends the code. */
  readonly way?: 'OTP' | 'SMS' | 'EMAIL'
  readonly pin?: unknown
}

export function authorizeBody(version: Version, fields: AuthorizeFields): Record<string, unknown> {
  const { hashes, digestOid = HASH_OID['sha-256'], code, way = 'OTP', pin, ...rest } = fields
  const common = { numSignatures: Array.isArray(hashes) ? hashes.length : 1, ...rest }
  if (version === 'v1') return { hash: hashes, OTP: code, PIN: pin, ...common }
  const authData = Object.entries({ PIN: pin, [way]: code })
    .filter(([, value]) => value !== undefined)
    .map(([id, value]) => ({ id, value }))
  return { hashes, ...(hashes === undefined ? {} : { hashAlgorithmOID: digestOid }), authData, ...common }
}

export function signHashBody(version: Version, { hashes, digestOid, ...rest }: Fields): Record<string, unknown> {
  return version === 'v1'
    ? { hash: hashes, hashAlgo: digestOid, ...rest }
    : { hashes, hashAlgorithmOID: digestOid, ...rest }
}

const { document } = readOpenApi()
const ajv = ajvOf(document)
const validators = new Map<string, ValidateFunction>()

/** Nothing leaves the service that its contract does not describe. */
function assertDescribed(path: string, { status, body }: Answer): void {
  const response = document.paths[path]?.post?.responses[String(status)]
  assert.ok(response, `${path} answers ${status}, which openapi.yaml does not describe`)
  if (resolve(document, response).content === undefined) {
    assert.equal(body, undefined, `${path} answers ${status} without a body`)
    return
  }
  const answers = response.$ref ?? `#/paths/${path.replaceAll('/', '~1')}/post/responses/${status}`
  const pointer = `${answers}/content/application~1json/schema`
  const validate = validators.get(pointer) ?? schemaAt(ajv, pointer)
  validators.set(pointer, validate)
  assert.ok(validate(body), `${path} answers ${status} ${JSON.stringify(body)}: ${ajv.errorsText(validate.errors)}`)
}

/** One client with one access token. Every answer it gets is held against openapi.yaml. */
export class CscClient {
  readonly version: Version
  readonly #service: TestService
  readonly #front: number
  bearer: string | undefined

  constructor(service: TestService, version: Version, { front = 0, bearer }: { front?: number; bearer?: string } = {}) {
    this.#service = service
    this.version = version
    this.#front = front
    this.bearer = bearer
  }

  /** @param method such as `credentials/list` */
  ask(method: string, body: unknown, headers: Record<string, string> = {}): Promise<Answer> {
    return this.askAt(`/csc/${this.version}/${method}`, body, headers)
  }

  async askAt(path: string, body: unknown, headers: Record<string, string> = {}): Promise<Answer> {
    const answer = await this.#service.post(path, body, {
      front: this.#front,
      headers,
      ...(this.bearer === undefined ? {} : { bearer: this.bearer }),
    })
    assertDescribed(path, answer)
    keepSecret(answer.body?.SAD, answer.body?.access_token, answer.body?.refresh_token)
    return answer
  }

  /** Logs in and keeps the access token. */
  async login(signer: TestSigner = this.#service.signer, body: object = {}): Promise<Answer> {
    this.bearer = undefined
    const answer = await this.ask('auth/login', body, basic(signer.login, signer.password))
    assert.equal(answer.status, 200, JSON.stringify(answer.body))
    this.bearer = answer.body.access_token
    return answer
  }

  /** Asks for tokens without sending one, and keeps none. */
  tokens(body: unknown, headers: Record<string, string> = {}): Promise<Answer> {
    return new CscClient(this.#service, this.version, { front: this.#front }).ask('auth/login', body, headers)
  }

  authorize(fields: AuthorizeFields): Promise<Answer> {
    return this.ask('credentials/authorize', authorizeBody(this.version, fields))
  }

  /** @param key names the request, so that it may be sent again */
  signHash(fields: Fields, key?: string): Promise<Answer> {
    const headers = key === undefined ? {} : { 'idempotency-key': key }
    return this.ask('signatures/signHash', signHashBody(this.version, fields), headers)
  }

  /** What v2 requires with hashes comes with them. */
  extend({ hashes, digestOid, ...rest }: Fields): Promise<Answer> {
    const oid = digestOid ?? (hashes === undefined ? undefined : HASH_OID['sha-256'])
    return this.ask(
      'credentials/extendTransaction',
      this.version === 'v1' ? { hash: hashes, ...rest } : { hashes, hashAlgorithmOID: oid, ...rest },
    )
  }

  info(credentialID: unknown, more: object = {}): Promise<Answer> {
    return this.ask('credentials/info', { credentialID, ...more })
  }

  list(body: object = {}): Promise<Answer> {
    return this.ask('credentials/list', body)
  }

  revoke(token: unknown, hint?: unknown): Promise<Answer> {
    return this.ask('auth/revoke', { token, token_type_hint: hint })
  }

  /** A SAD by a fresh code of the signer, or an error with the answer. */
  async sad(fields: AuthorizeFields, signer?: TestSigner): Promise<string> {
    const code = fields.code ?? (await this.#service.freshCode(signer))
    const { status, body } = await this.authorize({ ...fields, code })
    assert.equal(status, 200, JSON.stringify(body))
    return body.SAD
  }

  /** The public key in the credential's certificate: DER SubjectPublicKeyInfo. */
  async publicKey(credentialID: string): Promise<Uint8Array> {
    const { body } = await this.info(credentialID)
    return publicKeyOf(body.cert.certificates[0])
  }
}

export function publicKeyOf(certificate: string): Uint8Array {
  const { publicKey } = new X509Certificate(Buffer.from(certificate, 'base64'))
  return publicKey.export({ type: 'spki', format: 'der' })
}

export function basic(login: string, password: string): { authorization: string } {
  const encoded = Buffer.from(`${login}:${password}`).toString('base64')
  keepSecret(encoded)
  return { authorization: `Basic ${encoded}` }
}

/** `count` digests (base64) that no other label gives, told to the secret scan. */
export function digests(label: string, count = 1, algorithm: DigestAlgorithm = 'sha-256'): string[] {
  return Array.from({ length: count }, (_, i) => {
    const bytes = createHash(algorithm.replace('-', '')).update(`${label} ${i}`).digest()
    keepSecret(bytes.toString('base64'), bytes.toString('hex'), bytes.toString('base64url'))
    return bytes.toString('base64')
  })
}

/** A code that no step near this one has. */
export function wrongCode(service: TestService, signer: TestSigner = service.signer): string {
  const right = [-2, -1, 0, 1, 2].map((steps) => service.code(signer, steps))
  return ['00000000', '11111111', '22222222', '33333333', '44444444', '55555555'].find(
    (code) => !right.includes(code),
  ) as string
}

/** Exactly this refusal, and nothing beside it. */
export function assertRefused({ status, body }: Answer, wanted: number, error: string, description: string): void {
  assert.deepEqual({ status, body }, { status: wanted, body: { error, error_description: description } })
}

/** Counts how often signers' keys are asked to sign, and lets a test act before that happens. */
export interface WatchedDevice {
  readonly calls: number
  /** Done once, before the device is next asked. */
  before: (() => Promise<unknown>) | undefined
  wrap(real: Hsm): Hsm
}

export function watchedDevice(): WatchedDevice {
  let calls = 0
  const device: WatchedDevice = {
    get calls() {
      return calls
    },
    before: undefined,
    wrap: (real) =>
      new Proxy(real, {
        get(target, name) {
          const value: unknown = Reflect.get(target, name, target)
          if (typeof value !== 'function') return value
          if (name !== 'sign') return value.bind(target)
          return async (...parameters: Parameters<Hsm['sign']>) => {
            if (parameters[0].kind === 'signer') {
              calls++
              const act = device.before
              device.before = undefined
              await act?.()
            }
            return real.sign(...parameters)
          }
        },
      }),
  }
  return device
}

/** As an entry of the log says it; `rid` is the request. */
export interface Logged {
  readonly ev: string
  readonly out: string
  readonly why?: string
  readonly api?: string
  readonly rid?: string
  readonly f?: Readonly<Record<string, string | number>>
}

/** What the log says of the request behind this answer, in its order. */
export async function logged(service: TestService, answer: Answer): Promise<Logged[]> {
  const { rows } = await (await service.owner()).query(
    `select convert_from(leaf, 'UTF8') as leaf from audit.entry
      where convert_from(leaf, 'UTF8')::jsonb ->> 'rid' = $1 order by idx`,
    [answer.headers.get('x-request-id')],
  )
  return rows.map(({ leaf }) => JSON.parse(leaf) as Logged)
}

/** The request behind this answer was refused by a worker, which wrote exactly this. */
export async function assertLogged(service: TestService, answer: Answer, ev: string, why: string): Promise<void> {
  const entries = await logged(service, answer)
  assert.deepEqual(
    entries.map((entry) => [entry.ev, entry.out, entry.why]),
    [[ev, 'refused', why]],
    `the log of ${ev} ${why}`,
  )
}

/** The same of a refused login: written beside its answer, or only counted if there was one of its kind in this minute. */
export async function assertCounted(service: TestService, answer: Answer, ev: string, why: string): Promise<void> {
  const owner = await service.owner()
  await until(`the log has a refusal ${ev} ${why}`, async () => {
    const { rows } = await owner.query(
      `select from audit.entry where convert_from(leaf, 'UTF8')::jsonb @> $1::jsonb limit 1`,
      [JSON.stringify({ ev, why, out: 'refused' })],
    )
    return rows.length > 0
  })
  for (const entry of await logged(service, answer)) {
    assert.deepEqual([entry.ev, entry.out, entry.why], [ev, 'refused', why])
    assert.ok(Number(entry.f?.count) >= 1, 'it says how many there were')
  }
}

/** Everything that a signature or a code spends, as one text to compare. */
export async function spent(service: TestService): Promise<string> {
  const { rows } = await (await service.owner()).query(
    `select jsonb_build_object(
       'authorizations', (select jsonb_agg(jsonb_build_array(id, used, remaining, total, revoked_at) order by id) from paraph.authorization),
       'signings', (select jsonb_agg(op order by op) from paraph.signing),
       'challenges', (select jsonb_agg(jsonb_build_array(id, used_at) order by id) from paraph.challenge),
       'factors', (select jsonb_agg(jsonb_build_array(id, state, last_step) order by id) from paraph.factor),
       'guesses', (select jsonb_agg(jsonb_build_array(signer_id, target, failures) order by signer_id, target) from paraph.guess)
     )::text as all`,
  )
  return rows[0].all
}

/** A front of the test's own. Closing it puts the refusals that it had only counted into the log. */
export class OwnFront {
  /** Its number among the fronts of the service. */
  readonly index: number
  readonly #service: TestService
  readonly #node: string
  readonly #stop: () => Promise<void>
  #closed: Promise<void> | undefined
  readonly #refused = new Map<string, number>()

  private constructor(service: TestService, node: string, url: string, close: () => Promise<void>) {
    this.#service = service
    this.#node = node
    this.#stop = close
    this.index = service.urls.push(url) - 1
  }

  static async open(service: TestService, clock: Clock = service.clock): Promise<OwnFront> {
    const settings = { ...service.newFrontSettings(0), node: `test/own-front-${service.urls.length}` }
    const front = await startFront({ logger: service.logger, clock, settings })
    return new OwnFront(service, settings.node, front.url, front.close)
  }

  client(version: Version, bearer?: string): CscClient {
    return new CscClient(this.#service, version, { front: this.index, ...(bearer === undefined ? {} : { bearer }) })
  }

  /** It refused a request by itself, for this reason. */
  count(endpoint: string, status: number, why: string): void {
    const key = `${endpoint} ${status} ${why}`
    this.#refused.set(key, (this.#refused.get(key) ?? 0) + 1)
  }

  /** May be called again. */
  close(): Promise<void> {
    this.#closed ??= this.#stop()
    return this.#closed
  }

  /** After `close`: the log has every refusal that was counted here, and no other. */
  assertLogged(world: World): void {
    const found = new Map<string, number>()
    for (const { leaf } of world.of('access.refused')) {
      if (leaf.node !== this.#node) continue
      const key = `${leaf.f?.endpoint} ${leaf.f?.status} ${leaf.why}`
      found.set(key, (found.get(key) ?? 0) + Number(leaf.f?.count))
    }
    assert.deepEqual(Object.fromEntries([...found].sort()), Object.fromEntries([...this.#refused].sort()))
  }
}

/** Bound on waiting for something to become true, in milliseconds. */
const PATIENCE = 30_000

/** Asks again and again, for a bounded time. */
export async function until(what: string, isTrue: () => Promise<boolean>): Promise<void> {
  const end = performance.now() + PATIENCE
  while (!(await isTrue())) {
    if (performance.now() > end) throw new Error(`it did not become true: ${what}`)
    await new Promise((resolve) => setTimeout(resolve, 10))
  }
}
