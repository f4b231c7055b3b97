import { X509Certificate } from 'node:crypto'
import { type Line, SuiteError } from './lines.js'
import { fill, fillText, type Json, sameJson, type Values, valueAt } from './values.js'

/** What a server said. */
export interface Answer {
  readonly status: number
  readonly headers: Headers
  readonly text: string
  /** Undefined where the body is no JSON. */
  readonly json: Json | undefined
}

/**
 * What an answer may be: `200`, `400 invalid_request "Invalid parameter SAD"`, `400 invalid_otp`, `refused`. The last is any
 * status from 400 to 499 with a CSC error in the body, for what the specification forbids without saying in which words.
 * `redirect` and `no redirect` tell whether a browser is sent on.
 */
export type Outcome =
  | { readonly kind: 'refused' | 'redirect' | 'no redirect' }
  | {
      readonly kind: 'status'
      readonly status: number
      readonly error: string | undefined
      readonly description: string | undefined
    }

/** What a member of the body, a header, or a part of the address that a browser is sent to, must be. */
export interface Check {
  readonly line: Line
  readonly of: 'body' | 'header' | 'redirect'
  /** A member, a header, a parameter; empty for the whole body, or the address without its parameters. */
  readonly path: string
  readonly rule: Rule
  readonly savedAs: string | undefined
}

type Rule =
  | { readonly kind: 'type'; readonly type: string }
  | { readonly kind: 'absent' | 'base64' | 'certificate' | 'no nulls' }
  | { readonly kind: 'equals' | 'differs' | 'contains' | 'lacks'; readonly value: Json }
  | { readonly kind: 'one of'; readonly values: readonly Json[] }
  | { readonly kind: 'matches'; readonly pattern: RegExp }
  | { readonly kind: 'count'; readonly count: string }
  | { readonly kind: 'between'; readonly from: number; readonly to: number }
  | { readonly kind: 'each' | 'absent or'; readonly rule: Rule }

const OUTCOME = /^(\d{3})(?: ([a-z_]+))?(?: ("(?:[^"\\]|\\.)*"))?$/

/** `200`, or several with `or` between them. @throws SuiteError */
export function parseOutcomes(line: Line, text: string): Outcome[] {
  return text.split(/ or (?=\d{3}\b|refused|redirect|no redirect)/).map((one): Outcome => {
    if (one === 'refused' || one === 'redirect' || one === 'no redirect') return { kind: one }
    const [, status, error, description] = OUTCOME.exec(one) ?? []
    if (status === undefined) throw new SuiteError(line, `not an answer: ${one}`)
    return {
      kind: 'status',
      status: Number(status),
      error,
      description: description === undefined ? undefined : (JSON.parse(description) as string),
    }
  })
}

/**
 * A line below `expect`: `PATH: RULE`, `header NAME: RULE`, `redirect: RULE`, `redirect PARAMETER: RULE`,
 * `no member is null`. @throws SuiteError
 */
export function parseCheck(line: Line): Check {
  if (line.text === 'no member is null') {
    return { line, of: 'body', path: '', rule: { kind: 'no nulls' }, savedAs: undefined }
  }
  const [, place = '', path = '', text] = /^(?:(header|redirect) )?([\w.-]+): (.+)$/.exec(line.text) ?? []
  if (text === undefined) throw new SuiteError(line, 'not `member: what it must be`')
  const [, rule = text, savedAs] = /^(.*), saved as ([\w.]+)$/.exec(text) ?? []
  const told = { line, rule: parseRule(line, rule), savedAs }
  if (place === '' && path === 'redirect') return { ...told, of: 'redirect', path: '' }
  return { ...told, of: place === 'header' || place === 'redirect' ? place : 'body', path }
}

const TYPES = ['string', 'integer', 'boolean', 'list', 'object']

function parseRule(line: Line, text: string): Rule {
  if (TYPES.includes(text)) return { kind: 'type', type: text }
  if (text === 'absent' || text === 'base64' || text === 'certificate') return { kind: text }
  const [, from, to] = /^integer from (\d+) to (\d+)$/.exec(text) ?? []
  if (from !== undefined) return { kind: 'between', from: Number(from), to: Number(to) }
  const count = /^list of (\d+|\{[\w.]+\})$/.exec(text)?.[1]
  if (count !== undefined) return { kind: 'count', count }
  const [, word, rest = ''] = /^(each|absent or|matches|contains|lacks|not|one of) (.+)$/.exec(text) ?? []
  switch (word) {
    case 'each':
    case 'absent or':
      return { kind: word, rule: parseRule(line, rest) }
    case 'matches':
      return { kind: 'matches', pattern: parsePattern(line, rest) }
    case 'contains':
      return { kind: 'contains', value: parseJson(line, rest) }
    case 'lacks':
      return { kind: 'lacks', value: parseJson(line, rest) }
    case 'not':
      return { kind: 'differs', value: parseJson(line, rest) }
    case 'one of':
      return { kind: 'one of', values: rest.split(', ').map((one) => parseJson(line, one)) }
    default:
      return { kind: 'equals', value: parseJson(line, text) }
  }
}

function parsePattern(line: Line, text: string): RegExp {
  const [, pattern] = /^\/(.+)\/$/.exec(text) ?? []
  try {
    if (pattern !== undefined) return new RegExp(pattern, 'u')
  } catch {
    // Told below.
  }
  throw new SuiteError(line, `not a pattern: ${text}`)
}

/** @throws SuiteError */
export function parseJson(line: Line, text: string): Json {
  try {
    return JSON.parse(text) as Json
  } catch {
    throw new SuiteError(line, `not JSON: ${text}`)
  }
}

