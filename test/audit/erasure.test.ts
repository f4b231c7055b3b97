/** What personal data beside the log goes when, what the log says of it, and that it still proves what it did. */
import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { after, before, test } from 'node:test'
import { openClient } from '../../src/db/pool.js'
import { ECDSA_WITH } from '../helpers/csc.js'
import { TestService, type TestSigner } from '../helpers/test-service.js'

let service: TestService
let jan: TestSigner
before(async () => {
  service = await TestService.start({ keys: ['p-256'] })
  jan = await service.newSigner('jan@example.test', 'Jan')
  await sign(service.signer, service.credentials['p-256'] as string)
  await sign(jan, await service.newCredential(jan, 'p-256'))
})
after(() => service?.close())

async function sign(signer: TestSigner, credentialID: string): Promise<void> {
  const bearer = await service.login(signer)
  const hashes = service.digests(`of ${signer.login}`)
  const sad = await service.authorize(bearer, credentialID, hashes, { signer })
  const { status } = await service.signHash(bearer, credentialID, sad, hashes, { signAlgo: ECDSA_WITH['sha-256'] })
  assert.equal(status, 200)
}

interface OpeningRow {
  readonly idx: number
  readonly class: number
  readonly seed: Buffer
  readonly fields: string
  readonly until: string
}

async function openings(): Promise<OpeningRow[]> {
  const { rows } = await (await service.owner()).query<OpeningRow>(
    'select idx, class, seed, fields, retain_until::text as until from audit.opening order by idx, class',
  )
  return rows
}

const leaves = async () =>
  (await (await service.owner()).query<{ leaf: Buffer }>('select leaf from audit.entry order by idx')).rows.map(
    ({ leaf }) => leaf.toString(),
  )

/** As if so much time had gone by for some of them. */
async function age(condition: string): Promise<void> {
  const owner = await service.owner()
  await owner.query("set session_replication_role = 'replica'")
  await owner.query(`update audit.opening o set retain_until = '2026-01-01' where ${condition}`)
  await owner.query('reset session_replication_role')
}

const erased = async () => (await service.checkWorld()).of('audit.erase')
const openedBy = ({ fields }: OpeningRow, name: string) => new Map(JSON.parse(fields) as [string, string][]).get(name)
const idOf = async ({ login }: TestSigner) =>
  (await (await service.owner()).query('select id from paraph.signer where login = $1', [login])).rows[0].id as string

/** RFC 6962 over the lines of docs/audit-format.md §9, the plain way. */
function rootOf(rows: readonly OpeningRow[]): string {
  const sha256 = (...parts: Buffer[]) => createHash('sha256').update(Buffer.concat(parts)).digest()
  const hash = (nodes: Buffer[]): Buffer => {
    if (nodes.length === 1) return nodes[0] as Buffer
    let half = 1
    while (2 * half < nodes.length) half *= 2
    return sha256(Buffer.of(1), hash(nodes.slice(0, half)), hash(nodes.slice(half)))
  }
  const lines = rows.map(({ idx, class: of, seed, fields }) =>
    sha256(
      Buffer.of(0),
      Buffer.from(`{"idx":${idx},"class":${of},"seed":"${seed.toString('base64url')}","fields":${fields}}`),
    ),
  )
  return hash(lines).toString('base64url')
}

test('F27: what is still to be kept stays, and whoever asks to be forgotten is told why and until when', async () => {
  const before = await openings()
  assert.deepEqual(await service.admin('log.erase', {}), { evidence: 0, network: 0 })
  const answer = await service.admin('log.erase', { signer: jan.login })
  assert.equal((await openings()).filter(({ idx }) => idx <= (before.at(-1)?.idx ?? 0)).length, before.length)
  const signer = await idOf(jan)
  const his = before.filter((row) => row.class === 1 && openedBy(row, 'signer') === signer)
  const until = his
    .map((row) => row.until)
    .sort()
    .at(-1)
  assert.deepEqual(answer, { evidence: 0, network: 0, kept: { count: his.length, until } })
  const [refused, ...more] = await erased()
  assert.deepEqual([more.length, refused?.leaf.out, refused?.leaf.why], [0, 'refused', 'retention'])
  assert.deepEqual(refused?.leaf.f, { count: his.length, until })
  assert.equal(refused?.open.get('signer'), signer)
})

