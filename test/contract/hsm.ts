import assert from 'node:assert/strict'
import { createHash, randomBytes } from 'node:crypto'
import { after, before, describe, it } from 'node:test'
import { DIGEST_LENGTH, type Digest, type DigestAlgorithm, digest } from '../../src/digest.js'
import {
  type Hsm,
  HsmError,
  type HsmErrorCode,
  KEY_SPECS,
  type KeySpec,
  type Mechanism,
  type SignerKey,
} from '../../src/hsm/hsm.js'
import { isRsa, longestSalt } from '../../src/hsm/mechanisms.js'
import { VerificationKey } from '../../src/hsm/openssl.js'
import { specOfPublicKey } from '../../src/hsm/public-key.js'
import { opensslVerifies } from '../helpers/openssl-verify.js'

const NEVER = Number.POSITIVE_INFINITY
const HASHES: readonly DigestAlgorithm[] = ['sha-256', 'sha-384', 'sha-512']
const ECDSA: Mechanism = { scheme: 'ecdsa', hash: 'sha-256' }
const PKCS1: Mechanism = { scheme: 'rsa-pkcs1', hash: 'sha-256' }

interface TestKey extends SignerKey {
  readonly publicKey: Uint8Array
}

/**
 * What every device must do. `open` opens the same device again and again: what one left behind the next one finds.
 */
