import type { Logger } from 'pino'
import { announcementText, newBoot } from '../audit/boot.js'
import { Guard } from '../audit/guard.js'
import { LimitedLog } from '../audit/limited-log.js'
import { OwnEntries, replacedText } from '../audit/own-entries.js'
import { newestCheckpoint, rowsOf, type StoredCheckpoint, storedNodes } from '../audit/stored-tree.js'
import type { Clock } from '../clock.js'
import { readNow } from '../db/now.js'
import { type Client, type Executor, openClient } from '../db/pool.js'
import type { CheckpointKey } from '../hsm/checkpoint-key.js'
import { type ReadClockQuality, readKernelClock } from '../kernel-clock.js'
import {
  checkpointText,
  formatVkey,
  type NoteKey,
  noteKey,
  parseNote,
  signatureLine,
  verifyNote,
} from '../tlog/note.js'
import type { TrustPolicy } from '../tlog/policy.js'
import { consistencyProof, rootAt, sameHash, verifyConsistency } from '../tlog/tree.js'
import { type AnchorSettings, Anchors } from './anchor.js'
import { type ClockEvent, ClockWatch } from './clock-watch.js'
import { integrate, MissingEntry, readTree, type TreeHead } from './tree-store.js'
import { Witnesses } from './witnesses.js'

export interface KeeperOptions {
  /** Role paraph_keeper. */
  readonly databaseUrl: string
  readonly key: CheckpointKey
  /** Where this machine remembers the largest checkpoint. */
  readonly guardFile: string
  /** Name of this machine in the log. */
  readonly node: string
  readonly clock: Clock
  /** Whom to ask for cosignatures; nobody unless said. */
  readonly witnesses?: TrustPolicy
  /** What is known of this machine's clock; the kernel is asked unless said. */
  readonly clockQuality?: ReadClockQuality
  readonly logger: Logger
  /** Who time-stamps its checkpoints; nobody when absent. */
  readonly anchor?: AnchorSettings
}

/** The one that extends and signs; the others watch. Session lock on the database of the log. */
const LEADER_LOCK = 7_233_613
const ROUND_MS = 200
/** A checkpoint at most so often, so that a proof is there within a second. */
const PUBLISH_MS = 500
const HEARTBEAT_MS = 60_000

/** The database shows another past than this machine remembers, or a tree that is none. Only people get out of it. */
class ForkFound extends Error {}

/**
 * Keeps the tree over the log. One keeper of all replicas leads: it takes new entries into the tree and signs its head. All
 * of them compare what is there with the largest checkpoint their machine has seen; one that finds another past leads no
 * more, and without fresh checkpoints no worker signs.
 *
 * Two leaders at once, as when one was paused, do no harm: both sign heads of the same log.
 */
export class Keeper {
  readonly #options: KeeperOptions
  readonly #guard: Guard
  readonly #log: LimitedLog<'keeper'>
  readonly #own = new OwnEntries()
  readonly #clockWatch: ClockWatch
  readonly #clockNews: ClockEvent[] = []
  #witnesses: Witnesses | undefined
  readonly #anchors: Anchors | undefined
  #client: Client | undefined
  #key: NoteKey | undefined
  #announced = false
  #leads = false
  #stopped = false
  #running: Promise<void> = Promise.resolve()
  #timer: NodeJS.Timeout | undefined
  #published = Number.NEGATIVE_INFINITY
  #compared = ''
  /** When it was last heard, by the clock that runs on and by the one that entries are dated with. */
  #beat = { ran: Number.NEGATIVE_INFINITY, dated: Number.NEGATIVE_INFINITY }
  #trouble: string | undefined

