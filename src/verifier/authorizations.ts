import type { Act } from './acts.js'
import type { Finding } from './finding.js'
import { IdTable, idOfText, markOf } from './id-table.js'
import { parseFacts } from './leaf.js'

/** A grant is used within a day of its making. */
const LIFE_MS = 24 * 3600_000
/** What ended a grant shows in its uses after so long: clocks of two machines differ. */
const SKEW_MS = 5000
/** Grants are kept at least up to this many, so that clocks hardly matter in a small log. */
const KEPT = 100_000

interface Grant {
  readonly t: number
  readonly whose: string
  readonly session: string
  readonly bound: boolean
  readonly remembered: boolean
  /** Signatures. */
  left: number
  /** Of a bound grant: how often each digest may still be used, or those that may be once more, joined by LF. */
  digests: Map<string, number> | string
  revoked: number | undefined
}

type Of<Kind extends Act[0]> = Extract<Act, readonly [Kind, ...unknown[]]>

/** R4: every use of a key is within what its signer agreed to, with a factor of his. */
export class Authorizations {
  readonly #fault: (finding: Finding) => void
  readonly #grants = new Map<string, Grant>()
  /** Grants that have nothing left and are not remembered, with a mark of whose they were. */
  readonly #spent = new IdTable(1)
  readonly #sessionsEnded = new Map<string, number>()
  /** Signer of each factor that was enrolled and not ended. */
  readonly #factors = new Map<string, string>()
  readonly #factorsOf = new Map<string, Set<string>>()
  /** Approvals by passkey that no grant has followed yet. */
  readonly #approvals = new Map<string, { readonly t: number; readonly totals: number[] }>()
  /** The public key of each passkey, as its first assertion showed it. */
  readonly #passkeys = new Map<string, string>()
  /** Time of the newest entry of each event whose opening is missing. */
  readonly #missing = new Map<string, number>()

  constructor(fault: (finding: Finding) => void) {
    this.#fault = fault
  }

  /** The opening of an entry is missing; what depends on it cannot be judged. */
  miss(ev: string, t: number): void {
    this.#missing.set(ev, Math.max(t, this.#missing.get(ev) ?? 0))
  }

