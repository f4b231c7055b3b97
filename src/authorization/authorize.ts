import type { FrontVerbs } from '../activation.js'
import type { AuditEvent } from '../audit/event.js'
import type { Tx } from '../audit/transaction-log.js'
import { isRefusal, type RowBinding, reasonOf } from '../binding.js'
import type { Credential } from '../credentials/credential.js'
import { policyOf, sessionCeiling } from '../credentials/policy.js'
import { requireUsable } from '../credentials/require-usable.js'
import { ServiceError } from '../errors.js'
import { FACTOR_KINDS } from '../factor-kind.js'
import type { Caller } from '../identity/caller.js'
import { matchDeliveredCode } from '../identity/delivered-code.js'
import { newSecretValue, secretHash } from '../identity/secret-value.js'
import { rememberSession } from '../identity/session.js'
import {
  type FactorEvidence,
  type FactorMatch,
  type FactorServices,
  matchOneTimeCode,
  verifyFactors,
} from '../identity/verify-factors.js'
import { type AuthorizationId, newId } from '../ids.js'
import { insertAuthorization as insertRow } from './authorization.js'
import { type CallerServices, callerEvidence, readCallerContext } from './caller-context.js'
import { requestedDigests } from './requested-digests.js'

/** Life of a SAD in seconds; shorter where the session ends sooner. */
export const SAD_SECONDS = 300

export interface AuthorizeServices extends FactorServices, CallerServices {
  readonly binding: RowBinding
}

type Request = FrontVerbs['authorize']['request']

/**
 * CSC `credentials/authorize`, explicit mode (v1 §11.6, v2.2 §11.8): the signer's factors, verified, become a recorded
 * agreement, and the client gets the SAD that uses it. One for a remembered session serves all its files, up to a ceiling of
 * its own, and the session lasts longer.
 *
 * Durable before anything is compared: that an attempt was made. Durable on return, in one transaction: the code's step
 * is burned, the agreement is recorded, and the log says so. Nothing is ever agreed by half.
 * @throws ServiceError with the code of the first thing that is wrong, in the order of the method's table of errors
 */
export async function authorize(
  services: AuthorizeServices,
  request: Request,
): Promise<{ sad: string; expiresIn: number }> {
  const { transactions } = services
  const { caller, own, credential } = await loadContext(services, request)
  const denied = (code: string): AuditEvent => ({
    type: 'sad.denied',
    outcome: 'refused',
    actor: { kind: 'signer', id: caller.signerId },
    origin: request.origin,
    why: code,
    evidence: callerEvidence(caller, request.credentialId),
  })

  let usable: Credential
  let ceiling: number | undefined
  let digests: Uint8Array[] | undefined
  try {
    usable = requireUsable(caller, credential, services.clock.now())
    ceiling = request.rememberSession === true ? requireRememberable(usable, caller, own) : undefined
    digests = requireAcceptable(usable, request, ceiling)
  } catch (error) {
    if (error instanceof ServiceError) await transactions.append(denied(error.code))
    throw error
  }

  const sad = newSecretValue()
  const question = {
    signer: caller.signerId,
    match: () => matchCode(services, request, caller, usable),
    pin: request.factors.pin ?? '',
    pinHash: usable.pin_hash,
    denied,
  }
  const { expiresIn } = await verifyFactors(services, question, async (tx, record, evidence) => {
    if (ceiling !== undefined) {
      const { sessionId: session, signerId: signer, clientId: client } = caller
      // Where the session is over meanwhile, the authorization is refused for that.
      await rememberSession(tx, record, { session, signer, client }, request.origin)
    }
    const wanted = { digests, ceiling, sad, evidence }
    const authorization = await insertAuthorization(services, tx, caller, usable, request, wanted)
    if (authorization === undefined) {
      record(denied('token_expired'))
      return new ServiceError('token_expired')
    }
    record({
      type: 'sad.issued',
      outcome: 'ok',
      actor: { kind: 'signer', id: caller.signerId },
      origin: request.origin,
      facts: {
        kind: digests === undefined ? 'open' : 'bound',
        total: authorization.total,
        ...(ceiling === undefined ? {} : { session: 1 }),
        factor: evidence.kind,
        pin: evidence.pin ? 1 : 0,
      },
      evidence: {
        client: caller.clientId,
        signer: caller.signerId,
        session: caller.sessionId,
        credential: usable.id,
        authorization: authorization.id,
        factor: evidence.factor,
      },
      notAfter: usable.not_after,
      ...(digests === undefined ? {} : { digests }),
    })
    return authorization
  })
  return { sad, expiresIn }
}

