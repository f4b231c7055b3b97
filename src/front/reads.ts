import type { CredentialSummary } from '../activation.js'
import { readTile, type StoredCheckpoint, shownCheckpoint } from '../audit/stored-tree.js'
import { ServiceError } from '../errors.js'
import type { FactorKind } from '../factor-kind.js'
import { type Bearer, bearerOf, type Caller, TOKEN_COLUMNS, TOKEN_JOINS, type TokenRow } from '../identity/caller.js'
import { type ClientId, type CredentialId, isUuid, type SessionId, type SignerId } from '../ids.js'
import type { Reader } from './database.js'

export type KeySpec = CredentialSummary['key']

/** A credential as its signer may see it. */
export interface CredentialRow {
  readonly id: CredentialId
  readonly spec: KeySpec
  readonly state: 'pending' | 'active' | 'suspended' | 'revoked'
  readonly description: string | null
  readonly scal: '1' | '2'
  readonly multisign: number
  readonly has_pin: boolean
  /** Active ones of the signer that the credential's policy accepts, oldest first. */
  readonly factors: readonly { readonly kind: FactorKind; readonly label: string | null }[]
  /** What the policy accepts; null: any kind. */
  readonly accepted: readonly FactorKind[] | null
  /** DER, leaf first; empty while there is no certificate. */
  readonly chain: readonly Buffer[]
  readonly subject_dn: string | null
  readonly issuer_dn: string | null
  readonly serial_number: string | null
  readonly not_before: Date | null
  readonly not_after: Date | null
  readonly qc_statements: readonly string[]
  readonly policies: readonly string[]
  /** By the database's clock; null without a certificate. */
  readonly expired: boolean | null
  readonly early: boolean | null
}

/** A session as its client may see it. */
export interface SessionRow {
  readonly login: string
  readonly name: string
  readonly ends_at: Date
  /** Whole seconds until then, by the database's clock. */
  readonly seconds: number
  readonly remembered: boolean
  /** Those that have something left, in the order in which they were given. */
  readonly authorizations: readonly AuthorizationRow[]
}

interface AuthorizationRow {
  readonly credential_id: CredentialId
  readonly kind: 'bound' | 'open'
  readonly session_wide: boolean
  readonly total: number
  readonly used: number
  readonly expires_at: Date
  readonly description: string | null
}

/**
 * What the front reads, with the role `paraph_front`. Every credential is asked for together with its signer, so that
 * somebody else's and a missing one are the same question with the same answer.
 * All reject with ServiceError `unavailable` or `overloaded` when there is no answer.
 */
export interface FrontReads {
  /** Who holds the access token with this SHA-256, or why nobody does. */
  caller(tokenHash: Uint8Array): Promise<Bearer | 'token_unknown' | 'token_expired'>
  /** The owner of a credential, if the client may act for him. */
  assignedOwner(client: ClientId, credential: string): Promise<SignerId | undefined>
  /** The signer with this login or id, if the client may act for him. */
  assignedSigner(client: ClientId, who: string): Promise<SignerId | undefined>
  /** Credentials with a certificate, oldest first, after the one with id `after`. */
  credentials(
    caller: Pick<Caller, 'signerId' | 'sessionId'>,
    page: { limit: number; after?: string; usable?: boolean },
  ): Promise<CredentialRow[]>
  /** Any text may be asked for; what is no id is nobody's. */
  credential(caller: Pick<Caller, 'signerId' | 'sessionId'>, id: string): Promise<CredentialRow | undefined>
  /** The kind of the signer's key, which never changes. */
  keySpec(signer: SignerId, id: string): Promise<KeySpec | undefined>
  /** The caller's session. @throws ServiceError `token_expired` when it is over */
  session(caller: Caller): Promise<SessionRow>
  /** The credential that the token of this session, one of scope `credential`, is for. */
  credentialOf(session: SessionId): Promise<CredentialId | undefined>
  /** An active client, as it is registered. */
  client(id: string): Promise<ClientRow | undefined>
  /** Whose the live access token with this SHA-256 is. */
  tokenClient(tokenHash: Uint8Array): Promise<string | undefined>
  /** The newest signed head of the log's tree. */
  checkpoint(): Promise<StoredCheckpoint | undefined>
  /** Hashes of the tree, as `readTile` has them. */
  tile(level: number, n: number): Promise<Uint8Array>
  /** Resolves when reads work. */
  alive(): Promise<void>
}

/** What a front knows of a client: enough to recognise it, and nothing that proves to be it. */
export interface ClientRow {
  readonly id: string
  readonly name: string
  readonly secret_hash: Buffer | null
  readonly redirect_uris: readonly string[]
  readonly auth_method: 'client_secret' | 'private_key_jwt' | 'tls' | 'none'
  readonly jwks: string | null
  readonly scopes: readonly string[]
}

interface Assigned {
  readonly signer_id: SignerId
}

const NOBODYS = '00000000-0000-0000-0000-000000000000'

/**
 * In a remembered session hashes need not be named beforehand, whatever the credential says otherwise; nor with a credential
 * token that its client can use in any session.
 */
const scalIn = (session: string) => `case when exists (select from paraph.authorization a
    join paraph.session own on own.id = a.session_id and own.ended_at is null
    where (a.session_id = ${session} or (a.via = 'token' and a.signer_id = c.signer_id
        and a.client_id = (select s.client_id from paraph.session s where s.id = ${session})))
      and a.credential_id = c.id and a.session_wide and a.revoked_at is null
      and a.expires_at > paraph.now() and a.used < a.total) then '1' else scal end as scal`

