import assert from 'node:assert/strict'
import { createHash } from 'node:crypto'
import { after, before, test } from 'node:test'
import { type DigestAlgorithm, digest } from '../../src/digest.js'
import type { KeySpec, Mechanism } from '../../src/hsm/hsm.js'
import { verifyDigest } from '../../src/hsm/openssl.js'
import {
  CscClient,
  digests,
  ECDSA_WITH,
  HASH_OID,
  logged,
  PSS,
  RSA,
  RSA_WITH,
  VERSIONS,
  type Version,
} from '../helpers/csc.js'
import { opensslVerifies } from '../helpers/openssl-verify.js'
import { TestService } from '../helpers/test-service.js'

const KEYS = ['rsa-2048', 'rsa-3072', 'p-256', 'p-384'] as const satisfies readonly KeySpec[]
/** Each goes with another way to name an RSA signature when a hundred hashes are signed at once. */
const HASHES = ['sha-256', 'sha-384', 'sha-512'] as const
/** Of a batch, which signatures the openssl program judges; all of them are judged by the library. */
const JUDGED = [0, 57, 99]

let service: TestService
before(async () => {
  service = await TestService.start({ keys: KEYS })
})
after(() => service?.close())

interface Algorithm {
  readonly name: string
  readonly mechanism: Mechanism
  /** What the client sends beside hashes and SAD. */
  readonly request: { signAlgo: string; signAlgoParams?: string; digestOid?: string }
  /** Hashes in one call. */
  readonly counts: readonly number[]
}

/** RSASSA-PSS-params with the salt as long as the hash, as libraries write them and with the trailer written out. */
const PSS_PARAMS: Readonly<Record<DigestAlgorithm, Readonly<Record<Version, string>>>> = {
  'sha-256': {
    v1: 'MDSgDzANBglghkgBZQMEAgEFAKEcMBoGCSqGSIb3DQEBCDANBglghkgBZQMEAgEFAKIDAgEg',
    v2: 'MDmgDzANBglghkgBZQMEAgEFAKEcMBoGCSqGSIb3DQEBCDANBglghkgBZQMEAgEFAKIDAgEgowMCAQE=',
  },
  'sha-384': {
    v1: 'MDSgDzANBglghkgBZQMEAgIFAKEcMBoGCSqGSIb3DQEBCDANBglghkgBZQMEAgIFAKIDAgEw',
    v2: 'MDmgDzANBglghkgBZQMEAgIFAKEcMBoGCSqGSIb3DQEBCDANBglghkgBZQMEAgIFAKIDAgEwowMCAQE=',
  },
  'sha-512': {
    v1: 'MDSgDzANBglghkgBZQMEAgMFAKEcMBoGCSqGSIb3DQEBCDANBglghkgBZQMEAgMFAKIDAgFA',
    v2: 'MDmgDzANBglghkgBZQMEAgMFAKEcMBoGCSqGSIb3DQEBCDANBglghkgBZQMEAgMFAKIDAgFAowMCAQE=',
  },
}
const SALT: Readonly<Record<DigestAlgorithm, number>> = { 'sha-256': 32, 'sha-384': 48, 'sha-512': 64 }

function algorithmsOf(key: (typeof KEYS)[number], version: Version): Algorithm[] {
  if (key === 'p-256' || key === 'p-384') {
    const hash = key === 'p-256' ? 'sha-256' : 'sha-384'
    const mechanism = { scheme: 'ecdsa', hash } as const
    return [
      { name: `ecdsa-with-${hash}`, mechanism, request: { signAlgo: ECDSA_WITH[hash] }, counts: [1, 100] },
      {
        name: `ecdsa-with-${hash} and the hash beside it`,
        mechanism,
        request: { signAlgo: ECDSA_WITH[hash], digestOid: HASH_OID[hash] },
        counts: [1],
      },
    ]
  }
  return HASHES.flatMap((hash): Algorithm[] => [
    {
      name: `RSA and ${hash}`,
      mechanism: { scheme: 'rsa-pkcs1', hash },
      request: { signAlgo: RSA, digestOid: HASH_OID[hash] },
      counts: hash === 'sha-256' ? [1, 100] : [1],
    },
    {
      name: `${hash} with RSA`,
      mechanism: { scheme: 'rsa-pkcs1', hash },
      request: { signAlgo: RSA_WITH[hash] },
      counts: hash === 'sha-384' ? [1, 100] : [1],
    },
    {
      name: `RSASSA-PSS with ${hash}`,
      mechanism: { scheme: 'rsa-pss', hash, saltLength: SALT[hash] },
      request: { signAlgo: PSS, signAlgoParams: PSS_PARAMS[hash][version] },
      counts: hash === 'sha-512' ? [1, 100] : [1],
    },
  ])
}

