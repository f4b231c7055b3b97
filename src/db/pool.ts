import { Client, types as defaultTypes, Pool, type PoolClient } from 'pg'

export type { PoolClient }
export { Client, Pool }

/** What a store function takes: it can ask, and can neither begin nor commit. */
export interface Executor {
  query<Row extends object = Record<string, unknown>>(
    text: string,
    values?: readonly unknown[],
  ): Promise<{ rows: Row[]; rowCount: number | null }>
}

export interface PoolOptions {
  /** Most connections held at once. */
  max: number
  /** Shown in pg_stat_activity; default `paraph`. */
  name?: string
  /** Milliseconds; 2000 unless said. */
  statementTimeout?: number
}

/** Object ids of types in pg_type. */
const INT8 = 20
const DATE = 1082
const TEXT_ARRAY: number = 1009
const INT8_ARRAY = 1016
const DATE_ARRAY = 1182

/** @throws RangeError for a value that a double cannot hold exactly: better no answer than another number. */
function parseInt8(text: string): number {
  const value = Number(text)
  if (!Number.isSafeInteger(value)) throw new RangeError('a bigint from the database is too large for a number')
  return value
}

type Parse = (text: string) => unknown

const parseTextArray = defaultTypes.getTypeParser(TEXT_ARRAY, 'text') as (text: string) => (string | null)[]

const parseArrayOf = (parse: Parse) => (text: string) =>
  parseTextArray(text).map((item) => (item === null ? null : parse(item)))

/** A `date` has no time zone, so that it stays text (`2026-01-31`); as a Date it would move with the machine's zone. */
const keepText: Parse = (text) => text

const parsers: Record<number, Parse> = {
  [INT8]: parseInt8,
  [INT8_ARRAY]: parseArrayOf(parseInt8),
  [DATE]: keepText,
  [DATE_ARRAY]: parseArrayOf(keepText),
}

const types = {
  getTypeParser: (oid: number, format?: 'text' | 'binary'): Parse =>
    (format === 'binary' ? undefined : parsers[oid]) ?? (defaultTypes.getTypeParser(oid, format as 'text') as Parse),
}

/**
 * Every wait for the database has an end: 1 s to connect or to get a connection of the pool, 500 ms for a lock, 2 s for
 * a statement, and, since a silent network never tells of a time-out, 3 s for any answer at all.
 */
function connectionOptions(url: string, name: string) {
  return {
    connectionString: url,
    application_name: name,
    connectionTimeoutMillis: 1000,
    statement_timeout: 2000,
    lock_timeout: 500,
    query_timeout: 3000,
    keepAlive: true,
    types,
  }
}

/**
 * A pool in which bigint is a number (or the query fails), timestamptz a Date, date text, bytea a Buffer. Connects on
 * first use. The caller ends it.
 */
export function openPool(url: string, options: PoolOptions): Pool {
  const limits = connectionOptions(url, options.name ?? 'paraph')
  const statementTimeout = options.statementTimeout ?? limits.statement_timeout
  const pool = new Pool({
    ...limits,
    statement_timeout: statementTimeout,
    query_timeout: statementTimeout + 1000,
    max: options.max,
    // There are few, and making one anew takes longest when there is no time for it.
    idleTimeoutMillis: 0,
  })
  // The pool has already removed the broken idle connection; the next use opens another or says why it cannot.
  pool.on('error', () => undefined)
  return pool
}

/** One connected connection with the same types and limits. The caller ends it. `end` is emitted when it breaks. */
export async function openClient(
  url: string,
  options: { name?: string; statementTimeout?: number; lockTimeout?: number } = {},
): Promise<Client> {
  const limits = connectionOptions(url, options.name ?? 'paraph')
  const statementTimeout = options.statementTimeout ?? limits.statement_timeout
  const client = new Client({
    ...limits,
    statement_timeout: statementTimeout,
    lock_timeout: options.lockTimeout ?? limits.lock_timeout,
    query_timeout: statementTimeout === 0 ? 0 : statementTimeout + 1000,
  })
  // Without a listener a broken connection would end the process; the query under way fails, or the next one.
  client.on('error', () => undefined)
  try {
    await client.connect()
  } catch (error) {
    await client.end().catch(() => undefined)
    throw error
  }
  return client
}

/**
 * The same URL with the password that a connection would use, so that it can be handed to a process whose environment
 * names no password file (PGPASSFILE, PGPASSWORD).
 */
export async function withPassword(url: string): Promise<string> {
  const client = await openClient(url)
  const password = (client as unknown as { password: string | null }).password
  await client.end()
  const complete = new URL(url)
  if (!complete.password && password) complete.password = encodeURIComponent(password)
  return complete.toString()
}
