import { closeSync, constants, fstatSync, lstatSync, opendirSync, openSync, readSync } from 'node:fs'
import { join } from 'node:path'
import { parseTilePath, TILE_WIDTH, tilePath, tileWidth } from '../tlog/tiles.js'
import { failFile } from './finding.js'

/** Longest line of a `.jsonl` file that is read; ours are far shorter. */
const LONGEST_LINE = 16 * 2 ** 20

/** The files that are no tiles. */
export const PLAIN_FILES = [
  'checkpoint',
  'checkpoints.jsonl',
  'entries.jsonl',
  'flushes.jsonl',
  'openings.jsonl',
] as const

/** A file of a pack, open for reading. Never one behind a link, and never anything but a file. */
export class PackFile {
  readonly path: string
  readonly size: number
  readonly #fd: number

  /** @throws PackError when there is no such file */
  constructor(root: string, path: string) {
    this.path = path
    try {
      this.#fd = openSync(join(root, path), constants.O_RDONLY | constants.O_NOFOLLOW | constants.O_NONBLOCK)
    } catch (error) {
      failFile(path, `cannot be read: ${(error as NodeJS.ErrnoException).code ?? 'unknown'}`)
    }
    const stat = fstatSync(this.#fd)
    this.size = stat.size
    if (!stat.isFile()) {
      this.close()
      failFile(path, 'is not a file')
    }
  }

  /** Bytes from `from` to `to`. @throws PackError when the file ends before */
  read(from: number, to: number): Buffer {
    const bytes = Buffer.allocUnsafe(to - from)
    this.readInto(bytes, 0, from, to)
    return bytes
  }

  /** The same, into bytes that are there. @throws PackError when the file ends before */
  readInto(bytes: Uint8Array, at: number, from: number, to: number): void {
    for (let done = from; done < to; ) {
      const count = readSync(this.#fd, bytes, at + done - from, to - done, done)
      if (count === 0) failFile(this.path, 'ends too early')
      done += count
    }
  }

  close(): void {
    closeSync(this.#fd)
  }
}

/** A small file as a whole. @throws PackError when it is absent or longer than `most` */
export function readWhole(root: string, path: string, most: number): Buffer {
  const file = new PackFile(root, path)
  try {
    if (file.size > most) failFile(path, `is longer than ${most} bytes`)
    return file.read(0, file.size)
  } finally {
    file.close()
  }
}

/** Lines of a part of a file that begins and ends between lines, without their LF. @throws PackError */
export function* linesOf(file: PackFile, from: number, to: number, longest = LONGEST_LINE): Generator<Buffer> {
  const CHUNK = 2 ** 20
  let rest: Buffer = Buffer.alloc(0)
  for (let at = from; at < to; ) {
    const next = Math.min(to, at + CHUNK)
    const read = file.read(at, next)
    const bytes = rest.length === 0 ? read : Buffer.concat([rest, read])
    at = next
    let begin = 0
    for (let end = bytes.indexOf(10, rest.length); end >= 0; end = bytes.indexOf(10, begin)) {
      yield bytes.subarray(begin, end)
      begin = end + 1
    }
    rest = bytes.subarray(begin)
    if (rest.length > longest) failFile(file.path, `has a line longer than ${longest} bytes`)
  }
  if (rest.length > 0) failFile(file.path, 'does not end with a line feed')
}

/** The same lines one after another in bytes that are used again, for a file with many. */
export class LineReader {
  /** Holds the line from `begin` to `end`. */
  bytes = new Uint8Array(2 ** 19)
  begin = 0
  end = 0
  readonly #file: PackFile
  #next = 0
  #filled = 0
  #at = 0
  #to = 0

  constructor(file: PackFile) {
    this.#file = file
  }

  /** Begins with another part of the file, between places where lines begin. */
  start(from: number, to: number): void {
    this.#next = 0
    this.#filled = 0
    this.#at = from
    this.#to = to
  }

  /** @returns whether there is another line @throws PackError */
  next(): boolean {
    let searched = this.#next
    for (;;) {
      const found = this.bytes.indexOf(10, searched)
      if (found >= 0 && found < this.#filled) {
        this.begin = this.#next
        this.end = found
        this.#next = found + 1
        return true
      }
      searched = this.#filled - this.#next
      if (this.#at === this.#to) {
        if (searched > 0) failFile(this.#file.path, 'does not end with a line feed')
        return false
      }
      this.#fill()
    }
  }

  #fill(): void {
    const kept = this.#filled - this.#next
    if (kept > LONGEST_LINE) failFile(this.#file.path, `has a line longer than ${LONGEST_LINE} bytes`)
    const bytes = 2 * kept > this.bytes.length ? new Uint8Array(2 * this.bytes.length) : this.bytes
    bytes.set(this.bytes.subarray(this.#next, this.#filled))
    this.bytes = bytes
    const to = Math.min(this.#to, this.#at + bytes.length - kept)
    this.#file.readInto(bytes, kept, this.#at, to)
    this.#filled = kept + to - this.#at
    this.#at = to
    this.#next = 0
  }
}

/**
 * Where in a file of lines, sorted by a number near their beginning, the first one of at least `key` begins. In a file
 * that is not sorted it is some place between lines; whoever reads from it finds that out.
 */
export function findLine(file: PackFile, keyOf: RegExp, key: number): number {
  let low = 0
  let high = file.size
  while (low < high) {
    const middle = Math.floor((low + high) / 2)
    const begin = lineBegin(file, middle, low)
    const found = keyOf.exec(file.read(begin, Math.min(file.size, begin + 160)).toString('latin1', 0, 160))
    if (found !== null && Number(found[1]) < key) low = lineEnd(file, begin)
    else high = begin
  }
  return low
}

const STEP = 4096

/** Begin of the line that `at` is in, not before `low`, where one begins. */
function lineBegin(file: PackFile, at: number, low: number): number {
  for (let end = at; end > low; end = Math.max(low, end - STEP)) {
    const from = Math.max(low, end - STEP)
    const index = file.read(from, end).lastIndexOf(10)
    if (index >= 0) return from + index + 1
    if (at - from > LONGEST_LINE) failFile(file.path, `has a line longer than ${LONGEST_LINE} bytes`)
  }
  return low
}

function lineEnd(file: PackFile, begin: number): number {
  for (let from = begin; from < file.size; from += STEP) {
    const index = file.read(from, Math.min(file.size, from + STEP)).indexOf(10)
    if (index >= 0) return from + index + 1
    if (from - begin > LONGEST_LINE) failFile(file.path, `has a line longer than ${LONGEST_LINE} bytes`)
  }
  return file.size
}

/** Which tiles and bundles a tree of some size has, each with a number of its own. */
export class TileSlots {
  readonly size: number
  /** How many there are. */
  readonly count: number
  readonly #base: number[] = []

  constructor(size: number) {
    this.size = size
    let count = Math.ceil(size / TILE_WIDTH)
    for (let level = 0; TILE_WIDTH ** level <= size; level++) {
      this.#base.push(count)
      count += Math.ceil(Math.floor(size / TILE_WIDTH ** level) / TILE_WIDTH)
    }
    this.count = count
  }

  get levels(): number {
    return this.#base.length
  }

  slot(level: number | 'entries', n: number): number {
    return level === 'entries' ? n : (this.#base[level] as number) + n
  }

  pathOfSlot(slot: number): string {
    const level = this.#base.findLastIndex((base) => base <= slot)
    const n = level < 0 ? slot : slot - (this.#base[level] as number)
    return tilePath(level < 0 ? 'entries' : level, n, tileWidth(this.size, Math.max(0, level), n))
  }

  /** Number of the tile with this path; undefined for whatever is no file of this tree. */
  slotOfPath(path: string): number | undefined {
    const tile = parseTilePath(path)
    if (tile === undefined) return undefined
    const level = tile.level === 'entries' ? 0 : tile.level
    if (level >= this.levels || tileWidth(this.size, level, tile.n) !== tile.width) return undefined
    return this.slot(tile.level, tile.n)
  }
}

const ANCHOR = /^anchors\/([1-9][0-9]{0,15})\.tsr$/

/** Size of the checkpoint that a file of `anchors/` is a time-stamp of. */
export function anchorSize(path: string): number | undefined {
  const size = ANCHOR.exec(path)?.[1]
  return size === undefined ? undefined : Number(size)
}

export interface Listing {
  /** Length of each bundle, by its number; shared with the workers. */
  readonly bundleBytes: Uint32Array
  readonly anchors: readonly number[]
}

/**
 * Looks at every name in the folder, once, and follows no link.
 * @throws PackError for a file that does not belong there, one that is missing, and whatever is neither file nor folder
 */
export function listPack(root: string, slots: TileSlots): Listing {
  const bundles = Math.ceil(slots.size / TILE_WIDTH)
  const bundleBytes = new Uint32Array(new SharedArrayBuffer(4 * bundles))
  const seen = new Uint8Array(slots.count)
  const anchors: number[] = []
  const plain = new Set<string>([...PLAIN_FILES, 'MANIFEST'])
  const folders = ['']
  for (let folder = folders.pop(); folder !== undefined; folder = folders.pop()) {
    const directory = opendirSync(join(root, folder))
    try {
      for (let entry = directory.readSync(); entry !== null; entry = directory.readSync()) {
        const path = folder === '' ? entry.name : `${folder}/${entry.name}`
        if (entry.isDirectory() && /^(anchors|tile|tile\/.+)$/.test(path) && path.length < 64) {
          folders.push(path)
          continue
        }
        const slot = slots.slotOfPath(path)
        const anchor = anchorSize(path)
        if (!entry.isFile() || (slot === undefined && anchor === undefined && !plain.delete(path))) {
          failFile(path.slice(0, 200), 'does not belong into this pack')
        }
        if (anchor !== undefined) anchors.push(anchor)
        if (slot === undefined) continue
        seen[slot] = 1
        if (slot < bundles) bundleBytes[slot] = Math.min(lstatSync(join(root, path)).size, 2 ** 32 - 1)
      }
    } finally {
      directory.closeSync()
    }
  }
  for (const path of plain) failFile(path, 'is missing')
  const missing = seen.indexOf(0)
  if (missing >= 0) failFile(slots.pathOfSlot(missing), 'is missing')
  return { bundleBytes, anchors: anchors.sort((a, b) => a - b) }
}