  grant([, index, t, id, whose, factor, facts, digests]: Of<'grant'>): void {
    const { kind, total, session, factor: how } = parseFacts(facts)
    const wrong = (what: string) => this.#fault({ rule: 'R4', index, what })
    const signer = whose.slice(0, whose.indexOf('\n'))
    if (this.#grants.has(id) || this.#findSpent(id) >= 0) wrong(`authorization ${id} is granted twice`)
    if ((kind !== 'bound' && kind !== 'open') || typeof total !== 'number' || total < 1) {
      wrong('the grant does not say what it grants')
      return
    }
    if (this.#factors.get(factor) !== signer && !this.#missing.has('factor.enrolled')) {
      wrong(`factor ${factor} was not enrolled for this signer, or had ended`)
    }
    if (how === 'passkey') this.#follow(approvalKey(whose.split('\n'), factor, session === 1, digests), total, wrong)
    this.#forget(t)
    this.#grants.set(id, {
      t,
      whose,
      session: whose.slice(whose.lastIndexOf('\n') + 1),
      bound: kind === 'bound',
      remembered: session === 1,
      left: total,
      digests: kind === 'bound' ? digests : '',
      revoked: undefined,
    })
  }

  extend([, index, id, whose, digests]: Of<'extend'>): void {
    const grant = this.#grants.get(id)
    const wrong = (what: string) => this.#fault({ rule: 'R4', index, what })
    const other = `authorization ${id} belongs to another signer, client, credential or session`
    if (grant === undefined) {
      const spent = this.#findSpent(id)
      if (spent < 0) {
        if (!this.#missing.has('sad.issued')) wrong(`authorization ${id} was not granted`)
        return
      }
      if (this.#spent.values[spent] !== markOf(whose)) wrong(other)
      if (digests !== '') wrong('digests are added to a grant that was not remembered')
      return
    }
    if (grant.whose !== whose) wrong(other)
    if (digests !== '' && !grant.remembered) wrong('digests are added to a grant that was not remembered')
    this.#add(grant, digests)
  }

  revoke([, , t, id]: Of<'revoke'>): void {
    const grant = this.#grants.get(id)
    if (grant !== undefined) grant.revoked = Math.min(t, grant.revoked ?? t)
  }

  endSession([, , t, session]: Of<'session-end'>): void {
    if (!this.#sessionsEnded.has(session)) this.#sessionsEnded.set(session, t)
  }

  use([, index, t, , id, whose, n, digests]: Of<'intent'>): void {
    const grant = this.#grants.get(id)
    const wrong = (what: string) => this.#fault({ rule: 'R4', index, what })
    if (grant === undefined) {
      if (this.#findSpent(id) >= 0) {
        wrong(`authorization ${id} has nothing left`)
        return
      }
      const missing = this.#missing.get('sad.issued')
      if (missing === undefined || missing < t - LIFE_MS) wrong(`authorization ${id} was not granted`)
      return
    }
    if (grant.whose !== whose) wrong(`authorization ${id} belongs to another signer, client, credential or session`)
    if (t - grant.t > LIFE_MS) wrong(`authorization ${id} is older than a day`)
    const ended = Math.min(grant.revoked ?? Infinity, this.#sessionsEnded.get(grant.session) ?? Infinity)
    if (t - ended > SKEW_MS) wrong(`authorization ${id} had ended`)
    const before = grant.left
    grant.left -= n
    if (before >= 0 && grant.left < 0) wrong(`authorization ${id} gives ${-grant.left} signatures more than it has`)
    if (grant.bound) this.#useDigests(grant, digests, wrong)
    if (grant.left > 0 || grant.remembered) return
    this.#grants.delete(id)
    const at = this.#spent.place(...idOfText(id))
    this.#spent.states[at] = 1
    this.#spent.values[at] = markOf(grant.whose)
  }

  #useDigests(grant: Grant, digests: string, wrong: (what: string) => void): void {
    if (grant.digests === digests) {
      grant.digests = ''
      return
    }
    const unused = typeof grant.digests === 'string' ? countsOf(grant.digests) : grant.digests
    grant.digests = unused
    for (const digest of digests.split('\n')) {
      const left = unused.get(digest) ?? 0
      if (left > 1) unused.set(digest, left - 1)
      else unused.delete(digest)
      if (left === 0 && !this.#missing.has('sad.extended')) {
        wrong(`digest ${digest} was not granted, or not so often`)
        return
      }
    }
  }

  enrol([, index, factor, signer]: Of<'enrol'>): void {
    const before = this.#factors.get(factor)
    if (before !== undefined && before !== signer) {
      this.#fault({ rule: 'R4', index, what: `factor ${factor} is enrolled for a second signer` })
    }
    this.#factors.set(factor, signer)
    this.#factorsOf.set(signer, (this.#factorsOf.get(signer) ?? new Set()).add(factor))
  }

  unenrol([, , factor, signer]: Of<'unenrol'>): void {
    const own = this.#factorsOf.get(signer)
    for (const each of factor === '' ? (own ?? []) : [factor]) {
      if (this.#factors.get(each) === signer) this.#factors.delete(each)
      own?.delete(each)
    }
  }

  approve([, index, t, whose, factor, remembered, total, digests, publicKey]: Of<'approval'>): void {
    const known = this.#passkeys.get(factor)
    if (known !== undefined && known !== publicKey) {
      this.#fault({ rule: 'R4', index, what: `passkey ${factor} answers with another key than before` })
    }
    this.#passkeys.set(factor, publicKey)
    if (whose === '') return
    const key = approvalKey(whose.split('\n'), factor, remembered, digests)
    const totals = this.#approvals.get(key)?.totals ?? []
    totals.push(total)
    this.#approvals.delete(key)
    this.#approvals.set(key, { t, totals })
  }

  /** A grant by passkey follows from one approval, of the same and of no less. */
  #follow(key: string, total: number, wrong: (what: string) => void): void {
    const approval = this.#approvals.get(key)
    const at = approval?.totals.findIndex((approved) => approved >= total) ?? -1
    if (approval === undefined || at < 0) {
      if (!this.#missing.has('approval.granted')) wrong('no approval by this passkey allows this grant')
      return
    }
    approval.totals.splice(at, 1)
    if (approval.totals.length === 0) this.#approvals.delete(key)
  }

  #add(grant: Grant, digests: string): void {
    if (!grant.bound || digests === '') return
    if (grant.digests === '') grant.digests = digests
    else if (typeof grant.digests === 'string') grant.digests = `${grant.digests}\n${digests}`
    else for (const digest of digests.split('\n')) grant.digests.set(digest, (grant.digests.get(digest) ?? 0) + 1)
  }

  #findSpent(id: string): number {
    return this.#spent.find(...idOfText(id))
  }

  #forget(now: number): void {
    const old = (t: number) => now - t > LIFE_MS + 3600_000
    forgetFirst(this.#grants, ({ t }) => old(t))
    forgetFirst(this.#sessionsEnded, old)
    forgetFirst(this.#approvals, ({ t }) => old(t))
  }
}

function countsOf(digests: string): Map<string, number> {
  const counts = new Map<string, number>()
  if (digests === '') return counts
  for (const digest of digests.split('\n')) counts.set(digest, (counts.get(digest) ?? 0) + 1)
  return counts
}

/** A map is in the order of its making, which is nearly that of time. */
function forgetFirst<Value>(map: Map<string, Value>, old: (value: Value) => boolean): void {
  if (map.size <= KEPT) return
  for (const [key, value] of map) {
    if (!old(value) || map.size <= KEPT) return
    map.delete(key)
  }
}

function approvalKey(
  [signer, client, credential]: readonly string[],
  factor: string,
  remembered: boolean,
  digests: string,
): string {
  return [signer, client, credential, factor, remembered, digests].join('\n')
}
