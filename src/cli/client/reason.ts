import { ServiceError } from '../../errors.js'
import { CscError } from './csc-client.js'

/** Why something failed, in words for the person at the keyboard. */
export function reasonOf(error: unknown, path?: string): string {
  if (error instanceof ServiceError) return error.detail ?? error.code
  if (error instanceof CscError)
    return error.status === undefined ? error.message : `the service refused: ${error.message}`
  const { code, path: named = path, message } = error as NodeJS.ErrnoException
  switch (code) {
    case 'ENOENT':
      return `${named} does not exist`
    case 'EACCES':
    case 'EPERM':
      return `${named} may not be used by this user`
    case 'EISDIR':
      return `${named} is not a file`
    default:
      return message
  }
}
