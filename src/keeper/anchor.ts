import { hash, randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import type { Logger } from 'pino'
import type { LimitedLog } from '../audit/limited-log.js'
import type { Clock } from '../clock.js'
import type { Executor } from '../db/pool.js'
import { readSecretFile } from '../secret-file.js'
import { parseNote } from '../tlog/note.js'
import { readTimeStamp, readTrusted } from '../verifier/time-stamps.js'

/** An outside time-stamp authority (RFC 3161), as the settings name it. */
export interface AnchorSettings {
  /** `http:` or `https:`, with a user in it where a password is wanted. */
  readonly url: string
  readonly passwordFile?: string
  /** PEM: its certificate, or those of its issuers. Read each time, so that they may be replaced. */
  readonly certificatesFile: string
  /** Milliseconds before it is first asked: one that starts together with the keeper does not answer at once. */
  readonly startsWithinMs?: number
}

export interface AnchorOptions extends AnchorSettings {
  readonly clock: Clock
  readonly logger: Pick<Logger, 'info' | 'warn'>
  /** Writes `audit.anchored`. */
  readonly log: Pick<LimitedLog<'keeper'>, 'append'>
}

const HOUR_MS = 3_600_000
const LOOK_MS = 1000
const FIRST_PAUSE_MS = 10_000
const LONGEST_PAUSE_MS = 600_000
const PATIENCE_MS = 10_000
const LONGEST_RESPONSE = 2 ** 16
/** Further from our clock than this, one of both is wrong. */
const TOLERANCE_MS = 60_000

interface Newest {
  readonly size: number
  readonly note: string
  readonly keys: number
  readonly anchored: string | null
  readonly anchored_at: Date | null
  readonly anchored_size: number | null
}

interface Stamped {
  readonly size: number
  readonly response: Buffer
  readonly time: number
}

/**
 * Has the newest checkpoint time-stamped by an outside authority: every hour, when another key begins to sign, and when a
 * key was named. Nothing waits for it: the authority is asked beside the rounds of the keeper, and what it answered is
 * stored in one of them. What goes wrong is told in the log file, and tried again after a while that grows.
 */
export class Anchors {
  readonly #options: AnchorOptions
  #looked = Number.NEGATIVE_INFINITY
  #resting: number
  #pause = FIRST_PAUSE_MS
  #keys: number | undefined
  #asking: Promise<void> | undefined
  #stamped: Stamped | undefined
  #trouble: string | undefined
  readonly #stop = new AbortController()

  constructor(options: AnchorOptions) {
    this.#options = options
    this.#resting = performance.now() + (options.startsWithinMs ?? 0)
  }

  /** To be called in each round of the keeper that leads, outside a transaction; it never rejects. */
  async round(db: Executor): Promise<void> {
    const now = performance.now()
    if (this.#asking !== undefined || now < this.#resting) return
    try {
      if (this.#stamped !== undefined) await this.#store(db, this.#stamped)
      if (now - this.#looked < LOOK_MS) return
      this.#looked = now
      const newest = await readNewest(db)
      if (newest === undefined || !this.#isDue(newest)) return
      this.#asking = this.#ask(newest).finally(() => {
        this.#asking = undefined
      })
    } catch (error) {
      this.#failed(error)
    }
  }

  async stop(): Promise<void> {
    this.#stop.abort()
    await this.#asking
  }

  #isDue(newest: Newest): boolean {
    const { clock } = this.#options
    const { size, keys, note, anchored, anchored_at: at, anchored_size: before } = newest
    this.#keys ??= keys
    if (anchored === null || at === null || before === null) return true
    if (size <= before) return false
    return keys !== this.#keys || signer(note) !== signer(anchored) || clock.now() - at.getTime() >= HOUR_MS
  }

  async #ask(newest: Newest): Promise<void> {
    try {
      this.#stamped = await this.#stampOf(newest)
      this.#keys = newest.keys
    } catch (error) {
      this.#failed(error)
    }
  }

  #failed(error: unknown): void {
    if (this.#stop.signal.aborted) return
    const cause = reasonOf(error)
    if (cause !== this.#trouble) this.#options.logger.warn({ cause }, 'the log is not being time-stamped')
    this.#trouble = cause
    this.#resting = performance.now() + this.#pause
    this.#pause = Math.min(2 * this.#pause, LONGEST_PAUSE_MS)
  }

  async #stampOf({ size, note }: Newest): Promise<Stamped> {
    const { certificatesFile, clock } = this.#options
    const trusted = readTrusted(readFileSync(certificatesFile, 'utf8'))
    const text = Buffer.from(parseNote(note).text)
    const nonce = newNonce()
    const response = await this.#post(queryOf(text, nonce))
    const { time, nonce: echoed } = readTimeStamp(response, text, trusted)
    if (echoed?.equals(nonce) !== true) throw new Error('the time-stamp answers another query')
    if (Math.abs(time - clock.now()) > TOLERANCE_MS) {
      throw new Error('the clock of the authority and that of this machine are more than a minute apart')
    }
    return { size, response, time }
  }

  async #post(query: Buffer): Promise<Buffer> {
    const { passwordFile } = this.#options
    const url = new URL(this.#options.url)
    const user = decodeURIComponent(url.username)
    url.username = ''
    const answer = await fetch(url, {
      method: 'POST',
      headers: {
        'content-type': 'application/timestamp-query',
        accept: 'application/timestamp-reply',
        ...(passwordFile === undefined
          ? {}
          : { authorization: `Basic ${Buffer.from(`${user}:${readSecretFile(passwordFile)}`).toString('base64')}` }),
      },
      body: query,
      redirect: 'error',
      signal: AbortSignal.any([this.#stop.signal, AbortSignal.timeout(PATIENCE_MS)]),
    })
    if (answer.status !== 200) {
      await answer.body?.cancel()
      throw new Error(`the authority answered ${answer.status}`)
    }
    const chunks: Uint8Array[] = []
    let length = 0
    for await (const chunk of answer.body ?? []) {
      length += chunk.length
      if (length > LONGEST_RESPONSE) throw new Error('the answer of the authority is too long')
      chunks.push(chunk)
    }
    return Buffer.concat(chunks)
  }

  async #store(db: Executor, { size, response, time }: Stamped): Promise<void> {
    const { log, logger } = this.#options
    await db.query(
      'insert into audit.anchor (size, response, gen_time) values ($1, $2, $3) on conflict (size) do nothing',
      [size, response, new Date(time)],
    )
    await log.append({ type: 'audit.anchored', outcome: 'ok', actor: { kind: 'system' }, facts: { size } })
    this.#stamped = undefined
    this.#pause = FIRST_PAUSE_MS
    if (this.#trouble !== undefined) logger.info('the log is time-stamped again')
    this.#trouble = undefined
  }
}

async function readNewest(db: Executor): Promise<Newest | undefined> {
  const { rows } = await db.query<Newest>(
    `select c.size, c.note, (select count(*) from audit.checkpoint_key) as keys,
            a.note as anchored, a.gen_time as anchored_at, a.size as anchored_size
       from (select size, note from audit.checkpoint order by size desc limit 1) c
       left join (select size, gen_time, note from audit.anchor join audit.checkpoint using (size) order by size desc limit 1) a
         on true`,
  )
  return rows[0]
}

/** Which key signed a note of ours; witnesses' lines come after the log's own. */
function signer(note: string): string | undefined {
  return parseNote(note).signatures[0]?.id.toString('hex')
}

/** Eight bytes of a positive INTEGER. */
function newNonce(): Buffer {
  const nonce = randomBytes(8)
  nonce[0] = ((nonce[0] as number) & 0x7f) | 0x40
  return nonce
}

/** TimeStampReq (RFC 3161 §2.4.1) over SHA-256, with the nonce, and the certificates wished for. */
function queryOf(text: Buffer, nonce: Buffer): Buffer {
  const imprint = Buffer.concat([
    Buffer.from('3031300d060960864801650304020105000420', 'hex'),
    hash('sha256', text, 'buffer'),
  ])
  const body = Buffer.concat([
    Buffer.from('020101', 'hex'),
    imprint,
    Buffer.from([2, nonce.length]),
    nonce,
    Buffer.from('0101ff', 'hex'),
  ])
  return Buffer.concat([Buffer.from([0x30, body.length]), body])
}

/** What stands behind a failed request, without anything of the address. */
function reasonOf(error: unknown): string {
  if (!(error instanceof Error)) return 'unknown'
  const { cause } = error
  if (cause instanceof Error) return (cause as NodeJS.ErrnoException).code ?? cause.message
  return error.message
}
