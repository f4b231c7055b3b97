/** A line of a scenario file, and where it stands; one that a step stands for also says where the step was called. */
export interface Line {
  readonly text: string
  readonly indent: number
  readonly file: string
  readonly number: number
  readonly calledFrom?: Line
}

/** A scenario file, or a file beside it, says something that cannot be meant. */
export class SuiteError extends Error {
  override readonly name = 'SuiteError'

  constructor(where: Line | string, what: string) {
    super(`${typeof where === 'string' ? where : place(where)}: ${what}`)
  }
}

/** `file:line`, from the inside out. */
export function place({ file, number, calledFrom }: Line): string {
  return `${file}:${number}${calledFrom === undefined ? '' : `, called from ${place(calledFrom)}`}`
}

/** Lines that say something: comments (`# …`) and empty ones are left out. @throws SuiteError for a tab */
export function linesOf(file: string, text: string): Line[] {
  return text.split(/\r?\n/).flatMap((whole, index): Line[] => {
    const line = whole.trimEnd()
    const content = line.trimStart()
    if (content === '' || content.startsWith('#')) return []
    const found = { text: content, indent: line.length - content.length, file, number: index + 1 }
    if (line.includes('\t')) throw new SuiteError(found, 'a tab: indent with spaces')
    return [found]
  })
}

/** Lines grouped under those that are indented less than they are. */
export interface Block {
  readonly head: Line
  readonly below: readonly Line[]
}

/** @throws SuiteError where a line is indented less than the first, but is none of its neighbours */
export function blocksOf(lines: readonly Line[]): Block[] {
  const blocks: { head: Line; below: Line[] }[] = []
  for (const line of lines) {
    const last = blocks.at(-1)
    if (last === undefined || line.indent === last.head.indent) blocks.push({ head: line, below: [] })
    else if (line.indent > last.head.indent) last.below.push(line)
    else throw new SuiteError(line, 'indented neither like the lines above nor under one of them')
  }
  return blocks
}
