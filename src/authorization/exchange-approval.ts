import { randomBytes } from 'node:crypto'
import { type FrontVerbs, type Origin, SCOPE_OF_KIND } from '../activation.js'
import type { AuditEvent } from '../audit/event.js'
import type { Record, Tx } from '../audit/transaction-log.js'
import { isRefusal, reasonOf } from '../binding.js'
import { policyOf } from '../credentials/policy.js'
import { ServiceError } from '../errors.js'
import { type Caller, callerOf, TOKEN_COLUMNS, TOKEN_JOINS, type TokenRow } from '../identity/caller.js'
import { requireClient } from '../identity/client.js'
import { newSecretValue, secretHash } from '../identity/secret-value.js'
import { insertToken, openSession, rememberSession } from '../identity/session.js'
import type { FactorEvidence } from '../identity/verify-factors.js'
import { type AuthorizationId, type ClientId, type CredentialId, newId, type SessionId, type SignerId } from '../ids.js'
import { type Approval, lockApproval, offeredCeiling, requireApprovable, writeApproval } from './approval.js'
import { insertAuthorization } from './authorization.js'
import type { ApprovalServices } from './request-approval.js'
import { isSpendable, withToken } from './spend-approval.js'

/** How long after the signer's yes an approval can be exchanged, in seconds: longer than a code lives. */
const EXCHANGE_SECONDS = 120
/** How long a remembered approval can open sessions without asking, in seconds. */
const GRANT_SECONDS = 30 * 24 * 3600
/**
 * Least time between two questions about one handle, in seconds: two, less what the way to the database may take, so that
 * whoever keeps to two seconds is never refused.
 */
const PAUSE_SECONDS = 1.75
/** Life of a SAD in seconds; shorter where the session ends sooner. */
const SAD_SECONDS = 300

/** An approval that a signer has given, with whose it is. */
type Given = Approval & { signer_id: SignerId }

/**
 * Makes an access token of an approval, once: of all who try, one moves it from approved to exchanged, in the
 * transaction that starts the session and writes the token. For signatures the token is the authorization itself.
 * @throws ServiceError `approval_unknown` unless the signer said yes a moment ago and nobody has exchanged it,
 *   `client_unknown`, `remember_not_allowed`, what `requireApprovable` throws; TamperedRow, also for the client's row
 */
export async function exchangeApproval(
  services: ApprovalServices,
  request: FrontVerbs['exchange']['request'],
): Promise<FrontVerbs['exchange']['response']> {
  const { transactions, binding } = services
  const { origin } = request
  return recordingRefusals(services, 'auth.token_issued', origin, () =>
    transactions.transact(async (tx, record) => {
      const { approval, now } = await lockApproval(tx, binding, { name: request.name })
      const given = await requireGiven(tx, approval, 'oauth', now)
      await requireClient(tx, binding, given.client_id)
      await requireActiveSigner(tx, given.signer_id)
      await writeApproval(tx, binding, given, {
        state: 'exchanged',
        exchanged_at: now,
        // What this token does it does by the approval, which therefore knows it.
        ...(isSpendable(given.kind) ? { evidence: withToken(given.evidence, request.tokenHash) } : {}),
        ...(given.remember ? { expires_at: new Date(now.getTime() + GRANT_SECONDS * 1000) } : {}),
      })
      const opened = await openAnswered(tx, record, given, origin)
      const hash = Buffer.from(request.tokenHash, 'base64')
      if (given.kind === 'credential') {
        await authorizeApproved(services, tx, record, origin, given, {
          sadHash: hash,
          session: opened.session,
          via: 'token',
          now: opened.startedAt,
          expiresAt: opened.endsAt,
        })
      }
      await issueToken(tx, record, origin, given, { hash, ...opened, confirmation: request.confirmation })
      if (given.remember) await insertGrant(tx, given, opened.session)
      return {
        expiresIn: secondsUntil(opened.endsAt, opened.startedAt),
        kind: given.kind,
        approvalId: given.id,
        remember: given.remember,
        nonce: Buffer.from(given.nonce).toString('base64url'),
        ...(given.credential_id === null ? {} : { credentialId: given.credential_id }),
      }
    }),
  )
}

