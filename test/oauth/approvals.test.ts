import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { after, before, beforeEach, describe, test } from 'node:test'
import type { FrontVerbs } from '../../src/activation.js'
import type { Client } from '../../src/db/pool.js'
import { until } from '../helpers/csc.js'
import { keepSecret, TestService, type TestSigner } from '../helpers/test-service.js'
import { ask, comparisonOf, newSecret, origin, pageSession, tokenHash } from './helpers.js'

const REDIRECT = 'https://app.example.test/callback'

let service: TestService
let owner: Client
let credential: string
let clientId: string
let mallory: TestSigner
let pages: string

before(async () => {
  service = await TestService.start({ workers: 2, keys: ['p-256'] })
  owner = await service.owner()
  credential = service.credentials['p-256'] as string
  mallory = await service.newSigner('mallory@example.test', 'Mallory Test')
  const made = await service.admin('client.create', { name: 'Signing app', redirectUris: [REDIRECT] })
  keepSecret(made.clientSecret)
  clientId = made.clientId
})
after(() => service?.close())
beforeEach(async () => {
  await service.admin('signer.unlock', { signer: service.signer.login })
  pages = await pageSession(service)
})

interface Asked {
  readonly name: string
  readonly hashes: string[]
  readonly approvalId: string
  readonly nonce: string
  readonly comparison: string
}

type Wish = Partial<Extract<FrontVerbs['requestApproval']['request'], { way: 'oauth' }>>

async function requested(more: Wish = {}): Promise<Asked> {
  const name = newSecret()
  const hashes = service.digests(`approved ${randomUUID()}`)
  const answer = await ask(service, 'requestApproval', {
    origin,
    name,
    way: 'oauth',
    kind: 'credential',
    clientId,
    redirectUri: REDIRECT,
    credentialId: credential,
    numSignatures: more.digests?.length ?? 1,
    digests: hashes,
    digestAlgorithm: 'sha-256',
    labels: ['Contract.pdf'],
    description: 'A contract',
    ...more,
  })
  return { name, hashes, ...answer }
}

const service1 = (more: Wish = {}) =>
  ask(service, 'requestApproval', {
    origin,
    name: more.name ?? newSecret(),
    way: 'oauth',
    kind: 'service',
    clientId,
    redirectUri: REDIRECT,
    ...more,
  })

const read = (name: string, bearer = pages) => ask(service, 'readApproval', { origin, bearer, name })

/** Asked for, read and approved with a fresh code. */
async function approved(more: Wish = {}): Promise<Asked> {
  const asked = await requested(more)
  await read(asked.name)
  const code = await service.freshCode()
  await ask(service, 'approve', { origin, bearer: pages, approvalId: asked.approvalId, factors: { code } })
  return asked
}

async function exchanged(name: string, worker = 0) {
  const token = newSecret()
  return { token, ...(await ask(service, 'exchange', { origin, name, tokenHash: tokenHash(token) }, worker)) }
}

const sign = (bearer: string, hashes: string[], sad?: string) =>
  ask(service, 'sign', {
    origin,
    bearer,
    credentialId: credential,
    digests: hashes,
    mechanism: { scheme: 'ecdsa', hash: 'sha-256' },
    ...(sad === undefined ? {} : { sad }),
  })

const refused = (code: string) => ({ code })
const outcomes = async (work: Promise<unknown>[]) => {
  const settled = await Promise.allSettled(work)
  return settled.filter(({ status }) => status === 'fulfilled').length
}

