import { sqlState } from './transaction.js'

/**
 * Whether a failed query leaves open what happened to it: the connection broke, or the server ended it. Everything that
 * PostgreSQL answered with another SQLSTATE was rolled back for certain.
 */
export function isConnectionError(error: unknown): boolean {
  const state = sqlState(error)
  return state === undefined || state.startsWith('08') || state === '57P01' || state === '57P02' || state === '57P03'
}
