import { setTimeout as pause } from 'node:timers/promises'
import type { Adapter, World } from './adapter.js'
import { Documents } from './documents.js'
import { type Answer, describeOutcomes, faultOf, isOneOf, type Outcome, partOf } from './expectation.js'
import { type Line, place } from './lines.js'
import { type Makers, makeValue } from './make-value.js'
import { Secrets } from './secrets.js'
import { type Request, send } from './send.js'
import type { Count, RequestTemplate, Scenario, Statement } from './statement.js'
import { fill, fillText, type Json, sameJson, UnknownName, type Values, valueAt } from './values.js'

export interface Server {
  /** Addresses of the server without `/csc/…`; requests go to each in turn. */
  readonly urls: readonly string[]
  readonly adapter: Adapter
  /** Seconds for which an answer that may come later is waited for at most; as long as scenarios say, unless given. */
  readonly patience?: number
  /** Hears of every secret that shows up. */
  readonly onSecret?: (value: string) => void
}

/** How a scenario failed, with secrets masked. */
export interface Failure {
  readonly place: string
  readonly statement: string
  readonly fault: string
  /** The last request, and its answer; absent where it is not about one. */
  readonly request?: string
  readonly answer?: string
}

interface Exchange {
  readonly request: Request
  readonly answer: Answer
}

class StepFailure extends Error {
  readonly exchange: Exchange | undefined
  constructor(fault: string, exchange?: Exchange) {
    super(fault)
    this.exchange = exchange
  }
}

/**
 * Runs one scenario to its end or its first failure; undefined when everything was as it says.
 * @param oauth where the OAuth server is, as `info` says
 */
export async function runScenario(
  server: Server,
  scenario: Scenario,
  world: World,
  oauth: string | undefined,
): Promise<Failure | undefined> {
  const run = new ScenarioRun(server, scenario, world, oauth)
  for (const statement of scenario.statements) {
    try {
      await run.do(statement)
    } catch (error) {
      return run.failure(statement.line, error)
    }
  }
  return undefined
}

/** Between two requests for an answer that may come later. */
const AGAIN_MS = 100
/** Shown of a request or an answer. */
const SHOWN = 1500

class ScenarioRun {
  readonly #server: Server
  readonly #scenario: Scenario
  readonly #values: Map<string, Json>
  readonly #remembered = new Map<string, Answer>()
  readonly #documents = new Documents()
  readonly #secrets: Secrets
  readonly #exchanges: Exchange[] = []
  readonly #can: readonly string[]
  readonly #makers: Makers
  #last: Exchange[] = []
  /** Of the last ones, those that a count has named already. */
  #counted = new Set<Exchange>()
  #sent = 0

