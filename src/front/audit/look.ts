import type { FrontVerbs } from '../../activation.js'
import { ServiceError } from '../../errors.js'
import type { SamClient } from '../sam-client.js'
import { WorkerRefusal } from '../worker.js'

/** What an auditor wants to see; `what` is the fixed word by which the log calls it. */
export type LookRequest = FrontVerbs['look']['request']

/** An auditor may see the log as it was when his look began: the entries before index `size`. */
export interface Look {
  /** First argument of every function of the database that shows something of the log. */
  readonly ticket: Buffer
  readonly size: number
  readonly expiresAt: Date
}

const BEARER = /^bearer +([A-Za-z0-9._~+/-]+=*)$/i

/** The token in an Authorization header. @throws ServiceError `token_malformed` */
export function operatorTokenIn(authorization: string | undefined): string {
  const token = BEARER.exec(authorization ?? '')?.[1]
  if (token === undefined) throw new ServiceError('token_malformed')
  return token
}

/**
 * Has a worker judge the token and write down that this is looked at. No front can judge it, and without the ticket the
 * database shows it nothing.
 * @throws ServiceError `operator_unknown`, which the front counts; `role_missing`, which the worker does
 */
export async function lookAtLog(sam: SamClient, request: LookRequest): Promise<Look> {
  try {
    const { ticket, size, expiresAt } = await sam.call('look', request)
    return { ticket: Buffer.from(ticket, 'base64'), size, expiresAt: new Date(expiresAt) }
  } catch (error) {
    throw error instanceof ServiceError && error.code === 'role_missing' ? new WorkerRefusal(error.code) : error
  }
}
