import { mkdirSync } from 'node:fs'
import { dirname } from 'node:path'
import { readIfThere, replaceFile } from '../durable-file.js'
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
    const note = readIfThere(this.#file)
    return note === undefined ? undefined : parseCheckpoint(parseNote(note).text)
  }

  /** Durable on return. Never goes back to a smaller tree. */
  remember(note: string): void {
    const before = this.seen
    if (before !== undefined && before.size >= parseCheckpoint(parseNote(note).text).size) return
    replaceFile(this.#file, note)
  }

  /** What was found, once; only people take the file away. */
  get fork(): string | undefined {
    return readIfThere(`${this.#file}.fork`)
  }

  /** Keeps the first finding. */
  reportFork(evidence: string): void {
    if (this.fork === undefined) replaceFile(`${this.#file}.fork`, evidence)
  }
}
