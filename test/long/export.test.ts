/** The log as files and its export over HTTP, from a whole service at work. */
import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { mkdirSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, describe, test } from 'node:test'
import { setTimeout } from 'node:timers/promises'
import type { OperatorRole } from '../../src/activation.js'
import { writePack } from '../../src/audit/pack.js'
import { rowsOf, storedNodes } from '../../src/audit/stored-tree.js'
import { AuditClient, type Export } from '../../src/cli/client/audit-client.js'
import { exportSource } from '../../src/cli/client/export-source.js'
import { type Client, openClient } from '../../src/db/pool.js'
import { startFront } from '../../src/front/main.js'
import { openCheckpointKey } from '../../src/hsm/checkpoint-key.js'
import type { Keeper } from '../../src/keeper/keeper.js'
import { integrate } from '../../src/keeper/tree-store.js'
import { operatorTokenFile } from '../../src/sam/demo.js'
import { checkpointText, noteKey, parseCheckpoint, parseNote, signatureLine } from '../../src/tlog/note.js'
import { parseTilePath, tilePath, tileWidth } from '../../src/tlog/tiles.js'
import { rootAt } from '../../src/tlog/tree.js'
import { verifyPack } from '../../src/verifier/verify.js'
import { paraph } from '../cli/paraph.js'
import { until } from '../helpers/csc.js'
import { both } from '../helpers/second-verifier.js'
import { type Answer, keepSecret, TestService, type TestSigner } from '../helpers/test-service.js'
import { newPasskey } from '../oauth/helpers.js'
import { answer, answerByPasskey, discover, post, redeem, register, requestUrl } from '../oauth/oauth-client.js'

let service: TestService
let keeper: Keeper
let owner: Client
let policy: string
const tokens = {} as Record<OperatorRole, string>
const signers: (TestSigner & { readonly credential: string; bearer: string })[] = []

before(async () => {
  service = await TestService.start({ fronts: 2, workers: 2, keys: [], keeper: false, publicUrl: 'http://localhost' })
  keeper = await service.startKeeper()
  owner = await service.owner()
  for (const role of ['registration', 'system', 'security', 'auditor'] as const) {
    tokens[role] = readFileSync(operatorTokenFile(service.keysDir, role), 'utf8')
    keepSecret(tokens[role])
  }
  const { rows } = await owner.query<{ vkey: string }>('select vkey from audit.checkpoint_key')
  policy = `log ${rows[0]?.vkey}\nquorum none\n`
  for (let i = 0; i < 4; i++) {
    const signer = await service.newSigner(`signer${i}@example.test`, `Signer ${i}`)
    const credential = await service.newCredential(signer, 'p-256', { multisign: 50 })
    signers.push({ ...signer, credential, bearer: await service.login(signer, i % 2) })
  }
})
after(() => service?.close())

const clientAt = (front: number) => new AuditClient(service.urls[front] as string, () => Promise.resolve())

/** Exports through a front into a new folder. */
async function exported(front: number, size?: number, openings = true): Promise<{ root: string; begun: Export }> {
  const client = clientAt(front)
  const begun = await client.begin(tokens.auditor, size)
  keepSecret(begun.ticket)
  const root = join(service.folder, `pack-${randomUUID()}`)
  await writePack(root, exportSource(client, begun, { openings, told: () => undefined }))
  return { root, begun }
}

async function get(path: string, token: string | undefined, front = 0) {
  const headers = token === undefined ? {} : { authorization: `Bearer ${token}` }
  const response = await fetch(`${service.urls[front]}/audit/v1/${path}`, { headers })
  return { status: response.status, headers: response.headers, bytes: Buffer.from(await response.arrayBuffer()) }
}

async function read(body: object, ticket: string | undefined) {
  const more = ticket === undefined ? {} : { bearer: ticket }
  return service.post('/audit/v1/exports/read', body, more)
}

