import { hash } from 'node:crypto'
import { parsePolicy } from '../tlog/policy.js'
import { TILE_WIDTH, tilePath, tileWidth } from '../tlog/tiles.js'
import { HASH_BYTES, nodeHash } from '../tlog/tree.js'
import type { Act, RangeResult, RangeTask, ScanSettings } from './acts.js'
import { type Finding, failFile, MOST_FINDINGS, PackError } from './finding.js'
import { type Leaf, parseLeaf } from './leaf.js'
import { isTile } from './manifest.js'
import { PackFile, readWhole, TileSlots } from './pack.js'
import { scanCheckpoints } from './scan-checkpoints.js'
import { actsOf, BootRanges } from './scan-entries.js'
import { keyring, scanFlushes } from './scan-flushes.js'
import { type Fields, scanOpenings } from './scan-openings.js'

/** Entries that are looked at together: 16 bundles. */
export const RANGE = 4096

interface Entry {
  readonly bytes: Uint8Array
  readonly hash: Uint8Array
  readonly leaf: Leaf
}

/** Looks at ranges of a pack. What is wrong within one is found here; what takes more than one is passed on. */
export class Scanner {
  readonly #settings: ScanSettings
  readonly #slots: TileSlots
  readonly #policy
  readonly #keyOf
  readonly #files: Readonly<Record<'entries' | 'openings' | 'flushes' | 'checkpoints', PackFile>>