export function hsmContract(name: string, open: (options?: { cachedKeys?: number }) => Promise<Hsm>): void {
  describe(name, () => {
    let hsm: Hsm
    const keys = new Map<KeySpec, Promise<TestKey>>()

    before(async () => {
      hsm = await open()
    })
    after(() => hsm.close())

    /** One key of each kind for all tests. */
    function aKey(spec: KeySpec): Promise<TestKey> {
      const key = keys.get(spec) ?? newKey(hsm, spec)
      keys.set(spec, key)
      return key
    }

    for (const spec of KEY_SPECS) {
      it(`signs with ${spec} by every mechanism, and OpenSSL agrees`, async () => {
        const key = await aKey(spec)
        assert.equal(specOfPublicKey(key.publicKey), spec)
        const verification = new VerificationKey(key.publicKey)
        for (const mechanism of mechanismsFor(spec)) {
          const one = aDigest(mechanism.hash)
          const another = aDigest(mechanism.hash)
          const [signature] = await hsm.sign(key, mechanism, [one], NEVER)
          assert.ok(signature)
          const what = JSON.stringify(mechanism)
          assert.ok(await opensslVerifies(key.publicKey, mechanism, one, signature), what)
          assert.ok(verification.verify(mechanism, one, signature), what)
          assert.ok(!verification.verify(mechanism, another, signature), what)
        }
      })
    }

    it('lets the event loop run while it makes a large key, or signs much', async () => {
      const generating = await turnsDuring(hsm.generateSignerKey('rsa-2048', Buffer.from('turns')))
      assert.ok(generating > 10, `${generating} turns`)
      const digests = Array.from({ length: 100 }, () => aDigest('sha-256'))
      const signing = await turnsDuring(hsm.sign(await aKey('rsa-2048'), PKCS1, digests, NEVER))
      assert.ok(signing > 5, `${signing} turns`)
    })

    it('keeps the order of a hundred digests', async () => {
      for (const [spec, mechanism] of [
        ['p-256', ECDSA],
        ['rsa-2048', PKCS1],
      ] as const) {
        const key = await aKey(spec)
        const digests = Array.from({ length: 100 }, () => aDigest('sha-256'))
        const signatures = await hsm.sign(key, mechanism, digests, NEVER)
        assertAllVerify(key, mechanism, digests, signatures)
      }
    })

    it('signs the same digest as often as it stands in the list', async () => {
      const key = await aKey('p-256')
      const same = aDigest('sha-256')
      const signatures = await hsm.sign(key, ECDSA, [same, same, same], NEVER)
      assertAllVerify(key, ECDSA, [same, same, same], signatures)
      assert.deepEqual(await hsm.sign(key, ECDSA, [], NEVER), [])
    })

    it('does overlapping calls of all kinds', async () => {
      const ec = await aKey('p-256')
      const rsa = await aKey('rsa-2048')
      const calls = Array.from({ length: 12 }, async (_, index) => {
        const [key, mechanism] = index % 2 === 0 ? ([ec, ECDSA] as const) : ([rsa, PKCS1] as const)
        const digests = Array.from({ length: 40 }, () => aDigest('sha-256'))
        assertAllVerify(key, mechanism, digests, await hsm.sign(key, mechanism, digests, NEVER))
        const secret = randomBytes(20)
        const sealed = await hsm.seal(secret, Buffer.of(index))
        assert.deepEqual(Buffer.from(await hsm.unseal(sealed, Buffer.of(index))), secret)
      })
      const fresh = await Promise.all([newKey(hsm, 'p-256'), newKey(hsm, 'p-256'), newKey(hsm, 'p-256')])
      await Promise.all(calls)
      for (const key of fresh) await assertSigns(hsm, key)
    })

    it('evicts unwrapped keys, but never one in use', async () => {
      const small = await open({ cachedKeys: 1 })
      try {
        const several = await Promise.all(Array.from({ length: 5 }, () => newKey(small, 'p-256')))
        const work = [...several, ...several].map(async (key) => {
          // More than one turn of the event loop, so that the calls take the cache's only place from each other.
          const digests = Array.from({ length: 100 }, () => aDigest('sha-256'))
          assertAllVerify(key, ECDSA, digests, await small.sign(key, ECDSA, digests, NEVER))
        })
        await Promise.all(work)
        for (const key of several) await assertSigns(small, key)
      } finally {
        await small.close()
      }
    })

    it('finds everything again', async () => {
      const early = await open()
      const key = await newKey(early, 'p-256')
      const service = await early.createServiceKey('again', 'p-384')
      const sealed = await early.seal(Buffer.from('kept'), Buffer.from('place'))
      await early.close()

      const late = await open()
      try {
        await assertSigns(late, key)
        assert.deepEqual(await late.serviceKey('again'), service)
        assert.equal(Buffer.from(await late.unseal(sealed, Buffer.from('place'))).toString(), 'kept')
      } finally {
        await late.close()
      }
    })

    it('has service keys, one a name', async () => {
      const made = await hsm.createServiceKey('announce', 'p-256')
      assert.equal(specOfPublicKey(made.publicKey), 'p-256')
      assert.deepEqual(await hsm.serviceKey('announce'), made)
      const digests = [aDigest('sha-256'), aDigest('sha-256')]
      assertAllVerify(made, ECDSA, digests, await hsm.sign(made, ECDSA, digests, NEVER))

      const rsa = await hsm.createServiceKey('ca', 'rsa-2048')
      assertAllVerify(rsa, PKCS1, digests, await hsm.sign(rsa, PKCS1, digests, NEVER))

      await rejects('exists', hsm.createServiceKey('announce', 'p-384'))
      await rejects('not_found', hsm.serviceKey('constructor'))
      await rejects('not_found', hsm.sign({ ...made, name: 'nobody' }, ECDSA, digests, NEVER))
      await rejects('rejected', hsm.sign({ ...made, publicKey: rsa.publicKey }, ECDSA, digests, NEVER))
      for (const name of ['', 'Ca', 'c a', '../ca', 'a-name-that-is-too-long']) {
        await rejects('unsupported', hsm.createServiceKey(name, 'p-256'))
      }
    })

    it('sees a service key that another process made meanwhile, and makes one once when two try', async () => {
      const other = await open()
      try {
        const made = await hsm.createServiceKey('shared', 'p-256')
        assert.deepEqual(await other.serviceKey('shared'), made)
        const digests = [aDigest('sha-256')]
        assertAllVerify(made, ECDSA, digests, await other.sign(made, ECDSA, digests, NEVER))

        const race = await Promise.allSettled([hsm, other].map((each) => each.createServiceKey('race', 'p-256')))
        assert.deepEqual(race.map(({ status }) => status).sort(), ['fulfilled', 'rejected'])
        assert.deepEqual(await hsm.serviceKey('race'), await other.serviceKey('race'))
      } finally {
        await other.close()
      }
    })

    it('seals what only it opens, and only in its place', async () => {
      for (const plaintext of [Buffer.alloc(0), Buffer.from('a secret'), randomBytes(5000)]) {
        const sealed = await hsm.seal(plaintext, Buffer.from('place'))
        assert.deepEqual(Buffer.from(await hsm.unseal(sealed, Buffer.from('place'))), plaintext)
        assert.notDeepEqual(await hsm.seal(plaintext, Buffer.from('place')), sealed)
        for (const place of ['other', '', 'plac']) await rejects('rejected', hsm.unseal(sealed, Buffer.from(place)))
        for (const spoilt of spoil(sealed)) await rejects('rejected', hsm.unseal(spoilt, Buffer.from('place')))
      }
      const nowhere = await hsm.seal(Buffer.from('a secret'), Buffer.alloc(0))
      assert.equal(Buffer.from(await hsm.unseal(nowhere, Buffer.alloc(0))).toString(), 'a secret')
    })

    it('refuses a key whose blob, binding or kind is not its own', async () => {
      const one = await newKey(hsm, 'p-256')
      const other = await newKey(hsm, 'p-256')
      const digests = [aDigest('sha-256')]
      // First with empty cache, then with both keys in it: a hit must be no weaker than unsealing.
      for (const round of ['cold', 'warm']) {
        for (const wrong of [
          { ...one, blob: other.blob },
          { ...one, associatedData: other.associatedData },
          { ...one, associatedData: Buffer.alloc(0) },
          { ...other, cacheId: one.cacheId, associatedData: one.associatedData },
          { ...one, spec: 'p-384' as const },
          { ...one, blob: await hsm.seal(Buffer.alloc(80), one.associatedData) },
          ...spoil(one.blob).map((blob) => ({ ...one, blob })),
        ]) {
          await rejects('rejected', hsm.sign(wrong, ECDSA, digests, NEVER), round)
        }
        await rejects('rejected', hsm.unseal(one.blob, one.associatedData))
        await rejects('rejected', hsm.unseal(asSealedData(one), contextOf(one)))
        const chosen = await hsm.seal(Buffer.alloc(80), contextOf(one))
        await rejects('rejected', hsm.sign({ ...one, blob: asWrappedKey(chosen) }, ECDSA, digests, NEVER))
        await assertSigns(hsm, one)
        await assertSigns(hsm, other)
      }
      await rejects('rejected', hsm.sign({ ...one, spec: 'rsa-2048' }, PKCS1, digests, NEVER))
    })

    it('refuses what does not fit', async () => {
      const ec = await aKey('p-256')
      const rsa = await aKey('rsa-2048')
      const sha256 = [aDigest('sha-256')]
      const pss = (saltLength: number): Mechanism => ({ scheme: 'rsa-pss', hash: 'sha-256', saltLength })
      for (const [key, mechanism, digests] of [
        [ec, PKCS1, sha256],
        [ec, pss(32), sha256],
        [rsa, ECDSA, sha256],
        [rsa, pss(223), sha256],
        [rsa, pss(-1), sha256],
        [rsa, pss(1.5), sha256],
        [rsa, pss(Number.NaN), sha256],
        [rsa, { scheme: 'rsa-pkcs1', hash: 'sha-512' }, sha256],
        [ec, ECDSA, [...sha256, aDigest('sha-384')]],
        [ec, ECDSA, [{ algorithm: 'sha-256', bytes: Buffer.alloc(31) }]],
      ] as const) {
        await rejects('unsupported', hsm.sign(key, mechanism, digests, NEVER))
      }
    })

    it('signs nothing after the deadline, and hands out nothing that was late', async (t) => {
      const key = await aKey('p-256')
      const digests = Array.from({ length: 10 }, () => aDigest('sha-256'))
      await rejects('unavailable', hsm.sign(key, ECDSA, digests, performance.now() - 1))

      for (const inTime of [1, 5, 10]) {
        let asked = 0
        const clock = t.mock.method(performance, 'now', () => (++asked > inTime ? 1000 : 0))
        await rejects('indeterminate', hsm.sign(key, ECDSA, digests, 500), `${inTime} in time`)
        clock.mock.restore()
      }
      await assertSigns(hsm, key)
    })

    it('gives random bytes', async () => {
      const [one, other] = await Promise.all([hsm.random(32), hsm.random(32)])
      assert.equal(one.length, 32)
      assert.notDeepEqual(one, other)
    })

    it('waits for what is under way when it is closed, and does nothing afterwards', async () => {
      const closing = await open()
      const key = await newKey(closing, 'p-256')
      const digests = Array.from({ length: 100 }, () => aDigest('sha-256'))
      const signing = closing.sign(key, ECDSA, digests, NEVER)
      let ended = false
      void signing.then(() => {
        ended = true
      })
      await closing.close()
      await closing.close()
      assert.ok(ended)
      assertAllVerify(key, ECDSA, digests, await signing)
      await rejects('unavailable', closing.sign(key, ECDSA, digests, NEVER))
      await rejects('unavailable', closing.random(1))
      await assertSigns(hsm, key)
    })

    it('says what it is', () => {
      assert.match(hsm.description, /\S/)
    })
  })
}

