/**
 * `npm test`: every test file in a process of its own, two at a time, on one PostgreSQL server made for this run.
 *
 *   npm test -- csc pki       only files whose path holds one of the words
 *   npm test -- --verbose     shows what passing files print, too
 *
 * `npm run test:interop` is the same for the files below test/interop/, which run foreign tools; INTEROP_MINUTES=30 gives
 * those that search for faults so many minutes more.
 *
 * `npm run test:long` is the same for those below test/long/, which take too long for every change.
 *
 * Any other option is for Node's runner (`--test-name-pattern=replay`). What the system lacks is named with the command that
 * installs it, and a skipped test fails the run, save those that need root: they are named where an ordinary user runs
 * this. A test file finds in its environment
 *
 *   PARAPH_TEST_PG        URL of the server's superuser; see test/helpers/temp-database.ts
 *   PARAPH_TEST_RUN       an id of this run, for what its processes share; see test/helpers/temp-token.ts
 *   PARAPH_TEST_LOGS      a file of its own, to which it appends what it has logged, at the most talkative level
 *   PARAPH_TEST_SECRETS   a file, to which it appends the secrets it knows, a line each: PINs, codes, passwords, SADs,
 *                         tokens, digests; bytes in hex or base64. `kind<TAB>value` names the kind as well
 *   TMPDIR                a folder that is gone when the run ends
 *
 * At the end whatever was printed or logged is searched for all of those secrets; a find fails the run, and the file and
 * the kind are named.
 */
import { spawn } from 'node:child_process'
import { randomBytes } from 'node:crypto'
import { chmodSync, closeSync, mkdtempSync, openSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'
import { startTestServer } from '../helpers/temp-database.js'
import { makeFsck } from './go.js'
import { leakFinder, parseSecrets } from './leaks.js'
import { makePython } from './python.js'
import type { TestResult } from './reporter.js'
import { missingRequirements } from './requirements.js'

/** More than two do not make two cores faster, and they wait for one another's locks. */
const AT_ONCE = 2
/** A file that takes longer hangs. */
const LONGEST_MS = (5 + Number(process.env['INTEROP_MINUTES'] ?? 0)) * 60_000
/** The one reason for which a test may skip itself. */
const NEEDS_ROOT = 'needs root'
/** Of what a failed file printed. */
const LINES_SHOWN = 100

const root = dirname(dirname(dirname(dirname(fileURLToPath(import.meta.url)))))
const reporter = pathToFileURL(join(root, '.build', 'test', 'runner', 'reporter.js')).href

interface FileResult {
  readonly file: string
  readonly passed: number
  /** What went wrong, a text each. */
  readonly failures: readonly string[]
  /** Names of tests that an ordinary user cannot run. */
  readonly forRoot: readonly string[]
  readonly output: string
  readonly log: string
}

const options = process.argv.slice(2).filter((argument) => argument.startsWith('-'))
const words = process.argv.slice(2).filter((argument) => !argument.startsWith('-'))
const verbose = options.includes('--verbose')
const interop = options.includes('--interop')
/** Of which folder below test/ all files are run; without one, those of no folder that has a run of its own. */
const only = interop ? 'interop/' : options.includes('--long') ? 'long/' : undefined
const nodeOptions = options.filter((option) => !['--verbose', '--interop', '--long'].includes(option))

/** Leaders of the process groups under way. */
const children = new Set<number>()
let interrupted = false

process.exitCode = await main()

async function main(): Promise<number> {
  const missing = await missingRequirements()
  const files = testFiles().filter((file) => words.length === 0 || words.some((word) => file.includes(word)))
  if (interop) {
    const tools = [makePython, ...(files.some((file) => file.includes('tessera')) ? [makeFsck] : [])]
    for (const make of tools) await make().catch((error: unknown) => missing.push(String(error)))
  }
  if (missing.length > 0) {
    print([...missing, '', '0 passed, 1 failed'])
    return 1
  }
  if (files.length === 0) {
    print([`No test file has a path with ${words.join(' or ')}`, '', '0 passed, 1 failed'])
    return 1
  }

  const folder = mkdtempSync(join(tmpdir(), 'paraph-test-'))
  // The user of the database server passes through when this runs as root.
  if (process.getuid?.() === 0) chmodSync(folder, 0o711)
  process.env.TMPDIR = folder
  const server = await startTestServer().catch((error: unknown) => {
    rmSync(folder, { recursive: true, force: true })
    print([error instanceof Error ? error.message : String(error), '', '0 passed, 1 failed'])
  })
  if (server === undefined) return 1
  let cleaned: Promise<void> | undefined
  const cleanUp = () => {
    for (const pid of children) killGroup(pid)
    cleaned ??= server.stop().finally(() => rmSync(folder, { recursive: true, force: true }))
    return cleaned
  }
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
    process.once(signal, () => {
      interrupted = true
      void cleanUp().finally(() => process.exit(1))
    })
  }
  try {
    return report(await runAll(files, folder, server.url), folder)
  } finally {
    await cleanUp()
  }
}

