/** Credentials from their making to their end, and what a client is told of them on the way. */
import assert from 'node:assert/strict'
import { randomUUID, X509Certificate } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { after, before, describe, type TestContext, test } from 'node:test'
import type { AdminVerb, AdminVerbs } from '../../src/activation.js'
import { digest } from '../../src/digest.js'
import { verifyDigest } from '../../src/hsm/openssl.js'
import { toPem } from '../../src/pki/pem.js'
import { callAdmin } from '../../src/sam/admin-client.js'
import { operatorTokenFile } from '../../src/sam/demo.js'
import {
  assertRefused,
  CscClient,
  digests,
  ECDSA_WITH,
  logged,
  PSS,
  publicKeyOf,
  RSA,
  RSA_WITH,
  VERSIONS,
} from '../helpers/csc.js'
import { type Answer, TestService, type TestSigner } from '../helpers/test-service.js'
import { folder, openssl } from '../pki/openssl.js'

const NAME = 'Test Signer'
const DAY = 24 * 3600_000
/** Compliance, key in a device, and for signatures (ETSI EN 319 412-5), as the demo's certificates claim them. */
const QC_STATEMENTS = ['0.4.0.1862.1.1', '0.4.0.1862.1.4', '0.4.0.1862.1.6']
const RSA_ALGORITHMS = [RSA, RSA_WITH['sha-256'], RSA_WITH['sha-384'], RSA_WITH['sha-512'], PSS]
const ecdsa = { signAlgo: ECDSA_WITH['sha-256'] }

let service: TestService
/** A worker that has no certificate authority, as in production. */
let worker: { close(): Promise<void> }
let adminSocket: string
before(async () => {
  service = await TestService.start()
  const { caHsmUri: _none, ...settings } = service.newWorkerSettings(1)
  adminSocket = settings.adminSocket
  worker = await service.startWorker(settings)
})
after(async () => {
  await worker?.close()
  await service?.close()
})

/** A command to the worker without a certificate authority. */
function production<V extends AdminVerb>(
  verb: V,
  request: AdminVerbs[V]['request'],
): Promise<AdminVerbs[V]['response']> {
  const token = readFileSync(operatorTokenFile(service.keysDir, 'registration'), 'utf8')
  return callAdmin(adminSocket, token, verb, request)
}

async function signed(client: CscClient, credentialID: string, label: string, signer?: TestSigner): Promise<void> {
  const hashes = digests(label)
  const SAD = await client.sad({ credentialID, hashes }, signer)
  const { status, body } = await client.signHash({ credentialID, SAD, hashes, ...ecdsa })
  assert.equal(status, 200, JSON.stringify(body))
  const bytes = Buffer.from(hashes[0] as string, 'base64')
  const signature = Buffer.from(body.signatures[0], 'base64')
  const mechanism = { scheme: 'ecdsa', hash: 'sha-256' } as const
  assert.ok(verifyDigest(await client.publicKey(credentialID), mechanism, digest('sha-256', bytes), signature))
}

/** What the log says of a credential, in its order. */
async function history(credentialID: string): Promise<string[]> {
  const { entries } = await service.checkWorld()
  return entries
    .filter(({ leaf, open }) => open.get('credential') === credentialID && leaf.ev !== 'credential.read')
    .map(({ leaf }) => leaf.ev)
}

