import type { TLSSocket } from 'node:tls'
import type { FastifyInstance, FastifyReply, FastifyRequest } from 'fastify'
import type { Origin } from '../activation.js'
import { ServiceError } from '../errors.js'
import { type Bearer, type Caller, isCaller } from '../identity/caller.js'
import { type Look, type LookRequest, operatorTokenIn } from './audit/look.js'
import type { BearerCheck, Presented } from './bearer.js'
import { type Document, type OperationObject, type ResponseObject, resolve, type Schema } from './openapi.js'
import { originOf, pathOf } from './origin.js'
import {
  ajvOf,
  type BodyCheck,
  bodyCheck,
  type HeaderCheck,
  headerCheck,
  type ParameterCheck,
  parameterCheck,
} from './validate.js'
import type { operations } from './wire.js'
import { loggedBefore } from './worker.js'

/** Operations that have doors here. Those of OAuth 2 are in the contract, too, and answered by its own server. */
export type OperationId = Exclude<keyof operations, `oauth${string}`>

type WithoutNull<T> = { [Key in keyof T]: Exclude<T[Key], null> }
type Content<T> = T extends { content: infer C } ? C[keyof C] : undefined
type Answers<Id extends OperationId> = operations[Id]['responses']
type BodyOf<Id extends OperationId> = operations[Id] extends {
  requestBody?: { content: { 'application/json': infer B } }
}
  ? WithoutNull<B>
  : undefined
/** The operation's own headers, by their names in the contract. */
type HeadersOf<Id extends OperationId> = operations[Id] extends { parameters: { header?: infer H } }
  ? NonNullable<H>
  : Record<never, never>
type Present<T> = [NonNullable<T>] extends [never] ? unknown : NonNullable<T>
/** What the address of a request says, by its names in the contract. */
type ParametersOf<Id extends OperationId> = operations[Id] extends { parameters: { query?: infer Q; path?: infer P } }
  ? Present<Q> & Present<P>
  : unknown
type SuccessOf<Id extends OperationId> =
  Answers<Id> extends { 200: { content: infer C } } | { 201: { content: infer C } }
    ? C extends { 'application/json': infer B }
      ? B
      : string | Buffer
    : undefined

/** An answer with another status than the operation's success, or with headers of its own. */
export class Answer<Body> {
  readonly status: number
  readonly body: Body
  readonly headers: Readonly<Record<string, string>>
  constructor(status: number, body: Body, headers: Readonly<Record<string, string>> = {}) {
    this.status = status
    this.body = body
    this.headers = headers
  }
}

/** What a door gets: the checked body, headers and parameters, and where the request came from. */
export interface OpenRequest<Id extends OperationId> {
  readonly body: BodyOf<Id>
  readonly headers: HeadersOf<Id>
  readonly parameters: ParametersOf<Id>
  readonly origin: Origin
  /** The header as it was sent, for doors that take other tokens than those of OAuth 2. */
  readonly authorization: string | undefined
  /** What follows in the address where its path in the contract ends with `{rest}`, decoded; else empty. */
  readonly rest: string
}
export interface ClosedRequest<Id extends OperationId> extends OpenRequest<Id> {
  /** A client with a token of its own acts for the signer whose credential, or whose `userID`, the request names. */
  readonly caller: Id extends `${string}AuthRevoke` | 'auditReceipt' ? Bearer : Caller
  readonly bearer: string
  /** Whether it was `userID` that named the signer. */
  readonly byUserID: boolean
}

/** What a door for auditors gets. The log says already that they came, and what for. */
export interface AuditedRequest<Id extends OperationId> {
  readonly parameters: ParametersOf<Id>
  readonly look: Look
}

type Other<Id extends OperationId, Status extends number> = Status extends keyof Answers<Id>
  ? Content<Answers<Id>[Status]>
  : never
type Result<Id extends OperationId> = SuccessOf<Id> | Answer<SuccessOf<Id> | Other<Id, 202> | Other<Id, 503>>
type Handler<Request, Id extends OperationId> = (request: Request) => Result<Id> | Promise<Result<Id>>

/** Whoever asks may ask. */
export interface OpenDoor<Id extends OperationId> {
  readonly access: 'open'
  readonly handle: Handler<OpenRequest<Id>, Id>
}
/** Only for callers with the scope that the contract names. */
export interface ClosedDoor<Id extends OperationId> {
  readonly access: 'closed'
  readonly handle: Handler<ClosedRequest<Id>, Id>
  /** Whether the method is there at all; it is, unless said. @throws ServiceError `unavailable` */
  readonly offered?: () => Promise<boolean>
}
/** Only for operators with the role auditor, each of whose looks is an entry of the log. */
export interface AuditedDoor<Id extends OperationId> extends Pick<LookRequest, 'kind' | 'what'> {
  readonly access: 'audited'
  readonly handle: Handler<AuditedRequest<Id>, Id>
}
/** A handler for every operation of the contract. */
export type Doors = { readonly [Id in OperationId]: OpenDoor<Id> | ClosedDoor<Id> | AuditedDoor<Id> }

