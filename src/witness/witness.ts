import { createPublicKey, hash, type KeyObject, sign } from 'node:crypto'
import type { Clock } from '../clock.js'
import { readIfThere, replaceFile } from '../durable-file.js'
import { type AddCheckpoint, parseAddCheckpoint, SIZE_TYPE } from '../tlog/add-checkpoint.js'
import {
  type Checkpoint,
  cosignatureBytes,
  cosignedText,
  formatVkey,
  type Note,
  type NoteKey,
  noteKey,
  parseCheckpoint,
  parseNote,
  signatureLine,
  verifyNote,
} from '../tlog/note.js'
import { EMPTY_ROOT, sameHash, verifyConsistency } from '../tlog/tree.js'

/** An answer over HTTP; `text` is its whole body. */
export interface WitnessAnswer {
  readonly status: 200 | 400 | 403 | 404 | 409 | 422
  readonly type?: string
  readonly text: string
}

export interface WitnessOptions {
  /** How the witness is called in notes, such as `witness.example.org/audit`. */
  readonly name: string
  /** Ed25519; used for nothing else. */
  readonly privateKey: KeyObject
  /** Keys of the logs that it knows; several may have the same name, which is the origin of one log. */
  readonly logs: readonly NoteKey[]
  readonly stateFile: string
  readonly clock: Clock
}

/** The file: the newest checkpoint of each log by its origin, signed by the log and cosigned. */
interface State {
  readonly witness: string
  readonly checkpoints: Record<string, string>
}

/** Begins the memory of a witness. @throws Error when there is one already */
export function beginState(stateFile: string, vkey: string): void {
  if (readIfThere(stateFile) !== undefined) throw new Error(`${stateFile} is there already`)
  replaceFile(stateFile, JSON.stringify({ witness: vkey, checkpoints: {} } satisfies State))
}

export function witnessKey(name: string, privateKey: KeyObject): NoteKey {
  const spki = createPublicKey(privateKey).export({ type: 'spki', format: 'der' })
  return noteKey(name, 'cosignature', spki)
}

/**
 * A witness as C2SP tlog-witness has it: it cosigns a tree of a log that it knows only if that tree begins with the
 * largest one that it has cosigned before.
 *
 * A request is judged, remembered and answered without a pause between, so that two of them cannot both continue the same
 * tree; one process at a time may use a state file. What was answered is in the file before, also after a crash.
 */
export class Witness {
  readonly key: NoteKey
  readonly #options: WitnessOptions
  readonly #logs = new Map<string, NoteKey[]>()
  #state: State

  /** @throws Error when the state file is missing or another witness's; RangeError when the name is none */
  constructor(options: WitnessOptions) {
    this.#options = options
    this.key = witnessKey(options.name, options.privateKey)
    for (const key of options.logs) this.#logs.set(key.name, [...(this.#logs.get(key.name) ?? []), key])
    const text = readIfThere(options.stateFile)
    if (text === undefined) throw new Error(`${options.stateFile} is missing: a witness that forgets is none`)
    this.#state = JSON.parse(text) as State
    if (this.#state.witness !== formatVkey(this.key)) {
      throw new Error(`${options.stateFile} belongs to another witness, ${this.#state.witness}`)
    }
  }

  /** POST add-checkpoint. Durable on return. */
  addCheckpoint(body: string): WitnessAnswer {
    let request: AddCheckpoint
    let note: Note
    let checkpoint: Checkpoint
    try {
      request = parseAddCheckpoint(body)
      note = parseNote(request.checkpoint)
      checkpoint = parseCheckpoint(note.text)
    } catch (error) {
      return refusal(400, error instanceof Error ? error.message : 'malformed')
    }
    const { origin, size, root } = checkpoint
    const keys = this.#logs.get(origin)
    if (keys === undefined) return refusal(404, 'this log is not known here')
    const signed = signedBy(note, keys)
    if (signed === undefined) return refusal(403, 'no key of this log signed the checkpoint')
    if (request.old > size) return refusal(400, 'the old size is larger than the new one')
    const before = this.#newest(origin) ?? { size: 0, root: EMPTY_ROOT }
    if (request.old !== before.size) return { status: 409, type: SIZE_TYPE, text: `${before.size}\n` }
    const grown = verifyConsistency(before, checkpoint, request.proof)
    if (!grown || (size === 0 && !sameHash(root, EMPTY_ROOT))) {
      return refusal(422, 'the checkpoint does not continue the one that was cosigned before')
    }
    const line = this.#cosign(note.text)
    this.#remember(origin, `${note.text}\n${signed}${line}`)
    return { status: 200, text: line }
  }

  /** GET <origin hash>/checkpoint: the newest that was cosigned. */
  checkpoint(originHash: string): WitnessAnswer {
    const found = Object.entries(this.#state.checkpoints).find(
      ([origin]) => hash('sha256', origin, 'hex') === originHash,
    )
    return found === undefined ? refusal(404, 'nothing was cosigned for this log') : { status: 200, text: found[1] }
  }

  /** What was cosigned last, of each log. */
  get seen(): readonly Checkpoint[] {
    return Object.values(this.#state.checkpoints).map((note) => parseCheckpoint(parseNote(note).text))
  }

  #newest(origin: string): Checkpoint | undefined {
    const note = this.#state.checkpoints[origin]
    return note === undefined ? undefined : parseCheckpoint(parseNote(note).text)
  }

  #cosign(text: string): string {
    const seconds = Math.floor(this.#options.clock.now() / 1000)
    const signature = sign(null, Buffer.from(cosignedText(text, seconds)), this.#options.privateKey)
    return signatureLine(this.key, cosignatureBytes(seconds, signature))
  }

  /** From here on no smaller tree is cosigned; a crash leaves a checkpoint remembered whose cosignature nobody got. */
  #remember(origin: string, note: string): void {
    const { witness, checkpoints } = this.#state
    const state: State = { witness, checkpoints: { ...checkpoints, [origin]: note } }
    replaceFile(this.#options.stateFile, JSON.stringify(state))
    this.#state = state
  }
}

const refusal = (status: 400 | 403 | 404 | 422, text: string): WitnessAnswer => ({ status, text: `${text}\n` })

/** The signature lines of these keys; undefined when there is none, or a false one. */
function signedBy(note: Note, keys: readonly NoteKey[]): string | undefined {
  try {
    const signing = keys.filter((key) => verifyNote(note, key) !== undefined)
    const lines = note.signatures
      .filter(({ name, id }) => signing.some((key) => key.name === name && key.id.equals(id)))
      .map((signature) => signatureLine(signature, signature.bytes))
    return lines.length === 0 ? undefined : lines.join('')
  } catch (error) {
    if (error instanceof RangeError) return undefined
    throw error
  }
}
