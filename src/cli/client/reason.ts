import { describeFailure } from '../failure.js'
import { CscError } from './csc-error.js'

/** Why something failed, in words for the person at the keyboard. */
export function reasonOf(error: unknown): string {
  const { message } = describeFailure(error)
  return error instanceof CscError && error.status !== undefined ? `the service refused: ${message}` : message
}
