/** The auditor's way to the log: nothing without a token of that role, and nothing that the log does not say was looked at. */
import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { after, before, describe, test } from 'node:test'
import type { OperatorRole } from '../../src/activation.js'
import { fieldDigest, searchTag } from '../../src/audit/leaf.js'
import { openClient } from '../../src/db/pool.js'
import type { AuditEntry, AuditStory, AuditSummary } from '../../src/front/wire.js'
import { operatorTokenFile } from '../../src/sam/demo.js'
import { leafHash } from '../../src/tlog/tree.js'
import { keepSecret, TestService } from '../helpers/test-service.js'
import { ask as askWorker, newSecret, origin, pageSession, tokenHash } from '../oauth/helpers.js'

let service: TestService
const tokens = {} as Record<OperatorRole, string>
let hashes: string[]
let credential: string
let bearer: string

before(async () => {
  service = await TestService.start({ keys: ['p-256'] })
  for (const role of ['registration', 'system', 'security', 'auditor'] as const) {
    tokens[role] = readFileSync(operatorTokenFile(service.keysDir, role), 'utf8')
    keepSecret(tokens[role])
  }
  credential = service.credentials['p-256'] as string
  hashes = service.digests('one', 'two')
  bearer = await service.login()
  const sad = await service.authorize(bearer, credential, hashes)
  for (const hash of hashes) assert.equal((await service.signHash(bearer, credential, sad, [hash])).status, 200)
  const denied = await service.signHash(bearer, credential, sad, [hashes[0] as string])
  assert.equal(denied.status, 400)
})
after(() => service?.close())

interface Answer {
  readonly status: number
  readonly headers: Headers
  // biome-ignore lint/suspicious/noExplicitAny: tests look at answers of every shape
  readonly body: any
}

async function ask(path: string, authorization: string | undefined, method = 'GET'): Promise<Answer> {
  const headers = authorization === undefined ? {} : { authorization }
  const response = await fetch(`${service.urls[0]}/audit/v1${path}`, { method, headers })
  return { status: response.status, headers: response.headers, body: await response.json() }
}

/** As the auditor. */
async function look(path: string): Promise<Answer['body']> {
  const { status, body } = await ask(path, `Bearer ${tokens.auditor}`)
  assert.equal(status, 200, JSON.stringify(body))
  return body
}

const search = async (query: Record<string, string | number>): Promise<AuditEntry[]> =>
  (await look(`/entries?${new URLSearchParams(query as Record<string, string>)}`)).entries
const indicesOf = (entries: readonly { index: number }[]) => entries.map(({ index }) => index)
const eventsOf = (entries: readonly AuditEntry[]) => entries.map(({ leaf }) => leaf.ev)

