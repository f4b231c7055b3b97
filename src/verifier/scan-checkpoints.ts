import { formatVkey, parseCheckpoint, parseNote } from '../tlog/note.js'
import { judge, type TrustPolicy } from '../tlog/policy.js'
import type { CheckpointSeen } from './acts.js'
import type { Finding } from './finding.js'
import { linesOf, type PackFile } from './pack.js'

/** Key of a line of checkpoints.jsonl, for finding it. */
export const CHECKPOINT_KEY = /^\{"size":([0-9]{1,16}),/

/** Longest signed note that is read. */
export const LONGEST_NOTE = 2 ** 16

/** R1 for the checkpoints of a range, as far as one by itself can be judged. */
export function scanCheckpoints(
  file: PackFile,
  [from, to]: readonly [number, number],
  policy: TrustPolicy,
  origin: string,
  fault: (finding: Finding) => void,
): CheckpointSeen[] {
  const seen: CheckpointSeen[] = []
  for (const line of linesOf(file, from, to, 2 * LONGEST_NOTE)) {
    const text = line.toString('utf8')
    const wrong = (what: string) => fault({ rule: 'R1', file: file.path, what })
    let size: unknown
    let note: unknown
    try {
      ;({ size, note } = JSON.parse(text))
    } catch {
      // Told below.
    }
    if (
      !Number.isSafeInteger(size) ||
      typeof note !== 'string' ||
      JSON.stringify({ size, note }) !== text ||
      !Buffer.from(text).equals(line)
    ) {
      wrong(`a line is not a checkpoint: ${text.slice(0, 60)}`)
      continue
    }
    const checkpoint = judgeCheckpoint(note, policy, origin)
    if (typeof checkpoint === 'string') wrong(`checkpoint of size ${size}: ${checkpoint}`)
    else if (checkpoint.size !== size) wrong(`the checkpoint in the line of size ${size} is of another size`)
    else seen.push(checkpoint)
  }
  return seen
}

/** A checkpoint that a log key of the policy signed, or what is wrong with it. */
export function judgeCheckpoint(
  text: string,
  policy: TrustPolicy,
  origin: string,
): (CheckpointSeen & { quorum: boolean }) | string {
  try {
    const note = parseNote(text)
    const checkpoint = parseCheckpoint(note.text)
    if (checkpoint.origin !== origin) return `it is of another log, ${checkpoint.origin.slice(0, 128)}`
    const { log, cosigned, quorum } = judge(policy, note, origin)
    if (log === undefined) return 'no log key of the policy signed it'
    const times = [...cosigned.values()]
    return {
      ...{ size: checkpoint.size, root: checkpoint.root, note: text, vkey: formatVkey(log), quorum },
      cosigned: times.length === 0 ? undefined : Math.min(...times) * 1000,
    }
  } catch (error) {
    if (error instanceof RangeError) return error.message
    throw error
  }
}
