/** The command and the threads behind it. */
import assert from 'node:assert/strict'
import { spawnSync } from 'node:child_process'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { refreshManifest, TestLog } from '../helpers/pack.js'

const folder = mkdtempSync(join(tmpdir(), 'paraph-pack-'))
after(() => rmSync(folder, { recursive: true }))
const source = (file: string) => fileURLToPath(new URL(`../../src/${file}`, import.meta.url))
const log = new TestLog()
const pack = join(folder, 'pack')
const policy = join(folder, 'policy')

before(async () => {
  // More than two ranges, so that threads look at some each.
  log.live(9000)
  await log.write(pack)
  writeFileSync(policy, log.policy())
})

function run(program: readonly string[], ...words: string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [...program, ...words], { encoding: 'utf8' })
  return { status, stdout, stderr }
}

for (const [name, program] of [
  ['paraph audit verify', [source('cli/main.js'), 'audit', 'verify']],
  ['the program by itself', [source('verifier/standalone.js')]],
] as const) {
  test(`${name}: a log that is whole`, () => {
    const { status, stdout } = run(program, pack, '--policy', policy, '--threads', '2')
    assert.match(stdout, /is whole: \d+ entries/)
    assert.equal(status, 0)
  })

  test(`${name}: usage ends with 3`, () => {
    for (const words of [
      [],
      [pack],
      [pack, '--policy', join(folder, 'absent')],
      [pack, '--policy', pack, '--nonsense'],
    ]) {
      assert.equal(run(program, ...words).status, 3, words.join(' '))
    }
    assert.equal(run(program, '--help').status, 0)
  })
}

test('several threads find what one finds', () => {
  const file = join(pack, 'flushes.jsonl')
  const before = readFileSync(file)
  const spoiled = Buffer.from(before)
  spoiled[spoiled.length >> 1] = (spoiled[spoiled.length >> 1] as number) ^ 1
  writeFileSync(file, spoiled)
  refreshManifest(pack)
  const reports = ['1', '3'].map((threads) => {
    const { status, stdout } = run(
      [source('verifier/standalone.js')],
      pack,
      '--policy',
      policy,
      '--json',
      '--threads',
      threads,
    )
    assert.equal(status, 1)
    return JSON.parse(stdout)
  })
  assert.deepEqual(reports[0], reports[1])
  assert.equal(reports[0].faults[0].rule, 'R5')
  writeFileSync(file, before)
  refreshManifest(pack)
})

test('a log without openings ends with 2', async () => {
  const bare = join(folder, 'bare')
  const { openings } = log
  const kept = openings.splice(0)
  await log.write(bare)
  openings.push(...kept)
  assert.equal(run([source('verifier/standalone.js')], bare, '--policy', policy).status, 2)
})

test('nothing of a pack steers a terminal', async () => {
  const evil = join(folder, 'evil')
  const spoiled = new TestLog()
  const at = spoiled.entries.length - 1
  spoiled.entries[at] = Buffer.from('{"act":"\u001b[2Jgone\u2028"}')
  spoiled.publish()
  await spoiled.write(evil)
  writeFileSync(join(folder, 'evil-policy'), spoiled.policy())
  const { status, stdout } = run([source('verifier/standalone.js')], evil, '--policy', join(folder, 'evil-policy'))
  assert.equal(status, 1)
  assert.match(stdout, /^[\n -~]*$/)
})
