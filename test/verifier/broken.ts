/** Ways to break each rule: with the writers' keys, as a taken-over process has them, or with the checkpoint key. */
import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { signFlush } from '../../src/audit/boot.js'
import type { AuditEvent } from '../../src/audit/event.js'
import { type LogItem, logItem } from '../../src/audit/sequence.js'
import { newId, type OperationId } from '../../src/ids.js'
import type { Rule } from '../../src/verifier/finding.js'
import { edited, makeCheckpointKey, type Signer, TestLog } from '../helpers/pack.js'

/** @returns the index that must be named, or undefined for what has none */
type Break = (log: TestLog, who: Signer) => number | undefined | Promise<number | undefined>

export interface Broken {
  readonly rule: Rule
  readonly what: string
  /** A log in which nothing else is wrong, and the index at fault. */
  make(): Promise<{ log: TestLog; index: number | undefined }>
}

export const BROKEN: Broken[] = []

function breaks(rule: Rule, what: string, how: Break): void {
  const make = async () => {
    const log = new TestLog()
    const who = log.newSigner()
    log.signOnce(who)
    log.publish()
    const index = await how(log, who)
    log.publish()
    return { log, index }
  }
  BROKEN.push({ rule, what, make })
}

export const id = () => newId<OperationId>()
export const digest = () => randomBytes(32)
export const system = { kind: 'system' } as const
const stopped: AuditEvent = { type: 'audit.stop', outcome: 'ok', actor: system }

// R1

breaks('R1', 'a checkpoint of a key that no entry named', (log) => {
  const key = makeCheckpointKey(log.signing.key.name)
  log.trust(key)
  log.checkpoints.push({ size: log.entries.length, note: '' })
  const note = log.sign(log.entries.length, log.rootNow(), key)
  log.checkpoints.splice(-2, 2, { size: log.entries.length, note })
  return undefined
})
breaks('R1', 'a checkpoint before the entry that names its key', (log) => {
  const early = log.entries.length
  const root = log.rootNow()
  const key = log.newCheckpointKey()
  log.checkpoints.splice(-1, 1, { size: early, note: log.sign(early, root, key) })
  return undefined
})
breaks('R1', 'a checkpoint that a key outside the policy signed', (log) => {
  const key = makeCheckpointKey(log.signing.key.name)
  const size = log.entries.length
  log.checkpoints.splice(-1, 1, { size, note: log.sign(size, log.rootNow(), key) })
  return undefined
})

// R2

breaks('R2', 'an entry changed, and the newest checkpoint signed anew', async (log) => {
  log.entries[8] = edited(log.entries[8] as Buffer, (leaf) => {
    leaf['t'] = '2026-11-24T10:00:00.001Z'
  })
  log.checkpoints.push({
    size: log.commit(log.sam, [stopped]) + 1,
    note: '',
  })
  await log.resign(1)
  return undefined
})

// R3

breaks('R3', 'an outcome without an intention', (log, who) => log.commit(log.sam, [log.outcome(who, id(), 1)]))
breaks('R3', 'a second end', (log, who) => {
  const { op } = log.signOnce(who)
  return log.commit(log.sam, [
    { type: 'sign.abandoned', op: op as OperationId, outcome: 'indeterminate', actor: system, evidence: {} },
  ])
})
breaks('R3', 'an outcome twice', (log, who) => {
  const { op } = log.signOnce(who)
  return log.commit(log.sam, [log.outcome(who, op, 1)])
})
breaks('R3', 'an operation recorded twice', (log) => {
  const stop = logItem({ type: 'audit.stop', outcome: 'ok', actor: system }, log.now)
  log.commit(log.sam, [stop])
  return log.commit(log.sam, [stop])
})
breaks('R3', 'more signatures than digests', (log, who) => {
  const grant = id()
  log.commit(log.sam, [log.issued(who, grant, undefined, 5)])
  const intent = log.intent(who, grant, [digest()])
  log.commit(log.sam, [intent])
  return log.commit(log.sam, [log.outcome(who, intent.op, 2)])
})
breaks('R3', 'an intention without an end', (log, who) => {
  const grant = id()
  log.commit(log.sam, [log.issued(who, grant, undefined, 5)])
  const at = log.commit(log.sam, [log.intent(who, grant, [digest()])])
  log.now += 601_000
  log.commit(log.sam, [stopped])
  return at
})
breaks('R3', 'both intended and denied', (log, who) => {
  const { op } = log.signOnce(who)
  return log.commit(log.sam, [{ type: 'sign.denied', op: op as OperationId, outcome: 'refused', actor: system }])
})
breaks('R3', 'an answer given again for other digests', (log, who) => {
  const { op, authorization } = log.signOnce(who)
  return log.commit(log.sam, [repeated(log, who, authorization, op, [digest()])])
})
breaks('R3', 'an answer given again that was never given', (log, who) => {
  const { authorization, digests } = log.signOnce(who)
  return log.commit(log.sam, [repeated(log, who, authorization, id(), digests)])
})