  constructor(server: Server, scenario: Scenario, world: World, oauth: string | undefined) {
    this.#server = server
    this.#scenario = scenario
    this.#secrets = new Secrets(server.onSecret)
    this.#can = world.can
    this.#values = new Map(scenario.names).set('version', scenario.version)
    if (oauth !== undefined) this.#values.set('oauth2', oauth)
    for (const [name, value] of Object.entries(world.names)) this.#values.set(name, value)
    for (const [name, facts] of Object.entries(world.signers)) {
      this.#values.set(name, facts)
      for (const [fact, value] of Object.entries(facts))
        if (/password|secret|pin$/i.test(fact) && typeof value === 'string') this.#secrets.add(fact, value)
    }
    this.#makers = {
      values: this.#values,
      documents: this.#documents,
      secrets: this.#secrets,
      adapter: server.adapter,
      tokenOf: (signer) => this.#token(signer),
    }
  }

  failure(line: Line, error: unknown): Failure {
    const mask = (text: string) => this.#secrets.mask(text)
    const message = error instanceof UnknownName ? `there is no {${error.message}}` : (error as Error).message
    const shown = (text: string) =>
      text.length <= SHOWN ? text : `${text.slice(0, SHOWN)}… (${text.length} characters)`
    const exchange = error instanceof StepFailure ? error.exchange : undefined
    const told = { place: place(line), statement: mask(line.text), fault: mask(message) }
    if (exchange === undefined) return told
    const { request, answer } = exchange
    const type = answer.headers.get('content-type')
    return {
      ...told,
      request: shown(mask([request.method, request.url, request.body].filter((part) => part !== undefined).join(' '))),
      answer: shown(mask([answer.status, type ?? '(no content type)', answer.text].join(' '))),
    }
  }

  async do(statement: Statement): Promise<void> {
    switch (statement.kind) {
      case 'request':
        return this.#keep([await this.#exchange(this.#fill(statement.request))])
      case 'requests':
        return await this.#many(statement)
      case 'answer':
        return await this.#answered(statement)
      case 'expect':
        return await this.#expect(statement)
      case 'tally':
        return this.#tally(statement.count, statement.outcomes)
      case 'let':
        this.#values.set(statement.name, await makeValue(this.#makers, statement.value))
        return
      case 'remember':
        return this.#remember(statement.name, this.#answer().answer)
      case 'alike':
        return this.#alike(statement.name)
      case 'check': {
        const [left, right] = [statement.left, statement.right].map((one) => fill(one, this.#values))
        if (sameJson(left, right) !== statement.same)
          throw new StepFailure(`${JSON.stringify(left)} and ${JSON.stringify(right)}`)
        return
      }
      case 'adapter': {
        const argument = fillText(statement.argument, this.#values)
        await this.#server.adapter.ask({ ask: statement.action, ...(argument === '' ? {} : { of: argument }) })
        return
      }
      case 'verify':
        return this.#verify(statement)
      case 'secrets':
        return this.#showNoSecret()
    }
  }

  #keep(exchanges: Exchange[]): void {
    this.#last = exchanges
    this.#counted = new Set()
    this.#exchanges.push(...exchanges)
    for (const { answer } of exchanges) this.#secrets.addFrom(answer)
  }

  #answer(): Exchange {
    const [exchange] = this.#last
    if (exchange === undefined) throw new StepFailure('nothing was asked before')
    return exchange
  }

  /** For `the answer is like …`, and as values: `{NAME.status}` and the members of the body. */
  #remember(name: string, answer: Answer): void {
    this.#remembered.set(name, answer)
    const body = typeof answer.json === 'object' && answer.json !== null ? answer.json : {}
    this.#values.set(name, { status: answer.status, ...body })
  }

  #fill({ method, path, bearer, headers, query, body }: RequestTemplate, own?: readonly [string, Json]): Request {
    const values = own === undefined ? this.#values : new Map(this.#values).set(own[0], own[1])
    const [type, text] = bodyOf(body, values)
    return {
      method,
      url: this.#url(fillText(path, values)) + (query === undefined ? '' : `?${formOf(query, values)}`),
      headers: {
        ...(type === undefined ? {} : { 'content-type': type }),
        ...(bearer === undefined ? {} : { authorization: `Bearer ${fillText(bearer, values)}` }),
        ...Object.fromEntries(headers.map(([name, value]) => [name.toLowerCase(), fillText(value, values)])),
      },
      body: text,
    }
  }

  #url(path: string): string {
    const { urls } = this.#server
    const url = (urls[this.#sent++ % urls.length] as string).replace(/\/+$/, '')
    if (path.startsWith('/')) return `${url}${path}`
    if (!path.startsWith('oauth2/')) return `${url}/csc/${this.#scenario.version}/${path}`
    const base = fillText('{oauth2}', this.#values).replace(/\/+$/, '')
    return `${base === '' || base.startsWith('/') ? url : ''}${base}/${path}`
  }

  /** What the browser of a signer does meanwhile, the adapter knows; here only where it is sent in the end counts. */
  async #answered({ signer, yes, code, request }: Extract<Statement, { kind: 'answer' }>): Promise<void> {
    const filled = this.#fill(request)
    const question = { ask: 'oauth', signer, url: filled.url, answer: yes ? 'yes' : 'no' }
    const given = code === undefined ? {} : { code: fillText(code, this.#values) }
    const { to } = await this.#server.adapter.ask({ ...question, ...given })
    const sent = typeof to === 'string'
    const headers = new Headers(sent ? { location: to } : {})
    this.#keep([{ request: filled, answer: { status: sent ? 302 : 200, headers, text: '', json: undefined } }])
  }

  async #exchange(request: Request): Promise<Exchange> {
    return { request, answer: await send(request) }
  }

  async #many({ request, times, parallel, each }: Extract<Statement, { kind: 'requests' }>): Promise<void> {
    const list = each === undefined ? undefined : fill(each.list, this.#values)
    if (list !== undefined && (!Array.isArray(list) || list.length === 0)) throw new StepFailure('not a list')
    const filled = Array.from({ length: times }, (_, i) =>
      this.#fill(request, list === undefined ? undefined : [each?.name as string, list[i % list.length] as Json]),
    )
    const exchanges: Exchange[] = []
    if (parallel) exchanges.push(...(await Promise.all(filled.map((one) => this.#exchange(one)))))
    else for (const one of filled) exchanges.push(await this.#exchange(one))
    this.#keep(exchanges)
  }

  async #expect({ outcomes, within, checks }: Extract<Statement, { kind: 'expect' }>): Promise<void> {
    const last = performance.now() + Math.min(within, this.#server.patience ?? within) * 1000
    while (!isOneOf(this.#answer().answer, outcomes, this.#values) && performance.now() < last) {
      await pause(AGAIN_MS)
      this.#keep([await this.#exchange(this.#answer().request)])
    }
    const exchange = this.#answer()
    const { answer } = exchange
    if (!isOneOf(answer, outcomes, this.#values))
      throw new StepFailure(`the answer is ${answer.status}, not ${describeOutcomes(outcomes)}`, exchange)
    for (const check of checks) {
      const fault = faultOf(check, answer, this.#values)
      if (fault !== undefined) {
        const what = `${check.of === 'body' ? '' : `${check.of} `}${check.path}`.trim() || 'the body'
        throw new StepFailure(`line ${check.line.number}: ${what} ${fault}`, exchange)
      }
      const part = partOf(check, answer)
      if (check.savedAs !== undefined && part !== undefined) this.#values.set(check.savedAs, part)
    }
  }

  #tally(count: Count, outcomes: readonly Outcome[]): void {
    const considered = count.kind === 'others' ? this.#last.filter((one) => !this.#counted.has(one)) : this.#last
    const [fitting, others] = [true, false].map((fits) =>
      considered.filter(({ answer }) => isOneOf(answer, outcomes, this.#values) === fits),
    ) as [Exchange[], Exchange[]]
    const told = `${fitting.length} of ${considered.length} answered ${describeOutcomes(outcomes)}`
    const wanted = 'number' in count ? Number(fillText(count.number, this.#values)) : 0
    const right =
      count.kind === 'exactly'
        ? fitting.length === wanted
        : count.kind === 'at least'
          ? fitting.length >= wanted
          : count.kind === 'no'
            ? fitting.length === 0
            : others.length === 0
    if (!right) throw new StepFailure(told, (count.kind === 'no' ? fitting : others)[0] ?? fitting[0])
    for (const one of fitting) this.#counted.add(one)
  }

  /** Status, body, and which headers there are: a difference would tell the two apart. */
  #alike(name: string): void {
    const before = this.#remembered.get(name)
    if (before === undefined) throw new StepFailure(`no answer was remembered as ${name}`)
    const exchange = this.#answer()
    const seen = ({ status, text, headers }: Answer) => ({ status, text, headers: [...headers.keys()].sort().join() })
    const [one, other] = [seen(before), seen(exchange.answer)]
    for (const part of ['status', 'text', 'headers'] as const)
      if (one[part] !== other[part]) throw new StepFailure(`the answers differ: ${one[part]} before`, exchange)
  }

  #verify({ signatures, digests, certificate, scheme }: Extract<Statement, { kind: 'verify' }>): void {
    const [given, over, by] = [signatures, digests, certificate].map((one) => fill(one, this.#values))
    if (!Array.isArray(given) || !Array.isArray(over) || typeof by !== 'string')
      throw new StepFailure('two lists and a certificate are needed')
    if (given.length !== over.length) throw new StepFailure(`${given.length} signatures over ${over.length} digests`)
    for (const [index, signature] of (given as readonly Json[]).entries()) {
      const fault = this.#documents.fault(String(signature), String(over[index]), by, scheme)
      if (fault !== undefined) throw new StepFailure(`signature ${index + 1} ${fault}`)
    }
  }

  #showNoSecret(): void {
    for (const exchange of this.#exchanges) {
      const { answer } = exchange
      if (answer.status < 400) continue
      const told = [answer.text, ...[...answer.headers].map(([name, value]) => `${name}: ${value}`)].join('\n')
      const found = this.#secrets.in(told)
      if (found !== undefined) throw new StepFailure(`the answer shows a ${found}`, exchange)
    }
  }

  /** From the adapter, or by `auth/login`. */
  async #token(signer: string): Promise<string> {
    if (this.#can.includes('token')) {
      const { token } = await this.#server.adapter.ask({ ask: 'token', signer })
      if (typeof token !== 'string') throw new Error('the adapter answers token with {"token": "…"}')
      this.#secrets.add('token', token)
      return token
    }
    const credentials = Buffer.from(fillText(`{${signer}.login}:{${signer}.password}`, this.#values)).toString('base64')
    this.#secrets.add('login and password', credentials)
    const exchange = await this.#exchange(
      this.#fill({
        method: 'POST',
        path: 'auth/login',
        bearer: undefined,
        query: undefined,
        headers: [['authorization', `Basic ${credentials}`]],
        body: { json: {} },
      }),
    )
    this.#secrets.addFrom(exchange.answer)
    const token = valueAt(exchange.answer.json, ['access_token'])
    if (exchange.answer.status !== 200 || typeof token !== 'string')
      throw new StepFailure(`signer ${signer} cannot log in`, exchange)
    return token
  }
}

/** Content type and text. */
function bodyOf(body: RequestTemplate['body'], values: Values): [type: string | undefined, text: string | undefined] {
  if (body === undefined) return [undefined, undefined]
  if ('json' in body) return ['application/json', JSON.stringify(fill(body.json, values))]
  if ('form' in body) return ['application/x-www-form-urlencoded', formOf(body.form, values)]
  return [undefined, fillText(body.text, values)]
}

/** Fields of a form; what is no text is sent as JSON. */
function formOf(fields: Json, values: Values): string {
  const form = new URLSearchParams()
  for (const [name, value] of Object.entries(fill(fields, values) as { readonly [name: string]: Json }))
    form.append(name, typeof value === 'string' ? value : JSON.stringify(value))
  return form.toString()
}
