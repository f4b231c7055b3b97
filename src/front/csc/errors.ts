import type { ErrorCode, ServiceError } from '../../errors.js'

/** A CSC error: status, and the two members of the body. `description` may depend on the public detail of the error. */
interface CscError {
  readonly status: number
  readonly error: string
  readonly description: string | ((detail: string) => string)
}

/** By whose words: those of a version of CSC, or of our own API for auditors. */
export type Wording = 'v1' | 'v2' | 'audit'

// The predefined sentences (v1 §10, v2.2 §10, table 3).
const MALFORMED =
  'The request is missing a required parameter, includes an invalid parameter value, includes a parameter more than once, or is otherwise malformed.'
const DENIED = 'The user, authorization server or remote service denied the request.'
const FAILED =
  'The authorization server encountered an unexpected condition that prevented it from fulfilling the request.'
const UNAVAILABLE =
  'The authorization server is currently unable to handle the request due to a temporary overloading or maintenance of the server.'
const EXPIRED = 'The access or refresh token is expired or has been revoked.'
const UNKNOWN_TOKEN = 'The token provided is not a valid OAuth access or refresh token.'

const refused = (description: CscError['description']): CscError => ({
  status: 400,
  error: 'invalid_request',
  description,
})
/** The text, and what the owner of an authenticator with a wrong clock is told. */
const withClock = (text: string, clock: string): string => (clock === '' ? text : `${text}: ${clock}`)
const unknownToken: CscError = { status: 401, error: 'invalid_token', description: UNKNOWN_TOKEN }
const notForThis: CscError = { status: 403, error: 'access_denied', description: DENIED }
const unavailable: CscError = { status: 503, error: 'temporarily_unavailable', description: UNAVAILABLE }
const failed: CscError = { status: 500, error: 'server_error', description: FAILED }
const notImplemented: CscError = {
  status: 501,
  error: 'not_implemented_method',
  description: 'This method is not implemented.',
}

/** Texts that both versions share. */
const both = {
  token_unknown: unknownToken,
  token_expired: { status: 401, error: 'expired_token', description: EXPIRED },
  proof_invalid: {
    status: 401,
    error: 'invalid_dpop_proof',
    description: 'The token needs a valid proof of possession.',
  },
  scope_missing: notForThis,
  login_malformed: { status: 401, error: 'invalid_request', description: 'Malformed authentication parameter.' },
  login_undecodable: refused('Malformed username-password.'),
  login_failed: {
    status: 400,
    error: 'authentication_error',
    description: 'An error occurred during authentication process',
  },
  login_disabled: notImplemented,
  refresh_token_unknown: refused('Invalid refresh_token'),
  revoke_token_unknown: refused('Invalid string parameter token'),
  client_unknown: refused('Invalid parameter client_id'),
  credential_unknown: refused('Invalid parameter credentialID'),
  credential_disabled: refused('The credential identified by credentialID is disabled'),
  certificate_expired: refused((subject) => `Signing certificate '${subject}' is expired.`),
  client_not_allowed: {
    status: 400,
    error: 'unauthorized_client',
    description: 'The client is not authorized to use this method.',
  },
  remember_not_allowed: refused('The session cannot be remembered for this credential and client'),
  too_many_credentials: {
    status: 400,
    error: 'access_denied',
    description: 'The signer has as many credentials as can be made in this way.',
  },
  signature_count_invalid: refused('Invalid value for parameter numSignatures'),
  signature_count_too_high: refused('Numbers of signatures is too high'),
  digest_undecodable: refused('Invalid Base64 hash string parameter'),
  digest_length_invalid: refused('Invalid digest value length'),
  too_many_codes: {
    status: 429,
    error: 'too_many_requests',
    description: 'A code was sent a short time ago.',
  },
  sad_missing: refused('Missing (or invalid type) string parameter SAD'),
  sad_unknown: refused('Invalid parameter SAD'),
  sad_expired: refused('SAD expired'),
  retry_in_progress: {
    status: 409,
    error: 'conflict',
    description: 'The first request with this Idempotency-Key is still being answered.',
  },
  retry_spent: {
    status: 409,
    error: 'conflict',
    description: 'The first request with this Idempotency-Key ended without signatures.',
  },
  retry_contradicts: {
    status: 422,
    error: 'invalid_request',
    description: 'This Idempotency-Key was used with another request.',
  },
  algorithm_missing: refused('Missing (or invalid type) string parameter signAlgo'),
  algorithm_invalid: refused('Invalid parameter signAlgo'),
  algorithm_parameters_missing: refused('Missing (or invalid type) string parameter signAlgoParams'),
  algorithm_parameters_invalid: refused('Invalid parameter signAlgoParams'),
  approval_unknown: refused('Invalid parameter handle'),
  request_malformed: refused(MALFORMED),
  parameter_invalid: refused((detail) => detail || MALFORMED),
  method_unknown: notImplemented,
  verb_not_allowed: { status: 405, error: 'invalid_request', description: 'This address has other HTTP methods.' },
  body_too_large: { status: 413, error: 'invalid_request', description: 'The request body is too large.' },
  media_type_unsupported: {
    status: 415,
    error: 'invalid_request',
    description: 'The content type must be application/json.',
  },
  too_often: { status: 429, error: 'slow_down', description: 'Ask again later.' },
  overloaded: unavailable,
  unavailable,
  internal: failed,
  // Our own pages answer these with a page of the same status.
  link_unknown: { status: 404, error: 'not_found', description: 'There is nothing at this address.' },
  link_early: { status: 403, error: 'access_denied', description: DENIED },
  password_weak: refused(MALFORMED),
  passkey_rejected: refused(MALFORMED),
  form_foreign: { status: 403, error: 'access_denied', description: DENIED },
  // Of an operator who looks at the log.
  operator_unknown: unknownToken,
  role_missing: notForThis,
  // Administration never comes through these doors.
  already_exists: failed,
  not_allowed: failed,
  not_found: { status: 404, error: 'not_found', description: 'There is nothing at this address.' },
} as const satisfies Partial<Record<ErrorCode, CscError>>

