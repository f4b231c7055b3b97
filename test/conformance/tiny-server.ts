/**
 * A CSC server of a few hundred lines, in memory, that shares no line with the service but the signing itself. With no
 * defect it keeps the whole suite; each defect is a door that some other server left open. It shows that the suite is not
 * about this service, and that it would notice.
 */
import { execFileSync } from 'node:child_process'
import { createHash, createHmac, createPrivateKey, randomBytes, randomInt, randomUUID } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http'
import type { AddressInfo } from 'node:net'
import { join } from 'node:path'
import { setTimeout as pause } from 'node:timers/promises'
import type { Adapter } from '../../src/conformance/adapter.js'
import type { Json } from '../../src/conformance/values.js'
import { type DigestAlgorithm, digest } from '../../src/digest.js'
import type { Mechanism } from '../../src/hsm/hsm.js'
import { SigningKey } from '../../src/hsm/openssl.js'
import type { Defect } from './broken-doors.js'
import { type TinyHost, TinyOAuth, type Wish } from './tiny-oauth.js'
import {
  type Agreement,
  type Body,
  BYTES,
  type Client,
  type Credential,
  digestsIn,
  HASHES,
  Refusal,
  type Signer,
  type Token,
  textIn,
  type Version,
} from './tiny-world.js'

/** What goes back. */
export interface Answered {
  readonly status: number
  readonly body: Body | undefined
  readonly headers: Readonly<Record<string, string>>
}

interface Waiting {
  readonly token: Token
  readonly credential: Credential
  readonly wish: Wish
  answer: 'none' | 'yes' | 'no' | 'collected'
}

type Keys = Readonly<Record<'rsa' | 'ec', { readonly key: SigningKey; readonly certificate: string }>>

const MALFORMED =
  'The request is missing a required parameter, includes an invalid parameter value, includes a parameter more than once, or is otherwise malformed.'
const RSA = '1.2.840.113549.1.1.1'
const PSS = '1.2.840.113549.1.1.10'
const IMPLIED: Readonly<Record<string, DigestAlgorithm>> = {
  '1.2.840.113549.1.1.11': 'sha-256',
  '1.2.840.113549.1.1.12': 'sha-384',
  '1.2.840.113549.1.1.13': 'sha-512',
  '1.2.840.10045.4.3.2': 'sha-256',
}
const ALGORITHMS = { rsa: [RSA, PSS, ...Object.keys(IMPLIED).slice(0, 3)], ec: ['1.2.840.10045.4.3.2'] } as const
const METHODS = [
  'auth/login',
  'auth/revoke',
  'credentials/list',
  'credentials/info',
  'credentials/authorize',
  'credentials/extendTransaction',
  'credentials/sendOTP',
  'signatures/signHash',
]
const METHODS_OF = {
  v1: METHODS,
  v2: [
    ...METHODS,
    'credentials/authorizeCheck',
    'credentials/getChallenge',
    'credentials/create',
    'credentials/delete',
  ],
}
/** Under which it makes credentials. */
const POLICY = '2.999.7'
/** Seconds that a token lives. */
const LIFE = 3600
const CAN = [
  ...['code', 'steps', 'clock', 'suspend', 'resume', 'unlock', 'remember', 'only-valid', 'expire-sad', 'record'],
  ...['oauth', 'oauth-refresh', 'rotation', 'client-credentials', 'pushed', 'rich'],
  ...['out-of-band', 'approve', 'deny', 'sent', 'creation', 'deletion', 'outlive', 'revoke'],
]

