/** Requests that are wrong in themselves: each is refused in the exact words of CSC, spends nothing and is in the log. */
import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { after, before, describe, type TestContext, test } from 'node:test'
import {
  assertLogged,
  assertRefused,
  type CscClient,
  digests,
  ECDSA_WITH,
  HASH_OID,
  OwnFront,
  PSS,
  RSA,
  RSA_WITH,
  spent,
  VERSIONS,
  type Version,
  watchedDevice,
} from '../helpers/csc.js'
import { type Answer, TestService } from '../helpers/test-service.js'

const SHA1 = '1.3.14.3.2.26'
/** RSASSA-PSS-params: SHA-256 throughout, salt of 32 bytes. */
const PSS_SHA256 = 'MDSgDzANBglghkgBZQMEAgEFAKEcMBoGCSqGSIb3DQEBCDANBglghkgBZQMEAgEFAKIDAgEg'
const device = watchedDevice()

let service: TestService
let front: OwnFront
let rsa: string
let ec: string

before(async () => {
  service = await TestService.start({ device: device.wrap })
  rsa = service.credentials['rsa-2048'] as string
  ec = service.credentials['p-256'] as string
  front = await OwnFront.open(service)
})
after(async () => {
  await front?.close()
  await service?.close()
})

/** A fault, what the client is told, and the reason in the log. */
/** In both versions, or in each. */
type Told = string | Readonly<Record<Version, string>>

interface Case {
  readonly name: string
  /** What is put over a request that is right. */
  readonly fields: Record<string, unknown>
  readonly text: Told
  /** What the log says. */
  readonly why: Told
  /** The wire word, where it is another than `invalid_request`. */
  readonly error?: string
  /** Absent: both. */
  readonly only?: Version
  /** What the worker wrote, where the front let it through. */
  readonly worker?: 'sad.denied'
}

const missing = (type: string, name: string) => `Missing (or invalid type) ${type} parameter ${name}`
const bytes = (length: number) => Buffer.alloc(length, 7).toString('base64')
const invalid = (text: Told, why: Told = 'parameter_invalid') => ({ text, why })

/** Which version 2 needs unless the token itself is the authorization. */
const NO_SAD = invalid(missing('string', 'SAD'), { v1: 'parameter_invalid', v2: 'sad_missing' })
const HASHES_MISSING = invalid({ v1: missing('array', 'hash'), v2: missing('array', 'hashes') })
const TOO_MANY = invalid('Numbers of signatures is too high')
const WRONG_LENGTH = invalid('Invalid digest value length', 'digest_length_invalid')
const NOT_BASE64 = invalid('Invalid Base64 hash string parameter', 'digest_undecodable')
const NO_HASHES = invalid({ v1: 'Empty hash array', v2: 'Empty hashes array' }, 'digests_empty')
const UNKNOWN_CREDENTIAL = invalid('Invalid parameter credentialID', 'credential_unknown')
const BAD_ALGORITHM = invalid('Invalid parameter signAlgo', 'algorithm_invalid')
const BAD_PARAMETERS = invalid('Invalid parameter signAlgoParams', 'algorithm_parameters_invalid')
const BAD_HASH_ALGORITHM = invalid(
  { v1: 'Invalid parameter hashAlgo', v2: 'Invalid parameter hashAlgorithmOID' },
  'digest_algorithm_invalid',
)

/** Faults of the list of hashes that both methods see in the same way. */
const hashCases = (): Case[] => [
  { name: 'hashes as one text', fields: { hashes: bytes(32) }, ...HASHES_MISSING },
  { name: 'a number among the hashes', fields: { hashes: [bytes(32), 7], numSignatures: 2 }, ...HASHES_MISSING },
  { name: 'null among the hashes', fields: { hashes: [null] }, ...HASHES_MISSING },
  { name: 'no hash at all', fields: { hashes: [], numSignatures: 1 }, ...NO_HASHES },
  { name: 'no base64', fields: { hashes: ['!!!!'] }, ...NOT_BASE64 },
  { name: 'base64 cut off', fields: { hashes: [bytes(32).slice(0, 41)] }, ...NOT_BASE64 },
  { name: 'an empty hash', fields: { hashes: [''] }, ...WRONG_LENGTH },
  { name: 'a byte less', fields: { hashes: [bytes(31)] }, ...WRONG_LENGTH },
  { name: 'a byte more', fields: { hashes: [bytes(33)] }, ...WRONG_LENGTH },
  { name: 'SHA-1', fields: { hashes: [bytes(20)] }, ...WRONG_LENGTH },
  { name: 'a whole DigestInfo', fields: { hashes: [bytes(51)] }, ...WRONG_LENGTH },
  { name: 'one wrong among right ones', fields: { hashes: [bytes(32), bytes(31)] }, ...WRONG_LENGTH },
  { name: 'hashes of two lengths', fields: { hashes: [bytes(32), bytes(48)] }, ...WRONG_LENGTH },
  { name: '501 hashes', fields: { hashes: Array(501).fill(bytes(32)) }, ...TOO_MANY },
]

