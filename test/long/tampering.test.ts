/**
 * What the owner of the database can do to the log of a service at work, past every trigger, and who finds it out: both
 * verifiers, from a pack that he wrote himself. Some of it he does with the key that signs checkpoints. What stops the
 * service itself is in test/keeper.
 */
import assert from 'node:assert/strict'
import { createPrivateKey, randomUUID, sign as signBytes } from 'node:crypto'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { type PackSource, writePack } from '../../src/audit/pack.js'
import type { Client } from '../../src/db/pool.js'
import { openCheckpointKey } from '../../src/hsm/checkpoint-key.js'
import { checkpointText, noteKey, signatureLine } from '../../src/tlog/note.js'
import { GrowingTree } from '../../src/tlog/tiles.js'
import { leafHash } from '../../src/tlog/tree.js'
import type { Finding } from '../../src/verifier/finding.js'
import { verifyPack } from '../../src/verifier/verify.js'
import { ECDSA_WITH, until } from '../helpers/csc.js'
import { databasePack, databasePolicy } from '../helpers/database-pack.js'
import { refreshManifest, TestLog } from '../helpers/pack.js'
import { second } from '../helpers/second-verifier.js'
import { TestService } from '../helpers/test-service.js'

let service: TestService
let owner: Client
let origin: string
let policy: string
/** The checkpoint key, as somebody has it who broke into the keeper's machine. */
let stolen: ConstructorParameters<typeof TestLog>[1]
/** What an auditor kept of an earlier visit, and a client of its signing. */
let since: string
let receipt: string
let bearer: string
let sad: string
const hashes: string[] = []
/** Of the first signing. */
let intent: number

before(async () => {
  service = await TestService.start({ keys: ['p-256'], keeper: false })
  owner = await service.owner()
  origin = (await service.admin('log.origin', {})).origin
  const first = await service.startKeeper()
  await covered()
  await first.stop()
  const folder = join(service.folder, 'second-key')
  const key = await openCheckpointKey(`memory:${folder}`, { create: true })
  const privateKey = createPrivateKey(readFileSync(join(folder, 'checkpoint-key.pem')))
  stolen = { key: noteKey(origin, key.type, key.publicKey), privateKey }
  await service.startKeeper({ key })
  policy = await databasePolicy(owner)

  bearer = await service.login()
  hashes.push(...service.digests('one', 'two', 'three'))
  sad = await service.authorize(bearer, credential(), hashes)
  for (const hash of hashes.slice(0, 2)) assert.equal((await sign(hash)).status, 200)
  const { rows } = await owner.query(
    `select idx, op from audit.entry join audit.event_type using (ev) where name = 'sign.intent' order by idx`,
  )
  intent = rows[0].idx
  await covered()
  since = (await owner.query('select note from audit.checkpoint order by size desc limit 1')).rows[0].note
  const kept = await fetch(`${service.urls[0]}/audit/v1/receipts/${rows[0].op}`, {
    headers: { authorization: `Bearer ${bearer}` },
  })
  assert.equal(kept.status, 200)
  receipt = await kept.text()
  await service.login()
  await covered()
})
after(() => service?.close())

const credential = () => service.credentials['p-256'] as string
const sign = (hash: string) => service.signHash(bearer, credential(), sad, [hash], { signAlgo: ECDSA_WITH['sha-256'] })

/** Everything that is in the log now is under a checkpoint. */
async function covered(): Promise<void> {
  const size = (await owner.query('select size from audit.head')).rows[0].size
  const signed = async () => (await owner.query('select max(size) as size from audit.checkpoint')).rows[0].size >= size
  await until('the log is signed', signed)
}

interface Judged {
  readonly verdict: string
  readonly faults: readonly Pick<Finding, 'rule' | 'index'>[]
}