describe('an approval for signatures', () => {
  test('becomes a token that is an authorization, and signs what was shown', async () => {
    const asked = await requested()
    const shown = await read(asked.name)
    assert.deepEqual(
      { ...shown, expiresIn: 0, credential: { ...shown.credential, subject: '' } },
      {
        approvalId: asked.approvalId,
        state: 'pending',
        kind: 'credential',
        clientId,
        client: 'Signing app',
        signerId: shown.signerId,
        credential: { credentialId: credential, subject: '', pin: false, code: true, sends: false },
        numSignatures: 1,
        labels: ['Contract.pdf'],
        description: 'A contract',
        comparison: asked.comparison,
        expiresIn: 0,
      },
    )
    const parts = { ...asked, clientId, credentialID: credential, algorithm: 'sha-256' }
    assert.equal(comparisonOf(asked.nonce, parts), shown.comparison, 'the client can show the same code')
    assert.notEqual(comparisonOf(asked.nonce, { ...parts, hashes: service.digests('another') }), shown.comparison)

    await assert.rejects(exchanged(asked.name), refused('approval_unknown'), 'before the signer agreed')
    const code = await service.freshCode()
    await ask(service, 'approve', { origin, bearer: pages, approvalId: asked.approvalId, factors: { code } })
    assert.equal((await read(asked.name)).state, 'approved')
    const { token, expiresIn, kind, nonce, credentialId } = await exchanged(asked.name)
    assert.deepEqual([kind, credentialId, nonce], ['credential', credential, asked.nonce])
    assert.ok(expiresIn > 170 && expiresIn <= 180)
    await assert.rejects(exchanged(asked.name), refused('approval_unknown'), 'a second time')

    await assert.rejects(sign(token, service.digests('not approved')), refused('digest_not_authorized'))
    assert.equal((await sign(token, asked.hashes)).signatures.length, 1)
    await assert.rejects(sign(token, asked.hashes), refused('sad_unknown'), 'the budget is spent')
    const world = await service.checkWorld()
    for (const event of ['approval.requested', 'approval.granted', 'auth.token_issued', 'sad.issued'])
      assert.ok(world.of(event).length >= 1, event)
  })

  test('with two names for it in one request it must be one', async () => {
    const one = await approved()
    const { token } = await exchanged(one.name)
    const other = await approved()
    const { token: otherToken } = await exchanged(other.name)
    await assert.rejects(sign(token, other.hashes, otherToken), refused('sad_unknown'))
    await assert.rejects(sign(otherToken, one.hashes), refused('digest_not_authorized'))
    assert.equal((await sign(token, one.hashes, token)).signatures.length, 1)
  })

  test('beside a token for the service of the same signer and client, and no other', async () => {
    const one = await approved()
    const { token: sad } = await exchanged(one.name)
    const basic = await service.login()
    await assert.rejects(sign(basic, one.hashes, sad), refused('sad_unknown'), 'another client')
    const name = newSecret()
    const { approvalId } = await service1({ name })
    await read(name)
    await ask(service, 'approve', { origin, bearer: pages, approvalId, factors: {} })
    const { token: bearer, remember } = await exchanged(name)
    assert.equal(remember, false)
    await assert.rejects(sign(bearer, one.hashes), refused('sad_missing'))
    assert.equal((await sign(bearer, one.hashes, sad)).signatures.length, 1)
    await service.checkWorld()
  })

  test('is read and answered by nobody else', async () => {
    const other = await pageSession(service, mallory)
    const asked = await requested()
    await assert.rejects(read(asked.name, other), refused('credential_unknown'))
    await read(asked.name)
    await assert.rejects(read(asked.name, other), refused('approval_unknown'))
    const { approvalId } = asked
    const code = await service.freshCode(mallory)
    await assert.rejects(
      ask(service, 'approve', { origin, bearer: other, approvalId, factors: { code } }),
      refused('approval_unknown'),
    )
    await assert.rejects(ask(service, 'deny', { origin, bearer: other, approvalId }), refused('approval_unknown'))
    // A client's token is no session of our pages, whoever's it is.
    const bearer = await service.login()
    await assert.rejects(read(asked.name, bearer), refused('scope_missing'))
    await assert.rejects(
      ask(service, 'approve', { origin, bearer, approvalId, factors: { code: service.code() } }),
      refused('scope_missing'),
    )
  })

  test('takes the code, and the right one', async () => {
    const asked = await requested()
    await read(asked.name)
    const { approvalId } = asked
    const answer = (factors: object) => ask(service, 'approve', { origin, bearer: pages, approvalId, factors })
    await assert.rejects(answer({}), refused('code_missing'))
    await assert.rejects(answer({ code: '00000000' }), refused('code_rejected'))
    await assert.rejects(exchanged(asked.name), refused('approval_unknown'))
    await answer({ code: await service.freshCode() })
    await assert.rejects(answer({ code: await service.freshCode() }), refused('approval_unknown'), 'answered already')
  })

  test('denied, too old or stopped, it is worth nothing', async () => {
    const denied = await requested()
    await read(denied.name)
    await ask(service, 'deny', { origin, bearer: pages, approvalId: denied.approvalId })
    await assert.rejects(exchanged(denied.name), refused('approval_unknown'))

    const stopped = await approved()
    await owner.query(
      `update paraph.session set ended_at = paraph.now() where client_id = 'pages' and ended_at is null`,
    )
    await assert.rejects(exchanged(stopped.name), refused('approval_unknown'))

    pages = await pageSession(service)
    const late = await approved()
    await service.moveClock(121_000)
    await assert.rejects(exchanged(late.name), refused('approval_unknown'))

    const forgotten = await requested()
    await service.moveClock(601_000)
    pages = await pageSession(service)
    await assert.rejects(read(forgotten.name), refused('approval_unknown'))
  })

  test('what the credential does not allow is refused', async () => {
    const asked = await requested({ numSignatures: 2, digests: service.digests('a', 'b') })
    assert.equal((await read(asked.name)).numSignatures, 2)
    await assert.rejects(requested({ numSignatures: 2 }), refused('signature_count_invalid'))
    await assert.rejects(requested({ numSignatures: 0 }), refused('signature_count_invalid'))
    await assert.rejects(requested({ digests: [], numSignatures: 1 }), refused('digests_empty'))
    await assert.rejects(requested({ digestAlgorithm: 'sha-512' }), refused('digest_length_invalid'))
    await assert.rejects(requested({ redirectUri: 'https://mallory.example/' }), refused('client_unknown'))
    await assert.rejects(requested({ clientId: 'basic' }), refused('internal'), 'a client without a binding')
    const strange = await requested({ credentialId: 'not-an-id' })
    await assert.rejects(read(strange.name), refused('credential_unknown'))
    const { name } = await open()
    await assert.rejects(read(name), refused('digests_missing'), 'SCAL 2 wants digests')
  })

  const open = () => {
    const name = newSecret()
    return ask(service, 'requestApproval', {
      origin,
      name,
      way: 'oauth',
      kind: 'credential',
      clientId,
      redirectUri: REDIRECT,
      credentialId: credential,
      numSignatures: 3,
    }).then(() => ({ name }))
  }

  test('by its qualifier alone, the service picks the credential', async () => {
    const name = newSecret()
    const hashes = service.digests('qualified')
    const wish = { origin, name, way: 'oauth', kind: 'credential', clientId, redirectUri: REDIRECT } as const
    const more = { numSignatures: 1, digests: hashes, digestAlgorithm: 'sha-256' } as const
    await ask(service, 'requestApproval', { ...wish, ...more, qualifier: 'eu_eidas_qes' })
    const found = await read(name).catch((error) => error.code)
    const { rows } = await owner.query('select qc_statements from paraph.credential where id = $1', [credential])
    if (rows[0].qc_statements.includes('0.4.0.1862.1.4')) assert.equal(found.credential.credentialId, credential)
    else assert.equal(found, 'credential_unknown')
    await ask(service, 'requestApproval', { ...wish, ...more, name: `${name}x`, qualifier: 'za_ecta_aes' })
    await assert.rejects(read(`${name}x`), refused('credential_unknown'))
  })
})

