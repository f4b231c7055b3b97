import { hash } from 'node:crypto'
import type { Logger } from 'pino'
import { rowsOf, type StoredCheckpoint, storedNodes } from '../audit/stored-tree.js'
import type { Clock } from '../clock.js'
import { type Client, type Executor, openClient } from '../db/pool.js'
import { formatAddCheckpoint, parseSize } from '../tlog/add-checkpoint.js'
import {
  type Checkpoint,
  type Note,
  type NoteKey,
  parseCheckpoint,
  parseNote,
  parseSignatures,
  parseVkey,
  signatureLine,
  verifyNote,
} from '../tlog/note.js'
import type { TrustPolicy } from '../tlog/policy.js'
import { consistencyProof, rootAt, sameHash } from '../tlog/tree.js'
import { readTree } from './tree-store.js'

export interface WitnessesOptions {
  /** Role paraph_keeper. */
  readonly databaseUrl: string
  readonly policy: TrustPolicy
  readonly origin: string
  readonly clock: Clock
  readonly logger: Logger
}

/** Longest wait for one answer. */
const ANSWER_MS = 1000
const LONGEST_ANSWER = 64 * 1024
/** A witness that failed is asked again after a second, after two, four, and so on to a minute. */
const LONGEST_PAUSE_MS = 60_000
/** For how long too few cosignatures are no alarm. */
const ALARM_MS = 60_000
/** Sizes whose cosignatures are still being counted. */
const COUNTED = 16
/** A witness's clock and ours further apart than this will show in every verification (rule R7). */
const APART_SECONDS = 5

interface Witness {
  readonly name: string
  readonly key: NoteKey
  readonly url: string
  /** Of the tree that it cosigned last, as far as is known. */
  size: number
  busy: boolean
  failures: number
  /** `performance.now()` before which it is not asked. */
  notBefore: number
  trouble: string | undefined
}

/** A witness has not done what was asked; why is for the log file. */
class NotCosigned extends Error {}

/**
 * Asks the witnesses of the policy to cosign checkpoints (C2SP tlog-witness), in the background: nobody waits for them, and
 * one that is slow or away holds nothing up. What they say is verified and kept beside the checkpoint.
 *
 * A bare refusal proves nothing, since anybody may send one. A witness that contradicts us is asked for what it has
 * cosigned: only a checkpoint with our own signature, which does not fit the tree that is stored, proves another past.
 */
export class Witnesses {
  readonly #options: WitnessesOptions
  readonly #witnesses: Witness[]
  readonly #stopping = new AbortController()
  readonly #running = new Set<Promise<void>>()
  readonly #cosigned = new Map<number, Set<string>>()
  #client: Promise<Client> | undefined
  #contradiction: string | undefined
  #enough = performance.now()
  #alarmed = false

