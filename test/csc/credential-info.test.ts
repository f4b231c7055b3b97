import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { newId } from '../../src/ids.js'
import { LEAF, ROOT, type TestFront, testFront } from '../front/helpers.js'
import { APIS, refuses } from './refusals.js'

let front: TestFront
let id: string
before(async () => {
  front = await testFront()
  id = await front.seed.credential(front.signer)
})
after(() => front.close())

const RSA = [
  '1.2.840.113549.1.1.1',
  '1.2.840.113549.1.1.11',
  '1.2.840.113549.1.1.12',
  '1.2.840.113549.1.1.13',
  '1.2.840.113549.1.1.10',
]
const leaf = LEAF.toString('base64')
const root = ROOT.toString('base64')

test('v1 with what is left out', async () => {
  const { status, body } = await front.post('/csc/v1/credentials/info', { credentialID: id })
  assert.equal(status, 200)
  assert.deepEqual(body, {
    description: 'Test credential',
    key: { status: 'enabled', algo: RSA, len: 2048 },
    cert: { status: 'valid', certificates: [leaf] },
    authMode: 'explicit',
    SCAL: '2',
    multisign: 10,
    lang: 'en',
  })
})

test('v1 with everything', async () => {
  const { body } = await front.post('/csc/v1/credentials/info', {
    credentialID: id,
    certificates: 'chain',
    certInfo: true,
    authInfo: true,
  })
  assert.deepEqual(body.cert, {
    status: 'valid',
    certificates: [leaf, root],
    issuerDN: 'CN=Demo CA,C=PL',
    serialNumber: '0A1B',
    subjectDN: 'CN=Demo Signer,O=Example Sp. z o.o.,C=PL',
    validFrom: '20260102030405Z',
    validTo: '21260102030405Z',
  })
  assert.deepEqual(body.PIN, { presence: 'false' })
  assert.deepEqual(body.OTP, {
    presence: 'true',
    type: 'offline',
    ID: 'OTP',
    format: 'N',
    label: 'One-time code',
    description: 'The current code of the authenticator app',
  })
})

test('v2 with what is left out, and with everything', async () => {
  const plain = await front.post('/csc/v2/credentials/info', { credentialID: id })
  assert.deepEqual(plain.body, {
    description: 'Test credential',
    key: { status: 'enabled', algo: RSA, len: 2048 },
    cert: { status: 'valid', certificates: [leaf], qcStatements: [] },
    auth: { mode: 'explicit' },
    SCAL: '2',
    multisign: 10,
    lang: 'en',
  })
  const qualified = await front.seed.credential(front.signer, {
    qc_statements: ['0.4.0.1862.1.1', '0.4.0.1862.1.4'],
    policies: ['0.4.0.194112.1.2'],
  })
  const { body } = await front.post('/csc/v2/credentials/info', {
    credentialID: qualified,
    certificates: 'none',
    certInfo: true,
    authInfo: true,
  })
  assert.deepEqual(body.cert, {
    status: 'valid',
    issuerDN: 'CN=Demo CA,C=PL',
    serialNumber: '0A1B',
    subjectDN: 'CN=Demo Signer,O=Example Sp. z o.o.,C=PL',
    validFrom: '20260102030405Z',
    validTo: '21260102030405Z',
    qcStatements: ['0.4.0.1862.1.1', '0.4.0.1862.1.4'],
    policy: ['0.4.0.194112.1.2'],
  })
  assert.deepEqual(body.auth, {
    mode: 'explicit',
    expression: 'OTP',
    objects: [
      {
        type: 'Password',
        id: 'OTP',
        format: 'N',
        label: 'One-time code',
        description: 'The current code of the authenticator app',
        generator: 'totp',
      },
    ],
  })
})

test('a PIN shows where there is one', async () => {
  const credentialID = await front.seed.credential(front.signer, { pin_hash: 'x' })
  const v1 = await front.post('/csc/v1/credentials/info', { credentialID, authInfo: true })
  assert.deepEqual(v1.body.PIN, {
    presence: 'true',
    format: 'A',
    label: 'PIN',
    description: 'The PIN of this credential',
  })
  const v2 = await front.post('/csc/v2/credentials/info', { credentialID, authInfo: true })
  const auth = v2.body.auth as { expression: string; objects: { id: string }[] }
  assert.equal(auth.expression, 'PIN AND OTP')
  assert.deepEqual(
    auth.objects.map((one) => one.id),
    ['PIN', 'OTP'],
  )
})

