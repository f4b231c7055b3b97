import type { Client } from './pool.js'

/** Process number of the server process behind a connection. */
export function backendOf(client: Client): number {
  return (client as unknown as { processID: number | null }).processID ?? 0
}

/**
 * Ends the server process of a connection that was lost, and waits until it is gone: what it has not committed by then
 * it never will, so that a look-up afterwards is final.
 */
export async function endBackend(client: Pick<Client, 'query'>, backend: number): Promise<void> {
  await client.query(
    'select pg_terminate_backend(pid, 1000) from pg_stat_activity where pid = $1 and usename = current_user',
    [backend],
  )
}