  constructor(options: WitnessesOptions) {
    this.#options = options
    this.#witnesses = options.policy.witnesses.flatMap(({ name, key, url }) =>
      url === undefined ? [] : [{ ...newWitness, name, key, url: url.replace(/\/$/, '') }],
    )
  }

  /** What proves that the log had another past, once a witness has shown it. */
  get contradiction(): string | undefined {
    return this.#contradiction
  }

  /** Has every witness asked that has not cosigned this checkpoint and is free. Returns at once. */
  ask(checkpoint: StoredCheckpoint): void {
    const now = performance.now()
    for (const witness of this.#witnesses) {
      if (witness.busy || now < witness.notBefore || this.#cosigned.get(checkpoint.size)?.has(witness.name)) continue
      witness.busy = true
      const asking = this.#ask(witness, checkpoint).finally(() => {
        witness.busy = false
        this.#running.delete(asking)
      })
      this.#running.add(asking)
    }
    this.#alarm(checkpoint, now)
  }

  async stop(): Promise<void> {
    this.#stopping.abort()
    await Promise.all(this.#running)
    await this.#drop()
  }

  /** Never rejects. */
  async #ask(witness: Witness, checkpoint: StoredCheckpoint): Promise<void> {
    const { logger } = this.#options
    try {
      const line = await this.#cosignature(witness, checkpoint)
      await this.#keep(witness, checkpoint, line)
      if (witness.trouble !== undefined) logger.info({ witness: witness.name }, 'the witness cosigns again')
      Object.assign(witness, { failures: 0, trouble: undefined })
    } catch (error) {
      if (this.#stopping.signal.aborted) return
      if (!(error instanceof NotCosigned)) await this.#drop()
      const trouble = error instanceof Error ? error.message : 'unknown'
      if (trouble !== witness.trouble)
        logger.error({ witness: witness.name, cause: trouble }, 'a witness does not cosign')
      witness.trouble = trouble
      witness.notBefore = performance.now() + Math.min(LONGEST_PAUSE_MS, 1000 * 2 ** witness.failures++)
    }
  }

  /** @returns its signature line. @throws NotCosigned */
  async #cosignature(witness: Witness, checkpoint: StoredCheckpoint): Promise<string> {
    const { clock, logger } = this.#options
    // A witness that another keeper has asked meanwhile tells of its size, so that the second attempt fits.
    for (let attempt = 0; attempt < 3; attempt++) {
      if (witness.size > checkpoint.size) break
      const { status, text } = await this.#post(witness, checkpoint)
      if (status === 200) {
        witness.size = checkpoint.size
        const { line, time } = readCosignature(text, checkpoint.note, witness.key)
        const seconds = Math.round(time - clock.now() / 1000)
        if (Math.abs(seconds) > APART_SECONDS) {
          logger.warn({ witness: witness.name, seconds }, 'the clock of a witness is apart from ours')
        }
        return line
      }
      if (status !== 409) {
        if (status === 422) await this.#look(witness)
        throw new NotCosigned(`it answers ${status}`)
      }
      const size = parseSize(text.replace(/\n$/, ''))
      if (size === undefined) throw new NotCosigned('it answers 409 without a size')
      witness.size = size
    }
    const known = witness.size
    witness.size = 0
    await this.#look(witness)
    throw new NotCosigned(`it has cosigned ${known} entries, this checkpoint has ${checkpoint.size}`)
  }

  async #post(witness: Witness, { size, note }: StoredCheckpoint) {
    const old = witness.size
    const proof = await consistencyProof(storedNodes(rowsOf(await this.#db())), old, size)
    const body = formatAddCheckpoint({ old, proof, checkpoint: note })
    return await this.#fetch(`${witness.url}/add-checkpoint`, { method: 'POST', body })
  }

  /** Whether what the witness has cosigned is of the tree that stands here. */
  async #look({ name, key, url }: Witness): Promise<void> {
    const { origin } = this.#options
    const { status, text } = await this.#fetch(`${url}/${hash('sha256', origin, 'hex')}/checkpoint`, {})
    if (status !== 200) return
    let note: Note
    let shown: Checkpoint
    try {
      note = parseNote(text)
      shown = parseCheckpoint(note.text)
    } catch (error) {
      if (error instanceof RangeError) return
      throw error
    }
    const db = await this.#db()
    if (shown.origin !== origin || !(await isOurs(db, note))) return
    // Read after the witness was asked: what it has seen by then is in here, whoever led.
    const tree = await readTree(db)
    const fits = shown.size <= tree.size && sameHash(await rootAt(storedNodes(rowsOf(db)), shown.size), shown.root)
    if (fits) return
    const what = shown.size > tree.size ? `the tree has ${tree.size} entries` : 'the tree had another root at that size'
    this.#contradiction = `the witness ${name} (${key.name}) shows a checkpoint that we signed, and ${what}:\n\n${text}`
  }

  /** Durable when it resolves. */
  async #keep(witness: Witness, { size }: StoredCheckpoint, line: string): Promise<void> {
    const db = await this.#db()
    const { name, id } = witness.key
    await db.query('insert into audit.cosignature (size, witness, line) values ($1, $2, $3) on conflict do nothing', [
      size,
      `${name}+${id.toString('hex')}`,
      line,
    ])
    const cosigned = this.#cosigned.get(size) ?? new Set<string>()
    this.#cosigned.set(size, cosigned.add(witness.name))
    for (const old of [...this.#cosigned.keys()].slice(0, -COUNTED)) this.#cosigned.delete(old)
    if (!this.#options.policy.quorum(cosigned)) return
    await db.query('insert into audit.witnessed (size) values ($1) on conflict do nothing', [size])
    this.#enough = performance.now()
    if (this.#alarmed) this.#options.logger.info('enough witnesses cosign the log again')
    this.#alarmed = false
  }

  #alarm({ size }: StoredCheckpoint, now: number): void {
    const { policy, logger } = this.#options
    if (policy.quorum(this.#cosigned.get(size) ?? new Set())) this.#enough = now
    if (this.#alarmed || now - this.#enough < ALARM_MS) return
    this.#alarmed = true
    const silent = this.#witnesses.filter(({ trouble }) => trouble !== undefined).map(({ name }) => name)
    logger.error({ silent }, 'too few witnesses have cosigned the log for a minute')
  }

  /** @throws NotCosigned when there is no answer in time, or one without an end */
  async #fetch(url: string, init: RequestInit): Promise<{ status: number; text: string }> {
    const signal = AbortSignal.any([AbortSignal.timeout(ANSWER_MS), this.#stopping.signal])
    try {
      const response = await fetch(url, { ...init, redirect: 'error', signal })
      return { status: response.status, text: await readBounded(response) }
    } catch (error) {
      const { cause } = error as { cause?: { code?: string } }
      throw new NotCosigned(cause?.code ?? (error instanceof Error ? error.message : 'no answer'), { cause: error })
    }
  }

  async #db(): Promise<Executor> {
    this.#client ??= openClient(this.#options.databaseUrl, { name: 'paraph log witnesses' })
    return (await this.#client) as Executor
  }

  async #drop(): Promise<void> {
    const client = this.#client
    this.#client = undefined
    await client?.then((open) => open.end()).catch(() => {})
  }
}

const newWitness = { size: 0, busy: false, failures: 0, notBefore: Number.NEGATIVE_INFINITY, trouble: undefined }

/** @throws NotCosigned when its cosignature is not there, or false */
function readCosignature(answer: string, note: string, key: NoteKey): { line: string; time: number } {
  try {
    const own = parseSignatures(answer).find(({ name, id }) => name === key.name && id.equals(key.id))
    if (own === undefined) throw new NotCosigned('its cosignature is not in the answer')
    const time = verifyNote({ text: parseNote(note).text, signatures: [own] }, key) as number
    return { line: signatureLine(key, own.bytes), time }
  } catch (error) {
    if (error instanceof RangeError) throw new NotCosigned(`its answer is no cosignature: ${error.message}`)
    throw error
  }
}

/** Whether a key that signs this log has signed the note. */
async function isOurs(db: Executor, note: Note): Promise<boolean> {
  const { rows } = await db.query<{ vkey: string }>('select vkey from audit.checkpoint_key')
  try {
    return rows.some(({ vkey }) => verifyNote(note, parseVkey(vkey)) !== undefined)
  } catch (error) {
    if (error instanceof RangeError) return false
    throw error
  }
}

async function readBounded(response: Response): Promise<string> {
  const parts: Uint8Array[] = []
  let length = 0
  for await (const part of response.body ?? []) {
    length += part.length
    if (length > LONGEST_ANSWER) throw new NotCosigned('its answer has no end')
    parts.push(part)
  }
  return Buffer.concat(parts).toString('utf8')
}
