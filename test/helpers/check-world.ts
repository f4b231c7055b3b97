import assert from 'node:assert/strict'
import { createHash, createHmac, createPublicKey, verify } from 'node:crypto'
import { type Client, openClient } from '../../src/db/pool.js'
import { verifyDigest } from '../../src/hsm/openssl.js'
import { checkpointText, type NoteKey, parseNote, parseVkey, verifyNote } from '../../src/tlog/note.js'
import { GrowingTree } from '../../src/tlog/tiles.js'

interface Leaf {
  readonly act: string
  readonly boot: string
  readonly ev: string
  readonly f?: Record<string, string | number>
  readonly n?: number
  readonly node: string
  readonly op: string
  readonly out: string
  readonly ph: number
  readonly sd: string[]
  readonly seq: number
  readonly t: string
  readonly why?: string
}

interface Entry {
  readonly idx: number
  readonly op: string
  readonly ph: number
  readonly leaf: Leaf
  readonly lh: string
  readonly open: Map<string, string>
}

export interface World {
  readonly entries: readonly Entry[]
  /** Entries of one event. */
  of(ev: string): Entry[]
}

export interface WorldOptions {
  /** Signatures that some client received: each must be in a recorded outcome. */
  readonly released?: readonly Uint8Array[]
  /** Signatures the device was asked for: never more than intended. */
  readonly deviceCalls?: number
  /** Whether every intention must have its end (default); false while requests are under way. */
  readonly settled?: boolean
  /** The connection to look through, with the transaction it is in; one of its own unless said. */
  readonly on?: Client
}

const KEEPER_MAY = [
  ...['audit.start', 'audit.stop', 'audit.heartbeat', 'audit.fork_detected'],
  ...['clock.sync', 'clock.step', 'clock.unsynced', 'audit.anchored'],
]
const FRONT_MAY = ['audit.stop', 'credential.listed', 'credential.read', 'auth.session_read', 'access.refused']
const sha256 = (bytes: Uint8Array | string) => createHash('sha256').update(bytes).digest()
const digestsOf = (open: Map<string, string>) =>
  [...open].filter(([name]) => name.startsWith('dtbsr[')).map(([, value]) => value)

/**
 * Verifies everything that must be true at any moment of the service's life, from the database alone and with code of its
 * own: the log is dense, unaltered and signed by announced writers; intentions and outcomes pair; no authorization gave
 * more than it had, nor any digest twice; counters agree with the log.
 *
 */
export async function checkWorld(ownerUrl: string, options: WorldOptions = {}): Promise<World> {
  const db = options.on ?? (await openClient(ownerUrl))
  try {
    // One snapshot, so that what is under way shows whole or not at all.
    if (options.on === undefined) await db.query('begin isolation level repeatable read read only')
    const entries = await readEntries(db)
    checkWriters(entries)
    await checkFlushes(db, entries)
    await checkCheckpoints(db, entries)
    checkSignings(entries, options.settled ?? true)
    checkCreations(entries)
    await checkCounters(db, entries, options.settled ?? true)
    checkReleased(entries, options.released ?? [])
    if (options.deviceCalls !== undefined) {
      const intended = entries
        .filter(({ leaf }) => leaf.ev === 'sign.intent')
        .reduce((sum, { leaf }) => sum + (leaf.n ?? 0), 0)
      assert.ok(
        options.deviceCalls <= intended,
        `the device was asked for ${options.deviceCalls} signatures, ${intended} were intended`,
      )
    }
    assert.equal((await db.query('select count(*) as n from audit.staged')).rows[0].n, 0, 'nothing stays staged')
    return { entries, of: (ev) => entries.filter(({ leaf }) => leaf.ev === ev) }
  } finally {
    if (options.on === undefined) await db.end()
  }
}

