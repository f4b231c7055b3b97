import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { describe, type TestContext, test } from 'node:test'
import type { DigestAlgorithm } from '../../src/digest.js'
import type { KeySpec, Mechanism } from '../../src/hsm/hsm.js'
import { digestOf } from '../../src/pki/algorithm.js'
import { parseCertificate } from '../../src/pki/certificate.js'
import { parseCms, prepareCms, verifyCms } from '../../src/pki/cms.js'
import { createRoot, issue } from '../../src/pki/demo-ca.js'
import { toPem } from '../../src/pki/pem.js'
import { folder, openssl } from './openssl.js'
import { SoftwareHsm } from './software-hsm.js'

const now = Date.now()
const clock = { now: () => now }
const content = randomBytes(5000)

async function world(test: TestContext, spec: KeySpec) {
  const files = await folder(test)
  const hsm = new SoftwareHsm()
  const ca = await hsm.createServiceKey('ca', 'p-256')
  const key = await hsm.createServiceKey('signer', spec)
  const root = await createRoot(hsm, ca, clock)
  const certify = () =>
    issue(hsm, ca, root, { subject: { commonName: 'Demo Signer' }, publicKey: key.publicKey }, clock)
  const leaf = await certify()
  const rootFile = await files.put('root.pem', toPem('CERTIFICATE', root))
  const contentFile = await files.put('content', content)
  const sign = async (algorithm: DigestAlgorithm, mechanism: Mechanism, signingTime?: Date) => {
    const prepared = prepareCms({
      messageDigest: digestOf(algorithm, content),
      certificates: [leaf, root],
      ...(signingTime === undefined ? {} : { signingTime }),
    })
    const [signature] = await hsm.sign(key, mechanism, [prepared.toSign], Number.POSITIVE_INFINITY)
    assert.ok(signature)
    return prepared.finish(signature, mechanism)
  }
  return { files, hsm, key, root, leaf, certify, rootFile, contentFile, sign }
}

const CASES: [KeySpec, Mechanism][] = [
  ['rsa-2048', { scheme: 'rsa-pkcs1', hash: 'sha-256' }],
  ['rsa-2048', { scheme: 'rsa-pkcs1', hash: 'sha-512' }],
  ['rsa-3072', { scheme: 'rsa-pss', hash: 'sha-256', saltLength: 32 }],
  ['rsa-2048', { scheme: 'rsa-pss', hash: 'sha-384', saltLength: 20 }],
  ['p-256', { scheme: 'ecdsa', hash: 'sha-256' }],
  ['p-384', { scheme: 'ecdsa', hash: 'sha-384' }],
  ['p-521', { scheme: 'ecdsa', hash: 'sha-512' }],
]

