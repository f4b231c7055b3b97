/** The reader of leaves takes what docs/audit-format.md §3 says and nothing else, as another reading of it does. */
import assert from 'node:assert/strict'
import { randomInt } from 'node:crypto'
import { test } from 'node:test'
import { Leaves, parseFacts, readLeaf } from '../../src/verifier/leaf.js'
import { edited, TestLog } from '../helpers/pack.js'
import { repeated } from './broken.js'

const TEXT = '(?:[ !#-\\[\\]-~]|\\\\["\\\\])*'
const UUID = '[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}'
const FACT = `"[A-Za-z][A-Za-z0-9_]{0,63}":(?:"${TEXT}"|-?[0-9]{1,16})`
const DIGEST = '"[A-Za-z0-9_-]{42}[AEIMQUYcgkosw048]"'
const LEAF = new RegExp(
  `^\\{"act":"(signer|client|operator|system|anonymous)"(?:,"api":"[a-z0-9_]{1,16}")?,"boot":"(${UUID})","ev":"([a-z_.]{1,64})"` +
    `(?:,"f":\\{((?:${FACT}(?:,${FACT})*)?)\\})?(?:,"n":(0|[1-9][0-9]{0,4}))?,"node":"(${TEXT})","op":"(${UUID})"` +
    `,"out":"(ok|refused|failed|indeterminate)","ph":([0-5])(?:,"rid":"${TEXT}")?,"sd":\\[((?:${DIGEST}(?:,${DIGEST})*)?)\\]` +
    `,"seq":(0|[1-9][0-9]{0,15}),"t":"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}\\.[0-9]{3}Z)","v":1(?:,"why":"${TEXT}")?\\}$`,
)

/** By a regular expression, JSON.parse and Date; undefined for what is no leaf. */
function plainRead(bytes: Buffer) {
  const text = bytes.toString('latin1')
  if (!LEAF.test(text)) return undefined
  let leaf: ReturnType<typeof JSON.parse>
  try {
    leaf = JSON.parse(text)
  } catch {
    return undefined
  }
  const { act, boot, ev, f = {}, n = 0, node, op, out, ph, sd, seq, t } = leaf
  const time = new Date(t)
  if (Number.isNaN(time.getTime()) || time.toISOString() !== t || !Number.isSafeInteger(seq)) return undefined
  const names = Object.keys(f)
  if (names.join() !== [...new Set(names)].sort().join()) return undefined
  if (Object.values(f).some((value) => typeof value === 'number' && !Number.isSafeInteger(value))) return undefined
  const facts = JSON.stringify(f).slice(1, -1)
  if (!(facts === '' ? !text.includes(',"f":{"') : text.includes(`,"f":{${facts}},`))) return undefined
  if (sd.join() !== [...new Set<string>(sd)].sort().join()) return undefined
  return { act, boot, ev, facts, n, node, op, out, ph, seq, t: time.getTime() }
}

const log = new TestLog()
const who = log.newSigner()
const { op, authorization, digests } = log.signOnce(who, 3)
log.commit(log.sam, [repeated(log, who, authorization, op, digests)])
log.live(60, { keeper: log.start('keeper'), signers: 3 })
log.commitAs(log.sam, 'clock.sync', { a: -5, aa: 'x"\\y', b: 0, c: Number.MAX_SAFE_INTEGER, d: '' })
log.commit(log.sam, [log.login(who)], (leaf) => {
  Object.assign(leaf, { node: 'a "b" \\ c', why: '', rid: '"' })
})

const leaves = new Leaves(1)

function compare(bytes: Buffer): boolean {
  const expected = plainRead(bytes)
  // As a part of something longer: nothing behind its end may count.
  const within = Buffer.concat([Buffer.from('xx'), bytes, Buffer.from('","v":1}}\n')])
  const read = readLeaf(within.subarray(2, 2 + bytes.length), leaves)
  assert.deepEqual(read?.leaf, expected, bytes.toString('latin1'))
  if (read !== undefined && expected !== undefined) {
    const [high, low] = [expected.op.slice(19, 23) + expected.op.slice(24, 28), expected.op.slice(28)]
    assert.deepEqual([...read.leaves.ops], [Number.parseInt(low, 16), Number.parseInt(high, 16)])
    if (expected.facts !== '') parseFacts(expected.facts)
  }
  return expected !== undefined
}

