import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { decodeBase64 } from '../../src/front/csc/digests.js'
import { subjectOf } from '../../src/front/csc/expired-certificate.js'
import { pssMechanism } from '../../src/front/csc/pss.js'
import { LEAF } from '../front/helpers.js'

test('base64 in all its spellings is the same bytes', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 100 }), (bytes) => {
      const padded = Buffer.from(bytes).toString('base64')
      const url = Buffer.from(bytes).toString('base64url')
      const paddedUrl = padded.replaceAll('+', '-').replaceAll('/', '_')
      for (const form of [padded, url, paddedUrl, padded.replaceAll('=', ''), padded.replaceAll('+', ' ')]) {
        assert.deepEqual(decodeBase64(form), Buffer.from(bytes))
      }
    }),
  )
})

test('what is no base64 is refused', () => {
  for (const text of [
    'A',
    'AAAAA',
    'A=',
    'AA=',
    'AAA==',
    'AAAA=',
    'AAAA====',
    '=',
    '==',
    'A=AA',
    'AA\n',
    'AA%3D',
    'ä',
    '\u0000',
  ])
    assert.equal(decodeBase64(text), undefined, text)
  // Would take minutes with an expression that backtracks.
  assert.equal(decodeBase64(`${'='.repeat(250_000)}A`), undefined)
})

/** RSASSA-PSS-params (RFC 4055 §3.1) as clients send them, with trailer and without. */
const GOOD: [string, string, number][] = [
  ['MDmgDzANBglghkgBZQMEAgEFAKEcMBoGCSqGSIb3DQEBCDANBglghkgBZQMEAgEFAKIDAgEgowMCAQE=', 'sha-256', 32],
  ['MDSgDzANBglghkgBZQMEAgEFAKEcMBoGCSqGSIb3DQEBCDANBglghkgBZQMEAgEFAKIDAgEg', 'sha-256', 32],
  ['MDmgDzANBglghkgBZQMEAgIFAKEcMBoGCSqGSIb3DQEBCDANBglghkgBZQMEAgIFAKIDAgEwowMCAQE=', 'sha-384', 48],
  ['MDSgDzANBglghkgBZQMEAgIFAKEcMBoGCSqGSIb3DQEBCDANBglghkgBZQMEAgIFAKIDAgEw', 'sha-384', 48],
  ['MDmgDzANBglghkgBZQMEAgMFAKEcMBoGCSqGSIb3DQEBCDANBglghkgBZQMEAgMFAKIDAgFAowMCAQE=', 'sha-512', 64],
  ['MDSgDzANBglghkgBZQMEAgMFAKEcMBoGCSqGSIb3DQEBCDANBglghkgBZQMEAgMFAKIDAgFA', 'sha-512', 64],
]
for (const [der, hash, saltLength] of GOOD) {
  test(`PSS parameters ${der}`, () => {
    assert.deepEqual(pssMechanism(Buffer.from(der, 'base64')), { scheme: 'rsa-pss', hash, saltLength })
  })
}

const SHA256_NULL = '300d06096086480165030402010500'
const SHA256_BARE = '300b0609608648016503040201'
const SHA384_NULL = '300d06096086480165030402020500'
const SHA1_NULL = '300906052b0e03021a0500'
const MGF1_OID = '06092a864886f70d010108'

/** A TLV with a short or one-byte length. */
function tlv(tag: string, content: string): string {
  const length = content.length / 2
  return `${tag}${length < 128 ? '' : '81'}${length.toString(16).padStart(2, '0')}${content}`
}
function params(options: { hash?: string; mgfHash?: string; mgf?: string; salt?: string; trailer?: string }): Buffer {
  const { hash = SHA256_NULL, mgfHash = SHA256_NULL, mgf = MGF1_OID, salt = '020120', trailer = '' } = options
  const parts = [
    hash && tlv('a0', hash),
    tlv('a1', tlv('30', mgf + mgfHash)),
    salt && tlv('a2', salt),
    trailer && tlv('a3', trailer),
  ]
  return Buffer.from(tlv('30', parts.join('')), 'hex')
}

test('PSS parameters with the NULL of the hash left out', () => {
  const expected = { scheme: 'rsa-pss', hash: 'sha-256', saltLength: 32 }
  assert.deepEqual(pssMechanism(params({})), expected)
  assert.deepEqual(pssMechanism(params({ hash: SHA256_BARE, mgfHash: SHA256_BARE })), expected)
  assert.deepEqual(pssMechanism(params({ hash: SHA256_BARE })), expected)
})

test('PSS parameters with a salt longer than the hash, up to all that a modulus has room for', () => {
  for (const [salt, saltLength] of [
    ['020121', 33],
    ['020200de', 222],
    ['020201de', 478],
  ] as const) {
    assert.deepEqual(pssMechanism(params({ salt })), { scheme: 'rsa-pss', hash: 'sha-256', saltLength })
  }
})

test('PSS parameters that we do not sign with', () => {
  const bad: [string, Buffer][] = [
    ['defaults, which are SHA-1', Buffer.from('3000', 'hex')],
    ['SHA-1', params({ hash: SHA1_NULL, mgfHash: SHA1_NULL, salt: '020114' })],
    ['another hash in MGF1', params({ mgfHash: SHA384_NULL })],
    ['the hash left out', params({ hash: '' })],
    ['another mask function', params({ mgf: '06092a864886f70d010109' })],
    ['MGF1 without its hash', params({ mgfHash: '' })],
    ['a shorter salt', params({ salt: '020114' })],
    ['no salt', params({ salt: '020100' })],
    ['a salt longer than any key', params({ salt: '02020201' })],
    ['the default salt, which is 20', params({ salt: '' })],
    ['a salt of many bytes', params({ salt: '0209200000000000000020' })],
    ['a negative salt', params({ salt: '0201e0' })],
    ['another trailer', params({ trailer: '020102' })],
    ['parameters of the hash', params({ hash: '300e0609608648016503040201020101' })],
    ['bytes after it', Buffer.concat([params({}), Buffer.of(0)])],
    ['half of it', params({}).subarray(0, 20)],
    ['nothing', Buffer.alloc(0)],
    ['another structure', Buffer.from('020101', 'hex')],
  ]
  for (const [what, der] of bad) assert.equal(pssMechanism(der), undefined, what)
})

test('PSS parameters of any bytes never throw', () => {
  fc.assert(
    fc.property(fc.uint8Array({ maxLength: 80 }), (bytes) => {
      pssMechanism(bytes)
    }),
  )
  const good = params({})
  fc.assert(
    fc.property(fc.nat(good.length - 1), fc.nat(255), (at, value) => {
      const changed = Buffer.from(good)
      changed[at] = value
      const mechanism = pssMechanism(changed)
      if (mechanism === undefined) return
      assert.equal(mechanism.hash, 'sha-256')
      assert.ok(mechanism.saltLength >= 32 && mechanism.saltLength <= 512)
    }),
    { numRuns: 2000 },
  )
})

test('the subject of an expired certificate by organization and common name', () => {
  assert.equal(subjectOf(LEAF), 'O=Example Sp. z o.o.,CN=Demo Signer')
})
