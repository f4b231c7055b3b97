import type { Origin } from '../activation.js'
import type { OperationId } from '../ids.js'

/** Phases of an operation. Intention and outcome share the operation's id; everything else is `single`. */
export const PHASE = { single: 0, intent: 1, outcome: 2, denied: 3, abandoned: 4, withheld: 5 } as const
export type Phase = keyof typeof PHASE

/** What an opening may be called. The names themselves are hidden behind the digests. */
export type EvidenceName =
  | 'actor' // id of the actor, where he has one
  | 'client'
  | 'signer'
  | 'credential'
  | 'certificate' // serial number, hex
  | 'key' // SHA-256 of the SubjectPublicKeyInfo, base64url
  | 'authorization'
  | 'approval'
  | 'assertion' // JSON of a whole passkey assertion and what it was made over, for whoever verifies it again
  | 'factor'
  | 'session'
  | 'operator'
  | 'query' // what an auditor asked the log for
  | 'stamp' // serial number of a time-stamp, decimal

interface EventDefinition {
  /** Frozen: a number is never given to another event (table audit.event_type). */
  readonly ev: number
  readonly phase: Phase
  /** Openings every entry of this event carries; a missing value becomes a decoy, so that the count tells nothing. */
  readonly opens: readonly EvidenceName[]
  /** Whether a front may write it, and whether a keeper may. */
  readonly front?: true
  readonly keeper?: true
}

