import { randomBytes } from 'node:crypto'
import { type FrontVerbs, SCOPE_OF_KIND } from '../activation.js'
import type { AuditEvent } from '../audit/event.js'
import type { TransactionLog, Tx } from '../audit/transaction-log.js'
import { isRefusal, type RowBinding, reasonOf } from '../binding.js'
import type { Clock } from '../clock.js'
import { algorithmOfLength, DIGEST_LENGTH } from '../digest.js'
import { ServiceError } from '../errors.js'
import { type Caller, callerOf, TOKEN_COLUMNS, TOKEN_JOINS, type TokenRow } from '../identity/caller.js'
import { requireClient } from '../identity/client.js'
import { redirectAllowed } from '../identity/redirect-uri.js'
import { secretHash } from '../identity/secret-value.js'
import { type ApprovalId, type ClientId, type CredentialId, isUuid, newId, type SignerId } from '../ids.js'
import {
  type Approval,
  approvalEvent,
  approvalFields,
  comparisonCode,
  nameHash,
  requireApprovable,
} from './approval.js'
import { creationText, readCreation } from './creation.js'

export interface ApprovalServices {
  readonly transactions: TransactionLog
  readonly binding: RowBinding
  readonly clock: Clock
}

type Request = FrontVerbs['requestApproval']['request']

/** How long a signer may take, in seconds; that of a handle ends with the session that asked. */
const OAUTH_SECONDS = 600
const HANDLE_SECONDS = 300

/**
 * Writes down what a signer is asked to agree to. From here on neither the files nor the client can change: the row is
 * bound, and the nonce of the comparison code is drawn after the digests are fixed.
 *
 * What depends on the credential is judged here for a handle, whose signer is known, and else when the signer reads it:
 * before somebody has signed in, nobody learns which credentials exist.
 * @throws ServiceError `client_unknown`, `token_unknown`, `token_expired`, `scope_missing`, `credential_unknown`,
 *   `credential_disabled`, `certificate_expired`, `signature_count_invalid`, `signature_count_too_high`,
 *   `digests_missing`, `digests_empty`, `digest_length_invalid`, `parameter_invalid`, `code_missing` for a handle that nothing
 *   could answer; TamperedRow
 */
export async function requestApproval(
  services: ApprovalServices & { readonly certifies: boolean },
  request: Request,
): Promise<FrontVerbs['requestApproval']['response']> {
  const { transactions, binding, clock } = services
  try {
    return await transactions.transact(async (tx, record) => {
      const asker = await requireAsker(tx, binding, request)
      const asked = request.kind === 'credential' ? requireAcceptable(request) : { total: null, digests: null }
      const wish = request.kind === 'creation' ? requireOffered(services, request) : null
      const credential = request.kind === 'service' || wish !== null ? null : credentialOf(request)
      if (asker.caller !== undefined && credential !== null) {
        const named = { ...asked, kind: request.kind, client_id: asker.caller.clientId }
        const whose = { signer: asker.caller.signerId, credential }
        await requireApprovable(tx, binding, named, whose, clock.now())
      }
      const approval = await insertApproval(tx, binding, request, asker, asked, credential, wish)
      record(approvalEvent('approval.requested', approval, request.origin, approval.session_id))
      return {
        approvalId: approval.id,
        comparison: comparisonCode(approval),
        nonce: Buffer.from(approval.nonce).toString('base64url'),
        expiresIn: Math.floor((approval.expires_at.getTime() - approval.created_at.getTime()) / 1000),
      }
    })
  } catch (error) {
    if (error instanceof ServiceError && isRefusal(error)) await transactions.append(refused(request, error))
    throw error
  }
}

interface Asker {
  readonly client: ClientId
  /** Of a handle: a signer's session asks. */
  readonly caller: Caller | undefined
}

async function requireAsker(tx: Tx, binding: RowBinding, request: Request): Promise<Asker> {
  if (request.way === 'handle') {
    const { rows } = await tx.query(
      `select ${TOKEN_COLUMNS} from (select $1::bytea as hash) q left join paraph.token t on t.hash = q.hash ${TOKEN_JOINS}`,
      [secretHash(request.bearer)],
    )
    const caller = callerOf(rows[0] as TokenRow | undefined)
    if (typeof caller === 'string') throw new ServiceError(caller)
    if (caller.scope !== 'service') throw new ServiceError('scope_missing')
    return { client: caller.clientId, caller }
  }
  const client = await requireClient(tx, binding, request.clientId)
  if (
    !client.scopes.includes(SCOPE_OF_KIND[request.kind]) ||
    !redirectAllowed(client.redirect_uris, request.redirectUri)
  ) {
    throw new ServiceError('client_unknown')
  }
  return { client: client.id, caller: undefined }
}

