import assert from 'node:assert/strict'
import { createHash, randomBytes, randomUUID } from 'node:crypto'
import { connect } from 'node:net'
import { after, before, describe, test } from 'node:test'
import { ADMIN_ROLE, type AnswerFrame } from '../../src/activation.js'
import { type Client, openClient } from '../../src/db/pool.js'
import { encodeFrame, FrameReader } from '../../src/frames.js'
import { keepSecret, TestService, type TestSigner } from '../helpers/test-service.js'

let service: TestService
let credential: string
let mallory: TestSigner
let malloryCredential: string

before(async () => {
  service = await TestService.start({ keys: ['p-256'] })
  credential = service.credentials['p-256'] as string
  mallory = await service.newSigner('mallory@example.test', 'Mallory Test')
  malloryCredential = await service.newCredential(mallory, 'p-256')
})
after(() => service?.close())

/** Signatures that the service recorded as released, whoever asked. */
const released = async () =>
  (await service.checkWorld()).of('sign.outcome').filter(({ leaf }) => leaf.out === 'ok').length

describe('hostile code in the front, with its settings, its socket and its database role', () => {
  const origin = { requestId: 'hostile', address: '192.0.2.66', api: 'v2' }
  let front: Client
  let bearer: string
  let usedSad: string
  let usedCode: string
  let hashes: string[]

  before(async () => {
    const settings = JSON.stringify(service.newFrontSettings(9))
    for (const word of ['pin', 'keys', 'paraph_sam', 'admin', 'token-file'])
      assert.ok(!settings.includes(word), `the front is not told of ${word}`)
    front = await openClient(service.newFrontSettings(9).databaseUrl)
    // What passed through it: a live token, and a code and a SAD that were used.
    bearer = await service.login()
    assert.equal((await service.post('/csc/v2/credentials/list', {}, { bearer })).status, 200)
    hashes = service.digests('passed through')
    usedCode = await service.freshCode()
    usedSad = await service.authorize(bearer, credential, hashes, { code: usedCode })
    assert.equal((await service.signHash(bearer, credential, usedSad, hashes)).status, 200)
  })
  after(() => front?.end())

  async function ask(verb: string, body: unknown, more: object = {}): Promise<AnswerFrame> {
    const socket = connect(service.workerSettings[0]?.socket as string)
    const reader = new FrameReader()
    try {
      return await new Promise<AnswerFrame>((resolve, reject) => {
        socket.on('error', reject)
        socket.on('close', () => reject(new Error('the worker hung up')))
        socket.on('data', (chunk) => {
          for (const frame of reader.push(chunk)) resolve(frame as AnswerFrame)
        })
        socket.write(encodeFrame({ id: 1, verb, body, ...more }))
      })
    } finally {
      socket.destroy()
    }
  }
  const codeOf = (answer: AnswerFrame) => ('error' in answer ? answer.error.code : 'ok')
  const sign = (sad: string, digests = hashes, token = bearer) =>
    ask('sign', {
      origin,
      bearer: token,
      sad,
      credentialId: credential,
      digests,
      mechanism: { scheme: 'ecdsa', hash: 'sha-256' },
    })
  const authorize = (factors: object, digests = hashes) =>
    ask('authorize', { origin, bearer, credentialId: credential, numSignatures: digests.length, digests, factors })

  test('gets no signature from the worker', async () => {
    const before = await released()
    assert.equal(codeOf(await sign(usedSad)), 'sad_unknown')
    assert.equal(codeOf(await sign(randomBytes(32).toString('base64url'))), 'sad_unknown')
    assert.equal(codeOf(await sign('')), 'sad_unknown')
    assert.equal(codeOf(await sign(usedSad, service.digests('another document'))), 'sad_unknown')
    assert.equal(codeOf(await sign(usedSad, hashes, randomBytes(32).toString('base64url'))), 'token_unknown')
    assert.equal(codeOf(await authorize({})), 'code_missing')
    assert.equal(codeOf(await authorize({ code: usedCode })), 'code_rejected')
    for (const body of [{}, null, [], { code: null }, { evidence: 'trust me' }]) {
      assert.equal(codeOf(await ask('sign', body)), 'request_malformed')
      assert.equal(codeOf(await ask('authorize', body)), 'request_malformed')
    }
    assert.equal(await released(), before)
  })

  test('has no credential made, and none deleted, that nobody agreed to', async () => {
    const owner = await service.owner()
    const rows = async () => (await owner.query('select id, state from paraph.credential order by id')).rows
    const before = await rows()
    const creation = { certificatePolicy: '2.999.1.2', subjectData: {} }
    const deletion = { credentialId: credential }
    for (const [token, code] of [
      [bearer, 'scope_missing'],
      [usedSad, 'token_unknown'],
      [randomBytes(32).toString('base64url'), 'token_unknown'],
      ['', 'token_unknown'],
    ] as const) {
      assert.equal(codeOf(await ask('createCredential', { origin, bearer: token, creation })), code)
      assert.equal(codeOf(await ask('deleteCredential', { origin, bearer: token, ...deletion })), code)
    }
    for (const body of [
      {},
      null,
      { origin, bearer },
      { origin, bearer, creation: {} },
      { origin, bearer, creation, signer: 'x' },
    ]) {
      assert.equal(codeOf(await ask('createCredential', body)), 'request_malformed')
    }
    assert.deepEqual(await rows(), before)
  })

  test('reaches no administration through its socket', async () => {
    for (const verb of [
      ...Object.keys(ADMIN_ROLE),
      'seal',
      'unseal',
      'redeem',
      'constructor',
      '__proto__',
      'toString',
    ]) {
      assert.equal(
        codeOf(
          await ask(verb, { signer: service.signer.login }, { operatorToken: randomBytes(32).toString('base64url') }),
        ),
        'request_malformed',
        verb,
      )
    }
  })

  test('gets nothing done in the database that it should not', async () => {
    const forbidden = [
      'select sealed_secret from paraph.factor',
      'select password_hash from paraph.signer',
      'select pin_hash, blob from paraph.credential',
      'select * from paraph.authorization',
      'select * from paraph.sealed_secret',
      'select token_hash from paraph.operator',
      'select hash from paraph.recovery_code',
      'select token_hash, sealed_secret from paraph.invitation',
      'select code_hash from paraph.challenge',
      'select hash from paraph.device',
      'select digests, evidence from paraph.approval',
      'select digests, sad_hash from paraph.authorization',
      `update paraph.approval set state = 'approved'`,
      `update paraph.client set redirect_uris = '{https://mallory.example}'`,
      `insert into paraph.client_signer (client_id, signer_id, binding) select 'basic', id, '' from paraph.signer`,
      'select * from audit.opening',
      `insert into paraph.session (id, signer_id, client_id, started_at, ends_at) select gen_random_uuid(), id, 'basic', now(), now() + interval '1 hour' from paraph.signer`,
      `insert into paraph.token select * from paraph.token`,
      `update paraph.token set expires_at = now() + interval '1 day'`,
      `update paraph.session set ends_at = now() + interval '1 day'`,
      `update paraph.authorization set used = 0`,
      `update paraph.credential set scal = '1'`,
      'delete from paraph.session',
      `select paraph.flush(${Array(33).fill('null')})`,
      'select audit.append(null,null,null,null,null,null,null,null,null,null,null,null,null,null,null)',
      'select * from paraph.abandon(1)',
      'insert into audit.staged default values',
      'insert into audit.entry default values',
      `insert into audit.boot values (gen_random_uuid(), 'sam', 'x', '', now())`,
      'update audit.head set size = 0',
      'set role paraph_sam',
      'create function paraph.now() returns timestamptz language sql as $$ select now() $$',
      'create table public.mine (x int)',
      'alter table paraph.authorization disable trigger all',
    ]
    for (const statement of forbidden) {
      await assert.rejects(front.query(statement), { code: '42501' }, statement)
    }
  })

  test('writes nothing into the log under another name, or of another kind', async () => {
    const boot = (await (await service.owner()).query(`select id from audit.boot where kind = 'front' limit 1`)).rows[0]
      .id
    const leafOf = (ev: string, more: object = {}) => Buffer.from(JSON.stringify({ act: 'system', boot, ev, ...more }))
    const append = (asBoot: string, ev: number, leaf: Buffer, ph = 0) =>
      front.query(`select audit.append_front($1, 99, $2, $2, $3, $4, $5, $6, $7, '{}', '{}', '{}', '{}', '{}', '{}')`, [
        asBoot,
        Buffer.alloc(1),
        [randomUUID()],
        [ph],
        [ev],
        [leaf],
        [createHash('sha256').update('x').digest()],
      ])
    const sam = (await (await service.owner()).query(`select id from audit.boot where kind = 'sam' limit 1`)).rows[0].id
    await assert.rejects(append(boot, 120, leafOf('sign.intent'), 1), { code: '42501' })
    await assert.rejects(append(boot, 110, leafOf('sad.issued')), { code: '42501' })
    await assert.rejects(
      append(boot, 130, leafOf('sign.outcome')),
      { code: '42501' },
      'the leaf says another event than its number',
    )
    await assert.rejects(append(boot, 130, leafOf('access.refused', { boot: sam })), { code: '42501' })
    await assert.rejects(append(sam, 130, leafOf('access.refused')), { code: '42501' })
    await assert.rejects(append(randomUUID(), 130, leafOf('access.refused')), { code: '42501' })
    await service.checkWorld()
  })
})

