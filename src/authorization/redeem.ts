import type { Origin } from '../activation.js'
import type { AuditEvent } from '../audit/event.js'
import { type RowBinding, reasonOf, TamperedRow } from '../binding.js'
import { type Credential, keyName } from '../credentials/credential.js'
import type { Digest } from '../digest.js'
import { type ErrorCode, ServiceError } from '../errors.js'
import type { Mechanism } from '../hsm/hsm.js'
import type { Caller } from '../identity/caller.js'
import { newId, type OperationId } from '../ids.js'
import { type Authorization, authorizationFields, notAmong } from './authorization.js'
import { type RetryName, retryInProgress } from './retry.js'
import type { Counters, SigningContext } from './signing-context.js'
import { FLUSH_REASON, type Grant, type SigningLog } from './signing-log.js'

/** What a permit stands for: this key, these digests, in this order, this way. */
export interface PermitScope {
  readonly credential: Credential
  readonly mechanism: Mechanism
  readonly digests: readonly Digest[]
}

/**
 * Proof that an authorization has just been redeemed for exactly these digests: spent, with the intention on disk. Only
 * `redeem` makes one, and it works once.
 */
class SigningPermit {
  #spent = false
  readonly #scope: PermitScope
  readonly operation: OperationId

  constructor(operation: OperationId, scope: PermitScope) {
    this.operation = operation
    this.#scope = scope
  }