async function entriesOf(ev: string): Promise<{ f: Record<string, unknown>; act: string }[]> {
  const { rows } = await owner.query<{ leaf: Buffer }>(
    'select leaf from audit.entry e join audit.event_type y on y.ev = e.ev where y.name = $1 order by idx',
    [ev],
  )
  return rows.map(({ leaf }) => JSON.parse(leaf.toString()))
}

const newestSize = async () =>
  Number((await owner.query<{ size: number }>('select max(size) as size from audit.checkpoint')).rows[0]?.size)

/** Until everything that is there now is signed. */
async function signed(): Promise<number> {
  const { rows } = await owner.query<{ size: number }>('select size from audit.head')
  const wanted = Number(rows[0]?.size)
  await until('all of it is signed', async () => (await newestSize()) >= wanted)
  return newestSize()
}

/** What comes when the service can answer: a machine that has much to do signs the log late, and then signs nothing else. */
async function patiently(ask: () => Promise<Answer>): Promise<Answer> {
  let last = await ask()
  for (let left = 30; last.status === 503 && left > 0; left--) {
    await setTimeout(300)
    last = await ask()
  }
  return last
}

/** Agrees and signs as one of the signers, through both fronts. */
async function sign(index: number, count: number): Promise<void> {
  const { bearer, credential, ...signer } = signers[index] as (typeof signers)[number]
  const front = index % 2
  const hashes = service.digests(...Array.from({ length: count }, () => randomUUID()))
  const code = service.code(signer)
  const sad = await service.authorize(bearer, credential, hashes, { code, front })
  const options = { front: 1 - front, signAlgo: '1.2.840.10045.4.3.2' }
  const ask = () => service.signHash(bearer, credential, sad, hashes, options)
  assert.equal((await patiently(ask)).status, 200)
  assert.equal((await patiently(ask)).status, 400)
}