const v1 = {
  ...both,
  token_malformed: refused((detail) => detail || MALFORMED),
  digests_missing: refused('Missing (or invalid type) array parameter hash'),
  digests_empty: refused('Empty hash array'),
  digest_algorithm_missing: refused('Missing (or invalid type) string parameter hashAlgo'),
  digest_algorithm_invalid: refused('Invalid parameter hashAlgo'),
  // Version 1 ignores a hash algorithm that the signature algorithm implies.
  digest_algorithm_contradicts: refused('Invalid parameter hashAlgo'),
  digest_not_authorized: refused('Hash is not authorized by the SAD.'),
  code_rejected: { status: 400, error: 'invalid_otp', description: (clock) => withClock('The OTP is invalid', clock) },
  code_missing: refused('Missing (or invalid type) string parameter OTP'),
  code_locked: refused('OTP locked'),
  factor_unknown: refused('Invalid parameter credentialID'),
  pin_rejected: { status: 400, error: 'invalid_pin', description: 'The PIN is invalid' },
  pin_missing: refused('Missing (or invalid type) string parameter PIN'),
  pin_locked: refused('PIN locked'),
  approval_denied: { status: 400, error: 'access_denied', description: DENIED },
} satisfies Record<ErrorCode, CscError>

const REJECTED = 'The authentication data is invalid'
const rejected: CscError = { status: 400, error: 'invalid_authentication_data', description: REJECTED }

const v2 = {
  ...both,
  token_malformed: refused('Malformed authorization header.'),
  digests_missing: refused('Missing (or invalid type) array parameter hashes'),
  digests_empty: refused('Empty hashes array'),
  digest_algorithm_missing: refused('Missing (or invalid type) string parameter hashAlgorithmOID'),
  digest_algorithm_invalid: refused('Invalid parameter hashAlgorithmOID'),
  digest_algorithm_contradicts: refused(
    'String parameter hashAlgorithmOID contradicts with signAlgo signAlgoParams parameter',
  ),
  digest_not_authorized: refused('Hash is not authorized by neither SAD nor an access token with scope “credential”.'),
  code_rejected: { ...rejected, description: (clock) => withClock(REJECTED, clock) },
  code_missing: rejected,
  code_locked: refused('Credential locked'),
  factor_unknown: refused('Invalid parameter authObjectID'),
  pin_rejected: rejected,
  pin_missing: rejected,
  pin_locked: refused('Credential locked'),
  approval_denied: rejected,
} satisfies Record<ErrorCode, CscError>

/** No clause of CSC stands against saying it of a missing token as of an unknown one. */
const audit = { ...v2, token_malformed: unknownToken } satisfies Record<ErrorCode, CscError>

const tables: Readonly<Record<Wording, Readonly<Record<ErrorCode, CscError>>>> = { v1, v2, audit }

/** What an error is on the wire. */
export function toCscError(
  api: Wording,
  error: ServiceError,
): { status: number; body: { error: string; error_description: string } } {
  const { status, error: word, description } = tables[api][error.code]
  const text = typeof description === 'string' ? description : description(error.detail ?? '')
  return { status, body: { error: word, error_description: text } }
}
