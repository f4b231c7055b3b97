import assert from 'node:assert/strict'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { type TestContext, test } from 'node:test'
import { type Config, ConfigError, loadConfig, type Program } from '../../src/config.js'

function faultsOf(env: Record<string, string>, program: Program = 'serve'): readonly string[] {
  try {
    loadConfig(env, program)
    return []
  } catch (error) {
    assert.ok(error instanceof ConfigError)
    return error.faults
  }
}

const PRODUCTION = {
  DATABASE_URL: 'postgres://paraph_front@db.example.test/paraph',
  PARAPH_SAM_DATABASE_URL: 'postgres://paraph_sam@db.example.test/paraph',
  PARAPH_KEEPER_DATABASE_URL: 'postgres://paraph_keeper@db.example.test/paraph',
  PARAPH_CHECKPOINT_HSM: 'pkcs11:/module.so?token=log&pin-file=/log-pin',
  PARAPH_HSM: 'pkcs11:/opt/vendor/module.so?token=paraph&pin-file=/etc/paraph/pin',
}

async function folder(t: TestContext, instance?: object): Promise<string> {
  const path = await mkdtemp(join(tmpdir(), 'paraph-config-'))
  t.after(() => rm(path, { recursive: true }))
  if (instance !== undefined) await writeFile(join(path, 'instance.json'), JSON.stringify(instance))
  return path
}

test('a time-stamp authority, ours or another, is named wholly', () => {
  const own = {
    PARAPH_TSA_HSM: 'pkcs11:/m.so?token=t&pin-file=p',
    PARAPH_TSA_CHAIN: '/c.pem',
    PARAPH_TSA_POLICY: '1.2.3',
  }
  assert.deepEqual(loadConfig(own).timeStamps, { hsmUri: own.PARAPH_TSA_HSM, chainFile: '/c.pem', policy: '1.2.3' })
  for (const name of Object.keys(own)) assert.match(faultsOf({ ...own, [name]: '' }).join(), /belong together/)
  assert.match(faultsOf({ ...own, PARAPH_TSA_HSM: 'memory:x' }).join(), /^PARAPH_TSA_HSM is no token/)
  for (const policy of ['x', '1', '3.1', '1.02']) {
    assert.match(faultsOf({ ...own, PARAPH_TSA_POLICY: policy }).join(), /^PARAPH_TSA_POLICY is no object identifier/)
  }
  const anchor = (url: string, more: Record<string, string> = {}) => ({
    PARAPH_ANCHOR_TSA: url,
    PARAPH_ANCHOR_CERTIFICATES: '/tsa.pem',
    ...more,
  })
  const password = { PARAPH_ANCHOR_PASSWORD_FILE: '/password' }
  assert.deepEqual(loadConfig(anchor('http://tsa.example.test/x')).anchor, {
    url: 'http://tsa.example.test/x',
    certificatesFile: '/tsa.pem',
  })
  assert.equal(loadConfig(anchor('https://me@tsa.example.test/', password)).anchor?.passwordFile, '/password')
  assert.match(faultsOf({ PARAPH_ANCHOR_TSA: 'https://tsa.example.test' }).join(), /belong together/)
  for (const wrong of [
    anchor('ftp://tsa.example.test'),
    anchor('tsa'),
    anchor('https://me@tsa.example.test/'),
    anchor('https://me:letmein@tsa.example.test/', password),
    anchor('http://me@tsa.example.test/', password),
    anchor('https://tsa.example.test/', password),
  ]) {
    const text = faultsOf(wrong).join()
    assert.match(text, /^PARAPH_ANCHOR_TSA is not the address/)
    assert.doesNotMatch(text, /letmein/)
  }
})

test('nothing set is a demo on the loopback address', async (t) => {
  const data = await folder(t)
  const { node, ...config } = loadConfig({ PARAPH_DATA: data }, 'serve')
  assert.equal(typeof node, 'string')
  assert.deepEqual(config, {
    demo: true,
    host: '127.0.0.1',
    port: 8080,
    publicUrl: 'http://127.0.0.1:8080',
    tls: undefined,
    trustedProxies: [],
    data,
    keys: join(data, 'keys'),
    keeperDatabaseUrl: undefined,
    checkpointHsm: undefined,
    timeStamps: undefined,
    anchor: undefined,
    hsm: undefined,
    allowSoftHsm: false,
    sam: undefined,
    operator: undefined,
    databaseUrl: undefined,
    samDatabaseUrl: undefined,
    basicLogin: true,
    auditPublic: false,
    workers: 1,
    witnesses: undefined,
    requireWitnesses: false,
    refuseUnsyncedClock: false,
    mail: undefined,
    sms: undefined,
    logLevel: 'info',
    name: 'Paraph',
    region: 'ZZ',
  } satisfies Omit<Config, 'node'>)
})

