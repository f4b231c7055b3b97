import { FieldBatch, fieldDigest, hasDigest, type KnownName, MOST_FIELDS, NAME, NAME_FORM } from './fields.js'
import type { Finding } from './finding.js'
import { latin1, NONE } from './interner.js'
import type { Lanes } from './lanes.js'
import { bytesOf, DIGEST, isAt, isDigest, type Leaves, numberAt, type OneLeaf } from './leaf.js'
import { LineReader, type PackFile } from './pack.js'

/** Key of a line of openings.jsonl, for finding it. */
export const OPENING_KEY = /^\{"idx":([0-9]{1,16}),/

const IDX = bytesOf('{"idx":')
const CLASS = bytesOf(',"class":')
const SEED = bytesOf(',"seed":"')
const FIELDS = bytesOf('","fields":[')
const QUOTE = 0x22
const BACKSLASH = 0x5c
const SEED_FORM = /^[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]$/

/** The values of one opening, where they stand. Good until the next is read. */
export interface Fields {
  readonly bytes: Uint8Array
  /** Number of the value with this name, or NONE. */
  find(name: number): number
  /** Number of `dtbsr[i]` or the like. */
  findItem(name: 'dtbsr' | 'sigh', i: number): number
  /** Where the value begins and ends, as JSON writes it, without the quotes. */
  from(value: number): number
  to(value: number): number
}

/** R8 for the openings of a range: each fits its leaf. */
export class OpeningScanner implements Fields {
  readonly #batch: FieldBatch
  readonly #lines: LineReader
  readonly #file: PackFile
  #count = 0
  readonly #from = new Int32Array(MOST_FIELDS)
  readonly #to = new Int32Array(MOST_FIELDS)
  /** By name: the opening that had it last, and which of its values that was. */
  readonly #seenIn = new Float64Array(2 ** 12)
  readonly #valueOf = new Int32Array(2 ** 12)
  #opening = 0
  readonly #items = { dtbsr: [] as number[], sigh: [] as number[] }
  #misfits = new Map<number, string>()

  constructor(file: PackFile, lanes: Lanes, at: number, leaves: Leaves) {
    this.#file = file
    this.#lines = new LineReader(file)
    this.#batch = new FieldBatch(lanes, at, leaves, (order, name) => {
      if (!this.#misfits.has(order)) this.#misfits.set(order, `the opening of ${name} does not fit the leaf`)
    })
  }

  get bytes(): Uint8Array {
    return this.#lines.bytes
  }

  find(name: number): number {
    return this.#seenIn[name] === this.#opening ? (this.#valueOf[name] as number) : NONE
  }

  findItem(name: 'dtbsr' | 'sigh', i: number): number {
    const items = this.#items[name]
    let number = items[i]
    if (number === undefined) {
      if (i >= MOST_FIELDS) return NONE
      number = this.#batch.names.ofText(`${name}[${i}]`)
      if (items.length === i) items.push(number)
    }
    return this.find(number)
  }

  from(value: number): number {
    return this.#from[value] as number
  }

  to(value: number): number {
    return this.#to[value] as number
  }

  /**
   * @param range first entry of the range, and the one behind it
   * @param misfits openings that an earlier look at the range found not to fit: told, and not there
   * @param opened told of each opening of class 1, in the order of entries
   * @returns further openings that do not fit, by index and class as one number; what was made of them is worth nothing
   */
  scan(
    [from, to]: readonly [number, number],
    range: { readonly from: number; readonly to: number },
    misfits: ReadonlyMap<number, string>,
    opened: (index: number, fields: Fields) => void,
    fault: (finding: Finding) => void,
  ): ReadonlyMap<number, string> {
    this.#misfits = new Map()
    const { path } = this.#file
    const lines = this.#lines
    lines.start(from, to)
    let before = -1
    while (lines.next()) {
      const { bytes, begin, end } = lines
      const indexEnd = endOfDigits(bytes, begin + 7)
      const index = numberAt(bytes, begin + 7, indexEnd)
      const kind = (bytes[indexEnd + 9] as number) - 0x30
      const seedAt = indexEnd + 19
      if (!isHead(bytes, begin, indexEnd, kind, seedAt)) {
        fault({
          rule: 'R8',
          file: path,
          what: `a line is not an opening: ${latin1(bytes, begin, Math.min(end, begin + 60))}`,
        })
        continue
      }
      const wrong = (what: string) => fault({ rule: 'R8', index, file: path, what })
      const order = index * 2 + kind
      if (order <= before || index < range.from || index >= range.to) {
        wrong('an opening is not where its index belongs')
        continue
      }
      before = order
      const misfit = misfits.get(order)
      if (misfit !== undefined) {
        wrong(misfit)
        continue
      }
      if (this.#batch.makeRoom()) for (const items of Object.values(this.#items)) items.splice(0)
      this.#batch.begin(order, index - range.from, bytes, seedAt)
      const what = this.#readFields(bytes, seedAt + DIGEST + FIELDS.length, end, kind)
      if (what !== undefined) wrong(what)
      else if (kind === 1) opened(index, this)
    }
    this.#batch.flush()
    return this.#misfits
  }

  /** @returns what is wrong with them, as far as it shows before they are hashed */
  #readFields(bytes: Uint8Array, from: number, end: number, kind: number): string | undefined {
    const NO_FIELD = 'an opening holds something else than names and values'
    this.#opening++
    this.#count = 0
    for (let p = from; ; p++) {
      if (bytes[p] !== 0x5b || bytes[p + 1] !== QUOTE) return NO_FIELD
      const nameAt = p + 2
      const nameEnd = endOfQuoted(bytes, nameAt, end)
      const name = nameEnd < end ? this.#batch.names.number(bytes, nameAt, nameEnd) : NONE
      if (name < 0 || bytes[nameEnd + 1] !== 0x2c || bytes[nameEnd + 2] !== QUOTE) return NO_FIELD
      const valueAt = nameEnd + 3
      const plainEnd = endOfPlain(bytes, valueAt, end)
      const valueEnd = bytes[plainEnd] === QUOTE ? plainEnd : endOfQuoted(bytes, plainEnd, end)
      if (valueEnd >= end || bytes[valueEnd + 1] !== 0x5d) return NO_FIELD
      const nameInWords = () => this.#batch.names.words[name] as string
      if (this.find(name) >= 0 || (name === NAME.ip) !== (kind === 2)) {
        return `an opening of class ${kind} names ${nameInWords()}`
      }
      if (valueEnd !== plainEnd && !isCanonical(latin1(bytes, valueAt, valueEnd))) {
        return `the value of ${nameInWords()} is not written as JSON.stringify writes it`
      }
      if (this.#count === MOST_FIELDS) return `the opening of ${nameInWords()} does not fit the leaf`
      this.#seenIn[name] = this.#opening
      this.#valueOf[name] = this.#count
      this.#from[this.#count] = valueAt
      this.#to[this.#count] = valueEnd
      this.#count++
      this.#batch.add(name, bytes, nameAt, valueEnd + 2)
      p = valueEnd + 2
      if (bytes[p] === 0x2c) continue
      return bytes[p] === 0x5d && bytes[p + 1] === 0x7d && p + 2 === end
        ? undefined
        : 'an opening does not end as it should'
    }
  }
}

function isHead(bytes: Uint8Array, begin: number, indexEnd: number, kind: number, seedAt: number): boolean {
  const digits = indexEnd - (begin + 7)
  return (
    isAt(bytes, begin, IDX) &&
    digits > 0 &&
    digits <= 16 &&
    (digits === 1 || bytes[begin + 7] !== 0x30) &&
    isAt(bytes, indexEnd, CLASS) &&
    (kind === 1 || kind === 2) &&
    isAt(bytes, indexEnd + 10, SEED) &&
    isDigest(bytes, seedAt) &&
    isAt(bytes, seedAt + DIGEST, FIELDS)
  )
}

function endOfDigits(bytes: Uint8Array, from: number): number {
  let p = from
  while ((bytes[p] as number) >= 0x30 && (bytes[p] as number) <= 0x39) p++
  return p
}

/** Where printable ASCII without quote and backslash ends. */
function endOfPlain(bytes: Uint8Array, from: number, end: number): number {
  let p = from
  for (; p < end; p++) {
    const byte = bytes[p] as number
    if (byte < 0x20 || byte > 0x7e || byte === QUOTE || byte === BACKSLASH) break
  }
  return p
}

/** Where the quote is that ends a string, or `end`. */
function endOfQuoted(bytes: Uint8Array, from: number, end: number): number {
  let p = from
  while (p < end && bytes[p] !== QUOTE) p += bytes[p] === BACKSLASH ? 2 : 1
  return Math.min(p, end)
}

function isCanonical(value: string): boolean {
  const raw = Buffer.from(value, 'latin1')
  const text = raw.toString('utf8')
  try {
    return JSON.stringify(JSON.parse(`"${text}"`)) === `"${text}"` && Buffer.from(text).equals(raw)
  } catch {
    return false
  }
}

/** What a value says, or an empty text where it is not there. */
export function decodeValue(fields: Fields, name: KnownName): string {
  const value = fields.find(NAME[name])
  if (value < 0) return ''
  const text = latin1(fields.bytes, fields.from(value), fields.to(value))
  return JSON.parse(`"${Buffer.from(text, 'latin1').toString('utf8')}"`)
}

/**
 * The values by name of an opening of a receipt, which stands for one leaf and has no index, or what is wrong with it.
 */
export function readOpening(opening: unknown, { leaves, bytes }: OneLeaf): ReadonlyMap<string, string> | string {
  const { class: kind, seed, fields } = (opening ?? {}) as Record<string, unknown>
  const isOpening =
    Object.keys(Object(opening)).join() === 'class,seed,fields' &&
    (kind === 1 || kind === 2) &&
    typeof seed === 'string' &&
    SEED_FORM.test(seed) &&
    Array.isArray(fields) &&
    fields.length > 0
  if (!isOpening) return 'an opening is not one'
  const values = new Map<string, string>()
  for (const field of fields as unknown[]) {
    const [name, value] = Array.isArray(field) && field.length === 2 ? field : []
    const isField = typeof name === 'string' && typeof value === 'string'
    if (!isField || !NAME_FORM.test(name)) return 'an opening holds something else than names and values'
    if (values.has(name) || (name === 'ip') !== (kind === 2)) return `an opening of class ${kind} names ${name}`
    values.set(name, value)
    const json = Buffer.from(`"${name}",${JSON.stringify(value)}`).toString('latin1')
    if (!hasDigest(leaves, bytes, 0, fieldDigest(Buffer.from(seed, 'base64url'), name, json))) {
      return `the opening of ${name} does not fit the leaf`
    }
  }
  return values
}
