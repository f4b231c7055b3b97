import type { FrontVerbs } from '../activation.js'
import type { AuditEvent } from '../audit/event.js'
import type { Tx } from '../audit/transaction-log.js'
import { isRefusal, reasonOf } from '../binding.js'
import type { Clock } from '../clock.js'
import { policyOf } from '../credentials/policy.js'
import { requireUsable } from '../credentials/require-usable.js'
import { ServiceError } from '../errors.js'
import type { Hsm } from '../hsm/hsm.js'
import type { Caller } from '../identity/caller.js'
import {
  addressOf,
  type DeliveredCodeServices,
  deliveredFactor,
  insertChallenge,
  newDeliveredCode,
} from '../identity/delivered-code.js'
import type { Delivery } from '../identity/delivery/delivery.js'
import { CHANNELS } from '../identity/delivery/message.js'
import { isLocked } from '../identity/guess.js'
import { type CallerServices, callerEvidence, readCallerContext } from './caller-context.js'

export interface SendCodeServices extends DeliveredCodeServices, CallerServices {
  readonly hsm: Pick<Hsm, 'unseal'>
  readonly delivery: Delivery
  readonly clock: Clock
}

type Request = FrontVerbs['sendCode']['request']

/**
 * CSC `credentials/getChallenge` (v2.2 §11.10) and `credentials/sendOTP` (v1 §11.8): sends the signer a code for an agreement
 * to signatures with this credential through this client, and for nothing else. The code never leaves this process but to
 * whoever delivers it: the front learns it when the signer enters it.
 *
 * Durable before the code leaves: its hash, and that it was sent. A crash in between leaves a code that nobody has.
 * @throws ServiceError `token_unknown`, `token_expired`, what requireUsable throws, `code_locked`, `factor_unknown` (as
 *   `credential_unknown` where no kind of factor was named), `too_many_codes`, `unavailable`, `overloaded`; TamperedRow
 */
export async function sendCode(services: SendCodeServices, request: Request): Promise<void> {
  const { transactions, passwords, binding, delivery, hsm } = services
  let caller: Caller | undefined
  const event = (more: Pick<AuditEvent, 'outcome' | 'why' | 'facts'>, factor?: string): AuditEvent => ({
    type: 'factor.challenge_sent',
    actor: caller === undefined ? { kind: 'anonymous' } : { kind: 'signer', id: caller.signerId },
    origin: request.origin,
    ...more,
    ...(caller === undefined
      ? {}
      : { evidence: { ...callerEvidence(caller, request.credentialId), ...(factor === undefined ? {} : { factor }) } }),
  })
  try {
    const context = await transactions.transact(async (tx) => {
      const read = await readCallerContext(services, tx, request)
      caller = read.caller
      return { ...(await requireReachable(services, tx, request, read)), caller: read.caller }
    })
    const { factor, credential, client } = context
    const to = await addressOf(hsm, factor)
    const code = newDeliveredCode()
    const codeHash = await passwords.hash('code', code)
    const purpose = { signer: context.caller.signerId, client: context.caller.clientId, credential: credential.id }
    await transactions.transact(async (tx, record) => {
      await insertChallenge(tx, binding, factor.id, purpose, codeHash)
      record(event({ outcome: 'ok', facts: { kind: factor.kind } }, factor.id))
    })
    try {
      await delivery.send({ channel: factor.kind, to, ...messageOf(code, client) })
    } catch (error) {
      await transactions.append(
        event({ outcome: 'failed', why: 'not_delivered', facts: { kind: factor.kind } }, factor.id),
      )
      throw error
    }
  } catch (error) {
    if (error instanceof ServiceError && isRefusal(error)) {
      await transactions.append(event({ outcome: 'refused', why: reasonOf(error) }))
    }
    throw error
  }
}

/** The caller's usable credential, and a factor that a code may be sent to and that its policy accepts. */
async function requireReachable(
  services: SendCodeServices,
  tx: Tx,
  request: Request,
  { caller, credential: any }: Awaited<ReturnType<typeof readCallerContext>>,
) {
  const credential = requireUsable(caller, any, services.clock.now())
  if (await isLocked(tx, caller.signerId, 'factor')) throw new ServiceError('code_locked')
  const accepted = policyOf(credential).factors
  const kinds = CHANNELS.filter(
    (kind) => (accepted?.includes(kind) ?? true) && (request.kind === undefined || request.kind === kind),
  )
  const factor = await deliveredFactor(tx, services.binding, caller.signerId, kinds)
  if (factor === undefined) throw new ServiceError(request.kind === undefined ? 'credential_unknown' : 'factor_unknown')
  const { rows } = await tx.query<{ name: string }>('select name from paraph.client where id = $1', [caller.clientId])
  return { credential, factor, client: rows[0]?.name ?? '' }
}

function messageOf(code: string, client: string) {
  return {
    subject: 'Your one-time code',
    text: `${code} is your one-time code for signing with ${client}. It works once, within five minutes. If you are not signing now, tell nobody this code and stop everything on your account page.`,
  }
}