/** Every mechanism that a key of this kind has: all hashes; PSS with no salt, the usual and the longest. */
function mechanismsFor(spec: KeySpec): Mechanism[] {
  return HASHES.flatMap((hash): Mechanism[] => {
    if (!isRsa(spec)) return [{ scheme: 'ecdsa', hash }]
    const salts = [0, DIGEST_LENGTH[hash], longestSalt(spec, hash)]
    return [
      { scheme: 'rsa-pkcs1', hash },
      ...salts.map((saltLength): Mechanism => ({ scheme: 'rsa-pss', hash, saltLength })),
    ]
  })
}

/** How often other work would have had its turn. */
async function turnsDuring(work: Promise<unknown>): Promise<number> {
  let turns = 0
  let done = false
  const count = (): void => {
    turns++
    if (!done) setImmediate(count)
  }
  setImmediate(count)
  await work
  done = true
  return turns
}

let made = 0

async function newKey(hsm: Hsm, spec: KeySpec): Promise<TestKey> {
  const associatedData = Buffer.from(`credential ${++made}`)
  const { publicKey, blob } = await hsm.generateSignerKey(spec, associatedData)
  return { kind: 'signer', cacheId: `credential ${made}`, spec, blob, associatedData, publicKey }
}

/** Of random content, by the real hash function. */
function aDigest(algorithm: DigestAlgorithm): Digest {
  return digest(algorithm, createHash(algorithm.replace('-', '')).update(randomBytes(16)).digest())
}