/** A certificate authority of the test's own, by OpenSSL. */
async function authority(t: TestContext) {
  const files = await folder(t)
  const make = async (...parameters: string[]) => {
    const { ok, text } = await openssl(...parameters)
    assert.ok(ok, text)
  }
  const root = async (name: string) => {
    await make(
      ...['req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:P-256', '-nodes', '-days', '30'],
      ...['-keyout', files.path(`${name}.key`), '-out', files.path(`${name}.pem`), '-subj', `/CN=${name}/O=Test`],
      ...['-addext', 'keyUsage=critical,keyCertSign,cRLSign'],
    )
    return readFileSync(files.path(`${name}.pem`), 'utf8')
  }
  let count = 0
  return {
    root,
    /** A leaf for the key of a certificate request, as PEM. */
    async issue(
      request: string,
      { by = 'ca', days = 20, extensions = 'keyUsage=critical,nonRepudiation', subject = '' } = {},
    ): Promise<string> {
      const name = `leaf-${count++}`
      await make(
        ...['x509', '-req', '-in', await files.put(`${name}.csr`, request), '-days', String(days)],
        ...['-CA', files.path(`${by}.pem`), '-CAkey', files.path(`${by}.key`), '-CAcreateserial'],
        ...['-extfile', await files.put(`${name}.cnf`, extensions), '-out', files.path(`${name}.pem`)],
        ...(subject === '' ? [] : ['-subj', subject]),
      )
      return readFileSync(files.path(`${name}.pem`), 'utf8')
    },
    async isRequest(request: string): Promise<boolean> {
      return (await openssl('req', '-verify', '-noout', '-in', await files.put('request', request))).ok
    },
  }
}

describe('what a client is told', () => {
  const OTP = {
    presence: 'true',
    type: 'offline',
    ID: 'OTP',
    format: 'N',
    label: 'One-time code',
    description: 'The current code of the authenticator app',
  }
  const PIN_TEXTS = { label: 'PIN', description: 'The PIN of this credential' }
  const objectOtp = {
    type: 'Password',
    id: 'OTP',
    format: 'N',
    generator: 'totp',
    label: OTP.label,
    description: OTP.description,
  }
  const objectPage = {
    type: 'PasswordOOB',
    id: 'APPROVAL',
    label: 'Answer on the page of the service',
    description: 'The signer is shown there what shall be signed, and agrees; nothing is typed here',
  }
  let leaf: X509Certificate
  let certInfo: Record<string, string>
  const clients: Record<'v1' | 'v2', CscClient> = {} as never

  before(async () => {
    for (const version of VERSIONS) {
      clients[version] = new CscClient(service, version)
      await clients[version].login()
    }
    const { body } = await clients.v1.info(service.credentials['rsa-2048'])
    leaf = new X509Certificate(Buffer.from(body.cert.certificates[0], 'base64'))
    const time = (text: string) => `${new Date(text).toISOString().slice(0, 19).replaceAll(/[-:T]/g, '')}Z`
    certInfo = {
      issuerDN: leaf.issuer.split('\n').reverse().join(','),
      subjectDN: `CN=${NAME},O=Paraph demo`,
      serialNumber: leaf.serialNumber,
      validFrom: time(leaf.validFrom),
      validTo: time(leaf.validTo),
    }
  })

  test('of an RSA key, in v1', async () => {
    const rsa = service.credentials['rsa-2048']
    const plain = {
      key: { status: 'enabled', algo: RSA_ALGORITHMS, len: 2048 },
      cert: { status: 'valid', certificates: [leaf.raw.toString('base64')] },
      ...{ authMode: 'explicit', SCAL: '2', multisign: 100, lang: 'en' },
    }
    assert.deepEqual((await clients.v1.info(rsa)).body, plain)
    assert.deepEqual((await clients.v1.info(rsa, { certInfo: true, authInfo: true, certificates: 'none' })).body, {
      ...plain,
      cert: { status: 'valid', ...certInfo },
      PIN: { presence: 'false' },
      OTP,
    })
  })

  test('of an RSA key, in v2', async () => {
    const rsa = service.credentials['rsa-2048']
    const common = { status: 'valid', qcStatements: QC_STATEMENTS, policy: ['2.999.1'] }
    const plain = {
      key: { status: 'enabled', algo: RSA_ALGORITHMS, len: 2048 },
      cert: { ...common, certificates: [leaf.raw.toString('base64')] },
      ...{ auth: { mode: 'explicit' }, SCAL: '2', multisign: 100, lang: 'en' },
    }
    assert.deepEqual((await clients.v2.info(rsa)).body, plain)
    assert.deepEqual((await clients.v2.info(rsa, { certInfo: true, authInfo: true, certificates: 'none' })).body, {
      ...plain,
      cert: { ...common, ...certInfo },
      auth: { mode: 'explicit', expression: 'OTP OR APPROVAL', objects: [objectOtp, objectPage] },
    })
  })

  test('of an EC key with a PIN and a description', async () => {
    const description = 'For contracts: zażółć'
    const id = await service.newCredential(service.signer, 'p-384', { pin: '71904', multisign: 7, description })
    const key = { status: 'enabled', algo: [ECDSA_WITH['sha-384']], len: 384, curve: '1.3.132.0.34' }
    const v1 = (await clients.v1.info(id, { authInfo: true })).body
    const v2 = (await clients.v2.info(id, { authInfo: true })).body
    for (const body of [v1, v2]) assert.deepEqual([body.description, body.key, body.multisign], [description, key, 7])
    assert.deepEqual([v1.PIN, v1.OTP], [{ presence: 'true', format: 'A', ...PIN_TEXTS }, OTP])
    assert.deepEqual(v2.auth, {
      mode: 'explicit',
      expression: '(PIN AND OTP) OR APPROVAL',
      objects: [{ type: 'Password', id: 'PIN', ...PIN_TEXTS }, objectOtp, objectPage],
    })
    await service.admin('credential.revoke', { credentialID: id })
  })

  test('of the chain, signer first, and of nothing else', async () => {
    for (const version of VERSIONS) {
      const { body } = await clients[version].info(service.credentials['p-256'], { certificates: 'chain' })
      const [first, root, ...more] = (body.cert.certificates as string[]).map(
        (text) => new X509Certificate(Buffer.from(text, 'base64')),
      )
      assert.deepEqual(more, [])
      assert.ok(first && root && first.verify(root.publicKey) && root.verify(root.publicKey))
      assert.equal((await service.admin('ca.root', {})).pem.trim(), toPem('CERTIFICATE', root.raw).trim())
      const wrong = await clients[version].info(service.credentials['p-256'], { certificates: 'all' })
      assertRefused(wrong, 400, 'invalid_request', 'Invalid parameter certificates')
      for (const member of ['certInfo', 'authInfo']) {
        const answer = await clients[version].info(service.credentials['p-256'], { [member]: 'yes' })
        assertRefused(answer, 400, 'invalid_request', `Invalid parameter ${member}`)
      }
    }
  })
})

