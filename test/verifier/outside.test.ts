/** What others signed: passkeys (R4) and time-stamp authorities (R7). */
import assert from 'node:assert/strict'
import { hash } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import type { AuditEvent } from '../../src/audit/event.js'
import { approvalStatement } from '../../src/authorization/approval.js'
import { type ApprovalId, type ClientId, type CredentialId, newId } from '../../src/ids.js'
import { parseNote } from '../../src/tlog/note.js'
import { readTimeStamp } from '../../src/verifier/time-stamps.js'
import { verifyPack } from '../../src/verifier/verify.js'
import { OpensslTsa } from '../helpers/openssl-tsa.js'
import { base64url, type Signer, TestLog } from '../helpers/pack.js'
import { Passkey } from '../helpers/passkey.js'
import { digest, id } from './broken.js'

const folder = mkdtempSync(join(tmpdir(), 'paraph-pack-'))
after(() => rmSync(folder, { recursive: true }))
const place = { id: 'sign.example.test', origin: 'https://sign.example.test' }
let packs = 0

async function faultsOf(log: TestLog) {
  const root = join(folder, String(packs++))
  log.publish()
  await log.write(root)
  return (await verifyPack({ root, policy: log.policy() })).faults
}

/** An approval by passkey, as the service records it. */
function approved(
  log: TestLog,
  who: Signer,
  digests: readonly Buffer[],
  change: (assertion: Assertion) => void = () => {},
  ceiling?: number,
): AuditEvent {
  const { signer, client, credential, session, factor } = who
  const approval = newId<ApprovalId>()
  const total = digests.length
  const statement = approvalStatement({
    ...{ id: approval, kind: 'credential', client_id: client as ClientId, credential_id: credential as CredentialId },
    ...{ digests, total, digest_algorithm: 'sha-256', details: null, session_ceiling: ceiling ?? null },
    ...{ nonce: digest(), expires_at: new Date(log.now + 300_000) },
  })
  const passkey = new Passkey(place.origin)
  const challenge = hash('sha256', statement, 'base64url')
  const attested = Buffer.from(
    JSON.parse(passkey.register({ rpId: place.id, challenge })).response.attestationObject,
    'base64url',
  )
  const publicKey = base64url(attested.subarray(attested.indexOf(Buffer.from('a5010203262001', 'hex'))))
  const response = JSON.parse(passkey.assert({ rpId: place.id, challenge }))
  const assertion: Assertion = { statement, ...place, publicKey, response }
  change(assertion)
  return {
    ...{
      type: 'approval.granted',
      outcome: 'ok',
      actor: { kind: 'signer', id: signer },
      origin: log.origin(),
      digests,
    },
    facts: {
      ...{ kind: 'credential', way: 'oauth', total, remember: 0, factor: 'passkey' },
      ...(ceiling === undefined ? {} : { session: 1, ceiling }),
    },
    evidence: { signer, client, credential, session, approval, factor, assertion: JSON.stringify(assertion) },
  }
}

const byPasskey = (log: TestLog, who: Signer, digests: readonly Buffer[], total: number, facts: object = {}) =>
  log.commit(log.sam, [log.issued(who, id(), digests, total)], (leaf) => {
    Object.assign(leaf['f'] as object, { factor: 'passkey' }, facts)
  })

test('a whole session that a passkey approved, and no more than that', async () => {
  for (const [total, facts, rules] of [
    [9, { session: 1 }, []],
    [10, { session: 1 }, ['R4']],
    [1, {}, ['R4']],
  ] as const) {
    const log = new TestLog()
    const who = log.newSigner()
    const digests = [digest()]
    log.commit(log.sam, [approved(log, who, digests, undefined, 9)])
    byPasskey(log, who, digests, total, facts)
    assert.deepEqual(
      (await faultsOf(log)).map(({ rule }) => rule),
      rules,
    )
  }
})

test('a grant that a passkey approved', async () => {
  const log = new TestLog()
  const who = log.newSigner()
  const digests = [digest(), digest()]
  log.commit(log.sam, [approved(log, who, digests)])
  byPasskey(log, { ...who, session: id() }, digests, 2)
  assert.deepEqual(await faultsOf(log), [])
})

interface Assertion extends Record<string, unknown> {
  readonly statement: string
  readonly response: { readonly response: object }
}