async function readEntries(db: Client): Promise<Entry[]> {
  const { rows } = await db.query(
    `select e.idx, e.op, e.ph, e.leaf, e.lh, y.name, i.idx as op_idx from audit.entry e
       join audit.event_type y on y.ev = e.ev left join audit.op_index i on i.op = e.op and i.ph = e.ph order by e.idx`,
  )
  const openings = await db.query('select idx, seed, fields from audit.opening order by idx, class')
  const head = await db.query('select size from audit.head')
  assert.equal(head.rows[0]?.size ?? 0, rows.length, 'the head counts the entries')
  const open = new Map<number, Map<string, string>>()
  const opened = new Map<number, Set<string>>()
  for (const { idx, seed, fields } of openings.rows) {
    for (const [name, value] of JSON.parse(fields) as [string, string][]) {
      assert.equal(typeof value, 'string', `entry ${idx}: ${name} is a text`)
      const salt = createHmac('sha256', seed).update(name).digest().subarray(0, 16).toString('base64url')
      const digest = sha256(Buffer.from(JSON.stringify([salt, name, value])).toString('base64url')).toString(
        'base64url',
      )
      opened.set(idx, (opened.get(idx) ?? new Set()).add(digest))
      open.set(idx, (open.get(idx) ?? new Map()).set(name, value))
    }
  }
  return rows.map((row, position) => {
    const where = `entry ${row.idx}`
    assert.equal(row.idx, position, 'the index is dense')
    assert.equal(row.op_idx, row.idx, `${where} is in the index of operations`)
    assert.equal(
      sha256(Buffer.concat([Buffer.of(0), row.leaf])).toString('hex'),
      row.lh.toString('hex'),
      `${where}: leaf hash`,
    )
    const text = row.leaf.toString('utf8')
    const leaf = JSON.parse(text) as Leaf
    assert.equal(canonical(leaf), text, `${where} is canonical JSON`)
    assert.deepEqual([leaf.ev, leaf.op, leaf.ph], [row.name, row.op, row.ph], `${where}: columns and leaf agree`)
    assert.ok(leaf.act, `${where} has an actor`)
    for (const digest of opened.get(row.idx) ?? [])
      assert.ok(leaf.sd.includes(digest), `${where}: an opening opens nothing`)
    return {
      idx: row.idx,
      op: row.op,
      ph: row.ph,
      leaf,
      lh: row.lh.toString('hex'),
      open: open.get(row.idx) ?? new Map(),
    }
  })
}

function canonical(value: unknown): string {
  if (Array.isArray(value)) return `[${value.map(canonical).join(',')}]`
  if (typeof value === 'object' && value !== null) {
    const members = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1))
    return `{${members.map(([key, member]) => `${JSON.stringify(key)}:${canonical(member)}`).join(',')}}`
  }
  return JSON.stringify(value)
}

/** Each writer announced by the device, its numbers without holes, its time never back, and only what its kind may write. */
function checkWriters(entries: readonly Entry[]): void {
  if (entries.length === 0) return
  const init = entries[0]?.leaf
  assert.equal(init?.ev, 'audit.init', 'the log begins with its making')
  const origin = String(init.f?.origin)
  const device = Buffer.from(String(init.f?.device), 'base64url')
  const kinds = new Map<string, string>()
  const keys = checkpointKeys(entries)
  for (const { leaf } of entries.filter((entry) => entry.leaf.ev === 'audit.start')) {
    const f = leaf.f as Record<string, string>
    const text = ['paraph/boot/v1', origin, f.writer, f.kind, f.host, f.key, ''].join('\n')
    const digest = { algorithm: 'sha-256' as const, bytes: sha256(text) }
    const signature = Buffer.from(f.signature as string, 'base64url')
    if (f.kind === 'keeper') {
      assert.ok(
        keys.some((key) => verify(null, Buffer.from(text), key.publicKey, signature)),
        `a checkpoint key announced ${f.writer}`,
      )
      kinds.set(f.writer as string, 'keeper')
      continue
    }
    assert.ok(
      verifyDigest(device, { scheme: 'ecdsa', hash: 'sha-256' }, digest, signature),
      `the device announced ${f.writer}`,
    )
    kinds.set(f.writer as string, f.kind as string)
  }
  const last = new Map<string, Leaf>()
  for (const { leaf, idx } of entries) {
    const before = last.get(leaf.boot)
    const kind = kinds.get(leaf.boot)
    assert.ok(kind, `entry ${idx} has an announced writer`)
    assert.equal(
      leaf.seq,
      before === undefined ? 0 : before.seq + 1,
      `entry ${idx} (${leaf.ev}): no hole in its writer's numbers`,
    )
    if (before !== undefined) assert.ok(leaf.t >= before.t, `entry ${idx}: time goes back`)
    if (kind === 'keeper') assert.ok(KEEPER_MAY.includes(leaf.ev), `entry ${idx}: a keeper wrote ${leaf.ev}`)
    if (kind === 'front') assert.ok(FRONT_MAY.includes(leaf.ev), `entry ${idx}: a front wrote ${leaf.ev}`)
    last.set(leaf.boot, leaf)
  }
}

const checkpointKeys = (entries: readonly Entry[]): NoteKey[] =>
  entries.filter(({ leaf }) => leaf.ev === 'audit.key').map(({ leaf }) => parseVkey(String(leaf.f?.vkey)))