describe('many at once', () => {
  test('40 approvals of one give one, and 40 exchanges of it one token', async () => {
    const asked = await requested()
    await read(asked.name)
    const code = await service.freshCode()
    const approve = (i: number) =>
      ask(service, 'approve', { origin, bearer: pages, approvalId: asked.approvalId, factors: { code } }, i % 2)
    assert.equal(await outcomes(Array.from({ length: 40 }, (_, i) => approve(i))), 1)
    assert.equal(await outcomes(Array.from({ length: 40 }, (_, i) => exchanged(asked.name, i % 2))), 1)
    const { rows } = await owner.query('select total from paraph.authorization where approval_id = $1', [
      asked.approvalId,
    ])
    assert.deepEqual(rows, [{ total: 1 }])
    await service.checkWorld()
  })
})

describe('a handle', () => {
  async function asHandle(bearer: string, more: object = {}) {
    const name = newSecret()
    const hashes = service.digests(`by handle ${randomUUID()}`)
    const wish = { origin, name, way: 'handle', kind: 'credential', bearer, credentialId: credential } as const
    const answer = await ask(service, 'requestApproval', {
      ...wish,
      numSignatures: 1,
      digests: hashes,
      digestAlgorithm: 'sha-256',
      ...more,
    })
    return { name, hashes, ...answer }
  }
  const collect = (bearer: string, name: string, worker = 0) =>
    ask(service, 'collect', { origin, bearer, name }, worker)

  test('gives the SAD once, to the session that asked', async () => {
    const bearer = await service.login()
    const asked = await asHandle(bearer)
    assert.deepEqual(await collect(bearer, asked.name), { pending: true })
    await assert.rejects(collect(await service.login(), asked.name), refused('approval_unknown'))
    await assert.rejects(exchanged(asked.name), refused('approval_unknown'), 'a front makes no token of it')
    const { approvals } = await ask(service, 'listApprovals', { origin, bearer: pages })
    assert.deepEqual(
      approvals.map(({ approvalId, client }) => [approvalId, client]),
      [[asked.approvalId, 'CSC auth/login']],
    )
    const { approvalId } = asked
    await ask(service, 'readApproval', { origin, bearer: pages, approvalId })
    await ask(service, 'approve', { origin, bearer: pages, approvalId, factors: { code: await service.freshCode() } })
    const got = await Promise.allSettled(Array.from({ length: 40 }, (_, i) => collect(bearer, asked.name, i % 2)))
    const sads = got.flatMap((one) =>
      one.status === 'fulfilled' && 'sad' in one.value ? [one.value.sad as string] : [],
    )
    keepSecret(...sads)
    assert.equal(sads.length, 1)
    assert.equal((await sign(bearer, asked.hashes, sads[0])).signatures.length, 1)
    await assert.rejects(collect(bearer, asked.name, 1), refused('too_often'))
    await service.moveClock(2000)
    await assert.rejects(collect(bearer, asked.name), refused('approval_unknown'))
  })

  test('denied or too old it says so; for what is not the signer’s it is not given', async () => {
    const bearer = await service.login()
    const asked = await asHandle(bearer)
    await ask(service, 'deny', { origin, bearer: pages, approvalId: asked.approvalId })
    await assert.rejects(collect(bearer, asked.name), refused('approval_denied'))
    await assert.rejects(collect(bearer, 'no such handle'), refused('approval_unknown'))
    const hers = await service.login(mallory)
    await assert.rejects(asHandle(hers), refused('credential_unknown'))
    await assert.rejects(asHandle(bearer, { digests: undefined }), refused('digests_missing'))
    await assert.rejects(asHandle(bearer, { numSignatures: 101 }), refused('signature_count_invalid'))
  })
})

