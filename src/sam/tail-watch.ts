import type { Guard } from '../audit/guard.js'
import { type OwnEntries, replacedText } from '../audit/own-entries.js'
import type { RowBinding } from '../binding.js'
import type { Executor } from '../db/pool.js'
import { ServiceError } from '../errors.js'
import {
  type Checkpoint,
  type Note,
  type NoteKey,
  parseCheckpoint,
  parseNote,
  parseVkey,
  verifyNote,
} from '../tlog/note.js'
import type { TrustPolicy } from '../tlog/policy.js'

const LOOK_MS = 500
/** How old the oldest entry that no checkpoint covers may become, and how many such entries there may be. */
const OLDEST_MS = 5000
const MOST = 50_000

const NEWEST = '(select note from audit.checkpoint order by size desc limit 1)'
const WITNESSED = 'audit.cosigned_note((select max(size) from audit.witnessed))'

/** What the owner of the database cannot make: the worker's word for a key that signs checkpoints. */
export const checkpointKeyFields = (vkey: string): readonly string[] => [vkey]

export interface TailWatchOptions {
  readonly db: Executor
  readonly binding: RowBinding
  /** Counts only what the quorum of this policy cosigned; everything that was signed unless given. */
  readonly witnesses?: TrustPolicy
  /** What this process writes: compared with each tree that is signed. */
  readonly own: OwnEntries
  /** What this machine remembers of the log. */
  readonly guard: Pick<Guard, 'seen' | 'fork' | 'reportFork'>
  /** Told once when this process finds that something was replaced or taken back; the machine remembers it by then. */
  readonly onFork: (evidence: string, size: number) => void
}

/**
 * Whether the log is being signed. Entries that no signed checkpoint covers could still be taken back by the owner of the
 * database, so that nothing is signed while there are too many of them, or one is too old; and nothing any more once it is
 * found that one was taken back.
 */
export class TailWatch {
  readonly #options: TailWatchOptions
  readonly #keys = new Map<string, NoteKey>()
  #timer: NodeJS.Timeout | undefined
  #running: Promise<void> = Promise.resolve()
  #covered = 0
  #forked = false
  /** The head of the log when it was first seen beyond what was covered then. */
  #waiting: { readonly size: number; readonly since: number } | undefined
  #open = 0
  #looked = Number.NEGATIVE_INFINITY

  constructor(options: TailWatchOptions) {
    this.#options = options
  }

  start(): void {
    this.#timer = setInterval(() => {
      this.#running = this.look().catch(() => {})
    }, LOOK_MS)
    this.#timer.unref()
  }

  async stop(): Promise<void> {
    clearInterval(this.#timer)
    await this.#running
  }

  /**
   * How many entries are known to be signed. A new entry never stands below: the log would have been taken back to before
   * them, and with it what was spent.
   */
  get covered(): number {
    return this.#covered
  }

  get bounded(): boolean {
    const now = performance.now()
    const age = this.#waiting === undefined ? 0 : now - this.#waiting.since
    // What could not be looked at for so long counts as unsigned.
    return !this.#forked && now - this.#looked <= OLDEST_MS && age <= OLDEST_MS && this.#open <= MOST
  }

  /** @throws ServiceError `unavailable` */
  requireBounded(): void {
    if (this.bounded) return
    throw new ServiceError('unavailable', { retryAfter: 1, cause: new Error('the log is not being signed') })
  }

  /** Reads how far log and checkpoint are. */
  async look(): Promise<void> {
    const { db, witnesses, own, guard } = this.#options
    // Remembered before it was shown, of a tree that was there.
    const seen = guard.seen?.size ?? 0
    const { rows } = await db.query<{ head: number; origin: string; note: string | null }>(
      `select h.size as head, l.origin, ${witnesses === undefined ? NEWEST : WITNESSED} as note
         from audit.head h, audit.log l`,
    )
    const [state] = rows
    if (state === undefined) return
    const now = performance.now()
    const { head, origin, note } = state
    const signed = note === null ? undefined : await this.#read(note, origin)
    if (signed !== undefined && signed.size >= this.#covered) {
      const replaced = await own.compare(db, signed)
      if (replaced !== undefined) this.#report(replacedText(replaced), signed.size)
      this.#covered = signed.size
    }
    this.#covered = Math.max(this.#covered, seen)
    if (head < this.#covered) this.#report(`the log has ${head} entries, and ${this.#covered} were signed`, head)
    this.#forked ||= guard.fork !== undefined
    this.#open = head - this.#covered
    if (this.#waiting !== undefined && this.#covered >= this.#waiting.size) this.#waiting = undefined
    if (this.#waiting === undefined && head > this.#covered) this.#waiting = { size: head, since: now }
    this.#looked = now
  }

  #report(evidence: string, size: number): void {
    const { guard, onFork } = this.#options
    if (this.#forked) return
    this.#forked = true
    guard.reportFork(evidence)
    onFork(evidence, size)
  }

  /** What a key of this log has signed; undefined for every other text, whoever put it there. */
  async #read(text: string, origin: string): Promise<Checkpoint | undefined> {
    try {
      return await this.#signed(text, origin)
    } catch (error) {
      if (error instanceof RangeError) return undefined
      throw error
    }
  }

  /** @throws RangeError for what is no note, or bears a false signature */
  async #signed(text: string, origin: string): Promise<Checkpoint | undefined> {
    const note = parseNote(text)
    for (const { name, id } of note.signatures) {
      const key = await this.#keyOf(name, id)
      if (key === undefined || verifyNote(note, key) === undefined) continue
      const checkpoint = parseCheckpoint(note.text)
      return checkpoint.origin === origin && this.#isWitnessed(note) ? checkpoint : undefined
    }
    return undefined
  }

  /** By the cosignatures themselves, since the owner of the database can write rows that say so. @throws RangeError */
  #isWitnessed(note: Note): boolean {
    if (this.#options.witnesses === undefined) return true
    const cosigned = this.#options.witnesses.witnesses.filter(({ key }) => verifyNote(note, key) !== undefined)
    return this.#options.witnesses.quorum(new Set(cosigned.map(({ name }) => name)))
  }

  async #keyOf(name: string, id: Buffer): Promise<NoteKey | undefined> {
    const place = `${name}+${id.toString('hex')}`
    const known = this.#keys.get(place)
    if (known !== undefined) return known
    const { rows } = await this.#options.db.query<{ vkey: string; binding: Uint8Array }>(
      'select vkey, binding from audit.checkpoint_key',
    )
    for (const { vkey, binding } of rows) {
      if (!this.#options.binding.fits('checkpoint_key', checkpointKeyFields(vkey), binding)) continue
      const key = parseVkey(vkey)
      this.#keys.set(`${key.name}+${key.id.toString('hex')}`, key)
    }
    return this.#keys.get(place)
  }
}