for (const version of VERSIONS) {
  for (const key of KEYS) {
    test(`signatures by ${key} through ${version} verify over the given hashes, in their order`, async () => {
      const client = new CscClient(service, version)
      const credentialID = service.credentials[key] as string
      await client.login()
      const publicKey = await client.publicKey(credentialID)

      for (const { name, mechanism, request, counts } of algorithmsOf(key, version)) {
        for (const count of counts) {
          // Every fresh code is half a minute later, and a session has but three.
          await client.login()
          const hashes = digests(`${version} ${key} ${name} ${count}`, count, mechanism.hash)
          const SAD = await client.sad({ credentialID, hashes, digestOid: HASH_OID[mechanism.hash] })
          const { status, body } = await client.signHash({ credentialID, SAD, hashes, ...request })
          assert.equal(status, 200, `${name}: ${JSON.stringify(body)}`)
          assert.deepEqual(Object.keys(body), ['signatures'])
          assert.equal(body.signatures.length, count, name)

          const given = hashes.map((text) => digest(mechanism.hash, Buffer.from(text, 'base64')))
          const signatures = (body.signatures as string[]).map((text) => Buffer.from(text, 'base64'))
          for (const [i, signature] of signatures.entries()) {
            const [own, next] = [given[i], given[(i + 1) % count]] as [(typeof given)[0], (typeof given)[0]]
            assert.ok(verifyDigest(publicKey, mechanism, own, signature), `${name}: signature ${i}`)
            if (count > 1)
              assert.ok(
                !verifyDigest(publicKey, mechanism, next, signature),
                `${name}: signature ${i} of its neighbour`,
              )
            if (JUDGED.includes(i))
              assert.ok(await opensslVerifies(publicKey, mechanism, own, signature), `${name}: openssl on ${i}`)
          }
          const [first] = signatures as [Buffer]
          if (count > 1)
            assert.ok(!(await opensslVerifies(publicKey, mechanism, given[1] as (typeof given)[0], first)), name)
        }
      }
      await service.checkWorld()
    })
  }
}

for (const version of VERSIONS) {
  test(`a signing application that knows only CSC ${version} obtains a signature, and the log tells each step`, async () => {
    const client = new CscClient(service, version)
    const answers = [await client.login()]
    const listed = await client.list()
    assert.deepEqual([...listed.body.credentialIDs].sort(), Object.values(service.credentials).sort())
    const credentialID = service.credentials['rsa-2048'] as string
    const told = await client.info(credentialID, { certificates: 'chain', certInfo: true, authInfo: true })
    assert.ok(told.body.key.algo.includes(RSA))
    const hashes = digests(`a document of ${version}`, 3)
    const code = await service.freshCode()
    const authorized = await client.authorize({ credentialID, hashes, code })
    const signed = await client.signHash({
      credentialID,
      SAD: authorized.body.SAD,
      hashes,
      signAlgo: RSA,
      digestOid: HASH_OID['sha-256'],
    })
    assert.equal(signed.status, 200, JSON.stringify(signed.body))
    answers.push(listed, told, authorized, signed)

    const events: string[][] = []
    for (const answer of answers) events.push((await logged(service, answer)).map(({ ev, api }) => `${ev} ${api}`))
    assert.deepEqual(events, [
      [`auth.login ${version}`],
      [`credential.listed ${version}`],
      [`credential.read ${version}`],
      [`sad.issued ${version}`],
      [`sign.intent ${version}`],
    ])
    const world = await service.checkWorld()
    const digestsIn = (open: Map<string, string>) => hashes.map((_, i) => open.get(`dtbsr[${i}]`))
    const asGiven = hashes.map((text) => Buffer.from(text, 'base64').toString('base64url'))
    const rid = signed.headers.get('x-request-id')
    const intent = world.of('sign.intent').find(({ leaf }) => (leaf as { rid?: string }).rid === rid)
    assert.deepEqual(intent && digestsIn(intent.open), asGiven)
    const outcome = world.of('sign.outcome').find(({ op }) => op === intent?.op)
    assert.deepEqual(
      hashes.map((_, i) => outcome?.open.get(`sigh[${i}]`)),
      (signed.body.signatures as string[]).map((text) =>
        createHash('sha256').update(Buffer.from(text, 'base64')).digest('base64url'),
      ),
    )
  })
}

