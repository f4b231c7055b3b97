import { type ClientId, isUuid, type SessionId, type SignerId } from '../ids.js'

/** A signer acting through a client, as proved by a live access token. */
export interface Caller {
  readonly signerId: SignerId
  readonly clientId: ClientId
  readonly sessionId: SessionId
  readonly scope: string
}

/** What the database says of an access token; null fields where there is no such token. */
export interface TokenRow {
  readonly token_kind: string | null
  readonly signer_id: string | null
  readonly client_id: string | null
  readonly session_id: string | null
  readonly scope: string | null
  /** Expired, revoked, session ended, signer suspended or client disabled. */
  readonly over: boolean | null
}

/** Columns of `TokenRow`, over `paraph.token t` left-joined to session `s`, signer `g` and client `l`. */
export const TOKEN_COLUMNS = `t.kind as token_kind, t.signer_id, t.client_id, t.session_id, t.scope,
  (t.revoked_at is not null or t.expires_at <= paraph.now() or s.ended_at is not null or s.ends_at <= paraph.now()
    or g.state <> 'active' or l.state <> 'active') as over`
export const TOKEN_JOINS = `left join paraph.session s on s.id = t.session_id
  left join paraph.signer g on g.id = t.signer_id left join paraph.client l on l.id = t.client_id`

/** The caller, or why there is none. */
export function callerOf(row: TokenRow | undefined): Caller | 'token_unknown' | 'token_expired' {
  if (row === undefined || row.token_kind !== 'access' || row.signer_id === null || !isUuid(row.signer_id))
    return 'token_unknown'
  if (row.over !== false) return 'token_expired'
  return {
    signerId: row.signer_id as SignerId,
    clientId: row.client_id as ClientId,
    sessionId: row.session_id as SessionId,
    scope: row.scope as string,
  }
}
