import assert from 'node:assert/strict'
import { createHash, X509Certificate } from 'node:crypto'
import { existsSync, readFileSync, statSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { isUuid } from '../../src/ids.js'
import { adminSocket, socketFolder } from '../../src/sam/socket-folder.js'
import { keepSecret, TestService } from '../helpers/test-service.js'
import { type Outcome, paraph } from './paraph.js'

let service: TestService
let worker: { close(): Promise<void> }
let env: Record<string, string>

before(async () => {
  service = await TestService.start({ workers: 0, fronts: 0 })
  const socket = adminSocket(socketFolder(service.folder), 0)
  worker = await service.startWorker({ ...service.newWorkerSettings(0), adminSocket: socket })
  env = { PARAPH_DATA: service.folder, PARAPH_KEYS: service.keysDir }
})
after(async () => {
  await service?.checkWorld()
  await worker?.close()
  await service?.close()
})

// biome-ignore lint/suspicious/noExplicitAny: tests look at answers of every shape
async function done(...args: string[]): Promise<any> {
  const outcome = await paraph(env, [...args, '--json'])
  assert.equal(outcome.status, 0, `${args.join(' ')}: ${outcome.stderr}${outcome.status === 0 ? '' : outcome.stdout}`)
  assert.equal(outcome.stderr, '')
  const { json } = outcome
  keepSecret(json.password, json.secret, json.clientSecret, json.token)
  return json
}

async function refused(code: string, ...args: string[]): Promise<string> {
  const { status, json, stderr } = await paraph(env, [...args, '--json'])
  assert.equal(status, 1, args.join(' '))
  assert.equal(stderr, '')
  assert.deepEqual(Object.keys(json), ['error'])
  assert.equal(json.error.code, code)
  return json.error.message
}

const told = (...args: string[]): Promise<Outcome> => paraph(env, args)

let count = 0
async function newSigner(): Promise<string> {
  const login = `signer-${count++}@example.test`
  await done('signer', 'create', '--login', login, '--name', `Signer ${count}`)
  return login
}

const file = (name: string, content: string, mode = 0o600) => {
  const path = join(service.folder, name)
  writeFileSync(path, content, { mode })
  return path
}

test('signer create tells a password in a demo, unless a file brings one', async () => {
  const made = await done(
    'signer',
    'create',
    '--login',
    'anna@example.test',
    '--name',
    'Anna',
    '--phone',
    '+48123456789',
  )
  assert.deepEqual(Object.keys(made), ['signerId', 'login', 'password'])
  assert.ok(isUuid(made.signerId))
  assert.equal(made.login, 'anna@example.test')
  assert.ok(made.password.length >= 12)

  const passwordFile = file('password', 'a password of my own\n')
  const other = ['signer', 'create', '--login', 'ben@example.test', '--name', 'Ben']
  assert.deepEqual(Object.keys(await done(...other, '--password-file', passwordFile)), ['signerId', 'login'])

  assert.equal(await refused('already_exists', ...other), 'there is one of that name already')
  const open = file('open', 'a password of my own\n', 0o644)
  assert.match(await refused('failed', ...other, '--password-file', open), /chmod 600/)
})

test('a signer is listed, suspended, resumed, unlocked and given another password', async () => {
  const login = await newSigner()
  const state = async () => {
    const { signers } = await done('signer', 'list')
    return signers.find((signer: { login: string }) => signer.login === login)?.state
  }
  assert.equal(await state(), 'active')
  assert.deepEqual(await done('signer', 'suspend', login), {})
  assert.equal(await state(), 'suspended')
  assert.equal(await refused('not_allowed', 'signer', 'suspend', login), 'the signer is suspended')
  assert.deepEqual(await done('signer', 'resume', login), {})
  assert.equal(await state(), 'active')
  assert.deepEqual(await done('signer', 'unlock', login), {})
  assert.deepEqual(Object.keys(await done('signer', 'reset-password', login)), ['password'])
  assert.deepEqual(
    await done('signer', 'reset-password', login, '--password-file', file('new', 'another password\n')),
    {},
  )
  for (const command of ['suspend', 'resume', 'unlock', 'reset-password']) {
    assert.equal(await refused('not_found', 'signer', command, 'nobody@example.test'), 'no such signer')
  }
})

test('an authenticator is enrolled, listed and revoked', async () => {
  const login = await newSigner()
  const { uri, secret, authenticatorId } = await done('authenticator', 'enrol', '--signer', login)
  assert.match(uri, /^otpauth:\/\/totp\/.*digits=8/)
  assert.match(secret, /^[A-Z2-7]{32}$/)
  const states = async () => {
    const { authenticators } = await done('authenticator', 'list', '--signer', login)
    return authenticators.map((each: { authenticatorId: string; state: string }) => [each.authenticatorId, each.state])
  }
  assert.deepEqual(await states(), [[authenticatorId, 'active']])
  await done('authenticator', 'revoke', authenticatorId)
  assert.deepEqual(await states(), [[authenticatorId, 'revoked']])
  await refused('not_found', 'authenticator', 'revoke', authenticatorId)
  await refused('not_found', 'authenticator', 'enrol', '--signer', 'nobody')
})

test('a credential takes its policy from the options', async () => {
  const signer = await newSigner()
  const policy = ['--scal', '1', '--multisign', '7', '--session-wide', '--pin-file', file('pin', '246813\n')]
  const made = await done('credential', 'create', '--signer', signer, '--key', 'p-384', ...policy)
  assert.deepEqual(made, { credentialID: made.credentialID, state: 'active' })
  const { certificates, subject, serialNumber, notAfter, ...shown } = await done(
    'credential',
    'show',
    made.credentialID,
  )
  assert.deepEqual(shown, {
    credentialID: made.credentialID,
    signer,
    key: 'p-384',
    state: 'active',
    scal: '1',
    multisign: 7,
    sessionWide: true,
    pin: true,
  })
  assert.match(subject, /^CN=Signer \d+,O=Paraph demo$/)
  const { pem } = await done('ca', 'root')
  const [leaf, root] = certificates.map((text: string) => new X509Certificate(text))
  assert.ok(leaf.verify(new X509Certificate(pem).publicKey))
  assert.equal(root.fingerprint256, new X509Certificate(pem).fingerprint256)

  const plain = await done('credential', 'create', '--signer', signer, '--key', 'p-256')
  const { scal, multisign, sessionWide, pin } = await done('credential', 'show', plain.credentialID)
  assert.deepEqual({ scal, multisign, sessionWide, pin }, { scal: '2', multisign: 100, sessionWide: false, pin: false })
  const { credentials } = await done('credential', 'list', '--signer', signer)
  assert.deepEqual(
    credentials.map(({ key }: { key: string }) => key),
    ['p-384', 'p-256'],
  )
  assert.ok((await done('credential', 'list')).credentials.length >= 2)
  assert.match(
    await refused(
      'not_allowed',
      'credential',
      'create',
      '--signer',
      signer,
      '--key',
      'p-256',
      '--pin-file',
      file('bad', '12\n'),
    ),
    /^a PIN has 4 to 12 digits$/,
  )
})

test('a credential gets another policy, whole', async () => {
  const signer = await newSigner()
  const client = (await done('client', 'create', '--name', 'App')).clientId
  const first = ['--factors', 'sms,totp', '--client', client, '--client', 'basic', '--session-wide']
  const session = ['--session-ceiling', '50', '--session-client', client]
  const { credentialID } = await done(
    'credential',
    'create',
    '--signer',
    signer,
    '--key',
    'p-256',
    ...first,
    ...session,
  )
  const shown = async () => {
    const { factors, clients, sessionWide, sessionCeiling, sessionClients } = await done(
      'credential',
      'show',
      credentialID,
    )
    return [factors, clients, sessionWide, sessionCeiling, sessionClients]
  }
  assert.deepEqual(await shown(), [['totp', 'sms'], [client, 'basic'].sort(), true, 50, [client]])
  const changed = await done('credential', 'policy', credentialID, '--factors', 'email')
  assert.deepEqual(changed, { factors: ['email'], sessionWide: false })
  assert.deepEqual(await shown(), [['email'], undefined, false, undefined, undefined])
  assert.deepEqual(await done('credential', 'policy', credentialID), { sessionWide: false })
  assert.equal(await refused('not_found', 'credential', 'policy', credentialID, '--client', 'nobody'), 'no such client')
  assert.match(
    await refused('not_allowed', 'credential', 'policy', credentialID, '--session-ceiling', '5'),
    /--session-wide/,
  )
  assert.equal((await told('credential', 'policy', credentialID, '--factors', 'pigeon')).status, 2)
})

test('a credential is suspended, resumed, renewed and revoked', async () => {
  const signer = await newSigner()
  const out = join(service.folder, 'request.pem')
  const { credentialID } = await done('credential', 'create', '--signer', signer, '--key', 'p-256', '--out', out)
  assert.equal(existsSync(out), false, 'a demo hands out no request')
  const show = () => done('credential', 'show', credentialID)
  await done('credential', 'suspend', credentialID)
  assert.equal((await show()).state, 'suspended')
  assert.equal(await refused('not_allowed', 'credential', 'suspend', credentialID), 'the credential is suspended')
  await done('credential', 'resume', credentialID)
  const before = await show()
  assert.deepEqual(await done('credential', 'renew', credentialID), { state: 'active' })
  const after = await show()
  assert.notEqual(after.serialNumber, before.serialNumber)

  const chain = file('chain.pem', before.certificates.join(''))
  assert.deepEqual(await done('credential', 'import', credentialID, '--chain', chain), { state: 'active' })
  assert.equal((await show()).serialNumber, before.serialNumber)
  const root = file('root.pem', before.certificates[1])
  assert.match(await refused('not_allowed', 'credential', 'import', credentialID, '--chain', root), /another key/)
  assert.match(await refused('failed', 'credential', 'import', credentialID, '--chain', '/nowhere'), /does not exist/)

  await done('credential', 'revoke', credentialID)
  assert.equal((await show()).state, 'revoked')
  assert.equal(await refused('not_allowed', 'credential', 'resume', credentialID), 'the credential is revoked')
  await refused('not_found', 'credential', 'show', '01980000-0000-7000-8000-000000000000')
})

test("a client's secret is told once, or written to a new file of its owner's", async () => {
  const uri = 'https://app.example.test/callback'
  const made = await done('client', 'create', '--name', 'Signing app', '--redirect-uri', uri)
  assert.deepEqual(Object.keys(made), ['clientId', 'clientSecret'])
  assert.equal((await secretHashOf(made.clientId)).equals(sha256(made.clientSecret)), true)

  const out = join(service.folder, 'app.secret')
  assert.deepEqual(await done('client', 'rotate', made.clientId, '--secret-out', out), { secretFile: out })
  assert.equal(statSync(out).mode & 0o777, 0o600)
  const secret = readFileSync(out, 'utf8').trim()
  keepSecret(secret)
  assert.equal((await secretHashOf(made.clientId)).equals(sha256(secret)), true)

  assert.match(await refused('failed', 'client', 'rotate', made.clientId, '--secret-out', out), /is there already/)
  const nowhere = join(service.folder, 'none', 'secret')
  assert.match(
    await refused('failed', 'client', 'rotate', made.clientId, '--secret-out', nowhere),
    /folder does not exist/,
  )
  assert.equal((await secretHashOf(made.clientId)).equals(sha256(secret)), true, 'nothing was rotated')
  const unused = join(service.folder, 'unused.secret')
  await refused('not_found', 'client', 'rotate', 'no-such-client', '--secret-out', unused)
  assert.equal(existsSync(unused), false)

  const { clients } = await done('client', 'list')
  const listed = clients.find(({ clientId }: { clientId: string }) => clientId === made.clientId)
  assert.deepEqual(listed, { clientId: made.clientId, name: 'Signing app', state: 'active', redirectUris: [uri] })
  await done('client', 'disable', made.clientId)
  await refused('not_found', 'client', 'disable', made.clientId)
  assert.equal((await told('client', 'create', '--name', 'x', '--redirect-uri', 'http://app.example.test/')).status, 2)
})

const sha256 = (text: string) => createHash('sha256').update(text).digest()

async function secretHashOf(clientId: string): Promise<Buffer> {
  const owner = await service.owner()
  const { rows } = await owner.query<{ secret_hash: Buffer }>('select secret_hash from paraph.client where id = $1', [
    clientId,
  ])
  return rows[0]?.secret_hash ?? Buffer.alloc(0)
}

test('an operator can do what the role covers, until disabled', async () => {
  const token = join(service.folder, 'auditor.token')
  const made = await done('operator', 'create', '--name', 'Olga', '--role', 'auditor', '--token-out', token)
  assert.deepEqual(made, { operatorId: made.operatorId, tokenFile: token })
  keepSecret(readFileSync(token, 'utf8').trim())
  assert.ok((await done('signer', 'list', '--operator', token)).signers)
  for (const args of [
    ['signer', 'create', '--login', 'no@example.test', '--name', 'No'],
    ['client', 'create', '--name', 'No'],
    ['operator', 'create', '--name', 'No', '--role', 'security'],
  ]) {
    assert.match(await refused('role_missing', ...args, '--operator', token), /^this takes an operator with the role /)
  }
  await refused('not_found', 'signer', 'suspend', 'no@example.test')

  const byEnvironment = await paraph({ ...env, PARAPH_OPERATOR: token }, ['client', 'create', '--name', 'No', '--json'])
  assert.equal(byEnvironment.json.error.code, 'role_missing')

  const { operators } = await done('operator', 'list')
  assert.deepEqual(operators.at(-1), { operatorId: made.operatorId, name: 'Olga', role: 'auditor', state: 'active' })
  await done('operator', 'disable', made.operatorId)
  await refused('operator_unknown', 'signer', 'list', '--operator', token)
  await refused('operator_unknown', 'signer', 'list', '--operator', file('wrong.token', 'guessed\n'))
})

test('people get sentences and tables', async () => {
  const login = await newSigner()
  const { stdout } = await told('signer', 'list')
  const [heading = '', ...rows] = stdout.trimEnd().split('\n')
  assert.match(heading, /^LOGIN +NAME +STATE +SIGNER ID$/)
  const row = rows.find((line) => line.startsWith(login)) ?? ''
  assert.equal(row.indexOf('active'), heading.indexOf('STATE'))

  const none = await told('authenticator', 'list', '--signer', login)
  assert.equal(none.stdout, `${login} has no authenticator.\n`)
  const refusal = await told('signer', 'suspend', 'nobody@example.test')
  assert.deepEqual([refusal.status, refusal.stdout, refusal.stderr], [1, '', 'paraph: no such signer\n'])
  const root = await told('ca', 'root', '--pem')
  assert.match(root.stdout, /^-----BEGIN CERTIFICATE-----\n[^-]+-----END CERTIFICATE-----\n$/)
})

test('secrets go to standard output only', async () => {
  const login = await newSigner()
  const reset = await told('signer', 'reset-password', login)
  const password = /Password +(\S+)/.exec(reset.stdout)?.[1] ?? ''
  keepSecret(password)
  assert.ok(password.length >= 12)
  assert.equal(reset.stderr, '')
  const enrolled = await told('authenticator', 'enrol', '--signer', login)
  const secret = /Secret +(\S+)/.exec(enrolled.stdout)?.[1] ?? ''
  keepSecret(secret)
  assert.equal(secret.length, 32)
  assert.equal(enrolled.stderr, '')
})
