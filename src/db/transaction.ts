import { ServiceError } from '../errors.js'
import type { Executor, Pool, PoolClient } from './pool.js'

/** Node's own connection errors, and what the driver says, without a code, of a connection it lost or never got. */
const NETWORK = new Set([
  'ECONNREFUSED',
  'ECONNRESET',
  'ECONNABORTED',
  'EPIPE',
  'ETIMEDOUT',
  'ENOTFOUND',
  'EAI_AGAIN',
  'EHOSTUNREACH',
  'ENETUNREACH',
  'ENOENT',
])
const DRIVER =
  /timeout exceeded|read timeout|connection timeout|connection terminated|not queryable|calling end on the pool/i

/** Connection, resources, operator intervention, system. */
const UNAVAILABLE_CLASSES = new Set(['08', '53', '57', '58'])
/** A lock not had in time; a former primary that only reads now. */
const UNAVAILABLE_STATES = new Set(['55P03', '25006'])

/** The five-character SQLSTATE, where the server itself answered. */
export function sqlState(error: unknown): string | undefined {
  const code = (error as { code?: unknown } | null)?.code
  return typeof code === 'string' && /^[0-9A-Z]{5}$/.test(code) && !NETWORK.has(code) ? code : undefined
}

function isUnavailable(error: unknown): boolean {
  if (!(error instanceof Error)) return false
  const state = sqlState(error)
  if (state !== undefined) return UNAVAILABLE_CLASSES.has(state.slice(0, 2)) || UNAVAILABLE_STATES.has(state)
  const code = (error as { code?: unknown }).code
  return (typeof code === 'string' && NETWORK.has(code)) || DRIVER.test(error.message)
}

/**
 * What a store function throws on: `unavailable` (try again in a second) for a database that cannot be reached or
 * cannot answer now, everything else unchanged. After `unavailable` from a commit it is unknown whether it happened.
 */
export function asServiceError(error: unknown): unknown {
  if (error instanceof ServiceError || !isUnavailable(error)) return error
  return new ServiceError('unavailable', { retryAfter: 1, cause: error })
}

/**
 * Runs `work` in one transaction and commits what it did. Whatever it throws rolls back and is thrown again, as
 * `asServiceError` sees it; a failure of the rollback never replaces it. The connection of a failed rollback or commit
 * is closed, not reused.
 */
export async function withTransaction<Result>(pool: Pool, work: (tx: Executor) => Promise<Result>): Promise<Result> {
  let client: PoolClient
  try {
    client = await pool.connect()
  } catch (error) {
    throw asServiceError(error)
  }
  let broken = true
  // A connection that breaks while it is ours also tells so as an event, which nobody else listens to.
  const ignore = () => undefined
  client.on('error', ignore)
  try {
    await client.query('begin')
    let result: Result
    try {
      result = await work(client as Executor)
    } catch (error) {
      if (!isUnavailable(error) || sqlState(error) !== undefined) broken = !(await rolledBack(client))
      throw error
    }
    const { command } = await client.query('commit')
    broken = false
    // PostgreSQL answers the commit of a failed transaction with ROLLBACK and no error.
    if (command !== 'COMMIT')
      throw new Error('the transaction was rolled back: a failed statement in it was overlooked')
    return result
  } catch (error) {
    throw asServiceError(error)
  } finally {
    client.off('error', ignore)
    client.release(broken)
  }
}

async function rolledBack(client: PoolClient): Promise<boolean> {
  try {
    await client.query('rollback')
    return true
  } catch {
    return false
  }
}
