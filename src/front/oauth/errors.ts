import { errors } from 'oidc-provider'
import { type ErrorCode, ServiceError } from '../../errors.js'
import { toCscError } from '../csc/errors.js'

/** What a browser or a client is told when a cap is reached. */
export function tooMany(): errors.OIDCProviderError {
  return withStatus(429, new errors.SlowDown('Too many requests wait for an answer.'))
}

/**
 * An error of ours in the words of OAuth 2, with the text of CSC. A request that is refused for what it is stays so; what
 * cannot be answered now is `temporarily_unavailable`.
 */
export function toOAuthError(thrown: unknown): unknown {
  if (!(thrown instanceof ServiceError)) return thrown
  const { error_description: text } = toCscError('v2', thrown).body
  const make = MAKERS[thrown.code] ?? ((description: string) => new errors.InvalidRequest(description))
  return Object.assign(make(text), { cause: thrown })
}

type Maker = (text: string) => errors.OIDCProviderError
const unavailable: Maker = (text) => withStatus(503, new errors.TemporarilyUnavailable(text))
const failed: Maker = () => withStatus(500, new errors.CustomOIDCProviderError('server_error', FAILED))

const FAILED =
  'The authorization server encountered an unexpected condition that prevented it from fulfilling the request.'

const MAKERS: Partial<Record<ErrorCode, Maker>> = {
  unavailable,
  overloaded: unavailable,
  internal: failed,
  client_unknown: (text) => new errors.UnauthorizedClient(text),
  approval_unknown: () => new errors.InvalidGrant('approval'),
  approval_denied: (text) => new errors.AccessDenied(text),
}

function withStatus<E extends errors.OIDCProviderError>(status: number, error: E): E {
  return Object.assign(error, { status, statusCode: status, allow_redirect: false })
}

interface Told {
  readonly status: number
  readonly error: string
  readonly error_description: string
}

const refused = (error_description: string): Told => ({ status: 400, error: 'invalid_request', error_description })
const grant = (error_description: string): Told => ({ status: 400, error: 'invalid_grant', error_description })

/** The server's own reasons, and how CSC says them (v1 §8.3.3 and 8.3.4, v2.2 §8.2.3 to 8.2.5). */
const TEXTS: Readonly<Record<string, Told>> = {
  'no client authentication mechanism provided': refused('Missing parameter client_id'),
  'client not found': refused('Invalid parameter client_id'),
  'invalid secret provided': refused('Invalid parameter client_secret'),
  'client authentication must only be provided using one mechanism': refused('Client authorization required'),
  'the provided authentication mechanism does not match the registered client authentication method': refused(
    'Client authorization required',
  ),
  'client certificate was not provided': refused('Client authorization required'),
  'unregistered client certificate provided': refused('Client authorization required'),
  'unsupported grant_type requested': refused('Invalid parameter grant_type'),
  'requested grant type is not allowed for this client': refused('Invalid parameter grant_type'),
  'authorization code not found': grant('Invalid parameter code'),
  'authorization code redirect_uri mismatch': grant(
    'redirect_uri parameter does not match redirect_uri parameter of authorization request',
  ),
  'authorization code is expired': grant('Authorization code is invalid or expired'),
  'authorization code already consumed': grant('Authorization code is invalid or expired'),
  'client mismatch': grant('Invalid parameter code'),
  approval: grant('Authorization code is invalid or expired'),
  'refresh token not found': grant('Invalid parameter refresh_token'),
  'refresh token already used': grant('Invalid parameter refresh_token'),
  'refresh token is expired': grant('Refresh token expired'),
}

const MISSING = /^missing required parameters? '([^']+)'/

/** What a back-channel endpoint tells a client, given what the server would have said. */
export function toldError(
  error: Pick<errors.OIDCProviderError, 'error' | 'error_description' | 'error_detail' | 'statusCode'>,
  byHeader: boolean,
): Told {
  const { error_description: description = '', error_detail: detail = '', statusCode = 500 } = error
  if (byHeader && error.error === 'invalid_client') {
    return { status: 401, error: 'invalid_client', error_description: 'Invalid authorization header' }
  }
  const name = MISSING.exec(description)?.[1]
  if (name !== undefined) return refused(`Missing parameter ${name}`)
  const known = TEXTS[detail] ?? TEXTS[description]
  if (known !== undefined) return known
  if (statusCode >= 500 && error.error !== 'temporarily_unavailable') {
    return { status: 500, error: 'server_error', error_description: FAILED }
  }
  return { status: statusCode, error: error.error, error_description: description }
}
