import type { FrontVerbs } from '../activation.js'
import type { Tx } from '../audit/transaction-log.js'
import { TamperedRow } from '../binding.js'
import type { Credential } from '../credentials/credential.js'
import { readCredential } from '../credentials/credential-store.js'
import { policyOf } from '../credentials/policy.js'
import { ServiceError } from '../errors.js'
import type { FactorKind } from '../factor-kind.js'
import { requirePageCaller } from '../identity/account.js'
import type { Caller } from '../identity/caller.js'
import { requireClient } from '../identity/client.js'
import { deliveredFactor } from '../identity/delivered-code.js'
import { type PasskeyServices, passkeyRequest } from '../identity/passkey.js'
import { REMEMBERED_SECONDS } from '../identity/session.js'
import { type CredentialId, isUuid, type SignerId } from '../ids.js'
import {
  APPROVAL_COLUMNS,
  type Approval,
  approvalChallenge,
  approvalFields,
  comparisonCode,
  lockApproval,
  offeredCeiling,
  requireApprovable,
  writeApproval,
} from './approval.js'
import { creationOf, requireCreatable } from './creation.js'
import { qualifierOf } from './qualifier.js'
import type { ApprovalServices } from './request-approval.js'
import { type SendCodeServices, sendable } from './send-code.js'

type ReadServices = ApprovalServices & Pick<PasskeyServices, 'relyingParty'> & Pick<SendCodeServices, 'delivery'>
type Shown = FrontVerbs['readApproval']['response']

/**
 * What the page shows to the signer who is asked. One that belongs to nobody yet becomes the reader's, if the credential
 * is; somebody else's, an old and an unknown one are answered alike.
 * @throws ServiceError `token_unknown`, `token_expired`, `scope_missing`, `approval_unknown`, `credential_unknown`,
 *   `credential_disabled`, `certificate_expired`, `signature_count_too_high`, `digests_missing`, `client_unknown`, what
 *   `requireCreatable` throws; TamperedRow
 */
export async function readApproval(
  services: ReadServices,
  request: FrontVerbs['readApproval']['request'],
): Promise<Shown> {
  const { transactions, binding } = services
  return transactions.transact(async (tx) => {
    const caller = await requirePageCaller(tx, request.bearer)
    const which = 'name' in request ? { name: request.name } : { id: requireUuid(request.approvalId) }
    const { approval: found, now } = await lockApproval(tx, binding, which)
    const open = found.state === 'pending' || (found.state === 'approved' && found.way === 'oauth')
    const mine = found.signer_id === null ? 'name' in request : found.signer_id === caller.signerId
    if (!open || !mine || found.expires_at.getTime() <= now.getTime()) throw new ServiceError('approval_unknown')
    return show(services, tx, found.signer_id === null ? await claim(services, tx, found, caller) : found, now)
  })
}

/** What waits for the signer's answer and has no page of its own to bring him here. Oldest first. */
export async function listApprovals(
  services: ReadServices,
  request: FrontVerbs['listApprovals']['request'],
): Promise<FrontVerbs['listApprovals']['response']> {
  const { transactions, binding } = services
  return transactions.transact(async (tx) => {
    const caller = await requirePageCaller(tx, request.bearer)
    const { rows } = await tx.query<Approval & { now: Date }>(
      `select ${APPROVAL_COLUMNS}, paraph.now() as now from paraph.approval
        where signer_id = $1 and state = 'pending' and way = 'handle' and expires_at > paraph.now() order by created_at limit 100`,
      [caller.signerId],
    )
    const approvals: Shown[] = []
    for (const { now, ...approval } of rows) {
      if (!binding.fits('approval', approvalFields(approval), approval.binding)) throw new TamperedRow('approval')
      approvals.push(await show(services, tx, approval, now))
    }
    return { approvals }
  })
}

function requireUuid(id: string): string {
  if (!isUuid(id)) throw new ServiceError('approval_unknown')
  return id
}

/** The approval as this signer's from now on, with the credential that he signs with. */
async function claim(services: ApprovalServices, tx: Tx, approval: Approval, caller: Caller): Promise<Approval> {
  const { binding, clock } = services
  if (approval.kind === 'service') return writeApproval(tx, binding, approval, { signer_id: caller.signerId })
  if (approval.kind === 'creation') {
    await requireCreatable(tx, caller.signerId, creationOf(approval))
    return writeApproval(tx, binding, approval, { signer_id: caller.signerId })
  }
  if (approval.details !== null) throw new ServiceError('credential_unknown')
  const id = approval.qualifier === null ? approval.credential_id : await chooseCredential(tx, caller, approval)
  if (id === null) throw new ServiceError('credential_unknown')
  await requireApprovable(tx, binding, approval, { signer: caller.signerId, credential: id }, clock.now())
  return writeApproval(tx, binding, approval, { signer_id: caller.signerId, credential_id: id })
}