  /** @throws PackError when a file of the pack is missing */
  constructor(settings: ScanSettings) {
    this.#settings = settings
    this.#slots = new TileSlots(settings.size)
    this.#policy = parsePolicy(settings.policy)
    this.#keyOf = keyring(settings.keys)
    const open = (name: string) => new PackFile(settings.root, `${name}.jsonl`)
    this.#files = {
      entries: open('entries'),
      openings: open('openings'),
      flushes: open('flushes'),
      checkpoints: open('checkpoints'),
    }
  }

  close(): void {
    for (const file of Object.values(this.#files)) file.close()
  }

  scan(task: RangeTask): RangeResult {
    const findings: Finding[] = []
    try {
      return this.#scan(task, findings)
    } catch (error) {
      if (!(error instanceof PackError)) throw error
      return {
        ...{ findings, broken: error.finding, tileRoots: new Uint8Array(0), boots: [], acts: [], flushes: [] },
        ...{ ops: new Uint32Array(0), phases: new Uint8Array(0), checkpoints: [], edges: [], latest: 0 },
        ...{ lastTime: 0, opened: 0 },
      }
    }
  }

  #scan(task: RangeTask, findings: Finding[]): RangeResult {
    const { from, to } = task
    const fault = (finding: Finding) => {
      if (findings.length < MOST_FINDINGS) findings.push(finding)
    }
    const entries: Entry[] = []
    for (let n = from / TILE_WIDTH; n * TILE_WIDTH < to; n++) entries.push(...this.#readBundle(n, fault))
    this.#compareLines(task, entries, fault)

    const opened = new Map<number, Fields>()
    scanOpenings(
      this.#files.openings,
      task.openings,
      (index) => (index < from ? undefined : entries[index - from]),
      (index, fields) => opened.set(index, fields),
      fault,
    )
    const ops = new Uint32Array(2 * entries.length)
    const phases = new Uint8Array(entries.length)
    const boots = new BootRanges()
    const acts: Act[] = []
    const times = new Times(acts)
    entries.forEach(({ leaf }, i) => {
      const { op, ph } = leaf
      ops[2 * i] = Number.parseInt(op.slice(28), 16)
      ops[2 * i + 1] = Number.parseInt(op.slice(19, 23) + op.slice(24, 28), 16)
      phases[i] = ph
      boots.add(from + i, leaf, fault)
      times.add(from + i, leaf)
      actsOf(from + i, leaf, opened.get(from + i), acts, fault)
    })
    times.flush()

    const further = new Map<number, Entry[]>()
    const entryAt = (index: number) => {
      const within = index >= from && index < to ? entries[index - from] : this.#entryBeyond(index, further)
      return within && { hash: within.hash, boot: within.leaf.boot }
    }
    const flushes = scanFlushes(this.#files.flushes, task.flushes, this.#keyOf, entryAt, fault)
    const checkpoints = scanCheckpoints(
      this.#files.checkpoints,
      task.checkpoints,
      this.#policy,
      this.#settings.origin,
      fault,
    )
    const tree = new RangeTree(entries)
    const sizes = [...checkpoints.map(({ size }) => size), ...task.sizes].filter((size) => size > from && size <= to)
    return {
      ...{ findings, broken: undefined, tileRoots: tree.tileRoots(), ops, phases, boots: boots.all(), acts, flushes },
      ...{ checkpoints, edges: edgesOf(from, sizes, tree, entries), latest: latestOf(entries) },
      ...{ lastTime: entries.at(-1)?.leaf.t ?? 0, opened: opened.size },
    }
  }

  /** The entries of a bundle, which is the one that MANIFEST means, as is the tile of its leaf hashes. */
  #readBundle(n: number, fault: (finding: Finding) => void): Entry[] {
    const width = tileWidth(this.#settings.size, 0, n)
    const entries = this.#decodeBundle(n, width)
    const path = tilePath(0, n, width)
    const tile = readWhole(this.#settings.root, path, TILE_WIDTH * HASH_BYTES)
    if (!isTile(this.#settings.tiles, this.#slots.slot(0, n), tile)) {
      fault({ rule: 'R2', file: path, what: 'is not the file that MANIFEST means' })
    }
    const at = entries.findIndex(({ hash }, i) => !isAt(tile, i * HASH_BYTES, hash))
    if (at >= 0) {
      const what = 'the entry is not the one whose hash is here'
      fault({ rule: 'R2', index: n * TILE_WIDTH + at, file: path, what })
    } else if (tile.length !== width * HASH_BYTES) {
      fault({ rule: 'R2', file: path, what: 'has more hashes than entries' })
    }
    return entries
  }

  #decodeBundle(n: number, width: number): Entry[] {
    const path = tilePath('entries', n, width)
    const bundle = readWhole(this.#settings.root, path, TILE_WIDTH * (2 + 0xffff))
    const right = isTile(this.#settings.tiles, this.#slots.slot('entries', n), bundle)
    const entries: Entry[] = []
    for (let at = 0; at < bundle.length; ) {
      const end = at + 2 + ((bundle[at] as number) << 8) + (bundle[at + 1] ?? Number.NaN)
      if (!(end <= bundle.length)) failFile(path, 'ends inside an entry')
      const index = n * TILE_WIDTH + entries.length
      const text = bundle.toString('latin1', at + 2, end)
      const leaf = parseLeaf(text)
      if (leaf === undefined) {
        throw new PackError({ rule: 'R2', index, file: path, what: `the entry is not a leaf: ${printable(text)}` })
      }
      // The length has been read: in its place stands the prefix of RFC 6962, so that nothing is copied for the hash.
      bundle[at + 1] = 0
      entries.push({
        bytes: bundle.subarray(at + 2, end),
        hash: hash('sha256', bundle.subarray(at + 1, end), 'buffer'),
        leaf,
      })
      at = end
      if (entries.length > width) break
    }
    if (entries.length !== width) failFile(path, `has not ${width} entries`)
    if (!right) failFile(path, 'is not the file that MANIFEST means')
    return entries
  }

  /** An entry behind the range, for a commit that reaches beyond it. */
  #entryBeyond(index: number, read: Map<number, Entry[]>): Entry | undefined {
    const { size } = this.#settings
    if (index >= size) return undefined
    const n = Math.floor(index / TILE_WIDTH)
    let entries = read.get(n)
    if (entries === undefined) {
      entries = this.#decodeBundle(n, tileWidth(size, 0, n))
      read.clear()
      read.set(n, entries)
    }
    return entries[index - n * TILE_WIDTH]
  }

  /** entries.jsonl holds the same leaves, byte for byte. */
  #compareLines(
    { from, entries: [begin, end] }: RangeTask,
    entries: readonly Entry[],
    fault: (finding: Finding) => void,
  ): void {
    const file = this.#files.entries
    const lines = file.read(Math.min(begin, file.size), Math.min(end, file.size))
    let at = 0
    for (const [i, { bytes }] of entries.entries()) {
      const next = at + bytes.length
      if (!isAt(lines, at, bytes) || lines[next] !== 10) {
        fault({ rule: 'R2', index: from + i, file: file.path, what: 'the line is not the entry of the tree' })
        return
      }
      at = next + 1
    }
  }
}

function isAt(bytes: Buffer, at: number, expected: Uint8Array): boolean {
  const end = at + expected.length
  return end <= bytes.length && bytes.compare(expected, 0, expected.length, at, end) === 0
}

/** Text from a file, such that it can do no harm where it is shown. */
function printable(text: string): string {
  return text.slice(0, 60).replace(/[^ -~]/g, '?')
}

/** Latest times between the entries that say who is up. */
class Times {
  readonly #acts: Act[]
  #index = -1
  #latest = 0

  constructor(acts: Act[]) {
    this.#acts = acts
  }

  add(index: number, { ev, t }: Leaf): void {
    if (ev === 'audit.start') this.flush()
    if (t > this.#latest && ev !== 'audit.start') {
      this.#latest = t
      this.#index = index
    }
    if (ev === 'audit.stop' || ev === 'audit.heartbeat' || ev === 'clock.sync' || ev === 'clock.step') this.flush()
  }

  flush(): void {
    if (this.#index >= 0) this.#acts.push(['time', this.#index, this.#latest])
    this.#index = -1
    this.#latest = 0
  }
}

/** All whole subtrees of a range that begins where one of its width does. */
class RangeTree {
  readonly #levels: Uint8Array[][]

  constructor(entries: readonly Entry[]) {
    let level: Uint8Array[] = entries.map(({ hash }) => hash)
    this.#levels = [level]
    while (level.length > 1) {
      const above: Uint8Array[] = []
      for (let i = 0; i + 1 < level.length; i += 2)
        above.push(nodeHash(level[i] as Uint8Array, level[i + 1] as Uint8Array))
      this.#levels.push(above)
      level = above
    }
  }

  tileRoots(): Uint8Array {
    return Buffer.concat(this.#levels[Math.log2(TILE_WIDTH)] ?? [])
  }

  /** Roots of the widest whole subtrees of the first `count` leaves. */
  peaks(count: number): Uint8Array[] {
    const peaks: Uint8Array[] = []
    let at = 0
    for (let height = this.#levels.length - 1; height >= 0; height--) {
      const width = 2 ** height
      if (count - at < width) continue
      peaks.push(this.#levels[height]?.[at / width] as Uint8Array)
      at += width
    }
    return peaks
  }
}

function edgesOf(from: number, sizes: readonly number[], tree: RangeTree, entries: readonly Entry[]) {
  const ascending = [...new Set(sizes)].sort((a, b) => a - b)
  let latest = 0
  let at = 0
  return ascending.map((size) => {
    for (; at < size - from; at++) latest = Math.max(latest, (entries[at] as Entry).leaf.t)
    return { size, peaks: tree.peaks(size - from), latest }
  })
}

const latestOf = (entries: readonly Entry[]) => entries.reduce((latest, { leaf }) => Math.max(latest, leaf.t), 0)
