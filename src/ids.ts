import { randomBytes } from 'node:crypto'

declare const brand: unique symbol
type Branded<Name extends string> = string & { readonly [brand]: Name }

export type SignerId = Branded<'signer'>
export type ClientId = Branded<'client'>
export type CredentialId = Branded<'credential'>
export type SessionId = Branded<'session'>
export type FactorId = Branded<'factor'>
export type AuthorizationId = Branded<'authorization'>
export type ApprovalId = Branded<'approval'>
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

/** When an id was made, in milliseconds (RFC 9562 §5.7). */
export function timeOf(id: string): number {
  return Number.parseInt(id.slice(0, 8) + id.slice(9, 13), 16)
}

let lastTime = 0
let lastSequence = 0

/**
 * A new UUIDv7 (RFC 9562 §6.2, method 1): the millisecond, a 12-bit counter within it, then 62 random bits. Those that one
 * process makes for one clock sort in the order they were made in.
 */
export function newId<Id extends string>(now: number = Date.now()): Id {
  const bytes = randomBytes(16)
  const fresh = bytes.readUInt16BE(6) & 0x07ff
  lastSequence = now === lastTime && lastSequence < 0x0fff ? lastSequence + 1 : fresh
  lastTime = now
  bytes.writeUIntBE(now, 0, 6)
  bytes.writeUInt16BE(0x7000 | lastSequence, 6)
  bytes[8] = ((bytes[8] as number) & 0x3f) | 0x80
  const hex = bytes.toString('hex')
  return `${hex.slice(0, 8)}-${hex.slice(8, 12)}-${hex.slice(12, 16)}-${hex.slice(16, 20)}-${hex.slice(20)}` as Id
}
