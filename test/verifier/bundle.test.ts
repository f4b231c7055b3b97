/** The verifier as the one file that an auditor is given: alone in an empty folder, with Node and nothing else. */
import assert from 'node:assert/strict'
import { execFileSync, spawnSync } from 'node:child_process'
import { copyFileSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { builtinModules } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { refreshManifest, TestLog } from '../helpers/pack.js'

const repository = fileURLToPath(new URL('../../..', import.meta.url))
const folder = mkdtempSync(join(tmpdir(), 'paraph-bundle-'))
after(() => rmSync(folder, { recursive: true }))
const empty = join(folder, 'empty')
const pack = join(folder, 'pack')
const policy = join(folder, 'policy')

before(async () => {
  // As `npm run build` makes it, but elsewhere.
  const { scripts } = JSON.parse(readFileSync(join(repository, 'package.json'), 'utf8'))
  const made = join(folder, 'made.mjs')
  const words = (scripts['build:verifier'] as string).replace(/--outfile=\S+/, `--outfile=${made}`).split(' ')
  execFileSync(join(repository, 'node_modules/.bin', words[0] as string), words.slice(1), { cwd: repository })
  mkdirSync(empty)
  copyFileSync(made, join(empty, 'audit-verify.mjs'))

  const log = new TestLog()
  // More than two ranges, so that threads of the same file look at some each.
  log.live(9000)
  await log.write(pack)
  writeFileSync(policy, log.policy())
})

function run(...words: string[]) {
  const { status, stdout, stderr } = spawnSync(process.execPath, ['audit-verify.mjs', ...words], {
    ...{ cwd: empty, encoding: 'utf8' },
    env: { PATH: process.env['PATH'] },
  })
  return { status, stdout, stderr }
}

const told = (...words: string[]) => {
  const { status, stdout, stderr } = run(pack, '--policy', policy, '--json', '--threads', '2', ...words)
  return { status, stderr, report: JSON.parse(stdout) }
}

test('it imports nothing but Node', () => {
  assert.deepEqual(readdirSync(empty), ['audit-verify.mjs'])
  const text = readFileSync(join(empty, 'audit-verify.mjs'), 'utf8')
  const imported = [...text.matchAll(/^import .*? from "(.*?)";$/gm)].map((match) => match[1] as string)
  assert.ok(imported.length > 0)
  for (const name of imported) assert.ok(name.startsWith('node:') && builtinModules.includes(name.slice(5)), name)
  assert.doesNotMatch(text, /\brequire\(|\bimport\(/)
})

test('a pack that is whole: 0', () => {
  const { status, stderr, report } = told('--progress')
  assert.deepEqual([status, report.verdict, report.judged], [0, 'ok', report.size], stderr)
})

test('a pack that somebody changed: 1, with the first bad entry', () => {
  const file = join(pack, 'entries.jsonl')
  const before = readFileSync(file, 'utf8')
  writeFileSync(file, before.split('\n').with(5000, '{}').join('\n'))
  refreshManifest(pack)
  const { status, report } = told()
  writeFileSync(file, before)
  refreshManifest(pack)
  assert.deepEqual([status, report.faults[0].rule, report.faults[0].index], [1, 'R2', 5000])
})

test('a pack without its openings: 2', () => {
  const file = join(pack, 'openings.jsonl')
  const before = readFileSync(file)
  writeFileSync(file, '')
  refreshManifest(pack)
  const { status, report } = told()
  writeFileSync(file, before)
  refreshManifest(pack)
  assert.deepEqual([status, report.verdict], [2, 'incomplete'])
})

test('a wrong call: 3', () => {
  assert.equal(run().status, 3)
  assert.equal(run(pack, '--policy', join(folder, 'absent')).status, 3)
})