export function repeated(
  log: TestLog,
  who: Signer,
  authorization: string,
  first: string,
  digests: Uint8Array[],
): LogItem {
  const { signer, client, credential, session } = who
  return logItem(
    {
      ...{ type: 'sign.repeated', outcome: 'ok', actor: { kind: 'signer', id: signer }, origin: log.origin() },
      ...{ facts: { first }, digests, evidence: { signer, client, credential, session, authorization } },
    },
    log.now,
  )
}

// R4

breaks('R4', 'an intention without a grant', (log, who) => intend(log, who, id(), [digest()]))
breaks('R4', 'more than was granted', (log, who) => {
  const grant = id()
  log.commit(log.sam, [log.issued(who, grant, undefined, 2)])
  intend(log, who, grant, [digest(), digest()])
  return intend(log, who, grant, [digest()])
})
breaks('R4', 'a digest that was not granted', (log, who) => {
  const grant = id()
  log.commit(log.sam, [log.issued(who, grant, [digest()], 1)])
  return intend(log, who, grant, [digest()])
})
breaks('R4', 'a digest more often than granted', (log, who) => {
  const grant = id()
  const [a, b] = [digest(), digest()]
  log.commit(log.sam, [log.issued(who, grant, [a, b], 5)])
  intend(log, who, grant, [a])
  return intend(log, who, grant, [a])
})
for (const member of ['signer', 'client', 'credential', 'session'] as const) {
  breaks('R4', `the grant of another ${member}`, (log, who) => {
    const grant = id()
    log.commit(log.sam, [log.issued(who, grant, undefined, 2)])
    return intend(log, { ...who, [member]: id() }, grant, [digest()])
  })
}
breaks('R4', 'a grant whose session ended', (log, who) => {
  const grant = id()
  log.commit(log.sam, [log.issued(who, grant, undefined, 2)])
  const { signer, client, session } = who
  log.commit(log.sam, [
    { type: 'auth.session_ended', outcome: 'ok', actor: system, evidence: { signer, client, session } },
  ])
  log.now += 5001
  return intend(log, who, grant, [digest()])
})
breaks('R4', 'a grant that was revoked', (log, who) => {
  const authorization = id()
  log.commit(log.sam, [log.issued(who, authorization, undefined, 2)])
  log.commit(log.sam, [{ type: 'sad.revoked', outcome: 'ok', actor: system, evidence: { authorization } }])
  log.now += 5001
  return intend(log, who, authorization, [digest()])
})
breaks('R4', 'a grant of the day before yesterday', (log, who) => {
  const grant = id()
  log.commit(log.sam, [log.issued(who, grant, undefined, 2)])
  log.now += 86_400_001
  return intend(log, who, grant, [digest()])
})
breaks('R4', 'a grant by a factor of somebody else', (log, who) => {
  const { factor } = log.newSigner()
  return log.commit(log.sam, [log.issued({ ...who, factor }, id(), undefined, 1)])
})
breaks('R4', 'a grant by a factor that had ended', (log, who) => {
  const { signer, factor } = who
  log.commit(log.sam, [{ type: 'factor.revoked', outcome: 'ok', actor: system, evidence: { signer, factor } }])
  return log.commit(log.sam, [log.issued(who, id(), undefined, 1)])
})
breaks('R4', 'a grant by a factor that ended with all others', (log, who) => {
  const { signer } = who
  log.commit(log.sam, [{ type: 'factor.ended', outcome: 'refused', actor: system, evidence: { signer } }])
  return log.commit(log.sam, [log.issued(who, id(), undefined, 1)])
})
breaks('R4', 'a grant twice', (log, who) => {
  const grant = id()
  log.commit(log.sam, [log.issued(who, grant, undefined, 1)])
  return log.commit(log.sam, [log.issued(who, grant, undefined, 1)])
})
breaks('R4', 'a grant twice, the first of which is spent', (log, who) => {
  const { authorization } = log.signOnce(who)
  return log.commit(log.sam, [log.issued(who, authorization, undefined, 1)])
})
breaks('R4', 'an extension for another client of a grant that is spent', (log, who) => {
  const { authorization } = log.signOnce(who)
  return log.commit(log.sam, [log.extended({ ...who, client: id() }, authorization, [])])
})
breaks('R4', 'digests added to a grant that is spent', (log, who) => {
  const { authorization } = log.signOnce(who)
  return log.commit(log.sam, [log.extended(who, authorization, [digest()])])
})
breaks('R4', 'digests added where nothing was remembered', (log, who) => {
  const grant = id()
  log.commit(log.sam, [log.issued(who, grant, [digest()], 4)])
  return log.commit(log.sam, [log.extended(who, grant, [digest()])])
})
breaks('R4', 'an extension of nothing', (log, who) => log.commit(log.sam, [log.extended(who, id(), [])]))
breaks('R4', 'an extension for another client', (log, who) => {
  const grant = id()
  log.commit(log.sam, [log.issued(who, grant, undefined, 4)])
  return log.commit(log.sam, [log.extended({ ...who, client: id() }, grant, [])])
})
breaks('R4', 'a grant by a passkey that approved nothing', (log, who) =>
  log.commit(log.sam, [log.issued(who, id(), undefined, 1)], (leaf) => {
    ;(leaf['f'] as Record<string, unknown>)['factor'] = 'passkey'
  }),
)

