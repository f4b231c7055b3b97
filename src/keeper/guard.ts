import { closeSync, fsyncSync, mkdirSync, openSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { dirname } from 'node:path'
import { type Checkpoint, parseCheckpoint, parseNote } from '../tlog/note.js'

/**
 * What this machine remembers of the log outside the database: the largest checkpoint it has seen, as a signed note in a
 * file, and, once a fork was found, what proves it. A database that was rolled back, restored or rebuilt does not fit.
 */
export class Guard {
  readonly #file: string

  /** @param file its folder is made where it is missing */
  constructor(file: string) {
    this.#file = file
    mkdirSync(dirname(file), { recursive: true, mode: 0o700 })
  }

  /** Undefined on a machine that has seen none. @throws RangeError when the file is no checkpoint */
  get seen(): Checkpoint | undefined {
    const note = read(this.#file)
    return note === undefined ? undefined : parseCheckpoint(parseNote(note).text)
  }

  /** Durable on return. Never goes back to a smaller tree. */
  remember(note: string): void {
    const before = this.seen
    if (before !== undefined && before.size >= parseCheckpoint(parseNote(note).text).size) return
    replace(this.#file, note)
  }

  /** What was found, once; only people take the file away. */
  get fork(): string | undefined {
    return read(`${this.#file}.fork`)
  }

  /** Keeps the first finding. */
  reportFork(evidence: string): void {
    if (this.fork === undefined) replace(`${this.#file}.fork`, evidence)
  }
}

function read(file: string): string | undefined {
  try {
    return readFileSync(file, 'utf8')
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}

function replace(file: string, text: string): void {
  const next = `${file}.new`
  const handle = openSync(next, 'w', 0o600)
  try {
    writeFileSync(handle, text)
    fsyncSync(handle)
  } finally {
    closeSync(handle)
  }
  renameSync(next, file)
  const folder = openSync(dirname(file), 'r')
  try {
    fsyncSync(folder)
  } finally {
    closeSync(folder)
  }
}
