/** Rules of docs/audit-format.md §6. */
export type Rule = 'R1' | 'R2' | 'R3' | 'R4' | 'R5' | 'R6' | 'R7' | 'R8' | 'R9' | 'R10'

/** One thing that is wrong with a pack, or that cannot be judged from it. */
export interface Finding {
  readonly rule: Rule
  /** Entry at fault. */
  readonly index?: number
  /** File at fault, by its path in the pack. */
  readonly file?: string
  readonly what: string
}

/** Faults told at most; a log that is wrong from some entry on would fill a disk with its reasons. */
export const MOST_FINDINGS = 100

/** What ends a verification at once: nothing behind it could be judged. */
export class PackError extends Error {
  readonly finding: Finding
  constructor(finding: Finding) {
    super(finding.what)
    this.finding = finding
  }
}

/** @throws PackError for a file of the pack */
export function failFile(file: string, what: string, rule: Rule = 'R2'): never {
  throw new PackError({ rule, file, what })
}