export function describeOutcomes(outcomes: readonly Outcome[]): string {
  return outcomes
    .map((one) => {
      if (one.kind === 'refused') return 'a refusal (4xx with `error`)'
      if (one.kind !== 'status') return `a ${one.kind}`.replace('a no ', 'no ')
      const description = one.description === undefined ? '' : ` ${JSON.stringify(one.description)}`
      return `${one.status}${one.error === undefined ? '' : ` ${one.error}`}${description}`
    })
    .join(' or ')
}

/** Whether an answer is one of these. */
export function isOneOf(answer: Answer, outcomes: readonly Outcome[], values: Values): boolean {
  const error = valueAt(answer.json, ['error'])
  return outcomes.some((one) => {
    if (one.kind === 'refused') return answer.status >= 400 && answer.status < 500 && typeof error === 'string'
    if (one.kind !== 'status') return (redirectOf(answer) !== undefined) === (one.kind === 'redirect')
    if (answer.status !== one.status) return false
    if (one.error !== undefined && error !== one.error) return false
    const wanted = one.description === undefined ? undefined : fillText(one.description, values)
    return wanted === undefined || valueAt(answer.json, ['error_description']) === wanted
  })
}

/** What is wrong with the part of an answer that a check is about; undefined when nothing is. */
export function faultOf(check: Check, answer: Answer, values: Values): string | undefined {
  const found = partOf(check, answer)
  return ruleFault(check.rule, found, values)
}

/** The part of an answer that a check is about. */
export function partOf({ of, path }: Check, answer: Answer): Json | undefined {
  if (of === 'header') return answer.headers.get(path) ?? undefined
  if (of === 'redirect') {
    const to = redirectOf(answer)
    return path === '' ? to?.href.split(/[?#]/)[0] : (to?.searchParams.get(path) ?? undefined)
  }
  return path === '' ? answer.json : valueAt(answer.json, path.split('.'))
}

/** Where an answer sends a browser. */
export function redirectOf({ status, headers }: Answer): URL | undefined {
  const to = headers.get('location')
  if (status < 300 || status > 399 || to === null) return undefined
  // One that is relative is a page of the server itself.
  return new URL(to, 'http://server.invalid')
}

function ruleFault(rule: Rule, found: Json | undefined, values: Values): string | undefined {
  if (rule.kind === 'absent') return found === undefined ? undefined : `is there: ${show(found)}`
  if (rule.kind === 'no nulls') return found === undefined ? 'is no JSON' : nullIn(found, 'the body')
  if (rule.kind === 'absent or') return found === undefined ? undefined : ruleFault(rule.rule, found, values)
  if (found === undefined) return 'is absent'
  const fault = (fits: boolean, wanted: string) => (fits ? undefined : `is ${show(found)}, not ${wanted}`)
  switch (rule.kind) {
    case 'type':
      return fault(typeOf(found) === rule.type, `of type ${rule.type}`)
    case 'base64':
      return fault(isBase64(found), 'padded base64')
    case 'certificate':
      return fault(isCertificate(found), 'the base64 of a certificate in DER')
    case 'equals': {
      const wanted = fill(rule.value, values)
      return fault(sameJson(found, wanted), show(wanted))
    }
    case 'differs': {
      const unwanted = fill(rule.value, values)
      return sameJson(found, unwanted) ? `is ${show(found)}` : undefined
    }
    case 'one of':
      return fault(
        rule.values.some((value) => sameJson(found, fill(value, values))),
        `one of ${rule.values.map(show).join(', ')}`,
      )
    case 'matches':
      return fault(typeof found === 'string' && rule.pattern.test(found), `what ${rule.pattern} matches`)
    case 'between':
      return fault(
        typeof found === 'number' && Number.isInteger(found) && found >= rule.from && found <= rule.to,
        `an integer from ${rule.from} to ${rule.to}`,
      )
    case 'count': {
      const wanted = Number(fillText(rule.count, values))
      return fault(Array.isArray(found) && found.length === wanted, `a list of ${wanted}`)
    }
    case 'contains':
    case 'lacks': {
      const wanted = fill(rule.value, values)
      if (!Array.isArray(found)) return fault(false, 'a list')
      const holds = (found as readonly Json[]).some((item) => sameJson(item, wanted))
      if (holds === (rule.kind === 'contains')) return undefined
      return `${holds ? 'holds' : 'lacks'} ${show(wanted)}`
    }
    case 'each': {
      if (!Array.isArray(found)) return fault(false, 'a list')
      for (const [index, item] of (found as readonly Json[]).entries()) {
        const wrong = ruleFault(rule.rule, item, values)
        if (wrong !== undefined) return `item ${index + 1} ${wrong}`
      }
      return undefined
    }
  }
}

function typeOf(value: Json): string {
  if (Array.isArray(value)) return 'list'
  if (typeof value === 'number') return Number.isInteger(value) ? 'integer' : 'number'
  return value === null ? 'null' : typeof value
}

function isBase64(value: Json): boolean {
  return typeof value === 'string' && value !== '' && Buffer.from(value, 'base64').toString('base64') === value
}

function isCertificate(value: Json): boolean {
  if (!isBase64(value)) return false
  try {
    new X509Certificate(Buffer.from(value as string, 'base64'))
    return true
  } catch {
    return false
  }
}

function nullIn(value: Json, where: string): string | undefined {
  if (value === null) return `${where} is null`
  if (typeof value !== 'object') return undefined
  for (const [name, member] of Object.entries(value)) {
    const found = nullIn(member as Json, where === 'the body' ? name : `${where}.${name}`)
    if (found !== undefined) return found
  }
  return undefined
}

function show(value: Json): string {
  const text = JSON.stringify(value)
  return text.length <= 400 ? text : `${text.slice(0, 400)}…`
}