test('keys by kind', async () => {
  const kinds: [string, Record<string, unknown>][] = [
    ['rsa-3072', { status: 'enabled', algo: RSA, len: 3072 }],
    ['rsa-4096', { status: 'enabled', algo: RSA, len: 4096 }],
    ['p-256', { status: 'enabled', algo: ['1.2.840.10045.4.3.2'], len: 256, curve: '1.2.840.10045.3.1.7' }],
    ['p-384', { status: 'enabled', algo: ['1.2.840.10045.4.3.3'], len: 384, curve: '1.3.132.0.34' }],
    ['p-521', { status: 'enabled', algo: ['1.2.840.10045.4.3.4'], len: 521, curve: '1.3.132.0.35' }],
  ]
  for (const [spec, key] of kinds) {
    const credentialID = await front.seed.credential(front.signer, { spec })
    for (const api of APIS) {
      assert.deepEqual((await front.post(`/csc/${api}/credentials/info`, { credentialID })).body.key, key)
    }
  }
})

test('what cannot sign is disabled, and its certificate says why', async () => {
  const past = { not_before: new Date('2026-01-01T00:00:00Z'), not_after: new Date('2026-02-01T00:00:00Z') }
  const future = { not_before: new Date('2125-01-01T00:00:00Z') }
  const states: [Record<string, unknown>, string | undefined][] = [
    [{ state: 'suspended' }, 'suspended'],
    [{ state: 'revoked' }, 'revoked'],
    [past, 'expired'],
    [{ ...past, state: 'revoked' }, 'revoked'],
    [future, 'valid'],
  ]
  for (const [row, status] of states) {
    const credentialID = await front.seed.credential(front.signer, row)
    for (const api of APIS) {
      const { body } = await front.post(`/csc/${api}/credentials/info`, { credentialID, certInfo: true })
      assert.equal((body.key as { status: string }).status, 'disabled')
      assert.equal((body.cert as { status?: string }).status, status, JSON.stringify(row))
    }
  }
})

test('a credential that has no certificate yet answers like one that is not there', async () => {
  const none = { subject_dn: null, issuer_dn: null, serial_number: null, not_before: null, not_after: null }
  const credentialID = await front.seed.credential(front.signer, { state: 'pending', chain: [], ...none })
  for (const api of APIS) {
    const { status, body } = await front.post(`/csc/${api}/credentials/info`, { credentialID })
    assert.deepEqual(
      [status, body],
      [400, { error: 'invalid_request', error_description: 'Invalid parameter credentialID' }],
    )
  }
})

test('null is absent, also where it has no description', async () => {
  const credentialID = await front.seed.credential(front.signer, { description: null })
  const request = { credentialID, certificates: null, certInfo: null, authInfo: null, lang: null, clientData: null }
  for (const api of APIS) {
    const { status, body } = await front.post(`/csc/${api}/credentials/info`, request)
    assert.equal(status, 200)
    assert.equal('description' in body, false)
    assert.deepEqual((body.cert as { certificates: string[] }).certificates, [leaf])
  }
})

test('somebody else’s, one that does not exist and what is no id answer alike', async () => {
  const foreign = await front.seed.credential(await front.seed.signer())
  for (const api of APIS) {
    for (const credentialID of [foreign, newId(), 'no id', '', `${id}'--`, id.toUpperCase(), '\u0000']) {
      const { status, body } = await front.post(`/csc/${api}/credentials/info`, { credentialID })
      assert.deepEqual(
        [status, body],
        [400, { error: 'invalid_request', error_description: 'Invalid parameter credentialID' }],
      )
    }
  }
})

test('each read is in the log before the answer, and there is no answer without the log', async () => {
  for (const api of APIS) {
    front.entries.list.length = 0
    await front.post(`/csc/${api}/credentials/info`, { credentialID: id })
    const [entry] = front.entries.of('credential.read')
    assert.equal(entry?.evidence?.credential, id)
    assert.deepEqual(entry?.actor, { kind: 'signer', id: front.signer })
    assert.equal(entry?.evidence?.client, 'basic')
    front.entries.down = true
    const { status, body } = await front.post(`/csc/${api}/credentials/info`, { credentialID: id })
    front.entries.down = false
    assert.deepEqual([status, body.error], [503, 'temporarily_unavailable'])
  }
})

for (const api of APIS) {
  refuses(() => front, `/csc/${api}/credentials/info`, [
    [{}, 'Missing (or invalid type) string parameter credentialID'],
    [{ credentialID: 5 }, 'Missing (or invalid type) string parameter credentialID'],
    [{ credentialID: null }, 'Missing (or invalid type) string parameter credentialID'],
    [{ credentialID: 'x', certificates: 'some' }, 'Invalid parameter certificates'],
    [{ credentialID: 'x', certificates: true }, 'Invalid parameter certificates'],
    [{ credentialID: 'x', certInfo: 'true' }, 'Invalid parameter certInfo'],
    [{ credentialID: 'x', authInfo: 1 }, 'Invalid parameter authInfo'],
    [{ credentialID: 'x', lang: 1 }, 'Invalid parameter lang'],
    [{ credentialID: 'x', clientData: 1 }, 'Invalid parameter clientData'],
    [{ certificates: 'some', certInfo: 'true' }, 'Missing (or invalid type) string parameter credentialID'],
    [{ credentialID: 'x', certificates: 'some', authInfo: 1 }, 'Invalid parameter authInfo'],
  ])
}