/** The event catalogue: every name the log knows. */
export const EVENTS = {
  'audit.init': { ev: 1, phase: 'single', opens: ['actor', 'operator'] },
  'audit.start': { ev: 2, phase: 'single', opens: [], keeper: true },
  'audit.stop': { ev: 3, phase: 'single', opens: [], front: true, keeper: true },
  'audit.key': { ev: 4, phase: 'single', opens: ['actor', 'operator'] },
  'audit.heartbeat': { ev: 5, phase: 'single', opens: [], keeper: true },
  'audit.fork_detected': { ev: 6, phase: 'single', opens: [], keeper: true },
  'audit.read': { ev: 7, phase: 'single', opens: ['actor', 'operator', 'query'] },
  'audit.export': { ev: 8, phase: 'single', opens: ['actor', 'operator', 'query'] },
  'audit.erase': { ev: 9, phase: 'single', opens: ['actor', 'operator', 'signer'] },
  'clock.sync': { ev: 20, phase: 'single', opens: [], keeper: true },
  'clock.step': { ev: 21, phase: 'single', opens: [], keeper: true },
  'clock.unsynced': { ev: 22, phase: 'single', opens: [], keeper: true },
  'audit.anchored': { ev: 10, phase: 'single', opens: [], keeper: true },
  'key.generated': { ev: 50, phase: 'single', opens: ['actor', 'signer', 'credential', 'key'] },
  'key.linked_cert': { ev: 51, phase: 'single', opens: ['actor', 'signer', 'credential', 'certificate', 'key'] },
  'credential.created': {
    ev: 70,
    phase: 'single',
    opens: ['actor', 'client', 'signer', 'credential', 'session', 'approval'],
  },
  'credential.suspended': { ev: 71, phase: 'single', opens: ['actor', 'signer', 'credential'] },
  'credential.resumed': { ev: 72, phase: 'single', opens: ['actor', 'signer', 'credential'] },
  'credential.revoked': { ev: 73, phase: 'single', opens: ['actor', 'signer', 'credential'] },
  'credential.request_signed': { ev: 74, phase: 'outcome', opens: ['actor', 'signer', 'credential', 'key'] },
  'credential.listed': { ev: 75, phase: 'single', opens: ['actor', 'client', 'session'], front: true },
  'credential.read': { ev: 76, phase: 'single', opens: ['actor', 'client', 'session', 'credential'], front: true },
  'credential.abandoned': { ev: 77, phase: 'single', opens: ['signer', 'credential'] },
  'credential.policy_changed': { ev: 78, phase: 'single', opens: ['actor', 'signer', 'credential'] },
  'signer.enrolled': { ev: 80, phase: 'single', opens: ['actor', 'signer'] },
  'signer.suspended': { ev: 81, phase: 'single', opens: ['actor', 'signer'] },
  'signer.resumed': { ev: 82, phase: 'single', opens: ['actor', 'signer'] },
  'signer.unlocked': { ev: 83, phase: 'single', opens: ['actor', 'signer'] },
  'signer.password_set': { ev: 84, phase: 'single', opens: ['actor', 'signer'] },
  'signer.invited': { ev: 85, phase: 'single', opens: ['actor', 'signer'] },
  'signer.activated': { ev: 86, phase: 'single', opens: ['actor', 'signer'] },
  'signer.contact_changed': { ev: 87, phase: 'single', opens: ['actor', 'signer'] },
  'signer.recovered': { ev: 88, phase: 'single', opens: ['actor', 'signer'] },
  'signer.stopped': { ev: 89, phase: 'single', opens: ['actor', 'client', 'signer', 'session'] },
  'factor.enrolled': { ev: 90, phase: 'single', opens: ['actor', 'signer', 'factor'] },
  'factor.failed': { ev: 91, phase: 'single', opens: ['actor', 'client', 'signer', 'credential', 'session'] },
  'factor.locked': { ev: 92, phase: 'single', opens: ['actor', 'client', 'signer', 'credential', 'session'] },
  'factor.revoked': { ev: 93, phase: 'single', opens: ['actor', 'signer', 'factor'] },
  'factor.ended': { ev: 94, phase: 'single', opens: ['actor', 'signer', 'factor'] },
  'factor.challenge_sent': {
    ev: 95,
    phase: 'single',
    opens: ['actor', 'client', 'signer', 'credential', 'session', 'factor'],
  },
  'factor.verified': { ev: 96, phase: 'single', opens: ['actor', 'client', 'signer', 'session', 'factor'] },
  'factor.drifted': { ev: 97, phase: 'single', opens: ['actor', 'client', 'signer', 'session', 'factor'] },
  'signer.notified': { ev: 98, phase: 'single', opens: ['signer'] },
  'auth.login': { ev: 100, phase: 'single', opens: ['actor', 'client', 'signer', 'session'] },
  'auth.login_failed': { ev: 101, phase: 'single', opens: ['actor', 'client', 'signer'] },
  'auth.token_refreshed': { ev: 102, phase: 'single', opens: ['actor', 'client', 'signer', 'session'] },
  'auth.token_revoked': { ev: 103, phase: 'single', opens: ['actor', 'client', 'signer', 'session'] },
  'auth.session_ended': { ev: 104, phase: 'single', opens: ['actor', 'client', 'signer', 'session'] },
  'auth.session_extended': { ev: 105, phase: 'single', opens: ['actor', 'client', 'signer', 'session'] },
  'auth.token_issued': { ev: 106, phase: 'single', opens: ['actor', 'client', 'signer', 'session', 'approval'] },
  'auth.device_known': { ev: 107, phase: 'single', opens: ['actor', 'signer', 'session'] },
  'auth.session_read': { ev: 108, phase: 'single', opens: ['actor', 'client', 'signer', 'session'], front: true },
  'sad.issued': {
    ev: 110,
    phase: 'single',
    opens: ['actor', 'client', 'signer', 'credential', 'session', 'authorization', 'factor'],
  },
  'sad.denied': { ev: 111, phase: 'single', opens: ['actor', 'client', 'signer', 'credential', 'session'] },
  'sad.extended': {
    ev: 112,
    phase: 'single',
    opens: ['actor', 'client', 'signer', 'credential', 'session', 'authorization'],
  },
  'sad.revoked': {
    ev: 113,
    phase: 'single',
    opens: ['actor', 'client', 'signer', 'credential', 'session', 'authorization'],
  },
  'approval.requested': {
    ev: 114,
    phase: 'single',
    opens: ['actor', 'client', 'signer', 'credential', 'session', 'approval'],
  },
  'approval.granted': {
    ev: 115,
    phase: 'single',
    opens: ['actor', 'client', 'signer', 'credential', 'session', 'approval', 'factor', 'assertion'],
  },
  'approval.denied': {
    ev: 116,
    phase: 'single',
    opens: ['actor', 'client', 'signer', 'credential', 'session', 'approval'],
  },
  'sign.intent': {
    ev: 120,
    phase: 'intent',
    opens: ['actor', 'client', 'signer', 'credential', 'certificate', 'key', 'session', 'authorization'],
  },
  'sign.outcome': { ev: 121, phase: 'outcome', opens: ['credential'] },
  'sign.denied': {
    ev: 122,
    phase: 'denied',
    opens: ['actor', 'client', 'signer', 'credential', 'certificate', 'key', 'session', 'authorization'],
  },
  'sign.abandoned': { ev: 123, phase: 'abandoned', opens: ['credential'] },
  'sign.withheld': { ev: 124, phase: 'withheld', opens: ['credential'] },
  'sign.repeated': {
    ev: 125,
    phase: 'single',
    opens: ['actor', 'client', 'signer', 'credential', 'certificate', 'key', 'session', 'authorization'],
  },
  'access.refused': { ev: 130, phase: 'single', opens: ['actor', 'client'], front: true },
  'receipt.given': { ev: 131, phase: 'single', opens: ['actor', 'client', 'signer', 'session'] },
  'client.created': { ev: 140, phase: 'single', opens: ['actor', 'client'] },
  'client.disabled': { ev: 141, phase: 'single', opens: ['actor', 'client'] },
  'client.rotated': { ev: 142, phase: 'single', opens: ['actor', 'client'] },
  'client.changed': { ev: 143, phase: 'single', opens: ['actor', 'client'] },
  'operator.created': { ev: 150, phase: 'single', opens: ['actor', 'operator'] },
  'operator.disabled': { ev: 151, phase: 'single', opens: ['actor', 'operator'] },
  'operator.refused': { ev: 152, phase: 'single', opens: ['actor'] },
  'operator.vouched': { ev: 153, phase: 'single', opens: ['actor', 'operator', 'signer'] },
  'timestamp.issued': { ev: 160, phase: 'single', opens: ['actor', 'client', 'signer', 'session', 'stamp'] },
} as const satisfies Record<string, EventDefinition>

