import { CommanderError } from 'commander'
import { ConfigError } from '../config.js'
import { type ErrorCode, ServiceError } from '../errors.js'
import { HsmError } from '../hsm/hsm.js'

export interface Failure {
  /** 1 refused or failed, 2 wrong usage. */
  readonly status: 1 | 2
  /** One word for programs: an `ErrorCode`, `usage`, `settings`, `device` or `failed`. */
  readonly code: string
  /** For people; without a full stop at the end, and never with a secret in it. */
  readonly message: string
}

/** What a person is told of a refusal that brings no words of its own. */
const SENTENCES = {
  token_malformed: 'the service did not understand the token',
  token_unknown: 'the service does not know this token',
  token_expired: 'the login has expired or was ended: log in again',
  proof_invalid: 'the login is bound to a key that did not come with it',
  scope_missing: 'this login may not do that',
  login_malformed: 'login and password did not arrive as they should',
  login_undecodable: 'login and password did not arrive as they should',
  login_failed: 'login or password is wrong',
  link_unknown: 'the link is not known',
  link_early: 'the link does not work yet',
  passkey_rejected: 'the passkey was not accepted',
  form_foreign: 'the form came from elsewhere',
  password_weak: 'the password is too easy to guess',
  login_disabled: 'this service takes no login with a password',
  refresh_token_unknown: 'the remembered login is no longer valid: log in again',
  revoke_token_unknown: 'there is no such token to revoke',
  credential_unknown: 'there is no such credential for this signer',
  credential_disabled: 'the credential cannot be used: it is suspended, revoked or not yet certified',
  certificate_expired: "the credential's certificate has expired",
  client_not_allowed: 'the credential may not be used by this client',
  remember_not_allowed: 'one code may not cover a session for this credential and client',
  too_many_credentials: 'the signer has as many credentials as can be made in this way',
  signature_count_invalid: 'the number of signatures makes no sense',
  signature_count_too_high: 'that is more signatures than are allowed at once',
  digests_missing: 'there is nothing to sign',
  digests_empty: 'there is nothing to sign',
  digest_undecodable: 'a hash is not in base64',
  digest_length_invalid: 'a hash has the wrong length for its algorithm',
  digest_algorithm_missing: 'the hash algorithm is missing',
  digest_algorithm_invalid: 'the hash algorithm is not one of those the service knows',
  digest_algorithm_contradicts: 'hash algorithm and signature algorithm do not fit together',
  code_rejected: 'the one-time code is wrong or was used already',
  code_missing: 'the one-time code is missing',
  code_locked: 'too many wrong codes: try again later',
  factor_unknown: 'no code can be sent: there is no such authenticator',
  too_many_codes: 'a code was sent a short time ago: wait for it, or try again later',
  pin_rejected: 'the PIN is wrong',
  pin_missing: 'the PIN is missing',
  pin_locked: 'too many wrong PINs: try again later',
  sad_missing: 'the authorization is missing',
  sad_unknown: 'the authorization is unknown, or used up',
  sad_expired: 'the authorization has expired',
  digest_not_authorized: 'a hash is not among those that were authorized',
  retry_in_progress: 'the same request is still being answered: try again in a moment',
  retry_spent: 'the same request ended without signatures: authorize anew',
  retry_contradicts: 'the key of the request was used with another one',
  algorithm_missing: 'the signature algorithm is missing',
  algorithm_invalid: 'the signature algorithm does not fit the key',
  algorithm_parameters_missing: 'the signature algorithm needs parameters',
  algorithm_parameters_invalid: "the signature algorithm's parameters are wrong",
  client_unknown: 'there is no such client, or it may not ask for this',
  approval_unknown: 'there is nothing that waits for an answer',
  approval_denied: 'the signer did not agree',
  too_often: 'wait before asking again',
  request_malformed: 'the worker did not understand the command: is it of the same version as this program?',
  parameter_invalid: 'a value is not acceptable',
  method_unknown: 'the service does not know this call',
  verb_not_allowed: 'the service does not know this call',
  body_too_large: 'that is too much at once',
  media_type_unsupported: 'the service did not understand the request',
  overloaded: 'the service has too much to do: try again in a moment',
  unavailable: 'the worker cannot reach its database or its device: `paraph doctor` finds out more',
  internal: "the service failed; the cause is in the worker's log",
  operator_unknown: 'this token belongs to no active operator: name the file with yours',
  role_missing: "this operator's role does not cover the command",
  not_found: 'there is nothing of that name',
  already_exists: 'there is one of that name already',
  not_allowed: 'that is not allowed',
} satisfies Record<ErrorCode, string>

/** What went wrong, in words for people and for programs. Stack and cause stay out of it. */
export function describeFailure(error: unknown): Failure {
  if (error instanceof CommanderError) {
    return { status: 2, code: 'usage', message: error.message.replace(/^error: /, '') }
  }
  if (error instanceof ConfigError) return { status: 2, code: 'settings', message: error.message }
  if (error instanceof ServiceError) {
    return { status: 1, code: error.code, message: error.detail ?? SENTENCES[error.code] }
  }
  if (error instanceof HsmError) return { status: 1, code: 'device', message: error.message }
  const { code, message } = error as { code?: unknown; message?: unknown }
  const named = typeof code === 'string' && /^[a-z]+(_[a-z]+)*$/.test(code) ? code : 'failed'
  return { status: 1, code: named, message: ofSystem(error) ?? (String(message ?? '') || String(code ?? 'failed')) }
}

/** Node's own words for a file or a connection begin with a code and end with a function of the system. */
function ofSystem(error: unknown): string | undefined {
  const { code, path, address, port } = error as NodeJS.ErrnoException & { address?: string; port?: number }
  switch (code) {
    case 'ENOENT':
      return path === undefined ? undefined : `${path} does not exist`
    case 'EACCES':
    case 'EPERM':
      return path === undefined ? undefined : `${path} may not be used by this user`
    case 'EEXIST':
      return path === undefined ? undefined : `${path} is there already`
    case 'EISDIR':
      return path === undefined ? undefined : `${path} is a folder`
    case 'ENOSPC':
      return 'the disk is full'
    case 'ECONNREFUSED':
      return `nothing listens on ${address ?? 'that address'}${port === undefined ? '' : ` port ${port}`}`
    default:
      return undefined
  }
}

/**
 * Tells a failure: one line on standard error, or with `json` `{"error":{"code","message"}}` on standard output. What
 * commander has told already is not told again.
 * @returns the exit status; that of wrong usage is the command's own where it has one
 */
export function report(error: unknown, json: boolean): number {
  if (error instanceof CommanderError && error.exitCode === 0) return 0
  const { status, code, message } = describeFailure(error)
  if (json) process.stdout.write(`${JSON.stringify({ error: { code, message } })}\n`)
  else if (!(error instanceof CommanderError)) process.stderr.write(`paraph: ${message}\n`)
  return error instanceof CommanderError && error.exitCode > status ? error.exitCode : status
}