test('a salt of RSASSA-PSS may be as long as the key has room for; a longer one is refused and spends nothing', async () => {
  const withSalt = (length: string) =>
    Buffer.from(
      `3035a00f300d06096086480165030402010500a11c301a06092a864886f70d010108300d06096086480165030402010500a204${length}`,
      'hex',
    ).toString('base64')
  const credentialID = service.credentials['rsa-2048'] as string
  const client = new CscClient(service, 'v2')
  await client.login()
  const hashes = digests('salt', 1)
  const SAD = await client.sad({ credentialID, hashes })
  const sign = (salt: string) =>
    client.signHash({ credentialID, SAD, hashes, signAlgo: PSS, signAlgoParams: withSalt(salt) })
  const refused = await sign('020200df')
  assert.deepEqual([refused.status, refused.body.error_description], [400, 'Invalid parameter signAlgoParams'])
  const { status, body } = await sign('020200de')
  assert.equal(status, 200, JSON.stringify(body))
  const own = digest('sha-256', Buffer.from(hashes[0] as string, 'base64'))
  const signature = Buffer.from(body.signatures[0], 'base64')
  const mechanism = { scheme: 'rsa-pss', hash: 'sha-256', saltLength: 222 } as const
  assert.ok(await opensslVerifies(await client.publicKey(credentialID), mechanism, own, signature))
  await service.checkWorld()
})

test('hashes are bytes, however a client writes them', async () => {
  const credentialID = service.credentials['p-256'] as string
  // In which base64 and base64url differ.
  const hashes = digests('spelling', 40).filter((text) => text.includes('+') && text.includes('/'))
  assert.ok(hashes.length > 0)
  const spellings = [
    (text: string) => Buffer.from(text, 'base64').toString('base64url'),
    (text: string) => `${Buffer.from(text, 'base64').toString('base64url')}=`,
    (text: string) => text.replace(/=+$/, ''),
    (text: string) => text.replaceAll('+', ' '),
  ]
  for (const version of VERSIONS) {
    const client = new CscClient(service, version)
    for (const spell of spellings) {
      await client.login()
      const SAD = await client.sad({ credentialID, hashes: hashes.map(spell) })
      const signAlgo = ECDSA_WITH['sha-256']
      const { status, body } = await client.signHash({ credentialID, SAD, hashes, signAlgo })
      assert.equal(status, 200, JSON.stringify(body))
    }
  }
  await service.checkWorld()
})

test('optional members may be null, unknown ones anything, and v2 takes the names that v1 has for hashes', async () => {
  const credentialID = service.credentials['rsa-2048'] as string
  for (const version of VERSIONS) {
    const client = new CscClient(service, version)
    await client.login()
    const hashes = digests(`null ${version}`)
    const SAD = await client.sad({ credentialID, hashes, description: null, clientData: null, unheardOf: { of: 1 } })
    const { status, body } = await client.ask('signatures/signHash', {
      ...{ credentialID, SAD, hash: hashes, signAlgo: RSA, hashAlgo: HASH_OID['sha-256'] },
      ...{ signAlgoParams: null, clientData: null, operationMode: null, unheardOf: [] },
    })
    assert.equal(status, 200, JSON.stringify(body))
  }
  await service.checkWorld()
})