/** By their sources, since .build keeps what was compiled from files that are gone. */
function testFiles(): string[] {
  return (readdirSync(join(root, 'test'), { recursive: true }) as string[])
    .filter((file) => file.endsWith('.test.ts'))
    .filter((file) => (only === undefined ? !/^(interop|long)\//.test(file) : file.startsWith(only)))
    .sort()
}

async function runAll(files: readonly string[], folder: string, url: string): Promise<FileResult[]> {
  writeFileSync(join(folder, 'secrets'), `database password\t${new URL(url).password}\n`, { mode: 0o600 })
  const env = {
    ...ownEnvironment(),
    PARAPH_TEST_PG: url,
    PARAPH_TEST_RUN: randomBytes(8).toString('hex'),
    PARAPH_TEST_SECRETS: join(folder, 'secrets'),
  }
  const results: FileResult[] = []
  const waiting = [...files.entries()]
  const work = async () => {
    for (let next = waiting.shift(); next !== undefined && !interrupted; next = waiting.shift()) {
      const [index, file] = next
      results.push(await runFile(file, join(folder, `output-${index}`), env))
    }
  }
  await Promise.all(Array.from({ length: AT_ONCE }, work))
  return results
}

/** Settings of whoever runs this must not reach what is tested. */
function ownEnvironment(): NodeJS.ProcessEnv {
  const foreign = /^(PARAPH_|PG|DATABASE_URL$|SOFTHSM2_CONF$|NODE_TEST_CONTEXT$)/
  return Object.fromEntries(Object.entries(process.env).filter(([name]) => !foreign.test(name)))
}

/** @param place where what it prints is kept */
async function runFile(file: string, place: string, env: NodeJS.ProcessEnv): Promise<FileResult> {
  const begun = performance.now()
  const compiled = join(root, '.build', 'test', file.replace(/\.ts$/, '.js'))
  // A file and not a pipe, which a process left behind would keep open.
  const output = openSync(place, 'w', 0o600)
  const args = ['--enable-source-maps', `--test-reporter=${reporter}`, `--test-reporter-destination=${place}.results`]
  const child = spawn(process.execPath, [...args, ...nodeOptions, compiled, ...(verbose ? ['--verbose'] : [])], {
    cwd: root,
    env: { ...env, PARAPH_TEST_LOGS: `${place}.log` },
    stdio: ['ignore', output, output],
    detached: true,
  })
  closeSync(output)
  const { pid } = child
  if (pid !== undefined) children.add(pid)
  let hung = false
  const timer = setTimeout(() => {
    hung = true
    if (pid !== undefined) killGroup(pid)
  }, LONGEST_MS)
  const status = await new Promise<string>((resolve) => {
    child.once('error', (error) => resolve(error.message))
    child.once('exit', (code, signal) => resolve(String(signal ?? code)))
  })
  clearTimeout(timer)
  if (pid !== undefined) {
    children.delete(pid)
    killGroup(pid)
  }

  const { passed, failures, forRoot, ended } = readResults(`${place}.results`)
  if (hung) failures.push(`was still running after ${LONGEST_MS / 60_000} minutes`)
  else if (!ended) failures.push(`ended with ${status} before its tests did`)
  else if (status !== '0' && failures.length === 0) failures.push(`ended with ${status}`)
  else if (passed + failures.length + forRoot.length === 0 && nodeOptions.length === 0) failures.push('holds no test')
  const [printed, log] = [readIfThere(place), readIfThere(`${place}.log`)]
  const result = { file, passed, failures, forRoot, output: printed, log }
  tell(result, performance.now() - begun)
  return result
}

function readResults(place: string): { passed: number; failures: string[]; forRoot: string[]; ended: boolean } {
  let passed = 0
  let ended = false
  const failures: string[] = []
  const forRoot: string[] = []
  // What follows the last line break was cut off with the process.
  for (const line of readIfThere(place).split('\n').slice(0, -1)) {
    const { result, name, told } = JSON.parse(line) as Omit<TestResult, 'result'> & {
      result: TestResult['result'] | 'end'
    }
    if (result === 'end') ended = true
    if (result === 'passed') passed += 1
    if (result === 'failed' || result === 'stray') failures.push(`${name}\n${indent(told)}`)
    if (result === 'skipped' && told === NEEDS_ROOT && process.getuid?.() !== 0) forRoot.push(name)
    else if (result === 'skipped') failures.push(`${name}\n    skipped: ${told}`)
  }
  return { passed, failures, forRoot, ended }
}

function tell({ file, passed, failures, output }: FileResult, took: number): void {
  const count = failures.length === 0 ? `${passed} passed` : `${passed} passed, ${failures.length} failed`
  print([`${failures.length === 0 ? 'ok    ' : 'FAILED'}  test/${file}  ${count}  ${(took / 1000).toFixed(1)} s`])
  for (const failure of failures) print([indent(failure)])
  if (output.trim() === '' || (failures.length === 0 && !verbose)) return
  const lines = output.trimEnd().split('\n')
  print(['    It printed:', indent(lines.slice(verbose ? 0 : -LINES_SHOWN).join('\n'))])
}

function report(results: readonly FileResult[], folder: string): number {
  const leaks = findLeaks(results, folder)
  const passed = results.reduce((sum, result) => sum + result.passed, 0)
  const failed = results.reduce((sum, result) => sum + result.failures.length, leaks.length)
  const summary = results.flatMap(({ file, failures }) =>
    failures.map((failure) => `test/${file}: ${failure.split('\n')[0]}`),
  )
  const forRoot = results.flatMap((result) => result.forRoot.map((name) => `test/${result.file}: ${name}`))
  if (forRoot.length > 0) print(['', 'Not run, since they need root:', ...forRoot])
  print(['', ...summary, ...leaks, `${passed} passed, ${failed} failed`])
  return failed === 0 ? 0 : 1
}

function findLeaks(results: readonly FileResult[], folder: string): string[] {
  const find = leakFinder(parseSecrets(readIfThere(join(folder, 'secrets'))))
  return results.flatMap(({ file, output, log }) => [
    ...find(output).map((kind) => `test/${file} printed a secret: ${kind}`),
    ...find(log).map((kind) => `the log of test/${file} holds a secret: ${kind}`),
  ])
}

function readIfThere(place: string): string {
  try {
    return readFileSync(place, 'utf8')
  } catch {
    return ''
  }
}

function killGroup(pid: number): void {
  try {
    process.kill(-pid, 'SIGKILL')
  } catch {
    // It is empty.
  }
}

function indent(text: string): string {
  return text.replace(/^(?=.)/gm, '    ')
}

function print(lines: readonly string[]): void {
  process.stdout.write(`${lines.join('\n')}\n`)
}
