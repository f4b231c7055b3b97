import assert from 'node:assert/strict'
import { hash } from 'node:crypto'
import { after, before, test } from 'node:test'
import type { ServiceError } from '../../src/errors.js'
import { type BearerCheck, bearerCheck } from '../../src/front/bearer.js'
import { watchSessions } from '../../src/front/session-watch.js'
import type { Caller } from '../../src/identity/caller.js'
import { APIS, MALFORMED } from '../csc/refusals.js'
import { setClock } from '../helpers/temp-database.js'
import { LogLines, type TestFront, testFront } from './helpers.js'
import { until } from './until.js'

let front: TestFront
before(async () => {
  front = await testFront()
})
after(() => front.close())

const OF_VERSION = { v1: MALFORMED, v2: 'Malformed authorization header.' }
const CLOSED = [
  'auth/revoke',
  'credentials/list',
  'credentials/info',
  'credentials/authorize',
  'credentials/extendTransaction',
  'signatures/signHash',
]

async function ask(url: string, authorization?: string) {
  const answer = await front.app.inject({
    method: 'POST',
    url,
    headers: authorization === undefined ? {} : { authorization },
  })
  return { status: answer.statusCode, body: answer.json() as unknown, challenge: answer.headers['www-authenticate'] }
}

for (const api of APIS) {
  for (const method of CLOSED) {
    const url = `/csc/${api}/${method}`
    test(`${url} without a caller`, async () => {
      const headers = [
        undefined,
        '',
        'Bearer',
        'Bearer ',
        'Bearer a b',
        'Basic YTpi',
        'Token abc',
        'bearer: x',
        'Bearer ä',
      ]
      for (const header of headers) {
        const { status, body, challenge } = await ask(url, header)
        assert.deepEqual(
          [status, body, challenge],
          [400, { error: 'invalid_request', error_description: OF_VERSION[api] }, undefined],
          header,
        )
      }
      const unknown = await ask(url, 'Bearer unknown')
      assert.deepEqual(
        [unknown.status, unknown.body],
        [
          401,
          {
            error: 'invalid_token',
            error_description: 'The token provided is not a valid OAuth access or refresh token.',
          },
        ],
      )
      assert.match(String(unknown.challenge), /^Bearer .*error="invalid_token"/)
    })
  }
}

const list = '/csc/v1/credentials/list'

test('a token that is over is told as such', async () => {
  const expired = {
    error: 'expired_token',
    error_description: 'The access or refresh token is expired or has been revoked.',
  }
  const { seed, signer } = front
  const changes: [string, (who: { token: string; session: string; signer: string }) => Promise<unknown>][] = [
    [
      'revoked',
      ({ session }) => seed.query('update paraph.token set revoked_at = now() where session_id = $1', [session]),
    ],
    [
      'session ended',
      ({ session }) => seed.query('update paraph.session set ended_at = now() where id = $1', [session]),
    ],
    [
      'session over',
      ({ session }) =>
        seed.query(`update paraph.session set ends_at = now() - interval '1 s' where id = $1`, [session]),
    ],
    [
      'signer suspended',
      (who) => seed.query(`update paraph.signer set state = 'suspended' where id = $1`, [who.signer]),
    ],
  ]
  assert.deepEqual((await ask(list, `Bearer ${(await seed.session(signer, { expired: true })).token}`)).body, expired)
  for (const [what, change] of changes) {
    const owner = await seed.signer()
    const { token, session } = await seed.session(owner)
    assert.equal((await ask(list, `Bearer ${token}`)).status, 200)
    await change({ token, session, signer: owner })
    const { status, body } = await ask(list, `bearer ${token}`)
    assert.deepEqual([status, body], [401, expired], what)
  }
})

test('a refresh token opens nothing', async () => {
  const { token } = await front.seed.session(front.signer, { kind: 'refresh' })
  assert.equal((await ask(list, `Bearer ${token}`)).status, 401)
})

