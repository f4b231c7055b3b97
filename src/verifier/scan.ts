import { hash } from 'node:crypto'
import { parsePolicy } from '../tlog/policy.js'
import { TILE_WIDTH, tilePath, tileWidth } from '../tlog/tiles.js'
import { HASH_BYTES } from '../tlog/tree.js'
import { ActWriter } from './act-list.js'
import type { RangeResult, RangeTask, ScanSettings } from './acts.js'
import { FieldBatch } from './fields.js'
import { type Finding, failFile, MOST_FINDINGS, PackError } from './finding.js'
import { latin1 } from './interner.js'
import { FREE, giveBack, type Lanes, takeLanes } from './lanes.js'
import { EV, Leaves } from './leaf.js'
import { isTile } from './manifest.js'
import { PackFile, readWhole, TileSlots } from './pack.js'
import { RANGE, RangeHashes } from './range-hashes.js'
import { scanCheckpoints } from './scan-checkpoints.js'
import { BootRanges, EntryJudge } from './scan-entries.js'
import { type Committed, keyring, scanFlushes } from './scan-flushes.js'
import { OpeningScanner } from './scan-openings.js'

const LONGEST_BUNDLE = TILE_WIDTH * (2 + 0xffff)

/** Looks at ranges of a pack. What is wrong within one is found here; what takes more than one is passed on. */
export class Scanner {
  readonly #settings: ScanSettings
  readonly #slots: TileSlots
  readonly #policy
  readonly #keyOf
  readonly #files: Readonly<Record<'entries' | 'openings' | 'flushes' | 'checkpoints', PackFile>>
  readonly #lanes: Lanes
  readonly #leaves: Leaves
  readonly #hashes: RangeHashes
  readonly #openings: OpeningScanner
  readonly #judge: EntryJudge
  readonly #acts = new ActWriter()
  /** Where the bundles of a range stand in the memory. */
  readonly #bundlesAt: number
  /** Lines of entries.jsonl. */
  #lines = new Uint8Array(0)
  #beyond: Bundle | undefined

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
    const hashesAt = FREE + FieldBatch.SIZE
    this.#bundlesAt = hashesAt + RangeHashes.SIZE
    this.#lanes = takeLanes(this.#bundlesAt + longestRange(settings.bundleBytes))
    this.#leaves = new Leaves(Math.min(RANGE, settings.size))
    this.#hashes = new RangeHashes(this.#lanes, hashesAt)
    this.#openings = new OpeningScanner(this.#files.openings, this.#lanes, FREE, this.#leaves)
    this.#judge = new EntryJudge(this.#leaves, this.#lanes.bytes, this.#acts)
  }

  close(): void {
    for (const file of Object.values(this.#files)) file.close()
    giveBack(this.#lanes)
  }

  scan(task: RangeTask): RangeResult {
    const findings: Finding[] = []
    try {
      const fault = (finding: Finding) => {
        if (findings.length < MOST_FINDINGS) findings.push(finding)
      }
      this.#readEntries(task, fault)
      const read = findings.length
      let misfits: ReadonlyMap<number, string> = new Map()
      for (;;) {
        const { result, further } = this.#judgeRange(task, misfits, fault)
        if (further.size === 0) return { ...result, findings }
        // What does not fit its leaf says nothing: the range is looked at once more without it.
        misfits = new Map([...misfits, ...further])
        findings.length = read
      }
    } catch (error) {
      if (!(error instanceof PackError)) throw error
      return {
        ...{ findings, broken: error.finding, tileRoots: new Uint8Array(0), boots: [], flushes: [] },
        acts: { numbers: new Float64Array(0), text: new Uint8Array(0) },
        ...{ ops: new Uint32Array(0), phases: new Uint8Array(0), checkpoints: [], edges: [], latest: 0 },
        ...{ lastTime: 0, opened: 0 },
      }
    }
  }

  /** R2 for the entries of a range. */
  #readEntries(task: RangeTask, fault: (finding: Finding) => void): void {
    this.#leaves.clear()
    this.#hashes.clear()
    const { from, to } = task
    let at = this.#bundlesAt
    for (let n = from / TILE_WIDTH; n * TILE_WIDTH < to; n++) at = this.#readBundle(n, from, at, fault)
    this.#compareLines(task, fault)
    this.#hashes.grow(to - from)
  }

  #judgeRange(
    task: RangeTask,
    misfits: ReadonlyMap<number, string>,
    fault: (finding: Finding) => void,
  ): { result: Omit<RangeResult, 'findings'>; further: ReadonlyMap<number, string> } {
    const { from, to } = task
    const count = to - from
    const leaves = this.#leaves
    this.#acts.clear()
    const boots = new BootRanges(leaves)
    const times = new Times(leaves, this.#acts)
    let opened = 0
    let next = 0
    const pass = (i: number, fields: Parameters<EntryJudge['judge']>[2]) => {
      boots.add(i, from + i, fault)
      times.add(i, from + i)
      this.#judge.judge(i, from + i, fields, fault)
    }
    const further = this.#openings.scan(
      task.openings,
      task,
      misfits,
      (index, fields) => {
        while (next < index - from) pass(next++, undefined)
        pass(next++, fields)
        opened++
      },
      fault,
    )
    while (next < count) pass(next++, undefined)
    times.flush()

    const flushes = scanFlushes(this.#files.flushes, task.flushes, this.#keyOf, this.#committed(task), fault)
    const checkpoints = scanCheckpoints(
      this.#files.checkpoints,
      task.checkpoints,
      this.#policy,
      this.#settings.origin,
      fault,
    )
    const sizes = [...checkpoints.map(({ size }) => size), ...task.sizes].filter((size) => size > from && size <= to)
    const result = {
      ...{ broken: undefined, tileRoots: this.#hashes.tileRoots(), boots: boots.all(), acts: this.#acts.list() },
      ...{ ops: leaves.ops.slice(0, 2 * count), phases: leaves.ph.slice(0, count), flushes, checkpoints },
      ...{ edges: this.#edgesOf(from, sizes), latest: latestOf(leaves.t, count) },
      ...{ lastTime: leaves.t[count - 1] as number, opened },
    }
    return { result, further }
  }

  /**
   * The entries of a bundle, which is the one that MANIFEST means, as is the tile of its leaf hashes.
   * @param at where in the memory it is put
   * @returns where it ends
   */
  #readBundle(n: number, from: number, at: number, fault: (finding: Finding) => void): number {
    const width = tileWidth(this.#settings.size, 0, n)
    const first = n * TILE_WIDTH - from
    const end = this.#decodeBundle(n, width, first, at)
    const path = tilePath(0, n, width)
    const tile = readWhole(this.#settings.root, path, TILE_WIDTH * HASH_BYTES)
    if (!isTile(this.#settings.tiles, this.#slots.slot(0, n), tile)) {
      fault({ rule: 'R2', file: path, what: 'is not the file that MANIFEST means' })
    }
    for (let i = 0; i < width; i++) {
      if (this.#hashes.isAt(first + i, tile, i * HASH_BYTES)) continue
      const what = 'the entry is not the one whose hash is here'
      fault({ rule: 'R2', index: n * TILE_WIDTH + i, file: path, what })
      return end
    }
    if (tile.length !== width * HASH_BYTES) {
      fault({ rule: 'R2', file: path, what: 'has more hashes than entries' })
    }
    return end
  }

  #decodeBundle(n: number, width: number, first: number, at: number): number {
    const { bytes } = this.#lanes
    const path = tilePath('entries', n, width)
    const file = new PackFile(this.#settings.root, path)
    const end = at + file.size
    try {
      // The memory has room for the lengths that the folder told in the beginning.
      if (file.size !== this.#settings.bundleBytes[n]) failFile(path, 'changes while it is read')
      file.readInto(bytes, at, 0, file.size)
    } finally {
      file.close()
    }
    const right = isTile(this.#settings.tiles, this.#slots.slot('entries', n), bytes.subarray(at, end))
    let i = 0
    for (let p = at; p < end; i++) {
      const leafEnd = p + 2 + ((bytes[p] as number) << 8) + (p + 1 < end ? (bytes[p + 1] as number) : Number.NaN)
      if (!(leafEnd <= end)) failFile(path, 'ends inside an entry')
      if (i === width) failFile(path, `has not ${width} entries`)
      if (!this.#leaves.read(bytes, p + 2, leafEnd, first + i)) throw noLeaf(n, i, path, bytes, p + 2, leafEnd)
      // The length has been read: in its place stands the prefix of RFC 6962, so that nothing is copied for the hash.
      bytes[p + 1] = 0
      this.#hashes.add(first + i, p + 1, leafEnd)
      p = leafEnd
    }
    if (i !== width) failFile(path, `has not ${width} entries`)
    if (!right) failFile(path, 'is not the file that MANIFEST means')
    this.#hashes.flush()
    return end
  }

  #committed({ from, to }: RangeTask): Committed {
    const { boots, boot } = this.#leaves
    const within = (index: number) => index >= from && index < to
    return {
      bootOf: (index) => (within(index) ? boots.words[boot[index - from] as number] : this.#entryBeyond(index)?.boot),
      isAt: (index, bytes, at) => {
        if (within(index)) return this.#hashes.isAt(index - from, bytes, at)
        const expected = this.#entryBeyond(index)?.hash
        return expected?.equals(bytes.subarray(at, at + HASH_BYTES)) === true
      },
    }
  }

  /** An entry behind the range, for a commit that reaches beyond it. */
  #entryBeyond(index: number): { hash: Buffer; boot: string } | undefined {
    const { size, root, tiles } = this.#settings
    if (index >= size) return undefined
    const n = Math.floor(index / TILE_WIDTH)
    if (this.#beyond?.n !== n) {
      const width = tileWidth(size, 0, n)
      const path = tilePath('entries', n, width)
      const bytes = readWhole(root, path, LONGEST_BUNDLE)
      if (!isTile(tiles, this.#slots.slot('entries', n), bytes)) failFile(path, 'is not the file that MANIFEST means')
      this.#beyond = readBundle(n, path, bytes, width)
    }
    return this.#beyond.entries[index - n * TILE_WIDTH]
  }

  /** entries.jsonl holds the same leaves, byte for byte. */
  #compareLines({ from, to, entries: [begin, end] }: RangeTask, fault: (finding: Finding) => void): void {
    const file = this.#files.entries
    const length = Math.min(end, file.size) - Math.min(begin, file.size)
    if (this.#lines.length < length) this.#lines = new Uint8Array(length)
    file.readInto(this.#lines, 0, Math.min(begin, file.size), Math.min(end, file.size))
    const lines = Buffer.from(this.#lines.buffer, 0, length)
    const leaves = Buffer.from(this.#lanes.bytes.buffer)
    let at = 0
    let leafAt = this.#bundlesAt + 2
    for (let i = 0; i < to - from; i++) {
      const leafEnd = this.#hashes.end(i)
      const next = at + leafEnd - leafAt
      const same = next < length && lines.compare(leaves, leafAt, leafEnd, at, next) === 0
      if (!same || lines[next] !== 10) {
        fault({ rule: 'R2', index: from + i, file: file.path, what: 'the line is not the entry of the tree' })
        return
      }
      at = next + 1
      leafAt = leafEnd + 2
    }
  }

  #edgesOf(from: number, sizes: readonly number[]): RangeResult['edges'] {
    const ascending = [...new Set(sizes)].sort((a, b) => a - b)
    let latest = 0
    let at = 0
    return ascending.map((size) => {
      for (; at < size - from; at++) latest = Math.max(latest, this.#leaves.t[at] as number)
      return { size, peaks: this.#hashes.peaks(size - from), latest }
    })
  }
}

interface Bundle {
  readonly n: number
  readonly entries: readonly { readonly hash: Buffer; readonly boot: string }[]
}

function readBundle(n: number, path: string, bytes: Buffer, width: number): Bundle {
  const plain = new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.length)
  const leaves = new Leaves(TILE_WIDTH)
  const entries: { hash: Buffer; boot: string }[] = []
  for (let p = 0; p < bytes.length && entries.length < width; ) {
    const end = p + 2 + ((bytes[p] as number) << 8) + (bytes[p + 1] ?? Number.NaN)
    if (!(end <= bytes.length)) failFile(path, 'ends inside an entry')
    const i = entries.length
    if (!leaves.read(plain, p + 2, end, i)) throw noLeaf(n, i, path, plain, p + 2, end)
    bytes[p + 1] = 0
    const boot = leaves.boots.words[leaves.boot[i] as number] as string
    entries.push({ hash: hash('sha256', bytes.subarray(p + 1, end), 'buffer'), boot })
    p = end
  }
  return { n, entries }
}

function noLeaf(n: number, i: number, file: string, bytes: Uint8Array, from: number, to: number): PackError {
  // Text from a file, such that it can do no harm where it is shown.
  const text = latin1(bytes, from, Math.min(to, from + 60)).replace(/[^ -~]/g, '?')
  return new PackError({ rule: 'R2', index: n * TILE_WIDTH + i, file, what: `the entry is not a leaf: ${text}` })
}

/** Bytes of the bundles of a range, at most. */
function longestRange(bundleBytes: Uint32Array): number {
  const bundles = RANGE / TILE_WIDTH
  let longest = 0
  for (let n = 0; n < bundleBytes.length; n += bundles) {
    const bytes = bundleBytes.subarray(n, n + bundles).reduce((sum, each) => sum + Math.min(each, LONGEST_BUNDLE), 0)
    longest = Math.max(longest, bytes)
  }
  return longest
}

const ENDS_A_TIME = new Set([EV['audit.stop'], EV['audit.heartbeat'], EV['clock.sync'], EV['clock.step']])

/** Latest times between the entries that say who is up. */
class Times {
  readonly #leaves: Leaves
  readonly #acts: ActWriter
  #index = -1
  #latest = 0

  constructor(leaves: Leaves, acts: ActWriter) {
    this.#leaves = leaves
    this.#acts = acts
  }

  add(i: number, index: number): void {
    const ev = this.#leaves.ev[i] as number
    const t = this.#leaves.t[i] as number
    if (ev === EV['audit.start']) this.flush()
    else if (t > this.#latest) {
      this.#latest = t
      this.#index = index
    }
    if (ENDS_A_TIME.has(ev)) this.flush()
  }

  flush(): void {
    if (this.#index >= 0) this.#acts.write(['time', this.#index, this.#latest])
    this.#index = -1
    this.#latest = 0
  }
}

function latestOf(times: Float64Array, count: number): number {
  let latest = 0
  for (let i = 0; i < count; i++) latest = Math.max(latest, times[i] as number)
  return latest
}