test('evidence is kept seven years from the end of the certificate that it is about, addresses one year', async () => {
  const { rows } = await (await service.owner()).query(
    `select not_after + interval '7 years' as until from paraph.credential where id = $1`,
    [service.credentials['p-256']],
  )
  const until = rows[0].until.toISOString().slice(0, 10)
  const { entries } = await service.checkWorld()
  const kept = await openings()
  for (const ev of ['sad.issued', 'sign.intent', 'sign.outcome']) {
    const own = entries.findIndex(({ leaf }) => leaf.ev === ev)
    assert.equal(kept.find(({ idx, class: of }) => idx === own && of === 1)?.until, until, ev)
  }
  const year = new Date(Date.now() + 366 * 24 * 3600 * 1000).toISOString().slice(0, 10)
  assert.ok(kept.filter((row) => row.class === 2).every((row) => row.until <= year))
})

test('F27: addresses go after their year; leaves, tree and evidence stay, and the entry says what went', async () => {
  await age('class = 2')
  const [rows, before] = [await openings(), await leaves()]
  const gone = rows.filter((row) => row.class === 2)
  assert.deepEqual(await service.admin('log.erase', {}), { evidence: 0, network: gone.length })
  assert.deepEqual((await leaves()).slice(0, before.length), before)
  const left = await openings()
  assert.equal(left.filter((row) => row.class === 2).length, 0)
  assert.ok(rows.filter((row) => row.class === 1).every(({ idx }) => left.some((row) => row.idx === idx)))
  const entry = (await erased()).at(-1)
  assert.equal(entry?.leaf.act, 'operator')
  assert.deepEqual(entry?.leaf.f, {
    ...{ class: 2, first: gone[0]?.idx, last: gone.at(-1)?.idx, count: gone.length },
    root: rootOf(gone),
  })
  assert.deepEqual(await service.admin('log.erase', {}), { evidence: 0, network: 0 })
})

test('F27: what says who a signer is stays as long as anything that he did; then all of it goes, and nobody else’s', async () => {
  const signer = await idOf(jan)
  const { entries } = await service.checkWorld()
  const all = (await openings()).filter((row) => openedBy(row, 'signer') === signer).map(({ idx }) => idx)
  const his = all.filter((idx) => entries[idx]?.leaf.ev !== 'audit.erase')
  const intent = his.find((idx) => entries[idx]?.leaf.ev === 'sign.intent') as number
  const standing = his.filter((idx) =>
    /^(signer|factor|credential|key)\.(?!verified)/.test(String(entries[idx]?.leaf.ev)),
  )
  assert.ok(standing.length >= 4, 'signer, factor, key and certificate')

  await age(`idx = any ('{${his.filter((idx) => idx !== intent)}}')`)
  await service.admin('log.erase', { signer: jan.login })
  const left = (await openings()).map(({ idx }) => idx)
  assert.deepEqual(
    his.filter((idx) => left.includes(idx)),
    [...standing, intent].sort((a, b) => a - b),
  )

  await age(`idx = any ('{${his}}')`)
  const asked = (await openings()).filter((row) => openedBy(row, 'signer') === signer && !his.includes(row.idx))
  const others = (await openings()).filter((row) => openedBy(row, 'signer') !== signer)
  const { kept } = await service.admin('log.erase', { signer: jan.login })
  assert.equal(kept?.count, asked.length, 'what says that he asked')
  const after = await openings()
  assert.deepEqual(
    after.filter((row) => his.includes(row.idx)),
    [],
  )
  assert.ok(others.every(({ idx }) => after.some((row) => row.idx === idx)))
})

test('nobody erases by another way: not a worker early, not a front at all', async () => {
  for (const [url, statements] of [
    [service.samUrl, ['delete from audit.opening', 'update audit.opening set retain_until = now()']],
    [service.frontUrl, ['select audit.erase(1::smallint, 0, 1000, null)', `select audit.kept_of('x')`]],
    [service.keeperUrl, ['select audit.erase(1::smallint, 0, 1000, null)']],
  ] as const) {
    const client = await openClient(url)
    for (const statement of statements) await assert.rejects(client.query(statement), { code: '42501' }, statement)
    await client.end()
  }
  const worker = await openClient(service.samUrl)
  const { rowCount } = await worker.query('select audit.erase(1::smallint, 0, 1000000, null)')
  assert.equal(rowCount, 0, 'what is not due stays, whoever asks')
  await worker.end()
})