/** Every checkpoint is signed, and is the head of a tree over the entries that stand there. */
async function checkCheckpoints(db: Client, entries: readonly Entry[]): Promise<void> {
  const { rows } = await db.query('select size, root, note from audit.checkpoint order by size')
  const keys = checkpointKeys(entries)
  const tree = new GrowingTree()
  for (const { size, root, note } of rows) {
    while (tree.size < size) tree.append(Buffer.from(entries[tree.size]?.lh ?? '', 'hex'))
    assert.equal(Buffer.from(tree.root()).toString('hex'), root.toString('hex'), `the root of ${size} entries`)
    const signed = parseNote(note)
    assert.ok(
      keys.some((key) => verifyNote(signed, key) !== undefined),
      `the checkpoint of ${size} is signed`,
    )
    assert.equal(signed.text, checkpointText({ origin: String(entries[0]?.leaf.f?.origin), size, root }))
  }
}

/** Every commit is signed by its writer, over the leaves that stand in the log. */
async function checkFlushes(db: Client, entries: readonly Entry[]): Promise<void> {
  const { rows } = await db.query(
    'select f.boot, f.no, f.first_idx, f.body, f.signature, b.public_key from audit.flush f join audit.boot b on b.id = f.boot order by f.first_idx',
  )
  const numbers = new Map<string, number>()
  let next = 0
  for (const { boot, no, first_idx, body, signature, public_key } of rows) {
    assert.equal(no, numbers.get(boot) ?? 0, 'the flushes of a writer are without holes')
    numbers.set(boot, no + 1)
    assert.equal(first_idx, next, 'the flushes cover the log')
    const key = createPublicKey({ key: public_key, format: 'der', type: 'spki' })
    const signed = Buffer.concat([Buffer.from(`paraph/flush/v1\n${boot}\n${no}\n`), body])
    assert.ok(verify(null, signed, key, signature), `flush ${no} of ${boot} is signed by its writer`)
    for (let at = 0; at < body.length; next++) {
      const offered: string[] = []
      const count = body[at++]
      for (let i = 0; i < count; i++, at += 32) offered.push(body.subarray(at, at + 32).toString('hex'))
      const entry = entries[next]
      assert.ok(
        entry && offered.includes(entry.lh) && entry.leaf.boot === boot,
        `entry ${next} is one that its writer offered`,
      )
    }
  }
  assert.equal(next, entries.length, 'every entry came in a signed flush')
}

/** Promises P1 to P3, as far as the log tells them. */
function checkSignings(entries: readonly Entry[], settled: boolean): void {
  const grants = new Map<string, { entry: Entry; left: number; digests: string[] | undefined }>()
  const intents = new Map<string, Entry>()
  const ended = new Map<string, Entry>()
  for (const entry of entries) {
    const { leaf, op, open } = entry
    if (leaf.ev === 'sad.issued') {
      assert.ok(open.get('factor'), 'an authorization names its factor')
      grants.set(open.get('authorization') as string, {
        entry,
        left: Number(leaf.f?.total),
        digests: leaf.f?.kind === 'bound' ? digestsOf(open) : undefined,
      })
    }
    if (leaf.ev === 'sad.extended' && leaf.out === 'ok') {
      const grant = grants.get(open.get('authorization') as string)
      assert.ok(grant, 'an extension names an earlier authorization')
      for (const name of ['signer', 'client', 'credential', 'session']) {
        assert.equal(open.get(name), grant.entry.open.get(name), `an extension: the authorization's ${name}`)
      }
      const fresh = digestsOf(open)
      assert.ok(
        fresh.length === 0 || grant.entry.leaf.f?.session === 1,
        'digests are added in a remembered session only',
      )
      grant.digests?.push(...fresh)
      assert.ok((grant.digests?.length ?? 0) <= grant.left, 'no more digests than signatures left')
    }
    if (leaf.ev === 'sign.intent') {
      const grant = grants.get(open.get('authorization') as string)
      assert.ok(grant, `intention ${op} names an earlier authorization`)
      for (const name of ['signer', 'client', 'credential', 'session']) {
        assert.equal(open.get(name), grant.entry.open.get(name), `intention ${op}: the authorization's ${name}`)
      }
      const digests = digestsOf(open)
      assert.equal(digests.length, leaf.n)
      grant.left -= digests.length
      assert.ok(grant.left >= 0, `intention ${op} goes beyond its authorization`)
      for (const digest of grant.digests === undefined ? [] : digests) {
        const at = grant.digests?.indexOf(digest) ?? -1
        assert.ok(at >= 0, `intention ${op}: a digest that was not authorized, or not so often`)
        grant.digests?.splice(at, 1)
      }
      intents.set(op, entry)
    }
    const ends = ['sign.outcome', 'sign.abandoned'].includes(leaf.ev) || (leaf.ev === 'sign.withheld' && !ended.has(op))
    if (ends) {
      assert.ok(intents.has(op), `${leaf.ev} ${op} has an earlier intention`)
      assert.ok(!ended.has(op), `signing ${op} ends once`)
      ended.set(op, entry)
      if (leaf.ev === 'sign.outcome' && leaf.out === 'ok')
        assert.equal(leaf.n, intents.get(op)?.leaf.n, `signing ${op}: as many signatures as digests`)
    }
    if (leaf.ev === 'sign.repeated') {
      const first = intents.get(String(leaf.f?.first))
      const end = ended.get(String(leaf.f?.first))
      assert.ok(first && end?.leaf.ev === 'sign.outcome' && end.leaf.out === 'ok', `${op} repeats what was released`)
      for (const name of ['signer', 'client', 'credential', 'session', 'authorization'])
        assert.equal(open.get(name), first.open.get(name), `${op} repeats for the same ${name}`)
      assert.deepEqual(digestsOf(open), digestsOf(first.open), `${op} repeats for the same digests`)
    }
    if (leaf.ev === 'sign.denied') assert.ok(!intents.has(op), `signing ${op} is denied and intended`)
  }
  if (settled) {
    for (const op of intents.keys()) assert.ok(ended.has(op), `intention ${op} has an end`)
  }
}