describe('a service at work', () => {
  test('what it exports meanwhile, through both fronts, is found whole', { timeout: 120_000 }, async () => {
    const working = Promise.all([
      ...signers.map((_, i) => sign(i, 3 + 10 * i)),
      ...signers.map(async ({ bearer }, i) => {
        // More than a page of entries.
        for (let k = 0; k < 300; k += 20) {
          await Promise.all(
            Array.from({ length: 20 }, () => service.post('/csc/v2/credentials/list', {}, { bearer, front: i % 2 })),
          )
        }
        await service.post('/csc/v2/credentials/info', { credentialID: 'another' }, { bearer })
      }),
    ])
    const packs = []
    for (let i = 0; i < 3; i++) packs.push(...(await Promise.all([exported(0), exported(1)])))
    await working
    assert.ok((await signed()) > 1200)
    packs.push(await exported(0))
    for (const { root, begun } of packs) {
      const report = await verifyPack({ root, policy })
      assert.deepEqual([report.faults, report.incomplete, report.size], [[], [], begun.size])
    }
    const { ours } = await both((packs.at(-1) as { root: string }).root, policy)
    assert.deepEqual([ours.verdict, ours.openCount, ours.abandonedCount], ['ok', 0, 0])
    const exports = await entriesOf('audit.export')
    assert.ok(exports.length >= packs.length, 'each is an entry')
    for (const { f, act } of exports) assert.deepEqual([f['what'], act], ['pack', 'operator'])
    assert.ok(packs.every(({ begun }) => exports.some(({ f }) => Number(f['size']) >= begun.size)))
  })

  test('approvals by code and by passkey, refusals and what operators do are found whole, too', async () => {
    const [, byCode, byPasskey] = signers as [unknown, (typeof signers)[number], (typeof signers)[number]]
    const client = await register(service)
    const config = await discover(service, client)
    await service.moveClock(30_000)
    const passkey = await newPasskey(service, byPasskey)
    const wish = ({ credential }: { credential: string }, hashes: string[]) =>
      requestUrl(config, {
        ...{ scope: 'credential', credentialID: credential, numSignatures: String(hashes.length) },
        hashes: hashes.map((hash) => Buffer.from(hash, 'base64').toString('base64url')).join(),
        hashAlgorithmOID: '2.16.840.1.101.3.4.2.1',
      })
    for (const signer of [byCode, byPasskey]) {
      const hashes = service.digests(randomUUID(), randomUUID())
      const { url, verifier } = await wish(signer, hashes)
      const back =
        signer === byCode
          ? await answer(service, url, { signer, front: 1 })
          : await answerByPasskey(service, url, passkey, { signer })
      const { access_token: token } = await redeem(config, back, verifier)
      const request = { credentialID: signer.credential, hashes, hashAlgorithmOID: '2.16.840.1.101.3.4.2.1' }
      const { status, body } = await patiently(() =>
        service.post('/csc/v2/signatures/signHash', { ...request, signAlgo: '1.2.840.10045.4.3.2' }, { bearer: token }),
      )
      assert.equal(status, 200, JSON.stringify(body))
    }
    const { url } = await wish(byCode, service.digests(randomUUID()))
    const { url: back } = await answer(service, url, { signer: byCode, no: true, code: service.code(byCode) })
    assert.equal(back.searchParams.get('error'), 'access_denied')
    // A session of the client itself has no signer.
    const form = { client_id: client.clientId, client_secret: client.clientSecret }
    const own = await post(service, '/oauth2/token', { ...form, grant_type: 'client_credentials' })
    keepSecret(own.body.access_token)
    assert.equal((await post(service, '/oauth2/revoke', { ...form, token: own.body.access_token })).status, 204)
    assert.deepEqual((await entriesOf('auth.session_ended')).at(-1)?.act, 'client')
    const wrong = { ...byCode, password: 'another password' }
    await assert.rejects(service.login(wrong))
    await service.admin('signer.suspend', { signer: byCode.login })
    await service.admin('signer.resume', { signer: byCode.login })
    await signed()
    const { root } = await exported(1)
    const { ours } = await both(root, policy)
    assert.deepEqual([ours.faults, ours.incomplete], [[], []])
    assert.ok((await entriesOf('approval.granted')).some(({ f }) => f['factor'] === 'passkey'))
  })

  test('an earlier checkpoint, and a log without what is hidden in it', async () => {
    const { rows } = await owner.query<{ size: number; note: string }>(
      'select size, note from audit.checkpoint order by size limit 1 offset 3',
    )
    const [earlier] = rows as [{ size: number; note: string }]
    const { root, begun } = await exported(0, earlier.size)
    assert.deepEqual([begun.size, begun.checkpoint], [earlier.size, earlier.note])
    assert.equal((await both(root, policy)).ours.verdict, 'ok')
    const bare = await exported(0, undefined, false)
    assert.equal(statSync(join(bare.root, 'openings.jsonl')).size, 0)
    assert.equal((await both(bare.root, policy)).ours.verdict, 'incomplete')
    for (const size of [earlier.size + 1_000_000, 1]) {
      await assert.rejects(clientAt(1).begin(tokens.auditor, size), { status: 400, message: 'Invalid parameter size' })
    }
  })
})