export class TinyServer implements Adapter {
  readonly #defects: Set<Defect>
  readonly #keys: Keys
  readonly #tokens = new Map<string, Token>()
  readonly #agreements = new Map<string, Agreement>()
  readonly #credentials: Credential[] = []
  /** Who signed, by digest in hex. */
  readonly #records = new Map<string, string | undefined>()
  readonly #signers: Readonly<Record<'one' | 'two' | 'three', Signer>>
  readonly #clients: readonly Client[] = ['app', 'other'].map((name) => ({
    id: `${name}-${randomUUID()}`,
    secret: randomUUID(),
    redirect: `https://${name}.tiny.test/back`,
    policy: POLICY,
  }))
  readonly #waiting = new Map<string, Waiting>()
  readonly #oauth: TinyOAuth
  readonly #secret = randomBytes(20)
  readonly #server: Server
  /** Puts something else in place of an answer. */
  rewrite: (answer: Answered, method: string) => Answered = (answer) => answer
  #clock = 0
  #told = 0

  private constructor(keys: Keys, defects: readonly Defect[]) {
    this.#keys = keys
    this.#defects = new Set(defects)
    const signer = (name: string): Signer => {
      const account = { login: `${name}@tiny.test`, password: randomUUID(), phone: name === 'three', sent: undefined }
      return { ...account, lastStep: 0, failures: 0, blockedUntil: 0 }
    }
    this.#signers = { one: signer('one'), two: signer('two'), three: signer('three') }
    this.#oauth = new TinyOAuth(this.#host())
    this.#server = createServer((request, response) => void this.#serve(request, response))
  }

  /** @param folder where the keys are that `makeKeys` left */
  static async start(folder: string, ...defects: readonly Defect[]): Promise<TinyServer> {
    const read = (kind: 'rsa' | 'ec') => {
      const pem = readFileSync(join(folder, `${kind}.key`), 'utf8')
      const der = createPrivateKey(pem).export({ type: 'pkcs8', format: 'der' })
      const certificate = readFileSync(join(folder, `${kind}.pem`), 'utf8').replace(/-----.*-----|\n/g, '')
      return { key: new SigningKey(der, kind === 'rsa' ? 'rsa-2048' : 'p-256'), certificate }
    }
    const server = new TinyServer({ rsa: read('rsa'), ec: read('ec') }, defects)
    await new Promise<void>((resolve) => server.#server.listen(0, '127.0.0.1', resolve))
    return server
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections()
    await new Promise((resolve) => this.#server.close(resolve))
    for (const { key } of Object.values(this.#keys)) key.close()
  }

  // What is told out of band.

  async ask(question: Body): Promise<Body> {
    const { ask, signer, fresh, sent, step = 0, of } = question
    const who = this.#signers[String(signer) as 'one'] ?? this.#signers.one
    switch (ask) {
      case 'oauth': {
        const code = question.code ?? (await this.ask({ ask: 'code', signer: String(signer), fresh: true })).code
        const url = new URL(String(question.url))
        const to = await this.#oauth.answer(url, who, String(question.answer), String(code))
        if (to === undefined) return {}
        const told = this.rewrite({ status: 302, body: undefined, headers: { location: to } }, 'oauth2/authorize')
        return { to: told.headers.location ?? to }
      }
      case 'approve':
      case 'deny':
        for (const one of this.#waiting.values()) if (one.answer === 'none') one.answer = ask === 'deny' ? 'no' : 'yes'
        return {}
      case 'begin':
        return this.#world()
      case 'code':
        if (sent === true) return { code: who.sent ?? '' }
        // Not late in a period, so that neither this code nor one that is so many periods off becomes another on its way.
        if (this.#now() % 30_000 > (fresh === true ? 15_000 : 22_500)) this.#clock += 30_000 - (this.#now() % 30_000)
        if (fresh === true && this.#step() <= this.#told) this.#clock += (this.#told + 1 - this.#step()) * 30_000
        this.#told = Math.max(this.#told, this.#step() + Number(step))
        return { code: this.#code(who, this.#step() + Number(step)) }
      case 'near':
        return { codes: [-2, -1, 0, 1, 2].map((near) => this.#code(who, this.#step() + near)) }
      case 'clock':
        this.#clock += Number(of) * 1000
        return {}
      case 'record':
        return { signer: this.#records.get(Buffer.from(String(question.of), 'base64').toString('hex')) ?? null }
      case 'unlock':
        Object.assign(this.#signers[of === 'two' ? 'two' : 'one'], { failures: 0, blockedUntil: 0 })
        return {}
      case 'expire-sad':
        this.#clock += 301_000
        return {}
      default: {
        const states = { suspend: 'suspended', resume: 'valid', revoke: 'revoked', outlive: 'expired' } as const
        for (const credential of this.#credentials)
          if (credential.id === of) credential.state = states[ask as keyof typeof states]
        return {}
      }
    }
  }

  #world(): Body {
    const { one, two, three } = this.#signers
    const [app = {}, other = {}] = this.#clients.map((client): Body => ({ ...client }))
    const make = (owner: Signer, kind: 'rsa' | 'ec', more: Partial<Credential> = {}) => {
      const credential = { id: randomUUID(), owner, kind, scal: '2', pin: undefined, state: 'valid', ...more } as const
      this.#credentials.push(credential)
      return credential.id
    }
    this.#credentials.length = 0
    const rsa = make(one, 'rsa')
    return {
      one: {
        login: one.login,
        password: one.password,
        rsa,
        pss: rsa,
        ecdsa: make(one, 'ec'),
        open: make(one, 'ec', { scal: '1' }),
        pinned: make(one, 'ec', { pin: '480213957' }),
        pin: '480213957',
        revoked: make(one, 'ec', { state: 'revoked' }),
        expired: make(one, 'ec', { state: 'expired' }),
        brief: make(one, 'ec'),
        spare: make(one, 'ec'),
      },
      two: { login: two.login, password: two.password, rsa: make(two, 'rsa') },
      three: { login: three.login, password: three.password, ecdsa: make(three, 'ec'), object: 'OTP' },
      app,
      other,
      can: CAN,
    }
  }

  #now(): number {
    return Date.now() + this.#clock
  }

  #step(): number {
    return Math.floor(this.#now() / 30_000)
  }

  #code(signer: Signer, step: number): string {
    const mac = createHmac('sha256', this.#secret).update(`${signer.login} ${step}`).digest()
    return String(mac.readUInt32BE(0) % 100_000_000).padStart(8, '0')
  }

  #host(): TinyHost {
    return {
      clients: this.#clients,
      tokens: this.#tokens,
      assigned: this.#signers.one,
      has: (defect) => this.#has(defect),
      ownCredential: (signer, id) => this.#ownCredential(signer, id === undefined ? {} : { credentialID: id }),
      checkWish: (api, credential, number, list, oid) =>
        this.#checkWish(
          api,
          credential,
          api === 'v1'
            ? { numSignatures: number ?? null, ...(list === undefined ? {} : { hash: list }) }
            : {
                numSignatures: number ?? null,
                ...(list === undefined ? {} : { hashes: list }),
                hashAlgorithmOID: oid,
              },
        ),
      requireAnswer: (credential, code) => this.#requireFactors('v1', credential, { OTP: code ?? null }),
      newToken: (more) => this.#newToken(more),
      agree: (agreement) =>
        void this.#agreements.set(agreement.token.value, { ...agreement, expires: this.#now() + 300_000 }),
    }
  }

  // The doors.

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    const chunks: Buffer[] = []
    for await (const chunk of request) chunks.push(chunk as Buffer)
    const text = Buffer.concat(chunks).toString()
    // For an adapter that is a program of its own.
    if (request.url === '/adapter') return void response.end(JSON.stringify(await this.ask(bodyOf(text))))
    const [status, body, headers = {}] = await this.#answer(request, text).catch((error: unknown): [number, Body] => {
      if (error instanceof Refusal) return [error.status, { error: error.error, error_description: error.text }]
      return [500, { error: 'server_error', error_description: String(error) }]
    })
    const type = { 'content-type': 'application/json' }
    const method = (request.url ?? '').replace(/^\/csc\/v[12]\//, '').replace(/\?.*/, '')
    const wants = status === 401 ? { 'www-authenticate': method.startsWith('oauth2/') ? 'Basic' : 'Bearer' } : {}
    const told = this.rewrite({ status, body, headers: { ...type, ...wants, ...headers } }, method)
    response.writeHead(told.status, told.headers)
    response.end(told.body === undefined ? undefined : JSON.stringify(told.body))
  }

  async #answer(
    { method, url = '', headers }: IncomingMessage,
    text: string,
  ): Promise<[status: number, body: Body | undefined, headers?: Record<string, string>]> {
    const [, version, name = ''] = /^\/csc\/(v1|v2)\/(.+)$/.exec(url) ?? []
    const api = version as Version
    if (name.startsWith('oauth2/'))
      return [...(await this.#oauth.serve(api, name.replace(/\?.*/, ''), method, text, headers.authorization))]
    if (version === undefined || (name !== 'info' && !METHODS_OF[api].includes(name)))
      throw new Refusal('This method is not implemented.', 'not_implemented_method', 501)
    if (method !== 'POST' && name !== 'info')
      return [405, { error: 'invalid_request', error_description: 'POST it.' }, { allow: 'POST' }]
    const open = name === 'info' || name === 'auth/login'
    const token = open ? undefined : this.#bearer(api, headers.authorization)
    if (token !== undefined) this.#requireScope(api, name, token)
    if (text !== '' && headers['content-type'] !== 'application/json') throw new Refusal(MALFORMED, undefined, 415)
    const body = bodyOf(text)
    if (body.clientData !== undefined && typeof body.clientData !== 'string')
      throw new Refusal('Invalid parameter clientData')
    if (body.lang !== undefined && typeof body.lang !== 'string') throw new Refusal('Invalid parameter lang')
    if (name === 'info') return [200, info(api, this.url)]
    if (name === 'auth/login') return [200, this.#login(headers.authorization, body)]
    const signer = token as Token
    if (name === 'auth/revoke') return [204, this.#revoke(signer, body)]
    if (name === 'credentials/list') return [200, this.#list(api, signer, body)]
    if (name === 'credentials/info') return [200, this.#info(api, signer, body)]
    if (name === 'credentials/authorize') return await this.#authorize(api, signer, body)
    if (name === 'credentials/authorizeCheck') return this.#authorizeCheck(signer, body)
    if (name === 'credentials/getChallenge' || name === 'credentials/sendOTP')
      return [204, this.#sendCode(signer, body, name === 'credentials/getChallenge')]
    if (name === 'credentials/create') return [201, this.#create(signer, body)]
    if (name === 'credentials/delete') return [204, this.#delete(signer, body)]
    if (name === 'credentials/extendTransaction') return [200, this.#extend(api, signer, body)]
    return [200, { signatures: await this.#sign(api, signer, body) }]
  }

  #bearer(api: Version, header: string | undefined): Token {
    const value = /^Bearer (\S+)$/.exec(header ?? '')?.[1]
    if (value === undefined) {
      if (this.#has('asks for no token')) return this.#newToken({ signer: this.#signers.one, family: '' })
      throw new Refusal(api === 'v1' ? MALFORMED : 'Malformed authorization header.')
    }
    if (this.#has('takes a SAD as a token') && this.#agreements.has(value))
      return (this.#agreements.get(value) as Agreement).token
    const token = this.#tokens.get(value)
    if (token === undefined || token.refresh) throw new Refusal('unknown', 'invalid_token', 401)
    const ended =
      (token.expires <= this.#now() && !this.#has('tokens never end')) ||
      (token.expires <= this.#now() + LIFE * 1000 - 30_000 && this.#has('tokens end early'))
    if (ended || (token.over && !this.#has('revoked tokens live on'))) throw new Refusal('over', 'expired_token', 401)
    return token
  }

  #requireScope(api: Version, name: string, { scope }: Token): void {
    const alone = ['credentials/create', 'credentials/delete'].includes(name)
    const reached = {
      service: !alone,
      own: !alone,
      credential:
        (api === 'v2' && ['credentials/info', 'signatures/signHash'].includes(name)) ||
        this.#has('a credential token opens everything'),
      creation: name === 'credentials/create',
      deletion: name === 'credentials/delete',
    }[scope]
    const anyToken =
      (name === 'credentials/create' && this.#has('any token makes credentials')) ||
      (name === 'credentials/delete' && this.#has('any token deletes'))
    if (!reached && !anyToken) throw new Refusal('scope', 'access_denied', 403)
  }

  #login(header: string | undefined, body: Body): Body {
    const refresh = body.refresh_token
    if (refresh !== undefined) {
      if (typeof refresh !== 'string') throw new Refusal('Invalid string parameter: refresh_token')
      const token = this.#tokens.get(refresh)
      if (token === undefined || !token.refresh || token.over) throw new Refusal('Invalid refresh_token')
      return { access_token: this.#newToken({ signer: token.signer, family: token.family }).value, expires_in: LIFE }
    }
    const encoded = /^Basic ([A-Za-z0-9+/=]+)$/.exec(header ?? '')?.[1]
    if (encoded === undefined) throw new Refusal('Malformed authentication parameter.', undefined, 401)
    const [login, ...password] = Buffer.from(encoded, 'base64').toString().split(':')
    if (password.length === 0) throw new Refusal('Malformed username-password.')
    const signer = Object.values(this.#signers).find((one) => one.login === login)
    if (signer?.password !== password.join(':'))
      throw new Refusal('An error occurred during authentication process', 'authentication_error')
    const family = randomUUID()
    return {
      access_token: this.#newToken({ signer, family }).value,
      ...(body.rememberMe === true ? { refresh_token: this.#newToken({ signer, family, refresh: true }).value } : {}),
      expires_in: LIFE,
    }
  }

  #newToken(more: Partial<Token> & Pick<Token, 'signer' | 'family'>): Token {
    const value = randomBytes(32).toString('base64url')
    const usual = { client: undefined, scope: 'service', refresh: false, credential: undefined, over: false } as const
    const token = { ...usual, expires: this.#now() + LIFE * 1000, ...more, value }
    this.#tokens.set(value, token)
    return token
  }

  #revoke({ signer }: Token, body: Body): undefined {
    const value = textIn(body, 'token')
    const hint = body.token_type_hint
    if (hint !== undefined && hint !== 'access_token' && hint !== 'refresh_token')
      throw new Refusal('Invalid string parameter token_type_hint')
    const token = this.#tokens.get(value)
    if (token?.signer !== signer) throw new Refusal('Invalid string parameter token')
    token.over = true
    for (const one of this.#tokens.values()) if (token.refresh && one.family === token.family) one.over = true
  }

  #list(api: Version, { signer, scope }: Token, body: Body): Body {
    const { maxResults: most, pageToken: page = '0', certificates } = body
    const foreign = this.#has('lists what is for others')
    if (scope === 'own') {
      const whose = Object.values(this.#signers).find(({ login }) => login === body.userID)
      const reached = whose === signer || (whose !== undefined && this.#has('an application reaches everybody'))
      if (!reached) throw new Refusal('Invalid parameter userID')
    } else if (body.userID !== undefined && !foreign) throw new Refusal('userID parameter MUST be null')
    if (certificates !== undefined && !['none', 'single', 'chain'].includes(String(certificates)))
      throw new Refusal('Invalid parameter certificates')
    const own = this.#credentials.filter(({ owner, state }) => {
      return (owner === signer || foreign) && (body.onlyValid !== true || state === 'valid')
    })
    if (api === 'v1') {
      if (typeof page !== 'string' || !/^\d+$/.test(page)) throw new Refusal('Invalid parameter pageToken')
      const size = typeof most === 'number' && most >= 1 && most <= 100 ? most : 100
      const end = Number(page) + size
      const more = end < own.length ? { nextPageToken: String(end) } : {}
      return { credentialIDs: own.slice(Number(page), end).map(({ id }) => id), ...more }
    }
    return {
      credentialIDs: own.map(({ id }) => id),
      ...(body.credentialInfo === true
        ? { credentialInfos: own.map((one) => ({ credentialID: one.id, ...this.#describe(api, one, body) })) }
        : {}),
      ...(body.onlyValid === true ? { onlyValid: true } : {}),
    }
  }

  #info(api: Version, { signer }: Token, body: Body): Body {
    const credential = this.#ownCredential(signer, body)
    if (body.certificates !== undefined && !['none', 'single', 'chain'].includes(body.certificates as string))
      throw new Refusal('Invalid parameter certificates')
    return this.#describe(api, credential, body)
  }

  #describe(api: Version, { kind, state, scal, pin }: Credential, body: Body): Body {
    const { certificate } = this.#keys[kind]
    const code = { presence: 'true', type: 'offline', ID: 'OTP', format: 'N' }
    const objects = [{ type: 'Password', id: 'OTP' }, ...(pin === undefined ? [] : [{ type: 'Password', id: 'PIN' }])]
    const factors = { PIN: pin === undefined ? { presence: 'false' } : { presence: 'true', format: 'N' }, OTP: code }
    return {
      key: {
        status: state === 'valid' ? 'enabled' : 'disabled',
        algo: [...ALGORITHMS[kind]],
        len: kind === 'rsa' ? 2048 : 256,
        ...(kind === 'ec' ? { curve: '1.2.840.10045.3.1.7' } : {}),
      },
      cert: {
        status: state,
        ...(body.certificates === 'none' ? {} : { certificates: [certificate] }),
        ...(body.certInfo === true ? { issuerDN: 'CN=Tiny', subjectDN: 'CN=Tiny', serialNumber: '01' } : {}),
        ...(body.certInfo === true ? { validFrom: '20200101000000Z', validTo: '20400101000000Z' } : {}),
        ...(api === 'v2' ? { qcStatements: [] } : {}),
      },
      ...(api === 'v1'
        ? { authMode: 'explicit', ...(body.authInfo === true ? factors : {}) }
        : { auth: { mode: 'explicit', ...(body.authInfo === true ? { objects } : {}) } }),
      SCAL: scal,
      multisign: 100,
    }
  }

  #ownCredential(signer: Signer, body: Body): Credential {
    const id = textIn(body, 'credentialID')
    const anybodys = (['signs with any credential', 'takes the SAD of anybody', 'extends for anybody'] as const).some(
      (defect) => this.#has(defect),
    )
    const credential = this.#credentials.find((one) => one.id === id)
    if (this.#has('says what is for others') && credential !== undefined && credential.owner !== signer)
      throw new Refusal('This credential is not yours', 'access_denied')
    if (credential === undefined || (credential.owner !== signer && !anybodys))
      throw new Refusal(this.#has('repeats what it was sent') ? `Unknown: ${id}` : 'Invalid parameter credentialID')
    return credential
  }

  async #authorize(api: Version, token: Token, body: Body): Promise<[status: number, body: Body]> {
    if (this.#has('spends the code first')) token.signer.lastStep = Math.max(token.signer.lastStep, this.#step())
    const credential = this.#ownCredential(token.signer, body)
    const wish = this.#checkWish(api, credential, body)
    const [only] = Array.isArray(body.authData) ? (body.authData as readonly Body[]) : []
    if (only?.id === 'APPROVAL') {
      const handle = randomBytes(32).toString('base64url')
      this.#waiting.set(handle, { token, credential, wish, answer: 'none' })
      return [202, { handle }]
    }
    await this.#requireFactors(api, credential, body)
    return [200, this.#give(token, credential, wish)]
  }

  #give(token: Token, credential: Credential, wish: Wish): Body {
    const sad = randomBytes(32).toString('base64url')
    this.#agreements.set(sad, { token, credential, ...wish, expires: this.#now() + 300_000 })
    return { SAD: sad, expiresIn: 300 }
  }

  #authorizeCheck(token: Token, body: Body): [status: number, body: Body] {
    const handle = textIn(body, 'handle')
    const waiting = this.#waiting.get(handle)
    const own = waiting?.token.family === token.family || this.#has('a handle is anybody’s')
    if (waiting === undefined || !own) throw new Refusal('Invalid parameter handle')
    if (waiting.answer === 'none' && !this.#has('gives the SAD before the answer')) return [202, { handle }]
    if (waiting.answer === 'no' && !this.#has('a no is taken for a yes'))
      throw new Refusal('The authentication data is invalid', 'invalid_authentication_data')
    if (waiting.answer === 'collected' && !this.#has('gives the SAD twice'))
      throw new Refusal('Invalid parameter handle')
    waiting.answer = 'collected'
    return [200, this.#give(waiting.token, waiting.credential, waiting.wish)]
  }

  #sendCode({ signer }: Token, body: Body, challenge: boolean): undefined {
    const id = textIn(body, 'credentialID')
    const sendsForAll = this.#has('sends codes for anybody’s credential')
    const credential = sendsForAll ? this.#credentials.find((one) => one.id === id) : undefined
    const { owner } = credential ?? this.#ownCredential(signer, body)
    if (challenge && textIn(body, 'authObjectID') !== 'OTP') throw new Refusal('Invalid parameter authObjectID')
    owner.sent = String(randomInt(100_000_000)).padStart(8, '0')
  }

  #create(token: Token, body: Body): Body {
    const asked = body.credentialCreationRequest
    if (typeof asked !== 'object' || asked === null) throw new Refusal(MALFORMED)
    const policy = textIn(asked as Body, 'certificatePolicy')
    if (policy !== POLICY && !this.#has('makes credentials of any policy'))
      throw new Refusal('Invalid parameter certificatePolicy')
    const { signer: owner } = token
    const made: Credential = { id: randomUUID(), owner, kind: 'ec', scal: '2', pin: undefined, state: 'valid' }
    this.#credentials.push(made)
    token.over = !this.#has('makes credentials again')
    return { credentialID: made.id, ...this.#describe('v2', made, body) }
  }

  #delete(token: Token, body: Body): undefined {
    const asked = body.credentialDeletionRequest
    if (typeof asked !== 'object' || asked === null) throw new Refusal(MALFORMED)
    const id = (asked as Body).credentialID
    if (typeof id !== 'string') throw new Refusal('Missing (or invalid type) string parameter "credentialID"')
    const free = this.#has('any token deletes') || this.#has('a deletion token deletes any credential')
    const named = free ? this.#ownCredential(token.signer, { credentialID: id }) : token.credential
    if (named?.id !== id) throw new Refusal('Contradicting "credentialID" parameters')
    if (!this.#has('what is deleted signs on')) named.state = 'revoked'
    token.over = true
  }

  /** What is asked to be agreed to, without a look at factors. */
  #checkWish(api: Version, credential: Credential, body: Body): Wish {
    const number = body.numSignatures
    if (typeof number !== 'number' || !Number.isInteger(number))
      throw new Refusal('Missing (or invalid type) integer parameter numSignatures')
    if (number < 1) throw new Refusal('Invalid value for parameter numSignatures')
    if (number > 100) throw new Refusal('Numbers of signatures is too high')
    const list = api === 'v1' ? body.hash : body.hashes
    let digests: string[] | undefined
    if (list !== undefined || credential.scal === '2') {
      const hash = api === 'v1' ? undefined : HASHES[textIn(body, 'hashAlgorithmOID')]
      if (api === 'v2' && hash === undefined) throw new Refusal('Invalid parameter hashAlgorithmOID')
      digests = digestsIn(list, api)
      if (digests.some((one) => !(hash === undefined ? [64, 96, 128] : [(BYTES[hash] ?? 0) * 2]).includes(one.length)))
        throw new Refusal('Invalid digest value length')
      if (digests.length !== number) throw new Refusal('Invalid value for parameter numSignatures')
    }
    this.#requireUsable(credential, 'agrees')
    return { digests, left: number }
  }

  #extend(api: Version, token: Token, body: Body): Body {
    const old = textIn(body, 'SAD')
    const credential = this.#ownCredential(token.signer, body)
    const agreement = this.#agreements.get(old)
    const anybodys = this.#has('extends for anybody')
    if (agreement === undefined || (!anybodys && agreement.token.family !== token.family))
      throw new Refusal('Invalid parameter SAD')
    if (agreement.credential !== credential || (agreement.left <= 0 && !this.#has('extending fills up')))
      throw new Refusal('Invalid parameter SAD')
    if (agreement.expires <= this.#now() && !this.#has('extends what has expired')) throw new Refusal('SAD expired')
    let { digests, left } = agreement
    if (digests !== undefined) {
      const wished = digestsIn(api === 'v1' ? body.hash : body.hashes, api)
      if (wished.some((one) => !digests?.includes(one))) throw new Refusal('Not agreed to')
      if (this.#has('extending fills up')) digests = wished
    }
    if (this.#has('extending fills up')) left = 100
    const sad = randomBytes(32).toString('base64url')
    this.#agreements.set(sad, { ...agreement, digests, left, expires: this.#now() + 300_000 })
    if (!this.#has('the old SAD lives on')) this.#agreements.delete(old)
    return { SAD: sad, expiresIn: 300 }
  }

  #requireUsable({ state }: Credential, what: 'agrees' | 'signs'): void {
    if (state === 'expired' && this.#has('agrees after the certificate')) return
    if (state === 'revoked' && this.#has('agrees after revocation')) return
    if (state === 'suspended' && this.#has(`${what} while suspended`)) return
    if (state === 'expired' && what === 'signs' && this.#has('signs after the certificate')) return
    if (state === 'revoked' && what === 'signs' && this.#has('signs after revocation')) return
    if (state === 'expired') throw new Refusal("Signing certificate 'CN=Tiny' is expired.")
    if (state !== 'valid') throw new Refusal('The credential identified by credentialID is disabled')
  }

  async #requireFactors(api: Version, { owner, pin }: Credential, body: Body): Promise<void> {
    const wrong = (factor: 'otp' | 'pin' = 'otp') => {
      if (api === 'v2') return new Refusal('The authentication data is invalid', 'invalid_authentication_data')
      return new Refusal(`The ${factor.toUpperCase()} is invalid`, `invalid_${factor}`)
    }
    const data = Array.isArray(body.authData) ? (body.authData as readonly Body[]) : []
    const given = (name: 'OTP' | 'PIN') => (api === 'v1' ? body[name] : data.find(({ id }) => id === name)?.value)
    const [code, itsPin] = [given('OTP'), given('PIN')]
    if (this.#has('agrees without a code') && code === undefined && itsPin === undefined) return
    if (this.#has('takes the PIN alone') && pin !== undefined && itsPin === pin) return
    if (code === '' && this.#has('takes an empty code')) return
    if (typeof code !== 'string')
      throw api === 'v1' ? new Refusal('Missing (or invalid type) string parameter OTP') : wrong()
    if (this.#now() < owner.blockedUntil && !this.#has('lets guess without end'))
      throw new Refusal(api === 'v1' ? 'OTP locked' : 'Credential locked')
    if (owner.phone) {
      if (code !== owner.sent) throw wrong()
      if (!this.#has('takes a sent code again')) owner.sent = undefined
      return
    }
    // Counted before it is compared.
    const before = owner.failures
    if (this.#has('counts guesses in a race')) await pause(400)
    owner.failures = before + 1
    if (owner.failures >= 3) {
      const wait = this.#has('locks out for good') ? 1e12 : 1000 * 2 ** Math.min(owner.failures - 3, 10)
      owner.blockedUntil = this.#now() + wait
    }
    const tolerated = this.#has('takes old codes')
      ? [...Array(21).keys()].map((n) => -n)
      : this.#has('takes codes of the future')
        ? [0, -1, 1, 2, 3]
        : this.#has('tolerates no clock')
          ? [0]
          : [0, -1, 1]
    const holder = this.#has("takes anybody's code") ? Object.values(this.#signers) : [owner]
    const step = tolerated.map((n) => this.#step() + n).find((n) => holder.some((one) => this.#code(one, n) === code))
    if (step === undefined) throw this.#has('repeats what it was sent') ? new Refusal(`Wrong code ${code}`) : wrong()
    const used = this.#has('takes a code again')
      ? false
      : this.#has('takes an earlier code')
        ? step === owner.lastStep
        : step <= owner.lastStep
    if (this.#has('takes a code twice in a race')) await pause(400)
    if (used) throw wrong()
    owner.lastStep = step
    if (pin !== undefined && itsPin !== pin && !this.#has('takes the code alone')) throw wrong('pin')
    Object.assign(owner, { failures: 0, blockedUntil: 0 })
  }

  async #sign(api: Version, token: Token, body: Body): Promise<Json> {
    const bearerAgrees = token.scope === 'credential' && body.SAD === undefined
    const skipsSad = !bearerAgrees && this.#has('signs without a SAD') && (body.SAD === undefined || body.SAD === '')
    const sad = bearerAgrees ? token.value : skipsSad ? '' : textIn(body, 'SAD')
    const credential = this.#ownCredential(token.signer, body)
    const digests = digestsIn(api === 'v1' ? body.hash : body.hashes, api)
    const mechanism = mechanismOf(api, credential, body)
    if (digests.some(({ length }) => length !== (BYTES[mechanism.hash] ?? 0) * 2))
      throw new Refusal('Invalid digest value length')
    if (body.operationMode !== undefined && body.operationMode !== 'S')
      throw new Refusal('Invalid parameter operationMode')
    this.#requireUsable(credential, 'signs')
    if (!skipsSad && !(this.#has('takes a token as a SAD') && this.#tokens.has(sad)))
      await this.#spend(api, token, credential, sad, digests)
    for (const digest of digests) {
      const [name] = Object.entries(this.#signers).find(([, signer]) => signer === token.signer) ?? []
      this.#records.set(digest, this.#has('records no signer') ? undefined : name)
    }
    const order = this.#has('sorts the hashes') ? [...digests].sort() : digests
    return order.map((hex) => {
      const bytes = Buffer.from(hex, 'hex')
      const twice = this.#has('hashes again')
        ? createHash(mechanism.hash.replace('-', '')).update(bytes).digest()
        : bytes
      const signature = this.#keys[credential.kind].key.sign(mechanism, digest(mechanism.hash, twice))
      return Buffer.from(signature).toString('base64')
    })
  }

  async #spend(api: Version, token: Token, credential: Credential, sad: string, digests: string[]): Promise<void> {
    const agreement = this.#agreements.get(sad)
    if (agreement === undefined) throw new Refusal('Invalid parameter SAD')
    const { client, over } = agreement.token
    const byToken = client !== undefined && agreement.token.scope === 'credential'
    const broken = (ofSad: Defect, ofToken: Defect) => this.#has(ofSad) || (byToken && this.#has(ofToken))
    // A credential token is for its application; any other agreement for the session it was given in.
    const fits = byToken
      ? token.client === client && token.signer === agreement.token.signer
      : agreement.token.family === token.family
    if (!fits && !broken('takes the SAD of anybody', 'a credential token is anybody’s SAD'))
      throw new Refusal('Invalid parameter SAD')
    if (byToken && over && !this.#has('revoking does nothing')) throw new Refusal('Invalid parameter SAD')
    if (
      agreement.credential !== credential &&
      !broken('takes a SAD for any credential', 'a credential token is for any credential')
    )
      throw new Refusal('Invalid parameter SAD')
    if (agreement.expires <= this.#now()) throw new Refusal('SAD expired')
    const { left } = agreement
    const cost = broken('counts requests', 'a credential token counts requests') ? 1 : digests.length
    const forgets = broken('forgets what was signed', 'a credential token is never used up')
    if (left <= 0 && !forgets) throw new Refusal('Invalid parameter SAD')
    if (this.#has('refusals spend')) agreement.left -= cost
    if (agreement.digests !== undefined && !broken('signs any hash', 'a credential token signs any hash')) {
      const free = [...agreement.digests]
      for (const one of digests) {
        const at = free.indexOf(one)
        if (at < 0) {
          if (this.#has('spends half a batch')) agreement.left -= 1
          throw new Refusal(
            api === 'v1'
              ? 'Hash is not authorized by the SAD.'
              : 'Hash is not authorized by neither SAD nor an access token with scope “credential”.',
          )
        }
        if (!this.#has('does not count repeats') && !forgets) free.splice(at, 1)
      }
      if (this.#has('spends in a race')) await pause(400)
      if (!this.#has('signs a hash again')) agreement.digests.splice(0, Number.POSITIVE_INFINITY, ...free)
    } else if (this.#has('spends in a race')) await pause(400)
    if (this.#has('one hash for each request') && digests.length > 1) throw new Refusal('One at a time')
    if (cost > left && !forgets) throw new Refusal('Numbers of signatures is too high')
    if (!this.#has('refusals spend')) agreement.left = left - cost
    if (this.#has('one request for each agreement')) agreement.left = 0
  }

  #has(defect: Defect): boolean {
    return this.#defects.has(defect)
  }
}

/** Keys and certificates, made once for all servers of a test file. */
export function makeKeys(folder: string): void {
  for (const [kind, parameters] of [
    ['rsa', ['-newkey', 'rsa:2048']],
    ['ec', ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256']],
  ] as const) {
    const files = ['-keyout', join(folder, `${kind}.key`), '-out', join(folder, `${kind}.pem`)]
    execFileSync('openssl', ['req', '-x509', ...parameters, '-nodes', '-subj', '/CN=Tiny', ...files], {
      stdio: 'ignore',
    })
  }
}

function info(api: Version, url: string): Body {
  const more = {
    supportedHashTypes: ['dtbsr'],
    signAlgorithms: { algos: [...ALGORITHMS.rsa, ...ALGORITHMS.ec] },
    signature_formats: { formats: [], envelope_properties: [] },
    conformance_levels: [],
  }
  return {
    specs: api === 'v1' ? '1.0.4.0' : '2.2.0.0',
    name: 'Tiny',
    logo: 'https://tiny.test/logo.png',
    region: 'SE',
    lang: 'en',
    description: 'A server of a test.',
    authType: ['basic', 'oauth2code', 'oauth2client'],
    oauth2: `${url}/csc/${api}`,
    methods: METHODS_OF[api],
    ...(api === 'v1' ? {} : more),
  }
}

function bodyOf(text: string): Body {
  if (text === '') return {}
  let body: Json
  try {
    body = JSON.parse(text) as Json
  } catch {
    throw new Refusal(MALFORMED)
  }
  if (typeof body !== 'object' || body === null || Array.isArray(body)) throw new Refusal(MALFORMED)
  return body as Body
}

function mechanismOf(api: Version, { kind }: Credential, body: Body): Mechanism {
  const algorithm = textIn(body, 'signAlgo')
  if (!(ALGORITHMS[kind] as readonly string[]).includes(algorithm)) throw new Refusal('Invalid parameter signAlgo')
  const name = api === 'v1' ? 'hashAlgo' : 'hashAlgorithmOID'
  if (algorithm === PSS) {
    // Of the parameters it knows only these.
    const params = Buffer.from(textIn(body, 'signAlgoParams'), 'base64').toString('hex')
    if (!/^30(34|39)a00f300d0609608648016503040201.*a203020120/.test(params))
      throw new Refusal('Invalid parameter signAlgoParams')
    return { scheme: 'rsa-pss', hash: 'sha-256', saltLength: 32 }
  }
  const implied = IMPLIED[algorithm]
  if (implied !== undefined) {
    if (api === 'v2' && body[name] !== undefined && HASHES[textIn(body, name)] !== implied)
      throw new Refusal('String parameter hashAlgorithmOID contradicts with signAlgo signAlgoParams parameter')
    return { scheme: kind === 'rsa' ? 'rsa-pkcs1' : 'ecdsa', hash: implied }
  }
  const hash = HASHES[textIn(body, name)]
  if (hash === undefined) throw new Refusal(`Invalid parameter ${name}`)
  return { scheme: 'rsa-pkcs1', hash }
}
