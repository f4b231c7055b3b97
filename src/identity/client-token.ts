import type { FrontVerbs } from '../activation.js'
import type { TransactionLog } from '../audit/transaction-log.js'
import { isRefusal, type RowBinding, reasonOf } from '../binding.js'
import { ServiceError } from '../errors.js'
import { newId } from '../ids.js'
import { requireClient } from './client.js'
import { insertToken, openSession } from './session.js'

/**
 * A session of a client itself, without a signer: it reaches the credentials of the signers that are assigned to it.
 * @throws ServiceError `client_unknown`; TamperedRow
 */
export async function issueClientToken(
  { transactions, binding }: { transactions: TransactionLog; binding: RowBinding },
  {
    origin,
    clientId,
    tokenHash,
    confirmation = null,
  }: Omit<FrontVerbs['clientToken']['request'], 'confirmation'> & {
    confirmation?: string | null
  },
): Promise<FrontVerbs['clientToken']['response']> {
  try {
    return await transactions.transact(async (tx, record) => {
      const client = await requireClient(tx, binding, clientId)
      if (!client.scopes.includes('service')) throw new ServiceError('client_unknown')
      const { session, startedAt, endsAt } = await openSession(tx, {
        signer: null,
        client: client.id,
      })
      await insertToken(tx, {
        hash: Buffer.from(tokenHash, 'base64'),
        session,
        signer: null,
        client: client.id,
        scope: 'service',
        family: newId(),
        approval: null,
        confirmation,
        endsAt,
      })
      record({
        type: 'auth.token_issued',
        outcome: 'ok',
        actor: { kind: 'client', id: client.id },
        origin,
        facts: { scope: 'service' },
        evidence: { client: client.id, session },
      })
      return { expiresIn: Math.floor((endsAt.getTime() - startedAt.getTime()) / 1000) }
    })
  } catch (error) {
    if (error instanceof ServiceError && isRefusal(error)) {
      const actor = { kind: 'anonymous' } as const
      await transactions.append({ type: 'auth.token_issued', outcome: 'refused', actor, origin, why: reasonOf(error) })
    }
    throw error
  }
}
