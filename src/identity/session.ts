import type { Origin, TokenScope } from '../activation.js'
import type { Record, Tx } from '../audit/transaction-log.js'
import { type ClientId, newId, type SessionId, type SignerId } from '../ids.js'
import { newSecretValue, secretHash } from './secret-value.js'

/** A session starts at login and lasts this long, in seconds. */
const SESSION_SECONDS = 180
/** A remembered session lasts so long from the last verified code on, and so long from its start at most, in seconds. */
export const REMEMBERED_SECONDS = 30 * 60
const LONGEST_SECONDS = 2 * 3600
/** How long a refresh token can open a new session, in seconds. */
const REFRESH_SECONDS = 30 * 24 * 3600

export interface IssuedTokens {
  readonly accessToken: string
  readonly refreshToken?: string
  /** Seconds until the session ends. */
  readonly expiresIn: number
}

/** A session for somebody who holds no token of ours yet. */
export async function openSession(
  tx: Tx,
  who: { signer: SignerId | null; client: ClientId },
): Promise<{ session: SessionId; endsAt: Date; startedAt: Date }> {
  const session = newId<SessionId>()
  const { rows } = await tx.query<{ started_at: Date; ends_at: Date }>(
    `with now as materialized (select paraph.now() as at)
     insert into paraph.session (id, signer_id, client_id, started_at, ends_at)
     select $1, $2, $3, at, at + make_interval(secs => $4) from now returning started_at, ends_at`,
    [session, who.signer, who.client, SESSION_SECONDS],
  )
  const { started_at: startedAt, ends_at: endsAt } = rows[0] as { started_at: Date; ends_at: Date }
  return { session, startedAt, endsAt }
}

/** Every front hears the hash of an access token that it may be shown, so that no front takes its holder for a stranger. */
const TELL_FRONTS = `select pg_notify('paraph_token', encode(hash, 'base64')) from made`

/** An access token that somebody else made, by its hash. It ends with its session. */
export interface OutsideToken {
  readonly hash: Uint8Array
  readonly session: SessionId
  readonly signer: SignerId | null
  readonly client: ClientId
  readonly scope: TokenScope
  readonly family: string
  readonly approval: string | null
  /** The key or certificate that must come with it, as the column says it. */
  readonly confirmation: string | null
  readonly endsAt: Date
}

export async function insertToken(tx: Tx, token: OutsideToken): Promise<void> {
  await tx.query(
    `with made as (
       insert into paraph.token (hash, kind, session_id, signer_id, client_id, scope, family, expires_at, confirmation, approval_id)
       values ($1, 'access', $2, $3, $4, $5, $6, $7, $8, $9) returning hash)
     ${TELL_FRONTS}`,
    [
      token.hash,
      token.session,
      token.signer,
      token.client,
      token.scope,
      token.family,
      token.endsAt,
      token.confirmation,
      token.approval,
    ],
  )
}

/** Starts a session and issues its tokens, inside the caller's transaction. */
export async function startSession(
  tx: Tx,
  who: { signer: SignerId; client: ClientId; scope: string; rememberMe: boolean; family?: string },
): Promise<{ session: SessionId; tokens: IssuedTokens }> {
  const accessToken = newSecretValue()
  const refreshToken = who.rememberMe ? newSecretValue() : undefined
  const family = who.family ?? newId()
  const { session } = await openSession(tx, { signer: who.signer, client: who.client })
  const insert = `with made as (
      insert into paraph.token (hash, kind, session_id, signer_id, client_id, scope, family, expires_at)
      values ($1, $2, $3, $4, $5, $8, $6, paraph.now() + make_interval(secs => $7)) returning hash, kind)
    ${TELL_FRONTS} where kind = 'access'`
  await tx.query(insert, [
    secretHash(accessToken),
    'access',
    session,
    who.signer,
    who.client,
    family,
    SESSION_SECONDS,
    who.scope,
  ])
  if (refreshToken !== undefined) {
    await tx.query(insert, [
      secretHash(refreshToken),
      'refresh',
      session,
      who.signer,
      who.client,
      family,
      REFRESH_SECONDS,
      who.scope,
    ])
  }
  return {
    session,
    tokens: { accessToken, expiresIn: SESSION_SECONDS, ...(refreshToken === undefined ? {} : { refreshToken }) },
  }
}

/**
 * Moves the end of a session, and of its access tokens, after a code was verified: to half an hour from now, and never
 * beyond two hours from its start.
 * @returns the new end, or undefined when the session is over
 */
export async function rememberSession(
  tx: Tx,
  record: Record,
  { session, signer, client }: { session: SessionId; signer: SignerId; client: ClientId },
  origin: Origin,
): Promise<Date | undefined> {
  // Tokens before sessions, as everybody locks them who ends either.
  await tx.query(`select from paraph.token where session_id = $1 and kind = 'access' for update`, [session])
  const { rows } = await tx.query<{ ends_at: Date }>(
    `update paraph.session set remembered = true,
            ends_at = greatest(ends_at, least(paraph.now() + make_interval(secs => $2), started_at + make_interval(secs => $3)))
      where id = $1 and ended_at is null and ends_at > paraph.now() returning ends_at`,
    [session, REMEMBERED_SECONDS, LONGEST_SECONDS],
  )
  await tx.query(
    `update paraph.token t set expires_at = s.ends_at from paraph.session s
      where s.id = $1 and t.session_id = s.id and t.kind = 'access' and t.revoked_at is null`,
    [session],
  )
  const ends = rows[0]?.ends_at
  if (ends !== undefined) {
    record({
      type: 'auth.session_extended',
      outcome: 'ok',
      actor: { kind: 'signer', id: signer },
      origin,
      evidence: { client, signer, session },
    })
  }
  return ends
}

/**
 * Ends sessions at once: their authorizations die with them, and every process forgets the callers it has cached.
 * @returns the sessions that ended now
 */
export async function endSessions(
  tx: Tx,
  record: Record,
  which: { session: SessionId } | { signer: SignerId; but?: SessionId } | { family: string },
  why: string,
  origin: Origin | undefined,
): Promise<void> {
  const [condition, value] =
    'session' in which
      ? ['s.id = $1', which.session]
      : 'signer' in which
        ? ['s.signer_id = $1', which.signer]
        : ['s.id in (select session_id from paraph.token where family = $1)', which.family]
  const { rows } = await tx.query<{ id: string; signer_id: string | null; client_id: string }>(
    `update paraph.session s set ended_at = paraph.now(), ended_why = $2
      where ${condition} and s.id is distinct from $3 and s.ended_at is null and s.ends_at > paraph.now() returning s.id, s.signer_id, s.client_id`,
    [value, why, 'but' in which ? which.but : null],
  )
  for (const { id, signer_id: signer, client_id: client } of rows) {
    await tx.query(`select pg_notify('paraph_session', $1)`, [id])
    record({
      type: 'auth.session_ended',
      outcome: 'ok',
      // A client's own session has no signer.
      actor: signer === null ? { kind: 'client', id: client } : { kind: 'signer', id: signer },
      why,
      ...(origin === undefined ? {} : { origin }),
      evidence: { client, session: id, ...(signer === null ? {} : { signer }) },
    })
  }
}

/** No token of the signer is taken any more, refresh tokens included; those of one session may stay. */
export async function revokeTokens(tx: Tx, signer: SignerId, but?: SessionId): Promise<void> {
  await tx.query(
    `update paraph.token set revoked_at = coalesce(revoked_at, paraph.now())
      where signer_id = $1 and session_id is distinct from $2`,
    [signer, but ?? null],
  )
}