describe('who may look', () => {
  test('nobody but an auditor: a missing, an unknown and a foreign token get the same answer, another role another', async () => {
    const wrong: (string | undefined)[] = [
      undefined,
      'Bearer made-up',
      `Bearer ${bearer}`,
      `DPoP ${tokens.auditor}`,
      'Basic c2lnbmVyOnB3',
      `Bearer ${tokens.auditor}x`,
    ]
    for (const path of ['/entries', '/entries?limit=1', '/operations/01980000-0000-7000-8000-000000000001']) {
      for (const authorization of wrong) {
        const { status, headers, body } = await ask(path, authorization)
        assert.deepEqual(
          [status, headers.get('www-authenticate'), body],
          [
            401,
            'Bearer realm="paraph", error="invalid_token"',
            {
              error: 'invalid_token',
              error_description: 'The token provided is not a valid OAuth access or refresh token.',
            },
          ],
          `${path} ${authorization?.slice(0, 8)}`,
        )
      }
      for (const role of ['registration', 'system', 'security'] as const) {
        const { status, body } = await ask(path, `Bearer ${tokens[role]}`)
        assert.deepEqual([status, body.error], [403, 'access_denied'], role)
      }
    }
  })

  test('an auditor whose rights were ended is unknown, and what he was shown a ticket for he sees no more', async () => {
    const made = await service.admin('operator.create', { name: 'A second auditor', role: 'auditor' })
    keepSecret(made.token)
    assert.equal((await ask('/entries', `Bearer ${made.token}`)).status, 200)
    await service.admin('operator.disable', { operatorId: made.operatorId })
    assert.equal((await ask('/entries', `Bearer ${made.token}`)).status, 401)
  })

  test('refused strangers are counted and not written one by one; a known person of another role is named', async () => {
    const world = await service.checkWorld()
    for (let i = 0; i < 20; i++) await ask('/entries', `Bearer made-up-${i}`)
    const later = await service.checkWorld()
    const since = later.entries.slice(world.entries.length).filter(({ leaf }) => leaf.ev === 'access.refused')
    assert.ok(since.length <= 1, 'one entry for all')
    const first = later.of('access.refused').find(({ leaf }) => leaf.f?.endpoint === '/audit/v1/entries')
    assert.deepEqual([first?.leaf.act, first?.leaf.f?.status], ['anonymous', 401])
    const [named] = later.of('operator.refused')
    assert.deepEqual([named?.leaf.act, named?.leaf.why, named?.leaf.f?.verb], ['operator', 'role_missing', 'look'])
    assert.ok(named?.open.get('actor'))
  })

  test('other methods are refused as everywhere', async () => {
    for (const path of ['/entries', '/operations/01980000-0000-7000-8000-000000000001']) {
      const { status, headers } = await ask(path, `Bearer ${tokens.auditor}`, 'POST')
      assert.deepEqual([status, headers.get('allow')], [405, 'GET, HEAD'])
    }
    assert.equal((await ask('/operations', `Bearer ${tokens.auditor}`)).status, 404)
  })
})

describe('every look is an entry', () => {
  test('F30: with who looked, at what and for what, and it is there before anything is shown', async () => {
    const before = await service.checkWorld()
    const body = await look('/entries?signer=signer%40example.test&event=sign&limit=5')
    const { entries } = await service.checkWorld()
    const [entry] = entries.slice(before.entries.length).filter(({ leaf }) => leaf.ev === 'audit.read')
    assert.deepEqual(
      [entry?.leaf.act, entry?.leaf.out, entry?.leaf.f],
      ['operator', 'ok', { what: 'entries', size: body.size }],
    )
    assert.equal(entry?.open.get('query'), 'signer=signer%40example.test&event=sign&limit=5')
    const { rows } = await (await service.owner()).query(`select id from paraph.operator where role = 'auditor'`)
    assert.ok(rows.map(({ id }) => id).includes(entry?.open.get('operator')))
    assert.equal(entry?.open.get('ip'), '127.0.0.1')
    assert.ok(body.size <= (entry?.idx ?? 0), 'what was shown was there before')
  })

  test('F30: also one that finds nothing', async () => {
    const before = (await service.checkWorld()).of('audit.read').length
    const { status, body } = await ask('/operations/01980000-0000-7000-8000-000000000001', `Bearer ${tokens.auditor}`)
    assert.deepEqual([status, body.error], [404, 'not_found'])
    const after = await service.checkWorld()
    assert.equal(after.of('audit.read').length, before + 1)
    assert.ok(
      after.of('access.refused').every(({ leaf }) => leaf.f?.status !== 404 || leaf.f?.endpoint === 'unknown'),
      'and none but that one',
    )
  })

  test('but none that cannot be answered: it is refused by the name of what is wrong, and changes nothing', async () => {
    const before = (await service.checkWorld()).of('audit.read').length
    for (const [query, text] of [
      ['signr=x', 'There is no parameter of that name'],
      ['__proto__=x', 'There is no parameter of that name'],
      ['limit=0', 'Invalid parameter limit'],
      ['limit=501', 'Invalid parameter limit'],
      ['limit=1e2', 'Invalid parameter limit'],
      ['limit=', 'Invalid parameter limit'],
      ['cursor=-1', 'Invalid parameter cursor'],
      ['cursor=9999999999999999999', 'Invalid parameter cursor'],
      ['order=random', 'Invalid parameter order'],
      ['outcome=bad', 'Invalid parameter outcome'],
      ['event=sign.x%27--', 'Invalid parameter event'],
      ['from=yesterday', 'Invalid parameter from'],
      ['to=2026-13-01T00:00:00Z', 'Invalid parameter to'],
      ['operation=x', 'Invalid parameter operation'],
      ['signer=a&signer=b', 'Invalid parameter signer'],
      ['signer=%00', 'Invalid parameter signer'],
      ['digest=***', 'Invalid parameter digest'],
    ]) {
      const { status, body } = await ask(`/entries?${query}`, `Bearer ${tokens.auditor}`)
      assert.deepEqual([status, body.error, body.error_description], [400, 'invalid_request', text], query)
    }
    const { status } = await ask(`/operations/x'%20or%201=1`, `Bearer ${tokens.auditor}`)
    assert.equal(status, 400)
    assert.equal((await service.checkWorld()).of('audit.read').length, before)
  })
})

