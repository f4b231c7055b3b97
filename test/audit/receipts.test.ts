/** Receipts of signings: where the log has one is told with the signatures, and proven a moment later. */
import assert from 'node:assert/strict'
import { execFile } from 'node:child_process'
import { generateKeyPairSync, hash, randomUUID } from 'node:crypto'
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { type PackSource, writePack } from '../../src/audit/pack.js'
import type { Keeper } from '../../src/keeper/keeper.js'
import { formatVkey, noteKey } from '../../src/tlog/note.js'
import { parsePolicy } from '../../src/tlog/policy.js'
import { parseProof } from '../../src/tlog/proof-file.js'
import { readReceipt } from '../../src/verifier/receipts.js'
import { verifyPack } from '../../src/verifier/verify.js'
import { paraph } from '../cli/paraph.js'
import { FakeTerminal } from '../cli/sign-terminal.js'
import { tokenOfAnotherClient } from '../helpers/another-client.js'
import { CscClient, digests, ECDSA_WITH, RSA_WITH, until, VERSIONS, watchedDevice } from '../helpers/csc.js'
import { makeCheckpointKey } from '../helpers/pack.js'
import { type Answer, keepSecret, TestService, type TestSigner } from '../helpers/test-service.js'

const device = watchedDevice()
let service: TestService
let keeper: Keeper
let other: TestSigner
let policy: string
before(async () => {
  service = await TestService.start({ fronts: 2, keeper: false, device: (real) => device.wrap(real) })
  keeper = await service.startKeeper()
  other = await service.newSigner('other@example.test', 'Other Signer')
  policy = `${(await query('select vkey from audit.checkpoint_key')).map(({ vkey }) => `log ${vkey}`).join('\n')}\nquorum none\n`
})
after(() => service?.close())

const query = async (text: string, values: unknown[] = []) => (await (await service.owner()).query(text, values)).rows

/** What the header says. */
interface Place {
  readonly origin: string
  readonly op: string
  readonly index: number
  readonly leaf: string
}

function placeOf({ headers }: Answer): Place {
  const match = /^([!-:<-~]+);op=([0-9a-f-]{36});index=([0-9]+);leaf=([A-Za-z0-9_-]{43})$/.exec(
    headers.get('audit-receipt') ?? '',
  )
  assert.ok(match, `the header is there: ${headers.get('audit-receipt')}`)
  const [, origin, op, index, leaf] = match as unknown as [string, string, string, string, string]
  return { origin, op, index: Number(index), leaf }
}

interface Signed {
  readonly client: CscClient
  readonly hashes: string[]
  readonly answer: Answer
  readonly place: Place
}

async function sign(label: string, options: { version?: 'v1' | 'v2'; prefer?: string } = {}): Promise<Signed> {
  const { version = 'v2', prefer } = options
  const client = new CscClient(service, version)
  await client.login()
  const hashes = digests(label, 2)
  const credentialID = service.credentials['p-256'] as string
  const SAD = await client.sad({ credentialID, hashes })
  const body =
    version === 'v1'
      ? { credentialID, SAD, hash: hashes, signAlgo: ECDSA_WITH['sha-256'] }
      : { credentialID, SAD, hashes, signAlgo: ECDSA_WITH['sha-256'] }
  const answer = await client.ask('signatures/signHash', body, prefer === undefined ? {} : { prefer })
  assert.equal(answer.status, 200, JSON.stringify(answer.body))
  return { client, hashes, answer, place: placeOf(answer) }
}

interface Fetched {
  readonly status: number
  readonly text: string
  readonly headers: Headers
}

async function fetchFrom(path: string, bearer: string | undefined, prefer?: string, front = 0): Promise<Fetched> {
  const response = await fetch(`${service.urls[front]}${path}`, {
    headers: {
      ...(bearer === undefined ? {} : { authorization: `Bearer ${bearer}` }),
      ...(prefer === undefined ? {} : { prefer }),
    },
  })
  return { status: response.status, text: await response.text(), headers: response.headers }
}

