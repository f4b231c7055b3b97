import type { FrontVerbs } from '../activation.js'
import type { AuditEvent } from '../audit/event.js'
import type { Record, Tx } from '../audit/transaction-log.js'
import { isRefusal, reasonOf } from '../binding.js'
import type { Credential } from '../credentials/credential.js'
import { policyOf } from '../credentials/policy.js'
import { ServiceError } from '../errors.js'
import type { FactorKind } from '../factor-kind.js'
import { requirePageCaller } from '../identity/account.js'
import type { Caller } from '../identity/caller.js'
import { requireClient } from '../identity/client.js'
import { matchDeliveredCode } from '../identity/delivered-code.js'
import { matchPasskey, type PasskeyServices } from '../identity/passkey.js'
import {
  type FactorEvidence,
  type FactorMatch,
  type FactorServices,
  matchOneTimeCode,
  verifyFactors,
} from '../identity/verify-factors.js'
import { type CredentialId, isUuid } from '../ids.js'
import {
  type Approval,
  approvalChallenge,
  approvalEvent,
  approvalStatement,
  lockApproval,
  offeredCeiling,
  requireApprovable,
  writeApproval,
} from './approval.js'
import { creationOf, requireCreatable } from './creation.js'

type Approve = FrontVerbs['approve']['request']

/**
 * The signer's yes, on our own page: his factors, verified; for letting a client act, a fresh session of the page is
 * enough. Durable on return, in one transaction: the code is burned, the approval says so, and so does the log. It
 * authorizes nothing yet: whoever asked exchanges it, once.
 * @throws ServiceError `token_unknown`, `token_expired`, `scope_missing`, `approval_unknown` also for one that is
 *   answered already, `remember_not_allowed`, what `requireApprovable`, `requireCreatable` and `verifyFactors` throw;
 *   TamperedRow
 */
export async function approve(services: PasskeyServices, request: Approve): Promise<Empty> {
  const { caller, approval, credential, ceiling } = await open(services, request)
  let assertion: string | undefined
  const yes = async (tx: Tx, record: Record, evidence: FactorEvidence | undefined) => {
    const { approval: current, now } = await lockApproval(tx, services.binding, { id: approval.id })
    if (!isOpen(current, caller, now)) {
      record(deniedEvent(request, approval, caller, 'approval_unknown'))
      return new ServiceError('approval_unknown')
    }
    const approved = await writeApproval(tx, services.binding, current, {
      state: 'approved',
      decided_at: now,
      session_ceiling: ceiling,
      remember: approval.kind === 'service' && approval.way === 'oauth' && request.remember === true,
      evidence: JSON.stringify({ ...evidence, pages: caller.sessionId }),
    })
    const event = approvalEvent('approval.granted', approved, request.origin, caller.sessionId)
    record({
      ...event,
      facts: {
        ...event.facts,
        remember: approved.remember ? 1 : 0,
        ...(ceiling === null ? {} : { session: 1, ceiling }),
        ...(evidence === undefined ? {} : { factor: evidence.kind }),
      },
      evidence: {
        ...event.evidence,
        ...(evidence === undefined ? {} : { factor: evidence.factor }),
        ...(assertion === undefined ? {} : { assertion }),
      },
      notAfter: credential?.not_after ?? null,
    })
    return {}
  }
  if (approval.kind === 'service') {
    const outcome = await services.transactions.transact((tx, record) => yes(tx, record, undefined))
    if (outcome instanceof ServiceError) throw outcome
    return outcome
  }
  const question = {
    signer: caller.signerId,
    match: async () => {
      const { code = '', assertion: presented } = request.factors
      const accepted = credential === undefined ? undefined : policyOf(credential).factors
      if (presented === undefined) return matchCode(services, approval, caller, code, accepted)
      if (accepted !== undefined && !accepted.includes('passkey')) return undefined
      const agreed = { ...approval, session_ceiling: ceiling }
      const match = await matchPasskey(services, caller.signerId, presented, approvalChallenge(agreed))
      // Kept whole, with what it was made over, so that an auditor verifies again what was approved.
      assertion = match && JSON.stringify({ statement: approvalStatement(agreed), ...match.assertion })
      return match
    },
    pin: request.factors.pin ?? '',
    pinHash: credential?.pin_hash ?? null,
    ...(request.browser === undefined ? {} : { browser: request.browser }),
    denied: (why: string) => deniedEvent(request, approval, caller, why),
  }
  return verifyFactors(services, question, yes)
}

/**
 * The signer's no.
 * @throws ServiceError `token_unknown`, `token_expired`, `scope_missing`, `approval_unknown`; TamperedRow
 */
