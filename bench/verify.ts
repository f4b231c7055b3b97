/** How fast the verifier goes through a pack, with one thread and with as many as there are processors. */
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { availableParallelism, cpus, loadavg, tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { TestLog } from '../test/helpers/pack.js'

const ENTRIES = Number(process.env['BENCH_ENTRIES'] ?? 200_000)
const ROUNDS = Number(process.env['BENCH_ROUNDS'] ?? 3)
const TICK_US = 10_000
const program = fileURLToPath(new URL('../src/verifier/standalone.js', import.meta.url))
const folder = mkdtempSync(join(tmpdir(), 'paraph-bench-'))
const policy = join(folder, 'policy')

try {
  const log = new TestLog()
  log.live(ENTRIES, { keeper: log.start('keeper'), signers: 64 })
  await log.write(join(folder, 'whole'))
  writeFileSync(policy, log.policy())
  log.openings.splice(0)
  await log.write(join(folder, 'bare'))
  const { length } = log.entries
  process.stdout.write(
    `${cpus().length} x ${cpus()[0]?.model ?? 'unknown'}, Node ${process.version}, ${length} entries, ` +
      `load ${loadavg()[0]?.toFixed(1)}\n`,
  )
  for (const [name, pack, status] of [
    ['with all openings', 'whole', 0],
    ['without openings', 'bare', 2],
  ] as const) {
    for (const threads of new Set([1, availableParallelism()])) {
      const rounds = Array.from({ length: ROUNDS }, () => {
        const yardstick = hashOnce(join(folder, pack)) / length
        const { rate, processor } = verifyOnce(join(folder, pack), threads, status, length)
        return { rate, processor, yardstick, ratio: processor / yardstick }
      })
      const middle = (of: keyof (typeof rounds)[number]) =>
        rounds.map((round) => round[of]).sort((a, b) => a - b)[ROUNDS >> 1] as number
      const best = Math.round(Math.max(...rounds.map(({ rate }) => rate)))
      process.stdout.write(
        `${name}, ${threads} threads: ${best} entries a second, ${middle('processor').toFixed(1)} µs of processor an entry, ` +
          `${middle('ratio').toFixed(1)} times the hashing of its bytes (${middle('yardstick').toFixed(2)} µs)\n`,
      )
    }
  }
} finally {
  rmSync(folder, { recursive: true })
}

function verifyOnce(
  pack: string,
  threads: number,
  expected: number,
  entries: number,
): { rate: number; processor: number } {
  const begin = performance.now()
  const before = processorOfChildren()
  const { status, stderr } = spawnSync(
    process.execPath,
    [program, pack, '--policy', policy, '--threads', String(threads)],
    { encoding: 'utf8' },
  )
  if (status !== expected) throw new Error(`the verifier ended with ${status}: ${stderr}`)
  const rate = (entries * 1000) / (performance.now() - begin)
  return { rate, processor: (processorOfChildren() - before) / entries }
}

/** Processor time, in microseconds, of the children that ended. */
function processorOfChildren(): number {
  const fields = readFileSync('/proc/self/stat', 'utf8').split(') ')[1]?.split(' ') ?? []
  return (Number(fields[13]) + Number(fields[14])) * TICK_US
}

/** The yardstick: SHA-256 of the pack's lines. @returns microseconds of processor time */
function hashOnce(pack: string): number {
  const before = process.cpuUsage()
  for (const file of readdirSync(pack).filter((name) => name.endsWith('.jsonl'))) {
    createHash('sha256')
      .update(readFileSync(join(pack, file)))
      .digest()
  }
  const { user, system } = process.cpuUsage(before)
  return user + system
}