describe('a service approval that is remembered', () => {
  test('opens new sessions until it is revoked', async () => {
    const name = newSecret()
    const { approvalId } = await service1({ name })
    await read(name)
    await ask(service, 'approve', { origin, bearer: pages, approvalId, factors: {}, remember: true })
    const first = await exchanged(name)
    assert.equal(first.remember, true)
    // Also after what is over has been swept up.
    await service.moveClock(10 * 24 * 3600_000)
    await owner.query('select paraph.purge()')
    const token = newSecret()
    const { expiresIn } = await ask(service, 'refreshGrant', { origin, name, tokenHash: tokenHash(token) })
    assert.ok(expiresIn > 170)
    assert.equal((await service.post('/csc/v2/credentials/list', {}, { bearer: token })).status, 200)
    await ask(service, 'revokeGrant', { origin, name, why: 'token_revoked' })
    await until('the front has heard of it', async () => {
      return (await service.post('/csc/v2/credentials/list', {}, { bearer: token })).status === 401
    })
    await assert.rejects(
      ask(service, 'refreshGrant', { origin, name, tokenHash: tokenHash(newSecret()) }),
      refused('approval_unknown'),
    )
    await service.checkWorld()
  })

  test('and one that is not, or for signatures, opens none', async () => {
    const name = newSecret()
    const { approvalId } = await service1({ name })
    await read(name)
    await ask(service, 'approve', { origin, bearer: pages, approvalId, factors: {} })
    await exchanged(name)
    const again = () => ask(service, 'refreshGrant', { origin, name, tokenHash: tokenHash(newSecret()) })
    await assert.rejects(again(), refused('approval_unknown'))
    const asked = await approved()
    await exchanged(asked.name)
    await assert.rejects(
      ask(service, 'refreshGrant', { origin, name: asked.name, tokenHash: tokenHash(newSecret()) }),
      refused('approval_unknown'),
    )
  })
})