describe('searching', () => {
  /** Every page of an answer, and whether any of them was longer than asked. */
  async function allPages(query: Record<string, string | number>, limit: number): Promise<AuditEntry[]> {
    const entries: AuditEntry[] = []
    let cursor: number | undefined
    do {
      const page = await look(
        `/entries?${new URLSearchParams({ ...query, limit, ...(cursor === undefined ? {} : { cursor }) } as never)}`,
      )
      assert.ok(page.entries.length <= limit)
      entries.push(...page.entries)
      cursor = page.next
    } while (cursor !== undefined)
    return entries
  }

  test('all pages are the whole log, in either order, byte for byte and with every opening', async () => {
    for (const order of ['oldest', 'newest'] as const) {
      const { entries: log } = await service.checkWorld()
      const pages = await allPages({ order }, 7)
      const sorted = order === 'oldest' ? pages : pages.toReversed()
      assert.deepEqual(
        indicesOf(sorted).slice(0, log.length),
        log.map(({ idx }) => idx),
      )
      for (const { index, leaf, leafHash: lh, openings } of sorted) {
        assert.equal(leafHash(Buffer.from(JSON.stringify(leaf))).toString('base64url'), lh)
        for (const { seed, fields } of openings) {
          for (const [name, value] of fields)
            assert.ok(leaf.sd.includes(fieldDigest(Buffer.from(seed, 'base64url'), name as string, value as string)))
        }
        const known = log[index]
        if (known === undefined) continue
        const fields = openings.flatMap(({ fields }) => fields as [string, string][])
        assert.deepEqual(new Map(fields), known.open)
      }
    }
  })

  test('each filter finds what the log has of it, and all together what fits all', async () => {
    const world = await service.checkWorld()
    const { rows } = await (await service.owner()).query('select id from paraph.signer')
    const signer = rows[0]?.id as string
    const digest = Buffer.from(hashes[1] as string, 'base64').toString('base64url')
    const [intent] = world.of('sign.intent')
    const time = intent?.leaf.t as string
    const opens = (name: string, value: string) => world.entries.filter(({ open }) => open.get(name) === value)
    const cases: [Record<string, string>, { idx: number }[]][] = [
      [{ signer }, opens('signer', signer)],
      [{ signer: 'SIGNER@example.test' }, opens('signer', signer)],
      [{ signer: 'nobody@example.test' }, []],
      [{ credential }, opens('credential', credential)],
      [{ client: 'basic' }, opens('client', 'basic')],
      [{ client: 'nobody' }, []],
      [
        { digest },
        world.entries.filter(({ open }) => [...open].some(([n, v]) => n.startsWith('dtbsr[') && v === digest)),
      ],
      [{ operation: intent?.op as string }, world.entries.filter(({ op }) => op === intent?.op)],
      [{ event: 'sign.intent' }, world.of('sign.intent')],
      [{ event: 'sign' }, world.entries.filter(({ leaf }) => leaf.ev.startsWith('sign.'))],
      [{ event: 'factor.enrolled' }, world.of('factor.enrolled')],
      [{ event: 'sign', outcome: 'refused' }, world.of('sign.denied')],
      [
        { event: 'credential', signer, outcome: 'ok' },
        opens('signer', signer).filter(({ leaf }) => leaf.ev.startsWith('credential.')),
      ],
      [
        { from: time, to: new Date(Date.parse(time) + 1).toISOString() },
        world.entries.filter(({ leaf }) => leaf.t === time),
      ],
      [
        { event: 'sign', client: 'basic', credential, digest, signer, outcome: 'ok', from: time },
        world.of('sign.intent').filter(({ open, leaf }) => open.get('dtbsr[0]') === digest && leaf.t >= time),
      ],
      [{ event: 'sign', operation: intent?.op as string, credential }, [{ idx: intent?.idx as number }]],
    ]
    for (const [filter, expected] of cases) {
      for (const order of ['oldest', 'newest']) {
        const found = (await allPages({ ...filter, order }, 12)).filter(({ index }) => index < world.entries.length)
        const wanted = expected.map(({ idx }) => idx)
        assert.deepEqual(indicesOf(found), order === 'oldest' ? wanted : wanted.toReversed(), JSON.stringify(filter))
      }
    }
    assert.ok(cases.filter(([, expected]) => expected.length > 0).length > 10)
  })

  test('a digest is taken in either alphabet, padded or not', async () => {
    const bytes = Buffer.from(hashes[0] as string, 'base64')
    const found = indicesOf(await search({ digest: hashes[0] as string }))
    assert.ok(found.length > 0)
    for (const digest of [bytes.toString('base64url'), (hashes[0] as string).replace(/=+$/, '')])
      assert.deepEqual(indicesOf(await search({ digest })), found)
  })

  test('text that means something to SQL or JSON is only text', async () => {
    for (const text of ["' or 1=1 --", '"}', '{basic}', '%', '\\', "basic' --", '$1', '\u202e', 'a,b', '[[']) {
      assert.deepEqual(await search({ signer: text }), [], text)
      if (/^[\x20-\x7e]+$/.test(text)) assert.deepEqual(await search({ client: text }), [], text)
    }
    assert.deepEqual(await search({ credential: "x'or'1" }), [])
  })

  test('what was erased is neither shown nor found by, and a tag of something else finds nothing', async () => {
    const [read] = (await service.checkWorld()).of('auth.login')
    const owner = await service.owner()
    const where = 'where idx = $1 and class = 1'
    const { rows } = await owner.query(`select seed, fields, tags::text[], retain_until from audit.opening ${where}`, [
      read?.idx,
    ])
    const { seed, fields, tags, retain_until } = rows[0]
    const put = (more: string[]) =>
      owner.query(
        'insert into audit.opening (idx, class, seed, fields, tags, retain_until) values ($1, 1, $2, $3, $4, $5)',
        [...[read?.idx, seed, fields, [...tags, ...more], retain_until]],
      )
    const erase = () => owner.query(`delete from audit.opening ${where}`, [read?.idx])
    await erase()
    try {
      const found = await search({ client: 'basic', order: 'oldest' })
      assert.ok(!indicesOf(found).includes(read?.idx as number))
      const [entry] = await search({ operation: read?.op as string })
      assert.deepEqual(
        entry?.openings.map(({ class: retention }) => retention),
        [2],
      )
      assert.equal(entry?.leaf.sd.length, read?.leaf.sd.length)
      await put([String(searchTag('client', 'collides'))])
      assert.deepEqual(await search({ client: 'collides' }), [])
      await erase()
    } finally {
      await put([])
    }
  })
})

