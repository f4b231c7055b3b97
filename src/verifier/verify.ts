import { lstatSync } from 'node:fs'
import { parseNote } from '../tlog/note.js'
import { parsePolicy, type TrustPolicy } from '../tlog/policy.js'
import { TILE_WIDTH, tilePath, tileWidth } from '../tlog/tiles.js'
import { sameHash } from '../tlog/tree.js'
import type { CheckpointSeen, RangeResult, RangeTask } from './acts.js'
import { type Crew, crewHere } from './crew.js'
import { type Finding, failFile, MOST_FINDINGS, PackError } from './finding.js'
import { Judges } from './judges.js'
import { type Facts, Leaves, parseFacts, readLeaf } from './leaf.js'
import { type Manifest, readManifest } from './manifest.js'
import { findLine, listPack, PackFile, readWhole, TileSlots } from './pack.js'
import { RANGE } from './range-hashes.js'
import { judgeReceipt, readReceipts } from './receipts.js'
import type { Report } from './report.js'
import { CHECKPOINT_KEY, judgeCheckpoint, LONGEST_NOTE } from './scan-checkpoints.js'
import { FLUSH_KEY } from './scan-flushes.js'
import { OPENING_KEY } from './scan-openings.js'
import { readTrusted, TimeStamps } from './time-stamps.js'
import { CheckedTree } from './tree.js'

export interface VerifyOptions {
  /** The pack's folder. */
  readonly root: string
  /** Text of the trust policy. */
  readonly policy: string
  /** A signed checkpoint that the auditor kept. */
  readonly since?: string
  /** Receipts by the names of their files. */
  readonly receipts?: ReadonlyMap<string, string>
  /** Certificates (PEM) of time-stamp authorities, or of their issuers: time-stamps of others are faults. */
  readonly timeStampsBy?: string
  /** Who looks at the ranges; this thread when absent. Closed in the end. */
  readonly crew?: Crew
  /** Told now and then how many entries of how many were judged. */
  readonly progress?: (done: number, size: number) => void
}

/**
 * Everything that docs/audit-format.md §6 asks of a pack, from the pack, the policy and what the auditor kept alone.
 * Never throws for what is wrong with the pack: it says so.
 * @throws RangeError when the policy is not one
 */
export async function verifyPack(options: VerifyOptions): Promise<Report> {
  const verification = new Verification(options, parsePolicy(options.policy))
  const crew = options.crew ?? crewHere()
  try {
    await verification.run(crew)
  } catch (error) {
    if (!(error instanceof PackError)) throw error
    verification.fault(error.finding)
  } finally {
    await crew.close()
  }
  return verification.report()
}

class Verification {
  readonly #options: VerifyOptions
  readonly #policy: TrustPolicy
  readonly #faults: Finding[] = []
  readonly #incomplete: Finding[] = []
  #origin = ''
  #size = 0
  #judged = 0
  #checkpoints = 0
  #judges: Judges | undefined
  #open: Pick<Report, 'open' | 'openCount'> = { open: [], openCount: 0 }

  constructor(options: VerifyOptions, policy: TrustPolicy) {
    this.#options = options
    this.#policy = policy
  }

