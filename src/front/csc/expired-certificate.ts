import { X509Certificate } from 'node:crypto'
import type { Caller } from '../../identity/caller.js'
import type { FrontReads } from '../reads.js'
import { refusalOf, WorkerRefusal } from '../worker.js'

/**
 * Runs `ask`, and tells of an expired certificate whose it is: the CSC text names organization and common name.
 */
export async function namingExpired<Result>(
  db: FrontReads,
  caller: Caller,
  credentialId: string,
  ask: () => Promise<Result>,
): Promise<Result> {
  try {
    return await ask()
  } catch (error) {
    if (!(error instanceof WorkerRefusal) || error.code !== 'certificate_expired') throw error
    const leaf = (await db.credential(caller, credentialId))?.chain[0]
    throw refusalOf(error, leaf === undefined ? '' : subjectOf(leaf))
  }
}

/** `O=…,CN=…`, of which either may be missing. */
export function subjectOf(der: Uint8Array): string {
  const subject = new X509Certificate(der).toLegacyObject().subject as unknown as Record<
    string,
    string | string[] | undefined
  >
  return (['O', 'CN'] as const)
    .flatMap((name) =>
      [subject[name] ?? []]
        .flat()
        .slice(0, 1)
        .map((value) => `${name}=${value}`),
    )
    .join(',')
}