async function loadContext(services: AuthorizeServices, request: Request) {
  const { transactions } = services
  try {
    return await transactions.transact((tx) => readCallerContext(services, tx, request))
  } catch (error) {
    if (error instanceof ServiceError && isRefusal(error)) {
      const actor = { kind: 'anonymous' } as const
      await transactions.append({
        type: 'sad.denied',
        outcome: 'refused',
        actor,
        origin: request.origin,
        why: reasonOf(error),
      })
    }
    throw error
  }
}

/** A code of any authenticator that the credential's policy accepts, and of the kind that was named, where one was. */
async function matchCode(
  services: AuthorizeServices,
  { factors: { code = '', kind } }: Request,
  { signerId: signer, clientId: client }: Caller,
  credential: Credential,
): Promise<FactorMatch | undefined> {
  const kinds = (policyOf(credential).factors ?? FACTOR_KINDS).filter((one) => kind === undefined || kind === one)
  const shown = await matchOneTimeCode(services, signer, code, kinds)
  if (shown !== undefined && shown.drift === undefined) return shown
  return (await matchDeliveredCode(services, { signer, client, credential: credential.id }, code, kinds)) ?? shown
}

/**
 * How many signatures one code may cover for this caller: in a session of the signer's own, since that of a client is other
 * signers' too. @throws ServiceError `remember_not_allowed`
 */
function requireRememberable(credential: Credential, caller: Caller, own: boolean): number {
  const ceiling = own ? sessionCeiling(credential, caller.clientId) : undefined
  if (ceiling === undefined) throw new ServiceError('remember_not_allowed')
  return ceiling
}

/** Counts, digests and required inputs against the credential's policy; the digests in the order of the request. */
function requireAcceptable(
  credential: Credential,
  request: Request,
  ceiling: number | undefined,
): Uint8Array[] | undefined {
  const { numSignatures } = request
  if (!Number.isSafeInteger(numSignatures) || numSignatures < 1) throw new ServiceError('signature_count_invalid')
  if (numSignatures > (ceiling ?? credential.multisign)) throw new ServiceError('signature_count_too_high')
  let digests: Uint8Array[] | undefined
  if (request.digests !== undefined) {
    digests = requestedDigests(request.digests, request.digestAlgorithm)
    if (digests.length !== numSignatures) throw new ServiceError('signature_count_invalid')
  } else if (credential.scal === '2') {
    throw new ServiceError('digests_missing')
  }
  if (credential.pin_hash !== null && request.factors.pin === undefined) throw new ServiceError('pin_missing')
  if (request.factors.code === undefined) throw new ServiceError('code_missing')
  return digests
}

async function insertAuthorization(
  services: AuthorizeServices,
  tx: Tx,
  caller: Caller,
  credential: Credential,
  request: Request,
  wanted: {
    readonly digests: Uint8Array[] | undefined
    /** For an authorization that serves the whole session. */
    readonly ceiling: number | undefined
    readonly sad: string
    readonly evidence: FactorEvidence
  },
): Promise<{ id: AuthorizationId; total: number; expiresIn: number } | undefined> {
  const { digests, ceiling, sad, evidence } = wanted
  const { rows } = await tx.query<{ now: Date; ends_at: Date }>(
    `select paraph.now() as now, ends_at from paraph.session where id = $1 and ended_at is null and ends_at > paraph.now() for share`,
    [caller.sessionId],
  )
  const [session] = rows
  if (session === undefined) return undefined
  const ends = session.ends_at.getTime()
  const expires = ceiling === undefined ? Math.min(session.now.getTime() + SAD_SECONDS * 1000, ends) : ends
  const row = {
    id: newId<AuthorizationId>(),
    signer_id: caller.signerId,
    client_id: caller.clientId,
    credential_id: credential.id,
    session_id: caller.sessionId,
    sad_hash: secretHash(sad),
    kind: digests === undefined ? ('open' as const) : ('bound' as const),
    digest_algorithm: request.digestAlgorithm ?? null,
    digests: digests ?? null,
    total: ceiling ?? request.numSignatures,
    evidence: JSON.stringify(evidence),
    expires_at: new Date(expires),
    via: 'session' as const,
    approval_id: null,
    session_wide: ceiling !== undefined,
  }
  await insertRow(tx, services.binding, row, { description: request.description ?? null, createdAt: session.now })
  return { id: row.id, total: row.total, expiresIn: Math.floor((expires - session.now.getTime()) / 1000) }
}