describe('a detached signature', () => {
  for (const [spec, mechanism] of CASES) {
    test(`by ${spec}, ${mechanism.scheme} with ${mechanism.hash}: OpenSSL and we accept it`, async (t) => {
      const { files, rootFile, contentFile, leaf, sign } = await world(t, spec)
      const cms = await sign(mechanism.hash, mechanism, new Date(now))
      const file = await files.put('content.p7s', cms)
      const where = ['-inform', 'DER', '-in', file, '-content', contentFile, '-out', files.path('out')]
      const verdict = await openssl(
        'cms',
        '-verify',
        '-binary',
        '-cades',
        '-purpose',
        'any',
        ...where,
        '-CAfile',
        rootFile,
      )
      assert.ok(verdict.ok, verdict.text)
      assert.deepEqual(await readFile(files.path('out')), content)

      const ours = verifyCms(parseCms(cms), digestOf(mechanism.hash, content))
      assert.deepEqual(ours.certificate, leaf)
      assert.deepEqual(ours.mechanism, mechanism)
      assert.equal(ours.signingTime?.getTime(), Math.floor(now / 1000) * 1000)
    })
  }

  test('holds three signed attributes, or four with the time, in the order of DER', async (t) => {
    const { files, sign } = await world(t, 'p-256')
    const mechanism = { scheme: 'ecdsa', hash: 'sha-256' } as const
    for (const [time, names] of [
      [undefined, ['contentType', 'messageDigest', 'id-smime-aa-signingCertificateV2']],
      [new Date(now), ['contentType', 'signingTime', 'messageDigest', 'id-smime-aa-signingCertificateV2']],
    ] as const) {
      const file = await files.put('content.p7s', await sign('sha-256', mechanism, time))
      const { text } = await openssl('cms', '-cmsout', '-print', '-noout', '-inform', 'DER', '-in', file)
      const found = [...text.matchAll(/object: (\S+) \(1\.2\.840\.113549\.1\.9\./g)].map(([, name]) => name)
      assert.deepEqual(found, names)
    }
  })

  test('is accepted as OpenSSL makes it, and refused where OpenSSL makes it differently', async (t) => {
    const { files, hsm, root } = await world(t, 'p-256')
    const rsa = await openssl(
      'genpkey',
      '-algorithm',
      'RSA',
      '-pkeyopt',
      'rsa_keygen_bits:2048',
      '-out',
      files.path('k'),
    )
    assert.ok(rsa.ok, rsa.text)
    await openssl('req', '-x509', '-key', files.path('k'), '-subj', '/CN=A', '-out', files.path('c'))
    const sign = async (...more: string[]) => {
      const base = [
        '-sign',
        '-binary',
        '-in',
        files.path('content'),
        '-signer',
        files.path('c'),
        '-inkey',
        files.path('k'),
      ]
      const made = await openssl('cms', ...base, '-outform', 'DER', '-out', files.path('o'), ...more)
      assert.ok(made.ok, made.text)
      return new Uint8Array(await readFile(files.path('o')))
    }
    const { mechanism } = verifyCms(parseCms(await sign('-cades')), digestOf('sha-256', content))
    assert.deepEqual(mechanism, { scheme: 'rsa-pkcs1', hash: 'sha-256' })
    const refused: [string[], RegExp][] = [
      [['-cades', '-nodetach'], /contains the content/],
      [['-cades', '-nodetach', '-stream'], /contains the content/], // lengths left open, as BER allows
      [['-cades', '-md', 'sha1'], /too weak/],
      [['-cades', '-nocerts'], /certificate is not in the container/],
      [['-cades', '-econtent_type', '1.2.3.4'], /another type of content/],
      [[], /does not say which certificate/],
      [['-noattr'], /no signed attributes/],
    ]
    for (const [options, detail] of refused) {
      const cms = await sign(...options)
      assert.throws(() => verifyCms(parseCms(cms), digestOf('sha-256', content)), { code: 'not_allowed', detail })
    }
    for (const junk of [new Uint8Array(), Buffer.from('hello'), root]) {
      assert.throws(() => parseCms(junk), { code: 'not_allowed', detail: 'not a CMS signature' })
    }
    await hsm.close()
  })

  test('does not verify when any part of it, or the content, is changed', async (t) => {
    const { sign } = await world(t, 'p-256')
    const mechanism = { scheme: 'ecdsa', hash: 'sha-256' } as const
    const cms = await sign('sha-256', mechanism, new Date(now))
    const expected = digestOf('sha-256', content)
    verifyCms(parseCms(cms), expected)
    assert.throws(() => verifyCms(parseCms(cms), digestOf('sha-256', Buffer.from('other'))), {
      detail: /other content/,
    })

    const length = parseCms(cms).signer.toSchema().toBER().byteLength
    const places = Array.from({ length }, (_, index) => cms.length - length + index)
    const surviving = places.filter((place) => {
      const changed = Uint8Array.from(cms)
      changed[place] = (changed[place] ?? 0) ^ 1
      try {
        verifyCms(parseCms(changed), expected)
        return true
      } catch (error) {
        assert.equal((error as { code?: string }).code, 'not_allowed', String(error))
        return false
      }
    })
    assert.deepEqual(surviving, [])
  })

  test('cannot be finished with a signature of another key, or over something else', async (t) => {
    const { hsm, key, leaf, root } = await world(t, 'p-256')
    const mechanism = { scheme: 'ecdsa', hash: 'sha-256' } as const
    const other = await hsm.createServiceKey('other', 'p-256')
    const prepared = prepareCms({ messageDigest: digestOf('sha-256', content), certificates: [leaf, root] })
    const wrong = [
      await hsm.sign(other, mechanism, [prepared.toSign], Number.POSITIVE_INFINITY),
      await hsm.sign(key, mechanism, [digestOf('sha-256', content)], Number.POSITIVE_INFINITY),
    ]
    for (const [signature] of wrong) {
      assert.ok(signature)
      assert.throws(() => prepared.finish(signature, mechanism), { detail: /does not fit the certificate/ })
    }
    assert.throws(() => prepared.finish(new Uint8Array(70), { ...mechanism, hash: 'sha-384' }), RangeError)
  })

  test('is bound to one certificate, also where there are two on the same key', async (t) => {
    const { certify, leaf, sign } = await world(t, 'p-256')
    const cms = await sign('sha-256', { scheme: 'ecdsa', hash: 'sha-256' })
    let twin = await certify()
    while (twin.length !== leaf.length) twin = await certify()
    const swapped = Buffer.from(cms)
    swapped.set(twin, swapped.indexOf(Buffer.from(leaf)))
    const verify = () => verifyCms(parseCms(swapped), digestOf('sha-256', content))
    assert.throws(verify, { detail: /certificate is not in the container/ })
    const [from, to] = [leaf, twin].map((der) => Buffer.from(parseCertificate(der).serialNumber, 'hex'))
    assert.ok(from && to)
    swapped.set(to, swapped.lastIndexOf(from))
    assert.throws(verify, { detail: /made for another certificate/ })
  })
})
