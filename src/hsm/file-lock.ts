import { closeSync, constants, openSync } from 'node:fs'
import { setTimeout } from 'node:timers/promises'
import koffi from 'koffi'

const LOCK_EXCLUSIVE_NOW = 2 | 4
const PATIENCE = 30_000

type Flock = (file: number, operation: number) => number
let flock: Flock | undefined

/**
 * Runs `work` while no other process, and nobody else in this one, does so under the same file. The kernel keeps the lock
 * (flock), so that it ends with its holder and there is never a stale one to adopt; a process id in a lock file would lie
 * between containers.
 * @param path made when it is not there, never written to
 * @throws Error after half a minute of waiting
 */
export async function withFileLock<Result>(path: string, work: () => Result | Promise<Result>): Promise<Result> {
  return await holding(openSync(path, constants.O_RDONLY | constants.O_CREAT, 0o600), path, work)
}

/** The same under a folder that is there; nothing is made in it. */
export async function withFolderLock<Result>(path: string, work: () => Result | Promise<Result>): Promise<Result> {
  return await holding(openSync(path, constants.O_RDONLY | constants.O_DIRECTORY), path, work)
}

async function holding<Result>(file: number, path: string, work: () => Result | Promise<Result>): Promise<Result> {
  try {
    flock ??= koffi.load(null).func('int flock(int file, int operation)') as unknown as Flock
    const end = performance.now() + PATIENCE
    while (flock(file, LOCK_EXCLUSIVE_NOW) !== 0) {
      if (performance.now() > end) throw new Error(`${path} stays locked by another process`)
      await setTimeout(10)
    }
    return await work()
  } finally {
    closeSync(file)
  }
}