async function assertSigns(hsm: Hsm, key: TestKey): Promise<void> {
  const digests = [aDigest('sha-256')]
  assertAllVerify(key, ECDSA, digests, await hsm.sign(key, ECDSA, digests, NEVER))
}

function assertAllVerify(
  { publicKey }: { readonly publicKey: Uint8Array },
  mechanism: Mechanism,
  digests: readonly Digest[],
  signatures: readonly Uint8Array[],
): void {
  assert.equal(signatures.length, digests.length)
  const key = new VerificationKey(publicKey)
  for (const [index, each] of digests.entries()) {
    assert.ok(key.verify(mechanism, each, signatures[index] as Uint8Array), `signature ${index}`)
  }
  key.close()
}

// Who may seal, and choose the associated data, must not get at keys by it, or make blobs that pass for keys. These three
// write by hand what src/hsm/sealed-blob.ts writes.

/** All that a wrapped key is bound to, except its domain: KEK epoch 1, kind, associated data. */
function contextOf(key: SignerKey): Buffer {
  return Buffer.concat([Buffer.of(0, 1), Buffer.from(`${key.spec}\0`), key.associatedData])
}

function asSealedData(key: SignerKey): Buffer {
  return Buffer.concat([Buffer.of(1), key.blob.subarray(3)])
}

function asWrappedKey(sealed: Uint8Array): Buffer {
  return Buffer.concat([Buffer.of(1, 0, 1), sealed.subarray(1)])
}

/** The same bytes with one of each region changed, too few of them, and none. */
function spoil(blob: Uint8Array): Buffer[] {
  const flipped = [0, 1, 2, 3, 4, 8, 20, blob.length - 17, blob.length - 1].map((index) => {
    const copy = Buffer.from(blob)
    copy[index] = (copy[index] as number) ^ 1
    return copy
  })
  const whole = Buffer.from(blob)
  return [
    ...flipped,
    whole.subarray(0, -1),
    whole.subarray(0, 20),
    Buffer.alloc(0),
    Buffer.concat([whole, Buffer.of(0)]),
  ]
}

async function rejects(code: HsmErrorCode, call: Promise<unknown>, message?: string): Promise<void> {
  await assert.rejects(
    call,
    (error) => {
      assert.ok(error instanceof HsmError, String(error))
      assert.equal(error.code, code, `${message ?? ''} ${error.message}`)
      return true
    },
    message,
  )
}