const clientDataCases: Case[] = [
  { name: 'clientData as a number', fields: { clientData: 7 }, ...invalid('Invalid parameter clientData') },
  { name: 'clientData too long', fields: { clientData: 'x'.repeat(4097) }, ...invalid('Invalid parameter clientData') },
]

const signHashCases = (): Case[] => [
  { name: 'no SAD', fields: { SAD: undefined }, ...NO_SAD },
  { name: 'a SAD of null', fields: { SAD: null }, ...NO_SAD },
  { name: 'a SAD in an array', fields: { SAD: ['x'] }, ...invalid(missing('string', 'SAD')) },
  { name: 'no credential', fields: { credentialID: undefined }, ...invalid(missing('string', 'credentialID')) },
  { name: 'a credential in numbers', fields: { credentialID: 7 }, ...invalid(missing('string', 'credentialID')) },
  { name: 'a credential that is no id', fields: { credentialID: "' or 1=1 --" }, ...UNKNOWN_CREDENTIAL },
  { name: 'an empty credential', fields: { credentialID: '' }, ...UNKNOWN_CREDENTIAL },
  { name: 'a credential that nobody has', fields: { credentialID: randomUUID() }, ...UNKNOWN_CREDENTIAL },
  { name: 'a credential longer than any', fields: { credentialID: 'x'.repeat(5000) }, ...UNKNOWN_CREDENTIAL },
  { name: 'no hashes', fields: { hashes: undefined }, ...HASHES_MISSING },
  { name: 'hashes of null', fields: { hashes: null }, ...HASHES_MISSING },
  ...hashCases(),
  {
    name: 'hashes of another algorithm than named',
    fields: { digestOid: HASH_OID['sha-384'] },
    ...WRONG_LENGTH,
  },
  {
    name: 'hashes of another algorithm than the signature has',
    fields: { signAlgo: RSA_WITH['sha-512'], digestOid: undefined },
    ...WRONG_LENGTH,
  },
  { name: 'no algorithm', fields: { signAlgo: undefined }, ...invalid(missing('string', 'signAlgo')) },
  { name: 'an algorithm in numbers', fields: { signAlgo: 1.2 }, ...invalid(missing('string', 'signAlgo')) },
  ...['', '1.2.3', 'RSA', 'sha256WithRSAEncryption', '__proto__', 'toString', ` ${RSA}`].map((signAlgo) => ({
    name: `unknown algorithm ${JSON.stringify(signAlgo)}`,
    fields: { signAlgo },
    ...BAD_ALGORITHM,
  })),
  { name: 'MD5 with RSA', fields: { signAlgo: '1.2.840.113549.1.1.4' }, ...BAD_ALGORITHM },
  { name: 'SHA-1 with RSA', fields: { signAlgo: '1.2.840.113549.1.1.5' }, ...BAD_ALGORITHM },
  { name: 'ECDSA with an RSA key', fields: { signAlgo: ECDSA_WITH['sha-256'] }, ...BAD_ALGORITHM },
  { name: 'RSA with an EC key', fields: { credentialID: ec }, ...BAD_ALGORITHM },
  {
    name: 'SHA-256 with RSA, with an EC key',
    fields: { credentialID: ec, signAlgo: RSA_WITH['sha-256'] },
    ...BAD_ALGORITHM,
  },
  {
    name: 'PSS with an EC key',
    fields: { credentialID: ec, signAlgo: PSS, signAlgoParams: PSS_SHA256 },
    ...BAD_ALGORITHM,
  },
  {
    name: 'a hash that does not go with the curve',
    fields: { credentialID: ec, signAlgo: ECDSA_WITH['sha-384'], digestOid: undefined, hashes: [bytes(48)] },
    ...BAD_ALGORITHM,
  },
  {
    name: 'PSS without parameters',
    fields: { signAlgo: PSS },
    ...invalid(missing('string', 'signAlgoParams'), 'algorithm_parameters_missing'),
  },
  {
    name: 'PSS with parameters of null',
    fields: { signAlgo: PSS, signAlgoParams: null },
    ...invalid(missing('string', 'signAlgoParams'), 'algorithm_parameters_missing'),
  },
  {
    name: 'PSS with parameters as an object',
    fields: { signAlgo: PSS, signAlgoParams: { saltLength: 32 } },
    ...invalid(missing('string', 'signAlgoParams')),
  },
  ...Object.entries({
    'that are no base64': '!!!!',
    'that are no DER': bytes(8),
    'that are empty': '',
    'of SHA-1, the default': 'MAA=',
    'that go on after their end': Buffer.concat([Buffer.from(PSS_SHA256, 'base64'), Buffer.of(0)]).toString('base64'),
    'with another hash in MGF1': 'MDSgDzANBglghkgBZQMEAgEFAKEcMBoGCSqGSIb3DQEBCDANBglghkgBZQMEAgIFAKIDAgEg',
    'with a salt of 20 bytes': 'MDSgDzANBglghkgBZQMEAgEFAKEcMBoGCSqGSIb3DQEBCDANBglghkgBZQMEAgEFAKIDAgEU',
    'with another trailer': 'MDmgDzANBglghkgBZQMEAgEFAKEcMBoGCSqGSIb3DQEBCDANBglghkgBZQMEAgEFAKIDAgEgowMCAQI=',
  }).map(([what, signAlgoParams]) => ({
    name: `PSS with parameters ${what}`,
    fields: { signAlgo: PSS, signAlgoParams },
    ...BAD_PARAMETERS,
  })),
  {
    name: 'bare RSA without a hash algorithm',
    fields: { digestOid: undefined },
    ...invalid(
      { v1: missing('string', 'hashAlgo'), v2: missing('string', 'hashAlgorithmOID') },
      'digest_algorithm_missing',
    ),
  },
  {
    name: 'a hash algorithm in numbers',
    fields: { digestOid: 7 },
    ...invalid({ v1: missing('string', 'hashAlgo'), v2: missing('string', 'hashAlgorithmOID') }),
  },
  ...[SHA1, '2.16.840.1.101.3.4.2.4', 'SHA256', '', 'constructor'].map((digestOid) => ({
    name: `hash algorithm ${JSON.stringify(digestOid)}`,
    fields: { digestOid },
    ...BAD_HASH_ALGORITHM,
  })),
  ...[
    { name: 'another hash algorithm than the signature implies', fields: { signAlgo: RSA_WITH['sha-256'] } },
    {
      name: 'another hash algorithm than the PSS parameters name',
      fields: { signAlgo: PSS, signAlgoParams: PSS_SHA256 },
    },
  ].map(({ name, fields }) => ({
    name,
    fields: { ...fields, digestOid: HASH_OID['sha-384'] },
    only: 'v2' as const,
    ...invalid(
      'String parameter hashAlgorithmOID contradicts with signAlgo signAlgoParams parameter',
      'digest_algorithm_contradicts',
    ),
  })),
  {
    name: 'asynchronous operation',
    fields: { operationMode: 'A' },
    only: 'v2',
    ...invalid('Invalid parameter operationMode'),
  },
  ...clientDataCases,
  // Several faults: what the client is told first.
  {
    name: 'no SAD and no credential',
    fields: { SAD: undefined, credentialID: undefined },
    // Whether version 2 needs a SAD depends on the token, so that it is asked for after what is always needed.
    ...invalid({ v1: missing('string', 'SAD'), v2: missing('string', 'credentialID') }),
  },
  {
    name: 'no hash and no algorithm',
    fields: { hashes: [], signAlgo: undefined },
    ...invalid(missing('string', 'signAlgo')),
  },
  { name: 'no base64 and no algorithm known', fields: { hashes: ['!'], signAlgo: '1.2.3' }, ...NOT_BASE64 },
  {
    name: 'wrong length and no algorithm known',
    fields: { hashes: [bytes(31)], signAlgo: '1.2.3' },
    ...BAD_ALGORITHM,
  },
  {
    name: 'wrong length and a SAD that nobody has',
    fields: { hashes: [bytes(31)], SAD: 'nobodys' },
    ...WRONG_LENGTH,
  },
]

