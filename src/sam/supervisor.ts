/** Keeps a number of child processes alive: a hung one is killed at the deadline, a dead one is replaced. */
import { type ChildProcess, spawn as spawnProcess } from 'node:child_process'
import type { LogLevel } from '../config.js'
import type { DeliverySettings } from '../identity/delivery/delivery.js'
import type { ChildMessage } from '../supervised.js'
import type { TimeStampSettings } from './time-stamps.js'

/** What a SAM worker (`src/sam/main.ts`) reads from its standard input. */
export interface WorkerSettings {
  /** Where the front connects; mode `socketMode`. */
  readonly socket: string
  /** 0o600, or 0o660 where the front runs as another user of the folder's group. */
  readonly socketMode: number
  /** Where an operator's commands connect; always 0600. */
  readonly adminSocket: string
  /** Role paraph_sam. */
  readonly databaseUrl: string
  readonly hsmUri: string
  /** The device of the demo's certificate authority; demo only. */
  readonly caHsmUri?: string
  /** The time-stamp authority, where there is one. */
  readonly timeStamps?: TimeStampSettings
  readonly demo: boolean
  readonly keysDir: string
  /** Name of this machine and worker in the log. */
  readonly node: string
  readonly basicLogin: boolean
  /** How browsers reach the service: where passkeys belong. */
  readonly publicUrl: string
  /** What hands on codes that are sent; without it none are. */
  readonly delivery?: DeliverySettings
  /** Where this machine remembers the log, and whether it was found to have another past; the keeper's file. */
  readonly guardFile: string
  /** Text of the policy whose quorum must have cosigned the log for signing; without it nobody must. */
  readonly requiredWitnesses?: string
  /** Whether nothing is signed while nothing sets this machine's clock. */
  readonly refuseUnsyncedClock?: boolean
  readonly logLevel: LogLevel
  /** The instance id of the folders and of the log, a UUID. */
  readonly instance: string
}

/** The part of a pino logger that is used here. */
interface SupervisorLogger {
  info(facts: object, text: string): void
  warn(facts: object, text: string): void
  error(facts: object, text: string): void
}

interface ChildProgram {
  /** Path of the module to run; it calls `supervised()` first of all. */
  readonly entry: string
  /** Sent as one line of JSON to its standard input. */
  readonly settings: unknown
  /** Its whole environment. */
  readonly env: Readonly<Record<string, string | undefined>>
}

export interface SupervisorOptions {
  /** What the children are called in the log. */
  readonly name: string
  readonly count: number
  /** Asked anew at every start of child `index` (0 to count - 1). */
  readonly spawn: (index: number) => ChildProgram
  /** A child that served and is silent for so long is killed. Default 2500. */
  readonly deadlineMs?: number
  /** The same for a child that does not serve yet: opening a device may block it. Default 30 000. */
  readonly startMs?: number
  readonly logger: SupervisorLogger
}

export interface Supervisor {
  /**
   * Resolves when every child has served once. Rejects when one refuses to serve, or died five times without having
   * served; then nothing more is started for it, and the caller calls `stop`.
   */
  readonly ready: Promise<void>
  /** Process ids by index; undefined where none runs at the moment. */
  pids(): (number | undefined)[]
  /** Asks all to stop (SIGTERM), kills what is left after `graceMs` (default 5000), resolves when all are gone. */
  stop(graceMs?: number): Promise<void>
}

const FIRST_BACKOFF_MS = 100
const LAST_BACKOFF_MS = 5000
/** A child that lived for so long starts again without delay growing from before. */
const SETTLED_MS = 10_000
const DEATHS_BEFORE_GIVING_UP = 5
const CHECK_MS = 100

/** Starts `count` children and watches them until `stop`. They end by themselves when this process dies. */
export function startSupervisor(options: SupervisorOptions): Supervisor {
  const children = Array.from({ length: options.count }, (_, index) => new Child(index, options))
  const { deadlineMs = 2500 } = options
  let lastCheck = performance.now()
  const check = setInterval(() => {
    const now = performance.now()
    // When this process itself stood still, it has not read what its children said meanwhile.
    const ownSilence = now - lastCheck
    lastCheck = now
    for (const child of children) {
      if (ownSilence > deadlineMs / 2) child.excuse(now)
      else child.killIfSilent(now)
    }
  }, CHECK_MS)
  for (const child of children) child.start()
  const ready = Promise.all(children.map((child) => child.served)).then(() => undefined)
  ready.catch(() => undefined)
  return {
    ready,
    pids: () => children.map((child) => child.pid),
    async stop(graceMs = 5000) {
      clearInterval(check)
      await Promise.all(children.map((child) => child.stop(graceMs)))
    },
  }
}

