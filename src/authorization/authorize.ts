import type { FrontVerbs } from '../activation.js'
import type { AuditEvent } from '../audit/event.js'
import type { TransactionLog, Tx } from '../audit/transaction-log.js'
import { isRefusal, type RowBinding, reasonOf } from '../binding.js'
import type { Clock } from '../clock.js'
import type { Credential } from '../credentials/credential.js'
import { readCredential } from '../credentials/credential-store.js'
import { requireUsable } from '../credentials/require-usable.js'
import { algorithmOfLength, DIGEST_LENGTH } from '../digest.js'
import { ServiceError } from '../errors.js'
import type { Hsm } from '../hsm/hsm.js'
import { type Caller, callerOf, TOKEN_COLUMNS, TOKEN_JOINS, type TokenRow } from '../identity/caller.js'
import { FACTOR_COLUMNS, type Factor, factorFields, matchCode } from '../identity/factor.js'
import { clearGuesses, countGuess, FACTOR_LIMIT, takeBackGuess } from '../identity/guess.js'
import type { PasswordHasher } from '../identity/password.js'
import { newSecretValue, secretHash } from '../identity/secret-value.js'
import { type AuthorizationId, type CredentialId, isUuid, newId } from '../ids.js'
import { authorizationFields } from './authorization.js'

/** Life of a SAD in seconds; shorter where the session ends sooner. */
const SAD_SECONDS = 300

export interface AuthorizeServices {
  readonly transactions: TransactionLog
  /** `unseal` rejects with ServiceError `unavailable` while the device is away. */
  readonly hsm: Pick<Hsm, 'unseal'>
  readonly passwords: PasswordHasher
  readonly binding: RowBinding
  readonly clock: Clock
  /** @throws ServiceError `unavailable` when this machine's clock and the database's disagree. */
  requireClock(databaseNow: Date): void
}

type Request = FrontVerbs['authorize']['request']
type Refusal = { code: ServiceError['code'] }

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

  const attempts = await transactions.transact((tx) => countGuess(tx, caller.signerId, 'factor'))
  if (attempts === undefined) {
    await transactions.append({ ...denied('code_locked'), type: 'factor.locked' })
    throw new ServiceError('code_locked')
  }
  const { factors, match, pinRight } = await compareFactors(services, caller, usable, request).catch(
    async (error: unknown) => {
      if (!(error instanceof ServiceError)) throw error
      // Nobody is told what was compared. If a device that is away counted against the signer, it would lock him out for
      // as long as it was away, and longer.
      await transactions.transact(async (tx, record) => {
        await takeBackGuess(tx, caller.signerId, 'factor')
        record(denied('unavailable'))
      })
      throw error
    },
  )
  const sad = newSecretValue()
  const outcome = await transactions.transact(async (tx, record): Promise<Refusal | { expiresIn: number }> => {
    // A right code is burned whatever becomes of the rest, so that it tells nothing twice.
    const burned = match !== undefined && (await burnStep(tx, match.factor, match.step))
    if (!burned || !pinRight) {
      record({ ...denied(burned ? 'pin_rejected' : 'code_rejected'), type: 'factor.failed', facts: { attempts } })
      if (attempts >= FACTOR_LIMIT && factors.length > 0) {
        await endFactors(tx, services.binding, factors)
        await clearGuesses(tx, caller.signerId, 'factor')
        record({ ...denied('too_many_failures'), type: 'factor.ended', evidence: { signer: caller.signerId } })
      }
      return { code: burned ? 'pin_rejected' : 'code_rejected' }
    }
    await clearGuesses(tx, caller.signerId, 'factor')
    const authorization = await insertAuthorization(services, tx, caller, usable, request, digests, sad, {
      factor: match.factor.id,
      step: match.step,
      pin: usable.pin_hash !== null,
    })
    if (authorization === undefined) {
      record(denied('token_expired'))
      return { code: 'token_expired' }
    }
    record({
      type: 'sad.issued',
      outcome: 'ok',
      actor: { kind: 'signer', id: caller.signerId },
      origin: request.origin,
      facts: {
        kind: digests === undefined ? 'open' : 'bound',
        total: request.numSignatures,
        factor: match.factor.kind,
        pin: usable.pin_hash === null ? 0 : 1,
      },
      evidence: {
        client: caller.clientId,
        signer: caller.signerId,
        session: caller.sessionId,
        credential: usable.id,
        authorization: authorization.id,
        factor: match.factor.id,
      },
      ...(digests === undefined ? {} : { digests }),
    })
    return { expiresIn: authorization.expiresIn }
  })
  if ('code' in outcome) throw new ServiceError(outcome.code)
  return { sad, expiresIn: outcome.expiresIn }
}

/** Code and PIN, always both, so that the time it takes says nothing about the one that was wrong. */
async function compareFactors(services: AuthorizeServices, caller: Caller, credential: Credential, request: Request) {
  const factors = await services.transactions.query<Factor>(
    `select ${FACTOR_COLUMNS} from paraph.factor where signer_id = $1 and state = 'active'`,
    [caller.signerId],
  )
  const { code = '', pin = '' } = request.factors
  const match = await matchCode(services.hsm, services.binding, factors, code, services.clock.now())
  const pinRight = credential.pin_hash === null || (await services.passwords.verify('pin', credential.pin_hash, pin))
  return { factors, match, pinRight }
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
  const caller = callerOf(row)
  if (typeof caller === 'string') throw new ServiceError(caller)
  // Anything that is no id at all asks the database like an id that nobody has.
  const id = (isUuid(request.credentialId) ? request.credentialId : newId()) as CredentialId
  return { caller, credential: await readCredential(tx, services.binding, id) }
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

/** Compare-and-set: of all who present the same step, one burns it. */
async function burnStep(tx: Tx, factor: Factor, step: number): Promise<boolean> {
  const { rowCount } = await tx.query(
    `update paraph.factor set last_step = $2 where id = $1 and state = 'active' and last_step < $2`,
    [factor.id, step],
  )
  return rowCount === 1
}

async function endFactors(tx: Tx, binding: RowBinding, factors: readonly Factor[]): Promise<void> {
  for (const factor of factors) {
    const ended = { ...factor, state: 'ended' as const }
    await tx.query(`update paraph.factor set state = 'ended', binding = $2 where id = $1`, [
      factor.id,
      binding.mac('factor', factorFields(ended)),
    ])
  }
}

async function insertAuthorization(
  services: AuthorizeServices,
  tx: Tx,
  caller: Caller,
  credential: Credential,
  request: Request,
  digests: Uint8Array[] | undefined,
  sad: string,
  evidence: { factor: string; step: number; pin: boolean },
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
  }
  await tx.query(
    `insert into paraph.authorization (id, signer_id, client_id, credential_id, session_id, sad_hash, kind, digest_algorithm, digests,
       remaining, total, evidence, description, created_at, expires_at, binding)
     values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $9, $10, $11, $12, $13, $14, $15)`,
    [
      row.id,
      row.signer_id,
      row.client_id,
      row.credential_id,
      row.session_id,
      row.sad_hash,
      row.kind,
      row.digest_algorithm,
      row.digests,
      row.total,
      row.evidence,
      request.description ?? null,
      session.now,
      row.expires_at,
      services.binding.mac('authorization', authorizationFields(row)),
    ],
  )
  return { id: row.id, expiresIn: Math.floor((expires - session.now.getTime()) / 1000) }
}