const rejected = { error: 'invalid_authentication_data', text: 'The authentication data is invalid' }
const authDataWrong = invalid(missing('array', 'authData'))

const authorizeCases = (): Case[] => [
  { name: 'no credential', fields: { credentialID: undefined }, ...invalid(missing('string', 'credentialID')) },
  { name: 'a credential in numbers', fields: { credentialID: 7 }, ...invalid(missing('string', 'credentialID')) },
  {
    name: 'a credential that is no id',
    fields: { credentialID: "' or 1=1 --" },
    ...UNKNOWN_CREDENTIAL,
    worker: 'sad.denied',
  },
  {
    name: 'a credential that nobody has',
    fields: { credentialID: randomUUID() },
    ...UNKNOWN_CREDENTIAL,
    worker: 'sad.denied',
  },
  {
    name: 'a credential longer than any',
    fields: { credentialID: 'x'.repeat(5000) },
    ...UNKNOWN_CREDENTIAL,
    worker: 'sad.denied',
  },
  {
    name: 'no number of signatures',
    fields: { numSignatures: undefined },
    ...invalid(missing('integer', 'numSignatures')),
  },
  ...[null, '1', 1.5, true, [1]].map((numSignatures) => ({
    name: `${JSON.stringify(numSignatures)} signatures`,
    fields: { numSignatures },
    ...invalid(missing('integer', 'numSignatures')),
  })),
  ...[0, -1].map((numSignatures) => ({
    name: `${numSignatures} signatures`,
    fields: { numSignatures },
    ...invalid('Invalid value for parameter numSignatures'),
  })),
  { name: 'a million and one signatures', fields: { numSignatures: 1_000_001 }, ...TOO_MANY },
  {
    name: 'more signatures than hashes',
    fields: { numSignatures: 2 },
    ...invalid('Invalid value for parameter numSignatures', 'signature_count_invalid'),
  },
  {
    name: 'fewer signatures than hashes',
    fields: { hashes: [bytes(32), bytes(32)], numSignatures: 1 },
    ...invalid('Invalid value for parameter numSignatures', 'signature_count_invalid'),
  },
  {
    name: 'more signatures than the credential allows',
    fields: { hashes: Array(101).fill(bytes(32)) },
    ...invalid('Numbers of signatures is too high', 'signature_count_too_high'),
    worker: 'sad.denied',
  },
  {
    name: 'no hashes',
    fields: { hashes: undefined },
    ...invalid({ v1: missing('array', 'hash'), v2: missing('array', 'hashes') }, 'digests_missing'),
    worker: 'sad.denied',
  },
  ...hashCases(),
  {
    name: 'hashes of another algorithm than named',
    fields: { digestOid: HASH_OID['sha-384'] },
    only: 'v2',
    ...WRONG_LENGTH,
  },
  {
    name: 'hashes without their algorithm',
    fields: { hashAlgorithmOID: undefined },
    only: 'v2',
    ...invalid(missing('string', 'hashAlgorithmOID'), 'digest_algorithm_missing'),
  },
  ...[SHA1, 'SHA256', ''].map((digestOid) => ({
    name: `hash algorithm ${JSON.stringify(digestOid)}`,
    fields: { digestOid },
    only: 'v2' as const,
    ...BAD_HASH_ALGORITHM,
  })),
  {
    name: 'no code',
    fields: { code: undefined },
    only: 'v1',
    ...invalid(missing('string', 'OTP'), 'code_missing'),
    worker: 'sad.denied',
  },
  { name: 'no code', fields: { code: undefined }, only: 'v2', ...rejected, why: 'code_missing', worker: 'sad.denied' },
  {
    name: 'a code without a value',
    fields: { authData: [{ id: 'OTP' }] },
    only: 'v2',
    ...rejected,
    why: 'code_missing',
    worker: 'sad.denied',
  },
  { name: 'a code in numbers', fields: { OTP: 12345678 }, only: 'v1', ...invalid(missing('string', 'OTP')) },
  { name: 'a PIN in numbers', fields: { PIN: 1234 }, only: 'v1', ...invalid(missing('string', 'PIN')) },
  { name: 'authData as a text', fields: { authData: 'OTP' }, only: 'v2', ...authDataWrong },
  { name: 'authData with a number', fields: { authData: [7] }, only: 'v2', ...authDataWrong },
  {
    name: 'a code in numbers',
    fields: { authData: [{ id: 'OTP', value: 12345678 }] },
    only: 'v2',
    ...authDataWrong,
  },
  { name: 'a code without its id', fields: { authData: [{ value: '1' }] }, only: 'v2', ...authDataWrong },
  {
    name: 'a factor that nobody asked for',
    fields: { authData: [{ id: 'BIOMETRY', value: 'finger' }] },
    only: 'v2',
    ...rejected,
    why: 'code_missing',
  },
  {
    name: 'two codes',
    fields: { authData: ['1', '2'].map((value) => ({ id: 'OTP', value })) },
    only: 'v2',
    ...rejected,
    why: 'code_missing',
  },
  {
    name: 'a description in numbers',
    fields: { description: 7 },
    ...invalid('Invalid parameter description'),
  },
  {
    name: 'a description too long',
    fields: { description: 'x'.repeat(501) },
    ...invalid('Invalid parameter description'),
  },
  ...clientDataCases,
]

