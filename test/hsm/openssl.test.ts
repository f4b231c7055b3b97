import assert from 'node:assert/strict'
import { createHash, generateKeyPairSync, randomBytes, verify } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { describe, it } from 'node:test'
import koffi from 'koffi'
import { digest } from '../../src/digest.js'
import { KEY_SPECS, type KeySpec, type Mechanism } from '../../src/hsm/hsm.js'
import { ecdsaSigValue, fits, longestSalt, pkcs11Signing } from '../../src/hsm/mechanisms.js'
import { SigningKey, VerificationKey, verifyDigest } from '../../src/hsm/openssl.js'
import { specOfPublicKey } from '../../src/hsm/public-key.js'
import { opensslVerifies } from '../helpers/openssl-verify.js'

interface Vectors {
  readonly keys: Readonly<Record<KeySpec, string>>
  readonly vectors: readonly {
    readonly what: string
    readonly expect: 'verifies' | 'does not verify'
    readonly key: KeySpec
    readonly mechanism: Mechanism
    readonly digest: string
    readonly signature: string
  }[]
}

const bytes = (hex: string): Buffer => Buffer.from(hex, 'hex')

describe('signatures over ready digests', () => {
  const { keys, vectors } = JSON.parse(readFileSync('test/vectors/hsm-signatures.json', 'utf8')) as Vectors

  for (const { what, expect, key, mechanism, digest: value, signature } of vectors) {
    it(`${what}: ${expect}`, async () => {
      const over = digest(mechanism.hash, bytes(value))
      const expected = expect === 'verifies'
      assert.equal(verifyDigest(bytes(keys[key]), mechanism, over, bytes(signature)), expected)
      assert.equal(await opensslVerifies(bytes(keys[key]), mechanism, over, bytes(signature)), expected)
    })
  }

  it('do not verify by a key of another kind, or with an empty signature', () => {
    for (const { key, mechanism, digest: value, signature } of vectors) {
      const over = digest(mechanism.hash, bytes(value))
      for (const other of KEY_SPECS.filter((spec) => spec !== key)) {
        assert.ok(!verifyDigest(bytes(keys[other]), mechanism, over, bytes(signature)))
      }
      assert.ok(!verifyDigest(bytes(keys[key]), mechanism, over, Buffer.alloc(0)))
    }
  })

  it('leave no error behind for node:crypto when they fail', () => {
    const peek = koffi.load(null).func('unsigned long ERR_peek_error()') as unknown as () => number
    const [vector] = vectors
    assert.ok(vector)
    const over = digest(vector.mechanism.hash, bytes(vector.digest))
    assert.ok(!verifyDigest(bytes(keys[vector.key]), vector.mechanism, over, randomBytes(256)))
    assert.equal(peek(), 0)
    assert.throws(() => new SigningKey(Buffer.of(1, 2, 3), 'rsa-2048'), TypeError)
    assert.equal(peek(), 0)
  })
})

describe('a verification key', () => {
  const { publicKey } = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const spki = publicKey.export({ type: 'spki', format: 'der' })

  it('is of a kind we use, with nothing beside it', () => {
    for (const refused of [
      generateKeyPairSync('ec', { namedCurve: 'secp256k1' }).publicKey.export({ type: 'spki', format: 'der' }),
      generateKeyPairSync('rsa', { modulusLength: 1024 }).publicKey.export({ type: 'spki', format: 'der' }),
      generateKeyPairSync('ed25519').publicKey.export({ type: 'spki', format: 'der' }),
      Buffer.concat([spki, Buffer.of(0)]),
      spki.subarray(0, -1),
      Buffer.alloc(0),
    ]) {
      assert.throws(() => new VerificationKey(refused), TypeError)
    }
  })

  it('is not used after it was closed, and may be closed twice', () => {
    const key = new VerificationKey(spki)
    key.close()
    key.close()
    const over = digest('sha-256', randomBytes(32))
    assert.throws(() => key.verify({ scheme: 'ecdsa', hash: 'sha-256' }, over, Buffer.of(1)), /closed/)
  })
})

describe('a signing key in memory', () => {
  it('signs what node:crypto verifies over the message', () => {
    const message = randomBytes(100)
    const over = digest('sha-384', createHash('sha384').update(message).digest())
    for (const spec of ['p-256', 'p-384', 'p-521'] as const) {
      const { publicKey, privateKey } = generateKeyPairSync('ec', { namedCurve: spec.toUpperCase() })
      const key = new SigningKey(privateKey.export({ type: 'pkcs8', format: 'der' }), spec)
      assert.ok(verify('sha384', message, publicKey, key.sign({ scheme: 'ecdsa', hash: 'sha-384' }, over)))
      key.close()
    }
    const { publicKey, privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 })
    const key = new SigningKey(privateKey.export({ type: 'pkcs8', format: 'der' }), 'rsa-2048')
    assert.ok(verify('sha384', message, publicKey, key.sign({ scheme: 'rsa-pkcs1', hash: 'sha-384' }, over)))
    assert.throws(() => key.sign({ scheme: 'rsa-pkcs1', hash: 'sha-256' }, over))
    assert.throws(() => new SigningKey(Buffer.of(1, 2, 3), 'rsa-2048'), TypeError)
  })
})

describe('mechanisms', () => {
  it('know the longest salt', () => {
    assert.equal(longestSalt('rsa-2048', 'sha-256'), 222)
    assert.equal(longestSalt('rsa-4096', 'sha-512'), 446)
    const over = digest('sha-256', randomBytes(32))
    assert.ok(fits('rsa-2048', { scheme: 'rsa-pss', hash: 'sha-256', saltLength: 222 }, over))
    assert.ok(!fits('rsa-2048', { scheme: 'rsa-pss', hash: 'sha-256', saltLength: 223 }, over))
  })

  it('give a device no longer ECDSA input than its curve takes', () => {
    const over = digest('sha-512', randomBytes(64))
    for (const [spec, length] of [
      ['p-256', 32],
      ['p-384', 48],
      ['p-521', 64],
    ] as const) {
      const { input } = pkcs11Signing(spec, { scheme: 'ecdsa', hash: 'sha-512' })
      assert.deepEqual(input(over), over.bytes.subarray(0, length))
    }
  })

  it('write ECDSA-Sig-Value as DER wants it', () => {
    const written = (raw: string): string => Buffer.from(ecdsaSigValue(bytes(raw))).toString('hex')
    assert.equal(written('01' + '02'), '3006020101020102')
    assert.equal(written('80' + '7f'), '30070202008002017f')
    assert.equal(written('0000' + '0001'), '3006020100020101')
    assert.equal(written('0080' + '00ff'), '3008020200800202' + '00ff')
    const long = written(`${'ff'.repeat(66)}${'ff'.repeat(66)}`)
    assert.ok(long.startsWith('30818a024300ff'))
    assert.equal(long.length, 2 * (3 + 2 * 69))
  })

  it('know their keys by the public half', () => {
    for (const spec of ['p-256', 'p-384', 'p-521'] as const) {
      const { publicKey } = generateKeyPairSync('ec', { namedCurve: spec.toUpperCase() })
      assert.equal(specOfPublicKey(publicKey.export({ type: 'spki', format: 'der' })), spec)
    }
  })
})
