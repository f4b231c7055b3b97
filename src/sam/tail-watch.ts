import type { RowBinding } from '../binding.js'
import type { Executor } from '../db/pool.js'
import { ServiceError } from '../errors.js'
import { type NoteKey, parseCheckpoint, parseNote, parseVkey, verifyNote } from '../tlog/note.js'

const LOOK_MS = 500
/** How old the oldest entry that no checkpoint covers may become, and how many such entries there may be. */
const OLDEST_MS = 5000
const MOST = 50_000

/** What the owner of the database cannot make: the worker's word for a key that signs checkpoints. */
export const checkpointKeyFields = (vkey: string): readonly string[] => [vkey]

/**
 * Whether the log is being signed. Entries that no signed checkpoint covers could still be taken back by the owner of the
 * database, so that nothing is signed while there are too many of them, or one is too old.
 */
export class TailWatch {
  readonly #db: Executor
  readonly #binding: RowBinding
  readonly #keys = new Map<string, NoteKey>()
  #timer: NodeJS.Timeout | undefined
  #running: Promise<void> = Promise.resolve()
  #covered = 0
  /** The head of the log when it was first seen beyond what was covered then. */
  #waiting: { readonly size: number; readonly since: number } | undefined
  #open = 0
  #looked = Number.NEGATIVE_INFINITY

  constructor(db: Executor, binding: RowBinding) {
    this.#db = db
    this.#binding = binding
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

  get bounded(): boolean {
    const now = performance.now()
    const age = this.#waiting === undefined ? 0 : now - this.#waiting.since
    // What could not be looked at for so long counts as unsigned.
    return now - this.#looked <= OLDEST_MS && age <= OLDEST_MS && this.#open <= MOST
  }

  /** @throws ServiceError `unavailable` */
  requireBounded(): void {
    if (this.bounded) return
    throw new ServiceError('unavailable', { retryAfter: 1, cause: new Error('the log is not being signed') })
  }

  /** Reads how far log and checkpoint are. */
  async look(): Promise<void> {
    const { rows } = await this.#db.query<{ head: number; origin: string; note: string | null }>(
      `select h.size as head, l.origin, (select note from audit.checkpoint order by size desc limit 1) as note
         from audit.head h, audit.log l`,
    )
    const [state] = rows
    if (state === undefined) return
    const now = performance.now()
    const { head, origin, note } = state
    if (note !== null) this.#covered = Math.max(this.#covered, await this.#sizeOf(note, origin))
    this.#open = head - this.#covered
    if (this.#waiting !== undefined && this.#covered >= this.#waiting.size) this.#waiting = undefined
    if (this.#waiting === undefined && head > this.#covered) this.#waiting = { size: head, since: now }
    this.#looked = now
  }

  /** How far a note reaches that a key of this log has signed; 0 for every other text, whoever put it there. */
  async #sizeOf(text: string, origin: string): Promise<number> {
    try {
      return await this.#signedSize(text, origin)
    } catch (error) {
      if (error instanceof RangeError) return 0
      throw error
    }
  }

  /** @throws RangeError for what is no note, or bears a false signature */
  async #signedSize(text: string, origin: string): Promise<number> {
    const note = parseNote(text)
    for (const { name, id } of note.signatures) {
      const key = await this.#keyOf(name, id)
      if (key === undefined || verifyNote(note, key) === undefined) continue
      const checkpoint = parseCheckpoint(note.text)
      return checkpoint.origin === origin ? checkpoint.size : 0
    }
    return 0
  }

  async #keyOf(name: string, id: Buffer): Promise<NoteKey | undefined> {
    const place = `${name}+${id.toString('hex')}`
    const known = this.#keys.get(place)
    if (known !== undefined) return known
    const { rows } = await this.#db.query<{ vkey: string; binding: Uint8Array }>(
      'select vkey, binding from audit.checkpoint_key',
    )
    for (const { vkey, binding } of rows) {
      if (!this.#binding.fits('checkpoint_key', checkpointKeyFields(vkey), binding)) continue
      const key = parseVkey(vkey)
      this.#keys.set(`${key.name}+${key.id.toString('hex')}`, key)
    }
    return this.#keys.get(place)
  }
}
