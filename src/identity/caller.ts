import { type ClientId, isUuid, type SessionId, type SignerId } from '../ids.js'

/** A client that acts with a token of its own: which signers it acts for, its assignments say. */
export interface ClientCaller {
  readonly clientId: ClientId
  readonly sessionId: SessionId
  readonly scope: string
  /** The key (`jkt:`) or certificate (`x5t:`) that must come with the token. */
  readonly confirmation: string | null
}

/** A signer acting through a client, as proved by a live access token. */
export interface Caller extends ClientCaller {
  readonly signerId: SignerId
}

/** Whoever holds a live access token. */
export type Bearer = Caller | ClientCaller

/** What the database says of an access token; null fields where there is no such token. */
export interface TokenRow {
  readonly token_kind: string | null
  readonly signer_id: string | null
  readonly client_id: string | null
  readonly session_id: string | null
  readonly scope: string | null
  readonly confirmation: string | null
  /** Expired, revoked, session ended, signer suspended or client disabled. */
  readonly over: boolean | null
}

/** Columns of `TokenRow`, over `paraph.token t` left-joined to session `s`, signer `g` and client `l`. */
export const TOKEN_COLUMNS = `t.kind as token_kind, t.signer_id, t.client_id, t.session_id, t.scope, t.confirmation,
  (t.revoked_at is not null or t.expires_at <= paraph.now() or s.ended_at is not null or s.ends_at <= paraph.now()
    or coalesce(g.state <> 'active', t.signer_id is not null) or l.state <> 'active') as over`
export const TOKEN_JOINS = `left join paraph.session s on s.id = t.session_id
  left join paraph.signer g on g.id = t.signer_id left join paraph.client l on l.id = t.client_id`

/** Who holds it, or why nobody does. */
export function bearerOf(row: TokenRow | undefined): Bearer | 'token_unknown' | 'token_expired' {
  if (row === undefined || row.token_kind !== 'access') return 'token_unknown'
  if (row.over !== false) return 'token_expired'
  const client = {
    clientId: row.client_id as ClientId,
    sessionId: row.session_id as SessionId,
    scope: row.scope as string,
    confirmation: row.confirmation,
  }
  return row.signer_id === null ? client : { ...client, signerId: row.signer_id as SignerId }
}

/** The caller, or why there is none; a client without a signer is none. */
export function callerOf(row: TokenRow | undefined): Caller | 'token_unknown' | 'token_expired' {
  const bearer = bearerOf(row)
  return typeof bearer === 'string' || isCaller(bearer) ? bearer : 'token_unknown'
}

export function isCaller(bearer: Bearer): bearer is Caller {
  return 'signerId' in bearer && isUuid(bearer.signerId)
}