function intend(log: TestLog, who: Signer, grant: string, digests: Uint8Array[]): number {
  const intent = log.intent(who, grant, digests)
  const at = log.commit(log.sam, [intent])
  log.commit(log.sam, [log.outcome(who, intent.op, digests.length)])
  return at
}

// R5

breaks('R5', 'a writer whom the device did not announce', (log) => {
  const at = log.entries.length
  const front = log.start('front', (leaf) => {
    const facts = leaf['f'] as Record<string, string>
    facts['signature'] = log.deviceSigns('something else').toString('base64url')
  })
  assert.ok(front)
  return at
})
breaks('R5', 'a writer whom nobody announced', (log) => {
  const stranger = log.unannounced('front')
  return log.commit(stranger, [stopped])
})
breaks('R5', 'a writer announced after its first entry', (log) => {
  const stranger = log.unannounced('front')
  const at = log.commit(stranger, [stopped])
  log.commit(log.sam, [log.announcement(stranger.boot)])
  return at
})
breaks('R5', 'a writer announced twice', (log) => log.commit(log.sam, [log.announcement(log.start('front').boot)]))
breaks('R5', 'a hole in the numbers of a writer', (log) => {
  log.sam.sequence.committed(1)
  return log.commit(log.sam, [stopped])
})
breaks('R5', 'a hole in the numbers of a writer who hides it from his commits', (log) =>
  log.commit(log.sam, [stopped], (leaf) => {
    leaf['seq'] = (leaf['seq'] as number) + 1
  }),
)
breaks('R5', 'a writer who begins with another number than 0', (log) =>
  log.commit(log.start('front'), [stopped], (leaf) => {
    leaf['seq'] = 1
  }),
)
breaks('R5', 'time that goes back thousands of entries later', (log) => {
  const from = log.commit(log.sam, Array(5000).fill(stopped))
  const writer = log.start('front')
  log.commit(writer, [stopped])
  log.now += 10
  log.commit(log.sam, Array(4096 - ((log.entries.length + 1) % 4096)).fill(stopped))
  log.commit(writer, [stopped])
  assert.ok(log.entries.length % 4096 === 0 && from > 0)
  return log.commit(writer, [stopped], (leaf) => {
    leaf['t'] = '2026-11-24T10:00:00.000Z'
  })
})
breaks('R5', 'a commit left out', (log) => {
  log.sam.sequence.committed(0)
  return log.commit(log.sam, [stopped])
})
breaks('R5', 'time that goes back', (log) =>
  log.commit(log.sam, [stopped], (leaf) => {
    leaf['t'] = '2026-11-24T09:00:00.000Z'
  }),
)
breaks('R5', 'another name than the announced one', (log) =>
  log.commit(log.sam, [stopped], (leaf) => {
    leaf['node'] = 'host-2'
  }),
)
breaks('R5', 'a front that writes what it may not', (log, who) => log.commit(log.start('front'), [log.login(who)]))
breaks('R5', 'a keeper that writes what it may not', (log, who) => log.commit(log.start('keeper'), [log.login(who)]))
breaks('R5', 'a second beginning', (log) =>
  log.commit(log.sam, [{ type: 'audit.init', outcome: 'ok', actor: system, facts: { origin: 'elsewhere' } }]),
)
breaks('R5', 'a commit that its writer did not sign', (log) => {
  const flush = log.flushes[6] as (typeof log.flushes)[number]
  log.flushes[6] = { ...flush, signature: signFlush(log.unannounced('sam').boot, flush.no, flush.body) }
  return flush.first
})
breaks('R5', 'an entry changed, everything else signed anew', async (log) => {
  const at = log.entries.length - 1
  log.entries[at] = edited(log.entries[at] as Buffer, (leaf) => {
    leaf['why'] = 'changed'
  })
  await log.resign()
  return at
})
breaks('R5', 'an entry slipped in, everything else signed anew', async (log) => {
  log.entries.push(
    edited(log.entries.at(-1) as Buffer, (leaf) => {
      leaf['op'] = id()
      leaf['seq'] = (leaf['seq'] as number) + 1
    }),
  )
  const checkpoint = log.checkpoints.at(-1) as { size: number }
  checkpoint.size = log.entries.length
  await log.resign()
  return log.entries.length - 1
})
breaks('R5', 'an entry taken out, everything else signed anew', async (log, who) => {
  log.signOnce(who)
  const last = log.entries.length - 2
  log.entries.splice(last, 1)
  log.flushes.splice(-2, 1)
  const flush = log.flushes.at(-1) as (typeof log.flushes)[number]
  log.flushes.splice(-1, 1, { ...flush, first: last })
  log.openings.splice(0, log.openings.length, ...log.openings.filter(({ index }) => index < last))
  log.publish()
  await log.resign()
  return last
})
breaks('R5', 'a checkpoint key that the device did not name', (log) => {
  const key = makeCheckpointKey(log.signing.key.name)
  return log.nameKey(key, log.deviceSigns('something else'))
})