export type EventName = keyof typeof EVENTS
/** Events that a writer of this kind may write; the database takes no other from it. */
export type EventOf<Kind extends 'front' | 'keeper'> = {
  [Name in EventName]: (typeof EVENTS)[Name] extends { [K in Kind]: true } ? Name : never
}[EventName]
export type FrontEventName = EventOf<'front'>

/** Who did it. Never absent: what nobody signed in for is `anonymous` and has an address. */
export interface Actor {
  readonly kind: 'signer' | 'client' | 'operator' | 'system' | 'anonymous'
  readonly id?: string
}

export type Outcome = 'ok' | 'refused' | 'failed' | 'indeterminate'

/** One thing that happened. What is in `facts` is public for good; everything else stays behind salted digests. */
export interface AuditEvent<Name extends EventName = EventName> {
  readonly type: Name
  /** The operation; made anew when absent. */
  readonly op?: OperationId
  readonly outcome: Outcome
  readonly actor: Actor
  readonly origin?: Origin
  /** Reason of a refusal or failure: an `ErrorCode` or another fixed word, never text from outside. */
  readonly why?: string
  /** Public facts: fixed words and whole numbers, nothing that leads to a person or document. */
  readonly facts?: Readonly<Record<string, string | number>>
  /** Hidden behind salted digests; only names that the event's definition lists. */
  readonly evidence?: Readonly<Partial<Record<EvidenceName, string>>>
  /** The document hashes of the operation, each behind its own digest. */
  readonly digests?: readonly Uint8Array[]
  /** SHA-256 of each signature value, each behind its own digest. */
  readonly signatureHashes?: readonly Uint8Array[]
  /** End of the certificate that it is about, from which the time is counted that its openings are kept; now when absent. */
  readonly notAfter?: Date | null
}