export const open = <Id extends OperationId>(handle: Handler<OpenRequest<Id>, Id>): OpenDoor<Id> => ({
  access: 'open',
  handle,
})
export const closed = <Id extends OperationId>(
  handle: Handler<ClosedRequest<Id>, Id>,
  offered?: () => Promise<boolean>,
): ClosedDoor<Id> => ({
  access: 'closed',
  handle,
  ...(offered === undefined ? {} : { offered }),
})

/** @param what the word by which the log calls it */
export const audited = <Id extends OperationId>(
  kind: LookRequest['kind'],
  what: string,
  handle: Handler<AuditedRequest<Id>, Id>,
): AuditedDoor<Id> => ({ access: 'audited', kind, what, handle })

declare module 'fastify' {
  interface FastifyRequest {
    /** Who asks, once that is known. */
    caller?: Bearer
  }
}

/** One operation of the contract, ready to be bound. */
export interface Operation {
  readonly id: string
  readonly method: 'GET' | 'POST'
  readonly path: string
  /** Answered by the OAuth 2 server. */
  readonly oauth: boolean
  /** For operators alone, who have tokens of another kind. */
  readonly operators: boolean
  /** One of these scopes the access token must have; absent where nobody has to log in. */
  readonly scopes: readonly string[] | undefined
  /** A text of its own for a header that is no `Bearer …`. */
  readonly malformedHeader: string | undefined
  readonly success: number
  /** Media type of the success; absent where it has no body. */
  readonly mediaType: string | undefined
  readonly emptyBodyAllowed: boolean
  readonly checkHeaders: HeaderCheck
  readonly checkParameters: ParameterCheck
  /** The member of the body that says whose credentials these are, to a client with a token of its own. */
  readonly names: 'credentialID' | 'userID' | undefined
  readonly check: BodyCheck | undefined
}

/** The operations in the order of the document. @throws Error for what the registrar does not understand */
export function operationsOf(document: Document): Operation[] {
  const ajv = ajvOf(document)
  return Object.entries(document.paths).flatMap(([path, item]) =>
    Object.entries(item).map(([method, operation]): Operation => {
      const oauth = operation.tags.includes('OAuth')
      const [success, answer] = oauth ? [0, undefined] : successOf(document, operation)
      const schema = operation.requestBody?.content['application/json']?.schema
      return {
        id: operation.operationId,
        method: method === 'get' ? 'GET' : 'POST',
        path,
        oauth,
        operators: isForOperators(operation.security ?? document.security),
        scopes: scopesOf(operation.security ?? document.security),
        malformedHeader: operation['x-malformed-header'],
        success,
        mediaType: Object.keys(answer?.content ?? {})[0],
        emptyBodyAllowed: operation.requestBody?.required !== true,
        checkHeaders: headerCheck(ajv, document, operation),
        checkParameters: parameterCheck(ajv, document, operation),
        names: namesOf(document, schema),
        check: schema === undefined ? undefined : bodyCheck(ajv, document, schema),
      }
    }),
  )
}

function namesOf(document: Document, schema: Schema | undefined): Operation['names'] {
  const members = schema === undefined ? {} : (resolve(document, schema).properties ?? {})
  return (['credentialID', 'userID'] as const).find((name) => Object.hasOwn(members, name))
}

/** Alternatives, as OpenAPI has it. */
function scopesOf(security: Document['security']): readonly string[] | undefined {
  const scopes = security.flatMap(({ bearer }) => bearer ?? [])
  return scopes.length === 0 ? undefined : scopes
}

const isForOperators = (security: Document['security']) =>
  security.length > 0 && security.every(({ operator }) => operator !== undefined)

function successOf(document: Document, operation: OperationObject): [number, ResponseObject] {
  const successes = Object.entries(operation.responses).filter(([status]) => status.startsWith('2'))
  // 202 is the answer of those that are not finished.
  const [only, ...more] = successes.filter(([status]) => status !== '202')
  if (only === undefined || more.length > 0) throw new Error(`openapi.yaml: ${operation.operationId} needs one success`)
  return [Number(only[0]), resolve(document, only[1])]
}

/**
 * Binds each operation to its door: the bearer check before the body is read, the body's check before the door sees it.
 * @throws Error when an operation has no door, a door no operation, or the two disagree about who may come in
 */
export function bindDoors(
  app: FastifyInstance,
  operations: readonly Operation[],
  doors: Doors,
  bearer: BearerCheck,
  look: (request: LookRequest) => Promise<Look>,
): void {
  const known = new Set(operations.filter(({ oauth }) => !oauth).map(({ id }) => id))
  const byId: Readonly<Record<string, AnyDoor | undefined>> = doors
  const stray = Object.keys(doors).find((id) => !known.has(id))
  if (stray !== undefined) throw new Error(`openapi.yaml: no operation for the door ${stray}`)
  for (const operation of operations.filter(({ oauth }) => !oauth)) {
    const door = byId[operation.id]
    if (door === undefined) throw new Error(`openapi.yaml: no door for the operation ${operation.id}`)
    const access = operation.operators ? 'audited' : operation.scopes === undefined ? 'open' : 'closed'
    if (door.access !== access) {
      throw new Error(`openapi.yaml: ${operation.id} and its door disagree about who may come in`)
    }
    if (door.access === 'audited') bindAudited(app, operation, door, look)
    else bind(app, operation, door, bearer)
  }
}

