/** The processes that `serve` and `sam` start: SAM workers and the front. */
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import type { Logger } from 'pino'
import type { Config } from '../config.js'
import type { FrontSettings } from '../front/settings.js'
import type { AnchorSettings } from '../keeper/anchor.js'
import type { KeeperSettings } from '../keeper/settings.js'
import { adminSocket, samSocket, socketFolder } from '../sam/socket-folder.js'
import { type SupervisorOptions, startSupervisor, type WorkerSettings } from '../sam/supervisor.js'
import type { TimeStampSettings } from '../sam/time-stamps.js'
import { parsePolicy } from '../tlog/policy.js'
import type { Running } from './run-until-signal.js'

/** Compiled modules that run as processes; tests put others in their place. */
export interface Entries {
  readonly worker: string
  readonly front: string
  readonly keeper: string
}

const source = dirname(dirname(fileURLToPath(import.meta.url)))
export const ENTRIES: Entries = {
  worker: join(source, 'sam', 'main.js'),
  front: join(source, 'front', 'child.js'),
  keeper: join(source, 'keeper', 'main.js'),
}

/** What a start goes with from beginning to end. */
export interface Start {
  readonly config: Config
  readonly logger: Logger
  readonly running: Running
  readonly entries: Entries
}

export interface WorkerPlan {
  readonly databaseUrl: string
  readonly hsmUri: string
  readonly caHsmUri?: string
  readonly timeStamps?: TimeStampSettings
  readonly instance: string
  /** Role paraph_keeper. */
  readonly keeperUrl: string
  /** The token of the key that signs the log. */
  readonly checkpointHsmUri: string
  /** Who time-stamps the log where no setting says it. */
  readonly anchor?: AnchorSettings
  /** Folder of the sockets for the front, and their mode. */
  readonly sockets: string
  readonly socketMode: number
  /** What the device's module needs. */
  readonly env: Readonly<Record<string, string>>
}

/**
 * Starts the workers and the keeper of the log, to be stopped with everything else; resolves when each of them serves.
 * @returns the workers' sockets for a front.
 */
export async function startWorkers(start: Start, all: WorkerPlan): Promise<string[]> {
  const { config } = start
  const { env, sockets, keeperUrl, checkpointHsmUri, anchor: _keepers, ...plan } = all
  const admin = socketFolder(config.data)
  const policy = readWitnesses(config)
  const settingsOf = (index: number): WorkerSettings => ({
    ...plan,
    socket: samSocket(sockets, index),
    adminSocket: adminSocket(admin, index),
    demo: config.demo,
    keysDir: config.keys,
    node: `${config.node}/sam-${index}`,
    basicLogin: config.basicLogin,
    publicUrl: config.publicUrl,
    delivery: {
      ...(config.demo ? { outbox: join(config.data, 'outbox') } : {}),
      ...(config.mail === undefined ? {} : { mail: config.mail }),
      ...(config.sms === undefined ? {} : { sms: config.sms }),
    },
    guardFile: guardFile(config),
    refuseUnsyncedClock: config.refuseUnsyncedClock,
    ...(config.requireWitnesses && policy !== undefined ? { requiredWitnesses: policy } : {}),
    logLevel: config.logLevel,
  })
  await supervise(start, {
    name: 'sam worker',
    count: config.workers,
    logger: start.logger,
    spawn: (index) => ({
      entry: start.entries.worker,
      env: { ...environmentOfModules(), ...env },
      settings: settingsOf(index),
    }),
  })
  await startKeeper(start, all, policy)
  return Array.from({ length: config.workers }, (_, index) => samSocket(sockets, index))
}

const guardFile = ({ data }: Config) => join(data, 'log', 'checkpoint')

/** After the workers: a token whose file another process writes cannot be opened. */
async function startKeeper(start: Start, plan: WorkerPlan, witnesses: string | undefined): Promise<void> {
  const { config } = start
  const { keeperUrl, checkpointHsmUri, env, anchor = plan.anchor } = { ...plan, anchor: config.anchor }
  const settings: KeeperSettings = {
    databaseUrl: keeperUrl,
    keyUri: checkpointHsmUri,
    guardFile: guardFile(config),
    ...(anchor === undefined ? {} : { anchor }),
    node: `${config.node}/keeper`,
    ...(witnesses === undefined ? {} : { witnesses }),
    logLevel: config.logLevel,
  }
  await supervise(start, {
    name: 'log keeper',
    count: 1,
    logger: start.logger,
    spawn: () => ({ entry: start.entries.keeper, env: { ...environmentOfModules(), ...env }, settings }),
  })
}

