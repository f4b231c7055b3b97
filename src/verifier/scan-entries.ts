import type { Act, BootRange } from './acts.js'
import type { Finding } from './finding.js'
import { type Leaf, parseFacts } from './leaf.js'
import { faultOfAssertion, publicKeyOf } from './passkey.js'
import { decodeValue, type Fields } from './scan-openings.js'

/** Fields without which an entry of this event, when it tells of a success, cannot be judged. */
const MUST_OPEN: Readonly<Record<string, readonly string[]>> = {
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
/** Events whose entries have a phase of their own. */
const PHASES: Readonly<Record<string, number>> = {
  'sign.intent': 1,
  'sign.outcome': 2,
  'sign.denied': 3,
  'sign.abandoned': 4,
  'sign.withheld': 5,
}
/** What is recorded with another outcome than `ok` and counts all the same. */
const ANY_OUTCOME = new Set(['factor.ended', 'factor.revoked', 'auth.session_ended', 'sad.revoked'])

/** The judgement of one entry by itself, and what the pass over all entries must know of it. */
export function actsOf(
  index: number,
  leaf: Leaf,
  fields: Fields | undefined,
  acts: Act[],
  fault: (finding: Finding) => void,
): void {
  const { ev, t } = leaf
  const wrong = (rule: Finding['rule'], what: string) => fault({ rule, index, what })
  if ((PHASES[ev] ?? 0) !== leaf.ph && (ev.startsWith('sign.') || leaf.ph === 1)) {
    wrong('R3', `${ev} stands in phase ${leaf.ph}`)
  }
  switch (ev) {
    case 'audit.start':
      acts.push(['start', index, t, leaf.boot, leaf.facts ?? ''])
      return
    case 'audit.stop':
      acts.push(['stop', index, t, leaf.boot])
      return
    case 'audit.heartbeat':
      acts.push(['beat', index, t])
      return
    case 'clock.sync':
      acts.push(['sync', index, t])
      return
    case 'clock.step':
      acts.push(['step', index, t, Number(factOf(leaf, 'step')) || 0])
      return
    case 'clock.unsynced':
      acts.push(['unsynced', index, t])
      return
    case 'audit.key':
      acts.push(['key', index, leaf.facts ?? ''])
      return
    case 'audit.erase':
      if (leaf.out === 'ok') acts.push(['erase', index, leaf.facts ?? ''])
      return
    case 'sign.abandoned':
    case 'sign.withheld':
      acts.push(['end', index, t, ev, leaf.op, false, 0])
      return
  }
  if (ev === 'sign.outcome') acts.push(['end', index, t, ev, leaf.op, leaf.out === 'ok', leaf.n ?? 0])
  if (leaf.out !== 'ok' && !ANY_OUTCOME.has(ev)) return
  const names = mustOpen(leaf)
  if (names === undefined) return
  if (fields === undefined) {
    acts.push(['missing', index, t, ev, leaf.op, leaf.n ?? 0])
    return
  }
  const absent = names.find((name) => !fields.has(name))
  if (absent !== undefined) {
    wrong('R8', `${absent} of ${ev} is not opened`)
    return
  }
  judgeOpened(index, leaf, fields, acts, wrong)
}

/** Names that must be opened; undefined when none must. */
function mustOpen(leaf: Leaf): readonly string[] | undefined {
  const names = MUST_OPEN[leaf.ev]
  if (names === undefined) return undefined
  switch (leaf.ev) {
    case 'approval.granted':
      if (factOf(leaf, 'factor') !== 'passkey') return undefined
      return factOf(leaf, 'kind') === 'creation' ? names.filter((name) => name !== 'credential') : names
    case 'factor.enrolled':
      return factOf(leaf, 'kind') === 'recovery' ? undefined : names
    case 'signer.invited':
      return leaf.act === 'operator' ? names : undefined
    case 'sign.outcome':
      return Array.from({ length: leaf.n ?? 0 }, (_, i) => `sigh[${i}]`)
    default:
      return names
  }
}

const factOf = (leaf: Leaf, name: string) => parseFacts(leaf.facts ?? '')?.[name]

function judgeOpened(
  index: number,
  leaf: Leaf,
  fields: Fields,
  acts: Act[],
  wrong: (rule: Finding['rule'], what: string) => void,
): void {
  const { ev, t } = leaf
  const facts = leaf.facts ?? ''
  const field = (name: string) => fields.get(name) as string
  const whose = () => `${field('signer')}\n${field('client')}\n${field('credential')}\n${field('session')}`
  const digests = digestsOf(fields, leaf.n ?? 0)
  if (digests === undefined && ev !== 'sign.outcome') {
    wrong('R8', `${ev} does not open as many digests as it counts`)
    return
  }
  const joined = (digests ?? []).join('\n')
  switch (ev) {
    case 'sad.issued':
      acts.push(['grant', index, t, field('authorization'), whose(), field('factor'), facts, joined])
      return
    case 'sad.extended':
      acts.push(['extend', index, field('authorization'), whose(), joined])
      return
    case 'sad.revoked':
      acts.push(['revoke', index, t, field('authorization')])
      return
    case 'auth.session_ended':
      acts.push(['session-end', index, t, field('session')])
      return
    case 'sign.intent':
      acts.push(['intent', index, t, leaf.op, field('authorization'), whose(), leaf.n ?? 0, joined])
      return
    case 'sign.repeated':
      acts.push(['repeat', index, t, field('authorization'), whose(), facts, joined])
      return
    case 'factor.enrolled':
      acts.push(['enrol', index, field('factor'), field('signer')])
      return
    case 'factor.revoked':
    case 'factor.ended':
      acts.push(['unenrol', index, fields.get('factor') ?? '', field('signer')])
      return
    case 'signer.invited':
      acts.push(['invite', index, field('signer'), field('actor')])
      return
    case 'operator.vouched':
      acts.push(['vouch', index, field('signer'), field('actor')])
      return
    case 'approval.granted': {
      const assertion = decodeValue(field('assertion'))
      const total = factOf(leaf, 'total') ?? 0
      const kind = String(factOf(leaf, 'kind'))
      const ceiling = factOf(leaf, 'ceiling')
      const fault = faultOfAssertion(assertion, {
        kind,
        approval: decodeValue(field('approval')),
        client: decodeValue(field('client')),
        credential: decodeValue(fields.get('credential') ?? ''),
        total: Number(total),
        ceiling: ceiling === undefined ? undefined : Number(ceiling),
        digests: digests ?? [],
      })
      if (fault !== undefined) wrong('R4', fault)
      const signing = kind === 'credential' ? whose() : ''
      const most = Number(ceiling ?? total)
      const remembered = ceiling !== undefined
      const key = publicKeyOf(assertion)
      acts.push(['approval', index, t, signing, field('factor'), remembered, most, joined, key])
    }
  }
}

/** The digests that were to be signed, in order; undefined when they are not `count` many. */
function digestsOf(fields: Fields, count: number): string[] | undefined {
  const digests: string[] = []
  for (let i = 0; i < count; i++) {
    const digest = fields.get(`dtbsr[${i}]`)
    if (digest === undefined) return undefined
    digests.push(digest)
  }
  return fields.has(`dtbsr[${count}]`) ? undefined : digests
}

/** R5 within a range: each writer's numbers without holes, its time never back, its name the same. */
export class BootRanges {
  readonly #boots = new Map<string, BootRange>()
  #newest: BootRange | undefined

  add(index: number, leaf: Leaf, fault: (finding: Finding) => void): void {
    const { boot, seq, t, ev, node } = leaf
    const known = this.#newest?.boot === boot ? this.#newest : this.#boots.get(boot)
    if (known === undefined) {
      this.#newest = {
        boot,
        node,
        first: { index, seq, t, ev },
        last: { index, seq, t },
        events: new Map([[ev, index]]),
      }
      this.#boots.set(boot, this.#newest)
      return
    }
    this.#newest = known
    const { last } = known
    if (seq !== last.seq + 1) {
      fault({ rule: 'R5', index, what: `number ${seq} of boot ${boot} follows on ${last.seq}` })
    }
    if (t < last.t) fault({ rule: 'R5', index, what: `the time goes back in boot ${boot}` })
    if (node !== known.node) fault({ rule: 'R5', index, what: `boot ${boot} changes its name` })
    known.last = { index, seq, t }
    if (!known.events.has(ev)) known.events.set(ev, index)
  }

  all(): BootRange[] {
    return [...this.#boots.values()]
  }
}
