/** Packs that are right, and that say so. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { verifyPack } from '../../src/verifier/verify.js'
import { TestLog } from '../helpers/pack.js'

const folder = mkdtempSync(join(tmpdir(), 'paraph-pack-'))
after(() => rmSync(folder, { recursive: true }))

test('a small log is whole', async () => {
  const log = new TestLog()
  log.live(700, { keeper: log.start('keeper') })
  const root = join(folder, 'small')
  await log.write(root)
  const report = await verifyPack({ root, policy: log.policy() })
  assert.deepEqual([report.faults, report.incomplete], [[], []])
  assert.deepEqual([report.verdict, report.size, report.judged], ['ok', log.entries.length, log.entries.length])
})
