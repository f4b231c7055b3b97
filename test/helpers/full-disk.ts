import { chmodSync, rmSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import type { Cluster } from '../../src/db/cluster.js'
import { compiled } from './compiled.js'

/** Files of a server that stand on a disk of their own: tables, or what a commit writes first. */
export type DiskOf = '/base/' | '/pg_wal/'

export interface FullDisk {
  /** The same cluster, whose next start is on that disk. */
  readonly cluster: Cluster
  /** From now on nothing more fits there. */
  fill(disk: DiskOf): void
  /** There is room again. */
  free(): void
}

/**
 * A disk that a test fills and frees, under a server of ours that does not run yet; see disk-full.c.
 * @throws Error naming the package of Debian when there is no C compiler
 */
export function fullDisk(cluster: Cluster): FullDisk {
  const control = join(dirname(cluster.folder), 'disk-full')
  const shim = compiled('disk-full')
  chmodSync(shim, 0o755)
  const prefix = [...cluster.user.prefix, 'env', `LD_PRELOAD=${shim}`, `DISK_FULL_CONTROL=${control}`]
  return {
    cluster: { ...cluster, user: { ...cluster.user, prefix } },
    fill(disk) {
      writeFileSync(control, disk, { mode: 0o644 })
    },
    free: () => rmSync(control, { force: true }),
  }
}
