import type { IncomingHttpHeaders } from 'node:http'
import { Ajv2020, type ValidateFunction } from 'ajv/dist/2020.js'
import addFormats from 'ajv-formats'
import { ServiceError } from '../errors.js'
import { type Document, type OperationObject, resolve, type Schema } from './openapi.js'

/** Gives back the body as the doors take it, or throws what is wrong with it. */
export type BodyCheck = (body: unknown) => Record<string, unknown>

/** Gives back the headers that the operation names, or throws what is wrong with one. */
export type HeaderCheck = (headers: IncomingHttpHeaders) => Record<string, string>

/** Gives back what the address says, or throws what is wrong with it. */
export type ParameterCheck = (query: unknown, path: unknown) => Record<string, string | number>

/** Which text of a member's schema tells a failed keyword; `x-invalid` tells all others. */
const TEXT_OF_KEYWORD: Readonly<Record<string, 'x-missing' | 'x-too-many'>> = {
  required: 'x-missing',
  type: 'x-missing',
  maximum: 'x-too-many',
  maxItems: 'x-too-many',
}

interface Member {
  readonly name: string
  readonly also: string | undefined
  readonly required: boolean
  readonly validate: ValidateFunction
  /** Of an object whose own members are told apart. */
  readonly members: readonly Member[] | undefined
  readonly texts: Record<'x-missing' | 'x-invalid' | 'x-too-many', string>
}

/** An AJV that knows the contract, converts nothing and deletes nothing. */
export function ajvOf(document: Document): Ajv2020 {
  const ajv = new Ajv2020({
    strict: true,
    allowUnionTypes: true,
    coerceTypes: false,
    removeAdditional: false,
    useDefaults: false,
  })
  ajv.addVocabulary(['x-missing', 'x-invalid', 'x-too-many', 'x-also', 'example', ...Object.keys(document)])
  addFormats.default(ajv, ['uri', 'uuid'])
  // The document is no schema, but its parts are: they are compiled from where they stand.
  ajv.addSchema(document as object, 'openapi.yaml', false, false)
  return ajv
}

/** The schema at a pointer into the document, such as `#/components/schemas/Error`. */
export function schemaAt(ajv: Ajv2020, pointer: string): ValidateFunction {
  return ajv.compile({ $ref: `openapi.yaml${pointer}` })
}

/**
 * The check of a request body. Each member is validated on its own and only up to its first fault, so that a hostile
 * body costs little; of one that is a named object itself, each member. A missing member or a wrong type in any of them
 * is told before a wrong value in any.
 * @throws Error at start when the body's schema is not a plain object under `#/components/schemas`
 */
export function bodyCheck(ajv: Ajv2020, document: Document, schema: Schema): BodyCheck {
  const members = membersOf(ajv, document, schema)
  return (body) => {
    if (typeof body !== 'object' || body === null || Array.isArray(body)) throw new ServiceError('request_malformed')
    const { taken, wrongValue } = take(members, body as Record<string, unknown>)
    if (wrongValue !== undefined) throw refused(wrongValue)
    return taken
  }
}

interface Taken {
  readonly taken: Record<string, unknown>
  /** Text of the first value that is wrong. */
  readonly wrongValue: string | undefined
}

/** @throws ServiceError `parameter_invalid` for what is missing or of another type */
function take(members: readonly Member[], given: Record<string, unknown>): Taken {
  const taken: Record<string, unknown> = {}
  let wrongValue: string | undefined
  for (const member of members) {
    const value = givenValue(given, member)
    if (value === undefined) {
      if (member.required) throw refused(member.texts['x-missing'])
      continue
    }
    if (member.members !== undefined) {
      if (typeof value !== 'object' || value === null || Array.isArray(value)) throw refused(member.texts['x-missing'])
      const inner = take(member.members, value as Record<string, unknown>)
      wrongValue ??= inner.wrongValue
      taken[member.name] = inner.taken
      continue
    }
    if (!member.validate(value)) {
      const kind = TEXT_OF_KEYWORD[member.validate.errors?.[0]?.keyword ?? ''] ?? 'x-invalid'
      if (kind === 'x-missing') throw refused(member.texts[kind])
      wrongValue ??= member.texts[kind]
    }
    if (value !== null) taken[member.name] = value
  }
  return { taken, wrongValue }
}