async function fetchReceipt(
  bearer: string | undefined,
  op: string,
  options: { front?: number; prefer?: string; search?: string } = {},
): Promise<Fetched> {
  const { front = 0, prefer, search = '' } = options
  return fetchFrom(`/audit/v1/receipts/${op}${search}`, bearer, prefer, front)
}

async function receiptOf({ client, place }: Signed, search = ''): Promise<string> {
  const got = await fetchReceipt(client.bearer, place.op, { prefer: 'wait=10', search })
  assert.equal(got.status, 200, got.text)
  assert.equal(got.headers.get('content-type'), 'text/plain; charset=utf-8')
  return got.text
}

const hashOf = (signature: string) => hash('sha256', Buffer.from(signature, 'base64'), 'base64url')
const given = async () => Number((await query(`select count(*) as n from audit.entry where ev = 131`))[0].n)

test('both versions tell where the log has the outcome, and the receipt proves it', async () => {
  for (const version of VERSIONS) {
    const signed = await sign(`proven ${version}`, { version })
    const { place, answer, hashes } = signed
    const [row] = await query('select idx, ev, lh from audit.entry where op = $1 and ph = 2', [place.op])
    assert.deepEqual([place.index, place.leaf], [row.idx, row.lh.toString('base64url')])
    assert.deepEqual(Object.keys(answer.body), ['signatures'], 'the body is that of CSC')

    const outcome = readReceipt(await receiptOf(signed), parsePolicy(policy))
    assert.deepEqual(
      [outcome.origin, outcome.index, Buffer.from(outcome.leafHash).toString('base64url'), outcome.leaf.ev],
      [place.origin, place.index, place.leaf, 'sign.outcome'],
    )
    answer.body.signatures.forEach((signature: string, i: number) => {
      assert.equal(outcome.opened.get(`sigh[${i}]`), hashOf(signature))
    })

    const intent = readReceipt(await receiptOf(signed, '?phase=intent'), parsePolicy(policy))
    assert.deepEqual([intent.leaf.ev, intent.leaf.op], ['sign.intent', place.op])
    hashes.forEach((digest, i) => {
      assert.equal(intent.opened.get(`dtbsr[${i}]`), Buffer.from(digest, 'base64').toString('base64url'))
    })
    assert.equal(intent.opened.get('client'), 'basic')
    assert.match(intent.opened.get('ip') ?? '', /^[0-9.:a-f]+$/)
  }
  await service.checkWorld()
})

test('a request that is sent again is told of the first', async () => {
  const client = new CscClient(service, 'v2')
  await client.login()
  const hashes = digests('again')
  const credentialID = service.credentials['rsa-2048'] as string
  const SAD = await client.sad({ credentialID, hashes })
  const key = randomUUID()
  const ask = () => client.signHash({ credentialID, SAD, hashes, signAlgo: RSA_WITH['sha-256'] }, key)
  const first = placeOf(await ask())
  assert.deepEqual(placeOf(await ask()), first)
})

test('who waits for it gets the receipt at once, and nobody else waits', async () => {
  const { client, place, answer } = await sign('waited for', { prefer: 'respond-async, wait=10' })
  assert.equal(answer.headers.get('preference-applied'), 'wait')
  assert.equal((await fetchReceipt(client.bearer, place.op, { front: 1 })).status, 200)
  for (const prefer of [undefined, 'wait=0', 'wait', 'wait=-1', 'waiting=10', 'handling=lenient']) {
    const more = await sign(`not waited for ${prefer}`, prefer === undefined ? {} : { prefer })
    assert.equal(more.answer.headers.get('preference-applied'), null)
  }
})

