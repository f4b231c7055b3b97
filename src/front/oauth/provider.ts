import { generateKeyPairSync, hash, hkdfSync, timingSafeEqual, X509Certificate } from 'node:crypto'
import type { TLSSocket } from 'node:tls'
import Provider, { type Configuration, errors, interactionPolicy, type KoaContextWithOIDC } from 'oidc-provider'
import { ServiceError } from '../../errors.js'
import { OAuthStore } from '../../identity/oauth-store.js'
import type { FrontServices } from '../services.js'
import { askWorker } from '../worker.js'
import { accountOf } from './account-token.js'
import { adapterFor, callOf } from './adapter.js'
import { toOAuthError } from './errors.js'
import { CSC_PARAMETERS, RICH_SCOPES, SCOPES, scopesOffered, typesOf, wishOf, wishOfDetail } from './wish.js'

/** Where the signer answers. */
export const approvePath = (uid: string) => `/portal/approve/${uid}`

/** Seconds. A session and what belongs to it is the worker's; these are what the server tells and keeps. */
const TTL = {
  AccessToken: 180,
  ClientCredentials: 180,
  AuthorizationCode: 60,
  Interaction: 600,
  Session: 600,
  Grant: 30 * 24 * 3600,
  RefreshToken: 30 * 24 * 3600,
}

/** The name of the cookie that is never set: the server has no sessions of its own. */
export const SESSION_COOKIE = 'paraph-oauth'

/**
 * The OAuth 2 server (RFC 6749, 7636, 9126, 9396, 9449, 8705, 7009, 8414) with the parameters of CSC. Every feature is
 * named here, on or off; nothing of it fetches an address.
 * @param secret the fronts' common one: any front goes on with what another began
 * @param certifies whether this service makes certificates itself
 */
