/** The suite against a server that is not this one: sound, all of it passes; with any one door broken, it is caught. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { linesOfResult } from '../../src/conformance/report.js'
import { VERSIONS } from '../../src/conformance/statement.js'
import { loadSuite, type Result, runSuite, type Selection } from '../../src/conformance/suite.js'
import { keepSecret } from '../helpers/test-service.js'
import { BROKEN_DOORS, type Defect, ONLY_IN_V2 } from './broken-doors.js'
import { makeKeys, TinyServer } from './tiny-server.js'
import { WRONG_ANSWERS } from './wrong-answers.js'

const scenarios = loadSuite(join(fileURLToPath(import.meta.url), '../../../../conformance'))

let folder: string
before(() => {
  folder = mkdtempSync(join(tmpdir(), 'paraph-tiny-'))
  makeKeys(folder)
})
after(() => rmSync(folder, { recursive: true, force: true }))

async function* run(
  selection: Selection,
  defects: readonly Defect[] = [],
  rewrite?: TinyServer['rewrite'],
): AsyncGenerator<Result> {
  const server = await TinyServer.start(folder, ...defects)
  if (rewrite !== undefined) server.rewrite = rewrite
  try {
    // What it ends has ended at once.
    yield* runSuite({ urls: [server.url], adapter: server, patience: 0, onSecret: keepSecret }, scenarios, selection)
  } finally {
    await server.close()
  }
}

/** Whether a scenario fails; the first that does is enough. */
async function isCaught(results: AsyncGenerator<Result>): Promise<boolean> {
  for await (const { verdict } of results) if (verdict.state === 'failed') return true
  return false
}

test('a sound server that is not ours passes everything', async () => {
  const results: Result[] = []
  for await (const result of run({ versions: VERSIONS, words: [] })) results.push(result)
  assert.equal(results.length, scenarios.length)
  // It has no time-stamp authority, and says so in info.
  const rest = results.filter(({ verdict }) => verdict.state !== 'passed').flatMap(linesOfResult)
  const stamps = /^not offered .*signatures-timestamp\.txt\): info does not name signatures\/timestamp$/
  assert.deepEqual(
    rest.filter((line) => !stamps.test(line)),
    [],
  )
  assert.equal(rest.length, scenarios.filter(({ file }) => file.endsWith('signatures-timestamp.txt')).length)
})

describe('a broken door is caught by a scenario that names its abuse:', () => {
  for (const [defect, abuse] of Object.entries(BROKEN_DOORS) as [Defect, string][]) {
    test(`${abuse}: ${defect}`, async () => {
      const named = new RegExp(`\\((?:[AB]\\d+, )*${abuse}(?:, [AB]\\d+)*\\)$`)
      const words = scenarios.filter(({ name }) => named.test(name)).map(({ name }) => name)
      const versions = ONLY_IN_V2.includes(defect) ? (['v2'] as const) : VERSIONS
      for (const version of versions) assert.ok(await isCaught(run({ versions: [version], words }, [defect])), version)
    })
  }
})

describe('a wrong answer is noticed:', () => {
  for (const [name, { file, rewrite }] of Object.entries(WRONG_ANSWERS)) {
    test(name, async () => {
      for (const version of VERSIONS)
        assert.ok(await isCaught(run({ versions: [version], words: [file] }, [], rewrite)), version)
    })
  }
})

test('every abuse that can be seen from outside has its broken door', () => {
  // Those that cannot are listed in conformance/README.md.
  const visible = [...Array.from({ length: 16 }, (_, i) => `A${i + 1}`), 'B1', 'B3', 'B4', 'B8']
  const broken: readonly string[] = Object.values(BROKEN_DOORS)
  assert.deepEqual(
    visible.filter((abuse) => !broken.includes(abuse)),
    [],
  )
})
