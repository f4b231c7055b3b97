import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { factorsV2 } from '../../src/front/csc/factors.js'
import { newId } from '../../src/ids.js'
import { LEAF, ROOT, type TestFront, testFront } from '../front/helpers.js'
import { APIS, type Api, refuses } from './refusals.js'

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
    expression: 'OTP OR APPROVAL',
    objects: [
      {
        type: 'Password',
        id: 'OTP',
        format: 'N',
        label: 'One-time code',
        description: 'The current code of the authenticator app',
        generator: 'totp',
      },
      {
        type: 'PasswordOOB',
        id: 'APPROVAL',
        label: 'Answer on the page of the service',
        description: 'The signer is shown there what shall be signed, and agrees; nothing is typed here',
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
  assert.equal(auth.expression, '(PIN AND OTP) OR APPROVAL')
  assert.deepEqual(
    auth.objects.map((one) => one.id),
    ['PIN', 'OTP', 'APPROVAL'],
  )
})

/** The signer of a credential with this policy has these factors. */
async function described(kinds: readonly string[], accepted: readonly string[] | null, pin: boolean) {
  const signer = await front.seed.signer()
  const { token } = await front.seed.session(signer)
  for (const kind of kinds) {
    const label = { totp: null, passkey: 'My key', sms: '***6789', email: 'a***@example.test' }[kind]
    await front.seed.query(
      `insert into paraph.factor (id, signer_id, kind, generation, algorithm, sealed_secret, demo, label, webauthn_id, binding)
       values ($1, $2, $3, 1, $4, '', true, $5, $6, '')`,
      [newId(), signer, kind, kind === 'totp' ? 'SHA1' : null, label, kind === 'passkey' ? Buffer.from(signer) : null],
    )
  }
  const credentialID = await front.seed.credential(signer, {
    policy: accepted === null ? null : JSON.stringify({ factors: accepted }),
    pin_hash: pin ? 'x' : null,
  })
  const ask = async (api: Api) =>
    (await front.post(`/csc/${api}/credentials/info`, { credentialID, authInfo: true }, token)).body
  const auth = (await ask('v2')).auth as { expression: string; objects: { id: string; type: string }[] }
  const { PIN, OTP } = (await ask('v1')) as { PIN: { presence: string }; OTP: Record<string, string> }
  return {
    v2: [auth.expression, ...auth.objects.map(({ id, type }) => `${id} ${type}`)],
    v1: [PIN.presence, OTP.presence, OTP.type, OTP.ID],
    OTP,
    auth,
  }
}

test('factors by what the signer has and the credential accepts', async () => {
  const [pin, otp, sms, email] = ['PIN Password', 'OTP Password', 'SMS ChallengeResponse', 'EMAIL ChallengeResponse']
  const page = 'APPROVAL PasswordOOB'
  const app = ['offline', 'OTP']
  const rows: [string[], string[] | null, boolean, unknown[], unknown[]][] = [
    [['totp'], null, false, ['OTP OR APPROVAL', otp, page], ['false', 'true', ...app]],
    [['sms'], null, false, ['SMS OR APPROVAL', sms, page], ['false', 'true', 'online', 'SMS']],
    [['email'], null, true, ['(PIN AND EMAIL) OR APPROVAL', pin, email, page], ['true', 'true', 'online', 'EMAIL']],
    [
      ['totp', 'sms'],
      null,
      true,
      ['(PIN AND (OTP OR SMS)) OR APPROVAL', pin, otp, sms, page],
      ['true', 'true', ...app],
    ],
    [
      ['email', 'sms', 'totp'],
      null,
      false,
      ['OTP OR SMS OR EMAIL OR APPROVAL', otp, sms, email, page],
      ['false', 'true', ...app],
    ],
    [['sms', 'email'], null, false, ['SMS OR EMAIL OR APPROVAL', sms, email, page], ['false', 'true', 'online', 'SMS']],
    [['totp', 'sms'], ['sms'], false, ['SMS OR APPROVAL', sms, page], ['false', 'true', 'online', 'SMS']],
    [['totp', 'totp', 'passkey'], null, false, ['OTP OR APPROVAL', otp, page], ['false', 'true', ...app]],
    [['sms', 'passkey'], null, true, ['(PIN AND SMS) OR APPROVAL', pin, sms, page], ['true', 'true', 'online', 'SMS']],
    [
      ['sms', 'passkey'],
      ['sms'],
      true,
      ['(PIN AND SMS) OR APPROVAL', pin, sms, page],
      ['true', 'true', 'online', 'SMS'],
    ],
    [
      ['totp'],
      ['email', 'sms'],
      true,
      ['(PIN AND (SMS OR EMAIL)) OR APPROVAL', pin, sms, email, page],
      ['true', 'true', 'online', 'SMS'],
    ],
    [[], null, true, ['(PIN AND OTP) OR APPROVAL', pin, otp, page], ['true', 'true', ...app]],
    // What is typed agrees to nothing here, the PIN included; version 1 has no words for that.
    [['passkey'], null, true, ['APPROVAL', page], ['true', 'true', ...app]],
    [['passkey'], ['passkey'], true, ['APPROVAL', page], ['true', 'false', undefined, undefined]],
    [[], ['passkey'], false, ['APPROVAL', page], ['false', 'false', undefined, undefined]],
  ]
  for (const [kinds, accepted, hasPin, v2, v1] of rows) {
    const told = await described(kinds, accepted, hasPin)
    assert.deepEqual(told.v2, v2, `${kinds} ${accepted}`)
    assert.deepEqual(told.v1, v1, `${kinds} ${accepted}`)
  }
  const { OTP, auth } = await described(['totp', 'sms'], null, false)
  assert.equal(OTP.description, 'The current code of the authenticator app, or the code that is sent to ***6789')
  assert.deepEqual(auth.objects[1], {
    type: 'ChallengeResponse',
    id: 'SMS',
    format: 'N',
    label: 'Code by text message',
    description: 'The code that is sent to ***6789',
  })
})

test('a passkey agrees to nothing where none can belong to the service', () => {
  const row = { factors: [{ kind: 'passkey', label: null }], accepted: ['passkey'], has_pin: true } as const
  assert.equal(factorsV2(row, true).expression, 'APPROVAL')
  assert.deepEqual(factorsV2(row, false), { expression: '', objects: [] })
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
