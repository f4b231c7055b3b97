import type { FrontVerbs } from '../activation.js'
import { isRefusal, reasonOf } from '../binding.js'
import { type BegunCredential, beginCredential } from '../credentials/create-credential.js'
import { MULTISIGN } from '../credentials/profile.js'
import { ServiceError } from '../errors.js'
import { creationOf, readCreation, requireAgreed, requireCreatable } from './creation.js'
import type { ApprovalServices } from './request-approval.js'
import { lockSpendable, type Spendable, spend } from './spend-approval.js'

/**
 * Uses up what a signer agreed to have made (CSC API v2.2, credentials/create), and writes down that it is being made: one
 * transaction, so that of all who come with the token one gets to make a key, whatever becomes of it then.
 * @returns the intention, durable, for `makeKey`
 * @throws ServiceError `token_unknown`, `token_expired`, `scope_missing`, `parameter_invalid`, `too_many_credentials`;
 *   TamperedRow
 */
export async function beginCreation(
  services: ApprovalServices,
  request: FrontVerbs['createCredential']['request'],
): Promise<BegunCredential> {
  const { transactions, binding } = services
  const { origin, bearer } = request
  let known: Spendable | undefined
  try {
    return await transactions.transact(async (tx, record) => {
      known = await lockSpendable(tx, binding, 'creation', bearer)
      const { caller, approval } = known
      const agreed = creationOf(approval)
      requireAgreed(agreed, readCreation(request.creation))
      const signer = await requireCreatable(tx, caller.signerId, agreed)
      const maker = {
        actor: { kind: 'signer', id: caller.signerId },
        origin,
        agreed: { approval: approval.id, client: caller.clientId, session: caller.sessionId },
      } as const
      const wanted = {
        signer,
        spec: agreed.profile.spec,
        scal: '2',
        multisign: MULTISIGN,
        sessionWide: false,
        policy: {},
        pin: undefined,
        description: undefined,
      } as const
      const begun = await beginCredential(tx, record, binding, maker, wanted, null)
      await spend(tx, record, binding, known, origin)
      return begun
    })
  } catch (error) {
    if (error instanceof ServiceError && isRefusal(error)) {
      const { caller, approval } = known ?? {}
      await transactions.append({
        type: 'credential.created',
        outcome: 'refused',
        actor: caller === undefined ? { kind: 'anonymous' } : { kind: 'signer', id: caller.signerId },
        origin,
        why: reasonOf(error),
        evidence: {
          ...(caller === undefined
            ? {}
            : { signer: caller.signerId, client: caller.clientId, session: caller.sessionId }),
          ...(approval === undefined ? {} : { approval: approval.id }),
        },
      })
    }
    throw error
  }
}
