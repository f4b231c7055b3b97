import { hash } from 'node:crypto'
import Provider, { type Adapter, type AdapterPayload, errors } from 'oidc-provider'
import type { FrontVerbs, Origin } from '../../activation.js'
import type { Cap, OAuthStore } from '../../identity/oauth-store.js'
import { isLoopback } from '../../identity/redirect-uri.js'
import type { Rendered } from '../portal/portal.js'
import type { ClientRow, FrontReads } from '../reads.js'
import type { SamClient } from '../sam-client.js'
import { askWorker } from '../worker.js'
import { toOAuthError, tooMany } from './errors.js'
import { RICH_SCOPES, scopesOffered, typesOf } from './wish.js'

/** What an adapter works with. */
export interface AdapterServices {
  readonly store: OAuthStore
  readonly db: FrontReads
  readonly sam: SamClient
  /** Whether this service makes certificates itself. */
  readonly certifies: boolean
}

/** What our side knows of a request to the OAuth 2 server; it travels on the raw request. */
export interface OAuthCall {
  readonly origin: Origin
  /** Path as it was asked for. */
  readonly endpoint: string
  /** What it has before that of the server's own. */
  readonly base: string
  /** The page that says so to a browser which cannot be sent back; undefined for whoever wants JSON. */
  readonly renderFailure: ((failure: Error) => Promise<Rendered>) | undefined
  /** What became of the approval that this request exchanged. */
  exchanged?: FrontVerbs['exchange']['response']
}

const calls = new WeakMap<object, OAuthCall>()

export function rememberCall(raw: object, call: OAuthCall): void {
  calls.set(raw, call)
}

/** Of a request that is being served: the one at hand, unless said. */
export function callOf(raw: object | undefined = Provider.ctx?.req): OAuthCall {
  const call = raw === undefined ? undefined : calls.get(raw)
  if (call === undefined) throw new Error('the OAuth 2 server was asked for something outside a request')
  return call
}

/** Of those that wait for an answer. Whoever asks more must wait, and nobody else with him. */
const CAPS: Readonly<Record<string, Cap>> = {
  Interaction: { perClient: 2000, perAddress: 100 },
  PushedAuthorizationRequest: { perClient: 2000, perAddress: 100 },
}

/** Seconds that anything is kept for which the server names no time. */
const GRACE = 600

/** What the server stores and finds, by model. What can be used once is used by one statement that says so. */
export function adapterFor(services: AdapterServices): (model: string) => Adapter {
  return (model) => guarded(makeAdapter(services, model))
}

function makeAdapter(services: AdapterServices, model: string): Adapter {
  switch (model) {
    case 'Client':
      return { ...NOTHING, find: (id) => findClient(services, id) }
    case 'AccessToken':
    case 'ClientCredentials':
      return tokens(services, model)
    // No session of its own: who the signer is, our pages know.
    case 'Session':
      return { ...NOTHING, upsert: async () => undefined, destroy: async () => undefined }
    case 'RefreshToken':
      return refreshTokens(services)
    case 'PushedAuthorizationRequest':
      return { ...stored(services.store, model), find: (id) => takeRequest(services.store, id) }
    case 'ReplayDetection':
      return {
        ...stored(services.store, model),
        upsert: (id, payload, seconds = GRACE) => addOnce(services.store, id, payload, seconds),
      }
    case 'AuthorizationCode':
    case 'Interaction':
    case 'Grant':
      return stored(services.store, model)
    default:
      return NOTHING
  }
}

const unused = async (): Promise<never> => {
  throw new Error('the OAuth 2 server does not keep this')
}

const NOTHING: Adapter = {
  upsert: unused,
  find: async () => undefined,
  findByUid: async () => undefined,
  findByUserCode: async () => undefined,
  consume: unused,
  destroy: unused,
  revokeByGrantId: async () => undefined,
}

/** Errors of ours in its words. */
function guarded(adapter: Adapter): Adapter {
  return new Proxy(adapter, {
    get(target, name: keyof Adapter) {
      const value = target[name]
      if (typeof value !== 'function') return value
      return async (...parameters: unknown[]) => {
        try {
          return await (value as (...all: unknown[]) => Promise<unknown>).apply(target, parameters)
        } catch (error) {
          throw toOAuthError(error)
        }
      }
    },
  })
}

function stored(store: OAuthStore, model: string): Adapter {
  return {
    ...NOTHING,
    async upsert(id, payload, expiresIn = GRACE) {
      const { jti: _, ...rest } = payload
      const client = payload.clientId ?? (payload.params as { client_id?: string } | undefined)?.client_id
      const item = {
        model,
        id,
        payload: rest,
        client,
        grant: payload.grantId,
        seconds: expiresIn,
        address: CAPS[model] === undefined ? undefined : Provider.ctx && callOf().origin.address,
      }
      if (!(await store.put(item, CAPS[model]))) throw tooMany()
    },
    async find(id) {
      const found = await store.find(model, id)
      if (found === undefined) return undefined
      const { payload, consumed, expired } = found
      return {
        ...payload,
        jti: id,
        // Time is the database's: what is over there is over.
        ...(expired ? { exp: 1 } : {}),
        ...(consumed === undefined ? {} : { consumed: true }),
      } as AdapterPayload
    },
    async consume(id) {
      if (!(await store.consume(model, id))) throw new errors.InvalidGrant('authorization code already consumed')
    },
    async destroy(id) {
      // Of all who come back from one interaction, one goes on.
      if (!(await store.remove(model, id)) && model === 'Interaction') {
        throw new errors.SessionNotFound('interaction session not found')
      }
    },
    revokeByGrantId: (grant) => store.removeGrant(grant),
  }
}