export function makeProvider(services: FrontServices, secret: Uint8Array, certifies: boolean): Provider {
  const store = new OAuthStore(services.strangers.store, secret)
  const { publicUrl, tls } = services.config
  const certificates = tls?.clientCertificates === true
  const resource = `${publicUrl}/csc`
  const configuration: Configuration = {
    adapter: adapterFor({ store, db: services.strangers.db, sam: services.sam, certifies }),
    // Nobody outside is ever shown a signature of this key: access tokens are opaque, and there are no ID tokens.
    jwks: { keys: [generateKeyPairSync('ec', { namedCurve: 'P-256' }).privateKey.export({ format: 'jwk' })] },
    clientDefaults: { id_token_signed_response_alg: 'ES256' },
    enabledJWA: {
      clientAuthSigningAlgValues: ['ES256', 'ES384', 'PS256', 'RS256', 'Ed25519', 'EdDSA'],
      dPoPSigningAlgValues: ['ES256', 'ES384', 'PS256', 'Ed25519', 'EdDSA'],
      idTokenSigningAlgValues: ['ES256'],
    },
    scopes: ['offline_access'],
    clientAuthMethods: [
      'client_secret_basic',
      'client_secret_post',
      'private_key_jwt',
      ...(certificates ? (['self_signed_tls_client_auth'] as const) : []),
      'none',
    ],
    responseTypes: ['code'],
    subjectTypes: ['public'],
    acceptQueryParamAccessTokens: false,
    allowOmittingSingleRegisteredRedirectUri: true,
    enableHttpPostMethods: false,
    pkce: { required: () => true },
    rotateRefreshToken: true,
    // The signer's own choice, on the page where he let the client act.
    issueRefreshToken: async () => callOf().exchanged?.remember === true,
    expiresWithSession: async () => false,
    loadExistingGrant: async (ctx) => {
      const grantId = (ctx.oidc.result?.consent as { grantId?: string } | undefined)?.grantId
      return grantId === undefined ? undefined : ctx.oidc.provider.Grant.find(grantId)
    },
    findAccount: async (_ctx, id) => ({ accountId: id, claims: async () => ({ sub: id }) }),
    extraParams: Object.fromEntries(
      CSC_PARAMETERS.map((name) => [name, name === 'credentialID' ? checkRequest : null]),
    ) as NonNullable<Configuration['extraParams']>,
    extraClientMetadata: { properties: [] },
    interactions: {
      policy: onePrompt(),
      url: async (ctx, interaction) => {
        const login = await requestApproval(services, ctx, interaction.uid)
        return approvePath(interaction.uid) + (login === undefined ? '' : `?login=${encodeURIComponent(login)}`)
      },
    },
    cookies: {
      keys: [Buffer.from(hkdfSync('sha256', secret, '', 'paraph/oauth/cookie/v1', 32)).toString('base64')],
      names: { session: SESSION_COOKIE, interaction: 'paraph-ask', resume: 'paraph-resume' },
      short: { httpOnly: true, sameSite: 'lax', signed: true, overwrite: true },
      long: { httpOnly: true, sameSite: 'lax', signed: true, overwrite: true },
    },
    routes: {
      authorization: '/oauth2/authorize',
      token: '/oauth2/token',
      revocation: '/oauth2/revoke',
      pushed_authorization_request: '/oauth2/pushed_authorize',
      jwks: '/oauth2/jwks',
    },
    ttl: TTL,
    clientBasedCORS: () => false,
    renderError: async (ctx, out, failure) => {
      const page = await callOf(ctx.req).renderFailure?.(failure)
      if (page === undefined) {
        ctx.type = 'json'
        ctx.vary('accept')
        ctx.body = JSON.stringify(out)
      } else {
        ctx.body = page.body
        ctx.set({ ...page.headers })
      }
    },
    features: {
      attestClientAuth: { enabled: false },
      backchannelLogout: { enabled: false },
      ciba: { enabled: false },
      claimsParameter: { enabled: false },
      clientCredentials: { enabled: true },
      clientIdMetadataDocument: { enabled: false },
      deviceFlow: { enabled: false },
      devInteractions: { enabled: false },
      dPoP: { enabled: true },
      encryption: { enabled: false },
      externalSigningSupport: { enabled: false },
      fapi: { enabled: false },
      introspection: { enabled: false },
      jwtIntrospection: { enabled: false },
      jwtResponseModes: { enabled: false },
      jwtUserinfo: { enabled: false },
      mTLS: {
        enabled: certificates,
        certificateBoundAccessTokens: true,
        selfSignedTlsClientAuth: true,
        tlsClientAuth: false,
        getCertificate: certificateOf,
      },
      pushedAuthorizationRequests: { enabled: true },
      registration: { enabled: false },
      registrationManagement: { enabled: false },
      requestObjects: { enabled: false },
      resourceIndicators: {
        enabled: true,
        defaultResource: () => resource,
        useGrantedResource: () => true,
        getResourceServerInfo: (_ctx, indicator) => {
          if (indicator !== resource) throw new errors.InvalidTarget()
          return { scope: scopesOffered(SCOPES, certifies).join(' '), audience: resource, accessTokenFormat: 'opaque' }
        },
      },
      revocation: { enabled: true, allowedPolicy: mayRevoke },
      richAuthorizationRequests: {
        enabled: true,
        types: Object.fromEntries(
          scopesOffered(RICH_SCOPES, certifies)
            .flatMap(typesOf)
            .map((type) => [type, { validate: checkDetail }]),
        ),
        authorizationDetailsForGrantSource: (ctx) => ctx.oidc.grant?.rar,
        authorizationDetailsForAccessToken: (_ctx, _token, source) => source?.rar,
        authorizationDetailsForIntrospection: () => undefined,
      },
      rpInitiatedLogout: { enabled: false },
      rpMetadataChoices: { enabled: false },
      userinfo: { enabled: false },
      webMessageResponseMode: { enabled: false },
    } as Configuration['features'],
  }
  const provider = new Provider(publicUrl, configuration)
  // What it takes for proxy headers is what our own edge wrote there.
  provider.proxy = true
  compareSecrets(provider)
  return provider
}

