import { existsSync, readFileSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { Command } from 'commander'
import { type Adapter, startAdapter } from '../conformance/adapter.js'
import { SuiteError } from '../conformance/lines.js'
import { countStates, junitOf, linesOfResult } from '../conformance/report.js'
import type { Scenario, Version } from '../conformance/statement.js'
import { VERSIONS } from '../conformance/statement.js'
import { loadSuite, parseDeviations, type Result, runSuite } from '../conformance/suite.js'

interface ConformanceOptions {
  readonly url: string[]
  readonly adapter: string
  readonly only?: string[]
  readonly junit?: string
  readonly deviations?: string
  readonly json?: true
}

const HELP = `
Asks the server like any signing application, and compares its answers with what the CSC specification says and with
what went wrong in other servers. The scenarios are text files: see conformance/README.md.

The adapter is a program of yours that says what a server keeps out of band: logins, one-time codes. For a Paraph demo
it is there already.

Signs with real credentials. Do not point it at a service whose signers mean what they sign.

Examples:
  paraph conformance --url http://127.0.0.1:8080 --adapter conformance/adapters/paraph-demo.mjs
  paraph conformance --url https://sign.example.test --adapter ./adapter --only v2 abuse --junit report.xml

Exit status: 0 nothing failed, 1 something did, 2 wrong usage.`

/** Adds `paraph conformance`, which asks any CSC server. */
export function registerConformance(program: Command): void {
  program
    .command('conformance')
    .summary('test any CSC server, from outside')
    .description('Tests a server against the CSC specification, v1 and v2, and against known abuses.')
    .requiredOption('--url <URL...>', 'where the server is, without /csc/…; several: replicas, asked in turn')
    .requiredOption('--adapter <FILE>', 'program that knows what the server keeps out of band')
    .option('--only <WORD...>', 'v1, v2, or words of file names and scenarios')
    .option('--junit <FILE>', 'write a report in JUnit XML')
    .option('--deviations <FILE>', 'known deviations, a line `scenario: reason` each, which do not fail')
    .option('--json', 'print the result as JSON')
    .addHelpText('after', HELP)
    .action(conformance)
}

async function conformance(options: ConformanceOptions, command: Command): Promise<void> {
  const { json, only = [], junit } = options
  for (const url of options.url) {
    if (!/^https?:\/\/[^/]/.test(url)) command.error(`error: not an address: ${url}`, { exitCode: 2 })
  }
  if (!existsSync(options.adapter)) command.error(`error: ${options.adapter} does not exist`, { exitCode: 2 })
  const scenarios = loadSuite(suiteFolder())
  const deviations = readDeviations(options.deviations, scenarios, command)
  const versions = VERSIONS.filter((version) => only.includes(version))
  const selection = {
    versions: versions.length === 0 ? VERSIONS : versions,
    words: only.filter((word) => !VERSIONS.includes(word as Version)),
  }
  const results: Result[] = []
  const adapter: Adapter = startAdapter(options.adapter)
  try {
    for await (const result of runSuite({ urls: options.url, adapter }, scenarios, selection, deviations)) {
      results.push(result)
      if (!json) process.stdout.write(`${linesOfResult(result).join('\n')}\n`)
    }
  } finally {
    await adapter.close()
    // Also of a run that ended early.
    if (junit !== undefined) writeFileSync(junit, junitOf(results))
  }
  const counts = countStates(results)
  const ran = counts.passed + counts.failed + counts.deviation > 0
  if (json)
    process.stdout.write(
      `${JSON.stringify({ ok: ran && counts.failed === 0, counts, results: results.map(inJson) })}\n`,
    )
  else process.stdout.write(`\n${verdictOf(counts, deviations, results).join('\n')}\n`)
  if (!ran || counts.failed > 0) process.exitCode = 1
}

function readDeviations(file: string | undefined, scenarios: readonly Scenario[], command: Command) {
  if (file === undefined) return new Map<string, string>()
  try {
    return parseDeviations(file, readFileSync(file, 'utf8'), scenarios)
  } catch (error) {
    if (error instanceof SuiteError) command.error(`error: ${error.message}`, { exitCode: 2 })
    throw error
  }
}

function inJson({ scenario, verdict, milliseconds }: Result) {
  const { version, file, name, clause } = scenario
  return { version, file, name, clause, ...verdict, milliseconds: Math.round(milliseconds) }
}

function verdictOf(
  counts: ReturnType<typeof countStates>,
  deviations: ReadonlyMap<string, string>,
  results: readonly Result[],
): string[] {
  const told = Object.entries(counts)
    .filter(([, count]) => count > 0)
    .map(([state, count]) => `${count} ${state}`)
  const needless = results.filter(
    ({ scenario, verdict }) => verdict.state === 'passed' && deviations.has(`${scenario.version} ${scenario.name}`),
  )
  return [
    ...needless.map(({ scenario }) => `${scenario.version} ${scenario.name}: is declared as a deviation, and passes`),
    told.length === 0 ? 'Nothing was run: no scenario has these words.' : `${told.join(', ')}.`,
  ]
}

/** Of the package this module belongs to, wherever it was compiled to. */
function suiteFolder(): string {
  let folder = dirname(fileURLToPath(import.meta.url))
  while (!existsSync(join(folder, 'package.json'))) folder = dirname(folder)
  return join(folder, 'conformance')
}