/** Sends each wrong request; nothing of what a right one spends may have changed. */
async function refuseAll(
  t: TestContext,
  client: CscClient,
  method: 'credentials/authorize' | 'signatures/signHash',
  cases: readonly Case[],
  send: (fields: Record<string, unknown>) => Promise<Answer>,
): Promise<void> {
  const { version } = client
  for (const { name, fields, text, why, error = 'invalid_request', only, worker } of cases) {
    if (only !== undefined && only !== version) continue
    await t.test(name, async () => {
      const [before, asked] = [await spent(service), device.calls]
      const answer = await send(fields)
      const told = (either: Told) => (typeof either === 'string' ? either : either[version])
      assertRefused(answer, 400, error, told(text))
      if (worker === undefined) front.count(`/csc/${version}/${method}`, 400, told(why))
      else await assertLogged(service, answer, worker, told(why))
      assert.equal(await spent(service), before, 'nothing is spent')
      assert.equal(device.calls, asked, 'the device is not asked')
    })
  }
}

for (const version of VERSIONS) {
  describe(`${version}`, () => {
    test('signHash refuses what is wrong in itself, and the SAD still signs', async (t) => {
      const client = front.client(version)
      await client.login()
      const right = {
        credentialID: rsa,
        hashes: digests(`right ${version}`),
        signAlgo: RSA,
        digestOid: HASH_OID['sha-256'],
      }
      const SAD = await client.sad(right)
      await refuseAll(t, client, 'signatures/signHash', signHashCases(), (fields) =>
        client.signHash({ ...right, SAD, ...fields }),
      )
      const { status, body } = await client.signHash({ ...right, SAD })
      assert.equal(status, 200, JSON.stringify(body))
    })

    test('authorize refuses what is wrong in itself, and the code still works', async (t) => {
      const client = front.client(version)
      await client.login()
      const right = { credentialID: rsa, hashes: digests(`right code ${version}`), code: await service.freshCode() }
      await refuseAll(t, client, 'credentials/authorize', authorizeCases(), (fields) =>
        client.authorize({ ...right, ...fields }),
      )
      const { status, body } = await client.authorize(right)
      assert.equal(status, 200, JSON.stringify(body))
    })
  })
}

