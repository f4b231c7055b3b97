/** What a process wrote, altered by the owner of the database before any checkpoint covers it (F11, last case). */
import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { OwnEntries } from '../../src/audit/own-entries.js'
import type { Executor } from '../../src/db/pool.js'
import type { WorkerSettings } from '../../src/sam/supervisor.js'
import { GrowingTree } from '../../src/tlog/tiles.js'
import { until } from '../front/until.js'
import { PaperLog } from '../helpers/paper-log.js'
import { TestService } from '../helpers/test-service.js'

const log = new PaperLog('own.example.test')

/** A database that holds tiles over these hashes, and says where flushes stand. */
function database(hashes: readonly Uint8Array[], places: Record<number, number> = {}) {
  const tree = new GrowingTree()
  for (const hash of hashes) tree.append(hash)
  const tiles = tree.takeTiles()
  const query = async (text: string, values: [number, number] = [0, 0]) => {
    if (text.includes('audit.flush')) {
      const rows = Object.entries(places).map(([no, first]) => ({ boot: 'b', no: Number(no), first_idx: first }))
      return { rows, rowCount: rows.length }
    }
    const rows = tiles.filter(({ level, n }) => level === values[0] && n === values[1])
    return { rows, rowCount: rows.length }
  }
  return { db: { query } as unknown as Executor, tree: { size: tree.size, root: tree.root() } }
}

const hashes = (size: number) => Array.from({ length: size }, (_, i) => log.leaf(i))
const flush = (no: number, first: number | undefined, count: number) => ({
  ...{ boot: 'b', no, first },
  hashes: Array.from({ length: count }, (_, i) => [log.leaf((first ?? 0) + i)]),
})

test('entries are compared once a tree covers them, by the tiles that its root confirms', async () => {
  const own = new OwnEntries()
  own.add(flush(0, 3, 4))
  own.add(flush(1, 290, 20))
  const { db, tree } = database(hashes(300))
  assert.equal(await own.compare(db, tree), undefined)
  // Entry 300 and those after it are covered later, and are others by then.
  const altered = hashes(400)
  altered[305] = log.leaf(9999)
  const later = database(altered)
  assert.deepEqual(await own.compare(later.db, later.tree), { boot: 'b', flush: 1, index: 305 })
  // Tiles that show what was written, under a root that was signed over something else, show nothing.
  const honest = database(hashes(400))
  assert.deepEqual((await own.compare(honest.db, later.tree))?.index, 290)
  assert.equal(await own.compare(honest.db, honest.tree), undefined)
  assert.equal(await own.compare(later.db, later.tree), undefined, 'what was compared is forgotten')
})

test('where an entry stands is asked where the commit did not tell it, and one that is gone is found', async () => {
  const own = new OwnEntries()
  own.add(flush(7, undefined, 5))
  const { db, tree } = database(hashes(20), { 7: 0 })
  assert.equal(await own.compare(db, tree), undefined)
  own.add(flush(8, undefined, 1))
  assert.deepEqual(await own.compare(db, tree), { boot: 'b', flush: 8, index: undefined })
})

test('of two leaves that were offered either may stand where nobody was told which', async () => {
  const own = new OwnEntries()
  own.add({ boot: 'b', no: 0, first: 4, hashes: [[log.leaf(77), log.leaf(4)]] })
  const { db, tree } = database(hashes(20))
  assert.equal(await own.compare(db, tree), undefined)
  own.add({ boot: 'b', no: 1, first: 5, hashes: [[log.leaf(77)]] })
  assert.equal((await own.compare(db, tree))?.index, 5)
})

/** Alters entries of one event, with every hash that belongs to them, as the owner of the database can. */
async function alter(service: TestService, event: string): Promise<number> {
  const owner = await service.owner()
  await owner.query("set session_replication_role = 'replica'")
  const { rowCount } = await owner.query(
    `with altered as (
       select idx, convert_to(replace(convert_from(leaf, 'UTF8'), '"v":1', '"v":2'), 'UTF8') as leaf
         from audit.entry join audit.event_type using (ev) where name = $1 and idx >= (select size from audit.tree))
     update audit.entry e set leaf = a.leaf, lh = sha256('\\x00'::bytea || a.leaf) from altered a where a.idx = e.idx`,
    [event],
  )
  await owner.query('reset session_replication_role')
  return rowCount ?? 0
}

for (const event of ['auth.login', 'sign.outcome']) {
  test(`F11: ${event} altered in the moment before it is signed is found by the worker that wrote it`, async (t) => {
    const service = await TestService.start({ keys: ['p-256'], keeper: false })
    t.after(() => service.close())
    const file = join(service.folder, 'checkpoint')
    const sign = async () => {
      const token = await service.login()
      const digests = service.digests('a document')
      const credential = service.credentials['p-256'] as string
      const sad = await service.authorize(token, credential, digests)
      return (await service.signHash(token, credential, sad, digests)).status
    }
    const keeper = await service.startKeeper()
    await until(async () => (await sign()) === 200)
    await keeper.stop()
    await sign()
    assert.ok((await alter(service, event)) > 0)
    // The keeper remembers nothing of it, and signs what stands there.
    await service.startKeeper({ guardFile: join(service.folder, 'another') })
    await until(() => existsSync(`${file}.fork`))
    assert.match(readFileSync(`${file}.fork`, 'utf8'), /is not entry \d+ of the signed tree/)
    assert.equal(await sign(), 503)
    const owner = await service.owner()
    await until(async () => {
      const { rows } = await owner.query('select count(*) as n from audit.entry where ev = 6')
      return rows[0].n === 1
    })
    // Another worker of this machine remembers it, too.
    await service.closeWorkers()
    const worker = await service.startWorker(service.workerSettings[0] as WorkerSettings)
    try {
      await until(() =>
        service.login().then(
          () => true,
          () => false,
        ),
      )
      assert.equal(await sign(), 503)
    } finally {
      await worker.close()
    }
  })
}

test('F11: an entry of the keeper itself, altered before it signs it, is found by the keeper', async (t) => {
  const service = await TestService.start({ keys: ['p-256'], keeper: false })
  t.after(() => service.close())
  const owner = await service.owner()
  // Nobody can extend the tree until the entry is altered.
  await owner.query('begin')
  await owner.query('select from audit.tree for update')
  await service.startKeeper()
  await until(async () => (await owner.query('select from audit.entry where ev = 5')).rowCount === 1)
  assert.equal(await alter(service, 'audit.heartbeat'), 1)
  await owner.query('commit')
  const file = join(service.folder, 'checkpoint')
  await until(() => existsSync(`${file}.fork`))
  assert.match(readFileSync(`${file}.fork`, 'utf8'), /is not entry \d+ of the signed tree/)
})
