/** What the tiny server keeps, and how it reads what it is sent. */
import type { Json } from '../../src/conformance/values.js'
import type { DigestAlgorithm } from '../../src/digest.js'

export type Body = { readonly [name: string]: Json }
export type Version = 'v1' | 'v2'

export interface Credential {
  readonly id: string
  readonly kind: 'rsa' | 'ec'
  readonly owner: Signer
  readonly scal: '1' | '2'
  readonly pin: string | undefined
  state: 'valid' | 'suspended' | 'revoked' | 'expired'
}

export interface Signer {
  readonly login: string
  readonly password: string
  /** Gets codes sent, and has none of his own. */
  readonly phone: boolean
  sent: string | undefined
  lastStep: number
  failures: number
  blockedUntil: number
}

export interface Client {
  readonly id: string
  readonly secret: string
  readonly redirect: string
  readonly policy: string
}

export interface Token {
  readonly value: string
  readonly signer: Signer
  readonly family: string
  /** Id of a client; absent after `auth/login`. */
  readonly client: string | undefined
  readonly scope: 'service' | 'own' | 'credential' | 'creation' | 'deletion'
  readonly refresh: boolean
  /** Of a token to delete it. */
  readonly credential: Credential | undefined
  readonly expires: number
  over: boolean
}

export interface Agreement {
  readonly token: Token
  readonly credential: Credential
  /** Hex; what may still be signed. Undefined: anything. */
  readonly digests: string[] | undefined
  readonly expires: number
  left: number
}

export class Refusal extends Error {
  readonly text: string
  readonly error: string
  readonly status: number
  constructor(text: string, error = 'invalid_request', status = 400) {
    super(text)
    this.text = text
    this.error = error
    this.status = status
  }
}

export const HASHES: Readonly<Record<string, DigestAlgorithm>> = {
  '2.16.840.1.101.3.4.2.1': 'sha-256',
  '2.16.840.1.101.3.4.2.2': 'sha-384',
  '2.16.840.1.101.3.4.2.3': 'sha-512',
}
export const BYTES: Readonly<Record<string, number>> = { 'sha-256': 32, 'sha-384': 48, 'sha-512': 64 }

export function textIn(body: Body, name: string): string {
  const value = body[name]
  if (typeof value !== 'string') throw new Refusal(`Missing (or invalid type) string parameter ${name}`)
  return value
}

/** In hex. */
export function digestsIn(list: Json | undefined, api: Version): string[] {
  const name = api === 'v1' ? 'hash' : 'hashes'
  if (!Array.isArray(list) || !list.every((one) => typeof one === 'string'))
    throw new Refusal(`Missing (or invalid type) array parameter ${name}`)
  if (list.length === 0) throw new Refusal(`Empty ${name} array`)
  return (list as string[]).map((text) => {
    if (!/^[A-Za-z0-9+/_-]*={0,2}$/.test(text)) throw new Refusal('Invalid Base64 hash string parameter')
    return Buffer.from(text, 'base64').toString('hex')
  })
}
