import type { ActWriter } from './act-list.js'
import type { BootRange } from './acts.js'
import { type KnownName, NAME } from './fields.js'
import type { Finding } from './finding.js'
import { latin1 } from './interner.js'
import { EV, type Facts, type KnownEvent, type Leaves, OK, OPERATOR, parseFacts } from './leaf.js'
import { faultOfAssertion, publicKeyOf } from './passkey.js'
import { decodeValue, type Fields } from './scan-openings.js'

/** Fields without which an entry of this event, when it tells of a success, cannot be judged. */
const MUST_OPEN: Partial<Readonly<Record<KnownEvent, readonly KnownName[]>>> = {
  'sign.intent': ['signer', 'client', 'credential', 'session', 'authorization'],
  'sign.repeated': ['signer', 'client', 'credential', 'session', 'authorization'],
  'sad.issued': ['signer', 'client', 'credential', 'session', 'authorization', 'factor'],
  'sad.extended': ['signer', 'client', 'credential', 'session', 'authorization'],
  'sad.revoked': ['authorization'],
  'auth.session_ended': ['session'],
  'factor.enrolled': ['signer', 'factor'],
  'factor.revoked': ['signer', 'factor'],
  'factor.ended': ['signer'],
  'approval.granted': ['signer', 'client', 'credential', 'session', 'approval', 'factor', 'assertion'],
  'signer.invited': ['actor', 'signer'],
  'operator.vouched': ['actor', 'signer'],
  'sign.outcome': [],
}
const MUST = Object.keys(EV).map((ev) => MUST_OPEN[ev as KnownEvent])
/** Events whose entries have a phase of their own. */
const PHASES = new Map([
  [EV['sign.intent'], 1],
  [EV['sign.outcome'], 2],
  [EV['sign.denied'], 3],
  [EV['sign.abandoned'], 4],
  [EV['sign.withheld'], 5],
])
/** What is recorded with another outcome than `ok` and counts all the same. */
const ANY_OUTCOME = new Set([EV['factor.ended'], EV['factor.revoked'], EV['auth.session_ended'], EV['sad.revoked']])
const WHOSE = [NAME.signer, NAME.client, NAME.credential, NAME.session] as const
const OP = 36

/** The judgement of each entry by itself, and what the pass over all entries must know of it. */
export class EntryJudge {
  readonly #leaves: Leaves
  /** Where the leaves are. */
  readonly #bytes: Uint8Array
  readonly #acts: ActWriter

  constructor(leaves: Leaves, bytes: Uint8Array, acts: ActWriter) {
    this.#leaves = leaves
    this.#bytes = bytes
    this.#acts = acts
  }

