import { ADMIN_ROLE, type AdminVerb, type RequestFrame } from '../activation.js'
import type { Actor } from '../audit/event.js'
import { asServiceError, sqlState } from '../db/transaction.js'
import { ServiceError } from '../errors.js'
import { operatorOf } from '../identity/operator.js'
import { toPem } from '../pki/pem.js'
import { type AdminArguments, checkArguments } from './admin-arguments.js'
import type { AdminHandlers, AdminServices } from './admin-services.js'
import { authenticatorVerbs } from './authenticator-verbs.js'
import { credentialVerbs } from './credential-verbs.js'
import { logVerbs } from './log-verbs.js'
import { clientVerbs, operatorVerbs } from './party-verbs.js'
import { signerVerbs } from './signer-verbs.js'

const handlers: AdminHandlers<AdminVerb> = {
  ...signerVerbs,
  ...authenticatorVerbs,
  ...credentialVerbs,
  ...clientVerbs,
  ...operatorVerbs,
  ...logVerbs,
  'ca.root': async ({ ca }) => {
    if (ca === undefined)
      throw new ServiceError('not_allowed', {
        detail: 'there is no certificate authority in this service outside the demo',
      })
    return { pem: toPem('CERTIFICATE', ca.root) }
  },
}

/**
 * One request of the command line, by a named operator whose role covers it. Refusals are in the log.
 * @throws ServiceError `operator_unknown`, `role_missing`, `request_malformed`, and what the verb throws
 */
export async function administer(services: AdminServices, frame: RequestFrame): Promise<unknown> {
  const { verb, body, operatorToken } = frame
  if (!Object.hasOwn(ADMIN_ROLE, verb)) throw new ServiceError('request_malformed', { detail: 'no such command' })
  const wanted = ADMIN_ROLE[verb as AdminVerb]
  const refused = (actor: Actor, why: string) =>
    services.transactions.append({ type: 'operator.refused', outcome: 'refused', actor, why, facts: { verb } })
  let operator: Awaited<ReturnType<typeof operatorOf>>
  try {
    operator = await operatorOf(services.pool, services.binding, operatorToken ?? '')
  } catch (error) {
    if (error instanceof ServiceError) await refused({ kind: 'anonymous' }, error.code)
    throw asServiceError(error)
  }
  const actor: Actor = { kind: 'operator', id: operator.id }
  if (wanted !== 'any' && operator.role !== wanted) {
    await refused(actor, 'role_missing')
    throw new ServiceError('role_missing', { detail: `this takes an operator with the role ${wanted}` })
  }
  const request: AdminArguments = checkArguments(verb as AdminVerb, body)
  try {
    return await (handlers[verb as AdminVerb] as (s: AdminServices, a: Actor, r: unknown) => Promise<unknown>)(
      services,
      actor,
      request,
    )
  } catch (error) {
    if (sqlState(error) === '23505')
      throw new ServiceError('already_exists', { detail: 'there is one of that name already' })
    throw asServiceError(error)
  }
}