type AnyDoor = { readonly handle: unknown } & (
  | { readonly access: 'open' | 'closed'; readonly offered?: () => Promise<boolean> }
  | (Pick<LookRequest, 'kind' | 'what'> & { readonly access: 'audited' })
)

/** As Fastify writes a path with parameters; `{rest}` holds slashes. */
const routeOf = ({ path }: Operation) => path.replace(/\{rest\}$/, '*').replaceAll(/\{(\w+)\}/g, ':$1')

/** The token before anything else is looked at; only what can be answered is asked of a worker, and then stands in the log. */
function bindAudited(
  app: FastifyInstance,
  operation: Operation,
  door: AnyDoor & { access: 'audited' },
  look: (request: LookRequest) => Promise<Look>,
): void {
  const { kind, what } = door
  const handle = door.handle as (request: unknown) => unknown
  app.route({
    method: operation.method,
    url: routeOf(operation),
    handler: async (request, reply) => {
      const token = operatorTokenIn(request.headers.authorization)
      const parameters = operation.checkParameters(request.query, request.params)
      const query = new URLSearchParams(parameters as Record<string, string>)
      const allowed = await look({ origin: originOf(request), token, kind, what, query: query.toString() })
      const result = await loggedBefore(async () => handle({ parameters, look: allowed }))
      return result instanceof Answer
        ? send(reply.headers(result.headers), operation, result.status, result.body)
        : send(reply, operation, operation.success, result)
    },
  })
}

function bind(
  app: FastifyInstance,
  operation: Operation,
  door: AnyDoor & { access: 'open' | 'closed' },
  bearer: BearerCheck,
): void {
  const { scopes } = operation
  const handle = door.handle as (request: unknown) => unknown
  app.route({
    method: operation.method,
    url: routeOf(operation),
    ...(scopes === undefined
      ? {}
      : {
          onRequest: async (request: FastifyRequest) => {
            if ((await door.offered?.()) === false) throw new ServiceError('method_unknown')
            request.caller = await bearer.identify(presented(request)).catch((error: unknown) => {
              throw inOwnWords(operation, error)
            })
            if (!request.caller.scope.split(' ').some((scope) => scopes.includes(scope)))
              throw new ServiceError('scope_missing')
          },
        }),
    handler: async (request, reply) => {
      const { authorization } = request.headers
      const headers = operation.checkHeaders(request.headers)
      // CSC knows no parameters in an address, and what a client puts there is not looked at. `{rest}` is the door's to read.
      const parameters = /\{(?!rest\})/.test(operation.path)
        ? operation.checkParameters(request.query, request.params)
        : {}
      const body = bodyOf(operation, request.body)
      const { caller } = request
      const alone = caller !== undefined && operation.names !== undefined && !isCaller(caller)
      const result = await handle({
        headers,
        parameters,
        body,
        origin: originOf(request),
        authorization,
        rest: (request.params as { '*'?: string })['*'] ?? '',
        caller: alone ? await bearer.actingFor(caller, operation.names, body?.[operation.names]) : caller,
        byUserID: alone && operation.names === 'userID',
        bearer: authorization === undefined ? undefined : bearer.tokenOf(authorization),
      })
      return result instanceof Answer
        ? send(reply.headers(result.headers), operation, result.status, result.body)
        : send(reply, operation, operation.success, result)
    },
  })
}

function inOwnWords({ malformedHeader }: Operation, error: unknown): unknown {
  if (malformedHeader === undefined || !(error instanceof ServiceError) || error.code !== 'token_malformed')
    return error
  return new ServiceError('token_malformed', { detail: malformedHeader })
}

/** What a request shows beside its body. */
function presented({ headers, method, url, raw }: FastifyRequest): Presented {
  const proof = headers.dpop
  return {
    authorization: headers.authorization,
    proof: typeof proof === 'string' ? proof : undefined,
    method,
    path: pathOf(url),
    certificate: (raw.socket as Partial<TLSSocket>).getPeerCertificate?.()?.raw,
  }
}

function bodyOf(operation: Operation, body: unknown): Record<string, unknown> | undefined {
  if (operation.check === undefined) return undefined
  if (body !== undefined) return operation.check(body)
  if (!operation.emptyBodyAllowed) throw new ServiceError('request_malformed')
  return operation.check({})
}

function send(reply: FastifyReply, { mediaType }: Operation, status: number, body: unknown): FastifyReply {
  reply.code(status)
  if (mediaType === undefined || body === undefined) return reply.send()
  reply.header(
    'content-type',
    mediaType.startsWith('text/') || mediaType.endsWith('json') ? `${mediaType}; charset=utf-8` : mediaType,
  )
  return reply.send(body)
}