/** Anything that is no id at all is asked for like an id that nobody has. */
function credentialOf({ credentialId }: Request): CredentialId | null {
  if (credentialId === undefined) return null
  return (isUuid(credentialId) ? credentialId : newId()) as CredentialId
}

/** What shall be made, as the row keeps it; only where this service has a certificate for it. */
function requireOffered({ certifies }: { readonly certifies: boolean }, { creation }: Request): string {
  if (!certifies) throw new ServiceError('client_unknown')
  return creationText(readCreation(creation))
}

/** Counts and digests, as far as they can be judged without the credential. */
function requireAcceptable(request: Request): { total: number; digests: Uint8Array[] | null } {
  const { numSignatures: total, digestAlgorithm: algorithm } = request
  if (total === undefined || !Number.isSafeInteger(total) || total < 1)
    throw new ServiceError('signature_count_invalid')
  if (total > 1_000_000) throw new ServiceError('signature_count_too_high')
  if (request.digests === undefined) return { total, digests: null }
  if (request.digests.length === 0) throw new ServiceError('digests_empty')
  const digests = request.digests.map((text) => Buffer.from(text, 'base64'))
  for (const { length } of digests) {
    const fits = algorithm === undefined ? algorithmOfLength(length) !== undefined : length === DIGEST_LENGTH[algorithm]
    if (!fits) throw new ServiceError('digest_length_invalid')
  }
  if (digests.length !== total) throw new ServiceError('signature_count_invalid')
  return { total, digests }
}

interface Found {
  readonly now: Date
  readonly ends_at: Date | null
  readonly credential_id: CredentialId | null
}

async function insertApproval(
  tx: Tx,
  binding: RowBinding,
  request: Request,
  { client, caller }: Asker,
  asked: Pick<Approval, 'total' | 'digests'>,
  credential: CredentialId | null,
  creation: string | null,
): Promise<Approval> {
  const { rows } = await tx.query<Found>(
    `select paraph.now() as now, (select ends_at from paraph.session where id = $1) as ends_at,
            (select id from paraph.credential where id = $2) as credential_id`,
    [caller?.sessionId ?? null, credential],
  )
  const { now, ends_at, credential_id } = rows[0] as Found
  const until = now.getTime() + (caller === undefined ? OAUTH_SECONDS : HANDLE_SECONDS) * 1000
  const row: Omit<Approval, 'binding'> = {
    id: newId<ApprovalId>(),
    name_hash: nameHash(request.name),
    kind: request.kind,
    way: request.way,
    state: 'pending',
    client_id: client,
    session_id: caller?.sessionId ?? null,
    signer_id: (caller?.signerId ?? null) as SignerId | null,
    ...asked,
    credential_id,
    qualifier: request.qualifier ?? null,
    digest_algorithm: asked.digests === null ? null : (request.digestAlgorithm ?? null),
    labels: request.labels ?? null,
    description: request.description ?? null,
    // One that does not exist is refused where somebody else's is: when a signer reads it.
    details: credential === credential_id ? creation : JSON.stringify({ credential }),
    remember: false,
    nonce: randomBytes(32),
    evidence: null,
    created_at: now,
    expires_at: new Date(Math.min(until, ends_at?.getTime() ?? until)),
    decided_at: null,
    exchanged_at: null,
    session_ceiling: null,
  }
  const bound = { ...row, binding: binding.mac('approval', approvalFields(row)) }
  await tx.query(
    `insert into paraph.approval (id, name_hash, kind, way, state, client_id, session_id, signer_id, credential_id, qualifier,
       digest_algorithm, digests, labels, total, description, details, nonce, created_at, expires_at, binding)
     values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13, $14, $15, $16, $17, $18, $19, $20)`,
    [
      bound.id,
      bound.name_hash,
      bound.kind,
      bound.way,
      bound.state,
      bound.client_id,
      bound.session_id,
      bound.signer_id,
      bound.credential_id,
      bound.qualifier,
      bound.digest_algorithm,
      bound.digests,
      bound.labels,
      bound.total,
      bound.description,
      bound.details,
      bound.nonce,
      bound.created_at,
      bound.expires_at,
      bound.binding,
    ],
  )
  return bound
}

function refused({ origin }: Request, error: ServiceError): AuditEvent {
  return {
    type: 'approval.requested',
    outcome: 'refused',
    actor: { kind: 'anonymous' },
    origin,
    why: reasonOf(error),
  }
}