/** A pushed request is used by the first look at it; there is no second (RFC 9126 §4). */
async function takeRequest(store: OAuthStore, id: string): Promise<AdapterPayload | undefined> {
  const found = await store.take('PushedAuthorizationRequest', id)
  return found && ({ ...found.payload, jti: id } as AdapterPayload)
}

async function addOnce(store: OAuthStore, id: string, payload: AdapterPayload, seconds: number): Promise<void> {
  const { jti: _, ...rest } = payload
  if (!(await store.add({ model: 'ReplayDetection', id, payload: rest, seconds }))) {
    throw new errors.InvalidRequest('a proof or an assertion was used before')
  }
}

/** Access tokens are rows that only a worker writes, when it exchanges what they are names of. */
function tokens({ db, sam }: AdapterServices, model: 'AccessToken' | 'ClientCredentials'): Adapter {
  return {
    ...NOTHING,
    async upsert(id, payload) {
      const call = callOf()
      const request = { origin: call.origin, tokenHash: hashOf(id).toString('base64'), ...confirmationOf(payload) }
      if (model === 'ClientCredentials') {
        await askWorker(sam, 'clientToken', { ...request, clientId: payload.clientId as string })
        return
      }
      const name = payload.grantId as string
      if (payload.gty?.endsWith('refresh_token')) await askWorker(sam, 'refreshGrant', { ...request, name })
      else call.exchanged = await askWorker(sam, 'exchange', { ...request, name })
    },
    async find(id) {
      if (model !== 'AccessToken') return undefined
      const clientId = await db.tokenClient(hashOf(id))
      return clientId === undefined ? undefined : { jti: id, kind: model, clientId, exp: FAR }
    },
    async destroy(id) {
      const clientId = await db.tokenClient(hashOf(id))
      if (clientId === undefined) return
      const tokenHash = hashOf(id).toString('base64')
      await askWorker(sam, 'revokeAccess', { origin: callOf().origin, clientId, tokenHash })
    },
    async revokeByGrantId(grant) {
      await askWorker(sam, 'revokeGrant', { origin: callOf().origin, name: grant, why: 'code_replayed' })
    },
  }
}

/** Whether it is over the database has said already. */
const FAR = 4_102_444_800

function refreshTokens({ store, sam }: AdapterServices): Adapter {
  const base = stored(store, 'RefreshToken')
  return {
    ...base,
    async consume(id) {
      if (!(await store.consume('RefreshToken', id))) throw new errors.InvalidGrant('refresh token already used')
    },
    async destroy(id) {
      const found = await store.find('RefreshToken', id)
      await store.remove('RefreshToken', id)
      const name = found?.payload.grantId
      if (typeof name !== 'string') return
      const why = found?.consumed === undefined ? 'token_revoked' : 'refresh_token_replayed'
      await askWorker(sam, 'revokeGrant', { origin: callOf().origin, name, why })
    },
  }
}

function hashOf(token: string): Buffer {
  return hash('sha256', token, 'buffer')
}

function confirmationOf(payload: AdapterPayload): { confirmation?: string } {
  const { jkt, 'x5t#S256': x5t } = payload as { jkt?: string; 'x5t#S256'?: string }
  if (jkt !== undefined) return { confirmation: `jkt:${jkt}` }
  return x5t === undefined ? {} : { confirmation: `x5t:${x5t}` }
}

const METHODS = {
  client_secret: 'client_secret_basic',
  private_key_jwt: 'private_key_jwt',
  tls: 'self_signed_tls_client_auth',
  none: 'none',
} as const

async function findClient({ db, certifies }: AdapterServices, id: string): Promise<AdapterPayload | undefined> {
  const row = id.includes('\0') || id.length > 255 ? undefined : await db.client(id)
  return row === undefined ? undefined : (metadataOf(row, certifies) as AdapterPayload)
}

/** A client as the server knows it. Its secret is the hash of the real one; see `compareSecrets`. */
function metadataOf(row: ClientRow, certifies: boolean): object {
  const redirects = row.redirect_uris.length > 0
  const confidential = row.auth_method !== 'none'
  return {
    client_id: row.id,
    client_name: row.name,
    token_endpoint_auth_method: METHODS[row.auth_method],
    ...(row.secret_hash === null ? {} : { client_secret: row.secret_hash.toString('base64url') }),
    ...(row.jwks === null ? {} : { jwks: JSON.parse(row.jwks) }),
    redirect_uris: row.redirect_uris,
    application_type: row.redirect_uris.some(isLoopback) ? 'native' : 'web',
    response_types: redirects ? ['code'] : [],
    grant_types: [
      ...(redirects ? ['authorization_code', 'refresh_token'] : []),
      ...(confidential && row.scopes.includes('service') ? ['client_credentials'] : []),
    ],
    authorization_details_types: scopesOffered(RICH_SCOPES, certifies)
      .filter((scope) => row.scopes.includes(scope))
      .flatMap(typesOf),
    tls_client_certificate_bound_access_tokens: row.auth_method === 'tls',
  }
}
