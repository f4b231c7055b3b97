import { readdirSync, readFileSync, statSync } from 'node:fs'
import { join } from 'node:path'
import { beginScenario, lacking } from './adapter.js'
import { SuiteError } from './lines.js'
import { parseFile, type ScenarioText, type Step, scenarioFor } from './parse.js'
import { type Failure, runScenario, type Server } from './run-scenario.js'
import { send } from './send.js'
import { type Scenario, VERSIONS, type Version } from './statement.js'
import { type Json, valueAt } from './values.js'

/** What became of a scenario. */
export type Verdict =
  | { readonly state: 'passed' }
  | { readonly state: 'failed'; readonly failure: Failure }
  /** It failed, as somebody has declared. */
  | { readonly state: 'deviation'; readonly reason: string; readonly failure: Failure }
  | { readonly state: 'not offered' | 'not run'; readonly reason: string }

export interface Result {
  readonly scenario: Scenario
  readonly verdict: Verdict
  readonly milliseconds: number
}

export interface Selection {
  readonly versions: readonly Version[]
  /** Only scenarios whose file or name holds one of these; all when empty. */
  readonly words: readonly string[]
}

/** Folders whose scenarios are for one version; all others are for both. */
const OF_ONE_VERSION: Readonly<Record<string, Version>> = { v1: 'v1', v2: 'v2' }
const STEPS = 'steps.txt'

/**
 * Every scenario below a folder, in the order of files, for every version it is for. The words of a version for the steps
 * that both share stand in `v1/steps.txt` and `v2/steps.txt`.
 * @throws SuiteError naming file and line
 */
export function loadSuite(folder: string): Scenario[] {
  const parsed = filesBelow(folder).map((file) => ({
    file,
    ...parseFile(file, readFileSync(join(folder, file), 'utf8')),
  }))
  const scenarios = VERSIONS.flatMap((version) => {
    const steps: Step[] = []
    const texts: ScenarioText[] = []
    const names = new Map<string, Json>()
    for (const one of parsed) {
      const only = OF_ONE_VERSION[one.file.split('/')[0] as string]
      if (only !== undefined && only !== version) continue
      steps.push(...one.steps)
      texts.push(...one.scenarios)
      for (const [name, value] of one.names) names.set(name, value)
    }
    return texts.map((text) => scenarioFor(version, text, steps, names))
  })
  const names = new Set<string>()
  for (const { version, name, line } of scenarios) {
    if (names.has(`${version} ${name}`)) throw new SuiteError(line, `a second scenario of this name: ${name}`)
    names.add(`${version} ${name}`)
  }
  return scenarios
}

function filesBelow(folder: string, under = ''): string[] {
  const names = readdirSync(join(folder, under)).sort(
    (a, b) => Number(b === STEPS) - Number(a === STEPS) || (a < b ? -1 : 1),
  )
  return names.flatMap((name) => {
    const path = under === '' ? name : `${under}/${name}`
    if (statSync(join(folder, path)).isDirectory()) return filesBelow(folder, path)
    return path.endsWith('.txt') && under !== '' ? [path] : []
  })
}

/** `NAME: why`, a line each; a name may begin with `v1 ` or `v2 `. @throws SuiteError for a name that no scenario has */
export function parseDeviations(file: string, text: string, scenarios: readonly Scenario[]): Map<string, string> {
  const deviations = new Map<string, string>()
  for (const [index, line] of text.split(/\r?\n/).entries()) {
    const content = line.trim()
    if (content === '' || content.startsWith('#')) continue
    const where = `${file}:${index + 1}`
    const named = scenarios.filter(({ version, name }) =>
      [`${name}: `, `${version} ${name}: `].some((start) => content.startsWith(start)),
    )
    if (named.length === 0) throw new SuiteError(where, `no scenario has this name, or no reason follows: ${content}`)
    for (const { version, name } of named)
      deviations.set(`${version} ${name}`, content.slice(content.indexOf(`${name}: `) + name.length + 2))
  }
  return deviations
}

/** Runs what is selected, one scenario after another, and tells each result as it comes. @throws Error when nothing answers */
export async function* runSuite(
  server: Server,
  scenarios: readonly Scenario[],
  { versions, words }: Selection,
  deviations: ReadonlyMap<string, string> = new Map(),
): AsyncGenerator<Result> {
  const wanted = words.map((word) => word.toLowerCase())
  for (const version of VERSIONS.filter((one) => versions.includes(one))) {
    const selected = scenarios.filter(({ version: its, file, name }) => {
      const id = `${file} ${name}`.toLowerCase()
      return its === version && (wanted.length === 0 || wanted.some((word) => id.includes(word)))
    })
    if (selected.length === 0) continue
    const offer = await offerOf(server, version)
    for (const scenario of selected) {
      const begun = performance.now()
      const verdict = await judge(server, scenario, offer, deviations.get(`${version} ${scenario.name}`))
      yield { scenario, verdict, milliseconds: performance.now() - begun }
    }
  }
}

/** What `info` says of a version. */
interface Offer {
  readonly methods: readonly Json[]
  /** Where its OAuth server is. */
  readonly oauth: string | undefined
}

/** Undefined where this version is not served. */
async function offerOf({ urls }: Server, version: Version): Promise<Offer | undefined> {
  const url = `${(urls[0] as string).replace(/\/+$/, '')}/csc/${version}/info`
  const answer = await send({ method: 'POST', url, headers: { 'content-type': 'application/json' }, body: '{}' })
  const [methods, oauth] = ['methods', 'oauth2'].map((name) => valueAt(answer.json, [name]))
  if (answer.status !== 200 || !Array.isArray(methods)) return undefined
  return { methods, oauth: typeof oauth === 'string' ? oauth : undefined }
}

async function judge(
  server: Server,
  scenario: Scenario,
  offer: Offer | undefined,
  reason: string | undefined,
): Promise<Verdict> {
  if (offer === undefined) return { state: 'not offered', reason: `info of ${scenario.version} names no methods` }
  const missing = scenario.methods.filter((method) => !offer.methods.includes(method))
  if (missing.length > 0) return { state: 'not offered', reason: `info does not name ${missing.join(', ')}` }
  const world = await beginScenario(server.adapter, scenario.version, scenario.name, scenario.needs)
  const lack = lacking(world, ['one', ...scenario.needs])
  if (lack !== undefined) return { state: 'not run', reason: `the adapter has no ${lack}` }
  if (scenario.oauth && offer.oauth === undefined && world.names.oauth2 === undefined)
    return { state: 'not offered', reason: 'info does not name oauth2' }
  const failure = await runScenario(server, scenario, world, offer.oauth)
  if (failure === undefined) return { state: 'passed' }
  return reason === undefined ? { state: 'failed', failure } : { state: 'deviation', reason, failure }
}
