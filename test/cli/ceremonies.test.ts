import assert from 'node:assert/strict'
import { execFileSync } from 'node:child_process'
import { chmodSync, existsSync, mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { pino } from 'pino'
import { openClient } from '../../src/db/pool.js'
import { adminSocket, samSocket, socketFolder } from '../../src/sam/socket-folder.js'
import { startWorker } from '../../src/sam/worker.js'
import { checkWorld } from '../helpers/check-world.js'
import { setClock, type TempDatabase, tempDatabase } from '../helpers/temp-database.js'
import { SOFTHSM } from '../helpers/temp-token.js'
import { keepSecret } from '../helpers/test-service.js'
import { type Outcome, paraph } from './paraph.js'

/** A production service from nothing; the tests follow one another. */
let folder: string
let database: TempDatabase
let device: Record<string, string>
let env: Record<string, string>

before(async () => {
  folder = mkdtempSync(join(tmpdir(), 'paraph-ceremonies-'))
  chmodSync(folder, 0o711)
  const conf = join(folder, 'softhsm2.conf')
  execFileSync('mkdir', [join(folder, 'tokens')])
  writeFileSync(
    conf,
    `directories.tokendir = ${join(folder, 'tokens')}\nobjectstore.backend = file\nlog.level = ERROR\n`,
  )
  process.env['SOFTHSM2_CONF'] = conf
  database = await tempDatabase()
  device = { SOFTHSM2_CONF: conf, PARAPH_HSM: `pkcs11:${SOFTHSM}?token=paraph&pin-file=${join(folder, 'keys', 'pin')}` }
  env = { ...device, PARAPH_DATA: join(folder, 'var'), PARAPH_KEYS: join(folder, 'keys') }
})
after(async () => {
  await database.drop()
  rmSync(folder, { recursive: true, force: true })
})

const run = (args: string[], settings: Record<string, string> = {}): Promise<Outcome> =>
  paraph({ ...env, ...settings }, [...args, '--json'])

interface Finding {
  readonly check: string
  readonly state: string
  readonly message: string
}

async function doctor(settings: Record<string, string>): Promise<{ status: number; bad: Finding[]; checks: string[] }> {
  const { status, stderr, json } = await run(['doctor'], settings)
  assert.equal(stderr, '')
  // What sets the clock of the machine that runs the tests is no matter of theirs.
  const findings = (json.findings as Finding[]).filter(({ check }) => check !== 'time service')
  assert.equal(json.ok, status === 0)
  return { status, bad: findings.filter(({ state }) => state !== 'ok'), checks: findings.map(({ check }) => check) }
}

const logToken = () => `pkcs11:${SOFTHSM}?token=paraph-log&pin-file=${join(folder, 'keys', 'log-pin')}`

const production = (): Record<string, string> => ({
  PARAPH_ALLOW_SOFTHSM: 'yes',
  DATABASE_URL: database.frontUrl,
  PARAPH_SAM_DATABASE_URL: database.samUrl,
  PARAPH_KEEPER_DATABASE_URL: database.keeperUrl,
  PARAPH_CHECKPOINT_HSM: logToken(),
})

const ORIGIN = 'sign.example.test/paraph'
const begin = (...more: string[]) => ['audit', 'init', '--origin', ORIGIN, '--operator', 'Anna Nowak', ...more]

test('hsm init makes what is missing, and nothing when run again', async () => {
  const { status, json } = await run(['hsm', 'init'])
  assert.equal(status, 0)
  assert.deepEqual(json.made, [
    `folder ${join(folder, 'keys')}`,
    `PIN file ${join(folder, 'keys', 'pin')}`,
    `security officer's PIN file ${join(folder, 'keys', 'pin-so')}`,
    'token paraph',
    'KEK paraph-kek-1',
    'sealing key paraph-seal-1',
    'service key announce',
  ])
  assert.equal(json.kekTemplateEnforced, true)
  assert.match(json.warning, /^This is SoftHSM, a device for development/)
  for (const name of ['pin', 'pin-so']) {
    keepSecret(readFileSync(join(folder, 'keys', name), 'utf8').trim())
    assert.equal(statSync(join(folder, 'keys', name)).mode & 0o777, 0o600)
  }
  const again = await run(['hsm', 'init'])
  assert.deepEqual([again.status, again.json.made, again.json.serial], [0, [], json.serial])
})

test('hsm init is for PKCS#11 devices that are named', async () => {
  const of = async (settings: Record<string, string>) => {
    const { status, json } = await paraph(settings, ['hsm', 'init', '--json'])
    assert.equal(status, 2)
    return json.error.message
  }
  assert.match(await of({}), /^PARAPH_HSM is missing: .*A demo needs no ceremony/)
  assert.match(await of({ PARAPH_HSM: 'memory:/nowhere' }), /memory device, which makes its keys by itself/)
  assert.match(await of({ PARAPH_HSM: 'yubihsm' }), /^PARAPH_HSM: a device is named like/)
})

test('audit init refuses what it cannot begin, and leaves no token behind', async () => {
  const token = join(folder, 'anna.token')
  const of = async (settings: Record<string, string>, ...more: string[]) => {
    const { status, json } = await run([...begin('--token-out', token), ...more], settings)
    assert.equal(existsSync(token), false)
    assert.equal(existsSync(join(folder, 'var')), false)
    return [status, json.error.message]
  }
  const owner = { DATABASE_URL: database.ownerUrl }
  assert.match((await of({}, '--yes')).join(), /^2,DATABASE_URL is missing/)
  assert.match((await of({ ...owner, PARAPH_HSM: 'memory:/x' }, '--yes')).join(), /^2,PARAPH_HSM names a memory device/)
  assert.match((await of({ DATABASE_URL: database.samUrl }, '--yes')).join(), /^1,.* does not own the database/)
  assert.match((await of(owner)).join(), /^1,nobody is there to ask: give --yes/)
  assert.match((await of({ DATABASE_URL: 'postgres://u@127.0.0.1:1/x' }, '--yes')).join(), /^1,nothing listens on 127/)
  const pin = join(folder, 'keys', 'pin')
  chmodSync(pin, 0o640)
  assert.match((await of(owner, '--yes')).join(), /^1,no PIN: .*chmod 600/)
  chmodSync(pin, 0o600)

  const client = await openClient(database.ownerUrl)
  try {
    await client.query(
      `insert into paraph.operator (id, name, role, token_hash, binding)
       values (gen_random_uuid(), 'Anna Nowak', 'auditor', sha256('x'), '')`,
    )
    assert.match((await of(owner, '--yes')).join(), /^1,duplicate key/)
    await client.query('delete from paraph.operator')
  } finally {
    await client.end()
  }
})

test('doctor names what a new service lacks', async () => {
  const { status, bad } = await doctor(production())
  assert.equal(status, 1)
  assert.deepEqual(
    bad.map(({ check, state }) => [check, state]),
    [
      ['log', 'fail'],
      ['workers', 'warn'],
      ['device kind', 'warn'],
    ],
  )
})

test('audit init begins the log once, with an operator whose token works', async () => {
  const token = join(folder, 'anna.token')
  const owner = { DATABASE_URL: database.ownerUrl }
  const { status, stderr, json } = await run(begin('--token-out', token, '--yes'), owner)
  assert.equal(status, 0, stderr)
  assert.deepEqual(json, { origin: ORIGIN, instance: json.instance, operatorId: json.operatorId, tokenFile: token })
  assert.equal(statSync(token).mode & 0o777, 0o600)
  keepSecret(readFileSync(token, 'utf8').trim())
  for (const place of ['var', 'keys']) {
    const mark = JSON.parse(readFileSync(join(folder, place, 'instance.json'), 'utf8'))
    assert.deepEqual(mark, { instance: json.instance, demo: false, device: 'pkcs11' })
  }

  const world = await checkWorld(database.ownerUrl)
  assert.deepEqual(
    world.entries.map(({ leaf }) => leaf.ev),
    ['audit.init', 'audit.start', 'operator.created', 'audit.stop'],
  )
  const again = await run(begin('--token-out', join(folder, 'b.token'), '--yes'), owner)
  assert.deepEqual(
    [again.status, again.json.error.message],
    [1, 'this database has a log already, and a log is begun only once'],
  )
  assert.equal(existsSync(join(folder, 'b.token')), false)
  const second = await tempDatabase()
  try {
    const other = await run(begin('--token-out', join(folder, 'b.token'), '--yes'), { DATABASE_URL: second.ownerUrl })
    assert.match(other.json.error.message, /belongs to instance .* already/)
  } finally {
    await second.drop()
  }
})

test('a production service takes commands from named operators and shows them no secret', async () => {
  const sockets = socketFolder(join(folder, 'var'))
  const { instance } = JSON.parse(readFileSync(join(folder, 'var', 'instance.json'), 'utf8'))
  const log = pino.destination({
    dest: process.env['PARAPH_TEST_LOGS'] ?? '/dev/null',
    sync: true,
  })
  const worker = await startWorker(
    {
      ...{ socket: samSocket(sockets, 0), socketMode: 0o600, adminSocket: adminSocket(sockets, 0) },
      ...{ databaseUrl: database.samUrl, hsmUri: env['PARAPH_HSM'] ?? '', demo: false, keysDir: join(folder, 'keys') },
      guardFile: join(folder, 'var', 'log', 'checkpoint'),
      ...{ node: 'test', basicLogin: true, publicUrl: 'http://localhost', logLevel: 'trace', instance },
      delivery: { sms: { url: 'http://127.0.0.1:9/' }, mail: { url: 'smtp://127.0.0.1:9', from: 'a@example.test' } },
    },
    { logger: pino({ level: 'trace' }, log) },
  )
  try {
    const security = join(folder, 'anna.token')
    const registration = join(folder, 'registration.token')
    const key = ['audit', 'key', '--operator', security]
    const keyed = await run(key, { PARAPH_CHECKPOINT_HSM: logToken() })
    assert.equal(keyed.status, 0)
    assert.deepEqual(keyed.json.origin, ORIGIN)
    assert.match(keyed.json.vkey, /^sign\.example\.test\/paraph\+[0-9a-f]{8}\+A/)
    assert.equal((await run(key, { PARAPH_CHECKPOINT_HSM: logToken() })).json.error.code, 'already_exists')
    const named = await run([
      'operator',
      'create',
      '--operator',
      security,
      '--name',
      'Reg',
      '--role',
      'registration',
      '--token-out',
      registration,
    ])
    assert.equal(named.status, 0)
    keepSecret(readFileSync(registration, 'utf8').trim())
    assert.equal((await run(['signer', 'list'])).json.error.code, 'operator_unknown')

    const as = (...args: string[]) => run(args, { PARAPH_OPERATOR: registration })
    const ben = ['signer', 'create', '--login', 'ben@example.test', '--name', 'Ben']
    assert.deepEqual(Object.keys((await as(...ben)).json), ['signerId', 'login'], 'the link will set the password')
    const cleo = ['signer', 'create', '--login', 'cleo@example.test', '--name', 'Cleo']
    const password = join(folder, 'password')
    writeFileSync(password, 'correct horse battery\n', { mode: 0o600 })
    keepSecret('correct horse battery')
    assert.deepEqual(Object.keys((await as(...cleo, '--password-file', password)).json), ['signerId', 'login'])
    const { link, ...others } = (await as('authenticator', 'enrol', '--signer', 'ben@example.test')).json
    assert.match(link, /^https?:\/\/[^/]+\/portal\/activate\/[A-Za-z0-9_-]{43}$/)
    keepSecret(link.split('/').at(-1))
    assert.deepEqual(Object.keys(others), ['usableFrom', 'noticed'], 'a link, and no secret')
    assert.match((await as('signer', 'reset-password', 'ben@example.test')).json.error.message, /has no authenticator/)
    // Codes that are sent are the first thing that a signer agrees with, or they are not for an operator to add.
    const eva = [
      '--login',
      'eva@example.test',
      '--name',
      'Eva',
      '--phone',
      '+48123456789',
      '--email',
      'eva@example.test',
    ]
    assert.equal((await as('signer', 'create', ...eva, '--password-file', password)).status, 0)
    const enrol = (signer: string, kind: string) =>
      as('authenticator', 'enrol', '--signer', `${signer}@example.test`, '--kind', kind)
    assert.match(
      (await enrol('ben', 'sms')).json.error.message,
      /enrolled without an address: see signer create --phone/,
    )
    const first = (await enrol('eva', 'sms')).json
    assert.deepEqual(first, { authenticatorId: first.authenticatorId, sentTo: '***6789' })
    assert.match((await enrol('eva', 'email')).json.error.message, /an operator adds only the first factor of a signer/)
    assert.equal((await enrol('eva', 'sms')).json.error.code, 'already_exists')
    await as('authenticator', 'revoke', first.authenticatorId)
    assert.match((await enrol('eva', 'email')).json.error.message, /an operator adds only the first factor/)
    assert.equal((await as('ca', 'root')).json.error.code, 'not_allowed')

    const out = join(folder, 'request.pem')
    const made = await as('credential', 'create', '--signer', 'ben@example.test', '--key', 'p-256', '--out', out)
    assert.deepEqual(made.json, { credentialID: made.json.credentialID, state: 'pending', requestFile: out })
    const request = readFileSync(out, 'utf8')
    const again = await as('credential', 'renew', made.json.credentialID)
    assert.deepEqual(again.json, { state: 'pending', request })

    const chain = certify(out, 20)
    const imported = await as('credential', 'import', made.json.credentialID, '--chain', chain)
    assert.deepEqual(imported.json, { state: 'active' })
    const { status, bad } = await doctor(production())
    assert.equal(status, 0)
    assert.deepEqual(
      bad.map(({ check }) => check),
      // No keeper runs in this test.
      ['certificates', 'checkpoints', 'device kind'],
    )
    assert.match(bad[0]?.message ?? '', new RegExp(`expiring within 30 days: 1; .* ${made.json.credentialID}`))
  } finally {
    await worker.close()
  }
  await checkWorld(database.ownerUrl)
})

/** A chain from a certificate authority outside, valid for some days, for a usage and whatever else. */
function certify(request: string, days: number, [usage, ...more]: readonly string[] = ['nonRepudiation']): string {
  const path = (name: string) => join(folder, name)
  const openssl = (...args: string[]) => execFileSync('openssl', args, { stdio: 'pipe' })
  writeFileSync(path('leaf.cnf'), `${[`keyUsage = critical,${usage}`, ...more].join('\n')}\n`)
  const ca = ['-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-keyout', path('ca.key')]
  openssl('req', '-x509', ...ca, '-subj', '/CN=CA', '-addext', 'keyUsage=critical,keyCertSign', '-out', path('ca.pem'))
  const sign = ['-CA', path('ca.pem'), '-CAkey', path('ca.key'), '-days', String(days), '-extfile', path('leaf.cnf')]
  openssl('x509', '-req', '-in', request, ...sign, '-out', path('leaf.pem'))
  writeFileSync(path('chain.pem'), readFileSync(path('leaf.pem'), 'utf8') + readFileSync(path('ca.pem'), 'utf8'))
  return path('chain.pem')
}

test('tsa key makes a key in a token of its own, tsa import takes certificates for time-stamps and no others', async () => {
  const chainFile = join(folder, 'tsa', 'chain.pem')
  const settings = {
    PARAPH_TSA_HSM: `pkcs11:${SOFTHSM}?token=paraph-tsa&pin-file=${join(folder, 'keys', 'tsa-pin')}`,
    PARAPH_TSA_CHAIN: chainFile,
    PARAPH_TSA_POLICY: '2.999.5',
  }
  const missing = await run(['tsa', 'key', '--name', 'TSA'])
  assert.deepEqual([missing.status, /^PARAPH_TSA_HSM, .* are missing/.test(missing.json.error.message)], [2, true])
  const { status, json } = await run(['tsa', 'key', '--name', 'TSA', '--country', 'PL'], settings)
  assert.equal(status, 0)
  for (const name of ['tsa-pin', 'tsa-pin-so']) keepSecret(readFileSync(join(folder, 'keys', name), 'utf8').trim())
  const again = await run(['tsa', 'key', '--name', 'TSA'], settings)
  const keyOf = (request: string) => {
    writeFileSync(join(folder, 'tsa.csr'), request)
    return execFileSync('openssl', ['req', '-in', join(folder, 'tsa.csr'), '-noout', '-verify', '-pubkey'], {
      stdio: ['pipe', 'pipe', 'ignore'],
    }).toString()
  }
  assert.equal(keyOf(again.json.request), keyOf(json.request), 'the key that is there stays')

  const given = join(folder, 'tsa.csr')
  const take = (chain: string) => run(['tsa', 'import', '--chain', chain], settings)
  assert.match((await take(certify(given, 20))).json.error.message, /critical extended key usage timeStamping/)
  const loose = certify(given, 20, ['digitalSignature', 'extendedKeyUsage = timeStamping'])
  assert.match((await take(loose)).json.error.message, /critical extended key usage timeStamping/)
  assert.equal(existsSync(chainFile), false)
  const chain = certify(given, 20, ['digitalSignature', 'extendedKeyUsage = critical,timeStamping'])
  const taken = await take(chain)
  assert.deepEqual([taken.status, taken.json.chain, taken.json.subject], [0, chainFile, 'CN=TSA,C=PL'])

  const checks = async () => {
    const { bad } = await doctor({ ...production(), ...settings })
    return bad.filter(({ check }) => check.startsWith('TSA'))
  }
  assert.deepEqual(
    (await checks()).map(({ check, state }) => [check, state]),
    [['TSA certificate', 'warn']],
  )
  writeFileSync(chainFile, 'nothing')
  assert.deepEqual(
    (await checks()).map(({ check, state }) => [check, state]),
    [['TSA certificate', 'fail']],
  )
})

test('doctor finds an intention without outcome, and room that runs out', async () => {
  const owner = await openClient(database.ownerUrl)
  try {
    await owner.query(
      `insert into paraph.signing (op, authorization_id, credential_id, signer_id, client_id, session_id, count, boot, intended_at, deadline)
       select gen_random_uuid(), gen_random_uuid(), id, signer_id, 'basic', gen_random_uuid(), 1, gen_random_uuid(),
              paraph.now() - interval '1 hour', paraph.now() - interval '1 hour' from paraph.credential limit 1`,
    )
    const { rows } = await owner.query<{ size: number }>('select size from audit.head')
    await owner.query('update audit.head set size = 4194304 - 500')
    const { status, bad } = await doctor(production())
    assert.equal(status, 1)
    const of = (check: string) => bad.find((finding) => finding.check === check)
    assert.match(of('intentions')?.message ?? '', /^1 signings have no outcome/)
    assert.equal(of('partitions')?.state, 'fail')
    assert.match(of('partitions')?.message ?? '', /room for 500 entries/)
    await owner.query('update audit.head set size = $1', [rows[0]?.size])
    await owner.query('delete from paraph.signing')
  } finally {
    await owner.end()
  }
})

test('doctor finds another clock, other keys, other folders, a loose file and an unsafe database', async () => {
  const failing = async (settings: Record<string, string> = {}) => {
    const { status, bad } = await doctor({ ...production(), ...settings })
    assert.equal(status, 1)
    return bad.filter(({ state }) => state === 'fail').map(({ check }) => check)
  }
  const pinFile = join(folder, 'keys', 'pin-so')
  chmodSync(pinFile, 0o644)
  assert.deepEqual(await failing(), ['file modes'])
  chmodSync(pinFile, 0o600)

  const other = { PARAPH_HSM: `pkcs11:${SOFTHSM}?token=other&pin-file=${join(folder, 'other-pin')}` }
  assert.deepEqual(await failing(other), ['secret files', 'device'])
  assert.equal((await run(['hsm', 'init'], other)).status, 0)
  assert.deepEqual(await failing(other), ['device and database'])

  const elsewhere = { PARAPH_DATA: join(folder, 'var2'), PARAPH_KEYS: join(folder, 'keys2') }
  for (const place of Object.values(elsewhere)) {
    execFileSync('mkdir', ['-m', '700', place])
    writeFileSync(join(place, 'instance.json'), '{"instance":"another","demo":false,"device":"pkcs11"}')
  }
  assert.deepEqual(await failing(elsewhere), ['instance'])
  assert.deepEqual(await failing({ PARAPH_DATA: elsewhere.PARAPH_DATA }), ['folders'])

  const owner = await openClient(database.ownerUrl)
  try {
    const { rows } = await owner.query<{ name: string }>('select current_database() as name')
    await owner.query(`alter role paraph_sam in database ${rows[0]?.name} set synchronous_commit = off`)
    assert.deepEqual(await failing(), ['safety'])
    await owner.query(`alter role paraph_sam in database ${rows[0]?.name} reset synchronous_commit`)
  } finally {
    await owner.end()
  }

  await setClock(database.ownerUrl, 0)
  assert.deepEqual(await failing(), ['SQL clock'])
})

test('doctor tells every wrong setting at once, and goes on with what it can look at', async () => {
  const { bad } = await doctor({ DATABASE_URL: 'postgres://u@127.0.0.1:1/x' })
  const settings = bad.filter(({ check }) => check === 'settings')
  assert.deepEqual(
    settings.map(({ message }) => message.split(' ')[0]),
    ['PARAPH_SAM_DATABASE_URL', 'PARAPH_KEEPER_DATABASE_URL', 'PARAPH_CHECKPOINT_HSM', 'PARAPH_HSM'],
  )
  assert.match(bad.find(({ check }) => check === 'database')?.message ?? '', /nothing listens on 127\.0\.0\.1 port 1/)
  const mistyped = await doctor({ PARAPH_PROT: '1' })
  assert.deepEqual(mistyped.checks, ['settings'])
})
