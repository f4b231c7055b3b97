import { parseCheck, parseJson, parseOutcomes } from './expectation.js'
import { type Block, blocksOf, type Line, linesOf, SuiteError } from './lines.js'
import { isValue } from './make-value.js'
import type { Count, RequestTemplate, Scenario, Statement, Version } from './statement.js'
import { type Json, mergePatch, namesIn } from './values.js'

/** Lines that a step's name stands for. */
export interface Step {
  readonly pattern: RegExp
  readonly parameters: readonly string[]
  readonly body: readonly Line[]
  readonly line: Line
}

/** A scenario as it stands in its file, before its steps are put in. */
export interface ScenarioText {
  readonly file: string
  readonly name: string
  readonly headings: ReadonlyMap<string, string>
  readonly body: readonly Line[]
  readonly line: Line
}

const HEADINGS = ['clause', 'why', 'needs']

export interface FileText {
  readonly scenarios: readonly ScenarioText[]
  readonly steps: readonly Step[]
  /** What a name stands for in every scenario, unless the adapter says otherwise. */
  readonly names: ReadonlyMap<string, Json>
}

/** What a file holds. @throws SuiteError */
export function parseFile(file: string, text: string): FileText {
  const scenarios: ScenarioText[] = []
  const steps: Step[] = []
  const names = new Map<string, Json>()
  for (const { head, below } of blocksOf(linesOf(file, text))) {
    const [, kind, name = ''] = /^(scenario: |step: |names:$)(.*)$/.exec(head.text) ?? []
    if (head.indent > 0 || kind === undefined) throw new SuiteError(head, 'not `scenario: …`, `step: …` or `names:`')
    if (below.length === 0) throw new SuiteError(head, 'nothing stands below it')
    if (kind === 'step: ') steps.push(stepOf(head, name, below))
    else if (kind === 'scenario: ') scenarios.push(scenarioOf(file, head, name, below))
    else for (const line of below) names.set(...nameOf(line))
  }
  return { scenarios, steps, names }
}

function nameOf(line: Line): [string, Json] {
  const [, name, value] = /^(\w+) = (.+)$/.exec(line.text) ?? []
  if (name === undefined || value === undefined) throw new SuiteError(line, 'not `name = "value"`')
  return [name, parseJson(line, value)]
}

function stepOf(line: Line, name: string, body: readonly Line[]): Step {
  const parameters = [...name.matchAll(/<([a-zA-Z]+)>/g)].map((match) => match[1] as string)
  const words = name.split(/<[a-zA-Z]+>/).map((part) => part.replace(/[.*+?^${}()|[\]\\]/g, '\\$&'))
  return { pattern: new RegExp(`^${words.join('(.+?)')}$`), parameters, body, line }
}

function scenarioOf(file: string, line: Line, name: string, lines: readonly Line[]): ScenarioText {
  const headings = new Map<string, string>()
  let at = 0
  for (; at < lines.length; at++) {
    const [, heading, value] = /^([a-z ]+): (.+)$/.exec(lines[at]?.text ?? '') ?? []
    if (heading === undefined || value === undefined || !HEADINGS.includes(heading)) break
    // A heading may be given again, to go on in another line.
    headings.set(heading, [headings.get(heading), value].filter((part) => part !== undefined).join(' '))
  }
  if (!headings.has('clause')) throw new SuiteError(line, 'a scenario says the clause it comes from: `clause: …`')
  return { file, name, headings, body: lines.slice(at), line }
}

/** A scenario with its steps put in, for one version. @throws SuiteError */
export function scenarioFor(
  version: Version,
  text: ScenarioText,
  steps: readonly Step[],
  names: ReadonlyMap<string, Json>,
): Scenario {
  const body = expand(text.body, steps)
  const statements = parseStatements(body)
  const requests = statements.flatMap((one) => ('request' in one ? [one.request] : []))
  const declared = (text.headings.get('needs') ?? '').split(/, */).filter((need) => need !== '')
  requireDeclared(text, body, declared)
  return {
    version,
    file: text.file,
    name: text.name,
    clause: text.headings.get('clause') ?? '',
    why: text.headings.get('why') ?? '',
    needs: [...declared, ...TAKEN.flatMap(([how, need]) => (body.some((one) => how.test(one.text)) ? [need] : []))],
    methods: [...new Set(requests.map(({ path }) => path).filter((path) => !/^(\/|oauth2\/|info$)/.test(path)))],
    oauth: requests.some(({ path }) => path.startsWith(OAUTH)),
    names,
    statements,
    line: text.line,
  }
}

const OAUTH = 'oauth2/'

/** Every adapter that can do anything can do these; a scenario need not say that it takes them. */
const TAKEN: readonly (readonly [how: RegExp, need: string])[] = [
  [/\bcodes? of signer\b/, 'code'],
  [/^signer \w+ says (yes|no)\b.* at /, 'oauth'],
]

