/** How fast the verifier goes through a pack, with one thread and with as many as there are processors. */
import { spawnSync } from 'node:child_process'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { availableParallelism, cpus, tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { TestLog } from '../test/helpers/pack.js'

const ENTRIES = Number(process.env['BENCH_ENTRIES'] ?? 200_000)
const ROUNDS = Number(process.env['BENCH_ROUNDS'] ?? 3)
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
  process.stdout.write(
    `${cpus().length} x ${cpus()[0]?.model ?? 'unknown'}, Node ${process.version}, ${log.entries.length} entries\n`,
  )
  for (const [name, pack, status] of [
    ['with all openings', 'whole', 0],
    ['without openings', 'bare', 2],
  ] as const) {
    for (const threads of new Set([1, availableParallelism()])) {
      const rates = Array.from({ length: ROUNDS }, () => rate(join(folder, pack), threads, status, log.entries.length))
      const best = Math.max(...rates)
      process.stdout.write(`${name}, ${threads} threads: ${Math.round(best)} entries a second\n`)
    }
  }
} finally {
  rmSync(folder, { recursive: true })
}

function rate(pack: string, threads: number, expected: number, entries: number): number {
  const begin = performance.now()
  const { status, stderr } = spawnSync(
    process.execPath,
    [program, pack, '--policy', policy, '--threads', String(threads)],
    { encoding: 'utf8' },
  )
  if (status !== expected) throw new Error(`the verifier ended with ${status}: ${stderr}`)
  return (entries * 1000) / (performance.now() - begin)
}
