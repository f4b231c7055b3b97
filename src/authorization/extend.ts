import type { FrontVerbs } from '../activation.js'
import type { TransactionLog, Tx } from '../audit/transaction-log.js'
import { isRefusal, type RowBinding, reasonOf, TamperedRow } from '../binding.js'
import type { Clock } from '../clock.js'
import { requireUsable } from '../credentials/require-usable.js'
import { ServiceError } from '../errors.js'
import type { Caller } from '../identity/caller.js'
import { newSecretValue, secretHash } from '../identity/secret-value.js'
import type { CredentialId } from '../ids.js'
import { type Authorization, authorizationFields, notAmong } from './authorization.js'
import { SAD_SECONDS } from './authorize.js'
import { type CallerServices, callerEvidence, readCallerContext } from './caller-context.js'
import { requestedDigests } from './requested-digests.js'

/** However often it is renewed, an authorization ends so many seconds after the signer agreed. */
const LONGEST_SECONDS = 900

export interface ExtendServices extends CallerServices {
  readonly transactions: TransactionLog
  readonly binding: RowBinding
  readonly clock: Clock
}

type Request = FrontVerbs['extend']['request']
type Row = Authorization & {
  readonly used: number
  readonly remaining: readonly Uint8Array[] | null
  readonly created_at: Date
  readonly revoked_at: Date | null
  readonly via: 'session' | 'token'
}

/**
 * CSC `credentials/extendTransaction` (v1 §11.7, v2.2 §11.11): the same authorization under a new SAD, with what is left of
 * its budget. It renews what the signer agreed to; digests he has not agreed to come only under an authorization for a
 * whole session. Durable on return; from then on the old SAD is an unknown one. A credential token stays its own SAD: it
 * can get further digests where it serves a whole session, and nothing else of it is ever renewed.
 * @throws ServiceError `token_unknown`, `token_expired`, what requireUsable throws, `digests_missing`, `digests_empty`,
 *   `digest_length_invalid`, `sad_unknown`, `sad_expired`, `signature_count_too_high`, `digest_not_authorized`; TamperedRow
 */
export async function extend(services: ExtendServices, request: Request): Promise<{ sad: string; expiresIn: number }> {
  const { transactions, clock } = services
  let caller: Caller | undefined
  try {
    return await transactions.transact(async (tx, record) => {
      // A token that is an authorization speaks for itself, and for no other.
      const scopes = request.sad === request.bearer ? (['service', 'credential'] as const) : undefined
      const context = await readCallerContext(services, tx, request, scopes)
      caller = context.caller
      const credential = requireUsable(caller, context.credential, clock.now())
      if (request.digests === undefined && credential.scal === '2') throw new ServiceError('digests_missing')
      const digests = request.digests && requestedDigests(request.digests, request.digestAlgorithm)

      const { row, now, ends } = await lockAuthorization(services.binding, tx, request.sad, caller, credential.id)
      const fresh = digests === undefined ? [] : requireAgreed(row, digests, request.digestAlgorithm)
      const { sad, expires } = await renew(services.binding, tx, row, request.sad, fresh, now, ends)
      record({
        type: 'sad.extended',
        outcome: 'ok',
        actor: { kind: 'signer', id: caller.signerId },
        origin: request.origin,
        facts: { left: row.total - row.used },
        evidence: { ...callerEvidence(caller, credential.id), session: row.session_id, authorization: row.id },
        notAfter: credential.not_after,
        ...(fresh.length === 0 ? {} : { digests: fresh }),
      })
      return { sad, expiresIn: Math.floor((expires - now.getTime()) / 1000) }
    })
  } catch (error) {
    if (error instanceof ServiceError && isRefusal(error)) {
      await transactions.append({
        type: 'sad.denied',
        outcome: 'refused',
        actor: caller === undefined ? { kind: 'anonymous' } : { kind: 'signer', id: caller.signerId },
        origin: request.origin,
        why: reasonOf(error),
        ...(caller === undefined ? {} : { evidence: callerEvidence(caller, request.credentialId) }),
      })
    }
    throw error
  }
}