/** The check of an operation's own headers, none of which is required. */
export function headerCheck(ajv: Ajv2020, document: Document, { parameters = [] }: OperationObject): HeaderCheck {
  const checks = parameters
    .map((reference) => resolve(document, reference))
    .filter((parameter) => parameter.in === 'header')
    .map(({ name, schema }) => ({ name, validate: ajv.compile(schema) }))
  return (headers) => {
    const taken: Record<string, string> = {}
    for (const { name, validate } of checks) {
      const value = headers[name.toLowerCase()]
      if (value === undefined) continue
      if (typeof value !== 'string' || !validate(value)) throw refused(`Invalid parameter ${name}`)
      taken[name] = value
    }
    return taken
  }
}

/**
 * The check of the parameters in an operation's address. A name that the contract does not know is refused: a search
 * whose filter was misspelt must not answer as if there were none.
 */
export function parameterCheck(ajv: Ajv2020, document: Document, { parameters = [] }: OperationObject): ParameterCheck {
  const resolved = parameters.map((reference) => resolve(document, reference))
  const checks = resolved
    .filter((parameter) => parameter.in === 'path' || parameter.in === 'query')
    .map(({ name, in: place, schema, required = false }) => ({
      name,
      place: place as 'path' | 'query',
      required,
      number: resolve(document, schema).type === 'integer',
      validate: ajv.compile(schema.$ref === undefined ? schema : { $ref: `openapi.yaml${schema.$ref}` }),
    }))
  const queried = new Set(checks.filter(({ place }) => place === 'query').map(({ name }) => name))
  return (query, path) => {
    const given = { query: query as Record<string, unknown>, path: path as Record<string, unknown> }
    if (Object.keys(given.query).some((name) => !queried.has(name))) throw refused('There is no parameter of that name')
    const taken: Record<string, string | number> = {}
    for (const { name, place, required, number, validate } of checks) {
      const text = given[place][name]
      if (text === undefined) {
        if (required) throw refused(`Missing parameter ${name}`)
        continue
      }
      const value = (number && typeof text === 'string' && DECIMAL.test(text) ? Number(text) : text) as string | number
      if (!validate(value)) throw refused(`Invalid parameter ${name}`)
      taken[name] = value
    }
    return taken
  }
}

/** Below 10^15, so that a number holds it exactly. */
const DECIMAL = /^(?:0|[1-9][0-9]{0,14})$/

function givenValue(given: Record<string, unknown>, { name, also }: Member): unknown {
  if (Object.hasOwn(given, name)) return given[name]
  return also !== undefined && Object.hasOwn(given, also) ? given[also] : undefined
}

function refused(text: string): ServiceError {
  return new ServiceError('parameter_invalid', { detail: text })
}

function membersOf(ajv: Ajv2020, document: Document, reference: Schema): Member[] {
  const { $ref } = reference
  const schema = resolve(document, reference)
  if ($ref === undefined || schema.type !== 'object' || schema.properties === undefined) {
    throw new Error('openapi.yaml: the schema of a request body must be a named object')
  }
  return Object.entries(schema.properties).map(([name, property]) => {
    const resolved = resolve(document, property)
    const type = typeof resolved.type === 'string' ? resolved.type : resolved.type?.[0]
    return {
      name,
      also: resolved['x-also'],
      required: schema.required?.includes(name) ?? false,
      validate: schemaAt(ajv, `${$ref}/properties/${name}`),
      members:
        property.$ref !== undefined && resolved.properties !== undefined
          ? membersOf(ajv, document, property)
          : undefined,
      texts: {
        'x-missing': resolved['x-missing'] ?? `Missing (or invalid type) ${type} parameter ${name}`,
        'x-invalid': resolved['x-invalid'] ?? `Invalid parameter ${name}`,
        'x-too-many': resolved['x-too-many'] ?? `Invalid parameter ${name}`,
      },
    }
  })
}
