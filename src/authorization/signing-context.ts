import type { RowBinding } from '../binding.js'
import type { Credential } from '../credentials/credential.js'
import { type CredentialCache, readCredential } from '../credentials/credential-store.js'
import type { Pool } from '../db/pool.js'
import { asServiceError } from '../db/transaction.js'
import { ServiceError } from '../errors.js'
import { actingFor } from '../identity/assignment.js'
import { type Bearer, bearerOf, type Caller, TOKEN_COLUMNS, TOKEN_JOINS, type TokenRow } from '../identity/caller.js'
import { secretHash } from '../identity/secret-value.js'
import {
  type ApprovalId,
  type AuthorizationId,
  type ClientId,
  type CredentialId,
  isUuid,
  newId,
  type OperationId,
  type SessionId,
  type SignerId,
} from '../ids.js'
import type { Authorization } from './authorization.js'
import type { Earlier } from './retry.js'

/** What the database says of one request to sign: not yet judged. */
export interface SigningContext {
  readonly caller: Caller
  /** The caller's own credential of that id, checked against its binding. */
  readonly credential: Credential | undefined
  /** Whatever the SAD names, whoever's it is; its binding is not checked yet. */
  readonly authorization: (Authorization & Counters) | undefined
  /** The caller's request with this credential under the same key, if there was one. */
  readonly earlier: Earlier | undefined
  readonly now: Date
}

export interface Counters {
  readonly used: number
  readonly revoked_at: Date | null
}

interface Asked {
  readonly bearer: string
  /** Absent where the token in the header is the authorization. */
  readonly sad?: string
  readonly credentialId: string
  readonly retryKey?: string
}

interface Question {
  readonly token: Buffer
  readonly sad: Buffer
  readonly credential: CredentialId
  readonly key: Buffer | null
  resolve(row: Row): void
  reject(error: unknown): void
}

type Row = TokenRow & {
  now: Date
  c_id: CredentialId | null
  c_version: number
  /** The authorization, with `a_` before the columns that the token has too. */
  a_id: AuthorizationId | null
  a_signer: SignerId
  a_client: ClientId
  a_session: SessionId
  /** The earlier request and its signing, with `r_`. */
  r_op: OperationId | null
  r_body: Uint8Array
  r_signatures: Uint8Array | null
  r_state: number | null
  r_deadline: Date | null
  r_index: number | null
  r_leaf_hash: Uint8Array | null
  a_approval: ApprovalId | null
} & Omit<Authorization & Counters, 'id' | 'signer_id' | 'client_id' | 'session_id' | 'approval_id'>

const MAX_BATCH = 256
const MAX_WAITING = 4096

/**
 * Reads token, credential and authorization of a signing in one query, which requests that arrive together share.
 */
export class SigningContexts {
  readonly #pool: Pool
  readonly #binding: RowBinding
  readonly #cache: CredentialCache
  readonly #waiting: Question[] = []
  #busy = false

  constructor(pool: Pool, binding: RowBinding, cache: CredentialCache) {
    this.#pool = pool
    this.#binding = binding
    this.#cache = cache
  }

  /**
   * @throws ServiceError `token_unknown`, `token_expired`, `scope_missing`, `sad_missing`, `sad_unknown`,
   *   `credential_unknown`, `unavailable`,
   *   `overloaded`; TamperedRow
   */
  async load(request: Asked): Promise<SigningContext> {
    const row = await this.#ask(request)
    const bearer = bearerOf(row)
    if (typeof bearer === 'string') throw new ServiceError(bearer)
    requireNamed(bearer, request)
    const credential = row.c_id === null ? undefined : await this.#credential(row.c_id, row.c_version)
    return {
      caller: await this.#acting(bearer, credential),
      credential,
      authorization: authorizationOf(row),
      earlier: earlierOf(row),
      now: row.now,
    }
  }

  async #acting(bearer: Bearer, credential: Credential | undefined): Promise<Caller> {
    try {
      return await actingFor(this.#pool, this.#binding, bearer, credential?.signer_id)
    } catch (error) {
      throw asServiceError(error)
    }
  }

  async #credential(id: CredentialId, version: number): Promise<Credential | undefined> {
    const known = this.#cache.get(id, version)
    if (known !== undefined) return known
    try {
      const credential = await readCredential(this.#pool, this.#binding, id)
      if (credential !== undefined) this.#cache.set(credential)
      return credential
    } catch (error) {
      throw asServiceError(error)
    }
  }

