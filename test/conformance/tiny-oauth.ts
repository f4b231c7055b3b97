/** The OAuth 2 server of the tiny server, with doors of its own. It has no pages: what a signer answers it is told at once. */
import { createHash, randomBytes, randomUUID } from 'node:crypto'
import { setTimeout as pause } from 'node:timers/promises'
import type { Json } from '../../src/conformance/values.js'
import type { Defect } from './broken-doors.js'
import {
  type Agreement,
  type Body,
  type Client,
  type Credential,
  HASHES,
  Refusal,
  type Signer,
  type Token,
  textIn,
  type Version,
} from './tiny-world.js'

/** What the tiny server does for it. */
export interface TinyHost {
  readonly clients: readonly Client[]
  readonly tokens: ReadonlyMap<string, Token>
  /** Whom clients reach with tokens of their own. */
  readonly assigned: Signer
  has(defect: Defect): boolean
  ownCredential(signer: Signer, id: Json | undefined): Credential
  /** What a signer agrees to; the digests in hex. @throws Refusal */
  checkWish(api: Version, credential: Credential, number: Json | undefined, list: Json | undefined, oid: string): Wish
  /** @throws Refusal */
  requireAnswer(credential: Credential, code: string | undefined): Promise<void>
  newToken(more: Partial<Token> & Pick<Token, 'signer' | 'family'>): Token
  agree(agreement: Pick<Agreement, 'token' | 'credential' | 'digests' | 'left'>): void
}

export interface Wish {
  readonly digests: string[] | undefined
  readonly left: number
}

interface Code {
  readonly client: Client
  readonly redirect: string
  readonly challenge: string
  readonly signer: Signer
  readonly family: string
  readonly scope: 'service' | 'credential' | 'creation' | 'deletion'
  readonly credential: Credential | undefined
  readonly wish: Wish | undefined
  readonly details: Json | undefined
  used: boolean
}

type Asked = Pick<Code, 'scope' | 'credential' | 'wish' | 'details'>
type Form = URLSearchParams
type Answer = readonly [status: number, body: Body | undefined, headers?: Record<string, string>]

const NO_STORE = { 'cache-control': 'no-store' }
const grant = (text: string) => new Refusal(text, 'invalid_grant')
const RICH = 'https://cloudsignatureconsortium.org/2025/credential'
const CSC_PARAMETERS = ['scope', 'credentialID', 'numSignatures', 'hash', 'hashes', 'hashAlgorithmOID']

export class TinyOAuth {
  readonly #host: TinyHost
  readonly #codes = new Map<string, Code>()
  readonly #pushed = new Map<string, { client: Client; form: Form }>()

  constructor(host: TinyHost) {
    this.#host = host
  }

  // What the browser of a signer does.

  /** @returns where it is sent away to; undefined when it stays here */
  async answer(url: URL, signer: Signer, answer: string, code: string | undefined): Promise<string | undefined> {
    const api = url.pathname.includes('/v1/') ? 'v1' : 'v2'
    const form = this.#pushedOr(url.searchParams)
    const client = this.#host.clients.find(({ id }) => id === form?.get('client_id'))
    if (form === undefined || client === undefined) return undefined
    const redirect = form.get('redirect_uri') ?? client.redirect
    if (!this.#isRegistered(client, redirect)) return undefined
    const back = (more: Record<string, string>) => {
      const state = form.get('state')
      return `${redirect}?${new URLSearchParams({ ...more, ...(state === null ? {} : { state }) })}`
    }
    try {
      const asked = this.#read(api, form, signer)
      if (answer === 'no' && !this.#host.has('a no is taken for a yes')) throw new Refusal('No.', 'access_denied')
      if (asked.credential !== undefined && !this.#host.has('the page needs no code')) {
        const right = await this.#host.requireAnswer(asked.credential, code).then(
          () => true,
          () => false,
        )
        if (!right) return undefined
      }
      const name = randomBytes(32).toString('base64url')
      const challenge = form.get('code_challenge') ?? ''
      this.#codes.set(name, { ...asked, client, redirect, challenge, signer, family: randomUUID(), used: false })
      return back({ code: name })
    } catch (error) {
      if (!(error instanceof Refusal)) throw error
      if (error.text === 'Not yours') return undefined
      return back({ error: error.error, error_description: error.text })
    }
  }

  #pushedOr(form: Form): Form | undefined {
    const uri = form.get('request_uri')
    if (uri === null) return form
    const pushed = this.#pushed.get(uri)
    if (pushed === undefined) return undefined
    const anybodys = this.#host.has('a pushed request is anybody’s')
    if (!anybodys && pushed.client.id !== form.get('client_id')) return undefined
    if (!this.#host.has('a pushed request works again')) this.#pushed.delete(uri)
    return pushed.form
  }

  #isRegistered({ redirect }: Client, uri: string): boolean {
    if (this.#host.has('sends browsers anywhere')) return true
    return this.#host.has('compares how addresses begin') ? uri.startsWith(redirect) : uri === redirect
  }

  /** @throws Refusal for what goes back to the client */
  #read(api: Version, form: Form, signer: Signer): Asked {
    if (form.get('response_type') !== 'code') throw new Refusal('code', 'unsupported_response_type')
    const plain = form.get('code_challenge_method') !== 'S256' && !this.#host.has('takes a plain challenge')
    if (form.get('code_challenge') === null || plain) throw new Refusal('Invalid parameter code_challenge')
    const details = form.get('authorization_details')
    if (details !== null) return this.#readRich(api, form, signer, details)
    const scope = form.get('scope') ?? 'service'
    if (scope === 'service') return { scope, credential: undefined, wish: undefined, details: undefined }
    if (scope !== 'credential' && scope !== 'credential-deletion') throw new Refusal('scope', 'invalid_scope')
    if (form.get('credentialID') === null) throw new Refusal('Missing (or invalid type) string parameter credentialID')
    if (scope === 'credential-deletion') {
      const credential = this.#own(signer, form.get('credentialID'))
      return { scope: 'deletion', credential, wish: undefined, details: undefined }
    }
    const number = /^\d+$/.test(form.get('numSignatures') ?? '') ? Number(form.get('numSignatures')) : undefined
    const list = (form.get('hashes') ?? form.get('hash'))?.split(',')
    const oid = form.get('hashAlgorithmOID') ?? Object.keys(HASHES)[0]
    const credential = this.#own(signer, form.get('credentialID'))
    const wish = this.#host.checkWish(api, credential, number, list, String(oid))
    return { scope: 'credential', credential, wish, details: undefined }
  }