test('the default folders stand side by side, and an empty setting is an absent one', () => {
  const config = loadConfig({ PARAPH_DATA: '', PARAPH_KEYS: ' ' })
  assert.equal(config.data, resolve('var'))
  assert.equal(config.keys, resolve('keys'))
})

test('a demo folder stays a demo, a production folder never becomes one', async (t) => {
  assert.equal(loadConfig({ PARAPH_DATA: await folder(t, { demo: true }) }, 'serve').demo, true)
  const faults = faultsOf({ PARAPH_DATA: await folder(t, { demo: false }) })
  assert.match(
    faults[0] ?? '',
    /^DATABASE_URL is missing, and this is no demo \(PARAPH_DATA belongs to a production start\)/,
  )
})

for (const [name, env] of Object.entries({
  'an address of the network': { PARAPH_HOST: '192.0.2.1', PARAPH_TRUSTED_PROXIES: '192.0.2.2' },
  'a database': { DATABASE_URL: PRODUCTION.DATABASE_URL },
  'a database of the workers': { PARAPH_SAM_DATABASE_URL: PRODUCTION.PARAPH_SAM_DATABASE_URL },
  'workers elsewhere': { PARAPH_SAM: '/run/paraph' },
})) {
  test(`${name} makes it production, which refuses to do without the rest`, () => {
    const faults = faultsOf(env)
    assert.ok(faults.length > 0)
    for (const fault of faults)
      assert.match(
        fault,
        /^(DATABASE_URL|PARAPH_SAM_DATABASE_URL|PARAPH_KEEPER_DATABASE_URL|PARAPH_CHECKPOINT_HSM|PARAPH_HSM) is missing.* Type /,
      )
  })
}

test('production with all it needs', () => {
  const config = loadConfig(PRODUCTION, 'serve')
  assert.equal(config.demo, false)
  assert.equal(config.basicLogin, false)
  assert.equal(loadConfig({ ...PRODUCTION, PARAPH_BASIC_LOGIN: 'on' }, 'serve').basicLogin, true)
  assert.equal(loadConfig({ ...PRODUCTION, PARAPH_AUDIT_PUBLIC: 'true' }, 'serve').auditPublic, true)
})

test('a front alone needs no device', () => {
  const config = loadConfig({ DATABASE_URL: PRODUCTION.DATABASE_URL, PARAPH_SAM: '/run/a/sam-0.sock, /run/b' }, 'serve')
  assert.deepEqual(config.sam, ['/run/a/sam-0.sock', '/run/b'])
})

test('production refuses the memory device, and SoftHSM unless it is allowed', () => {
  assert.match(faultsOf({ ...PRODUCTION, PARAPH_HSM: 'memory:/x' })[0] ?? '', /^PARAPH_HSM is no hardware device/)
  const softHsm = { ...PRODUCTION, PARAPH_HSM: 'pkcs11:/usr/lib/softhsm/libsofthsm2.so?token=paraph&pin-file=pin' }
  assert.match(faultsOf(softHsm)[0] ?? '', /PARAPH_ALLOW_SOFTHSM=yes/)
  assert.deepEqual(faultsOf({ ...softHsm, PARAPH_ALLOW_SOFTHSM: 'yes' }), [])
})

test('plain HTTP to the network is refused unless a proxy is named', () => {
  const open = { ...PRODUCTION, PARAPH_HOST: '0.0.0.0', PARAPH_PUBLIC_URL: 'https://sign.example.test/' }
  assert.match(faultsOf(open).join(), /^PARAPH_TLS_CERT and PARAPH_TLS_KEY are missing/)
  assert.equal(
    loadConfig({ ...open, PARAPH_TRUSTED_PROXIES: '10.0.0.0/8' }, 'serve').publicUrl,
    'https://sign.example.test',
  )
})

test('the workers apart need a folder, a database and a device, and no database of the front', () => {
  const { DATABASE_URL: _, ...sam } = PRODUCTION
  assert.deepEqual(faultsOf({ ...sam, PARAPH_SAM: '/run/paraph' }, 'sam'), [])
  assert.deepEqual(
    faultsOf({}, 'sam').map((fault) => fault.split(' ')[0]),
    ['PARAPH_SAM_DATABASE_URL', 'PARAPH_KEEPER_DATABASE_URL', 'PARAPH_CHECKPOINT_HSM', 'PARAPH_HSM', 'PARAPH_SAM'],
  )
})

