/** Packs whose files somebody changed, and what the auditor himself kept. */
import assert from 'node:assert/strict'
import {
  appendFileSync,
  cpSync,
  mkdirSync,
  mkdtempSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  truncateSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { writePack } from '../../src/audit/pack.js'
import { foldHashes, leafHash } from '../../src/tlog/tree.js'
import type { Report } from '../../src/verifier/report.js'
import { type VerifyOptions, verifyPack } from '../../src/verifier/verify.js'
import { edited, filesOf, makeCheckpointKey, receiptOf, refreshManifest, TestLog } from '../helpers/pack.js'

const folder = mkdtempSync(join(tmpdir(), 'paraph-pack-'))
after(() => rmSync(folder, { recursive: true }))

/** More than one bundle, and a tile above them. */
const log = new TestLog()
const kept: { early?: string } = {}
const whole = join(folder, 'whole')

before(async () => {
  log.live(300, { signers: 8 })
  kept.early = log.publish()
  log.live(600, { signers: 8 })
  await log.write(whole)
})

async function reportOf(spoil: (root: string) => void, options: Partial<VerifyOptions> = {}): Promise<Report> {
  const root = join(folder, 'spoiled')
  cpSync(whole, root, { recursive: true })
  try {
    spoil(root)
    return await verifyPack({ root, policy: log.policy(), ...options })
  } finally {
    rmSync(root, { recursive: true, force: true })
  }
}

/** Changes one byte in the middle of a file, and hides it from MANIFEST. */
function change(file: string, at?: number): (root: string) => void {
  return (root) => {
    const bytes = readFileSync(join(root, file))
    const position = at ?? bytes.length >> 1
    bytes[position] = (bytes[position] as number) ^ 1
    writeFileSync(join(root, file), bytes)
    refreshManifest(root)
  }
}

const lastBundle = () => filesOf(whole).find((file) => /^tile\/entries\/.*\.p\//.test(file)) as string

test('it is whole before', async () => {
  const report = await reportOf(() => {})
  assert.deepEqual([report.verdict, report.faults], ['ok', []])
})

test('one byte of any kind of file is missed by nobody, even with MANIFEST written anew', async () => {
  const expected: readonly [string, string][] = [
    ['tile/entries/000', 'R2'],
    [lastBundle(), 'R2'],
    ['tile/0/000', 'R2'],
    ['tile/1/000.p/2', 'R2'],
    ['entries.jsonl', 'R2'],
    ['flushes.jsonl', 'R5'],
    ['openings.jsonl', 'R8'],
    ['checkpoints.jsonl', 'R1'],
    ['checkpoint', 'R1'],
  ]
  for (const [file, rule] of expected) {
    const report = await reportOf(change(file))
    assert.equal(report.verdict, 'fault', file)
    assert.ok(
      report.faults.some((fault) => fault.rule === rule && (fault.file === file || fault.index !== undefined)),
      `${file}: ${JSON.stringify(report.faults.slice(0, 3))}`,
    )
  }
})

test('each line of MANIFEST is asked', async () => {
  const lines = readFileSync(join(whole, 'MANIFEST'), 'utf8').split('\n').slice(0, -1)
  for (const [i, line] of lines.entries()) {
    const other = line.startsWith('0') ? '1' : '0'
    const report = await reportOf((root) =>
      writeFileSync(join(root, 'MANIFEST'), `${lines.with(i, other + line.slice(1)).join('\n')}\n`),
    )
    assert.deepEqual([report.verdict, report.faults[0]?.rule, report.faults[0]?.file], ['fault', 'R2', line.slice(66)])
  }
})

test('the first bad entry is named', async () => {
  for (const index of [0, 1, 255, 256, 400]) {
    const report = await reportOf((root) => {
      const file = join(root, 'entries.jsonl')
      const lines = readFileSync(file, 'utf8').split('\n')
      lines[index] = (lines[index] as string).replace('"v":1', '"v":2')
      writeFileSync(file, lines.join('\n'))
      refreshManifest(root)
    })
    assert.deepEqual([report.faults[0]?.rule, report.faults[0]?.index], ['R2', index])
  }
})

const spoilings: Readonly<Record<string, [string, (root: string) => void]>> = {
  'a bundle is missing': ['tile/entries/000', (root) => unlinkSync(join(root, 'tile/entries/000'))],
  'a tile is missing': ['tile/1/000.p/2', (root) => unlinkSync(join(root, 'tile/1/000.p/2'))],
  'a file is missing': ['openings.jsonl', (root) => unlinkSync(join(root, 'openings.jsonl'))],
  'MANIFEST is missing': ['MANIFEST', (root) => unlinkSync(join(root, 'MANIFEST'))],
  'the checkpoint is missing': ['checkpoint', (root) => unlinkSync(join(root, 'checkpoint'))],
  'a file too many': ['notes.txt', (root) => writeFileSync(join(root, 'notes.txt'), 'hello')],
  'a tile too many': [
    'tile/0/000.p/7',
    (root) => {
      mkdirSync(join(root, 'tile/0/000.p'))
      writeFileSync(join(root, 'tile/0/000.p/7'), 'x')
    },
  ],
  'a bundle that ends too early': ['tile/entries/000', (root) => truncateSync(join(root, 'tile/entries/000'), 5000)],
  'entries that end too early': ['entries.jsonl', (root) => truncateSync(join(root, 'entries.jsonl'), 5000)],
  'flushes that end too early': ['flushes.jsonl', (root) => truncateSync(join(root, 'flushes.jsonl'), 5000)],
  'an empty checkpoint': ['checkpoint', (root) => truncateSync(join(root, 'checkpoint'), 0)],
  'an empty MANIFEST': ['MANIFEST', (root) => truncateSync(join(root, 'MANIFEST'), 0)],
  'a link in the place of a file': [
    'entries.jsonl',
    (root) => {
      renameSync(join(root, 'entries.jsonl'), join(folder, 'elsewhere'))
      symlinkSync(join(folder, 'elsewhere'), join(root, 'entries.jsonl'))
    },
  ],
  'a link in the place of a folder': [
    'tile',
    (root) => {
      rmSync(join(folder, 'tiles'), { recursive: true, force: true })
      renameSync(join(root, 'tile'), join(folder, 'tiles'))
      symlinkSync(join(folder, 'tiles'), join(root, 'tile'))
    },
  ],
  'a folder in the place of a file': [
    'flushes.jsonl',
    (root) => {
      unlinkSync(join(root, 'flushes.jsonl'))
      mkdirSync(join(root, 'flushes.jsonl'))
    },
  ],
  'something behind the last line': ['openings.jsonl', (root) => appendFileSync(join(root, 'openings.jsonl'), 'x')],
  'a line that never ends': [
    'flushes.jsonl',
    (root) => appendFileSync(join(root, 'flushes.jsonl'), Buffer.alloc(2 ** 25, 0x20)),
  ],
  'a huge checkpoint': ['checkpoint', (root) => appendFileSync(join(root, 'checkpoint'), Buffer.alloc(2 ** 25, 0x20))],
  'a huge tile': ['tile/0/000', (root) => appendFileSync(join(root, 'tile/0/000'), Buffer.alloc(2 ** 25))],
  'a MANIFEST out of order': [
    'MANIFEST',
    (root) => {
      const lines = readFileSync(join(root, 'MANIFEST'), 'utf8').split('\n')
      writeFileSync(join(root, 'MANIFEST'), [lines[1], lines[0], ...lines.slice(2)].join('\n'))
    },
  ],
}

for (const [what, [file, spoil]] of Object.entries(spoilings)) {
  test(`${what}: the file is named`, async () => {
    const { verdict, faults } = await reportOf(spoil)
    assert.equal(verdict, 'fault')
    assert.ok(
      faults.some((fault) => fault.file === file),
      JSON.stringify(faults.slice(0, 3)),
    )
  })
}

test('garbage in every file ends soon, and never well', async () => {
  const files = [...filesOf(whole).filter((file) => !file.startsWith('tile')), 'tile/entries/000', 'tile/0/000']
  for (const file of files) {
    for (const bytes of [
      Buffer.alloc(100_000, 0xff),
      Buffer.alloc(100_000, 0x0a),
      Buffer.from('{}\n'),
      Buffer.alloc(0),
    ]) {
      const report = await reportOf((root) => {
        writeFileSync(join(root, file), bytes)
        refreshManifest(root)
      })
      assert.notEqual(report.verdict, 'ok', file)
    }
  }
})

// What the auditor kept.

test('a checkpoint of an earlier time is one of this log', async () => {
  const { early: since = '' } = kept
  assert.equal((await reportOf(() => {}, { since })).verdict, 'ok')
})

test('a log that was rewritten or cut off since is found out', async () => {
  const other = new TestLog()
  other.live(300, { signers: 8 })
  const stranger = other.publish()
  const size = log.entries.length
  const rewritten = log.sign(size - 7, Buffer.alloc(32, 7))
  const later = log.sign(size + 1, Buffer.alloc(32, 7))
  for (const since of [stranger, rewritten, later, 'nonsense']) {
    const report = await reportOf(() => {}, { since })
    assert.deepEqual([report.verdict, report.faults[0]?.rule], ['fault', 'R2'])
  }
})

test('receipts of this log are found in it', async () => {
  const { early = '' } = kept
  const receipts = new Map([
    ['one', await receiptOf(log, 70, early)],
    ['two', await receiptOf(log, 299, log.checkpoints.at(-1)?.note as string)],
  ])
  assert.equal((await reportOf(() => {}, { receipts })).verdict, 'ok')
})

test('receipts that are none, or of another log, are told', async () => {
  const { early = '' } = kept
  const receipt = await receiptOf(log, 70, early)
  const other = new TestLog()
  other.live(100, { signers: 4 })
  const spoiled = [
    await receiptOf(other, 70, other.checkpoints.at(-1)?.note as string),
    receipt.replace('index 70', 'index 71'),
    receipt.replace(
      /(index 70\n)./,
      (_, line) => `${line}${receipt.split('index 70\n')[1]?.startsWith('A') ? 'B' : 'A'}`,
    ),
    receipt.replace(/extra .*/, `extra ${Buffer.from('{}').toString('base64')}`),
    receipt.replace(/extra (.*)/, (_, extra) => {
      const text = Buffer.from(extra, 'base64').toString()
      return `extra ${Buffer.from(text.replace('"actor","', '"actor","x')).toString('base64')}`
    }),
    'nonsense',
  ]
  for (const text of spoiled) {
    const report = await reportOf(() => {}, { receipts: new Map([['r', text]]) })
    assert.deepEqual([report.verdict, report.faults[0]?.rule, report.faults[0]?.file], ['fault', 'R10', 'r'])
  }
})

test('receipts of a log that was built anew with the same keys do not fit', async () => {
  const size = log.entries.length
  const fork = log.before(size)
  fork.entries[size - 1] = edited(fork.entries[size - 1] as Buffer, (leaf) => {
    leaf['why'] = 'another'
  })
  const note = log.sign(size, foldHashes(fork.entries.map(leafHash)))
  fork.entries.push(fork.entries[0] as Buffer)
  const later = log.sign(size + 1, foldHashes(fork.entries.map(leafHash)))
  // An entry that both logs have, and one that only the other has, in a tree that this one does not reach.
  for (const text of [await receiptOf(fork, 70, note), await receiptOf(fork, size - 1, later)]) {
    const report = await reportOf(() => {}, { receipts: new Map([['r', text]]) })
    assert.deepEqual([report.verdict, report.faults[0]?.rule], ['fault', 'R10'])
  }
})

test('a receipt of a later time than the pack cannot be judged', async () => {
  const { early = '' } = kept
  const receipt = await receiptOf(log, 400, log.checkpoints.at(-1)?.note as string)
  const size = log.checkpoints.find(({ note }) => note === early)?.size as number
  const root = join(folder, 'earlier')
  await log.before(size).write(root)
  const report = await verifyPack({ root, policy: log.policy(), receipts: new Map([['r', receipt]]) })
  assert.deepEqual([report.verdict, report.faults, report.incomplete[0]?.rule], ['incomplete', [], 'R10'])
})

// Keys and witnesses.

test('checkpoints of two keys in turn are good, and the policy names both', async () => {
  const turned = new TestLog()
  turned.publish()
  turned.signing = turned.newCheckpointKey()
  turned.publish()
  const root = join(folder, 'turned')
  await turned.write(root)
  assert.equal((await verifyPack({ root, policy: turned.policy() })).verdict, 'ok')
  const [first, ...rest] = turned.policy().split('\n')
  const onlyNew = await verifyPack({ root, policy: rest.join('\n') })
  assert.deepEqual([onlyNew.verdict, onlyNew.faults[0]?.rule, first?.slice(0, 4)], ['fault', 'R1', 'log '])
})

test('witnesses: the quorum of the policy, no false cosignature, none from the past', async () => {
  const watched = new TestLog()
  watched.addWitness('w1')
  watched.addWitness('w2')
  watched.publish()
  const root = join(folder, 'watched')
  await watched.write(root)
  const two = watched.policy('both').replace('quorum', 'group both all w1 w2\nquorum')
  assert.equal((await verifyPack({ root, policy: two })).verdict, 'ok')

  const lonely = new TestLog()
  lonely.publish()
  const alone = join(folder, 'lonely')
  await lonely.write(alone)
  const policy = [lonely.policy().replace(/quorum.*\n/, ''), two.replace(/^log .*\n/gm, '')].join('')
  const report = await verifyPack({ root: alone, policy })
  assert.deepEqual([report.verdict, report.faults[0]?.rule, report.faults[0]?.file], ['fault', 'R1', 'checkpoint'])

  watched.commit(watched.sam, [{ type: 'audit.stop', outcome: 'ok', actor: { kind: 'system' } }])
  const size = watched.entries.length
  const early = Math.floor(watched.now / 1000) - 10
  watched.checkpoints.push({ size, note: watched.sign(size, watched.rootNow(), watched.signing, early) })
  const past = join(folder, 'past')
  await watched.write(past)
  const backdated = await verifyPack({ root: past, policy: two })
  assert.deepEqual([backdated.verdict, backdated.faults[0]?.rule], ['fault', 'R7'])
})

test('whom the policy does not name, it does not trust', async () => {
  const stranger = makeCheckpointKey(log.signing.key.name)
  const other = new TestLog()
  other.trust(stranger)
  const report = await reportOf(() => {}, { policy: other.policy() })
  assert.deepEqual([report.verdict, report.faults[0]?.rule], ['fault', 'R1'])
})

test('the writer of packs refuses a folder that is not empty, and entries of another tree', async () => {
  await assert.rejects(log.write(whole), /not empty/)
  const root = join(folder, 'wrong')
  await assert.rejects(
    writePack(root, {
      ...log.source(),
      entries: async (from, to) => log.entries.slice(from, to).map(() => Buffer.from('{}')),
    }),
    /tree of the checkpoint/,
  )
  assert.ok(!filesOf(root).includes('MANIFEST'))
})
