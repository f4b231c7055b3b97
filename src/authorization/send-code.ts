import type { FrontVerbs, Origin } from '../activation.js'
import type { AuditEvent } from '../audit/event.js'
import type { Tx } from '../audit/transaction-log.js'
import { isRefusal, reasonOf } from '../binding.js'
import type { Clock } from '../clock.js'
import type { Credential } from '../credentials/credential.js'
import { policyOf } from '../credentials/policy.js'
import { requireUsable } from '../credentials/require-usable.js'
import { ServiceError } from '../errors.js'
import type { Hsm } from '../hsm/hsm.js'
import { requirePageCaller } from '../identity/account.js'
import type { Caller } from '../identity/caller.js'
import {
  addressOf,
  type DeliveredCodeServices,
  deliveredFactor,
  insertChallenge,
  maskedAddress,
  newDeliveredCode,
} from '../identity/delivered-code.js'
import type { Delivery } from '../identity/delivery/delivery.js'
import { CHANNELS, type Channel } from '../identity/delivery/message.js'
import { isLocked } from '../identity/guess.js'
import type { ClientId } from '../ids.js'
import { requireApprovable } from './approval.js'
import { type CallerServices, callerEvidence, readCallerContext } from './caller-context.js'
import { isOpen, lockOwn } from './decide-approval.js'

export interface SendCodeServices extends DeliveredCodeServices, CallerServices {
  readonly hsm: Pick<Hsm, 'unseal'>
  readonly delivery: Delivery
  readonly clock: Clock
}

/** For whom a code is sent, and for what. */
interface Purpose {
  readonly caller: Caller
  /** Whose request the signer will agree to. */
  readonly client: ClientId
  readonly credential: Credential
  readonly kind?: Channel
}

/** Tells who asks as soon as that is known, for the entry of a refusal. */
type Asks = (caller: Caller, evidence: NonNullable<AuditEvent['evidence']>) => void

/**
 * CSC `credentials/getChallenge` (v2.2 §11.10) and `credentials/sendOTP` (v1 §11.8): sends the signer a code for an agreement
 * to signatures with this credential through this client, and for nothing else.
 * @throws ServiceError `token_unknown`, `token_expired`, what requireUsable throws, `code_locked`, `factor_unknown` (as
 *   `credential_unknown` where no kind of factor was named), `too_many_codes`, `unavailable`, `overloaded`; TamperedRow
 */
export async function sendCode(services: SendCodeServices, request: FrontVerbs['sendCode']['request']): Promise<void> {
  await send(services, request.origin, async (tx, asks) => {
    const { caller, credential } = await readCallerContext(services, tx, request)
    asks(caller, callerEvidence(caller, request.credentialId))
    const kind = request.kind === undefined ? {} : { kind: request.kind }
    return {
      caller,
      client: caller.clientId,
      credential: requireUsable(caller, credential, services.clock.now()),
      ...kind,
    }
  })
}

/**
 * The same for a question on our own page, about signatures that a client asked for.
 * @returns where it was sent, masked
 * @throws ServiceError `token_unknown`, `token_expired`, `scope_missing`, `approval_unknown`, what requireApprovable throws,
 *   `code_locked`, `credential_unknown` for who has no such factor, `too_many_codes`, `unavailable`, `overloaded`; TamperedRow
 */
export async function sendApprovalCode(
  services: SendCodeServices,
  request: FrontVerbs['sendApprovalCode']['request'],
): Promise<FrontVerbs['sendApprovalCode']['response']> {
  const sentTo = await send(services, request.origin, async (tx, asks) => {
    const caller = await requirePageCaller(tx, request.bearer)
    asks(caller, { signer: caller.signerId, session: caller.sessionId })
    const { approval, now } = await lockOwn(tx, services, request.approvalId)
    if (!isOpen(approval, caller, now) || approval.kind !== 'credential' || approval.credential_id === null)
      throw new ServiceError('approval_unknown')
    const { client_id: client, credential_id: id } = approval
    asks(caller, { client, signer: caller.signerId, credential: id, session: caller.sessionId })
    const whose = { signer: caller.signerId, credential: id }
    const credential = await requireApprovable(tx, services.binding, approval, whose, services.clock.now())
    return { caller, client, credential }
  })
  return { sentTo }
}

/**
 * The code never leaves this process but to whoever delivers it: the front learns it when the signer enters it.
 *
 * Durable before the code leaves: its hash, and that it was sent. A crash in between leaves a code that nobody has.
 */
async function send(
  services: SendCodeServices,
  origin: Origin,
  find: (tx: Tx, asks: Asks) => Promise<Purpose>,
): Promise<string> {
  const { transactions, passwords, binding, delivery, hsm } = services
  let known: { caller: Caller; evidence: NonNullable<AuditEvent['evidence']> } | undefined
  const event = (more: Pick<AuditEvent, 'outcome' | 'why' | 'facts'>, factor?: string): AuditEvent => ({
    type: 'factor.challenge_sent',
    actor: known === undefined ? { kind: 'anonymous' } : { kind: 'signer', id: known.caller.signerId },
    origin,
    ...more,
    ...(known === undefined ? {} : { evidence: { ...known.evidence, ...(factor === undefined ? {} : { factor }) } }),
  })
  try {
    const { factor, purpose, clientName } = await transactions.transact(async (tx) => {
      const purpose = await find(tx, (caller, evidence) => {
        known = { caller, evidence }
      })
      return { purpose, ...(await requireReachable(services, tx, purpose)) }
    })
    const to = await addressOf(hsm, factor)
    const code = newDeliveredCode()
    const codeHash = await passwords.hash('code', code)
    const { caller, client, credential } = purpose
    await transactions.transact(async (tx, record) => {
      const bound = { signer: caller.signerId, client, credential: credential.id }
      await insertChallenge(tx, binding, factor.id, bound, codeHash)
      record(event({ outcome: 'ok', facts: { kind: factor.kind } }, factor.id))
    })
    try {
      await delivery.send({ channel: factor.kind, to, ...messageOf(code, clientName) })
    } catch (error) {
      await transactions.append(
        event({ outcome: 'failed', why: 'not_delivered', facts: { kind: factor.kind } }, factor.id),
      )
      throw error
    }
    return maskedAddress(factor.kind, to)
  } catch (error) {
    if (error instanceof ServiceError && isRefusal(error)) {
      await transactions.append(event({ outcome: 'refused', why: reasonOf(error) }))
    }
    throw error
  }
}

/** A factor that a code may be sent to and that the credential's policy accepts. */
async function requireReachable(services: SendCodeServices, tx: Tx, { caller, client, credential, kind }: Purpose) {
  if (await isLocked(tx, caller.signerId, 'factor')) throw new ServiceError('code_locked')
  const factor = await deliveredFactor(tx, services.binding, caller.signerId, sendable(credential, kind))
  if (factor === undefined) throw new ServiceError(kind === undefined ? 'credential_unknown' : 'factor_unknown')
  const { rows } = await tx.query<{ name: string }>('select name from paraph.client where id = $1', [client])
  return { factor, clientName: rows[0]?.name ?? '' }
}

/** Channels whose codes the credential accepts. */
export function sendable(credential: Credential, kind?: Channel): readonly Channel[] {
  const accepted = policyOf(credential).factors
  return CHANNELS.filter((one) => (accepted?.includes(one) ?? true) && (kind === undefined || kind === one))
}

function messageOf(code: string, client: string) {
  return {
    subject: 'Your one-time code',
    text: `${code} is your one-time code for signing with ${client}. It works once, within five minutes. If you are not signing now, tell nobody this code and stop everything on your account page.`,
  }
}
