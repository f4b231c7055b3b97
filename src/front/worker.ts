import type { FrontVerb, FrontVerbs } from '../activation.js'
import { ServiceError } from '../errors.js'
import type { SamClient } from './sam-client.js'

/** The worker looked at the request and refused it, and has written so to the log itself. */
export class WorkerRefusal extends ServiceError {}

/** The verbs a request can reach, which the worker writes to the log. */
type LoggedVerb = Exclude<FrontVerb, 'announce' | 'health' | 'look'>

/**
 * @throws WorkerRefusal what the worker answered
 */
export async function askWorker<V extends LoggedVerb>(
  sam: SamClient,
  verb: V,
  request: FrontVerbs[V]['request'],
): Promise<FrontVerbs[V]['response']> {
  try {
    return await sam.call(verb, request)
  } catch (error) {
    // What the worker would not even read it has not written to the log.
    if (error instanceof ServiceError && error.code !== 'request_malformed') throw refusalOf(error, error.detail)
    throw error
  }
}

/** What is refused while this is done is no news to the log: whoever asks and for what stands there already. */
export async function loggedBefore<T>(work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    throw error instanceof ServiceError ? refusalOf(error, error.detail) : error
  }
}

/** The same refusal with another public text. */
export function refusalOf(error: ServiceError, detail: string | undefined): WorkerRefusal {
  return new WorkerRefusal(error.code, {
    cause: error,
    ...(detail === undefined ? {} : { detail }),
    ...(error.retryAfter === undefined ? {} : { retryAfter: error.retryAfter }),
  })
}
