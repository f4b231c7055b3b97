import type { CheckpointWatch } from './checkpoint-watch.js'

/** Longest that a request waits for what its client prefers to wait for, in seconds. */
const LONGEST = 10

const WAIT = /(?:^|,)[ \t]{0,8}wait[ \t]{0,8}=[ \t]{0,8}"?([0-9]{1,9})"?[ \t]{0,8}(?:[,;]|$)/i

/**
 * Waits until a checkpoint covers the entry, as long as `wait` of a Prefer header asks for (RFC 7240 §4.3); not at all where it
 * asks for nothing. What else the header says is not looked at.
 * @returns headers that tell the client that it was waited for; none when it was not, or in vain
 */
export async function waitAsPreferred(
  checkpoints: CheckpointWatch | undefined,
  prefer: string | undefined,
  index: number,
): Promise<Readonly<Record<string, string>>> {
  const seconds = Math.min(Number(WAIT.exec(prefer ?? '')?.[1] ?? 0), LONGEST)
  if (seconds === 0 || !(await checkpoints?.covers(index, seconds * 1000))) return {}
  return { 'preference-applied': 'wait' }
}