/** What both verifiers say of the database as it is, or of a pack. */
async function judged(source: PackSource, kept: { since?: boolean; receipt?: boolean } = {}): Promise<Judged> {
  const root = join(service.folder, `pack-${randomUUID()}`)
  const genuine = source.checkpoint
  // The tool that writes packs refuses entries that make another tree; he has one that does not.
  const size = Number(genuine.split('\n')[1])
  const entries = await allEntries(source, size)
  const tree = new GrowingTree()
  for (const leaf of entries) tree.append(leafHash(leaf))
  const forged = checkpoint(tree.size, tree.root())
  await writePack(root, { ...source, checkpoint: forged, entries: async (from, to) => entries.slice(from, to) })
  writeFileSync(join(root, 'checkpoint'), genuine)
  refreshManifest(root)
  const options = []
  if (kept.since) options.push('--since', keptFile(root, 'since', since))
  if (kept.receipt) options.push('--receipt', keptFile(root, 'receipt', receipt))
  const ours = await verifyPack({
    ...{ root, policy },
    ...(kept.since ? { since } : {}),
    ...(kept.receipt ? { receipts: new Map([['receipt', receipt]]) } : {}),
  })
  const theirs = await second(root, policy, ...options)
  assert.equal(theirs.verdict, ours.verdict, JSON.stringify([ours.faults.slice(0, 3), theirs.faults.slice(0, 3)]))
  return ours
}

async function allEntries(source: PackSource, size: number): Promise<Uint8Array[]> {
  const entries: Uint8Array[] = []
  for (let from = 0; from < size; from += 256) entries.push(...(await source.entries(from, Math.min(size, from + 256))))
  return entries
}

function keptFile(root: string, name: string, text: string): string {
  writeFileSync(`${root}.${name}`, text)
  return `${root}.${name}`
}

/** Signed by the stolen key. */
function checkpoint(size: number, root: Uint8Array): string {
  const text = checkpointText({ origin, size, root })
  return `${text}\n${signatureLine(stolen?.key as never, signBytes(null, Buffer.from(text), stolen?.privateKey as never))}`
}

/** The same pack with one checkpoint over what stands in it now, by the stolen key. */
async function resigned(source: PackSource): Promise<PackSource> {
  const { rows } = await owner.query('select leaf from audit.entry order by idx')
  const tree = new GrowingTree()
  for (const { leaf } of rows) tree.append(leafHash(leaf))
  const note = checkpoint(tree.size, tree.root())
  const entries = rows.map(({ leaf }) => leaf as Buffer)
  return {
    ...source,
    checkpoint: note,
    entries: async (from, to) => entries.slice(from, to),
    async *checkpoints() {
      yield { size: tree.size, note }
    },
  }
}

const named = ({ faults }: Judged, rule: string, index?: number) =>
  assert.ok(
    faults.some((fault) => fault.rule === rule && (index === undefined || fault.index === index)),
    JSON.stringify(faults.slice(0, 5)),
  )

/** In a transaction that is rolled back: each deed by itself. */
async function tampering(deed: () => Promise<unknown>, judge: () => Promise<void>): Promise<void> {
  await owner.query('begin')
  try {
    await owner.query('set local session_replication_role = replica')
    await deed()
    await judge()
  } finally {
    await owner.query('rollback')
  }
}

test('F26: a log that was signed by one key and then by another is whole; whoever trusts one of them alone is told', async () => {
  assert.deepEqual((await judged(await databasePack(owner), { since: true, receipt: true })).faults, [])
  const both = policy
  for (const line of both.split('\n').filter((text) => text.startsWith('log '))) {
    policy = `${line}\nquorum none\n`
    named(await judged(await databasePack(owner)), 'R1')
  }
  policy = both
})