describe('one operation', () => {
  test('is told from its grant to its end, with the checkpoint that covers it', async () => {
    const world = await service.checkWorld()
    const [intent] = world.of('sign.intent')
    const [outcome] = world.of('sign.outcome')
    const [issued] = world.of('sad.issued')
    const story = (await look(`/operations/${intent?.op}`)) as AuditStory
    assert.deepEqual(eventsOf(story.entries), ['sign.intent', 'sign.outcome'])
    assert.deepEqual(indicesOf(story.entries), [intent?.idx, outcome?.idx])
    assert.deepEqual(indicesOf(story.grant), [issued?.idx])
    const { rows } = await (await service.owner()).query('select size from audit.checkpoint order by size')
    for (const { index, size } of story.checkpoints) assert.equal(size, rows.find((row) => row.size > index)?.size)
  })

  test('a denied one names the grant that was used up', async () => {
    const world = await service.checkWorld()
    const [denied] = world.of('sign.denied')
    const story = (await look(`/operations/${denied?.op}`)) as AuditStory
    assert.deepEqual([eventsOf(story.entries), eventsOf(story.grant)], [['sign.denied'], ['sad.issued']])
  })

  test('one that was agreed to on our page begins with that answer, and not with another', async () => {
    const REDIRECT = 'https://app.example.test/callback'
    const { clientId, clientSecret } = await service.admin('client.create', { name: 'App', redirectUris: [REDIRECT] })
    keepSecret(clientSecret)
    const approved = async (digests: string[]) => {
      const name = newSecret()
      const numbers = { numSignatures: 1, digests, digestAlgorithm: 'sha-256' } as const
      const wish = { origin, name, way: 'oauth', kind: 'credential', clientId, redirectUri: REDIRECT } as const
      const { approvalId } = await askWorker(service, 'requestApproval', {
        ...wish,
        ...numbers,
        credentialId: credential,
      })
      const pages = await pageSession(service)
      await askWorker(service, 'readApproval', { origin, bearer: pages, name })
      const factors = { code: await service.freshCode() }
      await askWorker(service, 'approve', { origin, bearer: pages, approvalId, factors })
      return { name, approvalId }
    }
    const digests = service.digests('on our page')
    const mine = await approved(digests)
    await approved(service.digests('something else'))
    const token = newSecret()
    await askWorker(service, 'exchange', { origin, name: mine.name, tokenHash: tokenHash(token) })
    const mechanism = { scheme: 'ecdsa', hash: 'sha-256' } as const
    const { operation } = await askWorker(service, 'sign', {
      origin,
      bearer: token,
      credentialId: credential,
      digests,
      mechanism,
    })
    const story = (await look(`/operations/${operation}`)) as AuditStory
    assert.deepEqual(eventsOf(story.entries), ['sign.intent', 'sign.outcome'])
    assert.deepEqual(eventsOf(story.grant), ['approval.granted', 'sad.issued'])
    const opened = story.grant[0]?.openings.flatMap(({ fields }) => fields).find(([name]) => name === 'approval')
    assert.equal(opened?.[1], mine.approvalId)
  })

  test('one that is no signing has no grant', async () => {
    const [login] = (await service.checkWorld()).of('auth.login')
    const story = (await look(`/operations/${login?.op}`)) as AuditStory
    assert.deepEqual([eventsOf(story.entries), story.grant], [['auth.login'], []])
  })
})

