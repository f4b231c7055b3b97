/** tools/audit_verify.py, which was written from docs/audit-format.md alone, says of every pack what ours says. */
import assert from 'node:assert/strict'
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { filesOf, receiptOf, refreshManifest, TestLog } from '../helpers/pack.js'
import { both, second } from '../helpers/second-verifier.js'
import { BROKEN, type Broken, LACKING } from './broken.js'

const folder = mkdtempSync(join(tmpdir(), 'paraph-pack-'))
after(() => rmSync(folder, { recursive: true }))

test('a log that is whole, with everything that the auditor kept', async () => {
  const log = new TestLog()
  log.addWitness('w1')
  log.live(600, { keeper: log.start('keeper'), signers: 8 })
  const early = log.publish()
  log.live(700, { signers: 8 })
  const root = join(folder, 'whole')
  await log.write(root)
  assert.equal((await both(root, log.policy('w1'))).theirs.verdict, 'ok')
  writeFileSync(join(folder, 'early'), early)
  writeFileSync(join(folder, 'receipt'), await receiptOf(log, 70, early))
  const kept = ['--since', join(folder, 'early'), '--receipt', join(folder, 'receipt')]
  assert.deepEqual((await second(root, log.policy('w1'), ...kept)).verdict, 'ok')
  writeFileSync(join(folder, 'early'), log.sign(300, Buffer.alloc(32)))
  assert.deepEqual((await second(root, log.policy('w1'), ...kept)).verdict, 'fault')
})

test('a clock that was put forward is no silence, and one that nobody sets is said to be none that is sure', async () => {
  const log = new TestLog()
  const keeper = log.start('keeper')
  log.beat(keeper)
  log.now += 25 * 3600_000
  log.newSigner()
  log.commitAs(keeper, 'clock.step', { step: 25 * 3600_000 })
  log.beat(keeper)
  const verdictOf = async (name: string) => {
    log.publish()
    await log.write(join(folder, name))
    return (await both(join(folder, name), log.policy())).theirs.verdict
  }
  assert.equal(await verdictOf('stepped'), 'ok')
  log.commitAs(keeper, 'clock.unsynced', { source: 'kernel' })
  for (let minute = 0; minute <= 24 * 60; minute++) {
    log.now += 60_000
    log.beat(keeper)
  }
  assert.equal(await verdictOf('unsynced'), 'incomplete')
})

test('every way to break a rule', async () => {
  const judged = async ({ rule, what, make }: Broken, i: number) => {
    const { log, index } = await make()
    const root = join(folder, `broken-${i}`)
    await log.write(root)
    const { theirs } = await both(root, log.policy())
    assert.ok(
      theirs.faults.some((fault) => fault.rule === rule && (index === undefined || fault.index === index)),
      `${rule}, ${what}: ${JSON.stringify(theirs.faults.slice(0, 3))}`,
    )
    rmSync(root, { recursive: true })
  }
  for (let i = 0; i < BROKEN.length; i += 4) {
    await Promise.all(BROKEN.slice(i, i + 4).map((broken, k) => judged(broken, i + k)))
  }
})

test('what is missing, and what the log says of it', async () => {
  for (const [i, { what, verdict, make }] of LACKING.entries()) {
    const { log } = make()
    const root = join(folder, `lacking-${i}`)
    await log.write(root)
    assert.equal((await both(root, log.policy())).ours.verdict, verdict, what)
  }
})

test('one bit of each file, with MANIFEST as it was and written anew', async () => {
  const log = new TestLog()
  log.signOnce(log.newSigner())
  log.publish()
  const whole = join(folder, 'small')
  await log.write(whole)
  for (const file of filesOf(whole)) {
    for (const anew of [false, true]) {
      const root = join(folder, 'spoiled')
      cpSync(whole, root, { recursive: true })
      const bytes = readFileSync(join(root, file))
      bytes[bytes.length >> 1] = (bytes[bytes.length >> 1] as number) ^ 1
      writeFileSync(join(root, file), bytes)
      if (anew) refreshManifest(root)
      assert.equal((await both(root, log.policy())).theirs.verdict, 'fault', file)
      rmSync(root, { recursive: true })
    }
  }
})

test('a log without openings', async () => {
  const log = new TestLog()
  log.signOnce(log.newSigner())
  log.publish()
  log.openings.splice(0)
  const root = join(folder, 'bare')
  await log.write(root)
  assert.equal((await both(root, log.policy())).theirs.verdict, 'incomplete')
})
