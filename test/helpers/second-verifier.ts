/** tools/audit_verify.py, run on a pack beside ours. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { writeFileSync } from 'node:fs'
import { fileURLToPath } from 'node:url'
import type { Report } from '../../src/verifier/report.js'
import { verifyPack } from '../../src/verifier/verify.js'

const program = fileURLToPath(new URL('../../../tools/audit_verify.py', import.meta.url))

interface Second {
  readonly verdict: string
  readonly faults: readonly { rule: string; index: number | null }[]
}

export function second(root: string, policy: string, ...words: string[]): Promise<Second> {
  writeFileSync(`${root}.policy`, policy)
  return new Promise((resolve, reject) => {
    execFile('python3', [program, root, '--policy', `${root}.policy`, '--json', ...words], (_, stdout, stderr) => {
      if (stdout === '') reject(new Error(stderr))
      else resolve(JSON.parse(stdout))
    })
  })
}

/** Both, which must agree. */
export async function both(root: string, policy: string): Promise<{ ours: Report; theirs: Second }> {
  const [ours, theirs] = await Promise.all([verifyPack({ root, policy }), second(root, policy)])
  assert.equal(theirs.verdict, ours.verdict, JSON.stringify([theirs.faults.slice(0, 3), ours.faults.slice(0, 3)]))
  return { ours, theirs }
}
