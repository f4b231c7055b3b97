import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setImmediate } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { pino } from 'pino'
import { freePort } from '../../src/db/cluster.js'
import { createSamClient } from '../../src/front/sam-client.js'
import { startSupervisor } from '../../src/sam/supervisor.js'
import type { TestService } from './test-service.js'

export interface RealProcesses {
  readonly port: number
  workerPids(): number[]
  frontPids(): number[]
  stopWorkers(): Promise<void>
  stop(): Promise<void>
}

export interface RealProcessesOptions {
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
    stopWorkers: () => workers.stop(),
    async stop() {
      await front.stop()
      await workers.stop()
    },
  }
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
