/** Each rule against somebody who breaks it: the rule and the entry are named. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import type { Report } from '../../src/verifier/report.js'
import { type VerifyOptions, verifyPack } from '../../src/verifier/verify.js'
import { TestLog } from '../helpers/pack.js'
import { BROKEN, digest, id, invited, LACKING, repeated, system, vouched } from './broken.js'

const folder = mkdtempSync(join(tmpdir(), 'paraph-pack-'))
after(() => rmSync(folder, { recursive: true }))
let packs = 0

async function reportOf(log: TestLog, options: Partial<VerifyOptions> = {}): Promise<Report> {
  const root = join(folder, String(packs++))
  await log.write(root)
  const report = await verifyPack({ root, policy: log.policy(), ...options })
  rmSync(root, { recursive: true })
  return report
}

for (const { rule, what, make } of BROKEN) {
  test(`${rule}: ${what}`, async () => {
    const { log, index } = await make()
    const { verdict, faults } = await reportOf(log)
    assert.equal(verdict, 'fault')
    assert.ok(
      faults.some((fault) => fault.rule === rule && (index === undefined || fault.index === index)),
      `${rule} at ${index} in ${JSON.stringify(faults.slice(0, 3))}`,
    )
    // Somebody with every key broke this rule alone.
    if (rule !== 'R2' && rule !== 'R5') assert.deepEqual([...new Set(faults.map((fault) => fault.rule))], [rule])
  })
}

test('a log in the middle of a signing is whole', async () => {
  const log = new TestLog()
  const who = log.newSigner()
  log.signOnce(who)
  log.publish()
  const grant = id()
  log.commit(log.sam, [log.issued(who, grant, undefined, 5)])
  log.commit(log.sam, [log.intent(who, grant, [digest(), digest()])])
  log.now += 60_000
  log.publish()
  const report = await reportOf(log)
  assert.deepEqual([report.verdict, report.faults], ['ok', []])
  assert.deepEqual([report.openCount, report.open[0]?.index], [1, log.entries.length - 1])
})

test('an answer given again, an abandoned intention and a late withholding are no faults', async () => {
  const log = new TestLog()
  const who = log.newSigner()
  const { op, authorization, digests } = log.signOnce(who)
  log.commit(log.sam, [repeated(log, who, authorization, op, digests)])
  const grant = id()
  log.commit(log.sam, [log.issued(who, grant, undefined, 1)])
  const intent = log.intent(who, grant, [digest()])
  log.commit(log.sam, [intent])
  log.now += 40_000
  log.commit(log.sam, [{ type: 'sign.abandoned', op: intent.op, outcome: 'indeterminate', actor: system }])
  log.commit(log.sam, [{ type: 'sign.withheld', op: intent.op, outcome: 'refused', actor: system }])
  log.publish()
  const report = await reportOf(log)
  assert.deepEqual([report.verdict, report.abandonedCount, report.faults], ['ok', 1, []])
})

test('a keeper that stopped, and one that crashed with all others, are not silent', async () => {
  const log = new TestLog()
  const keeper = log.start('keeper')
  log.beat(keeper)
  log.commitAs(keeper, 'clock.sync', {})
  log.commit(keeper, [{ type: 'audit.stop', outcome: 'ok', actor: system }])
  log.now += 3600_000
  log.commit(log.sam, [{ type: 'audit.stop', outcome: 'ok', actor: system }])
  const second = log.start('keeper')
  log.beat(second)
  log.now += 3600_000
  log.start('sam')
  log.start('keeper')
  log.publish()
  assert.deepEqual((await reportOf(log)).faults, [])
})

test('another operator may vouch', async () => {
  const log = new TestLog()
  const { signer } = log.newSigner()
  log.commit(log.sam, [invited(id(), signer)])
  log.commit(log.sam, [vouched(id(), signer)])
  log.publish()
  assert.deepEqual((await reportOf(log)).faults, [])
})

for (const { what, verdict, make } of LACKING) {
  test(`R8, openings: ${what}`, async () => {
    const { log, index } = make()
    const report = await reportOf(log)
    assert.deepEqual([report.verdict, report.faults, report.incomplete[0]?.index], [verdict, [], index])
    if (verdict === 'ok') assert.ok(report.erased > 0)
  })
}

test('a pack that was given without any opening is told, and no fault', async () => {
  const log = new TestLog()
  log.signOnce(log.newSigner())
  log.publish()
  log.openings.splice(0)
  const report = await reportOf(log)
  assert.deepEqual([report.verdict, report.faults, report.incomplete.length], ['incomplete', [], 1])
})

test('a leaf that is none is named', async () => {
  for (const spoil of [
    (text: string) => text.replace('"v":1', '"v":2'),
    (text: string) => text.replace('{"act"', '{ "act"'),
    (text: string) => text.replace('"out":"ok"', '"out":"ok\u001b[2J"'),
    (text: string) => text.replace('"seq":', '"seq":00'),
    () => 'null',
    () => `{"act":${'['.repeat(60_000)}`,
  ]) {
    const log = new TestLog()
    const at = log.entries.length - 1
    log.entries[at] = Buffer.from(spoil((log.entries[at] as Buffer).toString()), 'latin1')
    log.publish()
    const [fault] = (await reportOf(log)).faults
    assert.deepEqual([fault?.rule, fault?.index], ['R2', at])
  }
})
