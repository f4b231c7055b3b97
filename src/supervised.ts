/**
 * The child's side of a supervised process (front, SAM worker). Its settings come as one line of JSON on standard input,
 * so that nothing stands in its environment or its arguments; over the IPC channel it tells that it lives.
 */
import { createInterface } from 'node:readline'

/** How often a child says that its event loop turns, in milliseconds. */
const HEARTBEAT_MS = 250

export type ChildMessage =
  | { readonly type: 'alive' }
  /** Serves from now on; sent once. */
  | { readonly type: 'ready' }
  /** Cannot serve, and starting it again would not help or would do harm (a wrong PIN locks a token). */
  | { readonly type: 'refused'; readonly reason: string }

export interface Supervision<Settings> {
  readonly settings: Settings
  ready(): void
  /** To be called before the process exits; `reason` is for the operator and holds no secret. */
  refused(reason: string): Promise<void>
}

/**
 * Reads the settings and begins to tell the supervisor that this process lives; it ends at once when the supervisor is
 * gone. Stopping is asked for by SIGTERM, which the caller handles.
 */
export async function supervised<Settings>(): Promise<Supervision<Settings>> {
  if (process.send === undefined) throw new Error('this program is started by `paraph serve` or `paraph sam`')
  process.once('disconnect', () => process.exit(1))
  tell({ type: 'alive' })
  setInterval(() => tell({ type: 'alive' }), HEARTBEAT_MS).unref()
  const line = await firstLine()
  return {
    settings: JSON.parse(line) as Settings,
    ready: () => tell({ type: 'ready' }),
    refused: (reason) => new Promise((done) => tell({ type: 'refused', reason }, done)),
  }
}

function tell(message: ChildMessage, done: () => void = () => undefined): void {
  // A channel that closes between the question and the call is reported to the callback: the process ends anyway.
  if (process.connected) process.send?.(message, undefined, undefined, done)
  else done()
}

async function firstLine(): Promise<string> {
  const lines = createInterface({ input: process.stdin })
  for await (const line of lines) return line
  throw new Error('no settings arrived on standard input')
}
