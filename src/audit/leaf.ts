import { createHmac, hash, randomBytes } from 'node:crypto'
import type { BootId, OperationId } from '../ids.js'
import { type AuditEvent, EVENTS, PHASE } from './event.js'

/** Where and as which number in its writer's sequence an entry stands; chosen when it is committed. */
export interface Place {
  readonly boot: BootId
  readonly node: string
  readonly seq: number
  /** Milliseconds; a writer never lets it go back. */
  readonly time: number
}

/** Retention classes: what proves the operation, and what only says where it came from. */
export const OPENING_CLASS = { evidence: 1, network: 2 } as const

/** What opens some of an entry's digests. Kept beside the log, erasable, one for each retention class. */
export interface Opening {
  readonly class: 1 | 2
  /** 32 random bytes; the salt of a field is HMAC-SHA-256(seed, name), first 16 bytes. Never shared between classes. */
  readonly seed: Uint8Array
  /** JSON array of [name, value]. */
  readonly fields: string
  /** First 8 bytes of SHA-256, as a signed 64-bit number, of `name=value` of what the log is searched by. */
  readonly tags: readonly bigint[]
  readonly retainUntil: Date
}

/** The hidden part of an entry: made once, so that both leaves of a guarded item carry the same digests. */
export interface Disclosure {
  /** Sorted base64url SHA-256 digests in the SD-JWT form (RFC 9901 §4.2). */
  readonly sd: readonly string[]
  readonly openings: readonly Opening[]
}

const TAGGED = new Set(['signer', 'credential', 'client'])
const YEAR = 365.25 * 24 * 3600 * 1000
const EVIDENCE_YEARS = 7
const NETWORK_YEARS = 1
const PRINTABLE = /^[\x20-\x7e]{0,512}$/

/**
 * How long what proves an operation is kept: TS 119 431-1 OVR-6.4.6-01, seven years after the certificate that it is about;
 * without one, seven years from the event.
 */
function evidenceUntil(notAfter: Date | null, now: number): Date {
  const until = new Date(Math.max(notAfter?.getTime() ?? 0, now))
  until.setUTCFullYear(until.getUTCFullYear() + EVIDENCE_YEARS)
  return until
}

/** The tag under which entries with this field are found. */
export function searchTag(name: string, value: string): bigint {
  return BigInt.asIntN(64, BigInt(`0x${hash('sha256', `${name}=${value}`, 'hex').slice(0, 16)}`))
}

/** Digest of one field in the SD-JWT form: SHA-256 over the ASCII of base64url(JSON [salt, name, value]). */
export function fieldDigest(seed: Uint8Array, name: string, value: string): string {
  const salt = createHmac('sha256', seed).update(name).digest().subarray(0, 16).toString('base64url')
  return hash('sha256', Buffer.from(JSON.stringify([salt, name, value])).toString('base64url'), 'base64url')
}

/** Salts and hides everything of an event that leads to a person, a key or a document. */
export function disclose(event: AuditEvent, now: number): Disclosure {
  const definition = EVENTS[event.type]
  const values: Record<string, string | undefined> = { ...event.evidence }
  if (event.actor.id !== undefined) values.actor = event.actor.id
  const fields: [string, string][] = []
  const sd: string[] = []
  const tags: bigint[] = []
  const seed = randomBytes(32)
  for (const name of definition.opens) {
    const value = values[name]
    delete values[name]
    if (value === undefined) {
      sd.push(randomBytes(32).toString('base64url'))
      continue
    }
    fields.push([name, value])
    if (TAGGED.has(name)) tags.push(searchTag(name, value))
  }
  const stray = Object.keys(values).find((name) => values[name] !== undefined)
  if (stray !== undefined) throw new Error(`${event.type} does not open ${stray}`)
  event.digests?.forEach((bytes, i) => {
    const value = Buffer.from(bytes).toString('base64url')
    fields.push([`dtbsr[${i}]`, value])
    tags.push(searchTag('digest', value))
  })
  event.signatureHashes?.forEach((bytes, i) => {
    fields.push([`sigh[${i}]`, Buffer.from(bytes).toString('base64url')])
  })
  for (const [name, value] of fields) sd.push(fieldDigest(seed, name, value))
  const openings: Opening[] = []
  if (fields.length > 0) {
    openings.push({
      class: OPENING_CLASS.evidence,
      seed,
      fields: JSON.stringify(fields),
      tags: [...new Set(tags)],
      retainUntil: evidenceUntil(event.notAfter ?? null, now),
    })
  }
  if (event.origin !== undefined) {
    const networkSeed = randomBytes(32)
    const address: [string, string] = ['ip', event.origin.address]
    sd.push(fieldDigest(networkSeed, ...address))
    openings.push({
      class: OPENING_CLASS.network,
      seed: networkSeed,
      fields: JSON.stringify([address]),
      tags: [],
      retainUntil: new Date(now + NETWORK_YEARS * YEAR),
    })
  }
  return { sd: sd.sort(), openings }
}

/**
 * The exact bytes of an entry: RFC 8785 (JCS) JSON of strings and safe integers. These bytes are hashed and kept; nobody
 * ever has to serialise an entry again.
 *
 * | key | meaning |
 * |---|---|
 * | act | kind of the actor |
 * | api | `v1`, `v2`, `oauth2` or `cli`, where the event came in through a door |
 * | boot, node, seq | the writer's life, its name, and the entry's number in that life |
 * | ev, ph, out, why | event, phase number, outcome, reason |
 * | f | public facts |
 * | n | number of digests |
 * | op, rid | operation, request |
 * | sd | digests of everything hidden |
 * | t, v | event time (UTC, milliseconds), version of this form |
 *
 * @throws Error when a public fact holds anything but printable ASCII or a safe integer.
 */
export function encodeLeaf(event: AuditEvent, op: OperationId, disclosure: Disclosure, place: Place): Buffer {
  const definition = EVENTS[event.type]
  const leaf: Record<string, unknown> = { act: event.actor.kind }
  if (event.origin !== undefined) leaf.api = event.origin.api
  leaf.boot = place.boot
  leaf.ev = event.type
  if (event.facts !== undefined) {
    const facts: Record<string, string | number> = {}
    for (const name of Object.keys(event.facts).sort()) {
      const value = event.facts[name] as string | number
      requirePlain(value)
      facts[name] = value
    }
    leaf.f = facts
  }
  const count = event.digests?.length ?? event.signatureHashes?.length
  if (count !== undefined) leaf.n = count
  leaf.node = place.node
  leaf.op = op
  leaf.out = event.outcome
  leaf.ph = PHASE[definition.phase]
  if (event.origin !== undefined) leaf.rid = event.origin.requestId
  leaf.sd = disclosure.sd
  leaf.seq = place.seq
  leaf.t = new Date(place.time).toISOString()
  leaf.v = 1
  if (event.why !== undefined) {
    requirePlain(event.why)
    leaf.why = event.why
  }
  return Buffer.from(JSON.stringify(leaf))
}

function requirePlain(value: string | number): void {
  if (typeof value === 'string' ? !PRINTABLE.test(value) : !Number.isSafeInteger(value)) {
    throw new Error('a public fact is printable ASCII or a safe integer')
  }
}
