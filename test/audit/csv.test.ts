/** F29: values that are meant to do harm are lines of a log and cells of a table, and nothing else. */
import assert from 'node:assert/strict'
import { mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { writeCsv } from '../../src/audit/csv.js'
import { leafHash } from '../../src/tlog/tree.js'
import { verifyPack } from '../../src/verifier/verify.js'
import { TestLog } from '../helpers/pack.js'

const folder = mkdtempSync(join(tmpdir(), 'paraph-csv-'))
after(() => rmSync(folder, { recursive: true }))

/** RFC 4180, as a reader that knows nothing else. */
function parseCsv(text: string): string[][] {
  const rows: string[][] = []
  let row: string[] = []
  for (const [, quoted, plain, end] of text.matchAll(/(?:"((?:[^"]|"")*)"|([^",\r\n]*))(,|\r\n|$)/gy)) {
    row.push(quoted === undefined ? (plain as string) : quoted.replaceAll('""', '"'))
    if (end === ',') continue
    if (end === '\r\n') rows.push(row)
    row = []
  }
  return rows
}

test('F29: a table of a log whose values hold line breaks, formulas, U+2028 and half a character', async () => {
  const log = new TestLog()
  const evil = [
    '=1+1',
    '+48 123',
    '-2',
    '@SUM(A1)',
    ' =cmd',
    '\t=1',
    'a,"b"',
    'two\r\nlines',
    'one\u2028more',
    '\ud800',
    '＝1',
    'plain',
  ]
  const at = log.commit(
    log.sam,
    evil.map((signer) => ({
      type: 'signer.suspended' as const,
      outcome: 'ok' as const,
      actor: { kind: 'operator' as const, id: 'o' },
      evidence: { signer },
    })),
  )
  const who = log.newSigner()
  const { intent, digests } = log.signOnce(who, 2)
  log.publish()
  const root = join(folder, 'pack')
  await log.write(root)
  assert.equal((await verifyPack({ root, policy: log.policy() })).verdict, 'ok')

  const file = join(folder, 'table.csv')
  await writeCsv(root, file)
  const text = readFileSync(file, 'utf8')
  assert.equal(text.split('\r\n').length, log.entries.length + 2, 'one line an entry, and one of headings')
  assert.equal(text.split(/[\n\u2028\u2029\u0085\v\f]/).length, log.entries.length + 2)
  const [headings, ...rows] = parseCsv(text)
  assert.equal(rows.length, log.entries.length)
  const column = (name: string) => (headings as string[]).indexOf(name)
  for (const row of rows) {
    assert.equal(row.length, headings?.length)
    for (const cell of row) assert.doesNotMatch(cell, /^\s*[=+\-@＝]/)
  }
  assert.deepEqual(
    rows.slice(at, at + evil.length).map((row) => row[column('signer')]),
    [
      ...["'=1+1", "'+48 123", "'-2", "'@SUM(A1)", "' =cmd", '\uFFFD=1', 'a,"b"', 'two\uFFFD\uFFFDlines'],
      ...['one\uFFFDmore', '\uFFFD', "'＝1", 'plain'],
    ],
  )
  const row = rows[intent] as string[]
  assert.deepEqual(
    ['index', 'event', 'actor', 'signer', 'credential', 'hash', 'leaf_hash'].map((name) => row[column(name)]),
    [
      ...[String(intent), 'sign.intent', `signer ${who.signer}`, who.signer, who.credential],
      digests.map((digest) => digest.toString('hex')).join(' '),
      leafHash(log.entries[intent] as Buffer).toString('hex'),
    ],
  )
  assert.match(row[column('time')] as string, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/)
  assert.equal(statSync(file).mode & 0o777, 0o600)
  await assert.rejects(writeCsv(root, file), /EEXIST/)
})
