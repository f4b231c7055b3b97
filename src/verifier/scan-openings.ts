import { FieldDigester } from './field-digest.js'
import type { Finding } from './finding.js'
import { hasDigest, type Leaf } from './leaf.js'
import { linesOf, type PackFile } from './pack.js'

const HEAD = /^\{"idx":(0|[1-9][0-9]{0,15}),"class":([12]),"seed":"([A-Za-z0-9_-]{42}[AEIMQUYcgkosw048])","fields":\[/
const FIELD = /\["([a-z]{1,16}(?:\[(?:0|[1-9][0-9]{0,4})\])?)","((?:[^"\\]|\\["\\/bfnrtu])*)"\]/y

/** Key of a line of openings.jsonl, for finding it. */
export const OPENING_KEY = /^\{"idx":([0-9]{1,16}),/

/** Values by name, as JSON writes them, without the quotes. */
export type Fields = Map<string, string>

const digester = new FieldDigester()
const digest = new Uint8Array(43)

/**
 * R8 for the openings of a range: each fits its leaf.
 * @param leafOf the entry with that index; undefined outside the range
 * @param opened told of each opening of class 1
 */
export function scanOpenings(
  file: PackFile,
  [from, to]: readonly [number, number],
  leafOf: (index: number) => { leaf: Leaf; bytes: Uint8Array } | undefined,
  opened: (index: number, fields: Fields) => void,
  fault: (finding: Finding) => void,
): void {
  let before = -1
  for (const line of linesOf(file, from, to)) {
    const text = line.toString('latin1', 0, line.length)
    const head = HEAD.exec(text)
    if (head === null) {
      fault({ rule: 'R8', file: file.path, what: `a line is not an opening: ${text.slice(0, 60)}` })
      continue
    }
    const index = Number(head[1])
    const kind = Number(head[2])
    const wrong = (what: string) => fault({ rule: 'R8', index, file: file.path, what })
    const order = index * 2 + kind
    const found = leafOf(index)
    if (order <= before || found === undefined) {
      wrong('an opening is not where its index belongs')
      continue
    }
    before = order
    const fields = readFields(line, text, head, kind, found)
    if (typeof fields === 'string') wrong(fields)
    else if (kind === 1) opened(index, fields)
  }
}

/** The fields of an opening, or what is wrong with it. */
function readFields(
  line: Buffer,
  text: string,
  head: RegExpExecArray,
  kind: number,
  { leaf, bytes }: { leaf: Leaf; bytes: Uint8Array },
): Fields | string {
  digester.begin(Buffer.from(head[3] as string, 'base64url'))
  const fields: Fields = new Map()
  let at = head[0].length
  for (;;) {
    FIELD.lastIndex = at
    const field = FIELD.exec(text)
    if (field === null) return 'an opening holds something else than names and values'
    const [whole, name, value] = field as unknown as [string, string, string]
    if (fields.has(name) || (name === 'ip') !== (kind === 2)) return `an opening of class ${kind} names ${name}`
    if (!isPlain(value) && !isCanonical(value)) return `the value of ${name} is not written as JSON.stringify writes it`
    digester.digest(line, at + 1, at + whole.length - 1, name.length, digest)
    if (!hasDigest(bytes, leaf, digest)) return `the opening of ${name} does not fit the leaf`
    fields.set(name, value)
    at += whole.length
    if (text[at] !== ',') break
    at++
  }
  return text.slice(at) === ']}' ? fields : 'an opening does not end as it should'
}

const isPlain = (value: string) => !/[^ -~]|\\/.test(value)

function isCanonical(latin1: string): boolean {
  const raw = Buffer.from(latin1, 'latin1')
  const text = raw.toString('utf8')
  try {
    return JSON.stringify(JSON.parse(`"${text}"`)) === `"${text}"` && Buffer.from(text).equals(raw)
  } catch {
    return false
  }
}

/** What a value says; `value` as it stands in a line, a byte a character. */
export function decodeValue(value: string): string {
  return isPlain(value) ? value : JSON.parse(`"${Buffer.from(value, 'latin1').toString('utf8')}"`)
}

/** The fields of an opening of a receipt, which stands for one leaf and has no index, or what is wrong with it. */
export function readOpening(opening: unknown, leaf: Leaf, bytes: Uint8Array): Fields | string {
  const line = Buffer.from(JSON.stringify({ idx: 0, ...(opening as object) }))
  const text = line.toString('latin1', 0, line.length)
  const head = HEAD.exec(text)
  if (head === null) return 'an opening is not one'
  return readFields(line, text, head, Number(head[2]), { leaf, bytes })
}