  #readRich(api: Version, form: Form, signer: Signer, text: string): Asked {
    const [detail] = JSON.parse(text) as Body[]
    if (CSC_PARAMETERS.some((name) => form.get(name) !== null)) throw new Refusal('Both cannot be')
    if (detail?.type === `${RICH}-creation`)
      return { scope: 'creation', credential: undefined, wish: undefined, details: [detail] }
    if (detail?.type !== RICH) throw new Refusal('type', 'invalid_authorization_details')
    const list = (detail.documentDigests as Body[]).map(({ hash }) => hash as Json)
    const credential = this.#own(signer, textIn(detail, 'credentialID'))
    const wish = this.#host.checkWish(api, credential, detail.numSignatures, list, textIn(detail, 'hashAlgorithmOID'))
    return { scope: 'credential', credential, wish, details: [detail] }
  }

  #own(signer: Signer, id: string | null): Credential {
    try {
      return this.#host.ownCredential(signer, id ?? undefined)
    } catch {
      throw new Refusal('Not yours')
    }
  }

  // What applications ask.

  async serve(api: Version, path: string, method: string | undefined, text: string, header?: string): Promise<Answer> {
    if (method !== 'POST') return [405, { error: 'invalid_request' }, { allow: 'POST' }]
    const form = new URLSearchParams(text)
    const client = this.#client(form, header)
    switch (path) {
      case 'oauth2/token':
        return [200, await this.#token(api, client, form), NO_STORE]
      case 'oauth2/revoke':
        return [204, this.#revoke(client, form)]
      case 'oauth2/pushed_authorize':
        return [201, this.#push(client, form), NO_STORE]
      default:
        throw new Refusal('This method is not implemented.', 'not_implemented_method', 501)
    }
  }

  #client(form: Form, header: string | undefined): Client {
    const basic = /^Basic (.+)$/.exec(header ?? '')?.[1]
    const [byHeader, secretByHeader] = Buffer.from(basic ?? '', 'base64')
      .toString()
      .split(':')
    const id = basic === undefined ? form.get('client_id') : byHeader
    const secret = basic === undefined ? form.get('client_secret') : secretByHeader
    if (id == null) throw new Refusal('Missing parameter client_id')
    const client = this.#host.clients.find((one) => one.id === id)
    if (client === undefined) throw new Refusal('Invalid parameter client_id')
    if (secret == null) throw new Refusal('Client authorization required')
    if (client.secret !== secret && !this.#host.has('takes any client secret')) {
      if (basic !== undefined) throw new Refusal('Invalid authorization header', 'invalid_client', 401)
      throw new Refusal('Invalid parameter client_secret')
    }
    return client
  }

  async #token(api: Version, client: Client, form: Form): Promise<Body> {
    switch (form.get('grant_type')) {
      case null:
        throw new Refusal('Missing parameter grant_type')
      case 'authorization_code':
        return await this.#exchange(api, client, form)
      case 'refresh_token':
        return this.#refresh(client, form)
      case 'client_credentials': {
        if (this.#host.has('gives applications no tokens of their own'))
          throw new Refusal('Invalid parameter grant_type')
        const given = { signer: this.#host.assigned, family: randomUUID(), client: client.id, scope: 'own' } as const
        return { access_token: this.#host.newToken(given).value, token_type: 'Bearer', expires_in: 3600 }
      }
      default:
        throw new Refusal('Invalid parameter grant_type')
    }
  }

  async #exchange(api: Version, client: Client, form: Form): Promise<Body> {
    const name = form.get('code')
    if (name === null) throw new Refusal('Missing parameter code')
    const code = this.#codes.get(name)
    if (code === undefined) throw grant('Invalid parameter code')
    if (code.client !== client && !this.#host.has('a code is any application’s')) throw grant('Invalid parameter code')
    if (code.redirect !== form.get('redirect_uri') && !this.#host.has('redirect_uri is not compared'))
      throw grant('redirect_uri parameter does not match redirect_uri parameter of authorization request')
    this.#checkVerifier(code, form.get('code_verifier'))
    if (code.used) {
      if (!this.#host.has('a code that comes twice ends nothing')) this.#end(code.family)
      if (!this.#host.has('exchanges a code again')) throw grant('Authorization code is invalid or expired')
    }
    if (this.#host.has('exchanges a code twice in a race')) await pause(400)
    code.used = true
    const { signer, family, scope, credential, wish, details } = code
    const given = { signer, family, client: client.id }
    const token = this.#host.newToken({ ...given, scope, credential: scope === 'deletion' ? credential : undefined })
    if (credential !== undefined && wish !== undefined)
      this.#host.agree({ token, credential, digests: wish.digests && [...wish.digests], left: wish.left })
    return {
      access_token: token.value,
      token_type: scope === 'credential' && api === 'v1' ? 'SAD' : 'Bearer',
      expires_in: 3600,
      ...(scope === 'service' ? { refresh_token: this.#host.newToken({ ...given, refresh: true }).value } : {}),
      ...(details === undefined ? {} : { authorization_details: details }),
    }
  }

  #checkVerifier({ challenge }: Code, verifier: string | null): void {
    if (this.#host.has('PKCE is not checked')) return
    if (verifier === null && this.#host.has('PKCE may be left out')) return
    if (verifier === challenge && this.#host.has('takes a plain challenge')) return
    const hashed = createHash('sha256')
      .update(verifier ?? '')
      .digest('base64url')
    if (hashed !== challenge) throw grant('Invalid parameter code_verifier')
  }

  #refresh(client: Client, form: Form): Body {
    const value = form.get('refresh_token')
    if (value === null) throw new Refusal('Missing parameter refresh_token')
    const token = this.#host.tokens.get(value)
    if (!token?.refresh) throw grant('Invalid parameter refresh_token')
    if (token.client !== client.id && !this.#host.has('refreshes for any application'))
      throw grant('Invalid parameter refresh_token')
    if (token.over) {
      if (!this.#host.has('a refresh token that comes twice ends nothing')) this.#end(token.family)
      if (!this.#host.has('refreshes again')) throw grant('Invalid parameter refresh_token')
    }
    token.over = true
    const given = { signer: token.signer, family: token.family, client: client.id }
    return {
      access_token: this.#host.newToken(given).value,
      token_type: 'Bearer',
      expires_in: 3600,
      refresh_token: this.#host.newToken({ ...given, refresh: true }).value,
    }
  }

  #end(family: string): void {
    for (const token of this.#host.tokens.values()) if (token.family === family) token.over = true
  }

  #revoke(client: Client, form: Form): undefined {
    const value = form.get('token')
    if (value === null) throw new Refusal('Missing parameter token')
    const hint = form.get('token_type_hint')
    if (hint !== null && hint !== 'access_token' && hint !== 'refresh_token')
      throw new Refusal('Invalid parameter token_type_hint')
    const token = this.#host.tokens.get(value)
    const own = token?.client === client.id || this.#host.has('anybody revokes')
    if (token === undefined || !own) throw new Refusal('Invalid string parameter token')
    if (this.#host.has('revoking does nothing')) return
    token.over = true
    if (token.refresh) this.#end(token.family)
  }

  #push(client: Client, form: Form): Body {
    if (form.get('request_uri') !== null) throw new Refusal('Invalid parameter request_uri')
    const scope = form.get('scope') ?? 'service'
    if (!['service', 'credential', 'credential-deletion'].includes(scope)) throw new Refusal('scope', 'invalid_scope')
    if (!this.#isRegistered(client, form.get('redirect_uri') ?? client.redirect))
      throw new Refusal('Invalid parameter redirect_uri')
    const uri = `urn:ietf:params:oauth:request_uri:${randomBytes(16).toString('base64url')}`
    this.#pushed.set(uri, { client, form })
    return { request_uri: uri, expires_in: 60 }
  }
}
