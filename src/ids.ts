import { randomBytes } from 'node:crypto'

declare const brand: unique symbol
type Branded<Name extends string> = string & { readonly [brand]: Name }

export type SignerId = Branded<'signer'>
export type ClientId = Branded<'client'>
export type CredentialId = Branded<'credential'>
export type SessionId = Branded<'session'>
export type FactorId = Branded<'factor'>
export type AuthorizationId = Branded<'authorization'>
export type OperatorId = Branded<'operator'>
/** One audited operation; the intention and the outcome of a signing share it. */
export type OperationId = Branded<'operation'>
/** One life of one writing process, announced in the log before its first entry. */
export type BootId = Branded<'boot'>

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/

/** Whether `text` is a UUID in lower-case canonical form, so that it may stand in a query as one. */
export function isUuid(text: string): boolean {
  return UUID.test(text)
}

/** A new UUIDv7 (RFC 9562): the millisecond, then 74 random bits. Sorts by time of making. */
export function newId<Id extends string>(now: number = Date.now()): Id {
  const bytes = randomBytes(16)
  bytes.writeUIntBE(now, 0, 6)
  bytes[6] = ((bytes[6] as number) & 0x0f) | 0x70
  bytes[8] = ((bytes[8] as number) & 0x3f) | 0x80
  const hex = bytes.toString('hex')
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}` as Id
}