describe('the log at a glance', () => {
  test('counts what stands there by hour, event and outcome, whether it was counted before or not', async () => {
    const owner = await service.owner()
    for (const counted of [0, 10, 7]) {
      if (counted > 0) await owner.query('select audit.tally_up($1)', [counted])
      const { time, size, counted: known, hours } = (await look('/summary')) as AuditSummary
      const { entries } = await service.checkWorld()
      const expected = new Map<string, number>()
      for (const { leaf } of entries.slice(0, size)) {
        const kind = `${leaf.t.slice(0, 13)}:00:00.000Z ${leaf.ev} ${leaf.out}`
        expected.set(kind, (expected.get(kind) ?? 0) + 1)
      }
      assert.equal(known, size)
      assert.deepEqual(
        new Map(hours.map(({ hour, event, outcome, entries: n }) => [`${hour} ${event} ${outcome}`, n])),
        new Map(
          [...expected].sort(([a], [b]) =>
            a.slice(0, 24) < b.slice(0, 24) ? -1 : a.slice(0, 24) > b.slice(0, 24) ? 1 : 0,
          ),
        ),
      )
      assert.ok(Math.abs(Date.parse(time) - service.clock.now()) < 60_000)
    }
    assert.ok((await owner.query('select size from audit.tallied')).rows[0].size >= 17)
  })

  test('tells of intentions that should have ended, and how far the log is signed', async () => {
    const owner = await service.owner()
    assert.deepEqual((await look('/summary')).unresolved, [])
    const { rows } = await owner.query('select op, state, deadline, intended_at from paraph.signing limit 1')
    const { op, state, deadline, intended_at: at } = rows[0]
    await owner.query(
      `update paraph.signing set state = 0, deadline = paraph.now() - interval '1 hour' where op = $1`,
      [op],
    )
    const during = (await look('/summary')) as AuditSummary
    await owner.query('update paraph.signing set state = $2, deadline = $3 where op = $1', [op, state, deadline])
    assert.deepEqual(
      during.unresolved.map((one) => [one.op, one.intendedAt]),
      [[op, at.toISOString()]],
    )
    const checkpoints = await owner.query('select size from audit.checkpoint')
    assert.ok(checkpoints.rows.some(({ size }) => size === during.checkpoint?.size))
  })

  test('and of what was said of clocks last', async () => {
    const { clock } = await look('/summary')
    const said = new Map((await service.checkWorld()).entries.map(({ idx, leaf }) => [idx, leaf.ev]))
    assert.ok(clock.length > 0)
    const names = (clock as { index: number }[]).map(({ index }) => said.get(index))
    assert.ok(names.includes('clock.sync'))
    assert.ok(names.every((name) => name?.startsWith('clock.')))
    assert.equal(new Set(names).size, names.length, 'the last of each')
  })
})

