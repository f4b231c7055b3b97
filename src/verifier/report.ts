import type { Finding } from './finding.js'
import type { Told } from './operations.js'

/** What came of a verification; `--json` prints it as it is. */
export interface Report {
  /** `fault`: something is wrong; `incomplete`: nothing is, as far as it can be judged. */
  readonly verdict: 'ok' | 'fault' | 'incomplete'
  readonly origin: string
  readonly size: number
  /** Entries that were looked at. */
  readonly judged: number
  readonly checkpoints: number
  /** By index, those of a file alone last; at most a hundred. */
  readonly faults: readonly Finding[]
  readonly incomplete: readonly Finding[]
  /** Openings that entries must have and that were erased, as the log itself says. */
  readonly erased: number
  /** Intentions without an end yet, at most a thousand of `openCount`. */
  readonly open: readonly Told[]
  readonly openCount: number
  /** Intentions that ended without anybody knowing whether the device signed. */
  readonly abandoned: readonly Told[]
  readonly abandonedCount: number
}

export const EXIT = { ok: 0, fault: 1, incomplete: 2, usage: 3 } as const

/** Nothing from a pack reaches a terminal unless it is plain text. */
function plain(text: string): string {
  return text.replace(/[^ -~]/g, '?').slice(0, 300)
}

function findingInWords({ rule, index, file, what }: Finding): string {
  const where = [index === undefined ? undefined : `entry ${index}`, file]
    .filter((part) => part !== undefined)
    .join(', ')
  return plain(`${rule}  ${where === '' ? '' : `${where}: `}${what}`)
}

const TOLD = 10

/** The report for a person. */
export function reportInWords(report: Report): string {
  const { verdict, origin, size, judged, checkpoints, faults, incomplete } = report
  const list = <T>(items: readonly T[], count: number, inWords: (item: T) => string) => [
    ...items.slice(0, TOLD).map((item) => `  ${inWords(item)}`),
    ...(count > TOLD ? [`  and ${count - Math.min(TOLD, items.length)} more`] : []),
  ]
  const told = ({ index, op, t }: Told) => `entry ${index}, ${plain(t)}, operation ${plain(op)}`
  const section = (title: string, lines: readonly string[]) => (lines.length === 0 ? [] : ['', title, ...lines])
  const verdicts = {
    ok: `The log ${plain(origin)} is whole: ${size} entries, ${checkpoints} checkpoints.`,
    incomplete: `The log ${plain(origin)} has no fault that shows, but not all of it can be judged: ${size} entries.`,
    fault: `The log ${plain(origin)} is NOT what it should be; ${judged} of ${size} entries were judged.`,
  }
  return [
    verdicts[verdict],
    ...section('Wrong:', list(faults, faults.length, findingInWords)),
    ...(report.erased === 0
      ? []
      : ['', `Erased, as audit.erase says: ${report.erased} openings; rules that need them are silent.`]),
    ...section('Cannot be judged:', list(incomplete, incomplete.length, findingInWords)),
    ...section(`Intentions still open: ${report.openCount}`, list(report.open, report.openCount, told)),
    ...section(
      `Abandoned, nothing was released: ${report.abandonedCount}`,
      list(report.abandoned, report.abandonedCount, told),
    ),
    '',
  ].join('\n')
}