describe('the list', () => {
  let signer: TestSigner
  let ids: string[]
  before(async () => {
    signer = await service.newSigner('many@example.test', 'Many Keys')
    ids = []
    for (let i = 0; i < 5; i++) ids.push(await service.newCredential(signer, 'p-256', { description: `key ${i}` }))
  })
  const loggedIn = async (version: 'v1' | 'v2') => {
    const client = new CscClient(service, version)
    await client.login(signer)
    return client
  }

  test("has the caller's own credentials, oldest first", async () => {
    for (const version of VERSIONS) {
      const client = await loggedIn(version)
      const answer = await client.list()
      assert.deepEqual([answer.status, answer.body], [200, { credentialIDs: ids }])
      assert.deepEqual(
        (await logged(service, answer)).map(({ ev, f }) => [ev, f?.count]),
        [['credential.listed', 5]],
      )
      const refused = await client.list({ userID: signer.login })
      assertRefused(refused, 400, 'invalid_request', 'userID parameter MUST be null')
      assert.equal((await client.list({ userID: null })).status, 200)
    }
    const stranger = await service.newSigner('none@example.test', 'No Key')
    for (const version of VERSIONS) {
      const client = new CscClient(service, version)
      await client.login(stranger)
      assert.deepEqual((await client.list()).body, { credentialIDs: [] })
    }
  })

  test('comes in pages in v1', async () => {
    const client = await loggedIn('v1')
    const pages: string[][] = []
    for (let pageToken: string | undefined; ; ) {
      const { status, body } = await client.list({ maxResults: 2, pageToken })
      assert.equal(status, 200, JSON.stringify(body))
      pages.push(body.credentialIDs)
      pageToken = body.nextPageToken
      if (pageToken === undefined) break
    }
    assert.deepEqual(pages, [ids.slice(0, 2), ids.slice(2, 4), ids.slice(4)])
    assert.deepEqual((await client.list({ maxResults: 5 })).body, { credentialIDs: ids })
    for (const maxResults of [0, -1, 1.5, 101, 'two', null, [2]]) {
      assert.deepEqual((await client.list({ maxResults })).body, { credentialIDs: ids }, String(maxResults))
    }
    const { nextPageToken } = (await client.list({ maxResults: 4 })).body
    for (const pageToken of ['', 'x', `${nextPageToken}A`, ids[0], 7]) {
      assertRefused(await client.list({ pageToken }), 400, 'invalid_request', 'Invalid parameter pageToken')
    }
    // Somebody else's page begins where it begins, in his own list.
    const other = new CscClient(service, 'v1')
    await other.login()
    const { body } = await other.list({ pageToken: nextPageToken })
    assert.ok(!body.credentialIDs.some((id: string) => ids.includes(id)))
  })

  test('tells in v2 what info tells, and of usable credentials only where asked', async () => {
    const client = await loggedIn('v2')
    const more = { certInfo: true, authInfo: true, certificates: 'chain' }
    const { body } = await client.list({ credentialInfo: true, ...more })
    assert.deepEqual(body.credentialIDs, ids)
    for (const [i, { credentialID, ...info }] of body.credentialInfos.entries()) {
      assert.equal(credentialID, ids[i])
      assert.deepEqual(info, (await client.info(credentialID, more)).body)
    }
    assert.deepEqual((await client.list(more)).body, { credentialIDs: ids }, 'without credentialInfo they mean nothing')
    const [suspended, ...usable] = ids as [string, ...string[]]
    await service.admin('credential.suspend', { credentialID: suspended })
    assert.deepEqual((await client.list({ onlyValid: true })).body, { credentialIDs: usable, onlyValid: true })
    assert.deepEqual((await client.list({ onlyValid: false })).body, { credentialIDs: ids })
    await service.admin('credential.resume', { credentialID: suspended })
    const wrong = await client.list({ credentialInfo: true, certificates: 'all' })
    assertRefused(wrong, 400, 'invalid_request', 'Invalid parameter certificates')
  })
})