test('leaves as writers write them', () => {
  for (const entry of log.entries) assert.ok(compare(entry))
})

test('leaves at the edge of what is allowed, and beyond it', () => {
  const entry = log.entries.at(-2) as Buffer
  const text = entry.toString()
  const replaced = (from: string | RegExp, to: string) => Buffer.from(text.replace(from, to))
  const cases: [Buffer, boolean][] = [
    [edited(entry, (leaf) => Object.assign(leaf, { f: {} })), true],
    [edited(entry, (leaf) => Object.assign(leaf, { n: 99_999 })), true],
    [edited(entry, (leaf) => Object.assign(leaf, { n: 100_000 })), false],
    [edited(entry, (leaf) => Object.assign(leaf, { seq: Number.MAX_SAFE_INTEGER })), true],
    [edited(entry, (leaf) => Object.assign(leaf, { seq: 2 ** 53 })), false],
    [edited(entry, (leaf) => Object.assign(leaf, { sd: [] })), true],
    [edited(entry, (leaf) => Object.assign(leaf, { ev: 'a'.repeat(64) })), true],
    [edited(entry, (leaf) => Object.assign(leaf, { ev: 'a'.repeat(65) })), false],
    [edited(entry, (leaf) => Object.assign(leaf, { f: { ['a'.repeat(64)]: 1 } })), true],
    [edited(entry, (leaf) => Object.assign(leaf, { f: { ['a'.repeat(65)]: 1 } })), false],
    [edited(entry, (leaf) => Object.assign(leaf, { t: '2024-02-29T23:59:59.999Z' })), true],
    [edited(entry, (leaf) => Object.assign(leaf, { t: '2026-02-29T10:00:00.000Z' })), false],
    [edited(entry, (leaf) => Object.assign(leaf, { t: '2026-11-24T24:00:00.000Z' })), false],
    [edited(entry, (leaf) => Object.assign(leaf, { t: '2026-11-24T10:00:60.000Z' })), false],
    [replaced('"b":0', '"b":-0'), false],
    [replaced('"b":0', '"b":00'), false],
    [replaced('"b":0', '"b":9007199254740992'), false],
    [replaced('"b":0', '"a":0'), false],
    [replaced('"b":0', '"b":1.5'), false],
    [replaced('"b":0', '"b":null'), false],
    [replaced('"v":1', '"v":12'), false],
    [replaced('x\\"', 'x\\n'), false],
    [replaced('x\\"', 'x\\u0041'), false],
    // Bits behind the 32nd byte, and digests out of order.
    [Buffer.from(String(log.entries.at(-1)).replace(/("sd":\["[^"]{42})./, '$1B')), false],
    [edited(log.entries.at(-1) as Buffer, (leaf) => (leaf['sd'] as string[]).reverse()), false],
    [
      edited(log.entries.at(-1) as Buffer, (leaf) =>
        (leaf['sd'] as string[]).splice(0, 1, (leaf['sd'] as string[])[1] as string),
      ),
      false,
    ],
    [Buffer.concat([entry, Buffer.from(' ')]), false],
    [entry.subarray(0, -1), false],
    [Buffer.alloc(0), false],
  ]
  cases.forEach(([bytes, isLeaf], i) => {
    assert.equal(compare(bytes), isLeaf, `${i}: ${bytes.toString('latin1')}`)
  })
})

test('leaves with some bytes changed', () => {
  const likely = [...'0123456789abcdefAEI"\\,:{}[]-_.TZ ', '\u0000', '\u007f', '\u0080'].map((one) => one.charCodeAt(0))
  let taken = 0
  for (let i = 0; i < 60_000; i++) {
    const bytes = Buffer.from(log.entries[randomInt(log.entries.length)] as Buffer)
    const at = randomInt(bytes.length)
    const byte = likely[randomInt(likely.length)] as number
    const changed = [
      () => bytes.fill(byte, at, at + 1),
      () => Buffer.concat([bytes.subarray(0, at), Buffer.of(byte), bytes.subarray(at)]),
      () => Buffer.concat([bytes.subarray(0, at), bytes.subarray(at + 1 + randomInt(3))]),
      () => Buffer.concat([bytes.subarray(0, at), bytes.subarray(randomInt(bytes.length))]),
    ][randomInt(4)] as () => Buffer
    if (compare(changed())) taken++
  }
  assert.ok(taken > 1000, String(taken))
})