export async function deny(services: FactorServices, request: FrontVerbs['deny']['request']): Promise<Empty> {
  const { transactions, binding } = services
  return transactions.transact(async (tx, record) => {
    const caller = await requirePageCaller(tx, request.bearer)
    const { approval, now } = await lockOwn(tx, services, request.approvalId)
    if (!isOpen(approval, caller, now)) throw new ServiceError('approval_unknown')
    const denied = await writeApproval(tx, binding, approval, { state: 'denied', decided_at: now })
    record(approvalEvent('approval.denied', denied, request.origin, caller.sessionId))
    return {}
  })
}

/** A code of an app, or one that was sent for signatures with this credential through this client. */
async function matchCode(
  services: PasskeyServices,
  approval: Approval,
  { signerId: signer }: Caller,
  code: string,
  accepted: readonly FactorKind[] | undefined,
): Promise<FactorMatch | undefined> {
  const shown = await matchOneTimeCode(services, signer, code, accepted)
  const { kind, client_id: client, credential_id: credential } = approval
  if (kind !== 'credential' || credential === null || (shown !== undefined && shown.drift === undefined)) return shown
  return (await matchDeliveredCode(services, { signer, client, credential }, code, accepted)) ?? shown
}

type Empty = { [key: string]: never }

interface Opened {
  readonly caller: Caller
  readonly approval: Approval
  /** Of signatures, or the one to delete; absent where none is concerned, or where it shall be made. */
  readonly credential: Credential | undefined
  /** Of a session that the signer lets go on, as he was shown it. */
  readonly ceiling: number | null
}

/** What can be refused before anything is compared, with its entry in the log. */
async function open(services: FactorServices, request: Approve): Promise<Opened> {
  const { transactions, binding } = services
  let known: { caller: Caller; approval?: Approval } | undefined
  try {
    return await transactions.transact(async (tx) => {
      const caller = await requirePageCaller(tx, request.bearer)
      known = { caller }
      const { approval, now } = await lockOwn(tx, services, request.approvalId)
      if (!isOpen(approval, caller, now)) throw new ServiceError('approval_unknown')
      known = { caller, approval }
      if (approval.way === 'oauth') await requireClient(tx, binding, approval.client_id)
      if (approval.kind === 'service') {
        if (request.session !== undefined) throw new ServiceError('remember_not_allowed')
        return { caller, approval, credential: undefined, ceiling: null }
      }
      const credential = await requirePossible(tx, services, approval, caller)
      // The policy may have changed since the page was shown.
      if (request.session !== undefined && request.session !== (credential && offeredCeiling(credential, approval)))
        throw new ServiceError('remember_not_allowed')
      if (request.factors.code === undefined && request.factors.assertion === undefined)
        throw new ServiceError('code_missing')
      if (credential !== undefined && credential.pin_hash !== null && request.factors.pin === undefined)
        throw new ServiceError('pin_missing')
      return { caller, approval, credential, ceiling: request.session ?? null }
    })
  } catch (error) {
    if (error instanceof ServiceError && isRefusal(error)) {
      await transactions.append(deniedEvent(request, known?.approval, known?.caller, reasonOf(error)))
    }
    throw error
  }
}

/** Whether what is agreed to can still be done. @returns the credential that it is done with */
async function requirePossible(
  tx: Tx,
  { binding, clock }: FactorServices,
  approval: Approval,
  { signerId }: Caller,
): Promise<Credential | undefined> {
  if (approval.kind === 'creation') {
    await requireCreatable(tx, signerId, creationOf(approval))
    return undefined
  }
  const whose = { signer: signerId, credential: approval.credential_id as CredentialId }
  return requireApprovable(tx, binding, approval, whose, clock.now())
}

/** @throws ServiceError `approval_unknown`; TamperedRow */
export async function lockOwn(tx: Tx, { binding }: Pick<FactorServices, 'binding'>, id: string) {
  if (!isUuid(id)) throw new ServiceError('approval_unknown')
  return lockApproval(tx, binding, { id })
}

/** Whether the caller can still answer it. */
export function isOpen(approval: Approval, caller: Caller, now: Date): boolean {
  return (
    approval.state === 'pending' &&
    approval.signer_id === caller.signerId &&
    approval.expires_at.getTime() > now.getTime()
  )
}

/** The entry of a refused answer. */
function deniedEvent(
  { origin }: Pick<Approve, 'origin'>,
  approval: Approval | undefined,
  caller: Caller | undefined,
  why: string,
): AuditEvent {
  return {
    type: 'approval.granted',
    outcome: 'refused',
    actor: caller === undefined ? { kind: 'anonymous' } : { kind: 'signer', id: caller.signerId },
    origin,
    why,
    evidence: {
      ...(caller === undefined ? {} : { signer: caller.signerId, session: caller.sessionId }),
      ...(approval === undefined
        ? {}
        : {
            client: approval.client_id,
            ...(approval.credential_id === null ? {} : { credential: approval.credential_id }),
          }),
    },
  }
}