/**
 * Whether the signer has answered what a client asked for with a handle; with his yes, the SAD, once. The SAD belongs to
 * the session that asked and ends with it.
 * @throws ServiceError `token_unknown`, `token_expired`, `scope_missing`, `approval_unknown`, `too_often`, which the log has
 *   from the front, counted; `approval_denied` also when the time for an answer is over, what `requireApprovable` throws;
 *   TamperedRow
 */
export async function collectApproval(
  services: ApprovalServices,
  request: FrontVerbs['collect']['request'],
): Promise<FrontVerbs['collect']['response']> {
  const { transactions, binding } = services
  const { origin } = request
  return recordingRefusals(services, 'sad.denied', origin, () =>
    transactions.transact(async (tx, record) => {
      const { rows } = await tx.query(
        `select ${TOKEN_COLUMNS} from (select $1::bytea as hash) q left join paraph.token t on t.hash = q.hash ${TOKEN_JOINS}`,
        [secretHash(request.bearer)],
      )
      const caller = callerOf(rows[0] as TokenRow | undefined)
      if (typeof caller === 'string') throw new ServiceError(caller)
      if (caller.scope !== 'service') throw new ServiceError('scope_missing')
      const { approval, now } = await lockApproval(tx, binding, { name: request.name })
      const mine = approval.session_id === caller.sessionId && approval.signer_id === caller.signerId
      if (!mine || approval.way !== 'handle') throw new ServiceError('approval_unknown')
      await requirePatience(tx, approval)
      if (approval.state === 'denied') throw new ServiceError('approval_denied')
      if (approval.state === 'pending') {
        if (approval.expires_at.getTime() <= now.getTime()) throw new ServiceError('approval_denied')
        return { pending: true }
      }
      const given = await requireGiven(tx, approval, 'handle', now)
      await writeApproval(tx, binding, given, { state: 'exchanged', exchanged_at: now })
      const ends = await endOfSession(tx, record, given, caller, origin)
      if (ends === undefined) throw new ServiceError('token_expired')
      const sad = newSecretValue()
      const life = Math.min(ends.getTime(), now.getTime() + SAD_SECONDS * 1000)
      const expiresAt = given.session_ceiling === null ? new Date(life) : ends
      await authorizeApproved(services, tx, record, origin, given, {
        sadHash: secretHash(sad),
        session: caller.sessionId,
        via: 'session',
        now,
        expiresAt,
      })
      return { sad, expiresIn: secondsUntil(expiresAt, now) }
    }),
  )
}

/**
 * Another access token for a client that its signer lets come back: a new session, without authorizations.
 * @throws ServiceError `approval_unknown` when the grant is over or was revoked, `client_unknown`; TamperedRow
 */
export async function refreshGrant(
  services: ApprovalServices,
  request: FrontVerbs['refreshGrant']['request'],
): Promise<FrontVerbs['refreshGrant']['response']> {
  const { transactions, binding } = services
  const { origin } = request
  return recordingRefusals(services, 'auth.token_issued', origin, () =>
    transactions.transact(async (tx, record) => {
      const { approval, now } = await lockApproval(tx, binding, { name: request.name })
      const { state, kind, remember, expires_at, signer_id } = approval
      const alive = state === 'exchanged' && kind === 'service' && remember
      if (!alive || signer_id === null || expires_at.getTime() <= now.getTime()) {
        throw new ServiceError('approval_unknown')
      }
      const grant = await tx.query(
        `select from paraph.token where family = $1 and kind = 'refresh' and revoked_at is null and expires_at > paraph.now() for share`,
        [approval.id],
      )
      if (grant.rows.length === 0) throw new ServiceError('approval_unknown')
      await requireClient(tx, binding, approval.client_id)
      await requireActiveSigner(tx, signer_id)
      const opened = await openSession(tx, { signer: signer_id, client: approval.client_id })
      const hash = Buffer.from(request.tokenHash, 'base64')
      const given = { ...approval, signer_id }
      await issueToken(tx, record, origin, given, { hash, ...opened, confirmation: request.confirmation })
      return { expiresIn: secondsUntil(opened.endsAt, opened.startedAt) }
    }),
  )
}