test('v1 ignores a hash algorithm that the signature algorithm implies', async () => {
  for (const [name, algorithm] of Object.entries({
    combined: { signAlgo: RSA_WITH['sha-256'] },
    PSS: { signAlgo: PSS, signAlgoParams: PSS_SHA256 },
  })) {
    for (const digestOid of [HASH_OID['sha-384'], SHA1, 'nonsense']) {
      const client = front.client('v1')
      await client.login()
      const hashes = digests(`ignored ${name} ${digestOid}`)
      const SAD = await client.sad({ credentialID: rsa, hashes })
      const answer = await client.signHash({ credentialID: rsa, SAD, hashes, ...algorithm, digestOid })
      assert.equal(answer.status, 200, JSON.stringify(answer.body))
    }
  }
})

test('500 hashes are signed in one call', async () => {
  const credentialID = await service.newCredential(service.signer, 'p-256', { multisign: 1000 })
  for (const version of VERSIONS) {
    const client = front.client(version)
    await client.login()
    const hashes = digests(`five hundred ${version}`, 500)
    const SAD = await client.sad({ credentialID, hashes })
    const { status, body } = await client.signHash({ credentialID, SAD, hashes, signAlgo: ECDSA_WITH['sha-256'] })
    assert.equal(status, 200, JSON.stringify(body))
    assert.equal(body.signatures.length, 500)
  }
})

test('the log has every one of these refusals', async () => {
  await front.close()
  front.assertLogged(await service.checkWorld())
})