/** So that a reader sees what a scenario takes, and no adapter is asked for what it does not have. */
function requireDeclared({ line }: ScenarioText, body: readonly Line[], declared: readonly string[]): void {
  const used = new Set<string>()
  for (const { text } of body) {
    for (const name of namesIn(text)) if (/^(one|two|three|app|other)\./.test(name)) used.add(name)
    const signer = /\b(?:of )?signer (two|three)\b/.exec(text)?.[1]
    if (signer !== undefined) used.add(signer)
    if (/ \d+ steps? (ago|ahead)$/.test(text)) used.add('steps')
    if (/= recorded signer of /.test(text)) used.add('record')
    const action = /^adapter: ([\w-]+)/.exec(text)?.[1]
    if (action !== undefined) used.add(action)
  }
  // Everybody has a login, and signer one is always there.
  const owner = (name: string) => name.split('.')[0] as string
  const covered = (name: string) =>
    (/\.(login|password)$/.test(name) && ['one', ...declared.map(owner)].includes(owner(name))) ||
    (/^(app|other)\./.test(name) && declared.includes(owner(name))) ||
    declared.some((need) => need === name || need.startsWith(`${name}.`))
  const missing = [...used].filter((name) => !covered(name))
  if (missing.length > 0) throw new SuiteError(line, `used, and not named in \`needs:\`: ${missing.join(', ')}`)
}

const DEEPEST = 8

function expand(lines: readonly Line[], steps: readonly Step[], depth = 0): Line[] {
  return lines.flatMap((line) => {
    const found = steps.filter(({ pattern }) => pattern.test(line.text))
    const [step] = found
    if (step === undefined) return [line]
    if (found.length > 1)
      throw new SuiteError(line, `may be the step of ${found.map((one) => one.line.number).join(' or ')}`)
    if (depth === DEEPEST) throw new SuiteError(line, 'steps within steps without end')
    const given = step.pattern.exec(line.text)?.slice(1) ?? []
    const put = (text: string) =>
      step.parameters.reduce((told, name, i) => told.replaceAll(`<${name}>`, given[i] as string), text)
    const inner = (step.body[0] as Line).indent
    const body = step.body.map((one) => ({
      ...one,
      text: put(one.text),
      indent: one.indent - inner + line.indent,
      calledFrom: line,
    }))
    return expand(body, steps, depth + 1)
  })
}

function parseStatements(lines: readonly Line[]): Statement[] {
  const statements = blocksOf(lines).map(parseStatement)
  for (const [index, one] of statements.entries()) {
    const next = statements[index + 1]
    const looks = ['expect', 'remember', 'alike']
    if ((one.kind === 'request' || one.kind === 'answer') && !looks.includes(next?.kind ?? ''))
      throw new SuiteError(one.line, 'nobody looks at the answer: `expect …` comes next')
    if (one.kind === 'requests' && next?.kind !== 'tally')
      throw new SuiteError(one.line, 'nobody counts the answers: `exactly 1 answers …` comes next')
  }
  return statements
}

const REQUEST = /^(GET|POST) (\S+)(?: as (\S+))?$/
const ANSWER = /^signer (\w+) says (yes|no)(?: with code (\S+))? at (oauth2\/\S+)$/
const REQUESTS = /^(in parallel|one after another) (\d+) times(?:, \{(\w+)\} from (\{[\w.]+\}))?$/
const TALLY = /^(?:(exactly|at least) (\d+|\{[\w.]+\}) answers?|(all|all others) (?:are|answer)|(no answer) is) (.+)$/

function parseStatement({ head: line, below }: Block): Statement {
  const { text } = line
  if (REQUEST.test(text)) return { kind: 'request', line, request: parseRequest(line, below) }
  const [, signer, answer, code, path] = ANSWER.exec(text) ?? []
  if (signer !== undefined)
    return {
      kind: 'answer',
      line,
      signer,
      yes: answer === 'yes',
      code,
      request: parseRequest({ ...line, text: `GET ${path}` }, below),
    }
  const [, how, times, name, list] = REQUESTS.exec(text) ?? []
  if (how !== undefined) {
    const [block, ...more] = blocksOf(below)
    if (block === undefined || more.length > 0 || !REQUEST.test(block.head.text))
      throw new SuiteError(line, 'one request stands below it')
    return {
      kind: 'requests',
      line,
      request: parseRequest(block.head, block.below),
      times: Number(times),
      parallel: how === 'in parallel',
      each: name === undefined || list === undefined ? undefined : { name, list },
    }
  }
  const [, expected, within = '0'] = /^expect (.+?)(?: within (\d+) seconds)?$/.exec(text) ?? []
  if (expected !== undefined) {
    const outcomes = parseOutcomes(line, expected)
    return { kind: 'expect', line, outcomes, within: Number(within), checks: below.map(parseCheck) }
  }
  if (below.length > 0) throw new SuiteError(below[0] as Line, 'nothing may stand below that')
  return parseSimple(line)
}