const DEEDS: Record<string, () => Promise<unknown>> = {
  'an entry is deleted': () => owner.query('delete from audit.entry where idx = $1', [intent]),
  'an entry is edited, with its hash': async () => {
    const { rows } = await owner.query('select leaf from audit.entry where idx = $1', [intent])
    const leaf = Buffer.from(rows[0].leaf.toString().replace('"n":1', '"n":2'))
    await owner.query('update audit.entry set leaf = $2, lh = $3 where idx = $1', [intent, leaf, leafHash(leaf)])
  },
  'two entries are exchanged': async () => {
    await owner.query('update audit.entry set idx = 1000000 where idx = $1', [intent])
    await owner.query('update audit.entry set idx = $1 where idx = $2', [intent, intent + 1])
    await owner.query('update audit.entry set idx = $1 where idx = 1000000', [intent + 1])
  },
}
for (const [what, deed] of Object.entries(DEEDS)) {
  test(`${what}: the tree that was signed is another, and with the key the writers' signatures tell`, () =>
    tampering(deed, async () => {
      named(await judged(await databasePack(owner)), 'R2')
      named(await judged(await resigned(await databasePack(owner))), 'R5')
    }))
}

test('an entry is slipped in by whoever has the key: no writer signed it', () =>
  tampering(
    async () => {
      const size = (await owner.query('update audit.head set size = size + 1 returning size - 1 as size')).rows[0].size
      const { rows } = await owner.query('select op, ph, ev, leaf from audit.entry where idx = $1', [size - 1])
      const op = randomUUID()
      const leaf = Buffer.from(
        rows[0].leaf
          .toString()
          .replace(rows[0].op, op)
          .replace(/"seq":(\d+)/, (_: string, seq: string) => `"seq":${Number(seq) + 1}`),
      )
      const values = [size, op, rows[0].ph, rows[0].ev, leaf, leafHash(leaf)]
      await owner.query('insert into audit.entry (idx, op, ph, ev, leaf, lh) values ($1, $2, $3, $4, $5, $6)', values)
    },
    async () => named(await judged(await resigned(await databasePack(owner))), 'R5'),
  ))

test('the end is cut off, or a backup restored: what was kept of a later log tells', () =>
  tampering(
    async () => {
      const { rows } = await owner.query(
        `select max(size) as size from audit.checkpoint c where size <= $1 and exists (select from audit.flush where first_idx = c.size)`,
        [intent],
      )
      const { size } = rows[0]
      for (const table of ['entry', 'op_index', 'opening'])
        await owner.query(`delete from audit.${table} where idx >= $1`, [size])
      await owner.query('delete from audit.flush where first_idx >= $1', [size])
      await owner.query('delete from audit.checkpoint where size > $1', [size])
      await owner.query('update audit.head set size = $1', [size])
    },
    async () => {
      assert.deepEqual((await judged(await databasePack(owner))).faults, [], 'it is a whole log, only a shorter one')
      named(await judged(await databasePack(owner), { since: true }), 'R2')
      assert.equal((await judged(await databasePack(owner), { receipt: true })).verdict, 'incomplete')
    },
  ))

test('F14: a log that was built anew with the key is whole, and contradicts each checkpoint and receipt that was kept', async () => {
  const log = new TestLog(origin, stolen)
  log.live(200, { signers: 4 })
  assert.deepEqual((await judged(log.source())).faults, [])
  named(await judged(log.source(), { since: true }), 'R2')
  named(await judged(log.source(), { receipt: true }), 'R10')
})

test('a budget is rolled back: the service signs once more, and the log tells of it', async () => {
  const twice = hashes[0] as string
  assert.equal((await sign(twice)).status, 400, 'it is spent')
  await owner.query('update paraph.authorization set used = 0, remaining = array_append(remaining, $1)', [
    Buffer.from(twice, 'base64'),
  ])
  assert.equal((await sign(twice)).status, 200)
  const { rows } = await owner.query(
    `select max(idx) as idx from audit.entry join audit.event_type using (ev) where name = 'sign.intent'`,
  )
  await covered()
  named(await judged(await databasePack(owner)), 'R4', rows[0].idx)
})