  #ask(request: Asked): Promise<Row> {
    if (this.#waiting.length >= MAX_WAITING) return Promise.reject(new ServiceError('overloaded', { retryAfter: 1 }))
    return new Promise((resolve, reject) => {
      this.#waiting.push({
        token: secretHash(request.bearer),
        // A token that is an authorization needs no SAD beside it.
        sad: secretHash(request.sad ?? request.bearer),
        // Anything that is no id at all asks like an id that nobody has.
        credential: (isUuid(request.credentialId) ? request.credentialId : newId()) as CredentialId,
        key: request.retryKey === undefined ? null : secretHash(request.retryKey),
        resolve,
        reject,
      })
      if (!this.#busy) {
        this.#busy = true
        setImmediate(() => void this.#run())
      }
    })
  }

  async #run(): Promise<void> {
    while (this.#waiting.length > 0) {
      const batch = this.#waiting.splice(0, MAX_BATCH)
      try {
        const { rows } = await this.#pool.query({
          name: 'signing_context',
          text: `select ${TOKEN_COLUMNS}, paraph.now() as now, c.id as c_id, c.version as c_version, a.id as a_id,
                   a.signer_id as a_signer, a.client_id as a_client, a.credential_id, a.session_id as a_session, a.sad_hash, a.kind,
                   a.digest_algorithm, a.digests, a.total, a.used, a.evidence, a.expires_at, a.revoked_at, a.session_wide, a.via,
                   a.approval_id as a_approval, a.binding,
                   r.op as r_op, r.body_hash as r_body, r.signatures as r_signatures, n.state as r_state, n.deadline as r_deadline,
                   o.idx as r_index, (select e.lh from audit.entry e where e.idx = o.idx) as r_leaf_hash
                 from unnest($1::bytea[], $2::bytea[], $3::uuid[], $4::bytea[]) with ordinality as q (token, sad, credential, key, ord)
                 left join paraph.token t on t.hash = q.token ${TOKEN_JOINS}
                 left join paraph.credential c on c.id = q.credential and (c.signer_id = t.signer_id or t.signer_id is null)
                 left join paraph.authorization a on a.sad_hash = q.sad
                 left join paraph.retry r on r.key_hash = q.key and r.client_id = t.client_id
                   and r.signer_id = coalesce(t.signer_id, c.signer_id)
                   and r.credential_id = q.credential and r.expires_at > paraph.now()
                 left join paraph.signing n on n.op = r.op
                 left join audit.op_index o on o.op = r.op and o.ph = 2
                 order by q.ord`,
          values: [
            batch.map((q) => q.token),
            batch.map((q) => q.sad),
            batch.map((q) => q.credential),
            batch.map((q) => q.key),
          ],
        })
        batch.forEach((question, i) => {
          question.resolve(rows[i] as Row)
        })
      } catch (error) {
        for (const question of batch) question.reject(asServiceError(error))
      }
    }
    this.#busy = false
  }
}

/** A token of a credential names its own authorization and no other; one for the service names none. */
function requireNamed({ scope }: Bearer, { bearer, sad }: Asked): void {
  if (scope === 'credential') {
    if (sad !== undefined && sad !== bearer) throw new ServiceError('sad_unknown')
  } else {
    if (scope !== 'service') throw new ServiceError('scope_missing')
    if (sad === undefined) throw new ServiceError('sad_missing')
  }
}

function authorizationOf(row: Row): (Authorization & Counters) | undefined {
  if (row.a_id === null) return undefined
  const {
    credential_id,
    sad_hash,
    kind,
    digest_algorithm,
    digests,
    total,
    used,
    evidence,
    expires_at,
    revoked_at,
    session_wide,
    via,
    binding,
  } = row
  return {
    id: row.a_id,
    signer_id: row.a_signer,
    client_id: row.a_client,
    session_id: row.a_session,
    approval_id: row.a_approval,
    ...{
      credential_id,
      sad_hash,
      kind,
      digest_algorithm,
      digests,
      total,
      used,
      evidence,
      expires_at,
      revoked_at,
      session_wide,
      via,
      binding,
    },
  }
}

function earlierOf(row: Row): Earlier | undefined {
  const { r_op: operation, r_body: body, r_signatures: signatures, r_state, r_deadline, now } = row
  const { r_index: index, r_leaf_hash: leafHash } = row
  if (operation === null) return undefined
  const open = r_state === 0 && r_deadline !== null && r_deadline.getTime() > now.getTime()
  const outcome = index === null || leafHash === null ? undefined : { index, leafHash }
  return { operation, body, signatures: r_state === 1 ? signatures : null, open, outcome }
}