function parseSimple(line: Line): Statement {
  const { text } = line
  const [, kind, number, every, none, outcomes] = TALLY.exec(text) ?? []
  if (outcomes !== undefined) {
    const count: Count =
      kind === 'exactly' || kind === 'at least'
        ? { kind, number: number as string }
        : { kind: none !== undefined ? 'no' : every === 'all' ? 'all' : 'others' }
    return { kind: 'tally', line, count, outcomes: parseOutcomes(line, outcomes) }
  }
  const [, variable, value] = /^let ([\w.]+) = (.+)$/.exec(text) ?? []
  if (variable !== undefined && value !== undefined) {
    if (!isValue(value)) throw new SuiteError(line, `not a value: ${value}`)
    return { kind: 'let', line, name: variable, value }
  }
  const remembered = /^remember the answer as (\w+)$/.exec(text)?.[1]
  if (remembered !== undefined) return { kind: 'remember', line, name: remembered }
  const alike = /^the answer is like (\w+)$/.exec(text)?.[1]
  if (alike !== undefined) return { kind: 'alike', line, name: alike }
  const [, left, not, right] = /^check (.+?) is (not )?(.+)$/.exec(text) ?? []
  if (left !== undefined && right !== undefined)
    return { kind: 'check', line, left: parseJson(line, left), right: parseJson(line, right), same: not === undefined }
  const [, action, argument = ''] = /^adapter: ([\w-]+)(?: (.+))?$/.exec(text) ?? []
  if (action !== undefined) return { kind: 'adapter', line, action, argument }
  const [, signatures, digests, certificate, scheme] =
    /^verify (.+) over (.+) with (.+) as (rsa|pss|ecdsa)$/.exec(text) ?? []
  if (signatures !== undefined)
    return {
      kind: 'verify',
      line,
      signatures: parseJson(line, signatures),
      digests: parseJson(line, digests as string),
      certificate: parseJson(line, certificate as string),
      scheme: scheme as 'rsa' | 'pss' | 'ecdsa',
    }
  if (text === 'no answer so far shows a secret') return { kind: 'secrets', line }
  throw new SuiteError(line, `not a statement, and no step has that name: ${text}`)
}

const JSON_BELOW = /^(form |query |)[{[]/

function parseRequest(line: Line, below: readonly Line[]): RequestTemplate {
  const [, method, path, bearer] = REQUEST.exec(line.text) ?? []
  const headers: [string, string][] = []
  let query: RequestTemplate['query']
  let body: RequestTemplate['body']
  const change = (one: Line, patch: string): boolean => {
    const by = () => parseJson(one, patch)
    if (body !== undefined && 'json' in body) body = { json: mergePatch(body.json, by()) }
    else if (body !== undefined && 'form' in body) body = { form: mergePatch(body.form, by()) }
    else if (body === undefined && query !== undefined) query = mergePatch(query, by())
    else return false
    return true
  }
  let at = 0
  for (; at < below.length; at++) {
    const one = below[at] as Line
    const [, name, value = ''] = /^header ([\w-]+): (.*)$/.exec(one.text) ?? []
    const [, raw] = /^body (.+)$/.exec(one.text) ?? []
    const [, patch] = /^changed by (.+)$/.exec(one.text) ?? []
    const [, kind = ''] = JSON_BELOW.exec(one.text) ?? []
    if (name !== undefined) headers.push([name, value])
    else if (raw !== undefined && body === undefined) body = { text: raw }
    else if (patch !== undefined && change(one, patch)) continue
    else if (JSON_BELOW.test(one.text) && (kind === 'query ' ? query : body) === undefined) {
      const end = endOfJson(below, at)
      const text = below.slice(at, end).map((part) => part.text)
      const value = parseJson(one, text.join('\n').slice(kind.length))
      if (kind === 'query ') query = value
      else body = kind === 'form ' ? { form: value } : { json: value }
      at = end - 1
    } else throw new SuiteError(one, 'not a header, a body or `changed by {…}`')
  }
  return { method: method as string, path: path as string, bearer, headers, query, body }
}

/** Where the JSON ends that begins in a line: after the first line that closes all its brackets. */
function endOfJson(lines: readonly Line[], from: number): number {
  let open = 0
  for (let at = from; at < lines.length; at++) {
    const bare = (lines[at]?.text ?? '').replace(/"(?:[^"\\]|\\.)*"/g, '')
    open += (bare.match(/[{[]/g) ?? []).length - (bare.match(/[}\]]/g) ?? []).length
    if (open <= 0) return at + 1
  }
  throw new SuiteError(lines[from] as Line, 'brackets that nobody closes')
}