// R6

breaks('R6', 'a silent keeper', (log) => {
  const keeper = log.start('keeper')
  log.beat(keeper)
  log.now += 90_001
  return log.commit(log.sam, [stopped])
})
breaks('R6', 'a day without a clock', (log) => {
  const keeper = log.start('keeper')
  for (let minute = 0; minute <= 24 * 60; minute++) {
    log.now += 60_000
    log.beat(keeper)
  }
  return log.entries.length - 1
})
breaks('R6', 'a clock that was put forward by less than the silence', (log) => {
  const keeper = log.start('keeper')
  log.beat(keeper)
  log.now += 300_000
  const index = log.commit(log.sam, [stopped])
  log.commitAs(keeper, 'clock.step', { step: 200_000 })
  log.beat(keeper)
  return index
})
breaks('R6', 'a heartbeat that comes late, before the clock is put forward', (log) => {
  const keeper = log.start('keeper')
  log.beat(keeper)
  log.now += 300_000
  const index = log.entries.length
  log.beat(keeper)
  log.commitAs(keeper, 'clock.step', { step: 300_000 })
  return index
})

// R8, R9

breaks('R8', 'an opening that does not fit', (log) => {
  const opening = log.openings.at(-1) as (typeof log.openings)[number]
  log.openings.splice(-1, 1, { ...opening, seed: randomBytes(32) })
  return opening.index
})
breaks('R8', 'an opening of another entry', (log) => {
  const opening = log.openings.at(-1) as (typeof log.openings)[number]
  log.openings.splice(-1, 1, { ...opening, index: opening.index - 1, class: 2 })
  return opening.index - 1
})
breaks('R8', 'openings out of order', (log) => {
  log.openings.reverse()
  return undefined
})
breaks('R9', 'an operator who vouches for himself', (log, { signer }) => {
  const operator = id()
  log.commit(log.sam, [invited(operator, signer)])
  return log.commit(log.sam, [vouched(operator, signer)])
})