  /** Hands over what may be signed. @throws Error the second time */
  spend(): PermitScope {
    if (this.#spent) throw new Error('signing permit spent twice')
    this.#spent = true
    return this.#scope
  }
}

export type { SigningPermit }

export interface RedeemServices {
  readonly log: SigningLog
  readonly binding: RowBinding
}

/** Seconds after which an intention without an outcome counts as abandoned. Longer than any request lives. */
const SIGNING_SECONDS = 30

/**
 * Spends the caller's authorization for all of these digests, or for none, and records the intention: one durable act.
 * What is judged here from the rows as read is judged again, together with what may have changed, by the statement that
 * spends (paraph.flush). A refusal is in the log before it is thrown.
 * @param retry the request's name, taken in the same act: somebody else who comes with it spends nothing
 * @throws ServiceError `sad_unknown`, `sad_expired`, `digest_not_authorized`, `signature_count_too_high`, `token_expired`,
 *   `credential_disabled`, `retry_in_progress`, `unavailable`, `overloaded`; TamperedRow
 */
export async function redeem(
  services: RedeemServices,
  context: SigningContext,
  scope: PermitScope,
  origin: Origin,
  retry: RetryName | undefined,
): Promise<SigningPermit> {
  const { caller } = context
  const { credential, digests } = scope
  const operation = newId<OperationId>()
  const common = signingEvent(operation, caller, origin, context.authorization, scope)
  let authorization: Authorization
  try {
    authorization = requireAuthorized(services.binding, context, scope)
  } catch (error) {
    await services.log.append(deniedEvent(common, error))
    throw error
  }

  const { why } = await services.log.guarded(
    { ...common, type: 'sign.intent', outcome: 'ok' },
    { ...common, type: 'sign.denied', outcome: 'refused', why: 'refused_at_spending' },
    {
      kind: 'spend',
      ...grantOf(caller, authorization, credential),
      count: digests.length,
      digests: authorization.kind === 'bound' ? digests.map(({ bytes }) => bytes) : undefined,
      seconds: SIGNING_SECONDS,
      retry,
    },
  )
  // The caller's own session is alive; that of a token used as a SAD is no business of his.
  if (why === FLUSH_REASON.sessionEnded && authorization.session_id !== caller.sessionId)
    throw new ServiceError('sad_unknown')
  if (why !== FLUSH_REASON.asWished) throw refusalAtSpending(why)
  return new SigningPermit(operation, scope)
}

/** What the caller is told of the reason that the spending statement found. */
export function refusalAtSpending(why: number): ServiceError {
  return why === FLUSH_REASON.keyTaken ? retryInProgress() : new ServiceError(REFUSAL[why] ?? 'sad_unknown')
}

const REFUSAL: Readonly<Record<number, ErrorCode>> = {
  [FLUSH_REASON.unknown]: 'sad_unknown',
  [FLUSH_REASON.expired]: 'sad_expired',
  [FLUSH_REASON.revoked]: 'sad_unknown',
  [FLUSH_REASON.tooMany]: 'signature_count_too_high',
  [FLUSH_REASON.digestNotAuthorized]: 'digest_not_authorized',
  [FLUSH_REASON.sessionEnded]: 'token_expired',
  [FLUSH_REASON.credentialChanged]: 'credential_disabled',
  [FLUSH_REASON.usedUp]: 'sad_unknown',
}

/**
 * The SAD exists, is the caller's for this credential, and nobody revoked it.
 * @throws ServiceError `sad_unknown`; TamperedRow
 */
export function requireGranted(
  binding: RowBinding,
  { caller, authorization }: SigningContext,
  credential: Credential,
): Authorization & Counters {
  if (
    authorization === undefined ||
    authorization.signer_id !== caller.signerId ||
    authorization.client_id !== caller.clientId ||
    (authorization.via === 'session' && authorization.session_id !== caller.sessionId) ||
    authorization.credential_id !== credential.id
  ) {
    throw new ServiceError('sad_unknown')
  }
  if (!binding.fits('authorization', authorizationFields(authorization), authorization.binding))
    throw new TamperedRow('authorization')
  if (authorization.revoked_at !== null) throw new ServiceError('sad_unknown')
  return authorization
}

/** What was granted, as the statement that spends finds it again. */
export function grantOf(caller: Caller, authorization: Authorization, credential: Credential): Grant {
  return {
    authorization: authorization.id,
    session: authorization.session_id,
    signer: caller.signerId,
    client: caller.clientId,
    credential: credential.id,
    version: credential.version,
  }
}

/** And is alive, covers the digests, and has enough left; in that order. */
function requireAuthorized(binding: RowBinding, context: SigningContext, scope: PermitScope): Authorization {
  const { credential, digests } = scope
  const authorization = requireGranted(binding, context, credential)
  if (authorization.expires_at.getTime() <= context.now.getTime()) throw new ServiceError('sad_expired')
  if (authorization.used >= authorization.total) throw new ServiceError('sad_unknown')
  if (authorization.digests !== null) {
    const algorithm = authorization.digest_algorithm
    if (
      digests.some((digest) => algorithm !== null && digest.algorithm !== algorithm) ||
      notAmong(
        authorization.digests,
        digests.map(({ bytes }) => bytes),
      ).length > 0
    ) {
      throw new ServiceError('digest_not_authorized')
    }
  }
  if (authorization.used + digests.length > authorization.total) throw new ServiceError('signature_count_too_high')
  return authorization
}

/** What every entry of a request to sign says. */
export function signingEvent(
  op: OperationId,
  caller: Caller,
  origin: Origin,
  authorization: Authorization | undefined,
  { credential, mechanism, digests }: PermitScope,
) {
  return {
    op,
    actor: { kind: 'signer', id: caller.signerId },
    origin,
    facts: { alg: mechanism.scheme, hash: mechanism.hash },
    evidence: {
      client: caller.clientId,
      signer: caller.signerId,
      session: sessionOf(caller, authorization),
      credential: credential.id,
      key: keyName(credential.public_key),
      ...(credential.serial_number === null ? {} : { certificate: credential.serial_number }),
      ...(authorization === undefined ? {} : { authorization: authorization.id }),
    },
    digests: digests.map(({ bytes }) => bytes),
    notAfter: credential.not_after,
  } as const satisfies Omit<AuditEvent, 'type' | 'outcome'>
}

/** The session that a signature belongs to: the authorization's, which an access token may bring into any of the caller's. */
function sessionOf(caller: Caller, authorization: Authorization | undefined): string {
  const own =
    authorization?.via === 'token' &&
    authorization.signer_id === caller.signerId &&
    authorization.client_id === caller.clientId
  return own ? authorization.session_id : caller.sessionId
}

export function deniedEvent(common: ReturnType<typeof signingEvent>, error: unknown): AuditEvent {
  const why = error instanceof ServiceError ? reasonOf(error) : 'internal'
  return { ...common, type: 'sign.denied', outcome: 'refused', why }
}
