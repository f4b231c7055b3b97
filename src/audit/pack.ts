import { createHash, hash } from 'node:crypto'
import { type FileHandle, mkdir, open, readdir } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { parseCheckpoint, parseNote } from '../tlog/note.js'
import { encodeBundle, GrowingTree, TILE_WIDTH, type Tile, tilePath } from '../tlog/tiles.js'
import { HASH_BYTES, type Hash, leafHash, sameHash } from '../tlog/tree.js'

/** What a pack is written from. Each is read once, from the beginning to the end, and only what is asked for. */
export interface PackSource {
  /** The signed note that the pack ends with, its cosignatures included. */
  readonly checkpoint: string
  /** Leaves from `from` to `to`, at most 256 of them. */
  entries(from: number, to: number): Promise<readonly Uint8Array[]>
  /** By index and class. */
  openings(): AsyncIterable<PackOpening>
  /** By first index, as far as they begin below the size of the checkpoint. */
  flushes(): AsyncIterable<PackFlush>
  /** By size, the last one of the size of the checkpoint. */
  checkpoints(): AsyncIterable<{ readonly size: number; readonly note: string }>
  /** RFC 3161 responses, by the size that they are of. */
  anchors(): AsyncIterable<{ readonly size: number; readonly response: Uint8Array }>
}

export interface PackOpening {
  readonly index: number
  readonly class: 1 | 2
  readonly seed: Uint8Array
  /** JSON array of [name, value]. */
  readonly fields: string
}

export interface PackFlush {
  readonly boot: string
  readonly no: number
  readonly first: number
  readonly body: Uint8Array
  readonly signature: Uint8Array
}

/** Files are written so many at once: each waits for the disk. */
const AT_ONCE = 16

/** A pack tells of persons: nobody but its owner looks into it. */
const PRIVATE = { folder: 0o700, file: 0o600 } as const

/**
 * Writes a pack (docs/audit-format.md §2) into a folder that is empty or not there. On return all of it is on disk;
 * MANIFEST comes last, so that a folder with one is whole.
 * @throws Error when the folder holds something, or the entries do not make the tree of the checkpoint
 */
export async function writePack(folder: string, source: PackSource): Promise<{ size: number }> {
  const { size, root } = parseCheckpoint(parseNote(source.checkpoint).text)
  await mkdir(folder, { recursive: true, mode: PRIVATE.folder })
  if ((await readdir(folder)).length > 0) throw new Error(`${folder} is not empty`)
  const files = new PackFiles(folder)
  try {
    return await writeParts(files, source, size, root)
  } finally {
    await files.close()
  }
}

async function writeParts(files: PackFiles, source: PackSource, size: number, root: Hash): Promise<{ size: number }> {
  const tree = await writeEntries(files, source, size)
  if (!sameHash(tree.root(), root)) throw new Error('the entries do not make the tree of the checkpoint')
  await files.lines('openings.jsonl', source.openings(), openingLine)
  await files.lines('flushes.jsonl', source.flushes(), flushLine)
  await files.lines('checkpoints.jsonl', source.checkpoints(), ({ size, note }) => JSON.stringify({ size, note }))
  for await (const anchor of source.anchors()) files.write(`anchors/${anchor.size}.tsr`, anchor.response)
  files.write('checkpoint', Buffer.from(source.checkpoint))
  await files.finish()
  return { size }
}

/** Bundles, the same leaves as lines, and the tiles over them. */
async function writeEntries(files: PackFiles, source: PackSource, size: number): Promise<GrowingTree> {
  const tree = new GrowingTree()
  const lines = await files.open('entries.jsonl')
  for (let from = 0; from < size; from += TILE_WIDTH) {
    const to = Math.min(size, from + TILE_WIDTH)
    const entries = await source.entries(from, to)
    if (entries.length !== to - from) throw new Error(`the log has no entries from ${from} to ${to}`)
    for (const entry of entries) tree.append(leafHash(entry))
    await lines.append(Buffer.concat(entries.flatMap((entry) => [entry, LF])))
    files.write(tilePath('entries', from / TILE_WIDTH, to - from), encodeBundle(entries))
    await writeTiles(files, tree.takeTiles().filter(isWhole))
  }
  await writeTiles(
    files,
    tree.takeTiles().filter((tile) => !isWhole(tile)),
  )
  await lines.close()
  return tree
}