// What is missing, and what the log says of it.

export interface Lacking {
  readonly what: string
  readonly verdict: 'ok' | 'incomplete'
  /** The first entry whose opening was withheld. */
  make(): { log: TestLog; index: number | undefined }
}

/** Three signings; the openings of the first are missing, and `say` is told the range that they were in. */
function lacks(
  what: string,
  verdict: Lacking['verdict'],
  say: (log: TestLog, first: number, last: number, count: number) => void,
  also: (index: number, last: number) => boolean = () => false,
): Lacking {
  const make = () => {
    const log = new TestLog()
    const who = log.newSigner()
    const first = log.entries.length
    log.signOnce(who)
    const last = log.entries.length - 1
    log.signOnce(who)
    log.signOnce(who)
    const gone = log.openings.filter(({ index }) => (index >= first && index <= last) || also(index, last))
    log.openings.splice(0, log.openings.length, ...log.openings.filter((opening) => !gone.includes(opening)))
    say(log, first, last, gone.filter((opening) => opening.class === 1).length)
    log.publish()
    const required = gone.filter((opening) => opening.class === 1).map(({ index }) => index)
    const beyond = required.filter((index) => index > last)
    const index = verdict === 'ok' ? undefined : (beyond[0] ?? required[0])
    return { log, index }
  }
  return { what, verdict, make }
}

const erase = (log: TestLog, facts: Record<string, string | number>) =>
  log.commitAs(log.sam, 'audit.erase', { class: 1, root: digest().toString('base64url'), ...facts })

export const LACKING: readonly Lacking[] = [
  lacks('erased, and the log says so', 'ok', (log, first, last, count) => erase(log, { first, last, count })),
  lacks('erased in two runs that overlap', 'ok', (log, first, last) => {
    erase(log, { first: first - 1, last: first + 1, count: 2 })
    erase(log, { first: first + 1, last, count: 1 })
  }),
  lacks('erased with others that no rule asks for', 'ok', (log, first, last, count) =>
    erase(log, { first: first - 3, last: last + 3, count: count + 3 }),
  ),
  lacks('missing without a word', 'incomplete', () => {}),
  lacks(
    'one more than was erased, behind it',
    'incomplete',
    (log, first, last, count) => erase(log, { first, last, count }),
    (index, last) => index === last + 2,
  ),
  lacks('more than were erased there', 'incomplete', (log, first, last, count) =>
    erase(log, { first, last, count: count - 1 }),
  ),
  lacks('erased of another class', 'incomplete', (log, first, last, count) =>
    erase(log, { class: 2, first, last, count }),
  ),
  lacks('erased by an entry before them', 'incomplete', (log, first, _, count) =>
    erase(log, { first, last: log.entries.length, count }),
  ),
  lacks('erased by an entry that names no root', 'incomplete', (log, first, last, count) =>
    erase(log, { first, last, count, root: '' }),
  ),
]

export const invited = (operator: string, signer: string): AuditEvent => ({
  type: 'signer.invited',
  outcome: 'ok',
  actor: { kind: 'operator', id: operator },
  facts: { enrols: 1, replaces: 1, wait: 0 },
  evidence: { signer },
})
export const vouched = (operator: string, signer: string): AuditEvent => ({
  type: 'operator.vouched',
  outcome: 'ok',
  actor: { kind: 'operator', id: operator },
  evidence: { operator, signer },
})