describe('a front that was taken over', () => {
  const FUNCTIONS = [
    `select * from audit.find_entries($1, null, null, null, '0', null, null, true, 10, null, null, null, 100)`,
    `select * from audit.read_entries($1, array[0, 1, 2])`,
    `select * from audit.first_checkpoints($1, array[0, 1, 2])`,
    `select now from audit.summarize($1, 10)`,
  ]

  test('reads nothing of the log by itself', async () => {
    const front = await openClient(service.frontUrl)
    try {
      for (const statement of [
        'select * from audit.entry',
        'select * from audit.opening',
        'select fields from audit.opening_0',
        'select * from audit.op_index',
        'select * from audit.look',
        `select audit.require_look('x', 'read')`,
        'select audit.time_of(0)',
        `select audit.index_at(now(), 1)`,
        `select audit.tagged(0, '{1}', 1)`,
        'select * from audit.count_entries(0, 1)',
        'select audit.tally_up(1)',
        'select * from audit.tally',
        `insert into audit.look values (sha256('x'), gen_random_uuid(), 'read', 1, now() + interval '1 hour')`,
        `update audit.look set expires_at = 'infinity'`,
      ])
        await assert.rejects(front.query(statement), { code: '42501' }, statement)
      for (const text of FUNCTIONS)
        for (const ticket of [Buffer.alloc(32), Buffer.alloc(0), null])
          await assert.rejects(front.query(text, [ticket]), { code: '42501' }, text)
    } finally {
      await front.end()
    }
  })

  test('nor with a ticket that ran out, is of another kind, or whose operator has no rights any more', async () => {
    const front = await openClient(service.frontUrl)
    const owner = await service.owner()
    const insert = (ticket: string, kind: string, expires: string, operator: string) =>
      owner.query(`insert into audit.look values (sha256($1), $4, $2, 5, paraph.now() + $3::interval)`, [
        Buffer.from(ticket),
        kind,
        expires,
        operator,
      ])
    const ids = (await owner.query(`select id, disabled_at from paraph.operator where role = 'auditor'`)).rows
    const active = ids.find((one) => one.disabled_at === null)?.id
    const disabled = ids.find((one) => one.disabled_at !== null)?.id
    try {
      await insert('good', 'read', '1 hour', active)
      await insert('late', 'read', '-1 second', active)
      await insert('other', 'export', '1 hour', active)
      await insert('ended', 'read', '1 hour', disabled)
      for (const text of FUNCTIONS) {
        const { rows } = await front.query(text, [Buffer.from('good')])
        assert.ok(rows.length > 0)
        for (const ticket of ['late', 'other', 'ended'])
          await assert.rejects(front.query(text, [Buffer.from(ticket)]), { code: '42501' }, `${ticket} ${text}`)
      }
      const { rows } = await front.query(FUNCTIONS[0] as string, [Buffer.from('good')])
      assert.deepEqual(rows, [{ matching: [4, 3, 2, 1, 0], next: null }], 'no further than the log was then')
      const beyond = await front.query('select * from audit.read_entries($1, array[4, 5, 6])', [Buffer.from('good')])
      assert.equal(beyond.rows.length, 1)
    } finally {
      await owner.query(
        `delete from audit.look where hash in (sha256('good'), sha256('late'), sha256('other'), sha256('ended'))`,
      )
      await front.end()
    }
  })

  test('small steps find the same as large ones', async () => {
    const front = await openClient(service.frontUrl)
    const owner = await service.owner()
    await owner.query(
      `insert into audit.look select sha256('steps'), id, 'read', (select size from audit.head), 'infinity' from paraph.operator where role = 'auditor' and disabled_at is null limit 1`,
    )
    const walk = async (few: number, newest: boolean, values: unknown[]) => {
      const matching: number[] = []
      let next: number | null = null
      let pages = 0
      do {
        const { rows }: { rows: { matching: number[]; next: number | null }[] } = await front.query(
          `select * from audit.find_entries('steps', null, null, null, '0', $1, $2, $3, 4, $4, $5, $6, $7)`,
          [newest ? null : next, newest ? next : null, newest, ...values, few],
        )
        matching.push(...(rows[0]?.matching ?? []))
        next = rows[0]?.next ?? null
        pages++
      } while (next !== null)
      return { matching, pages }
    }
    try {
      const { rows } = await owner.query(
        `select tags::text[] from audit.opening where tags <> '{}' order by idx desc limit 1`,
      )
      for (const newest of [true, false])
        for (const values of [
          [null, null, null],
          [rows[0].tags.slice(0, 1), null, null],
          [null, [121], null],
          [null, [121], 'ok'],
          [null, null, 'refused'],
          [null, [71, 90, 80], null],
          [rows[0].tags.slice(0, 1), [80, 90], 'ok'],
        ]) {
          const large = await walk(20_000, newest, values)
          const small = await walk(1, newest, values)
          assert.deepEqual(small.matching, large.matching, JSON.stringify(values))
        }
      assert.ok((await walk(1, true, [null, [121], null])).pages > 2, 'it gave up and went on')
    } finally {
      await owner.query(`delete from audit.look where hash = sha256('steps')`)
      await front.end()
    }
  })
})