  readonly fault = (finding: Finding): void => {
    if (this.#faults.length < MOST_FINDINGS) this.#faults.push(finding)
  }

  async run(crew: Crew): Promise<void> {
    const { root, policy } = this.#options
    if (!lstatSync(root, { throwIfNoEntry: false })?.isDirectory()) failFile('.', 'is not a folder')
    const newest = this.#readNewest()
    const slots = new TileSlots(this.#size)
    const { bundleBytes, anchors } = listPack(root, slots)
    const manifest = readManifest(root, slots, anchors)
    const hashed = this.#hashFiles(crew, manifest)
    // Awaited in the end, if something else did not fail before.
    hashed.catch(() => {})
    const tasks = [...tasksOf(root, this.#size, bundleBytes)]
    const keys = await findAnnounced(crew, root, tasks)

    crew.settle({ root, size: this.#size, origin: this.#origin, policy, tiles: manifest.tiles, bundleBytes, keys })
    await this.#judgeEntries(crew, tasks, { slots, newest, anchors, tiles: manifest.tiles })
    await hashed
  }

  report(): Report {
    const verdict = this.#faults.length > 0 ? 'fault' : this.#incomplete.length > 0 ? 'incomplete' : 'ok'
    const at = ({ index }: Finding) => index ?? Infinity
    return {
      ...{ verdict, origin: this.#origin, size: this.#size, judged: this.#judged, checkpoints: this.#checkpoints },
      faults: this.#faults.sort((a, b) => (at(a) === at(b) ? 0 : at(a) - at(b))),
      incomplete: this.#incomplete,
      erased: this.#judges?.missing.erased ?? 0,
      ...this.#open,
      abandoned: this.#judges?.operations.abandoned ?? [],
      abandonedCount: this.#judges?.operations.abandonedCount ?? 0,
    }
  }

  /** The checkpoint that says how much there is: who signed it, with whom, and of which log. */
  #readNewest(): CheckpointSeen {
    const text = readWhole(this.#options.root, 'checkpoint', LONGEST_NOTE).toString('utf8')
    let origin: string
    try {
      origin = parseNote(text).text.split('\n', 1)[0] as string
    } catch {
      return failFile('checkpoint', 'is not a signed note', 'R1')
    }
    this.#origin = origin.slice(0, 128)
    const newest = judgeCheckpoint(text, this.#policy, origin)
    if (typeof newest === 'string') return failFile('checkpoint', newest, 'R1')
    if (newest.size === 0 || newest.size > 2 ** 40) failFile('checkpoint', `is of size ${newest.size}`, 'R1')
    if (!newest.quorum)
      this.fault({ rule: 'R1', file: 'checkpoint', what: 'too few witnesses of the policy cosigned it' })
    this.#size = newest.size
    return newest
  }

  /** MANIFEST for the files that are no tiles; tiles are compared where they are read. */
  async #hashFiles(crew: Crew, { others }: Manifest): Promise<void> {
    const { root } = this.#options
    await Promise.all(
      [...others].map(async ([path, expected]) => {
        if ((await crew.do<'hash'>({ kind: 'hash', root, path })) === expected) return
        this.fault({ rule: 'R2', file: path, what: 'is not the file that MANIFEST means' })
      }),
    )
  }

  async #judgeEntries(crew: Crew, tasks: readonly RangeTask[], known: Known): Promise<void> {
    const { root, receipts: texts = new Map(), progress, timeStampsBy } = this.#options
    const { fault } = this
    const judges = new Judges(readInit(root, this.#size, this.#origin), fault)
    this.#judges = judges
    const tree = new CheckedTree({ root, tiles: known.tiles }, known.slots)
    const trusted = timeStampsBy === undefined ? undefined : readTrusted(timeStampsBy)
    const timeStamps = new TimeStamps(root, known.anchors, fault, trusted)
    const receipts = readReceipts(texts, this.#policy, this.#origin, fault)
    const since = this.#readSince()
    const wanted = new Set([
      this.#size,
      ...receipts.map(({ size }) => size),
      ...(since === undefined ? [] : [since.size]),
    ])
    const roots = new Map<number, Uint8Array>()
    const withSizes = tasks.map((task) => ({
      ...task,
      sizes: [...wanted].filter((size) => size > task.from && size <= task.to),
    }))

    let latest = 0
    let lastTime = 0
    let opened = 0
    let before = 0
    for await (const { task, result } of inOrder(crew, withSizes)) {
      result.findings.forEach(fault)
      if (result.broken !== undefined) throw new PackError(result.broken)
      judges.judge(task.from, result)
      const edges = new Map(result.edges.map((edge) => [edge.size, edge]))
      for (const size of task.sizes) roots.set(size, tree.rootWith(edges.get(size)?.peaks ?? []))
      for (const checkpoint of result.checkpoints) {
        const { size } = checkpoint
        const edge = edges.get(size)
        const wrong = (rule: Finding['rule'], what: string) => fault({ rule, file: 'checkpoints.jsonl', what })
        if (edge === undefined || size <= before) {
          wrong('R2', `the checkpoint of size ${size} is not where it belongs`)
          continue
        }
        before = size
        this.#checkpoints++
        if (!sameHash(tree.rootWith(edge.peaks), checkpoint.root)) {
          wrong('R2', `the checkpoint of size ${size} is of another tree`)
        }
        if (!judges.writers.namedBefore(checkpoint.vkey, size)) {
          wrong('R1', `the key of the checkpoint of size ${size} was not named before`)
        }
        timeStamps.checkpoint(checkpoint, Math.max(latest, edge.latest))
      }
      tree.append(result, fault)
      latest = Math.max(latest, result.latest)
      lastTime = result.lastTime
      opened += result.opened
      this.#judged = task.to
      progress?.(task.to, this.#size)
      if (this.#faults.length >= MOST_FINDINGS) return
    }
    tree.finish(fault)
    this.#requireNoMoreLines((tasks.at(-1) as RangeTask).entries[1])
    timeStamps.cosigned(known.newest, 'checkpoint', latest)
    timeStamps.finish()
    if (before !== this.#size) fault({ rule: 'R2', file: 'checkpoints.jsonl', what: `ends at size ${before}` })
    this.#judgeNewest(known.newest, roots.get(this.#size), judges)
    this.#open = judges.operations.finish(lastTime)
    judges.writers.finish(this.#size)
    this.#incomplete.push(...judges.silence.finish(), ...judges.missing.finish(opened))
    if (since !== undefined) this.#judgeSince(since, roots.get(since.size))
    for (const receipt of receipts) {
      const unclear = judgeReceipt(receipt, { root, size: this.#size }, roots.get(receipt.size), fault)
      if (unclear !== undefined) this.#incomplete.push(unclear)
    }
  }

  #requireNoMoreLines(length: number): void {
    const lines = new PackFile(this.#options.root, 'entries.jsonl')
    lines.close()
    if (lines.size > length)
      this.fault({ rule: 'R2', file: lines.path, what: 'has more lines than the tree has entries' })
  }

  #judgeNewest({ root, vkey }: CheckpointSeen, ours: Uint8Array | undefined, judges: Judges): void {
    const wrong = (rule: Finding['rule'], what: string) => this.fault({ rule, file: 'checkpoint', what })
    if (ours === undefined || !sameHash(ours, root)) wrong('R2', 'is of another tree than the entries make')
    if (!judges.writers.namedBefore(vkey, this.#size)) wrong('R1', 'its key was not named before')
  }

  /** The checkpoint that the auditor kept; undefined when he gave none, or none that can be compared. */
  #readSince(): CheckpointSeen | undefined {
    const { since } = this.#options
    if (since === undefined) return undefined
    const checkpoint = judgeCheckpoint(since, this.#policy, this.#origin)
    if (typeof checkpoint !== 'string') return checkpoint
    this.fault({ rule: 'R2', what: `the checkpoint that was kept: ${checkpoint}` })
    return undefined
  }

  #judgeSince({ size, root }: CheckpointSeen, ours: Uint8Array | undefined): void {
    const wrong = (what: string) => this.fault({ rule: 'R2', what })
    if (size > this.#size) wrong(`the checkpoint that was kept is of size ${size}: the log has lost its end`)
    else if (size > 0 && (ours === undefined || !sameHash(ours, root))) {
      wrong(`the checkpoint that was kept, of size ${size}, is of another tree: the log was rewritten`)
    }
  }
}

interface Known {
  readonly slots: TileSlots
  readonly newest: CheckpointSeen
  readonly anchors: readonly number[]
  readonly tiles: Uint8Array
}

/** Facts of entry 0, which says what log this is. @throws PackError */
function readInit(root: string, size: number, origin: string): Facts {
  const path = tilePath('entries', 0, tileWidth(size, 0, 0))
  const bundle = readWhole(root, path, TILE_WIDTH * (2 + 0xffff))
  const length = bundle.length < 2 ? 0 : bundle.readUInt16BE()
  const leaf = readLeaf(bundle.subarray(2, 2 + length))?.leaf
  const wrong = (rule: Finding['rule'], what: string) => new PackError({ rule, index: 0, file: path, what })
  if (leaf?.ev !== 'audit.init') throw wrong('R5', 'the log does not begin with its making')
  const facts = parseFacts(leaf.facts)
  if (facts['origin'] !== origin) throw wrong('R1', 'the checkpoint is of another log')
  return facts
}

/** Cuts the pack into ranges of entries, and each file of lines where they are cut. @throws PackError */
function* tasksOf(root: string, size: number, bundleBytes: Uint32Array): Generator<RangeTask> {
  const file = (name: string) => new PackFile(root, `${name}.jsonl`)
  const files = { openings: file('openings'), flushes: file('flushes'), checkpoints: file('checkpoints') }
  const keys = { openings: OPENING_KEY, flushes: FLUSH_KEY, checkpoints: CHECKPOINT_KEY }
  const at = { openings: 0, flushes: 0, checkpoints: 0 }
  const cut = (name: keyof typeof at, key: number, isLast: boolean): readonly [number, number] => {
    const begin = at[name]
    at[name] = isLast ? files[name].size : Math.max(begin, findLine(files[name], keys[name], key))
    return [begin, at[name]]
  }
  try {
    let entriesAt = 0
    for (let from = 0; from < size; from += RANGE) {
      const to = Math.min(size, from + RANGE)
      const begin = entriesAt
      for (let n = from / TILE_WIDTH; n * TILE_WIDTH < to; n++) {
        // A bundle has two bytes before each entry, and a line one behind it.
        entriesAt += (bundleBytes[n] as number) - tileWidth(size, 0, n)
      }
      const isLast = to === size
      yield {
        ...{ from, to, entries: [begin, entriesAt], sizes: [] },
        openings: cut('openings', to, isLast),
        flushes: cut('flushes', to, isLast),
        checkpoints: cut('checkpoints', to + 1, isLast),
      }
    }
  } finally {
    for (const each of Object.values(files)) each.close()
  }
}

/** Ranges whose announcements are looked for together. */
const TOGETHER = 32

/** Key of each boot that some entry announces. Whether it may is judged later; flushes are judged by it meanwhile. */
async function findAnnounced(crew: Crew, root: string, tasks: readonly RangeTask[]): Promise<Map<string, string>> {
  const parts: Promise<string[]>[] = []
  for (let i = 0; i < tasks.length; i += TOGETHER) {
    const last = tasks[Math.min(tasks.length, i + TOGETHER) - 1] as RangeTask
    parts.push(
      crew.do<'starts'>({ kind: 'starts', root, from: (tasks[i] as RangeTask).entries[0], to: last.entries[1] }),
    )
  }
  const keys = new Map<string, string>()
  const leaves = new Leaves(1)
  for (const line of (await Promise.all(parts)).flat()) {
    const leaf = readLeaf(Buffer.from(line, 'latin1'), leaves)?.leaf
    const { writer, key } = (leaf?.ev === 'audit.start' && parseFacts(leaf.facts)) || {}
    if (typeof writer === 'string' && !keys.has(writer)) keys.set(writer, String(key))
  }
  return keys
}

/** Has ranges looked at, a few ahead, and gives them in their order. */
async function* inOrder(
  crew: Crew,
  tasks: readonly RangeTask[],
): AsyncGenerator<{ task: RangeTask; result: RangeResult }> {
  const ahead: Promise<RangeResult>[] = []
  let next = 0
  for (const task of tasks) {
    for (; next < tasks.length && ahead.length < 2 * crew.width; next++) {
      const promise = crew.do<'range'>({ kind: 'range', task: tasks[next] as RangeTask })
      // Those ahead are dropped when an earlier one fails.
      promise.catch(() => {})
      ahead.push(promise)
    }
    yield { task, result: await (ahead.shift() as Promise<RangeResult>) }
  }
}