describe('a superuser of the database', () => {
  const put = async (table: string, id: string, columns: Record<string, unknown>) => {
    const names = Object.keys(columns)
    const set = names.map((name, i) => `${name} = $${i + 2}`).join(', ')
    await owner.query(`update paraph.${table} set ${set} where id = $1`, [id, ...Object.values(columns)])
  }
  const row = async (table: string, id: string) =>
    (await owner.query(`select * from paraph.${table} where id = $1`, [id])).rows[0]

  test('gets nothing from an approval that he changed', async () => {
    const wanted = Buffer.from(service.digests('what Mallory wants signed')[0] as string, 'base64')
    const pending = await requested()
    await read(pending.name)
    await put('approval', pending.approvalId, { state: 'approved', decided_at: new Date(service.clock.now()) })
    await assert.rejects(exchanged(pending.name), refused('internal'), 'approved by nobody')

    const asked = await approved()
    const original = await row('approval', asked.approvalId)
    const other = await service.admin('client.create', { name: 'Other', redirectUris: [REDIRECT] })
    keepSecret(other.clientSecret)
    for (const columns of [
      { digests: [wanted] },
      { digests: null },
      { total: 2 },
      { client_id: other.clientId },
      { name_hash: (await row('approval', pending.approvalId)).name_hash },
      { decided_at: new Date(service.clock.now() + 60_000) },
      { evidence: JSON.stringify({ factor: randomUUID(), step: 1, pin: false }) },
      { remember: true },
      { session_ceiling: 1000 },
    ]) {
      if ('name_hash' in columns) await put('approval', pending.approvalId, { name_hash: Buffer.alloc(32) })
      await put('approval', asked.approvalId, columns)
      const name = 'name_hash' in columns ? pending.name : asked.name
      await assert.rejects(exchanged(name), refused('internal'), Object.keys(columns)[0])
      await put(
        'approval',
        asked.approvalId,
        Object.fromEntries(Object.keys(columns).map((column) => [column, original[column]])),
      )
    }
    const { token } = await exchanged(asked.name)
    // Once it is spent, it is spent: a row put back is found out by nothing but its own state.
    const authorization = (
      await owner.query('select * from paraph.authorization where approval_id = $1', [asked.approvalId])
    ).rows[0]
    for (const columns of [
      { via: 'session' },
      { approval_id: randomUUID() },
      { digests: [wanted], remaining: [wanted] },
    ]) {
      await put('authorization', authorization.id, columns)
      const hashes = 'digests' in columns ? [wanted.toString('base64')] : asked.hashes
      await assert.rejects(sign(token, hashes), refused('internal'), Object.keys(columns)[0])
      await put(
        'authorization',
        authorization.id,
        Object.fromEntries(Object.keys(columns).map((column) => [column, authorization[column]])),
      )
    }
    assert.equal((await sign(token, asked.hashes)).signatures.length, 1)
    await service.checkWorld()
  })

  test('does not lead an approval elsewhere', async () => {
    const original = await row('client', clientId)
    const asked = await approved()
    for (const columns of [
      { redirect_uris: ['https://mallory.example/'] },
      { secret_hash: Buffer.alloc(32) },
      { auth_method: 'none' },
      { name: 'Your bank' },
      { scopes: ['service', 'credential', 'more'] },
      { version: 2 },
      { binding: null },
    ]) {
      await put('client', clientId, columns)
      await assert.rejects(exchanged(asked.name), refused('internal'), Object.keys(columns)[0])
      await assert.rejects(requested(), refused('internal'), Object.keys(columns)[0])
      await put(
        'client',
        clientId,
        Object.fromEntries(Object.keys(columns).map((column) => [column, original[column]])),
      )
    }
    await service.admin('client.disable', { clientId })
    await assert.rejects(exchanged(asked.name), refused('client_unknown'))
    await put('client', clientId, { state: 'active' })
    await assert.rejects(exchanged(asked.name), refused('internal'), 'made active again')
    await put('client', clientId, original)
  })
})