test('a token without the scope is refused, and the entry says who', async () => {
  const { token } = await front.seed.session(front.signer, { scope: 'services credential' })
  front.entries.list.length = 0
  const { status, body } = await ask(list, `Bearer ${token}`)
  assert.deepEqual(
    [status, body],
    [
      403,
      {
        error: 'access_denied',
        error_description: 'The user, authorization server or remote service denied the request.',
      },
    ],
  )
  const [entry] = front.entries.of('access.refused')
  assert.deepEqual([entry?.why, entry?.actor], ['scope_missing', { kind: 'signer', id: front.signer }])
  const several = await front.seed.session(front.signer, { scope: 'credential service' })
  assert.equal((await ask(list, `Bearer ${several.token}`)).status, 200)
})

test('the database says when a token is over', async () => {
  const { token } = await front.seed.session(front.signer)
  await setClock(front.database.ownerUrl, 9 * 60_000)
  assert.equal((await ask(list, `Bearer ${token}`)).status, 200)
  await setClock(front.database.ownerUrl, 11 * 60_000)
  assert.equal((await ask(list, `Bearer ${token}`)).status, 401)
  await setClock(front.database.ownerUrl, 0)
})

const CALLER = {
  signerId: 's',
  clientId: 'c',
  sessionId: 'session',
  scope: 'service',
  confirmation: null,
} as unknown as Caller

const PRESENTED = { proof: undefined, method: 'POST', path: '/', certificate: undefined }

/** A check over counted lookups, a clock that stands still, and a watch that is told what to say. */
function remembering() {
  const state = { lookups: 0, now: 1_000_000, watching: true, hold: Promise.resolve() }
  const listeners: ((session: string | undefined) => void)[] = []
  const db = {
    assignedOwner: async () => undefined,
    assignedSigner: async () => undefined,
    async caller() {
      state.lookups += 1
      await state.hold
      return CALLER
    },
  }
  const check: BearerCheck = bearerCheck({
    store: undefined as never,
    config: { publicUrl: 'https://sign.example.test' },
    db,
    strangers: { db },
    clock: { now: () => state.now },
    sessions: {
      get watching() {
        return state.watching
      },
      onEnded: (listener) => void listeners.push(listener),
      onIssued: () => undefined,
    },
  })
  const end = (session: string | undefined) => {
    for (const listener of listeners) listener(session)
  }
  return {
    state,
    end,
    ask: (token = 't') => check.identify({ ...PRESENTED, authorization: `Bearer ${token}` }),
    check,
  }
}

test('a caller is remembered for less than a second', async () => {
  const { state, ask } = remembering()
  await ask()
  state.now += 999
  await ask()
  assert.equal(state.lookups, 1)
  await ask('another')
  assert.equal(state.lookups, 2)
  state.now += 1
  await ask()
  assert.equal(state.lookups, 3)
  state.now -= 3_600_000
  await ask()
  assert.equal(state.lookups, 4)
})

test('the end of its session, of any that might have been missed, and our own word make a caller forgotten', async () => {
  const { state, ask, end, check } = remembering()
  for (const forget of [() => end('session'), () => end(undefined), () => check.forget('session')]) {
    await ask()
    await ask()
    const before = state.lookups
    forget()
    await ask()
    assert.equal(state.lookups, before + 1)
  }
  const before = state.lookups
  end('somebody else')
  await ask()
  assert.equal(state.lookups, before)
})

test('nobody is remembered while ends are not heard of, nor from before an end', async () => {
  const { state, ask, end } = remembering()
  state.watching = false
  await ask()
  await ask()
  assert.equal(state.lookups, 2)
  state.watching = true
  let release = () => {}
  state.hold = new Promise((resolve) => {
    release = resolve
  })
  const under = ask()
  end('session')
  release()
  await under
  await ask()
  assert.equal(state.lookups, 4)
})