/** Text of the policy that names the witnesses; undefined where none are. @throws Error when it is none, or asks for nobody */
function readWitnesses({ witnesses }: Config): string | undefined {
  if (witnesses === undefined) return undefined
  const text = readFileSync(witnesses, 'utf8')
  try {
    if (parsePolicy(text).witnesses.some(({ url }) => url !== undefined)) return text
  } catch (error) {
    throw new Error(`PARAPH_WITNESSES: ${error instanceof Error ? error.message : 'no policy'}`, { cause: error })
  }
  throw new Error('PARAPH_WITNESSES: no witness in it has an address. Write witness NAME KEY URL')
}

/** Every wait for the first answer ends: a device, a database or a port that is not there must be told of. */
const FIRST_ANSWER_MS = 60_000

async function supervise({ running }: Start, options: SupervisorOptions): Promise<void> {
  const supervisor = startSupervisor(options)
  running.onStop(() => supervisor.stop())
  const late = new AbortController()
  const tooLate = sleep(FIRST_ANSWER_MS, undefined, { signal: late.signal }).then(() => {
    throw new Error(`the ${options.name} did not begin to serve within a minute; see its messages above`)
  })
  try {
    await running.unlessStopped(Promise.race([supervisor.ready, tooLate]))
  } finally {
    late.abort()
    tooLate.catch(() => undefined)
  }
}

/** A vendor's module may look for its own variables, so that workers keep ours, but for the settings of Paraph. */
function environmentOfModules(): Record<string, string | undefined> {
  const kept = Object.entries(process.env).filter(([name]) => !name.startsWith('PARAPH_') && name !== 'DATABASE_URL')
  return Object.fromEntries(kept)
}

/** The front's event loop never waits for a device, but its machine may be short of breath. */
const FRONT_DEADLINE_MS = 10_000

/** Starts the front, to be stopped with everything else; resolves when it listens. */
export async function startFront(start: Start, databaseUrl: string, sockets: readonly string[]): Promise<void> {
  const { config } = start
  const settings: FrontSettings = {
    databaseUrl,
    samSockets: sockets,
    host: config.host,
    port: config.port,
    ...(config.tls === undefined ? {} : { tls: config.tls }),
    publicUrl: config.publicUrl,
    trustedProxies: config.trustedProxies,
    basicLogin: config.basicLogin,
    auditPublic: config.auditPublic,
    demo: config.demo,
    name: config.name,
    region: config.region,
    logLevel: config.logLevel,
    node: `${config.node}/front`,
  }
  await supervise(start, {
    name: 'front',
    count: 1,
    deadlineMs: FRONT_DEADLINE_MS,
    logger: start.logger,
    spawn: () => ({ entry: start.entries.front, env: { PATH: process.env.PATH }, settings }),
  })
}

/** How long workers of another container may take to appear, in milliseconds. */
const SOCKETS_MS = 30_000

/**
 * Sockets named by PARAPH_SAM: a path is taken as it is, a folder stands for the sam-*.sock in it.
 * @throws Error when a folder stays without any.
 */
export async function findSamSockets(places: readonly string[], waitMs = SOCKETS_MS): Promise<string[]> {
  const end = performance.now() + waitMs
  const found: string[] = []
  for (const place of places) {
    if (place.endsWith('.sock')) {
      found.push(place)
      continue
    }
    let names = socketsIn(place)
    while (names.length === 0 && performance.now() < end) {
      await sleep(200)
      names = socketsIn(place)
    }
    if (names.length === 0)
      throw new Error(`PARAPH_SAM: there is no sam-*.sock in ${place}: start \`paraph sam\` with the same PARAPH_SAM`)
    found.push(...names.map((name) => join(place, name)))
  }
  return found
}

function socketsIn(folder: string): string[] {
  try {
    return readdirSync(folder)
      .filter((name) => /^sam-\d+\.sock$/.test(name))
      .sort()
  } catch {
    return []
  }
}
