/** What a command tells: sentences and tables for people, one line of JSON for programs. */

export interface OutputOptions {
  readonly json?: true
}

/** Writes the result to standard output: `value` as one line of JSON where --json is given, else the lines for people. */
export function print({ json }: OutputOptions, value: unknown, lines: readonly string[]): void {
  process.stdout.write(`${json ? JSON.stringify(value) : lines.join('\n')}\n`)
}

/** What one column needs to stay of use when the terminal is narrow. */
const NARROWEST = 12

/**
 * Lines of aligned columns under their headings. On a terminal that is too narrow the columns named in `flexible` are
 * shortened, the widest first; everywhere else nothing is.
 * @param width columns of the terminal; default: those of standard output
 */
export function table<Row extends Record<string, string>>(
  rows: readonly Row[],
  headings: { readonly [Column in keyof Row]: string },
  flexible: readonly (keyof Row)[] = [],
  width = process.stdout.isTTY ? process.stdout.columns : Number.POSITIVE_INFINITY,
): string[] {
  const columns = Object.keys(headings) as (keyof Row & string)[]
  const lines = [headings, ...rows].map((row) => columns.map((column) => visible(row[column] ?? '')))
  const widths = columns.map((_, index) => Math.max(...lines.map((line) => line[index]?.length ?? 0)))
  const needed = () => widths.reduce((sum, each) => sum + each, 2 * (columns.length - 1))
  while (needed() > width) {
    const [widest] = flexible
      .map((column) => columns.indexOf(column as string))
      .sort((one, other) => at(widths, other) - at(widths, one))
    if (widest === undefined || at(widths, widest) <= NARROWEST) break
    widths[widest] = at(widths, widest) - 1
  }
  return lines.map((line) =>
    line
      .map((text, index) => shortened(text, at(widths, index)).padEnd(at(widths, index)))
      .join('  ')
      .trimEnd(),
  )
}

/** Lines of `name  value`, indented and aligned; what is undefined is left out. */
export function facts(values: Readonly<Record<string, string | undefined>>): string[] {
  const known = Object.entries(values).filter((entry): entry is [string, string] => entry[1] !== undefined)
  const width = Math.max(...known.map(([name]) => name.length))
  return known.map(([name, value]) => `  ${name.padEnd(width)}  ${visible(value)}`)
}

/** The day of an instant, in UTC. */
export const day = (instant: string | undefined): string => instant?.slice(0, 10) ?? ''

/** Nobody's name may steer a terminal or turn its text around. */
const visible = (text: string) => text.replace(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, '\uFFFD')

const shortened = (text: string, width: number) => (text.length <= width ? text : `${text.slice(0, width - 1)}…`)

const at = (numbers: readonly number[], index: number) => numbers[index] ?? 0

/** Lines of at most 100 columns, each beginning with `indent`. */
export function wrapped(text: string, indent: string): string[] {
  const lines: string[] = []
  for (const word of text.split(/\s+/)) {
    const last = lines.at(-1)
    if (last !== undefined && last.length + 1 + word.length <= 100) lines[lines.length - 1] = `${last} ${word}`
    else lines.push(indent + word)
  }
  return lines
}