/** The session of a token that an answer gives; it lasts longer where the signer chose that further files may follow. */
async function openAnswered(tx: Tx, record: Record, given: Given, origin: Origin) {
  const who = { signer: given.signer_id, client: given.client_id }
  const opened = await openSession(tx, who)
  if (given.session_ceiling === null) return opened
  const ends = await rememberSession(tx, record, { ...who, session: opened.session }, origin)
  return { ...opened, endsAt: ends ?? opened.endsAt }
}

/** When the session that asked ends, with the answer; undefined where it is over. */
async function endOfSession(
  tx: Tx,
  record: Record,
  given: Given,
  { sessionId: session, signerId: signer, clientId: client }: Caller,
  origin: Origin,
): Promise<Date | undefined> {
  if (given.session_ceiling !== null) return rememberSession(tx, record, { session, signer, client }, origin)
  const { rows } = await tx.query<{ ends_at: Date }>(
    'select ends_at from paraph.session where id = $1 and ended_at is null and ends_at > paraph.now() for share',
    [session],
  )
  return rows[0]?.ends_at
}

/**
 * Counts this question, unless the last one that was answered is too near. Which front it came through does not matter.
 * @throws ServiceError `too_often`
 */
async function requirePatience(tx: Tx, { id }: Approval): Promise<void> {
  const { rowCount } = await tx.query(
    `update paraph.approval set asked_at = paraph.now()
      where id = $1 and (asked_at is null or asked_at <= paraph.now() - make_interval(secs => $2))`,
    [id, PAUSE_SECONDS],
  )
  if (rowCount === 0) throw new ServiceError('too_often', { retryAfter: 2 })
}

/** An approval that its signer gave a moment ago, and in a session of our pages that nobody has stopped since. */
async function requireGiven(tx: Tx, approval: Approval, way: Approval['way'], now: Date): Promise<Given> {
  const { signer_id, decided_at, evidence } = approval
  const fresh = decided_at !== null && decided_at.getTime() + EXCHANGE_SECONDS * 1000 > now.getTime()
  if (approval.way !== way || approval.state !== 'approved' || signer_id === null || evidence === null || !fresh) {
    throw new ServiceError('approval_unknown')
  }
  const { pages } = JSON.parse(evidence) as { pages: string }
  const { rows } = await tx.query('select from paraph.session where id = $1 and ended_at is null for share', [pages])
  if (rows.length === 0) throw new ServiceError('approval_unknown')
  return { ...approval, signer_id }
}

/**
 * The grant among the signer's tokens, so that whatever revokes those revokes it. Nobody holds the token of this row: what
 * the client has is known to the OAuth 2 server alone.
 */
async function insertGrant(tx: Tx, { id, signer_id, client_id }: Given, session: SessionId): Promise<void> {
  await tx.query(
    `insert into paraph.token (hash, kind, session_id, signer_id, client_id, scope, family, expires_at, approval_id)
     values ($1, 'refresh', $2, $3, $4, 'service', $5, paraph.now() + make_interval(secs => $6), $5)`,
    [randomBytes(32), session, signer_id, client_id, id, GRANT_SECONDS],
  )
}

async function requireActiveSigner(tx: Tx, id: SignerId): Promise<void> {
  const { rows } = await tx.query(`select from paraph.signer where id = $1 and state = 'active' for share`, [id])
  if (rows.length === 0) throw new ServiceError('approval_unknown')
}

