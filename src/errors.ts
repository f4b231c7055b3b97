/**
 * Everything that can be refused or go wrong, in our own words. A door maps each code to its wire format in one table,
 * and a code without a row there does not compile.
 */
export const ERROR_CODES = [
  // who asks
  'token_malformed', // no `Bearer …` header
  'token_unknown',
  'token_expired', // expired or revoked
  'proof_invalid', // the token is bound to a key or a certificate, which did not come with it
  'scope_missing',
  'login_malformed', // no `Basic …` header and no refresh token
  'login_undecodable', // Basic header without a colon
  'login_failed',
  'login_disabled',
  'refresh_token_unknown',
  'revoke_token_unknown',
  'link_unknown', // also: used, cancelled, expired
  'link_early', // `detail` is the time from which it works
  'password_weak',
  'passkey_rejected',
  'form_foreign', // a form that did not come from our own page
  'client_unknown', // also: disabled, or not allowed to ask for this
  // which key
  'credential_unknown', // also: somebody else's
  'credential_disabled',
  'certificate_expired',
  'client_not_allowed', // by the credential's policy
  'remember_not_allowed', // by the credential's policy
  'too_many_credentials', // as many as a signer can have without an operator
  // may it be signed
  'signature_count_invalid',
  'signature_count_too_high', // also: more digests than the authorization has left
  'digests_missing',
  'digests_empty',
  'digest_undecodable',
  'digest_length_invalid',
  'digest_algorithm_missing',
  'digest_algorithm_invalid',
  'digest_algorithm_contradicts',
  'code_rejected',
  'code_missing',
  'code_locked',
  'factor_unknown', // none of that kind, or not accepted
  'too_many_codes', // sent in too short a time; retryAfter says when
  'pin_rejected',
  'pin_missing',
  'pin_locked',
  'sad_missing',
  'sad_unknown', // unknown, used up, superseded, revoked, or another caller's
  'sad_expired',
  'digest_not_authorized',
  'retry_in_progress', // the same request is being answered
  'retry_spent', // it ended without signatures
  'retry_contradicts', // the key was used with another request
  'approval_unknown', // unknown, over, answered already, or another signer's
  'approval_denied',
  'algorithm_missing',
  'algorithm_invalid',
  'algorithm_parameters_missing',
  'algorithm_parameters_invalid',
  // the request itself
  'request_malformed',
  'parameter_invalid', // `detail` is the wire text
  'method_unknown',
  'verb_not_allowed',
  'body_too_large',
  'media_type_unsupported',
  // the service
  'too_often', // this one caller asks more often than makes sense
  'overloaded', // refused before anything was spent
  'unavailable', // database, log or device; nothing is released
  'internal',
  // administration
  'operator_unknown',
  'role_missing',
  'not_found',
  'already_exists',
  'not_allowed', // `detail` says why
] as const

export type ErrorCode = (typeof ERROR_CODES)[number]

/**
 * The one error the domain throws. `code` decides the answer; `detail` is public text where a code needs one and never
 * holds a PIN, code, password, SAD, token or digest; `cause` is for the operator's log.
 */
export class ServiceError extends Error {
  readonly code: ErrorCode
  readonly detail: string | undefined
  /** Seconds after which trying again makes sense; for `overloaded`, `unavailable` and `retry_in_progress`. */
  readonly retryAfter: number | undefined

  constructor(code: ErrorCode, options: { detail?: string; retryAfter?: number; cause?: unknown } = {}) {
    super(
      options.detail === undefined ? code : `${code}: ${options.detail}`,
      options.cause === undefined ? {} : { cause: options.cause },
    )
    this.name = 'ServiceError'
    this.code = code
    this.detail = options.detail
    this.retryAfter = options.retryAfter
  }
}