test('until a checkpoint covers it there is none; forty that wait on two fronts get it when it is there', async () => {
  await keeper.stop()
  const before = await given()
  const signed = await sign('not covered yet')
  const { client, place } = signed
  const early = await fetchReceipt(client.bearer, place.op)
  assert.deepEqual([early.status, early.text, early.headers.get('retry-after')], [202, '', '1'])
  assert.equal(await given(), before, 'nothing was given out')
  // The keeper is away for as long as the client would wait: it gets the plain answer.
  const patient = await fetchReceipt(client.bearer, place.op, { prefer: 'wait=1' })
  assert.deepEqual([patient.status, patient.headers.get('preference-applied')], [202, null])

  const waiting = Array.from({ length: 40 }, (_, i) =>
    fetchReceipt(client.bearer, place.op, {
      front: i % 2,
      prefer: 'wait=10',
      search: i % 3 === 0 ? '?phase=intent' : '',
    }),
  )
  keeper = await service.startKeeper()
  for (const got of await Promise.all(waiting)) {
    assert.equal(got.status, 200)
    assert.equal(readReceipt(got.text, parsePolicy(policy)).leaf.op, place.op)
  }
  assert.equal(await given(), before + 40, 'each that was given out is an entry')
})

test('a keeper that goes away while a signing waits for it does not keep the signatures', async () => {
  await keeper.stop()
  const { answer, client, place } = await sign('the keeper is gone', { prefer: 'wait=1' })
  assert.equal(answer.headers.get('preference-applied'), null)
  keeper = await service.startKeeper()
  assert.equal((await fetchReceipt(client.bearer, place.op, { prefer: 'wait=10' })).status, 200)
})

test('somebody else’s operation and one that does not exist are the same', async () => {
  const { client, place } = await sign('mine')
  assert.equal((await fetchReceipt(client.bearer, place.op, { prefer: 'wait=10' })).status, 200)
  const before = await given()
  const stranger = await service.login(other)
  const foreign = await tokenOfAnotherClient(service, service.signer)
  const [denied] = await query(`select op from audit.entry where ev = 100 limit 1`)
  const asked: [string | undefined, string][] = [
    [stranger, place.op],
    [foreign, place.op],
    [client.bearer, randomUUID()],
    [client.bearer, denied.op],
    [client.bearer, place.op.toUpperCase()],
    [client.bearer, 'none'],
    [client.bearer, '%00'],
    [client.bearer, '%27%20or%201%3D1'],
  ]
  const answers = await Promise.all(
    asked.map(async ([bearer, op]) => {
      const { status, text } = await fetchReceipt(bearer, op, { prefer: 'wait=1' })
      return [status, text]
    }),
  )
  const expected = [404, JSON.stringify({ error: 'not_found', error_description: 'There is nothing at this address.' })]
  assert.deepEqual(answers, Array(asked.length).fill(expected))
  assert.equal(await given(), before)
  assert.equal((await fetchReceipt(client.bearer, place.op, { search: '?phase=denied' })).status, 400)
  assert.equal((await fetchReceipt(undefined, place.op)).status, 401)
  assert.equal((await fetchReceipt('unknown', place.op)).status, 401)
})

test('an auditor gets the receipt of any entry, and a client does not', async () => {
  const { client, place } = await sign('for an auditor', { prefer: 'wait=10' })
  const { token } = await service.admin('operator.create', { name: 'Auditor of receipts', role: 'auditor' })
  keepSecret(token)
  for (const index of [0, place.index]) {
    const { status, text } = await fetchFrom(`/audit/v1/entries/${index}/receipt`, token)
    assert.equal(status, 200, text)
    assert.equal(readReceipt(text, parsePolicy(policy)).index, index)
  }
  const path = `/audit/v1/entries/${place.index}/receipt`
  assert.equal((await fetchFrom('/audit/v1/entries/99999999/receipt', token)).status, 404)
  assert.equal((await fetchFrom('/audit/v1/entries/x/receipt', token)).status, 400)
  assert.equal((await fetchFrom(path, client.bearer)).status, 401)
  assert.equal((await fetchReceipt(token, place.op)).status, 401)
})

