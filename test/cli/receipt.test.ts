import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { test } from 'node:test'
import { type ReceiptClaim, readClaim, requireReceipt } from '../../src/cli/client/receipt.js'
import { parsePolicy } from '../../src/tlog/policy.js'
import { leafHash } from '../../src/tlog/tree.js'
import { receiptOf, TestLog } from '../helpers/pack.js'

const HASH = 'AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA'
const OP = '01980000-0000-7000-8000-000000000001'

test('the header is read as it is written, or not at all', () => {
  const claim = readClaim(`sign.example.test/log;op=${OP};index=12;leaf=${HASH}`)
  assert.deepEqual(claim, { origin: 'sign.example.test/log', operation: OP, index: 12, leafHash: new Uint8Array(32) })
  for (const header of [
    null,
    '',
    `a b;op=${OP};index=12;leaf=${HASH}`,
    `;op=${OP};index=12;leaf=${HASH}`,
    `a;op=../../x;index=12;leaf=${HASH}`,
    `a;op=${OP};index=012;leaf=${HASH}`,
    `a;op=${OP};index=12;leaf=${HASH}A`,
    `a;op=${OP};index=12;leaf=${HASH};more=1`,
  ]) {
    assert.equal(readClaim(header), undefined, String(header))
  }
})

test('a receipt of another entry, or of other signatures, is not taken for that of the signing', async () => {
  const log = new TestLog()
  const who = log.newSigner()
  const signatures = ['one', 'two'].map((text) => Buffer.from(text))
  const { op } = log.signOnce(who)
  const outcome = (out: 'ok' | 'failed') => {
    const event = log.outcome(who, op, 2)
    const signatureHashes = signatures.map((bytes) => createHash('sha256').update(bytes).digest())
    return log.commit(log.sam, [{ ...event, outcome: out, signatureHashes }])
  }
  const index = outcome('ok')
  const failed = outcome('failed')
  const checkpoint = log.publish()
  const policy = parsePolicy(log.policy())
  const claimOf = (at: number): ReceiptClaim => ({
    ...{ origin: 'log.example.test/paraph', operation: op, index: at },
    leafHash: leafHash(log.entries[at] as Buffer),
  })
  const receipt = await receiptOf(log, index, checkpoint)
  const claim = claimOf(index)
  requireReceipt(receipt, policy, claim, signatures)
  for (const wrong of [
    { ...claim, origin: 'other.example.test/log' },
    { ...claim, operation: OP },
    { ...claim, index: index - 1 },
    { ...claim, leafHash: Buffer.alloc(32) },
  ]) {
    assert.throws(() => requireReceipt(receipt, policy, wrong, signatures), RangeError)
  }
  for (const others of [[...signatures].reverse(), [...signatures, Buffer.from('three')], [Buffer.from('one!')]]) {
    assert.throws(() => requireReceipt(receipt, policy, claim, others), /does not name the signatures/)
  }
  const ofFailed = await receiptOf(log, failed, checkpoint)
  assert.throws(() => requireReceipt(ofFailed, policy, claimOf(failed), signatures), /does not name the signatures/)
})
