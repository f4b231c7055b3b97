import { createReadStream, createWriteStream } from 'node:fs'
import { join } from 'node:path'
import { Readable } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { leafHash } from '../tlog/tree.js'

export const TABLE_COLUMNS: readonly string[] = [
  ...['index', 'time', 'event', 'outcome', 'reason', 'node', 'operation'],
  ...['actor', 'signer', 'credential', 'hash', 'leaf_hash'],
]

/**
 * A pack's entries as a table for people (RFC 4180, UTF-8, times in UTC), with what is open of them: a view that proves
 * nothing. Each entry is one line, whatever its values hold, and no cell is a formula to a spreadsheet.
 * @param pack folder of a pack
 * @param file new file, for its owner alone
 */
export async function writeCsv(pack: string, file: string): Promise<void> {
  await pipeline(Readable.from(rowsOf(pack)), createWriteStream(file, { flags: 'wx', mode: 0o600 }))
}

async function* rowsOf(pack: string): AsyncGenerator<string> {
  yield csvRow(TABLE_COLUMNS)
  const openings = openingsByIndex(join(pack, 'openings.jsonl'))
  let index = 0
  for await (const line of linesOf(join(pack, 'entries.jsonl'))) {
    yield csvRow(tableCells(index, JSON.parse(line.toString()), leafHash(line), await openings(index)))
    index++
  }
}

/** What of a leaf stands in the table. */
type TableLeaf = Readonly<Record<'t' | 'ev' | 'out' | 'node' | 'op' | 'act', string>> & { readonly why?: string }

/** What the columns say of one entry. */
export function tableCells(
  index: number,
  { t, ev, out, why = '', node, op, act }: TableLeaf,
  hash: Uint8Array,
  open: ReadonlyMap<string, string>,
): string[] {
  const of = (name: string) => open.get(name) ?? ''
  const digests = [...open].filter(([name]) => name.startsWith('dtbsr[')).map(([, value]) => hex(value))
  return [
    ...[String(index), t, ev, out, why, node, op].map(String),
    ...[`${act} ${of('actor')}`.trimEnd(), of('signer'), of('credential'), digests.join(' ')],
    Buffer.from(hash).toString('hex'),
  ]
}

const hex = (base64url: string) => Buffer.from(base64url, 'base64url').toString('hex')

/** Openings of an entry, all classes together; to be asked for in the order of the log. */
function openingsByIndex(file: string): (index: number) => Promise<ReadonlyMap<string, string>> {
  const lines = linesOf(file)
  let next: { idx: number; fields: [string, string][] } | undefined
  const advance = async () => {
    const { value, done } = await lines.next()
    next = done ? undefined : JSON.parse(value.toString())
  }
  let begun = false
  return async (index) => {
    if (!begun) await advance()
    begun = true
    const open = new Map<string, string>()
    for (; next !== undefined && next.idx === index; await advance()) {
      for (const [name, value] of next.fields) open.set(name, value)
    }
    return open
  }
}

/** Ended by LF alone: what else is taken for the end of a line may stand in a value. */
async function* linesOf(file: string): AsyncGenerator<Buffer, undefined> {
  let rest = Buffer.alloc(0)
  for await (const chunk of createReadStream(file) as AsyncIterable<Buffer>) {
    rest = Buffer.concat([rest, chunk])
    let begin = 0
    for (let end = rest.indexOf(10); end >= 0; end = rest.indexOf(10, begin)) {
      yield rest.subarray(begin, end)
      begin = end + 1
    }
    rest = rest.subarray(begin)
  }
}

/** One line of RFC 4180, whatever the cells hold; none of them is a formula to a spreadsheet. */
export const csvRow = (cells: readonly string[]): string => `${cells.map(cell).join(',')}\r\n`

/** Quoted where it must be. Spreadsheets take what begins with one of these signs for a formula, and an apostrophe for text. */
function cell(text: string): string {
  const plain = text.replace(/[\p{Cc}\p{Cs}\p{Zl}\p{Zp}]/gu, '\uFFFD')
  const inert = /^\s*[=+\-@＝＋－＠]/u.test(plain) ? `'${plain}` : plain
  return /[",]/.test(inert) ? `"${inert.replaceAll('"', '""')}"` : inert
}