/** The caller's live authorization behind the SAD, locked, so that nothing is spent of it meanwhile. */
async function lockAuthorization(
  binding: RowBinding,
  tx: Tx,
  sad: string,
  caller: Caller,
  credential: CredentialId,
): Promise<{ row: Row; now: Date; ends: Date }> {
  const { rows } = await tx.query<Row>(
    `select id, signer_id, client_id, credential_id, session_id, sad_hash, kind, digest_algorithm, digests, remaining, total, used,
       evidence, created_at, expires_at, revoked_at, via, approval_id, session_wide, binding
       from paraph.authorization where sad_hash = $1 for update`,
    [secretHash(sad)],
  )
  const [row] = rows
  if (
    row === undefined ||
    row.signer_id !== caller.signerId ||
    row.client_id !== caller.clientId ||
    row.credential_id !== credential ||
    (row.via === 'session' ? row.session_id !== caller.sessionId : !row.session_wide)
  ) {
    throw new ServiceError('sad_unknown')
  }
  // What is left may only be some of what the signer agreed to: the binding covers the one and not the other.
  const isWhole = row.digests === null || notAmong(row.digests, row.remaining ?? []).length === 0
  if (!isWhole || !binding.fits('authorization', authorizationFields(row), row.binding)) {
    throw new TamperedRow('authorization')
  }
  const session = await tx.query<{ now: Date; ends_at: Date }>(
    `select paraph.now() as now, ends_at from paraph.session where id = $1 and ended_at is null and ends_at > paraph.now() for share`,
    [row.session_id],
  )
  const [live] = session.rows
  // The caller's own session is alive; that of a token used as a SAD is no business of his.
  if (live === undefined) throw new ServiceError(row.session_id === caller.sessionId ? 'token_expired' : 'sad_unknown')
  if (row.revoked_at !== null) throw new ServiceError('sad_unknown')
  if (row.expires_at.getTime() <= live.now.getTime()) throw new ServiceError('sad_expired')
  if (row.used >= row.total) throw new ServiceError('sad_unknown')
  return { row, now: live.now, ends: live.ends_at }
}

/**
 * The digests that this extension adds: those beyond what is agreed to and not signed yet. An open authorization counts,
 * and has no use for them.
 */
function requireAgreed(row: Row, digests: readonly Uint8Array[], algorithm: Request['digestAlgorithm']): Uint8Array[] {
  if (row.remaining === null) return []
  const fresh = notAmong(row.remaining, digests)
  const room = row.total - row.used - (row.session_wide ? row.remaining.length : 0)
  if ((row.session_wide ? fresh.length : digests.length) > room) throw new ServiceError('signature_count_too_high')
  const sameFunction = algorithm === undefined || row.digest_algorithm === null || algorithm === row.digest_algorithm
  if (!sameFunction || (fresh.length > 0 && !row.session_wide)) throw new ServiceError('digest_not_authorized')
  return fresh
}

/** A new SAD, a new end and a new binding; of the digests only those that are not signed yet are kept. */
async function renew(
  binding: RowBinding,
  tx: Tx,
  row: Row,
  old: string,
  fresh: readonly Uint8Array[],
  now: Date,
  ends: Date,
): Promise<{ sad: string; expires: number }> {
  const sad = row.via === 'token' ? old : newSecretValue()
  const latest = Math.min(
    now.getTime() + SAD_SECONDS * 1000,
    row.created_at.getTime() + LONGEST_SECONDS * 1000,
    ends.getTime(),
  )
  // One for a whole session has its end from the moment the signer agreed, and never gets another.
  const expires = row.session_wide ? row.expires_at.getTime() : Math.max(latest, row.expires_at.getTime())
  const digests = row.remaining === null ? null : [...row.remaining, ...fresh]
  const renewed = { ...row, sad_hash: secretHash(sad), digests, expires_at: new Date(expires) }
  await tx.query(
    `update paraph.authorization set sad_hash = $2, digests = $3, remaining = $3, expires_at = $4, binding = $5 where id = $1`,
    [row.id, renewed.sad_hash, digests, renewed.expires_at, binding.mac('authorization', authorizationFields(renewed))],
  )
  return { sad, expires }
}