/** CSC v1 §8.3.4, v2.2 §8.2.5: a hint is one of two words (RFC 7009 would ignore another). */
function mayRevoke(
  ctx: KoaContextWithOIDC,
  client: { clientId: string },
  token: { clientId?: string | undefined },
): boolean {
  const hint = ctx.oidc.params?.token_type_hint
  if (hint !== undefined && hint !== 'access_token' && hint !== 'refresh_token') {
    throw new errors.InvalidRequest('Invalid parameter token_type_hint')
  }
  return token.clientId === client.clientId
}

/** Secrets are known by their SHA-256 only. */
function compareSecrets(provider: Provider): void {
  provider.Client.prototype.compareClientSecret = function (this: { clientSecret?: string }, actual: string) {
    const expected = Buffer.from(this.clientSecret ?? '', 'base64url')
    const given = hash('sha256', actual, 'buffer')
    return expected.length === given.length && timingSafeEqual(expected, given)
  }
}

/** One question only, and always: may this be done? Who is asked, our pages find out. */
function onePrompt() {
  const { base, Check, Prompt } = interactionPolicy
  const policy = base()
  policy.clear()
  const missing = new Check('approval_missing', 'the signer has to answer', 'interaction_required', (ctx) =>
    ctx.oidc.result?.consent === undefined ? Check.REQUEST_PROMPT : Check.NO_NEED_TO_PROMPT,
  )
  policy.add(new Prompt({ name: 'approval', requestable: false }, missing))
  return policy
}

/** Runs for every authorization request, pushed or not, whichever parameters it has. */
async function checkRequest(ctx: KoaContextWithOIDC): Promise<void> {
  const params = ctx.oidc.params as Record<string, unknown>
  // CSC v2.2 §8.2.2: the default where neither scope nor authorization_details is given.
  if (params.scope === undefined && params.authorization_details === undefined) params.scope = 'service'
  try {
    wishOf(params)
  } catch (error) {
    if (isScopeWrong(error) && params.authorization_details === undefined) {
      throw new errors.InvalidScope(SCOPE, String(params.scope))
    }
    throw toOAuthError(error)
  }
}

function isScopeWrong(error: unknown): boolean {
  return error instanceof ServiceError && error.detail === 'Invalid parameter scope'
}

const SCOPE = 'The requested scope is invalid, unknown, or malformed.'

async function checkDetail(_ctx: unknown, detail: unknown): Promise<void> {
  try {
    wishOfDetail(detail)
  } catch (error) {
    throw toOAuthError(error)
  }
}

/**
 * The worker writes down what the signer shall be asked, before he is.
 * @returns the login that the client means, if it says so
 */
async function requestApproval(
  services: FrontServices,
  ctx: KoaContextWithOIDC,
  name: string,
): Promise<string | undefined> {
  const { params, client } = ctx.oidc
  const token = params?.account_token
  try {
    const secret = client?.clientSecret
    const key = secret === undefined ? undefined : Buffer.from(secret, 'base64url')
    const login =
      typeof token === 'string'
        ? await accountOf({ store: services.strangers.store, clock: services.clock }, token, {
            id: client?.clientId ?? '',
            key,
          })
        : undefined
    await askWorker(services.sam, 'requestApproval', {
      origin: callOf().origin,
      name,
      way: 'oauth',
      clientId: client?.clientId as string,
      redirectUri: params?.redirect_uri as string,
      ...wishOf(params as Record<string, unknown>),
    })
    return login
  } catch (error) {
    throw toOAuthError(error)
  }
}

/** The certificate that the client showed, where this front ends TLS itself. */
function certificateOf(ctx: KoaContextWithOIDC): X509Certificate | undefined {
  const der = (ctx.req.socket as Partial<TLSSocket>).getPeerCertificate?.()?.raw
  return der === undefined ? undefined : new X509Certificate(der)
}