describe('a log that somebody changed', () => {
  /** As a superuser does, past the triggers. */
  async function change(statement: string, values: unknown[] = []): Promise<void> {
    await owner.query('begin')
    await owner.query('set local session_replication_role = replica')
    await owner.query(statement, values)
    await owner.query('commit')
  }
  async function requireFault(rule: string): Promise<void> {
    const { root } = await exported(0)
    const { ours, theirs } = await both(root, policy)
    for (const faults of [ours.faults, theirs.faults]) assert.ok(faults.some((fault) => fault.rule === rule))
  }

  test('is not exported when its entries are other ones', async () => {
    const [row] = (await owner.query('select idx, op, ph, ev, leaf, lh from audit.entry where idx = 40')).rows
    const leaf = Buffer.from(row.leaf.toString().replace('"out":"ok"', '"out":"no"'))
    assert.notDeepEqual(leaf, row.leaf)
    try {
      await change('update audit.entry set leaf = $1 where idx = 40', [leaf])
      await assert.rejects(exported(0), /the entries do not make the tree of the checkpoint/)
      await change('delete from audit.entry where idx = 40')
      await assert.rejects(exported(1), /the service's entries are not as openapi.yaml has them/)
      assert.equal((await get('log/tile/entries/000', tokens.auditor)).status, 404)
    } finally {
      await change('delete from audit.entry where idx = 40')
      const { idx, op, ph, ev, lh } = row
      const insert = 'insert into audit.entry (idx, op, ph, ev, leaf, lh) values ($1, $2, $3, $4, $5, $6)'
      await change(insert, [idx, op, ph, ev, row.leaf, lh])
    }
  })

  test('is found out when a commit or an opening is another', async () => {
    const flip = (column: string) => `${column} = set_byte(${column}, 3, get_byte(${column}, 3) # 1)`
    for (const [rule, statement] of [
      [
        'R5',
        `update audit.flush set ${flip('signature')} where first_idx = (select max(first_idx) from audit.flush where first_idx < 40)`,
      ],
      [
        'R8',
        `update audit.opening set ${flip('seed')} where idx = (select min(idx) from audit.opening where idx > 30)`,
      ],
    ] as const) {
      await change(statement)
      await requireFault(rule)
      await change(statement)
    }
    const { root } = await exported(0)
    assert.deepEqual((await both(root, policy)).ours.faults, [])
  })
})

describe('files', () => {
  test('every tile and bundle is what a pack has, at its address and nowhere else', async () => {
    const { root, begun } = await exported(0)
    const { size } = begun
    const { status, headers, bytes } = await get('log/checkpoint', tokens.auditor)
    assert.deepEqual(
      [status, headers.get('content-type'), headers.get('cache-control')],
      [200, 'text/plain; charset=utf-8', 'private, max-age=1'],
    )
    assert.ok(parseCheckpoint(parseNote(bytes.toString()).text).size >= size)
    for (const level of [0, 1, 'entries'] as const) {
      for (let n = 0; tileWidth(size, Number(level) || 0, n) > 0; n++) {
        const path = tilePath(level, n, tileWidth(size, Number(level) || 0, n))
        const answer = await get(`log/${path}`, tokens.auditor, n % 2)
        assert.equal(answer.status, 200, path)
        assert.deepEqual(answer.bytes, readFileSync(join(root, path)), path)
        const whole = parseTilePath(path)?.width === 256
        assert.equal(
          answer.headers.get('cache-control'),
          whole ? 'private, max-age=31536000, immutable' : 'private, max-age=60',
        )
        assert.equal(answer.headers.get('content-type'), 'application/octet-stream')
      }
    }
    const narrow = await get('log/tile/0/000.p/7', tokens.auditor)
    assert.deepEqual(narrow.bytes, readFileSync(join(root, 'tile/0/000')).subarray(0, 7 * 32))
    const encoded = await get('log/tile/entries/000.p%2F1', tokens.auditor)
    assert.deepEqual(
      encoded.bytes.subarray(2).toString(),
      readFileSync(join(root, 'entries.jsonl'), 'utf8').split('\n')[0],
    )
    const far = Math.floor(size / 256) + 1
    for (const path of [
      ...[
        'tile/0/0',
        'tile/0/000.p/0',
        'tile/0/000.p/256',
        'tile/0/x000/000',
        'tile/00/000',
        'tile/64/000',
        'tile/2/000',
      ],
      ...['tile/entries/000.p/', 'tile/entries/', 'tile/x', 'tile/0/000/', 'tile/-1/000', 'tile/0/999999999999999999'],
      ...[tilePath(0, far, 256), tilePath('entries', far, 256), tilePath('entries', far, 1), 'tile/1/000'],
      ...['tile/0/000.p/7?x=1#y'].map((odd) => odd.replace('0/000.p/7', '0/x999/x999/x999/x999/999')),
    ]) {
      assert.equal((await get(`log/${path}`, tokens.auditor)).status, 404, path)
    }
  })

  test('what is not signed yet is not there', async () => {
    const size = await signed()
    await keeper.stop()
    await service.post('/csc/v2/auth/login', {}, { headers: { authorization: 'Basic eDp5' } })
    await until(
      'there is more',
      async () => Number((await owner.query('select size from audit.head')).rows[0]?.size) > size,
    )
    // As a keeper does that is stopped between two steps.
    await owner.query(
      `update audit.tile set data = data || sha256('x'), width = width + 1 where level = 0 and n = $1`,
      [Math.floor(size / 256)],
    )
    const width = size % 256
    for (const level of [0, 'entries'] as const) {
      const path = (w: number) => `log/${tilePath(level, Math.floor(size / 256), w)}`
      assert.equal((await get(path(width), tokens.auditor)).status, 200)
      assert.equal((await get(path(width + 1), tokens.auditor)).status, 404)
    }
    await owner.query(
      'update audit.tile set data = substring(data for 32 * (width - 1)), width = width - 1 where level = 0 and n = $1',
      [Math.floor(size / 256)],
    )
    keeper = await service.startKeeper()
    await signed()
  })

  test('nothing without an auditor, unless the setting says so', async (t) => {
    const session = signers[0]?.bearer as string
    const paths = ['log/checkpoint', 'log/tile/0/000.p/1', 'log/tile/entries/000.p/1', 'log/tile/nothing']
    for (const path of paths) {
      for (const token of [undefined, 'made-up', session]) assert.equal((await get(path, token)).status, 401, path)
      for (const role of ['registration', 'system', 'security'] as const) {
        assert.equal((await get(path, tokens[role])).status, 403, path)
      }
    }
    const settings = { ...service.newFrontSettings(2), auditPublic: true }
    const open = await startFront({ settings, logger: service.logger, clock: service.clock })
    const at = service.urls.push(open.url) - 1
    t.after(() => {
      service.urls.pop()
      return open.close()
    })
    const statuses = async (token?: string) =>
      Promise.all(paths.map(async (path) => (await get(path, token, at)).status))
    assert.deepEqual(await statuses(), [200, 200, 401, 404])
    assert.deepEqual(await statuses(session), [200, 200, 401, 404])
    assert.deepEqual(await statuses(tokens.auditor), [200, 200, 200, 404])
    assert.equal(
      (await get('log/tile/0/000', undefined, at)).headers.get('cache-control'),
      'public, max-age=31536000, immutable',
    )
    assert.equal(
      (await get('log/tile/entries/000', tokens.auditor, at)).headers.get('cache-control'),
      'private, max-age=31536000, immutable',
    )
  })
})

describe('the command', () => {
  const env = () => ({ PARAPH_DATA: service.folder, PARAPH_KEYS: service.keysDir })
  const run = (...args: string[]) =>
    paraph(env(), ['audit', 'export', '--url', service.urls[1] as string, '--json', ...args])

  test('exports for its owner alone, with a table, and the verifier agrees', async () => {
    const out = join(service.folder, 'mine')
    const { status, json, stderr } = await run('--out', out, '--csv')
    assert.equal(status, 0, JSON.stringify(json))
    assert.equal(stderr, '')
    assert.deepEqual([json.out, json.openings, json.csv], [out, true, `${out}.csv`])
    for (const [path, mode] of [
      ['', 0o700],
      ['/tile/entries', 0o700],
      ['/openings.jsonl', 0o600],
      ['/entries.jsonl', 0o600],
      ['/MANIFEST', 0o600],
      ['/checkpoint', 0o600],
      ['.csv', 0o600],
    ] as const) {
      assert.equal(statSync(`${out}${path}`).mode & 0o777, mode, path)
    }
    const { begun } = await exported(0, json.size)
    assert.equal(readFileSync(`${out}.csv`, 'utf8').split('\r\n').length, begun.size + 2)
    assert.notEqual((await both(out, policy)).ours.verdict, 'incomplete')
  })

  test('refuses before anything stands in the log', async () => {
    const before = (await entriesOf('audit.export')).length
    const full = join(service.folder, 'full')
    mkdirSync(full)
    writeFileSync(join(full, 'x'), '')
    const refused = async (message: RegExp, ...args: string[]) => {
      const { status, json } = await run(...args)
      assert.equal(status, 1, JSON.stringify(json))
      assert.match(json.error.message, message)
    }
    await refused(/full is not empty: name a new folder/, '--out', full)
    await refused(/x is there already/, '--out', join(service.folder, 'new'), '--csv', join(full, 'x'))
    const other = operatorTokenFile(service.keysDir, 'registration')
    await refused(/role does not cover/, '--out', join(service.folder, 'new'), '--token-file', other)
    const unknown = join(service.folder, 'unknown-token')
    writeFileSync(unknown, 'made-up', { mode: 0o600 })
    await refused(/belongs to no active operator/, '--out', join(service.folder, 'new'), '--token-file', unknown)
    assert.equal((await entriesOf('audit.export')).length, before)
    await refused(/Invalid parameter size/, '--out', join(service.folder, 'new'), '--size', '1')
    const { status } = await paraph(env(), ['audit', 'export', '--out', 'x', '--url', 'http://log.example.test'])
    assert.equal(status, 2)
  })
})

test('an export ends where a commit does, whatever was signed', async () => {
  await signed()
  await keeper.stop()
  const before = await newestSize()
  await service.newCredential(signers[0] as TestSigner, 'p-256')
  await owner.query('begin')
  await integrate(owner)
  await owner.query('commit')
  const { rows } = await owner.query<{ first: number; next: number }>(
    `select first_idx as first, lead(first_idx) over (order by first_idx) as next from audit.flush where first_idx >= $1`,
    [before],
  )
  const flush = rows.find(({ first, next }) => next - first > 1)
  assert.ok(flush, 'some entries were committed together')
  const size = flush.first + 1
  const key = await openCheckpointKey(service.checkpointHsmUri)
  const note = noteKey(
    parseCheckpoint(parseNote((await clientAt(0).begin(tokens.auditor, before)).checkpoint).text).origin,
    key.type,
    key.publicKey,
  )
  const root = await rootAt(storedNodes(rowsOf(owner)), size)
  const text = checkpointText({ origin: note.name, size, root })
  await owner.query('insert into audit.checkpoint (size, root, note) values ($1, $2, $3)', [
    ...[size, root],
    `${text}\n${signatureLine(note, key.sign(Buffer.from(text)))}`,
  ])
  key.close()
  assert.equal((await clientAt(1).begin(tokens.auditor, undefined)).size, before)
  await assert.rejects(clientAt(1).begin(tokens.auditor, size), { message: 'Invalid parameter size' })
  keeper = await service.startKeeper()
  await signed()
  const later = await exported(0)
  assert.ok(later.begun.size > size)
  assert.deepEqual((await both(later.root, policy)).ours.faults, [])
})

describe('tickets', () => {
  test('begin with an auditor, open nothing but an export, and end after an hour', async () => {
    for (const token of [undefined, 'made-up', signers[0]?.bearer]) {
      const answer = await service.post('/audit/v1/exports', {}, token === undefined ? {} : { bearer: token })
      assert.equal(answer.status, 401)
    }
    for (const role of ['registration', 'system', 'security'] as const) {
      assert.equal((await service.post('/audit/v1/exports', {}, { bearer: tokens[role] })).status, 403)
    }
    const { ticket, size } = await clientAt(0).begin(tokens.auditor, undefined)
    keepSecret(ticket)
    for (const part of ['entries', 'openings', 'flushes', 'checkpoints', 'anchors']) {
      const body = { part, size }
      for (const wrong of [undefined, 'made-up', tokens.auditor, Buffer.alloc(32).toString('base64url')]) {
        assert.equal((await read(body, wrong)).status, 401, part)
      }
      const { status, body: page } = await read(body, ticket)
      assert.equal(status, 200, part)
      assert.ok(part === 'anchors' ? page.items.length === 0 : page.items.length > 0)
      const after = await read({ ...body, after: Number.MAX_SAFE_INTEGER }, ticket)
      assert.deepEqual(after.body, { items: [] })
    }
    for (const body of [{}, { part: 'everything', size }, { part: 'entries' }, { part: 'entries', size: 0 }]) {
      assert.equal((await read(body, ticket)).status, 400)
    }
    // No more than there was when it began.
    const far = await read({ part: 'entries', size: Number.MAX_SAFE_INTEGER, after: size - 1 }, ticket)
    assert.ok(far.body.items.length < 10)
    assert.equal((await get('log/tile/entries/000.p/1', ticket)).status, 401)

    const begun = (await entriesOf('audit.export')).length
    await service.moveClock(3_601_000)
    const late = await read({ part: 'entries', size }, ticket)
    assert.deepEqual([late.status, late.body.error], [401, 'invalid_token'])
    assert.equal((await entriesOf('audit.export')).length, begun)
  })

  test('an operator who was disabled reads nothing more', async () => {
    const made = await service.admin('operator.create', { name: 'An auditor', role: 'auditor' })
    keepSecret(made.token)
    const { ticket, size } = await clientAt(0).begin(made.token, undefined)
    keepSecret(ticket)
    assert.equal((await get('log/tile/entries/000.p/1', made.token)).status, 200)
    await service.admin('operator.disable', { operatorId: made.operatorId })
    assert.equal((await read({ part: 'openings', size }, ticket)).status, 401)
    assert.equal((await get('log/tile/entries/000.p/1', made.token)).status, 401)
  })

  test("the front's role reads nothing of the log without one", async () => {
    const front = await openClient(service.frontUrl)
    try {
      for (const question of [
        'select leaf from audit.entry limit 1',
        'select fields from audit.opening limit 1',
        'select hash from audit.look',
        `insert into audit.look select sha256('x'), gen_random_uuid(), 'export', 1000, now() + interval '1 hour'`,
        ...['entries', 'openings', 'flushes', 'checkpoints', 'anchors'].map(
          (part) => `select * from audit.export_${part}('x', 1000, -1)`,
        ),
        `select * from audit.export_checkpoint('x', null)`,
        `select * from audit.bundle('x', 0, 1)`,
        `update audit.tile set data = data`,
        `delete from audit.checkpoint`,
      ]) {
        await assert.rejects(front.query(question), { code: '42501' }, question)
      }
    } finally {
      await front.end()
    }
  })
})

test('reads of a minute are one entry', async () => {
  const reads = async () => (await entriesOf('audit.read')).length
  await service.moveClock(61_000)
  const before = await reads()
  await Promise.all(Array.from({ length: 40 }, (_, i) => get(`log/tile/entries/000.p/${i + 1}`, tokens.auditor)))
  assert.equal((await reads()) - before, 1)
  await service.moveClock(59_000)
  await get('log/tile/entries/000', tokens.auditor)
  assert.equal((await reads()) - before, 1)
  await service.moveClock(2000)
  await get('log/checkpoint', tokens.auditor)
  assert.equal((await reads()) - before, 2)
  assert.deepEqual((await entriesOf('audit.read')).at(-1)?.f['what'], 'files')
})

test('and all of it stands in the log', async () => {
  await service.checkWorld()
})