describe('a superuser of the database who swaps rows obtains no signature', () => {
  let owner: Client
  let bearer: string
  let malloryBearer: string
  const row = async (table: string, id: string) =>
    (await owner.query(`select * from paraph.${table} where id = $1`, [id])).rows[0]
  const put = async (table: string, id: string, columns: Record<string, unknown>) => {
    const names = Object.keys(columns)
    await owner.query(
      `update paraph.${table} set ${names.map((name, i) => `${name} = $${i + 2}`).join(', ')} where id = $1`,
      [id, ...Object.values(columns)],
    )
  }

  before(async () => {
    owner = await service.owner()
  })
  const relogin = async () => {
    bearer = await service.login()
    malloryBearer = await service.login(mallory)
  }

  /** Mallory's own way, with her own code, must come to nothing on a row that was tampered with. */
  async function refused(asWhom: string, credentialID: string, signer: TestSigner, status = 500): Promise<void> {
    const before = await released()
    const hashes = service.digests(`wanted by mallory ${randomUUID()}`)
    const answer = await service.post(
      '/csc/v2/credentials/authorize',
      {
        credentialID,
        numSignatures: 1,
        hashes,
        hashAlgorithmOID: '2.16.840.1.101.3.4.2.1',
        authData: [{ id: 'OTP', value: await service.freshCode(signer) }],
      },
      { bearer: asWhom },
    )
    assert.equal(answer.status, status, JSON.stringify(answer.body))
    assert.equal(await released(), before)
  }

  for (const [what, columns] of Object.entries({
    'the victim’s wrapped key': ['blob'],
    'the victim’s key and public key': ['blob', 'public_key'],
    'the victim’s whole key and certificate': [
      'blob',
      'public_key',
      'chain',
      'serial_number',
      'not_before',
      'not_after',
      'subject_dn',
    ],
    'the victim’s certificate': ['chain', 'serial_number'],
    'all of the victim’s row, binding included': [
      'blob',
      'public_key',
      'chain',
      'serial_number',
      'not_before',
      'not_after',
      'subject_dn',
      'binding',
    ],
  })) {
    test(`${what} in Mallory's credential`, async () => {
      await relogin()
      const victim = await row('credential', credential)
      const original = await row('credential', malloryCredential)
      const swapped = Object.fromEntries(columns.map((name) => [name, victim[name]]))
      // The key of the victim may also be a newer "version" of hers.
      await put('credential', malloryCredential, { ...swapped, version: original.version + 1 })
      await refused(malloryBearer, malloryCredential, mallory)
      await put('credential', malloryCredential, Object.fromEntries(columns.map((name) => [name, original[name]])))
      await put('credential', malloryCredential, { version: original.version })
    })
  }

  test("the victim's credential under Mallory's name", async () => {
    await relogin()
    await put('credential', credential, { signer_id: (await row('credential', malloryCredential)).signer_id })
    await refused(malloryBearer, credential, mallory)
    const { rows } = await owner.query('select id from paraph.signer where login = $1', [service.signer.login])
    await put('credential', credential, { signer_id: rows[0].id })
  })

  for (const [what, policy] of Object.entries({
    'no hashes to be bound': { scal: '1' },
    'a higher ceiling': { multisign: 1000 },
    'a session-wide policy': { session_wide: true },
  })) {
    test(`a looser policy: ${what}`, async () => {
      await relogin()
      const original = await row('credential', malloryCredential)
      await put('credential', malloryCredential, policy)
      await refused(malloryBearer, malloryCredential, mallory)
      await put(
        'credential',
        malloryCredential,
        Object.fromEntries(Object.keys(policy).map((name) => [name, original[name]])),
      )
    })
  }

  test('a PIN taken away, and a suspension lifted', async () => {
    const withPin = await service.newCredential(mallory, 'p-256', { pin: '271828' })
    keepSecret('271828')
    await relogin()
    const { pin_hash } = await row('credential', withPin)
    assert.ok(pin_hash)
    await put('credential', withPin, { pin_hash: null })
    await refused(malloryBearer, withPin, mallory)
    await put('credential', withPin, { pin_hash })
    await service.admin('credential.suspend', { credentialID: withPin })
    await put('credential', withPin, { state: 'active' })
    await refused(malloryBearer, withPin, mallory)
    await put('credential', withPin, { state: 'suspended' })
  })

  test("Mallory's authenticator as the victim's: copied secret, copied row, new row", async () => {
    const { rows } = await owner.query(
      `select f.*, g.login from paraph.factor f join paraph.signer g on g.id = f.signer_id where f.state = 'active' order by g.login`,
    )
    const hers = rows.find(({ login }) => login === mallory.login)
    const victims = rows.find(({ login }) => login === service.signer.login)
    const asMallory = { ...service.signer, secret: mallory.secret }
    for (const columns of [
      { sealed_secret: hers.sealed_secret },
      { sealed_secret: hers.sealed_secret, binding: hers.binding },
    ]) {
      await relogin()
      await put('factor', victims.id, columns)
      await refused(bearer, credential, asMallory, 400)
      await put('factor', victims.id, { sealed_secret: victims.sealed_secret, binding: victims.binding })
      await service.admin('signer.unlock', { signer: service.signer.login })
    }
    await relogin()
    const id = randomUUID()
    await owner.query(
      `insert into paraph.factor (id, signer_id, kind, state, generation, algorithm, sealed_secret, demo, binding)
       values ($1, $2, 'totp', 'active', 1, 'SHA1', $3, true, $4)`,
      [id, victims.signer_id, hers.sealed_secret, hers.binding],
    )
    await refused(bearer, credential, asMallory, 400)
    await owner.query('delete from paraph.factor where id = $1', [id])
    await service.admin('signer.unlock', { signer: service.signer.login })
  })

  test('an authenticator that was revoked, made active again', async () => {
    const [authenticator] = (await service.admin('authenticator.list', { signer: mallory.login })).authenticators
    assert.ok(authenticator)
    await service.admin('authenticator.revoke', { authenticatorId: authenticator.authenticatorId })
    await put('factor', authenticator.authenticatorId, { state: 'active' })
    await relogin()
    await refused(malloryBearer, malloryCredential, mallory, 400)
    await put('factor', authenticator.authenticatorId, { state: 'revoked' })
    const { secret } = await service.admin('authenticator.enrol', { signer: mallory.login })
    keepSecret(secret)
    mallory = { ...mallory, secret }
    await service.admin('signer.unlock', { signer: mallory.login })
  })

  test('an authorization changed, copied or refilled', async () => {
    await relogin()
    const hashes = service.digests('what the signer agreed to')
    const other = service.digests('what Mallory wants signed')
    const otherBytes = Buffer.from(other[0] as string, 'base64')
    const sad = await service.authorize(bearer, credential, hashes)
    const { rows } = await owner.query('select * from paraph.authorization order by created_at desc limit 1')
    const original = rows[0]
    const before = await released()
    const attempts: [string, Record<string, unknown>, string[]][] = [
      ['other digests', { digests: [otherBytes], remaining: [otherBytes] }, other],
      ['no digests at all', { kind: 'open', digests: null, remaining: null }, other],
      ['more signatures', { total: 5 }, hashes],
      ['a longer life', { expires_at: new Date(original.expires_at.getTime() + 3_600_000) }, hashes],
      ['another evidence', { evidence: '{}' }, hashes],
    ]
    for (const [what, columns, wanted] of attempts) {
      await put('authorization', original.id, columns)
      const { status, body } = await service.signHash(bearer, credential, sad, wanted)
      assert.equal(status, 500, `${what}: ${JSON.stringify(body)}`)
      const { id: _, remaining, ...rest } = original
      await put('authorization', original.id, {
        ...Object.fromEntries(Object.keys(columns).map((name) => [name, { ...rest, remaining }[name]])),
      })
    }
    // A copy for a SAD that Mallory chose, and the victim's row under her name.
    const chosen = randomBytes(32).toString('base64url')
    await put('authorization', original.id, { sad_hash: createHash('sha256').update(chosen).digest() })
    assert.equal((await service.signHash(bearer, credential, chosen, hashes)).status, 500, 'a SAD of her choice')
    await put('authorization', original.id, { sad_hash: original.sad_hash })
    const hers = (
      await owner.query(
        'select signer_id, id from paraph.session where id in (select session_id from paraph.token) and signer_id = (select id from paraph.signer where login = $1) order by started_at desc limit 1',
        [mallory.login],
      )
    ).rows[0]
    await put('authorization', original.id, {
      signer_id: hers.signer_id,
      session_id: hers.id,
      credential_id: malloryCredential,
    })
    const asHers = await service.signHash(malloryBearer, malloryCredential, sad, hashes, {
      signAlgo: '1.2.840.10045.4.3.2',
    })
    assert.equal(asHers.status, 500, `the victim's authorization as hers: ${JSON.stringify(asHers.body)}`)
    await put('authorization', original.id, {
      signer_id: original.signer_id,
      session_id: original.session_id,
      credential_id: credential,
    })
    assert.equal(await released(), before)
    const world = await service.checkWorld()
    assert.ok(
      world.of('sign.denied').filter(({ leaf }) => leaf.why === 'row_tampered').length >= 7,
      'each attempt is in the log',
    )
    // Put back as it was, it is what the signer agreed to.
    assert.equal((await service.signHash(bearer, credential, sad, hashes)).status, 200)
  })

  test('a token and a session made by hand show credentials, and sign nothing', async () => {
    const token = randomBytes(32).toString('base64url')
    const session = randomUUID()
    await owner.query(
      `insert into paraph.session (id, signer_id, client_id, started_at, ends_at)
       select $1, id, 'basic', paraph.now(), paraph.now() + interval '1 hour' from paraph.signer where login = $2`,
      [session, service.signer.login],
    )
    await owner.query(
      `insert into paraph.token (hash, kind, session_id, signer_id, client_id, scope, family, expires_at)
       select $1, 'access', id, signer_id, client_id, 'service', gen_random_uuid(), ends_at from paraph.session where id = $2`,
      [createHash('sha256').update(token).digest(), session],
    )
    await refused(token, credential, mallory, 400)
    await service.admin('signer.unlock', { signer: service.signer.login })
  })

  test('an operator made by hand administers nothing', async () => {
    const token = randomBytes(32).toString('base64url')
    const { rows } = await owner.query(`select binding from paraph.operator where role = 'registration'`)
    await owner.query(
      `insert into paraph.operator (id, name, role, token_hash, binding) values ($1, 'mallory', 'registration', $2, $3)`,
      [randomUUID(), createHash('sha256').update(token).digest(), rows[0].binding],
    )
    const { callAdmin } = await import('../../src/sam/admin-client.js')
    await assert.rejects(
      callAdmin(service.workerSettings[0]?.adminSocket as string, token, 'authenticator.enrol', {
        signer: service.signer.login,
      }),
      {
        code: 'operator_unknown',
      },
    )
    const world = await service.checkWorld()
    assert.ok(world.of('operator.refused').length >= 1)
  })
})
