/** Why a call failed. */
export class CscError extends Error {
  override readonly name = 'CscError'
  /** HTTP status; absent when no answer came. */
  readonly status: number | undefined
  /** The `error` word of the answer. */
  readonly code: string | undefined
  /** Names the request in the service's log. */
  readonly requestId: string | undefined
  /**
   * Whether the reason may pass, so that it makes sense to try again: after a call that spends a code or an
   * authorization, with a new one, since the service may have spent the old one before it failed.
   */
  readonly retryable: boolean
  /** Seconds to wait before, where the service says so. */
  readonly retryAfter: number | undefined

  constructor(
    message: string,
    facts: {
      readonly retryable: boolean
      readonly status?: number
      readonly code?: string | undefined
      readonly requestId?: string | undefined
      readonly retryAfter?: number | undefined
      readonly cause?: unknown
    },
  ) {
    super(message, facts.cause === undefined ? {} : { cause: facts.cause })
    this.status = facts.status
    this.code = facts.code
    this.requestId = facts.requestId
    this.retryable = facts.retryable
    this.retryAfter = facts.retryAfter
  }
}

/** Whether a call spends something, so that nobody repeats it blindly after an unknown outcome. */
export type Repeat = 'once' | 'repeatable'

/** No answer came. Refused connections sent nothing; anything else may have reached the service. */
export function noAnswer(origin: string, repeat: Repeat, cause: unknown): CscError {
  const reason = ((cause as Error).cause ?? cause) as NodeJS.ErrnoException
  const nothingSent = ['ECONNREFUSED', 'ENOTFOUND', 'EAI_AGAIN', 'EHOSTUNREACH', 'ENETUNREACH'].includes(
    reason.code ?? '',
  )
  const what = (cause as Error).name === 'TimeoutError' ? 'did not answer in time' : 'cannot be reached'
  const detail = reason.code === undefined ? '' : ` (${reason.code})`
  const unknown = nothingSent || repeat === 'repeatable' ? '' : '; whether the code was used is unknown'
  return new CscError(`${origin} ${what}${detail}${unknown}`, {
    retryable: nothingSent || repeat === 'repeatable',
    cause,
  })
}
