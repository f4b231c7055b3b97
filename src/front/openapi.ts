import { existsSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { parse } from 'yaml'

/** As much of JSON Schema as the contract uses, with our own keywords (see the comment in openapi.yaml). */
export interface Schema {
  readonly $ref?: string
  readonly type?: string | readonly string[]
  readonly description?: string
  readonly enum?: readonly unknown[]
  readonly const?: unknown
  readonly required?: readonly string[]
  readonly properties?: Readonly<Record<string, Schema>>
  readonly items?: Schema
  readonly 'x-missing'?: string
  readonly 'x-invalid'?: string
  readonly 'x-too-many'?: string
  readonly 'x-also'?: string
}

export interface ResponseObject {
  readonly $ref?: string
  readonly description: string
  readonly content?: Readonly<Record<string, { readonly schema: Schema; readonly example?: unknown }>>
}

export interface ParameterObject {
  readonly $ref?: string
  readonly name: string
  readonly in: string
  readonly description?: string
  readonly required?: boolean
  readonly schema: Schema
}

export interface OperationObject {
  readonly operationId: string
  readonly tags: readonly string[]
  readonly summary: string
  readonly description?: string
  readonly security?: readonly Readonly<Record<string, readonly string[]>>[]
  readonly parameters?: readonly ParameterObject[]
  readonly requestBody?: {
    readonly required?: boolean
    /** JSON of the API, or forms of OAuth 2. */
    readonly content: Readonly<
      Partial<Record<'application/json' | 'application/x-www-form-urlencoded', { readonly schema: Schema }>>
    >
  }
  readonly responses: Readonly<Record<string, ResponseObject>>
  /** The text for a header that is no `Bearer …`, where this operation has one of its own. */
  readonly 'x-malformed-header'?: string
}

export interface Document {
  readonly info: {
    readonly title: string
    readonly version: string
    readonly summary: string
    readonly description: string
  }
  readonly security: NonNullable<OperationObject['security']>
  readonly tags: readonly { readonly name: string; readonly description: string }[]
  readonly 'x-edge': Readonly<Record<'unknownAddress' | 'unknownMethod' | 'otherMethod', ResponseObject>>
  readonly paths: Readonly<Record<string, Readonly<Partial<Record<'get' | 'post', OperationObject>>>>>
  readonly components: {
    readonly schemas: Readonly<Record<string, Schema>>
    readonly parameters: Readonly<Record<string, ParameterObject>>
    readonly responses: Readonly<Record<string, ResponseObject>>
  }
}

/** The contract as it is served and as it is followed. */
export interface OpenApi {
  readonly text: string
  readonly document: Document
}

/** Reads `openapi.yaml` from the root of the package, wherever the compiled code stands below it. */
export function readOpenApi(): OpenApi {
  const text = readFileSync(join(packageRoot(), 'openapi.yaml'), 'utf8')
  return { text, document: parse(text) as Document }
}

function packageRoot(): string {
  let folder = dirname(fileURLToPath(import.meta.url))
  while (!existsSync(join(folder, 'package.json'))) {
    const parent = dirname(folder)
    if (parent === folder) throw new Error('openapi.yaml: the package has no package.json')
    folder = parent
  }
  return folder
}

/** What a `$ref` into this document means; anything else is itself. */
export function resolve<T extends { readonly $ref?: string }>(document: Document, value: T): T {
  if (value.$ref === undefined) return value
  let found: unknown = document
  for (const step of value.$ref.replace('#/', '').split('/')) found = (found as Record<string, unknown>)[step]
  if (found === undefined) throw new Error(`openapi.yaml: nothing at ${value.$ref}`)
  return { ...resolve(document, found as T), ...value, $ref: undefined }
}