const FACTORS = `c.policy::jsonb -> 'factors' as accepted, coalesce((
    select json_agg(json_build_object('kind', f.kind, 'label', f.label) order by f.created_at) from paraph.factor f
     where f.signer_id = c.signer_id and f.state = 'active'
       and (c.policy is null or c.policy::jsonb -> 'factors' is null or c.policy::jsonb -> 'factors' ? f.kind)), '[]') as factors`

/** Columns of `CredentialRow`, over `paraph.credential c`, for the session that the parameter names. */
const columns = (
  session: string,
) => `id, spec, state, description, ${scalIn(session)}, ${FACTORS}, multisign, has_pin, chain, subject_dn, issuer_dn, serial_number, not_before,
  not_after, qc_statements, policies, not_after <= paraph.now() as expired, not_before > paraph.now() as early`

/** Ids sort by time of making (UUIDv7), which is why a page can begin after one. */
const LIST = `select ${columns('$5')} from paraph.credential c
  where signer_id = $1 and id > $2 and cardinality(chain) > 0
    and (not $4 or (state = 'active' and not_before <= paraph.now() and not_after > paraph.now()))
  order by id limit $3`

const MOST_SPECS = 10_000

export function frontReads(database: Reader): FrontReads {
  /** Only of credentials that were found; who asks for anything else asks the database each time. */
  const specs = new Map<string, KeySpec>()

  function remember(key: string, spec: KeySpec): void {
    if (specs.size >= MOST_SPECS) specs.clear()
    specs.set(key, spec)
  }

  return {
    async caller(tokenHash) {
      const rows = await database.query<TokenRow>(
        'caller',
        `select ${TOKEN_COLUMNS} from paraph.token t ${TOKEN_JOINS} where t.hash = $1`,
        [tokenHash],
      )
      return bearerOf(rows[0])
    },
    async assignedOwner(client, credential) {
      const text = `select a.signer_id from paraph.client_signer a join paraph.credential c on c.signer_id = a.signer_id
        join paraph.signer g on g.id = a.signer_id and g.state = 'active' where a.client_id = $1 and c.id = $2`
      return (await database.query<Assigned>('assigned_owner', text, [client, uuidOf(credential)]))[0]?.signer_id
    },
    async assignedSigner(client, who) {
      const text = `select a.signer_id from paraph.client_signer a join paraph.signer g on g.id = a.signer_id and g.state = 'active'
        where a.client_id = $1 and (g.id = $2 or lower(g.login) = lower($3))`
      return (await database.query<Assigned>('assigned_signer', text, [client, uuidOf(who), who]))[0]?.signer_id
    },
    credentials({ signerId, sessionId }, { limit, after = NOBODYS, usable = false }) {
      return database.query<CredentialRow>('credentials', LIST, [signerId, after, limit, usable, sessionId])
    },
    async credential({ signerId, sessionId }, id) {
      const text = `select ${columns('$3')} from paraph.credential c where signer_id = $1 and id = $2 and cardinality(chain) > 0`
      return (await database.query<CredentialRow>('credential', text, [signerId, uuidOf(id), sessionId]))[0]
    },
    async keySpec(signer, id) {
      const key = `${signer} ${id}`
      const known = specs.get(key)
      if (known !== undefined) return known
      const text = 'select spec from paraph.credential where signer_id = $1 and id = $2'
      const [row] = await database.query<{ spec: KeySpec }>('key_spec', text, [signer, uuidOf(id)])
      if (row !== undefined) remember(key, row.spec)
      return row?.spec
    },
    async session({ sessionId }) {
      const text = `select g.login, g.name, s.ends_at, s.remembered,
          floor(extract(epoch from s.ends_at - paraph.now()))::int as seconds,
          a.credential_id, a.kind, a.session_wide, a.total, a.used, a.expires_at, a.description
        from paraph.session s join paraph.signer g on g.id = s.signer_id
        left join paraph.authorization a
          on a.session_id = s.id and a.revoked_at is null and a.expires_at > paraph.now() and a.used < a.total
        where s.id = $1 and s.ended_at is null and s.ends_at > paraph.now() order by a.created_at`
      const rows = await database.query<Omit<SessionRow, 'authorizations'> & AuthorizationRow>('session', text, [
        sessionId,
      ])
      const [row] = rows
      if (row === undefined) throw new ServiceError('token_expired')
      return { ...row, authorizations: rows.filter(({ credential_id }) => credential_id !== null) }
    },
    async credentialOf(session) {
      const text = `select credential_id from paraph.authorization where session_id = $1 and via = 'token'`
      return (await database.query<{ credential_id: CredentialId }>('credential_of', text, [session]))[0]?.credential_id
    },
    async client(id) {
      const text = `select id, name, secret_hash, redirect_uris, auth_method, jwks, scopes from paraph.client
        where id = $1 and state = 'active' and id not in ('basic', 'pages')`
      return (await database.query<ClientRow>('client', text, [id]))[0]
    },
    async tokenClient(tokenHash) {
      const text = `select client_id from paraph.token where hash = $1 and kind = 'access' and revoked_at is null and expires_at > paraph.now()`
      return (await database.query<{ client_id: string }>('token_client', text, [tokenHash]))[0]?.client_id
    },
    checkpoint: () => shownCheckpoint(database.query),
    tile: (level, n) => readTile(database.query, level, n),
    async alive() {
      await database.query('alive', 'select from paraph.session limit 1', [])
    },
  }
}

function uuidOf(id: string): string {
  return isUuid(id) ? id : NOBODYS
}