describe('the states', () => {
  const refusedBy = (request: Promise<unknown>, detail: RegExp) =>
    assert.rejects(request, (error: { code?: string; detail?: string }) => {
      assert.equal(error.code, 'not_allowed')
      assert.match(error.detail ?? '', detail)
      return true
    })

  test('pending, active, suspended, resumed, revoked', async (t) => {
    const ca = await authority(t)
    const chain = await ca.root('ca')
    const made = await production('credential.create', { signer: service.signer.login, key: 'p-256' })
    const { credentialID, request = '' } = made
    assert.equal(made.state, 'pending')
    assert.ok(await ca.isRequest(request))
    const client = new CscClient(service, 'v2')
    await client.login()

    // Pending: to its signer there is no such credential.
    assert.ok(!(await client.list()).body.credentialIDs.includes(credentialID))
    const hashes = digests('pending')
    const code = await service.freshCode()
    for (const answer of [
      await client.authorize({ credentialID, hashes, code }),
      await client.signHash({ credentialID, SAD: 'none', hashes, ...ecdsa }),
    ]) {
      assertRefused(answer, 400, 'invalid_request', 'Invalid parameter credentialID')
    }
    await refusedBy(service.admin('credential.suspend', { credentialID }), /is pending/)
    await refusedBy(service.admin('credential.resume', { credentialID }), /is pending/)

    const status = async () => {
      const { body } = await client.info(credentialID)
      return [body.key.status, body.cert.status]
    }
    const leaf = await ca.issue(request)
    const bound = await production('credential.import', { credentialID, chain: `${leaf}\n${chain}` })
    assert.deepEqual(bound, { state: 'active' })
    assert.ok((await client.list()).body.credentialIDs.includes(credentialID))
    assert.deepEqual(await status(), ['enabled', 'valid'])
    const told = (await client.info(credentialID, { certificates: 'chain' })).body.cert.certificates
    const pem = (text: string) => toPem('CERTIFICATE', Buffer.from(text, 'base64')).trim()
    assert.deepEqual(told.map(pem), [leaf.trim(), chain.trim()])
    await signed(client, credentialID, 'signed while active')

    await service.admin('credential.suspend', { credentialID })
    assert.deepEqual(await status(), ['disabled', 'suspended'])
    await refusedBy(service.admin('credential.suspend', { credentialID }), /is suspended/)
    await service.admin('credential.resume', { credentialID })
    assert.deepEqual(await status(), ['enabled', 'valid'])
    await refusedBy(service.admin('credential.resume', { credentialID }), /is active/)
    await signed(client, credentialID, 'signed when resumed')

    await service.admin('credential.suspend', { credentialID })
    await service.admin('credential.revoke', { credentialID })
    assert.deepEqual(await status(), ['disabled', 'revoked'])
    for (const verb of ['credential.resume', 'credential.suspend', 'credential.revoke'] as const) {
      await refusedBy(service.admin(verb, { credentialID }), /is revoked/)
    }
    const import_ = production('credential.import', { credentialID, chain: `${leaf}\n${chain}` })
    await refusedBy(import_, /no key that a certificate could be bound to/)
    await refusedBy(service.admin('credential.renew', { credentialID }), /no key that a certificate could be bound to/)
    const { rows } = await (await service.owner()).query(
      'select octet_length(blob) as blob from paraph.credential where id = $1',
      [credentialID],
    )
    assert.deepEqual(rows, [{ blob: 0 }], 'the wrapped key is gone')

    assert.deepEqual(await history(credentialID), [
      ...['credential.created', 'credential.request_signed', 'key.generated'],
      ...['sad.denied', 'sign.denied', 'key.linked_cert'],
      ...['sad.issued', 'sign.intent'],
      ...['credential.suspended', 'credential.resumed'],
      ...['sad.issued', 'sign.intent'],
      ...['credential.suspended', 'credential.revoked'],
    ])
  })

  test('an imported chain must hold this key, name this signer, and stand', async (t) => {
    const ca = await authority(t)
    const [root, stranger] = [await ca.root('ca'), await ca.root('stranger')]
    const create = () => production('credential.create', { signer: service.signer.login, key: 'p-256' })
    const { credentialID, request = '' } = await create()
    const { request: otherRequest = '' } = await create()
    const right = await ca.issue(request)
    const cases: [name: string, chain: string, detail: RegExp][] = [
      ['another key', `${await ca.issue(otherRequest)}${root}`, /for another key/],
      [
        'another name',
        `${await ca.issue(request, { subject: '/CN=Somebody Else/O=Test' })}${root}`,
        /names somebody else/,
      ],
      ['no name', `${await ca.issue(request, { subject: '/O=Test Signer' })}${root}`, /names somebody else/],
      [
        'a CA certificate',
        `${await ca.issue(request, { extensions: 'basicConstraints=critical,CA:TRUE\nkeyUsage=keyCertSign' })}${root}`,
        /is a CA certificate/,
      ],
      [
        'a key for encryption',
        `${await ca.issue(request, { extensions: 'keyUsage=critical,keyEncipherment' })}${root}`,
        /neither key usage nonRepudiation nor digitalSignature/,
      ],
      ['no key usage', `${await ca.issue(request, { extensions: '' })}${root}`, /neither key usage/],
      ['another issuer', `${right}${stranger}`, /is not signed by/],
      ['the issuer first', `${root}${right}`, /for another key/],
      ['a leaf twice', `${right}${right}${root}`, /is not signed by|may not issue/],
      ['a signature that does not hold', `${broken(right)}${root}`, /is not signed by/],
      ['a private key', `-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n${right}${root}`, /./],
      ['nothing', '', /./],
      ['words', 'a certificate', /./],
      ['too many', right + root.repeat(10), /at most 10 certificates/],
    ]
    for (const [name, chain, detail] of cases) {
      await t.test(name, async () => {
        await refusedBy(production('credential.import', { credentialID, chain }), detail)
        const { state } = await production('credential.show', { credentialID })
        assert.equal(state, 'pending')
      })
    }
    const nobodys = production('credential.import', { credentialID: randomUUID(), chain: `${right}${root}` })
    await assert.rejects(nobodys, { code: 'not_found' })
    assert.ok(!(await history(credentialID)).includes('key.linked_cert'))
    const { state } = await production('credential.import', { credentialID, chain: `${right}${root}` })
    assert.equal(state, 'active')
    assert.deepEqual((await history(credentialID)).slice(-1), ['key.linked_cert'])
  })

  test('an expired certificate is replaced by one on the same key', async (t) => {
    const ca = await authority(t)
    const root = await ca.root('ca')
    const made = await production('credential.create', { signer: service.signer.login, key: 'p-256' })
    const { credentialID, request = '' } = made
    const [short, late] = [await ca.issue(request, { days: 1 }), await ca.issue(request)]
    await production('credential.import', { credentialID, chain: `${short}${root}` })
    await service.moveClock(2 * DAY)
    for (const version of VERSIONS) {
      const client = new CscClient(service, version)
      await client.login()
      const refused = await client.authorize({ credentialID, hashes: digests('late'), code: await service.freshCode() })
      assertRefused(refused, 400, 'invalid_request', `Signing certificate 'CN=${NAME}' is expired.`)
    }
    await refusedBy(production('credential.import', { credentialID, chain: `${short}${root}` }), /expired on/)
    // Outside the demo renewing gives the request to carry to the authority again.
    const again = await production('credential.renew', { credentialID })
    assert.equal(again.request, request)
    assert.deepEqual(await production('credential.import', { credentialID, chain: `${late}${root}` }), {
      state: 'active',
    })
    for (const version of VERSIONS) {
      const client = new CscClient(service, version)
      await client.login()
      await signed(client, credentialID, `renewed ${version}`)
    }
  })
})