  /** @param i place of the entry in its range */
  judge(i: number, index: number, fields: Fields | undefined, fault: (finding: Finding) => void): void {
    const leaves = this.#leaves
    const acts = this.#acts
    const ev = leaves.ev[i] as number
    const t = leaves.t[i] as number
    const phase = leaves.ph[i] as number
    const wrong = (rule: Finding['rule'], what: string) => fault({ rule, index, what })
    if ((PHASES.get(ev) ?? 0) !== phase && (phase === 1 || this.#ev(i).startsWith('sign.'))) {
      wrong('R3', `${this.#ev(i)} stands in phase ${phase}`)
    }
    const isOk = leaves.out[i] === OK
    const n = leaves.n[i] as number
    switch (ev) {
      case EV['audit.start']:
        acts.write(['start', index, t, this.#boot(i), this.#facts(i)])
        return
      case EV['audit.stop']:
        acts.write(['stop', index, t, this.#boot(i)])
        return
      case EV['audit.heartbeat']:
        acts.write(['beat', index, t])
        return
      case EV['clock.sync']:
        acts.write(['sync', index, t])
        return
      case EV['clock.step']:
        acts.write(['step', index, t, Number(parseFacts(this.#facts(i))['step']) || 0])
        return
      case EV['clock.unsynced']:
        acts.write(['unsynced', index, t])
        return
      case EV['audit.key']:
        acts.write(['key', index, this.#facts(i)])
        return
      case EV['audit.erase']:
        if (isOk) acts.write(['erase', index, this.#facts(i)])
        return
      case EV['sign.abandoned']:
      case EV['sign.withheld']:
        acts.write(['end', index, t, this.#ev(i), this.#op(i), false, 0])
        return
      case EV['sign.outcome']:
        acts.begin('end').number(index).number(t).text('sign.outcome')
        this.#writeOp(i)
        acts.number(isOk ? 1 : 0).number(n)
    }
    if (!isOk && !ANY_OUTCOME.has(ev)) return
    const names = this.#mustOpen(i, ev)
    if (names === undefined) return
    if (fields === undefined) {
      acts.write(['missing', index, t, this.#ev(i), this.#op(i), n])
      return
    }
    const absent = names.find((name) => fields.find(NAME[name]) < 0)
    if (absent !== undefined) {
      wrong('R8', `${absent} of ${this.#ev(i)} is not opened`)
      return
    }
    if (ev === EV['sign.outcome']) {
      if (!hasItems(fields, 'sigh', n)) wrong('R8', 'sign.outcome does not open as many signatures as it counts')
      return
    }
    if (!hasItems(fields, 'dtbsr', n) || fields.findItem('dtbsr', n) >= 0) {
      wrong('R8', `${this.#ev(i)} does not open as many digests as it counts`)
      return
    }
    this.#writeOpened(i, index, ev, fields, wrong)
  }

  #ev(i: number): string {
    return this.#leaves.evs.words[this.#leaves.ev[i] as number] as string
  }

  #boot(i: number): string {
    return this.#leaves.boots.words[this.#leaves.boot[i] as number] as string
  }

  #facts(i: number): string {
    return latin1(this.#bytes, this.#leaves.factsAt[i] as number, this.#leaves.factsEnd[i] as number)
  }

  #op(i: number): string {
    const at = this.#leaves.opAt[i] as number
    return latin1(this.#bytes, at, at + OP)
  }

  /** Names that must be opened; undefined when none must. */
  #mustOpen(i: number, ev: number): readonly KnownName[] | undefined {
    const names = MUST[ev]
    switch (ev) {
      case EV['approval.granted']: {
        const { factor, kind } = parseFacts(this.#facts(i))
        if (factor !== 'passkey') return undefined
        return kind === 'creation' ? names?.filter((name) => name !== 'credential') : names
      }
      case EV['factor.enrolled']:
        return parseFacts(this.#facts(i))['kind'] === 'recovery' ? undefined : names
      case EV['signer.invited']:
        return this.#leaves.act[i] === OPERATOR ? names : undefined
      default:
        return names
    }
  }

  #writeOpened(
    i: number,
    index: number,
    ev: number,
    fields: Fields,
    wrong: (rule: Finding['rule'], what: string) => void,
  ): void {
    const acts = this.#acts
    const t = this.#leaves.t[i] as number
    const n = this.#leaves.n[i] as number
    const field = (name: KnownName) => {
      const value = fields.find(NAME[name])
      acts.slice(fields.bytes, value < 0 ? 0 : fields.from(value), value < 0 ? 0 : fields.to(value))
    }
    const whose = () => {
      const value = (part: number) => fields.find(WHOSE[part] as number)
      acts.joined(
        fields.bytes,
        WHOSE.length,
        (part) => fields.from(value(part)),
        (part) => fields.to(value(part)),
      )
    }
    const digests = () => {
      const value = (part: number) => fields.findItem('dtbsr', part)
      acts.joined(
        fields.bytes,
        n,
        (part) => fields.from(value(part)),
        (part) => fields.to(value(part)),
      )
    }
    const facts = () => acts.slice(this.#bytes, this.#leaves.factsAt[i] as number, this.#leaves.factsEnd[i] as number)
    switch (ev) {
      case EV['sad.issued']:
        acts.begin('grant').number(index).number(t)
        field('authorization')
        whose()
        field('factor')
        facts()
        digests()
        return
      case EV['sad.extended']:
        acts.begin('extend').number(index)
        field('authorization')
        whose()
        digests()
        return
      case EV['sad.revoked']:
        acts.begin('revoke').number(index).number(t)
        field('authorization')
        return
      case EV['auth.session_ended']:
        acts.begin('session-end').number(index).number(t)
        field('session')
        return
      case EV['sign.intent']:
        acts.begin('intent').number(index).number(t)
        this.#writeOp(i)
        field('authorization')
        whose()
        acts.number(n)
        digests()
        return
      case EV['sign.repeated']:
        acts.begin('repeat').number(index).number(t)
        field('authorization')
        whose()
        facts()
        digests()
        return
      case EV['factor.enrolled']:
        acts.begin('enrol').number(index)
        field('factor')
        field('signer')
        return
      case EV['factor.revoked']:
      case EV['factor.ended']:
        acts.begin('unenrol').number(index)
        field('factor')
        field('signer')
        return
      case EV['signer.invited']:
      case EV['operator.vouched']:
        acts.begin(ev === EV['signer.invited'] ? 'invite' : 'vouch').number(index)
        field('signer')
        field('actor')
        return
      case EV['approval.granted']: {
        const facts = parseFacts(this.#facts(i))
        const { kind, total = 0, ceiling } = facts
        const fault = this.#faultOfApproval(fields, n, facts)
        if (fault !== undefined) wrong('R4', fault)
        acts.begin('approval').number(index).number(t)
        if (kind === 'credential') whose()
        else acts.text('')
        field('factor')
        acts.number(ceiling === undefined ? 0 : 1).number(Number(ceiling ?? total))
        digests()
        acts.text(publicKeyOf(decodeValue(fields, 'assertion')))
      }
    }
  }

  #writeOp(i: number): void {
    const at = this.#leaves.opAt[i] as number
    this.#acts.slice(this.#bytes, at, at + OP)
  }

  #faultOfApproval(fields: Fields, n: number, { kind, total = 0, ceiling }: Facts): string | undefined {
    const digests = Array.from({ length: n }, (_, i) => {
      const value = fields.findItem('dtbsr', i)
      return latin1(fields.bytes, fields.from(value), fields.to(value))
    })
    return faultOfAssertion(decodeValue(fields, 'assertion'), {
      kind: String(kind),
      approval: decodeValue(fields, 'approval'),
      client: decodeValue(fields, 'client'),
      credential: decodeValue(fields, 'credential'),
      total: Number(total),
      ceiling: ceiling === undefined ? undefined : Number(ceiling),
      digests,
    })
  }
}

function hasItems(fields: Fields, name: 'dtbsr' | 'sigh', count: number): boolean {
  for (let i = 0; i < count; i++) if (fields.findItem(name, i) < 0) return false
  return true
}

/** R5 within a range: each writer's numbers without holes, its time never back, its name the same. */
export class BootRanges {
  readonly #leaves: Leaves
  /** By the number of the boot. */
  readonly #boots = new Map<
    number,
    { readonly range: BootRange; readonly node: number; readonly events: Set<number> }
  >()

  constructor(leaves: Leaves) {
    this.#leaves = leaves
  }

  add(i: number, index: number, fault: (finding: Finding) => void): void {
    const leaves = this.#leaves
    const boot = leaves.boot[i] as number
    const node = leaves.node[i] as number
    const ev = leaves.ev[i] as number
    const seq = leaves.seq[i] as number
    const t = leaves.t[i] as number
    const evWord = () => leaves.evs.words[ev] as string
    const known = this.#boots.get(boot)
    if (known === undefined) {
      const range: BootRange = {
        boot: leaves.boots.words[boot] as string,
        node: leaves.nodeOf(i),
        first: { index, seq, t, ev: evWord() },
        last: { index, seq, t },
        events: new Map([[evWord(), index]]),
      }
      this.#boots.set(boot, { range, node, events: new Set([ev]) })
      return
    }
    const { last } = known.range
    const name = known.range.boot
    if (seq !== last.seq + 1) fault({ rule: 'R5', index, what: `number ${seq} of boot ${name} follows on ${last.seq}` })
    if (t < last.t) fault({ rule: 'R5', index, what: `the time goes back in boot ${name}` })
    if (node !== known.node) fault({ rule: 'R5', index, what: `boot ${name} changes its name` })
    last.index = index
    last.seq = seq
    last.t = t
    if (known.events.has(ev)) return
    known.events.add(ev)
    known.range.events.set(evWord(), index)
  }

  all(): BootRange[] {
    return [...this.#boots.values()].map(({ range }) => range)
  }
}
