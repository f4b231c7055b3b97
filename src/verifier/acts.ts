import type { ActList } from './act-list.js'
import type { Finding } from './finding.js'

/**
 * What the rules need to know of entries in their order, found by the workers and judged in one pass. Values of openings
 * stand here as JSON writes them: the same text is the same value. `whose` is signer, client, credential and session,
 * joined by LF, which no JSON has.
 */
export type Act =
  | readonly ['time', index: number, latest: number]
  | readonly ['start', index: number, t: number, boot: string, facts: string]
  | readonly ['stop', index: number, t: number, boot: string]
  | readonly ['beat', index: number, t: number]
  | readonly ['sync', index: number, t: number]
  | readonly ['step', index: number, t: number, by: number]
  | readonly ['unsynced', index: number, t: number]
  | readonly ['key', index: number, facts: string]
  | readonly ['erase', index: number, facts: string]
  /** The opening that this entry must have is not there. */
  | readonly ['missing', index: number, t: number, ev: string, op: string, n: number]
  | readonly [
      'grant',
      index: number,
      t: number,
      grant: string,
      whose: string,
      factor: string,
      facts: string,
      digests: string,
    ]
  | readonly ['extend', index: number, grant: string, whose: string, digests: string]
  | readonly ['revoke', index: number, t: number, grant: string]
  | readonly ['session-end', index: number, t: number, session: string]
  | readonly ['intent', index: number, t: number, op: string, grant: string, whose: string, n: number, digests: string]
  | readonly ['end', index: number, t: number, ev: string, op: string, ok: boolean, n: number]
  | readonly ['repeat', index: number, t: number, grant: string, whose: string, facts: string, digests: string]
  | readonly ['enrol', index: number, factor: string, signer: string]
  /** The factor, or all of the signer's when it is empty. */
  | readonly ['unenrol', index: number, factor: string, signer: string]
  /** `whose` is empty when the approval was of something else than signing. */
  | readonly [
      'approval',
      index: number,
      t: number,
      whose: string,
      factor: string,
      remembered: boolean,
      total: number,
      digests: string,
      publicKey: string,
    ]
  | readonly ['invite', index: number, signer: string, actor: string]
  | readonly ['vouch', index: number, signer: string, actor: string]

/** One writer's entries within a range. */
export interface BootRange {
  readonly boot: string
  readonly node: string
  readonly first: { readonly index: number; readonly seq: number; readonly t: number; readonly ev: string }
  last: { index: number; seq: number; t: number }
  /** Where each event that it wrote was first seen. */
  readonly events: Map<string, number>
}

export interface FlushSeen {
  readonly boot: string
  readonly no: number
  readonly first: number
  readonly count: number
}

export interface CheckpointSeen {
  readonly size: number
  readonly root: Uint8Array
  readonly note: string
  /** Verifier key of the log key that signed. */
  readonly vkey: string
  /** Earliest time of a cosignature, milliseconds. */
  readonly cosigned: number | undefined
}

/** What a worker found in some range of entries. */
export interface RangeResult {
  readonly findings: readonly Finding[]
  /** Set when the rest of the log cannot be judged. */
  readonly broken: Finding | undefined
  /** Root of each whole tile of leaves, 32 bytes each. */
  readonly tileRoots: Uint8Array<ArrayBuffer>
  /** Last 8 bytes of each entry's operation, as two numbers, and its phase. */
  readonly ops: Uint32Array<ArrayBuffer>
  readonly phases: Uint8Array<ArrayBuffer>
  readonly boots: readonly BootRange[]
  readonly acts: ActList
  readonly flushes: readonly FlushSeen[]
  readonly checkpoints: readonly CheckpointSeen[]
  /** For each size asked for: roots of the subtrees of this range before it, from the widest on, and the latest time there. */
  readonly edges: readonly { readonly size: number; readonly peaks: readonly Uint8Array[]; readonly latest: number }[]
  /** Latest time in the range, and the time of its last entry. */
  readonly latest: number
  readonly lastTime: number
  /** Openings of class 1 that were there. */
  readonly opened: number
}

/** What a worker must know of the whole pack. Arrays are shared, not copied. */
export interface ScanSettings {
  readonly root: string
  readonly size: number
  readonly origin: string
  /** Text of the trust policy. */
  readonly policy: string
  readonly tiles: Uint8Array
  readonly bundleBytes: Uint32Array
  /** Key of each announced boot, base64url SubjectPublicKeyInfo. */
  readonly keys: ReadonlyMap<string, string>
}

/** Entries from `from` to `to`, and the parts of the other files that belong to them, each `[from, to]` in bytes. */
export interface RangeTask {
  readonly from: number
  readonly to: number
  readonly entries: readonly [number, number]
  readonly openings: readonly [number, number]
  readonly flushes: readonly [number, number]
  readonly checkpoints: readonly [number, number]
  /** Sizes whose roots somebody else needs, ascending, within the range. */
  readonly sizes: readonly number[]
}