test('a renewed certificate has the same key and another serial number, and what was agreed goes on', async () => {
  const credentialID = service.credentials['p-256'] as string
  for (const version of VERSIONS) {
    const client = new CscClient(service, version)
    await client.login()
    const told = async () => {
      const { cert } = (await client.info(credentialID, { certInfo: true })).body
      return { serial: cert.serialNumber as string, key: publicKeyOf(cert.certificates[0]) }
    }
    const before = await told()
    const hashes = digests(`agreed before ${version}`)
    const SAD = await client.sad({ credentialID, hashes })
    assert.deepEqual(await service.admin('credential.renew', { credentialID }), { state: 'active' })
    const after = await told()
    assert.notEqual(after.serial, before.serial)
    assert.deepEqual(after.key, before.key)
    const answer = await client.signHash({ credentialID, SAD, hashes, ...ecdsa })
    assert.equal(answer.status, 200, JSON.stringify(answer.body))
    const world = await service.checkWorld()
    const rid = answer.headers.get('x-request-id')
    const intent = world.of('sign.intent').find(({ leaf }) => (leaf as { rid?: string }).rid === rid)
    assert.equal(intent?.open.get('certificate'), after.serial)
    const certificates = world
      .of('key.linked_cert')
      .filter(({ open }) => open.get('credential') === credentialID)
      .map(({ open }) => [open.get('certificate'), open.get('key')])
    assert.deepEqual(certificates.at(-2)?.[0], before.serial)
    assert.deepEqual(certificates.at(-1)?.[0], after.serial)
    assert.equal(new Set(certificates.map(([, key]) => key)).size, 1)
  }
})