class Child {
  readonly served: Promise<void>
  readonly #index: number
  readonly #options: SupervisorOptions
  #process: ChildProcess | undefined
  #exited: Promise<void> = Promise.resolve()
  #restart: NodeJS.Timeout | undefined
  #stopping = false
  #refused = false
  #serving = false
  #everServed = false
  #deaths = 0
  #startedAt = 0
  #lastSeen = 0
  #backoffMs = FIRST_BACKOFF_MS
  #settle!: { resolve: () => void; reject: (error: Error) => void }

  constructor(index: number, options: SupervisorOptions) {
    this.#index = index
    this.#options = options
    this.served = new Promise((resolve, reject) => {
      this.#settle = { resolve, reject }
    })
  }

  get pid(): number | undefined {
    return this.#process?.pid
  }

  start(): void {
    const program = this.#options.spawn(this.#index)
    // Detached: a Ctrl-C on the terminal is for the supervisor, which stops its children in order. What they print is
    // log, and goes where ours goes.
    const child = spawnProcess(process.execPath, [program.entry], {
      env: program.env,
      stdio: ['pipe', 2, 2, 'ipc'],
      detached: true,
    })
    this.#process = child
    this.#serving = false
    this.#startedAt = this.#lastSeen = performance.now()
    this.#exited = new Promise((done) => {
      let gone = false
      const end = (facts: object) => {
        if (gone) return
        gone = true
        this.#ended(facts)
        done()
      }
      child.once('error', (error) => child.pid === undefined && end({ error: error.message }))
      child.once('exit', (code, signal) => end({ code, signal }))
    })
    child.on('message', (message) => this.#hear(message as ChildMessage))
    // A child that dies before it reads is told of by its exit.
    child.stdin?.on('error', () => undefined)
    child.stdin?.end(`${JSON.stringify(program.settings)}\n`)
  }

  excuse(now: number): void {
    this.#lastSeen = now
  }

  killIfSilent(now: number): void {
    const { deadlineMs = 2500, startMs = 30_000, logger, name } = this.#options
    const allowed = this.#serving ? deadlineMs : startMs
    if (this.#process === undefined || now - this.#lastSeen < allowed) return
    logger.error(
      { child: name, index: this.#index, pid: this.pid, silentMs: Math.round(now - this.#lastSeen) },
      'hung: killed',
    )
    this.#lastSeen = now
    this.#process.kill('SIGKILL')
  }

  async stop(graceMs: number): Promise<void> {
    this.#stopping = true
    clearTimeout(this.#restart)
    this.#process?.kill('SIGTERM')
    const kill = setTimeout(() => this.#process?.kill('SIGKILL'), graceMs)
    await this.#exited
    clearTimeout(kill)
  }

  #hear(message: ChildMessage): void {
    this.#lastSeen = performance.now()
    if (message.type === 'ready') {
      this.#serving = this.#everServed = true
      this.#settle.resolve()
    }
    if (message.type === 'refused') {
      this.#refused = true
      this.#options.logger.error(
        { child: this.#options.name, index: this.#index, reason: message.reason },
        'refuses to serve; not started again',
      )
      this.#settle.reject(new Error(message.reason))
    }
  }

  #ended(facts: object): void {
    const { logger, name } = this.#options
    this.#process = undefined
    if (this.#stopping || this.#refused) return
    this.#deaths += 1
    if (!this.#everServed && this.#deaths >= DEATHS_BEFORE_GIVING_UP) {
      this.#settle.reject(
        new Error(`${name} ${this.#index} ended ${this.#deaths} times before it served; see its messages above`),
      )
      return
    }
    if (performance.now() - this.#startedAt >= SETTLED_MS) this.#backoffMs = FIRST_BACKOFF_MS
    logger.warn({ child: name, index: this.#index, ...facts, againInMs: this.#backoffMs }, 'ended: started again')
    this.#restart = setTimeout(() => this.start(), this.#backoffMs)
    this.#backoffMs = Math.min(this.#backoffMs * 2, LAST_BACKOFF_MS)
  }
}