interface Way {
  readonly sadHash: Uint8Array
  readonly session: SessionId
  readonly via: 'session' | 'token'
  readonly now: Date
  readonly expiresAt: Date
}

/** What the signer agreed to, as an authorization. */
async function authorizeApproved(
  { binding, clock }: ApprovalServices,
  tx: Tx,
  record: Record,
  origin: Origin,
  given: Given,
  way: Way,
): Promise<void> {
  const whose = { signer: given.signer_id, credential: given.credential_id as CredentialId }
  const credential = await requireApprovable(tx, binding, given, whose, clock.now())
  const evidence = given.evidence as string
  const { factor, kind: how, pin } = JSON.parse(evidence) as FactorEvidence
  // As the signer answered it: a policy that has changed since may not allow that any more.
  const ceiling = given.session_ceiling
  if (ceiling !== null && ceiling !== offeredCeiling(credential, given)) throw new ServiceError('remember_not_allowed')
  if (how !== 'recovery' && policyOf(credential).factors?.includes(how) === false)
    throw new ServiceError('approval_unknown')
  const row = {
    id: newId<AuthorizationId>(),
    signer_id: given.signer_id,
    client_id: given.client_id,
    credential_id: credential.id,
    session_id: way.session,
    sad_hash: way.sadHash,
    kind: given.digests === null ? ('open' as const) : ('bound' as const),
    digest_algorithm: given.digest_algorithm,
    digests: given.digests,
    total: ceiling ?? (given.total as number),
    evidence,
    expires_at: way.expiresAt,
    via: way.via,
    approval_id: given.id,
    session_wide: ceiling !== null,
  }
  await insertAuthorization(tx, binding, row, { description: given.description, createdAt: way.now })
  record({
    type: 'sad.issued',
    outcome: 'ok',
    actor: { kind: 'signer', id: given.signer_id },
    origin,
    facts: {
      kind: row.kind,
      total: row.total,
      ...(ceiling === null ? {} : { session: 1 }),
      factor: how,
      pin: pin ? 1 : 0,
    },
    evidence: {
      client: given.client_id,
      signer: given.signer_id,
      session: way.session,
      credential: credential.id,
      authorization: row.id,
      factor,
    },
    notAfter: credential.not_after,
    ...(given.digests === null ? {} : { digests: given.digests }),
  })
}

async function issueToken(
  tx: Tx,
  record: Record,
  origin: Origin,
  { id, kind, signer_id, client_id }: Given & { client_id: ClientId },
  token: { hash: Uint8Array; session: SessionId; endsAt: Date; confirmation: string | undefined },
): Promise<void> {
  const { hash, session, endsAt, confirmation = null } = token
  const common = { session, signer: signer_id, client: client_id }
  await insertToken(tx, { ...common, hash, scope: SCOPE_OF_KIND[kind], family: id, approval: id, confirmation, endsAt })
  record({
    type: 'auth.token_issued',
    outcome: 'ok',
    actor: { kind: 'signer', id: signer_id },
    origin,
    facts: { scope: SCOPE_OF_KIND[kind] },
    evidence: { ...common, approval: id },
  })
}

function secondsUntil(end: Date, now: Date): number {
  return Math.floor((end.getTime() - now.getTime()) / 1000)
}

/** Whatever is refused leaves its entry. */
async function recordingRefusals<T>(
  { transactions }: ApprovalServices,
  type: 'auth.token_issued' | 'sad.denied',
  origin: Origin,
  work: () => Promise<T>,
): Promise<T> {
  try {
    return await work()
  } catch (error) {
    if (error instanceof ServiceError && isRefusal(error) && error.code !== 'too_often') {
      const refused: AuditEvent = {
        type,
        outcome: 'refused',
        actor: { kind: 'anonymous' },
        origin,
        why: reasonOf(error),
      }
      await transactions.append(refused)
    }
    throw error
  }
}