const wrong: Readonly<Record<string, (assertion: Assertion) => void>> = {
  'another statement': (a) => Object.assign(a, { statement: `${a.statement}\nx` }),
  'another place': (a) => Object.assign(a, { id: 'evil.example.test' }),
  'another origin': (a) => Object.assign(a, { origin: 'https://evil.example.test' }),
  'another signature': (a) => Object.assign(a.response.response, { signature: 'MAAA' }),
  'no JSON': (a) => Object.assign(a, { response: 7 }),
}

for (const [what, change] of Object.entries(wrong)) {
  test(`R4: an assertion with ${what}`, async () => {
    const log = new TestLog()
    const at = log.commit(log.sam, [approved(log, log.newSigner(), [digest()], change)])
    const [fault] = await faultsOf(log)
    assert.deepEqual([fault?.rule, fault?.index], ['R4', at])
  })
}

test('R4: a grant of more, or of something else, or twice, than a passkey approved', async () => {
  for (const [count, total, times] of [
    [1, 2, 1],
    [0, 1, 1],
    [1, 1, 2],
  ] as const) {
    const log = new TestLog()
    const who = log.newSigner()
    const digests = [digest()]
    log.commit(log.sam, [approved(log, who, digests)])
    let at = 0
    for (let i = 0; i < times; i++) at = byPasskey(log, who, count === 1 ? digests : [digest()], total)
    const [fault] = await faultsOf(log)
    assert.deepEqual([fault?.rule, fault?.index], ['R4', at])
  }
})

test('R4: a passkey that answers with two keys', async () => {
  const log = new TestLog()
  const who = log.newSigner()
  log.commit(log.sam, [approved(log, who, [digest()])])
  const at = log.commit(log.sam, [approved(log, who, [digest()])])
  const [fault] = await faultsOf(log)
  assert.deepEqual([fault?.rule, fault?.index], ['R4', at])
})

let tsa: OpensslTsa | undefined
function stamp(text: string): Buffer {
  tsa ??= new OpensslTsa(join(folder, 'tsa'))
  return tsa.stamp(text)
}

test('R7: time-stamps of an authority that we did not write', async () => {
  const log = new TestLog()
  log.now = Date.now() - 60_000
  const note = log.publish()
  const { text } = parseNote(note)
  const response = stamp(text)
  const { time } = readTimeStamp(response, Buffer.from(text))
  assert.ok(Math.abs(time - Date.now()) < 600_000)
  log.anchors.set(log.entries.length, response)
  assert.deepEqual(await faultsOf(log), [])

  // Entries of tomorrow under a time-stamp of today.
  const future = new TestLog()
  future.now = Date.now() + 86_400_000
  future.commit(future.sam, [{ type: 'audit.stop', outcome: 'ok', actor: { kind: 'system' } }])
  future.anchors.set(future.entries.length, stamp(parseNote(future.publish()).text))
  const [late] = await faultsOf(future)
  assert.deepEqual([late?.rule, late?.file], ['R7', `anchors/${future.entries.length}.tsr`])

  for (let bit = 0; bit < response.length * 8; bit += 37) {
    const spoiled = Buffer.from(response)
    spoiled[bit >> 3] = (spoiled[bit >> 3] as number) ^ (1 << (bit & 7))
    let taken: number | undefined
    try {
      taken = readTimeStamp(spoiled, Buffer.from(text)).time
    } catch (error) {
      assert.ok(error instanceof RangeError, String(error))
    }
    // A bit may be of nothing that was signed.
    assert.ok(taken === undefined || taken === time, `bit ${bit}: another time is taken`)
  }
})

test('R7: a time-stamp whose signature nobody confirms', () => {
  const text = 'some checkpoint'
  const response = stamp(text)
  const last = response.length - 1
  response[last] = (response[last] as number) ^ 1
  assert.throws(() => readTimeStamp(response, Buffer.from(text)), RangeError)
})

test('R7: a time-stamp of no checkpoint, of another one, and none at all', async () => {
  for (const [size, response] of [
    [3, stamp('x')],
    [undefined, stamp('x')],
    [undefined, Buffer.from('nonsense')],
    [undefined, Buffer.from('3080', 'hex')],
  ] as const) {
    const log = new TestLog()
    log.publish()
    log.anchors.set(size ?? log.entries.length, response)
    const [fault] = await faultsOf(log)
    assert.equal(fault?.rule, 'R7')
  }
})
