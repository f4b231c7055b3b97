import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { pino } from 'pino'
import { freePort } from '../../src/db/cluster.js'
import { createSamClient } from '../../src/front/sam-client.js'
import { openCheckpointKey } from '../../src/hsm/checkpoint-key.js'
import type { KeeperSettings } from '../../src/keeper/settings.js'
import { startSupervisor } from '../../src/sam/supervisor.js'
import type { TestService } from './test-service.js'

export interface RealProcesses {
  readonly port: number
  workerPids(): number[]
  frontPids(): number[]
  keeperPids(): number[]
  stopWorkers(): Promise<void>
  stop(): Promise<void>
}

export interface RealProcessesOptions {
  /** Keepers of the log, each as on a machine of its own; none unless told. */
  readonly keepers?: number
  readonly workers?: number
  readonly port?: number
  /** More for the environment of the workers. */
  readonly env?: Readonly<Record<string, string | undefined>>
  /** Modules of test/helpers to load before the workers' own. */
  readonly preload?: readonly string[]
  /** Lets `service.moveClock` move the workers' clock too. */
  readonly movedClock?: boolean
  /** A worker silent for so long is killed, in milliseconds. */
  readonly deadlineMs?: number
  readonly hsmUri?: string
}

const built = (path: string) => fileURLToPath(new URL(`../../${path}`, import.meta.url))
const quiet = { info: () => {}, warn: () => {}, error: () => {} }
const running = (pids: (number | undefined)[]) => pids.filter((pid) => pid !== undefined)

/** SAM workers and a front as the processes they are in real life, under their supervisor, for a service started without. */
export async function startProcesses(service: TestService, options: RealProcessesOptions = {}): Promise<RealProcesses> {
  const settings = Array.from({ length: options.workers ?? 1 }, (_, i) => ({
    ...service.newWorkerSettings(i),
    ...(options.hsmUri === undefined ? {} : { hsmUri: options.hsmUri }),
    logLevel: 'error' as const,
  }))
  const clockFile = join(service.folder, 'clock')
  const preload = [...(options.preload ?? []), ...(options.movedClock ? ['moved-clock'] : [])]
  if (options.movedClock) {
    service.onClock(
      (offset) => writeFileSync(clockFile, String(offset)),
      () => agreed(settings.map(({ socket }) => socket)),
    )
  }
  const workers = startSupervisor({
    name: 'sam worker',
    count: settings.length,
    logger: quiet,
    ...(options.deadlineMs === undefined ? {} : { deadlineMs: options.deadlineMs }),
    spawn: (index) => ({
      entry: built('src/sam/main.js'),
      settings: settings[index],
      env: {
        PATH: process.env['PATH'],
        SOFTHSM2_CONF: process.env['SOFTHSM2_CONF'],
        PARAPH_TEST_CLOCK: clockFile,
        NODE_OPTIONS: preload.map((name) => `--import=${built(`test/helpers/${name}.js`)}`).join(' '),
        ...options.env,
      },
    }),
  })
  await workers.ready
  const keepers = startKeepers(service, options.keepers ?? 0)
  if (options.keepers !== undefined) {
    const key = await openCheckpointKey(service.checkpointHsmUri)
    await service.nameKey(key)
    key.close()
  }
  await keepers.ready
  const port = options.port ?? (await freePort())
  const front = startSupervisor({
    name: 'front',
    count: 1,
    logger: quiet,
    spawn: () => ({
      entry: built('src/front/child.js'),
      settings: { ...service.newFrontSettings(0), port, logLevel: 'error' },
      env: { PATH: process.env['PATH'] },
    }),
  })
  await front.ready
  service.urls.push(`http://127.0.0.1:${port}`)
  return {
    port,
    workerPids: () => running(workers.pids()),
    frontPids: () => running(front.pids()),
    keeperPids: () => running(keepers.pids()),
    stopWorkers: () => workers.stop(),
    async stop() {
      await front.stop()
      await keepers.stop()
      await workers.stop()
    },
  }
}

function startKeepers(service: TestService, count: number) {
  return startSupervisor({
    name: 'log keeper',
    count,
    logger: quiet,
    // A test that pauses one means it to wake up.
    deadlineMs: 600_000,
    spawn: (index) => {
      const settings: KeeperSettings = {
        databaseUrl: service.keeperUrl,
        keyUri: service.checkpointHsmUri,
        guardFile: join(service.folder, `keeper-${index}`, 'checkpoint'),
        node: `test/keeper-${index}`,
        logLevel: 'error',
      }
      const env = { PATH: process.env['PATH'], SOFTHSM2_CONF: process.env['SOFTHSM2_CONF'] }
      return { entry: built('src/keeper/main.js'), settings, env }
    },
  })
}

/** Resolves when every worker finds its clock and the database's together again. */
async function agreed(sockets: readonly string[]): Promise<void> {
  for (const socket of sockets) {
    const sam = createSamClient({ sockets: [socket], logger: pino({ level: 'silent' }) })
    try {
      const end = performance.now() + 10_000
      while (
        !(await sam.call('health', {}).then(
          ({ clock }) => clock,
          () => false,
        ))
      ) {
        if (performance.now() > end) throw new Error('a worker does not follow the clock')
        await setImmediate()
      }
    } finally {
      await sam.close()
    }
  }
}

/** Process id of the PostgreSQL server with this data folder. */
export function postmasterOf(data: string): number {
  return Number(readFileSync(join(data, 'postmaster.pid'), 'utf8').split('\n')[0])
}
