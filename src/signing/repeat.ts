import type { FrontVerbs, Origin } from '../activation.js'
import type { Authorization } from '../authorization/authorization.js'
import {
  deniedEvent,
  grantOf,
  type PermitScope,
  type RedeemServices,
  refusalAtSpending,
  requireGranted,
  signingEvent,
} from '../authorization/redeem.js'
import { type Earlier, type LogPlace, type RetryName, requireReleased } from '../authorization/retry.js'
import type { SigningContext } from '../authorization/signing-context.js'
import { FLUSH_REASON } from '../authorization/signing-log.js'
import { TamperedRow } from '../binding.js'
import { newId, type OperationId } from '../ids.js'
import { type Belonging, decryptSignatures } from './kept-signatures.js'
import { released } from './released.js'
import type { SignatureVerifier } from './verify-signature.js'

export interface RepeatServices extends RedeemServices {
  readonly verifier: SignatureVerifier
}

/**
 * Answers a request that its client has sent before with the signatures of then. Nothing is spent and the device is not
 * asked, but whoever stopped token, session, authorization or credential since stops this too. Only the SAD opens what was
 * kept, and the public key confirms it once more before it leaves. Each answer, and each refusal, is an entry of the log.
 * @throws ServiceError `retry_contradicts`, `retry_in_progress`, `retry_spent`, `sad_unknown`, `token_expired`,
 *   `credential_disabled`, `unavailable`, `overloaded`; TamperedRow
 */
export async function repeat(
  services: RepeatServices,
  request: { readonly origin: Origin; readonly sad: string },
  context: SigningContext,
  scope: PermitScope,
  retry: RetryName,
  earlier: Earlier,
): Promise<FrontVerbs['sign']['response']> {
  const { caller } = context
  const { credential } = scope
  const common = signingEvent(newId<OperationId>(), caller, request.origin, context.authorization, scope)
  let authorization: Authorization
  let signatures: Uint8Array[]
  let outcome: LogPlace
  try {
    const first = requireReleased(earlier, retry)
    outcome = first.outcome
    authorization = requireGranted(services.binding, context, credential)
    signatures = openKept(services, first.kept, request.sad, scope, {
      operation: earlier.operation,
      credential: credential.id,
      body: retry.body,
    })
  } catch (error) {
    await services.log.append(deniedEvent(common, error))
    throw error
  }

  const { why } = await services.log.guarded(
    { ...common, type: 'sign.repeated', outcome: 'ok', facts: { ...common.facts, first: earlier.operation } },
    { ...common, type: 'sign.denied', outcome: 'refused', why: 'refused_at_spending' },
    { kind: 'repeat', ...grantOf(caller, authorization, credential) },
  )
  if (why !== FLUSH_REASON.asWished) throw refusalAtSpending(why)
  return released(services.log.origin, earlier.operation, signatures, outcome)
}

/** Signatures that the client's SAD opens and the certificate's public key confirms: nobody else put them there. */
function openKept(
  { verifier }: RepeatServices,
  kept: Uint8Array,
  sad: string,
  { credential, mechanism, digests }: PermitScope,
  to: Belonging,
): Uint8Array[] {
  try {
    const signatures = decryptSignatures(kept, sad, to)
    verifier.requireValid(credential, mechanism, digests, signatures)
    return signatures
  } catch {
    throw new TamperedRow('retry')
  }
}