for (const version of VERSIONS) {
  describe(`${version}: how many signatures`, () => {
    const loggedIn = async () => {
      const client = new CscClient(service, version)
      await client.login()
      return client
    }
    const sign = (client: CscClient, credentialID: string, SAD: string, hashes: string[]): Promise<Answer> =>
      client.signHash({ credentialID, SAD, hashes, ...ecdsa })
    const count = async (answer: Promise<Answer>): Promise<number> => {
      const { status, body } = await answer
      assert.equal(status, 200, JSON.stringify(body))
      return body.signatures.length
    }
    const TOO_MANY = 'Numbers of signatures is too high'

    test('an open authorization signs whatever comes, until it is used up', async () => {
      const credentialID = await service.newCredential(service.signer, 'p-256', { scal: '1', multisign: 5 })
      const client = await loggedIn()
      assert.equal((await client.info(credentialID)).body.SCAL, '1')
      const [a, b, c, d] = digests(`open ${version}`, 4) as [string, string, string, string]
      const tooMany = await client.authorize({ credentialID, numSignatures: 6, code: await service.freshCode() })
      assertRefused(tooMany, 400, 'invalid_request', TOO_MANY)
      const SAD = await client.sad({ credentialID, numSignatures: 5 })
      assert.equal(await count(sign(client, credentialID, SAD, [a])), 1)
      assert.equal(await count(sign(client, credentialID, SAD, [a, b])), 2)
      assertRefused(await sign(client, credentialID, SAD, [b, c, d]), 400, 'invalid_request', TOO_MANY)
      assert.equal(await count(sign(client, credentialID, SAD, [c, d])), 2)
      assertRefused(await sign(client, credentialID, SAD, [a]), 400, 'invalid_request', 'Invalid parameter SAD')
      // Hashes of another length fall under the same agreement.
      const mixed = await client.sad({ credentialID, numSignatures: 1 })
      const long = digests(`open ${version}`, 1, 'sha-384')
      const wrong = await client.signHash({ credentialID, SAD: mixed, hashes: long, signAlgo: ECDSA_WITH['sha-384'] })
      assertRefused(wrong, 400, 'invalid_request', 'Invalid parameter signAlgo')
      assert.equal(await count(sign(client, credentialID, mixed, [d])), 1)
    })

    test('with hashes such a credential is bound like any other', async () => {
      const credentialID = await service.newCredential(service.signer, 'p-256', { scal: '1' })
      const client = await loggedIn()
      const [a, b] = digests(`bound all the same ${version}`, 2) as [string, string]
      const SAD = await client.sad({ credentialID, hashes: [a] })
      const refused = await sign(client, credentialID, SAD, [b])
      assert.match(refused.body.error_description, /^Hash is not authorized by/)
      assert.equal(await count(sign(client, credentialID, SAD, [a])), 1)
    })

    test('multisign is the most that one authorization covers', async () => {
      const credentialID = await service.newCredential(service.signer, 'p-256', { multisign: 3 })
      const client = await loggedIn()
      const hashes = digests(`multisign ${version}`, 4)
      const code = await service.freshCode()
      const refused = await client.authorize({ credentialID, hashes, code })
      assertRefused(refused, 400, 'invalid_request', TOO_MANY)
      const SAD = await client.sad({ credentialID, hashes: hashes.slice(1), code })
      assertRefused(await sign(client, credentialID, SAD, hashes), 400, 'invalid_request', notAuthorized)
      assert.equal(await count(sign(client, credentialID, SAD, hashes.slice(1))), 3)
    })

    const notAuthorized =
      version === 'v1'
        ? 'Hash is not authorized by the SAD.'
        : 'Hash is not authorized by neither SAD nor an access token with scope “credential”.'
  })
}

/** The same certificate with a bit of its signature turned. */
function broken(pem: string): string {
  const der = Buffer.from(new X509Certificate(pem).raw)
  der[der.length - 1] = (der.at(-1) ?? 0) ^ 1
  return toPem('CERTIFICATE', der)
}

test('after all of this the log and the counters agree', async () => {
  await service.checkWorld()
})