/** Whatever a signer had made was agreed to, on our page and for this client, and was made once. */
function checkCreations(entries: readonly Entry[]): void {
  const granted = new Map<string, Entry>()
  for (const entry of entries) {
    const { leaf, open, idx } = entry
    if (leaf.out !== 'ok') continue
    const approval = open.get('approval') as string
    if (leaf.ev === 'approval.granted' && leaf.f?.kind === 'creation') {
      assert.ok(open.get('factor'), `entry ${idx}: an agreement names its factor`)
      granted.set(approval, entry)
    }
    if (leaf.ev === 'credential.created' && leaf.act === 'signer') {
      const agreed = granted.get(approval)
      assert.ok(agreed, `entry ${idx}: a credential is made that somebody agreed to, once`)
      for (const name of ['actor', 'signer', 'client']) assert.equal(open.get(name), agreed.open.get(name))
      granted.delete(approval)
    }
  }
}

/** The mutable counters say what the log says. */
async function checkCounters(db: Client, entries: readonly Entry[], settled: boolean): Promise<void> {
  const states = [
    'sign.intent ok',
    'sign.outcome ok',
    'sign.outcome failed',
    'sign.outcome indeterminate',
    'sign.abandoned indeterminate',
  ]
  const byOperation = new Map<string, string[]>()
  for (const { op, leaf } of entries) {
    if (leaf.ev.startsWith('sign.')) byOperation.set(op, [...(byOperation.get(op) ?? []), `${leaf.ev} ${leaf.out}`])
  }
  const signings = await db.query('select op, authorization_id, count, state from paraph.signing')
  const used = new Map<string, number>()
  for (const { op, authorization_id, count, state } of signings.rows) {
    assert.ok(byOperation.get(op)?.includes('sign.intent ok'), `signing ${op} has its intention in the log`)
    const said = byOperation.get(op) ?? []
    const agrees =
      state === 5 ? said.some((what) => what.startsWith('sign.withheld')) : said.includes(states[state] as string)
    assert.ok(agrees, `signing ${op} is in state ${state}, and the log says ${said}`)
    if (settled) assert.notEqual(state, 0, `signing ${op} is open`)
    used.set(authorization_id, (used.get(authorization_id) ?? 0) + count)
  }
  const granted = new Map<string, number>()
  for (const { leaf, open } of entries) {
    if (!['sad.issued', 'sad.extended'].includes(leaf.ev) || leaf.out !== 'ok') continue
    const id = open.get('authorization') as string
    granted.set(id, (granted.get(id) ?? 0) + digestsOf(open).length)
  }
  const intents = [...byOperation.values()].filter((events) => events.includes('sign.intent ok')).length
  assert.equal(signings.rows.length, intents, 'every intention has its signing')
  const authorizations = await db.query(
    'select id, used, total, cardinality(remaining) as remaining from paraph.authorization',
  )
  for (const { id, used: counted, total, remaining } of authorizations.rows) {
    assert.equal(counted, used.get(id) ?? 0, `authorization ${id} counts its signings`)
    if (remaining !== null) {
      assert.equal(remaining, (granted.get(id) ?? 0) - counted, `authorization ${id}: what remains`)
      assert.ok(remaining <= total - counted, `authorization ${id}: no more digests than signatures left`)
    }
  }
}

function checkReleased(entries: readonly Entry[], released: readonly Uint8Array[]): void {
  const recorded = new Set<string>()
  for (const { leaf, open } of entries) {
    if (leaf.ev !== 'sign.outcome' || leaf.out !== 'ok') continue
    for (const [name, value] of open) if (name.startsWith('sigh[')) recorded.add(value)
  }
  for (const signature of released) {
    assert.ok(recorded.has(sha256(signature).toString('base64url')), 'a released signature is in a recorded outcome')
  }
}