test('while a signing is under way there is no receipt of its end, however it ends', async () => {
  const client = new CscClient(service, 'v2')
  await client.login()
  const hashes = digests('stopped')
  const credentialID = service.credentials['p-256'] as string
  const SAD = await client.sad({ credentialID, hashes })
  const newest = async () => (await query('select op from paraph.signing order by intended_at desc limit 1'))[0].op
  let underWay: Fetched | undefined
  device.before = async () => {
    underWay = await fetchReceipt(client.bearer, await newest(), { prefer: 'wait=1' })
    await client.askAt('/signer/v1/stop', {})
  }
  const answer = await client.signHash({ credentialID, SAD, hashes, signAlgo: ECDSA_WITH['sha-256'] })
  assert.deepEqual([answer.status, answer.headers.get('audit-receipt')], [401, null])
  assert.equal(underWay?.status, 202)
  await client.login()
  const receipt = await fetchReceipt(client.bearer, await newest(), { prefer: 'wait=10' })
  const { leaf, opened } = readReceipt(receipt.text, parsePolicy(policy))
  assert.deepEqual([leaf.ev, leaf.out], ['sign.withheld', 'refused'])
  assert.ok(opened.has('sigh[0]'), 'it names the signature that was not given out')
})

test('the command line keeps the receipt beside the signature, and verifies it with and without the service', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'paraph-sign-'))
  t.after(() => rmSync(folder, { recursive: true }))
  const put = (name: string, text: string) => {
    writeFileSync(join(folder, name), text, { mode: 0o600 })
    return join(folder, name)
  }
  const { login, password } = service.signer
  const terminal = new FakeTerminal()
  terminal.env['PARAPH_KEYS'] = folder
  const root = put('root.pem', readFileSync(join(service.keysDir, 'demo-root.pem'), 'utf8'))
  const trusted = put('policy', policy)
  const [one, two] = [put('one.txt', 'one'), put('two.txt', 'two')]
  const sign = async (...words: string[]) => {
    const secrets = [
      '--password-file',
      put('password', password),
      '--code-file',
      put('code', await service.freshCode()),
    ]
    const who = [
      '--url',
      service.urls[0] as string,
      '--login',
      login,
      '--credential',
      service.credentials['p-256'] as string,
    ]
    return terminal.run('sign', ...who, ...secrets, ...words)
  }

  assert.equal(await sign('--policy', trusted, one, two), 0, terminal.text)
  assert.ok(terminal.notes.includes(`${two}: receipt of the log, ${two}.tlog-proof`), terminal.text)
  assert.equal(await terminal.run('verify', '--trust', root, '--policy', trusted, one, two), 0, terminal.text)
  const { index, origin } = readReceipt(readFileSync(`${one}.tlog-proof`, 'utf8'), parsePolicy(policy))
  assert.match(terminal.text, new RegExp(`recorded .*, entry ${index} of the log ${origin}`))

  const check = (receipt: string, ...words: string[]) =>
    paraph({}, ['audit', 'verify-receipt', receipt, '--policy', trusted, ...words, '--json'])
  const good = await check(`${one}.tlog-proof`, '--file', one)
  assert.deepEqual([good.status, good.json.verdict, good.json.event], [0, 'ok', 'sign.outcome'])
  // One of another signature, one of another log, one that is not there, and one that nobody witnessed.
  assert.equal(await sign('--force', '--policy', trusted, two), 0, terminal.text)
  assert.equal((await check(`${one}.tlog-proof`, '--file', two)).status, 1)
  const text = readFileSync(`${two}.tlog-proof`, 'utf8')
  const strange = put('strange', `log ${formatVkey(makeCheckpointKey(origin).key)}\nquorum none\n`)
  const other = await paraph({}, ['audit', 'verify-receipt', `${one}.tlog-proof`, '--policy', strange])
  assert.deepEqual(
    [other.status, other.stdout],
    [1, 'The receipt is NOT valid: the checkpoint of the receipt: no log key of the policy signed it\n'],
  )
  assert.equal((await check(join(folder, 'none'))).status, 3)
  const witnessed = put('witnessed', `${policy.replace('quorum none\n', '')}witness w ${witnessKey()}\nquorum w\n`)
  assert.equal((await paraph({}, ['audit', 'verify-receipt', `${one}.tlog-proof`, '--policy', witnessed])).status, 2)

  // Beside another signature it says so, and without a policy nobody has looked at it.
  put('one.txt.tlog-proof', text)
  assert.equal(await terminal.run('verify', '--trust', root, '--policy', trusted, one), 1)
  assert.match(terminal.text, /its receipt: the receipt is of another signature/)
  assert.equal(await sign('--force', one), 0)
  assert.match(terminal.text, /not verified: name whom to trust with --policy/)
  // A signature counts although its receipt is of a log that is not trusted.
  assert.equal(await sign('--force', '--policy', strange, one), 0)
  assert.match(terminal.text, /no receipt: the checkpoint of the receipt: no log key of the policy signed it/)
})