test('migrating needs a database', () => {
  assert.match(faultsOf({}, 'migrate').join(), /^DATABASE_URL is missing/)
})

test('all faults are told at once, each with its setting and what to type, and no value', () => {
  const env = {
    PARAPH_PORT: '80a',
    PARAPH_WORKERS: '0',
    PARAPH_LOG_LEVEL: 'loud',
    PARAPH_BASIC_LOGIN: 'yes',
    PARAPH_ALLOW_SOFTHSM: 'true',
    PARAPH_WITNESSES: '/nowhere/witnesses.txt',
    PARAPH_REQUIRE_WITNESSES: 'always',
    PARAPH_UNSYNCED_CLOCK: 'stop',
    PARAPH_TLS_CERT: '/nowhere/cert.pem',
    PARAPH_TRUSTED_PROXIES: '10.0.0.0/33',
    PARAPH_PUBLIC_URL: 'my.example.test',
    PARAPH_REGION: 'Poland',
    PARAPH_SMTP_URL: 'smtps://user:letmein@mail.example.test',
    PARAPH_MAIL_FROM: 'nobody',
    PARAPH_SMS_URL: 'http://sms.example.test/send',
    DATABASE_URL: 'mysql://u:secret@db/x',
    PARAPH_PROT: '1',
  }
  const faults = faultsOf(env, 'command')
  for (const [name, value] of Object.entries(env)) {
    const own = faults.find((fault) => fault.startsWith(`${name} `)) ?? assert.fail(`nothing about ${name}`)
    assert.match(own, /Type |Remove it/)
    assert.ok(value.length < 2 || !own.includes(value), own)
  }
  assert.equal(faults.length, Object.keys(env).length + 1) // the certificate lacks its key, and does not exist
})

test('where codes are handed to, with secrets in files', () => {
  const mail = {
    PARAPH_SMTP_URL: 'smtps://me@mail.example.test:465?password-file=/etc/paraph/mail',
    PARAPH_MAIL_FROM: 'sign@example.test',
  }
  const sms = { PARAPH_SMS_URL: 'https://sms.example.test/send?x=1', PARAPH_SMS_TOKEN_FILE: '/etc/paraph/sms' }
  const config = loadConfig({ ...PRODUCTION, ...mail, ...sms }, 'serve')
  assert.deepEqual(config.mail, {
    url: 'smtps://me@mail.example.test:465',
    from: 'sign@example.test',
    passwordFile: '/etc/paraph/mail',
  })
  assert.deepEqual(config.sms, { url: 'https://sms.example.test/send?x=1', tokenFile: '/etc/paraph/sms' })
  assert.deepEqual(loadConfig({ ...mail, PARAPH_SMTP_URL: 'smtp://127.0.0.1:1025' }).mail, {
    url: 'smtp://127.0.0.1:1025',
    from: 'sign@example.test',
  })
  assert.deepEqual(faultsOf({ PARAPH_SMS_URL: 'http://127.0.0.1:9/send' }), [])
  for (const url of [
    'mail.example.test',
    'https://mail.example.test',
    'smtp://mail.example.test/path',
    'smtps://me@mail.example.test',
    'smtp://mail.example.test?password-file=/x',
    'smtps://me@mail.example.test?password=x',
    'smtps://me@mail.example.test?password-file=/x&y=1',
  ]) {
    assert.match(faultsOf({ ...mail, PARAPH_SMTP_URL: url }).join(), /^PARAPH_SMTP_URL is not /, url)
  }
  assert.match(faultsOf({ PARAPH_SMTP_URL: 'smtp://127.0.0.1' }).join(), /belong together/)
  assert.match(faultsOf({ PARAPH_SMS_TOKEN_FILE: '/x' }).join(), /^PARAPH_SMS_TOKEN_FILE is the token for/)
  for (const url of ['x', 'ftp://x', 'https://u:p@sms.example.test', 'http://10.0.0.1/']) {
    assert.match(faultsOf({ PARAPH_SMS_URL: url }).join(), /^PARAPH_SMS_URL is no https address/, url)
  }
})

test('what belongs to the test run is no misspelt setting', () => {
  assert.deepEqual(faultsOf({ PARAPH_TEST_PG: 'postgres://x' }, 'command'), [])
})