test('only tokens that were good, or are expected, pass those that nobody has seen', async () => {
  const held: (() => void)[] = []
  const said = new Map<string, 'token_expired' | 'token_unknown' | Caller>()
  let now = 1_000_000
  let asked = 0
  const db = {
    assignedOwner: async () => undefined,
    assignedSigner: async () => undefined,
    async caller(tokenHash: Uint8Array) {
      asked += 1
      const answer = said.get(Buffer.from(tokenHash).toString('hex'))
      if (answer === undefined) await new Promise<void>((resolve) => held.push(resolve))
      return answer ?? 'token_unknown'
    },
  }
  const check = bearerCheck({
    store: undefined as never,
    config: { publicUrl: 'https://sign.example.test' },
    db,
    strangers: { db },
    clock: { now: () => now },
  })
  const ask = (token: string) =>
    check.identify({ ...PRESENTED, authorization: `Bearer ${token}` }).then(
      () => 'good',
      (error: ServiceError) => error.code,
    )
  const say = (token: string, answer: 'token_expired' | Caller) => said.set(hash('sha256', token, 'hex'), answer)

  say('seen', CALLER)
  say('ended', CALLER)
  say('handed-out', CALLER)
  say('new', CALLER)
  assert.deepEqual([await ask('seen'), await ask('ended')], ['good', 'good'])
  say('ended', 'token_expired')
  assert.equal(await ask('ended'), 'token_expired')
  asked = 0
  const flood = Array.from({ length: 500 }, (_, i) => ask(`invented-${i}`))
  await until(() => held.length === 2)
  assert.equal(asked, 2, 'two of them hold a connection')
  assert.equal(await ask('new'), 'overloaded')
  assert.equal(await ask('ended'), 'overloaded', 'what is over has no way of its own')
  check.expect(hash('sha256', 'handed-out', 'buffer'))
  assert.deepEqual([await ask('handed-out'), await ask('seen')], ['good', 'good'])
  now += 30 * 60_000 - 1_000
  assert.equal(await ask('seen'), 'good')
  now += 1_001
  assert.equal(await ask('seen'), 'good', 'each time anew')
  now += 30 * 60_000
  assert.equal(await ask('seen'), 'overloaded', 'no session lives as long unused')

  for (let release = held.shift(); ; release = held.shift()) {
    release?.()
    await new Promise((resolve) => setImmediate(resolve))
    if (held.length === 0) break
  }
  const codes = await Promise.all(flood)
  assert.deepEqual(
    [codes.filter((code) => code === 'token_unknown').length, codes.filter((code) => code === 'overloaded').length],
    [66, 434],
  )
  assert.equal(await ask('new'), 'good')
})

test('a front hears of every access token, those of before included', { timeout: 20_000 }, async () => {
  const before = await front.seed.session(front.signer)
  const ended = await front.seed.session(front.signer, { expired: true })
  const refresh = await front.seed.session(front.signer, { kind: 'refresh' })
  const watch = watchSessions({ url: front.database.frontUrl, logger: new LogLines().logger })
  try {
    const heard = new Set<string>()
    watch.onIssued((tokenHash) => heard.add(Buffer.from(tokenHash).toString('hex')))
    const hasHeardOf = ({ token }: { token: string }) => heard.has(hash('sha256', token, 'hex'))
    await until(() => watch.watching)
    assert.deepEqual([before, ended, refresh].map(hasHeardOf), [true, false, false])
    const after = { token: 'issued-on-another-front' }
    await front.seed.query(`select pg_notify('paraph_token', $1)`, [hash('sha256', after.token, 'base64')])
    await until(() => hasHeardOf(after))
  } finally {
    await watch.close()
  }
})

test('the end of a session reaches a front by NOTIFY, again after its connection broke', {
  timeout: 20_000,
}, async () => {
  const logs = new LogLines()
  const watch = watchSessions({ url: front.database.frontUrl, logger: logs.logger })
  try {
    const heard: (string | undefined)[] = []
    watch.onEnded((session) => heard.push(session))
    await until(() => watch.watching)
    await front.seed.query(`select pg_notify('paraph_session', 'one')`)
    await until(() => heard.length === 1)
    await front.seed.query(`select pg_terminate_backend(pid) from pg_stat_activity
      where application_name = 'paraph-front-sessions' and datname = current_database()`)
    await until(() => heard.length === 2)
    await until(() => watch.watching)
    await front.seed.query(`select pg_notify('paraph_session', 'two')`)
    await until(() => heard.length === 3)
    assert.deepEqual(heard, ['one', undefined, 'two'])
  } finally {
    await watch.close()
  }
  assert.equal(watch.watching, false)
})
