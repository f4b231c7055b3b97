import type { Check, Outcome } from './expectation.js'
import type { Line } from './lines.js'
import type { Json } from './values.js'

/** One request, as written: names in braces are filled in when it is sent. */
export interface RequestTemplate {
  readonly method: string
  /** Below `/csc/v1/` or `/csc/v2/`; `oauth2/…` where the OAuth server is; with a slash in front, below the address. */
  readonly path: string
  readonly bearer: string | undefined
  readonly headers: readonly (readonly [name: string, value: string])[]
  /** Parameters after the question mark. */
  readonly query: Json | undefined
  /** JSON, the fields of a form, text as it is, or nothing. */
  readonly body: { readonly json: Json } | { readonly form: Json } | { readonly text: string } | undefined
}

/** How many of several answers. */
export type Count =
  | { readonly kind: 'exactly' | 'at least'; readonly number: string }
  | { readonly kind: 'all' | 'no' | 'others' }

export type Statement = { readonly line: Line } & (
  | { readonly kind: 'request'; readonly request: RequestTemplate }
  | {
      readonly kind: 'requests'
      readonly request: RequestTemplate
      readonly times: number
      readonly parallel: boolean
      /** A name that takes the items of a list in turn. */
      readonly each: { readonly name: string; readonly list: string } | undefined
    }
  /** A signer is sent there by an application, and answers. */
  | {
      readonly kind: 'answer'
      readonly signer: string
      readonly yes: boolean
      /** In place of a fresh one-time code. */
      readonly code: string | undefined
      readonly request: RequestTemplate
    }
  | { readonly kind: 'tally'; readonly count: Count; readonly outcomes: readonly Outcome[] }
  | {
      readonly kind: 'expect'
      readonly outcomes: readonly Outcome[]
      /** For so many seconds the request is sent again until the answer fits. */
      readonly within: number
      readonly checks: readonly Check[]
    }
  | { readonly kind: 'let'; readonly name: string; readonly value: string }
  | { readonly kind: 'remember'; readonly name: string }
  | { readonly kind: 'alike'; readonly name: string }
  | { readonly kind: 'check'; readonly left: Json; readonly right: Json; readonly same: boolean }
  | { readonly kind: 'adapter'; readonly action: string; readonly argument: string }
  | {
      readonly kind: 'verify'
      readonly signatures: Json
      readonly digests: Json
      readonly certificate: Json
      readonly scheme: 'rsa' | 'pss' | 'ecdsa'
    }
  | { readonly kind: 'secrets' }
)

export type Version = 'v1' | 'v2'
export const VERSIONS: readonly Version[] = ['v1', 'v2']

/** A scenario, ready to be run against one version. */
export interface Scenario {
  readonly version: Version
  /** `abuse/a01-foreign-sad.txt`. */
  readonly file: string
  readonly name: string
  readonly clause: string
  readonly why: string
  /** What the adapter must have: things such as `two` and `one.rsa`, and actions. */
  readonly needs: readonly string[]
  /** The methods of CSC it uses, as `info` names them. */
  readonly methods: readonly string[]
  /** Whether it asks the OAuth server. */
  readonly oauth: boolean
  readonly names: ReadonlyMap<string, Json>
  readonly statements: readonly Statement[]
  readonly line: Line
}
