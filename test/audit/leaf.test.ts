import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import fc from 'fast-check'
import { type AuditEvent, EVENTS, type EventName, PHASE } from '../../src/audit/event.js'
import { type Disclosure, disclose, encodeLeaf, fieldDigest, searchTag } from '../../src/audit/leaf.js'
import { openClient } from '../../src/db/pool.js'
import type { BootId, OperationId } from '../../src/ids.js'
import { leafHash } from '../../src/tlog/tree.js'
import { readLeaf } from '../../src/verifier/leaf.js'
import { tempDatabase } from '../helpers/temp-database.js'

const golden = JSON.parse(readFileSync(new URL('../../../test/vectors/leaves.json', import.meta.url), 'utf8')) as {
  events: Record<string, [number, number]>
  leaves: { event: AuditEvent; expect: string; hash: string }[]
  field: { seed: string; name: string; value: string; expect: string }
  tag: { name: string; value: string; expect: string }
}
const op = '01890a5d-ac96-774b-bcce-b302099a8057' as OperationId
const place = {
  boot: '01890a5d-ac96-774b-bcce-b302099a8058' as BootId,
  node: 'a',
  seq: 7,
  time: Date.UTC(2026, 10, 22, 6, 15, 11, 482),
}
const disclosure: Disclosure = { sd: ['AAAA', 'BBBB'], openings: [] }

test('event names, numbers and phases are frozen', () => {
  const now = Object.fromEntries(Object.entries(EVENTS).map(([name, { ev, phase }]) => [name, [ev, PHASE[phase]]]))
  assert.deepEqual(now, golden.events, 'a number or name that was ever written must never change')
  assert.equal(new Set(Object.values(EVENTS).map(({ ev }) => ev)).size, Object.keys(EVENTS).length)
})

test('the database knows the same events, and the same ones for a front and for a keeper', async (t) => {
  const database = await tempDatabase()
  t.after(() => database.drop())
  const client = await openClient(database.ownerUrl)
  t.after(() => client.end())
  const { rows } = await client.query('select name, ev, front, keeper from audit.event_type order by ev')
  const known = Object.entries(EVENTS).map(([name, definition]) => ({
    ...{ name, ev: definition.ev },
    ...{ front: 'front' in definition, keeper: 'keeper' in definition },
  }))
  assert.deepEqual(
    rows,
    known.sort((a, b) => a.ev - b.ev),
  )
})

test('a leaf is exactly these bytes', () => {
  assert.ok(golden.leaves.length > 5)
  for (const { event, expect, hash } of golden.leaves) {
    const leaf = encodeLeaf(event, op, disclosure, place)
    assert.equal(leaf.toString(), expect)
    assert.equal(leafHash(leaf).toString('hex'), hash)
  }
})

test('a field hides and opens as RFC 9901 says', () => {
  const { seed, name, value, expect } = golden.field
  assert.equal(fieldDigest(Buffer.from(seed, 'hex'), name, value), expect)
  assert.equal(searchTag(golden.tag.name, golden.tag.value), BigInt(golden.tag.expect))
})

test('the number of digests does not tell which fields are known', () => {
  const event = { type: 'auth.login_failed', outcome: 'refused', actor: { kind: 'anonymous' } } as const
  const known = disclose({ ...event, evidence: { signer: 'x', client: 'basic' } }, 0)
  assert.equal(known.sd.length, disclose(event, 0).sd.length)
  assert.deepEqual([...known.sd].sort(), known.sd)
})

test('the two retention classes share no seed, so that erasing one does not leave the other guessable', () => {
  const { openings } = disclose(
    {
      type: 'auth.login',
      outcome: 'ok',
      actor: { kind: 'signer', id: 's' },
      origin: { requestId: 'r', address: '192.0.2.1', api: 'v2' },
      evidence: { signer: 's' },
    },
    0,
  )
  assert.deepEqual(
    openings.map((opening) => opening.class),
    [1, 2],
  )
  assert.notDeepEqual(openings[0]?.seed, openings[1]?.seed)
  assert.ok(!openings[0]?.fields.includes('192.0.2.1'))
})

test('what is public is plain', () => {
  const event = (facts: Record<string, string | number>): AuditEvent => ({
    type: 'audit.stop',
    outcome: 'ok',
    actor: { kind: 'system' },
    facts,
  })
  for (const bad of ['a\nb', 'é', '\u2028', '\ud800', 'x'.repeat(513)]) {
    assert.throws(() => encodeLeaf(event({ bad }), op, disclosure, place), /printable/)
  }
  assert.throws(() => encodeLeaf(event({ bad: 0.5 }), op, disclosure, place), /printable/)
})

test('an event opens only what it says it opens', () => {
  const event = {
    type: 'audit.stop' as EventName,
    outcome: 'ok',
    actor: { kind: 'system' },
    evidence: { signer: 's' },
  } as const
  assert.throws(() => disclose(event, 0), /does not open signer/)
})

test('F29: whatever values hold, the leaf is canonical JSON on one line of plain ASCII; a fact that would not be is refused', () => {
  const evil = fc.oneof(
    fc.string({ unit: 'binary' }),
    fc.string({ unit: fc.constantFrom('\n', '\r', '\u2028', '\ud800', '\udfff', '\0', '"', '\\', '=', '<', '\u202e') }),
  )
  const plain = (value: string) => /^[\x20-\x7e]{0,512}$/.test(value)
  fc.assert(
    fc.property(evil, evil, evil, (actor, client, fact) => {
      const event: AuditEvent = {
        ...{ type: 'sad.denied', outcome: 'refused', actor: { kind: 'signer', id: actor } },
        ...{ evidence: { client }, facts: { fact } },
      }
      const hidden = disclose(event, place.time)
      if (!plain(fact)) return assert.throws(() => encodeLeaf(event, op, hidden, place))
      const leaf = encodeLeaf(event, op, hidden, place).toString('latin1')
      assert.match(leaf, /^[\x20-\x7e]+$/)
      assert.equal(canonical(JSON.parse(leaf)), leaf)
      assert.ok(readLeaf(Buffer.from(leaf)), 'the verifier takes it')
      for (const { fields, seed } of hidden.openings) {
        for (const [name, value] of JSON.parse(fields)) assert.ok(hidden.sd.includes(fieldDigest(seed, name, value)))
      }
    }),
  )
})

/** RFC 8785, for what a leaf may hold. */
function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`
  if (typeof value !== 'object' || value === null) return JSON.stringify(value)
  const members = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1))
  return `{${members.map(([key, member]) => `${JSON.stringify(key)}:${canonical(member)}`).join(',')}}`
}