const LF = Buffer.of(10)
const isWhole = ({ data }: Tile) => data.length === TILE_WIDTH * HASH_BYTES

async function writeTiles(files: PackFiles, tiles: readonly Tile[]): Promise<void> {
  for (const { level, n, data } of tiles) files.write(tilePath(level, n, data.length / HASH_BYTES), data)
  await files.room()
}

/** One line of `openings.jsonl`, without its end (docs/audit-format.md §4). */
export function openingLine(opening: PackOpening): string {
  const seed = Buffer.from(opening.seed).toString('base64url')
  return JSON.stringify({ idx: opening.index, class: opening.class, seed, fields: JSON.parse(opening.fields) })
}

function flushLine({ boot, no, first, body, signature }: PackFlush): string {
  const base64 = (bytes: Uint8Array) => Buffer.from(bytes).toString('base64')
  return JSON.stringify({ boot, no, first, body: base64(body), signature: base64(signature) })
}

/** The files of one pack, each written once and down on the disk before MANIFEST names it. */
class PackFiles {
  readonly #folder: string
  readonly #hashes = new Map<string, string>()
  readonly #folders = new Set<string>()
  readonly #writing = new Set<Promise<void>>()
  readonly #growing = new Set<FileHandle>()
  #failure: unknown

  constructor(folder: string) {
    this.#folder = folder
  }

  /** Begins to write a small file; `finish` throws what comes of it. */
  write(path: string, bytes: Uint8Array): void {
    this.#hashes.set(path, hash('sha256', bytes, 'hex'))
    const written: Promise<void> = this.#write(path, bytes)
      .catch((error: unknown) => {
        this.#failure ??= error
      })
      .finally(() => this.#writing.delete(written))
    this.#writing.add(written)
  }

  /** Waits until not too many files are under way. */
  async room(): Promise<void> {
    while (this.#writing.size >= AT_ONCE) await Promise.race(this.#writing)
    if (this.#failure !== undefined) throw this.#failure
  }

  /** A file that grows. */
  async open(path: string): Promise<{ append(bytes: Uint8Array): Promise<void>; close(): Promise<void> }> {
    const file = await open(join(this.#folder, path), 'wx', PRIVATE.file)
    this.#growing.add(file)
    const sha256 = createHash('sha256')
    return {
      append: async (bytes) => {
        sha256.update(bytes)
        await file.appendFile(bytes)
      },
      close: async () => {
        await file.sync()
        this.#growing.delete(file)
        await file.close()
        this.#hashes.set(path, sha256.digest('hex'))
      },
    }
  }

  async lines<Item>(path: string, items: AsyncIterable<Item>, lineOf: (item: Item) => string): Promise<void> {
    const file = await this.open(path)
    let waiting: string[] = []
    const flush = async () => {
      await file.append(Buffer.from(waiting.join('')))
      waiting = []
    }
    for await (const item of items) {
      waiting.push(`${lineOf(item)}\n`)
      if (waiting.length >= 1000) await flush()
    }
    await flush()
    await file.close()
  }

  async finish(): Promise<void> {
    await Promise.all(this.#writing)
    await this.room()
    for (const folder of this.#folders) await syncFolder(join(this.#folder, folder))
    const manifest = [...this.#hashes]
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([path, sha256]) => `${sha256}  ${path}\n`)
    await this.#write('MANIFEST', Buffer.from(manifest.join('')))
    await syncFolder(this.#folder)
  }

  /** Nothing of it is open or under way any more, whole or not. */
  async close(): Promise<void> {
    await Promise.all(this.#writing)
    for (const file of this.#growing) await file.close()
  }

  async #write(path: string, bytes: Uint8Array): Promise<void> {
    const folder = dirname(path)
    if (folder !== '.' && !this.#folders.has(folder)) {
      await mkdir(join(this.#folder, folder), { recursive: true, mode: PRIVATE.folder })
      for (let each = folder; each !== '.'; each = dirname(each)) this.#folders.add(each)
    }
    const file = await open(join(this.#folder, path), 'wx', PRIVATE.file)
    try {
      await file.writeFile(bytes)
      await file.sync()
    } finally {
      await file.close()
    }
  }
}

/** A new name in a folder is safe only once the folder is. */
async function syncFolder(path: string): Promise<void> {
  const folder = await open(path, 'r')
  try {
    await folder.sync()
  } finally {
    await folder.close()
  }
}