/** The signer's oldest usable credential with the qualifier asked for; the one asked for, where one is. */
async function chooseCredential(tx: Tx, caller: Caller, approval: Approval): Promise<CredentialId | null> {
  const { rows } = await tx.query<{ id: CredentialId; qc_statements: string[] }>(
    `select id, qc_statements from paraph.credential where signer_id = $1 and ($2::uuid is null or id = $2) and state = 'active'
        and not_before <= paraph.now() and not_after > paraph.now() order by id limit 1000`,
    [caller.signerId, approval.credential_id],
  )
  return rows.find(({ qc_statements }) => qualifierOf(qc_statements) === approval.qualifier)?.id ?? null
}

async function show(services: ReadServices, tx: Tx, approval: Approval, now: Date): Promise<Shown> {
  const { binding } = services
  const client = approval.way === 'oauth' ? await requireClient(tx, binding, approval.client_id) : undefined
  const credential =
    approval.credential_id === null ? undefined : await readCredential(tx, binding, approval.credential_id)
  const ceiling = credential && offeredCeiling(credential, approval)
  // Whoever is shown it has claimed it.
  const signer = approval.signer_id as SignerId
  return {
    approvalId: approval.id,
    state: approval.state === 'approved' ? 'approved' : 'pending',
    kind: approval.kind,
    clientId: approval.client_id,
    client: client?.name ?? (await nameOf(tx, approval)),
    signerId: signer,
    ...(credential === undefined ? {} : { credential: await factsOf(services, tx, approval, credential) }),
    ...(approval.kind === 'creation' ? { creation: await toBeMade(tx, approval, signer) } : {}),
    ...(approval.total === null ? {} : { numSignatures: approval.total }),
    labels: [...(approval.labels ?? [])],
    ...(approval.description === null ? {} : { description: approval.description }),
    comparison: comparisonCode(approval),
    ...(await passkeyOf(services, tx, approval, signer, credential)),
    ...(ceiling === undefined ? {} : { session: { ceiling, minutes: REMEMBERED_SECONDS / 60 } }),
    expiresIn: Math.floor((approval.expires_at.getTime() - now.getTime()) / 1000),
  }
}

async function toBeMade(tx: Tx, approval: Approval, signer: SignerId): Promise<NonNullable<Shown['creation']>> {
  const { policy, spec } = creationOf(approval).profile
  const { rows } = await tx.query<{ name: string }>('select name from paraph.signer where id = $1', [signer])
  return { certificatePolicy: policy, key: spec, name: rows[0]?.name ?? '' }
}

/** The built-in clients, which ask by handles only, are no rows of an operator. */
async function nameOf(tx: Tx, approval: Approval): Promise<string> {
  const { rows } = await tx.query<{ name: string }>('select name from paraph.client where id = $1', [
    approval.client_id,
  ])
  return rows[0]?.name ?? ''
}

/** What a passkey of the signer is asked for, if the credential accepts one, where one is concerned. */
async function passkeyOf(
  services: ReadServices,
  tx: Tx,
  approval: Approval,
  signer: SignerId,
  credential: Credential | undefined,
): Promise<Pick<Shown, 'passkey'>> {
  if (approval.kind === 'service' || (credential !== undefined && !accepts(credential, 'passkey'))) return {}
  const passkey = await passkeyRequest(services, tx, signer, approvalChallenge(approval))
  if (passkey === undefined) return {}
  const ceiling = credential && offeredCeiling(credential, approval)
  if (ceiling === undefined) return { passkey }
  const sessionChallenge = approvalChallenge({ ...approval, session_ceiling: ceiling }).toString('base64url')
  return { passkey: { ...passkey, sessionChallenge } }
}

const accepts = (credential: Credential, kind: FactorKind) => policyOf(credential).factors?.includes(kind) ?? true

async function hasApp(tx: Tx, { signer_id }: Credential): Promise<boolean> {
  const { rows } = await tx.query(
    `select from paraph.factor where signer_id = $1 and kind = 'totp' and state = 'active' limit 1`,
    [signer_id],
  )
  return rows.length > 0
}

async function factsOf(
  services: ReadServices,
  tx: Tx,
  { kind }: Approval,
  credential: Credential,
): Promise<NonNullable<Shown['credential']>> {
  const channels = sendable(credential).filter((channel) => services.delivery.has(channel))
  return {
    credentialId: credential.id,
    subject: credential.subject_dn ?? '',
    ...(credential.description === null ? {} : { description: credential.description }),
    pin: credential.pin_hash !== null,
    code: accepts(credential, 'totp') && (await hasApp(tx, credential)),
    // What is sent says that it is for signing.
    sends:
      kind === 'credential' &&
      (await deliveredFactor(tx, services.binding, credential.signer_id, channels)) !== undefined,
  }
}
