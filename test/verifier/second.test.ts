/** tools/audit_verify.py, which was written from docs/audit-format.md alone, says of every pack what ours says. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { verifyPack } from '../../src/verifier/verify.js'
import { filesOf, receiptOf, refreshManifest, TestLog } from '../helpers/pack.js'
import { BROKEN, type Broken } from './broken.js'

const folder = mkdtempSync(join(tmpdir(), 'paraph-pack-'))
after(() => rmSync(folder, { recursive: true }))
const program = fileURLToPath(new URL('../../../tools/audit_verify.py', import.meta.url))

interface Second {
  readonly verdict: string
  readonly faults: readonly { rule: string; index: number | null }[]
}

function second(root: string, policy: string, ...words: string[]): Promise<Second> {
  writeFileSync(`${root}.policy`, policy)
  return new Promise((resolve, reject) => {
    execFile('python3', [program, root, '--policy', `${root}.policy`, '--json', ...words], (_, stdout, stderr) => {
      if (stdout === '') reject(new Error(stderr))
      else resolve(JSON.parse(stdout))
    })
  })
}

/** Both, which must agree. */
async function both(root: string, policy: string): Promise<Second> {
  const [ours, theirs] = await Promise.all([verifyPack({ root, policy }), second(root, policy)])
  assert.equal(theirs.verdict, ours.verdict, JSON.stringify([theirs.faults.slice(0, 3), ours.faults.slice(0, 3)]))
  return theirs
}

test('a log that is whole, with everything that the auditor kept', async () => {
  const log = new TestLog()
  log.addWitness('w1')
  log.live(600, { keeper: log.start('keeper'), signers: 8 })
  const early = log.publish()
  log.live(700, { signers: 8 })
  const root = join(folder, 'whole')
  await log.write(root)
  assert.equal((await both(root, log.policy('w1'))).verdict, 'ok')
  writeFileSync(join(folder, 'early'), early)
  writeFileSync(join(folder, 'receipt'), await receiptOf(log, 70, early))
  const kept = ['--since', join(folder, 'early'), '--receipt', join(folder, 'receipt')]
  assert.deepEqual((await second(root, log.policy('w1'), ...kept)).verdict, 'ok')
  writeFileSync(join(folder, 'early'), log.sign(300, Buffer.alloc(32)))
  assert.deepEqual((await second(root, log.policy('w1'), ...kept)).verdict, 'fault')
})

test('every way to break a rule', async () => {
  const judged = async ({ rule, what, make }: Broken, i: number) => {
    const { log, index } = await make()
    const root = join(folder, `broken-${i}`)
    await log.write(root)
    const { faults } = await both(root, log.policy())
    assert.ok(
      faults.some((fault) => fault.rule === rule && (index === undefined || fault.index === index)),
      `${rule}, ${what}: ${JSON.stringify(faults.slice(0, 3))}`,
    )
    rmSync(root, { recursive: true })
  }
  for (let i = 0; i < BROKEN.length; i += 4) {
    await Promise.all(BROKEN.slice(i, i + 4).map((broken, k) => judged(broken, i + k)))
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
      assert.equal((await both(root, log.policy())).verdict, 'fault', file)
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
  assert.equal((await both(root, log.policy())).verdict, 'incomplete')
})