const program = fileURLToPath(new URL('../../../tools/audit_verify.py', import.meta.url))

test('a receipt that was kept verifies when everything it opens was erased at the service', async () => {
  const signed = await sign('erased later')
  const receipt = await receiptOf(signed)
  const size = Number((await query('select size from audit.head'))[0].size)
  await until('the log is signed', async () => {
    return Number((await query('select max(size) as n from audit.checkpoint'))[0].n) >= size
  })
  await query('delete from audit.opening')
  assert.equal((await query('select count(*)::int as n from audit.opening'))[0].n, 0)

  const folder = mkdtempSync(join(tmpdir(), 'paraph-receipt-'))
  try {
    const root = join(folder, 'pack')
    await writePack(root, await packSource())
    for (const [name, text] of Object.entries({ receipt, policy })) writeFileSync(join(folder, name), text)
    const ours = await verifyPack({ root, policy, receipts: new Map([['receipt', receipt]]) })
    // The clock of this test jumps, so that the keeper seems to have been silent (R6).
    const but = (faults: readonly { rule: string }[]) => faults.filter(({ rule }) => rule !== 'R6')
    assert.deepEqual([but(ours.faults), ours.incomplete.map(({ rule }) => rule)], [[], ['R8']])
    const words = [program, root, '--policy', join(folder, 'policy'), '--receipt', join(folder, 'receipt'), '--json']
    const theirs = await new Promise<string>((resolve) => {
      execFile('python3', words, (_, stdout) => resolve(stdout))
    })
    const report = JSON.parse(theirs)
    assert.deepEqual([but(report.faults), report.incomplete.length > 0], [[], true], theirs)
    assert.ok(report.incomplete.every(({ rule }: { rule: string }) => rule !== 'R10'))

    const proven = readReceipt(receipt, parsePolicy(policy))
    assert.equal(proven.opened.get('sigh[0]'), hashOf(signed.answer.body.signatures[0]))
  } finally {
    rmSync(folder, { recursive: true })
  }
  // What the service can still give is the leaf alone.
  const bare = readReceipt(await receiptOf(signed), parsePolicy(policy))
  assert.deepEqual([bare.index, bare.opened.size], [signed.place.index, 0])
  assert.deepEqual(parseProof(receipt).index, bare.index)
})

function witnessKey(): string {
  const { publicKey } = generateKeyPairSync('ed25519')
  return formatVkey(noteKey('w.example.test', 'cosignature', publicKey.export({ type: 'spki', format: 'der' })))
}

/** The log as it stands in the database. */
async function packSource(): Promise<PackSource> {
  const checkpoints = await query('select size, note from audit.checkpoint order by size')
  const { size, note } = checkpoints.at(-1)
  const entries = (await query('select leaf from audit.entry where idx < $1 order by idx', [size])).map(
    ({ leaf }) => leaf,
  )
  const flushes = await query(
    'select boot, no, first_idx as first, body, signature from audit.flush where first_idx < $1 order by first_idx',
    [size],
  )
  async function* each<Item>(items: readonly Item[]): AsyncGenerator<Item> {
    yield* items
  }
  return {
    checkpoint: note,
    entries: async (from, to) => entries.slice(from, to),
    openings: () => each([]),
    flushes: () => each(flushes),
    checkpoints: () => each(checkpoints),
    anchors: () => each([]),
  }
}
