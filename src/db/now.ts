import type { Executor } from './pool.js'

/** By the database's clock, in whole milliseconds, so that it is the same when a row gives it back. */
export async function readNow(db: Pick<Executor, 'query'>): Promise<Date> {
  const { rows } = await db.query<{ now: Date }>(`select date_trunc('milliseconds', paraph.now()) as now`)
  return rows[0]?.now as Date
}
