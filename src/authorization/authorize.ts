import type { FrontVerbs } from '../activation.js'
import type { AuditEvent } from '../audit/event.js'
import type { Tx } from '../audit/transaction-log.js'
import { isRefusal, reasonOf } from '../binding.js'
import type { Credential } from '../credentials/credential.js'
import { readCredential } from '../credentials/credential-store.js'
import { requireUsable } from '../credentials/require-usable.js'
import { algorithmOfLength, DIGEST_LENGTH } from '../digest.js'
import { ServiceError } from '../errors.js'
import { actingFor } from '../identity/assignment.js'
import { bearerOf, type Caller, TOKEN_COLUMNS, TOKEN_JOINS, type TokenRow } from '../identity/caller.js'
import { newSecretValue, secretHash } from '../identity/secret-value.js'
import {
  type FactorEvidence,
  type FactorServices,
  matchOneTimeCode,
  verifyFactors,
} from '../identity/verify-factors.js'
import { type AuthorizationId, type CredentialId, isUuid, newId } from '../ids.js'
import { insertAuthorization as insertRow } from './authorization.js'

/** Life of a SAD in seconds; shorter where the session ends sooner. */
const SAD_SECONDS = 300

export interface AuthorizeServices extends FactorServices {
  /** @throws ServiceError `unavailable` when this machine's clock and the database's disagree. */
  requireClock(databaseNow: Date): void
}

type Request = FrontVerbs['authorize']['request']

/**
 * CSC `credentials/authorize`, explicit mode (v1 §11.6, v2.2 §11.8): the signer's factors, verified, become a recorded
 * agreement, and the client gets the SAD that uses it.
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
  const { caller, credential } = await loadContext(services, request)
  const denied = (code: string): AuditEvent => ({
    type: 'sad.denied',
    outcome: 'refused',
    actor: { kind: 'signer', id: caller.signerId },
    origin: request.origin,
    why: code,
    evidence: {
      client: caller.clientId,
      signer: caller.signerId,
      session: caller.sessionId,
      ...(isUuid(request.credentialId) ? { credential: request.credentialId } : {}),
    },
  })

  let usable: Credential
  let digests: Uint8Array[] | undefined
  try {
    usable = requireUsable(caller, credential, services.clock.now())
    digests = requireAcceptable(usable, request)
  } catch (error) {
    if (error instanceof ServiceError) await transactions.append(denied(error.code))
    throw error
  }

  const sad = newSecretValue()
  const question = {
    signer: caller.signerId,
    match: () => matchOneTimeCode(services, caller.signerId, request.factors.code ?? ''),
    pin: request.factors.pin ?? '',
    pinHash: usable.pin_hash,
    denied,
  }
  const { expiresIn } = await verifyFactors(services, question, async (tx, record, evidence) => {
    const authorization = await insertAuthorization(services, tx, caller, usable, request, digests, sad, evidence)
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
        total: request.numSignatures,
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
      ...(digests === undefined ? {} : { digests }),
    })
    return authorization
  })
  return { sad, expiresIn }
}

async function loadContext(services: AuthorizeServices, request: Request) {
  const { transactions } = services
  try {
    return await transactions.transact((tx) => readContext(services, tx, request))
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

async function readContext(services: AuthorizeServices, tx: Tx, request: Request) {
  const { rows } = await tx.query<TokenRow & { now: Date }>(
    `select ${TOKEN_COLUMNS}, paraph.now() as now from (select $1::bytea as hash) q left join paraph.token t on t.hash = q.hash ${TOKEN_JOINS}`,
    [secretHash(request.bearer)],
  )
  const [row] = rows
  if (row !== undefined) services.requireClock(row.now)
  const bearer = bearerOf(row)
  if (typeof bearer === 'string') throw new ServiceError(bearer)
  if (bearer.scope !== 'service') throw new ServiceError('scope_missing')
  // Anything that is no id at all asks the database like an id that nobody has.
  const id = (isUuid(request.credentialId) ? request.credentialId : newId()) as CredentialId
  const credential = await readCredential(tx, services.binding, id)
  return { caller: await actingFor(tx, services.binding, bearer, credential?.signer_id), credential }
}

/** Counts, digests and required inputs against the credential's policy; the digests in the order of the request. */
function requireAcceptable(credential: Credential, request: Request): Uint8Array[] | undefined {
  const { numSignatures } = request
  if (!Number.isSafeInteger(numSignatures) || numSignatures < 1) throw new ServiceError('signature_count_invalid')
  if (numSignatures > credential.multisign) throw new ServiceError('signature_count_too_high')
  let digests: Uint8Array[] | undefined
  if (request.digests !== undefined) {
    if (request.digests.length === 0) throw new ServiceError('digests_empty')
    digests = request.digests.map((text) => Buffer.from(text, 'base64'))
    const algorithm = request.digestAlgorithm
    for (const bytes of digests) {
      const fits =
        algorithm === undefined
          ? algorithmOfLength(bytes.length) !== undefined
          : bytes.length === DIGEST_LENGTH[algorithm]
      if (!fits) throw new ServiceError('digest_length_invalid')
    }
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
  digests: Uint8Array[] | undefined,
  sad: string,
  evidence: FactorEvidence,
): Promise<{ id: AuthorizationId; expiresIn: number } | undefined> {
  const { rows } = await tx.query<{ now: Date; ends_at: Date }>(
    `select paraph.now() as now, ends_at from paraph.session where id = $1 and ended_at is null and ends_at > paraph.now() for share`,
    [caller.sessionId],
  )
  const [session] = rows
  if (session === undefined) return undefined
  const expires = Math.min(session.now.getTime() + SAD_SECONDS * 1000, session.ends_at.getTime())
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
    total: request.numSignatures,
    evidence: JSON.stringify(evidence),
    expires_at: new Date(expires),
    via: 'session' as const,
    approval_id: null,
  }
  await insertRow(tx, services.binding, row, { description: request.description ?? null, createdAt: session.now })
  return { id: row.id, expiresIn: Math.floor((expires - session.now.getTime()) / 1000) }
}