  constructor(options: KeeperOptions) {
    this.#options = options
    this.#guard = new Guard(options.guardFile)
    this.#clockWatch = new ClockWatch(options.clock, options.clockQuality ?? readKernelClock)
    this.#log = new LimitedLog('keeper', {
      url: options.databaseUrl,
      boot: newBoot('keeper', options.node),
      clock: options.clock,
      own: this.#own,
    })
    const { anchor, clock, logger } = options
    this.#anchors = anchor === undefined ? undefined : new Anchors({ ...anchor, clock, logger, log: this.#log })
  }

  start(): void {
    const round = () => {
      if (this.#stopped) return
      this.#running = this.round().finally(() => {
        this.#timer = setTimeout(round, ROUND_MS)
      })
    }
    round()
  }

  async stop(): Promise<void> {
    this.#stopped = true
    clearTimeout(this.#timer)
    await this.#anchors?.stop()
    await this.#running
    clearTimeout(this.#timer)
    await this.#witnesses?.stop()
    if (this.#announced) await this.#log.close()
    await this.#drop()
  }

  /** Everything there is to do now. Troubles are told in the log file and met again in the next round; it never rejects. */
  async round(): Promise<void> {
    const { logger } = this.#options
    try {
      if (this.#guard.fork !== undefined) throw new ForkFound(this.#guard.fork)
      const client = await this.#connected()
      if (!(await this.#isAdmitted(client))) return this.#tell('the checkpoint key is not announced: paraph audit key')
      await this.#watchClock(client)
      await this.#heartbeat()
      if (this.#leads) await extend(client)
      const tree = await this.#compare(client)
      const newest = this.#leads ? await this.#publish(client, tree) : undefined
      if (newest !== undefined) this.#witnesses?.ask(newest)
      if (this.#witnesses?.contradiction !== undefined) throw new ForkFound(this.#witnesses.contradiction)
      if (this.#leads) await this.#anchors?.round(client)
      if (this.#trouble !== undefined) logger.info('the log has its tree again')
      this.#trouble = undefined
    } catch (error) {
      if (error instanceof ForkFound || error instanceof MissingEntry) await this.#report(error)
      await this.#drop()
      this.#tell(error instanceof Error ? error.message : 'unknown')
    }
  }

  async #connected(): Promise<Client> {
    if (this.#client === undefined) {
      const client = await openClient(this.#options.databaseUrl, {
        name: 'paraph log keeper',
        statementTimeout: 10_000,
      })
      client.on('error', () => void this.#drop())
      this.#client = client
    }
    if (!this.#leads) {
      const { rows } = await this.#client.query<{ leads: boolean }>('select pg_try_advisory_lock($1) as leads', [
        LEADER_LOCK,
      ])
      this.#leads = rows[0]?.leads === true
    }
    return this.#client
  }

  /** Whether the log names this keeper's key, and knows this boot. */
  async #isAdmitted(client: Client): Promise<boolean> {
    if (this.#announced) return true
    const { key } = this.#options
    const { rows } = await client.query<{ origin: string }>('select origin from audit.log')
    const origin = rows[0]?.origin
    if (origin === undefined) return false
    const note = noteKey(origin, key.type, key.publicKey)
    const known = await client.query('select from audit.checkpoint_key where vkey = $1', [formatVkey(note)])
    if (known.rowCount === 0) return false
    const { boot } = this.#log
    await client.query('select audit.announce_keeper($1, $2, $3)', [boot.id, boot.node, boot.publicKey])
    await this.#log.open()
    await this.#log.append({
      type: 'audit.start',
      outcome: 'ok',
      actor: { kind: 'system' },
      facts: {
        writer: boot.id,
        kind: boot.kind,
        host: boot.node,
        key: boot.publicKey.toString('base64url'),
        signature: Buffer.from(key.sign(Buffer.from(announcementText(origin, boot)))).toString('base64url'),
      },
    })
    const { witnesses: policy, databaseUrl, clock, logger } = this.#options
    if (policy !== undefined) this.#witnesses = new Witnesses({ databaseUrl, policy, origin, clock, logger })
    this.#key = note
    this.#announced = true
    return true
  }

  /** A clock that was moved is told before the heartbeat, which comes late by that clock. What could not be told waits. */
  async #watchClock(client: Client): Promise<void> {
    const news = [this.#clockWatch.step(), await this.#clockWatch.state(() => readNow(client as Executor))]
    this.#clockNews.push(...news.filter((event) => event !== undefined))
    for (let event = this.#clockNews[0]; event !== undefined; event = this.#clockNews[0]) {
      await this.#log.append(event)
      this.#clockNews.shift()
      const { logger } = this.#options
      if (event.type === 'clock.step') logger.warn(event.facts, 'the clock was moved')
      if (event.type === 'clock.unsynced') logger.error({ ...event.facts, cause: event.why }, 'nothing sets the clock')
    }
  }

  /** At most a minute apart by the clock of the entries and by one that nobody moves. */
  async #heartbeat(): Promise<void> {
    const now = { ran: performance.now(), dated: this.#options.clock.now() }
    // The first stands still while the machine sleeps, and the second may be put back.
    if (now.ran - this.#beat.ran < HEARTBEAT_MS && now.dated - this.#beat.dated < HEARTBEAT_MS) return
    await this.#log.append({
      type: 'audit.heartbeat',
      outcome: 'ok',
      actor: { kind: 'system' },
      facts: { size: this.#guard.seen?.size ?? 0 },
    })
    this.#beat = now
  }

  /** @throws ForkFound when the tree is not a later state of what this machine has seen, or is no tree */
  async #compare(client: Client): Promise<TreeHead> {
    return await inSnapshot(client, async (db) => {
      const tree = await readTree(db)
      const newest = await newestCheckpoint(rowsOf(db))
      const state = [tree, newest]
        .map((head) => `${head?.size} ${head && Buffer.from(head.root).toString('hex')}`)
        .join()
      if (state === this.#compared) return tree
      const seen = this.#guard.seen
      await requireGrown(db, seen ?? { size: 0, root: await rootAt(storedNodes(rowsOf(db)), 0) }, tree)
      if (newest !== undefined && (seen === undefined || newest.size > seen.size)) {
        requireOwn(newest.note, this.#key as NoteKey, newest)
        await requireGrown(db, newest, tree)
        this.#guard.remember(newest.note)
      }
      await requireWritten(this.#own, db, tree)
      this.#compared = state
      return tree
    })
  }

  /**
   * Signs the tree and shows it, once this machine remembers it.
   * @returns what is shown now
   */
  async #publish(client: Client, tree: TreeHead): Promise<StoredCheckpoint | undefined> {
    const now = performance.now()
    const last = await newestCheckpoint(rowsOf(client as Executor))
    if (tree.size === (last?.size ?? 0) || now - this.#published < PUBLISH_MS) return last
    const key = this.#key as NoteKey
    const text = checkpointText({ origin: key.name, ...tree })
    const note = `${text}\n${signatureLine(key, this.#options.key.sign(Buffer.from(text)))}`
    // From here on this machine accepts no smaller tree. A crash leaves a head remembered that nobody was shown; the tree
    // it belongs to is committed.
    this.#guard.remember(note)
    const { rowCount } = await client.query(
      `with shown as (
         insert into audit.checkpoint (size, root, note)
           select $1, $2, $3 where coalesce((select max(size) from audit.checkpoint), 0) < $1
         on conflict do nothing returning size)
       select pg_notify('paraph_checkpoint', size::text) from shown`,
      [tree.size, tree.root, note],
    )
    this.#published = now
    return rowCount === 0 ? last : { ...tree, note }
  }

  async #report(error: Error): Promise<void> {
    const { logger } = this.#options
    if (this.#guard.fork === undefined) {
      this.#guard.reportFork(error.message)
      logger.fatal({ evidence: error.message }, 'the log has another past than was seen: no checkpoints, no signatures')
      if (this.#announced) {
        await this.#log
          .append({
            type: 'audit.fork_detected',
            outcome: 'failed',
            actor: { kind: 'system' },
            facts: { size: this.#guard.seen?.size ?? 0 },
          })
          .catch(() => {})
      }
    }
  }

  #tell(trouble: string): void {
    if (trouble !== this.#trouble) this.#options.logger.error({ cause: trouble }, 'the log is not being signed')
    this.#trouble = trouble
  }

  async #drop(): Promise<void> {
    const client = this.#client
    this.#client = undefined
    this.#leads = false
    await client?.end().catch(() => {})
  }
}

/** Until the tree has every entry that was there. */
async function extend(client: Client): Promise<void> {
  for (let more = true; more; ) {
    more = await inTransaction(client, 'begin', async (tx) => (await integrate(tx)).taken > 0)
  }
}

/** The note is ours, and of that tree. A note under an older key of ours was compared while that key was in use. */
function requireOwn(text: string, key: NoteKey, tree: TreeHead): void {
  const note = parseNote(text)
  if (note.text !== checkpointText({ origin: key.name, ...tree })) {
    throw new ForkFound(`the checkpoint of size ${tree.size} is not the one that was signed`)
  }
  const own = note.signatures.some(({ name, id }) => name === key.name && id.equals(key.id))
  try {
    if (own) verifyNote(note, key)
  } catch (error) {
    throw new ForkFound(`the signature on the checkpoint of size ${tree.size} is false`, { cause: error })
  }
}

/** @throws ForkFound */
async function requireGrown(db: Executor, before: TreeHead, tree: TreeHead): Promise<void> {
  if (tree.size < before.size) {
    throw new ForkFound(`the tree has ${tree.size} entries, and ${before.size} were signed`)
  }
  const read = storedNodes(rowsOf(db))
  let grown: boolean
  try {
    const stands = sameHash(await rootAt(read, tree.size), tree.root)
    grown = stands && verifyConsistency(before, tree, await consistencyProof(read, before.size, tree.size))
  } catch (error) {
    if (!(error instanceof RangeError)) throw error
    grown = false
  }
  if (!grown)
    throw new ForkFound(`the tree of ${tree.size} does not continue the one of ${before.size} that was signed`)
}

/** @throws ForkFound when an entry of this keeper is not in the tree as it was written */
async function requireWritten(own: OwnEntries, db: Executor, tree: TreeHead): Promise<void> {
  const replaced = await own.compare(db, tree)
  if (replaced !== undefined) throw new ForkFound(replacedText(replaced))
}

const inSnapshot = <T>(client: Client, work: (db: Executor) => Promise<T>) =>
  inTransaction(client, 'begin isolation level repeatable read read only', work)

async function inTransaction<T>(client: Client, begin: string, work: (tx: Executor) => Promise<T>): Promise<T> {
  await client.query(begin)
  try {
    const result = await work(client as Executor)
    await client.query('commit')
    return result
  } catch (error) {
    await client.query('rollback').catch(() => {})
    throw error
  }
}
