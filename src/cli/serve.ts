import { isIP } from 'node:net'
import type { Command } from 'commander'
import { pino } from 'pino'
import { type Config, loadConfig } from '../config.js'
import { freePort } from '../db/cluster.js'
import { openEmbedded } from '../db/embedded.js'
import { withPassword } from '../db/pool.js'
import { newId } from '../ids.js'
import { demoTimeStamps, timeStampChainFile } from '../sam/demo.js'
import { socketFolder } from '../sam/socket-folder.js'
import { type DemoSummary, printBanner } from './banner.js'
import { chooseDemoDevice, prepareSoftHsm } from './demo-device.js'
import { claimFolders, readInstances } from './instance.js'
import {
  ENTRIES,
  type Entries,
  findSamSockets,
  type Start,
  startFront,
  startWorkers,
  type WorkerPlan,
} from './processes.js'
import { requireProductionDatabase, startProductionWorkers } from './production.js'
import { runUntilSignal } from './run-until-signal.js'

/** What the demo's own content is made from; called at every start, after migration and before any worker runs. */
export interface DemoSetup {
  readonly ownerUrl: string
  readonly samUrl: string
  readonly hsmUri: string
  readonly caHsmUri: string
  readonly tsaHsmUri: string
  readonly checkpointHsmUri: string
  /** What the device's module needs in the environment of the process that loads it (SOFTHSM2_CONF). */
  readonly env: Readonly<Record<string, string>>
  readonly keysDir: string
  readonly instance: string
  readonly node: string
}

export interface ServeParts {
  readonly prepareDemo: (setup: DemoSetup) => Promise<DemoSummary>
  readonly entries?: Entries
}

const HELP = `
Without any settings this starts a demo on http://127.0.0.1:8080 with a database, a key device and a signer of its
own, kept in ./var and ./keys. It tells how to sign in and what to try.

With DATABASE_URL, PARAPH_SAM_DATABASE_URL and PARAPH_HSM set it is a production start; with DATABASE_URL and
PARAPH_SAM only the front, whose signing workers run elsewhere (\`paraph sam\`). Run \`paraph migrate\` and
\`paraph audit init\` before the first one.

It stays in the foreground; Ctrl-C or SIGTERM stops it in order. The log goes to standard error.`

/** Adds `paraph serve`. */
export function registerServe(program: Command, parts: ServeParts): void {
  program
    .command('serve')
    .summary('run the service')
    .description('Runs the service: the signing workers and the front that applications talk to.')
    .option('--json', 'tell where it listens, and the demo login, as one line of JSON')
    .addHelpText('after', HELP)
    .action((options: { json?: true }) => serve(parts, options.json === true))
}

async function serve({ prepareDemo, entries = ENTRIES }: ServeParts, json: boolean): Promise<void> {
  const config = await withRealPort(loadConfig(process.env, 'serve'))
  const logger = pino({ level: config.logLevel }, pino.destination(2))
  await runUntilSignal(logger, async (running) => {
    const start = { config, logger, running, entries }
    const demo = config.demo ? await serveDemo(start, prepareDemo) : undefined
    if (!config.demo) await serveProduction(start)
    await printBanner(config, demo, json)
  })
}

/** Port 0 becomes a free one before it is told to anybody. */
async function withRealPort(config: Config): Promise<Config> {
  if (config.port !== 0) return config
  return loadConfig({ ...process.env, PARAPH_PORT: String(await freePort()) }, 'serve')
}

async function serveDemo(start: Start, prepareDemo: ServeParts['prepareDemo']): Promise<DemoSummary> {
  const { config, logger, running } = start
  const device = await chooseDemoDevice(config.keys, readInstances(config)?.device)
  const { instance } = claimFolders(config, { instance: newId(), demo: true, device: device.kind })
  if (device.kind === 'softhsm') prepareSoftHsm(config.keys)

  const database = await openEmbedded(config.data, { onTrouble: (text) => logger.warn(text) })
  running.onStop(database.stop)

  const { hsmUri, caHsmUri, tsaHsmUri, checkpointHsmUri, env } = device
  const { ownerUrl, samUrl, frontUrl, keeperUrl } = database
  const { keys: keysDir, node } = config
  const setup = { ownerUrl, samUrl, hsmUri, caHsmUri, tsaHsmUri, checkpointHsmUri, env, keysDir, instance, node }
  const demo = await prepareDemo(setup)

  const sockets = await startWorkers(start, {
    databaseUrl: samUrl,
    hsmUri,
    caHsmUri,
    timeStamps: demoTimeStamps(tsaHsmUri, keysDir),
    keeperUrl,
    checkpointHsmUri,
    ...demoAnchor(config),
    instance,
    sockets: socketFolder(config.data),
    socketMode: 0o600,
    env,
  })
  await startFront(start, frontUrl, sockets)
  return demo
}

/** In a demo the log is stamped by the demo's own authority, to show how; that proves nothing against who runs it. */
function demoAnchor({ tls, host, port, keys }: Config): Pick<WorkerPlan, 'anchor'> {
  // A certificate that no authority vouches for is nobody's to believe.
  if (tls !== undefined) return {}
  const url = `http://${isIP(host) === 6 ? `[${host}]` : host}:${port}/tsa`
  return { anchor: { url, certificatesFile: timeStampChainFile(keys), startsWithinMs: 15_000 } }
}

/** The settings were checked for what this needs when they were read. */
async function serveProduction(start: Start): Promise<void> {
  const { config, running } = start
  const databaseUrl = config.databaseUrl as string
  await requireProductionDatabase(databaseUrl, 'DATABASE_URL')
  const sockets =
    config.sam === undefined
      ? await startProductionWorkers(start, socketFolder(config.data), 0o600)
      : await running.unlessStopped(findSamSockets(config.sam))
  await startFront(start, await withPassword(databaseUrl), sockets)
}
