import assert from 'node:assert/strict'
import { X509Certificate } from 'node:crypto'
import { describe, test } from 'node:test'
import { KEY_SPECS } from '../../src/hsm/hsm.js'
import { checkChain, parseCertificate } from '../../src/pki/certificate.js'
import { buildRequest } from '../../src/pki/certificate-request.js'
import { createRoot, issue, TEST_POLICY } from '../../src/pki/demo-ca.js'
import { toPem } from '../../src/pki/pem.js'
import { signerOf } from '../../src/pki/service-signer.js'
import { folder, openssl } from './openssl.js'
import { SoftwareHsm } from './software-hsm.js'

const now = Date.UTC(2026, 5, 15, 12, 0, 0, 789)
const clock = { now: () => now }
const attime = String(Math.floor(now / 1000))

describe('the demo CA', () => {
  for (const caSpec of ['p-256', 'rsa-2048'] as const) {
    for (const spec of KEY_SPECS.filter((one) => one !== 'rsa-4096')) {
      test(`a ${caSpec} root certifies a ${spec} key by request, and OpenSSL finds nothing to object to`, async (t) => {
        const files = await folder(t)
        const hsm = new SoftwareHsm()
        const ca = await hsm.createServiceKey('ca', caSpec)
        const signer = await hsm.createServiceKey('signer', spec)
        const root = await createRoot(hsm, ca, clock)
        const subject = { commonName: 'Zażółć Gęśla', country: 'PL' }
        const request = await buildRequest({ subject, publicKey: signer.publicKey }, signerOf(hsm, signer))

        const requestFile = await files.put('request.pem', toPem('CERTIFICATE REQUEST', request))
        const checked = await openssl('req', '-in', requestFile, '-verify', '-noout', '-subject', '-nameopt', 'RFC2253')
        assert.ok(checked.ok && checked.text.includes('verify OK'), checked.text)

        const leaf = await issue(hsm, ca, root, request, clock)
        const rootFile = await files.put('root.pem', toPem('CERTIFICATE', root))
        const leafFile = await files.put('leaf.pem', toPem('CERTIFICATE', leaf))
        const verdict = await openssl('verify', '-x509_strict', '-attime', attime, '-CAfile', rootFile, leafFile)
        assert.ok(verdict.ok, verdict.text)
        checkChain([leaf, root], { publicKey: signer.publicKey, now: new Date(now) })
      })
    }
  }

  test('each root has a name and a serial number of its own, 90 days, and may not make further CAs', async () => {
    const hsm = new SoftwareHsm()
    const ca = await hsm.createServiceKey('ca', 'p-256')
    const root = await createRoot(hsm, ca, clock)
    const [one, other] = [root, await createRoot(hsm, ca, clock)].map(parseCertificate)
    assert.ok(one !== undefined && other !== undefined)
    assert.match(one.subjectDn, /^CN=Paraph demo root [0-9a-f]{8},O=Paraph demo$/)
    assert.notEqual(one.subjectDn, other.subjectDn)
    assert.notEqual(one.serialNumber, other.serialNumber)
    assert.equal(one.notBefore.getTime(), Date.UTC(2026, 5, 15, 12))
    assert.equal(one.notAfter.getTime(), Date.UTC(2026, 8, 13, 12))
    assert.ok(Buffer.from(root).includes(Buffer.from('03020204', 'hex'))) // keyUsage as DER writes it
    assert.deepEqual([one.ca, one.pathLength], [true, 0])
    assert.deepEqual(one.keyUsage, ['keyCertSign'])
  })

  test('a signer certificate is for content commitment, says that it is a test, and looks qualified only to machines', async (t) => {
    const hsm = new SoftwareHsm()
    const ca = await hsm.createServiceKey('ca', 'p-256')
    const signer = await hsm.createServiceKey('signer', 'p-256')
    const root = await createRoot(hsm, ca, clock)
    const subject = { commonName: 'Demo Signer', organization: 'Ministry of Silly Walks', serialNumber: 'X-1' }
    const leaf = await issue(hsm, ca, root, { subject, publicKey: signer.publicKey }, clock)
    const facts = parseCertificate(leaf)
    assert.equal(facts.subjectDn, 'CN=Demo Signer,serialNumber=X-1,O=Paraph demo')
    assert.deepEqual(facts.keyUsage, ['nonRepudiation'])
    assert.deepEqual(facts.qcStatements, ['0.4.0.1862.1.1', '0.4.0.1862.1.4', '0.4.0.1862.1.6'])
    assert.deepEqual(facts.policies, [TEST_POLICY])
    assert.deepEqual(facts.criticalExtensions, ['2.5.29.15'])

    const file = await (await folder(t)).put('leaf.der', leaf)
    const { text } = await openssl('x509', '-in', file, '-noout', '-text')
    assert.match(text, /X509v3 Key Usage: critical\s+Non Repudiation\n/)
    assert.match(text, /Policy: 2\.999\.1\n/)
    assert.match(text, /TEST ONLY/)
  })

  test('no certificate points to a revocation list or responder that nobody serves', async () => {
    const hsm = new SoftwareHsm()
    const ca = await hsm.createServiceKey('ca', 'p-256')
    const root = await createRoot(hsm, ca, clock)
    const leaf = await issue(hsm, ca, root, { subject: { commonName: 'A' }, publicKey: ca.publicKey }, clock)
    assert.ok(!Buffer.from(leaf).includes('http'))
    assert.equal(new X509Certificate(leaf).infoAccess, undefined)
  })

  test('it does not outlive its root', async () => {
    const hsm = new SoftwareHsm()
    const ca = await hsm.createServiceKey('ca', 'p-256')
    const root = await createRoot(hsm, ca, clock)
    const request = { subject: { commonName: 'A' }, publicKey: ca.publicKey }
    const later = { now: () => now + 60 * 24 * 3600 * 1000 }
    assert.deepEqual(
      parseCertificate(await issue(hsm, ca, root, request, later)).notAfter,
      parseCertificate(root).notAfter,
    )
    const tooLate = { now: () => now + 91 * 24 * 3600 * 1000 }
    await assert.rejects(issue(hsm, ca, root, request, tooLate), { code: 'not_allowed', detail: /expired/ })
  })

  test('it refuses a request that its key did not sign, and names that fit no certificate', async () => {
    const hsm = new SoftwareHsm()
    const ca = await hsm.createServiceKey('ca', 'p-256')
    const signer = await hsm.createServiceKey('signer', 'p-256')
    const root = await createRoot(hsm, ca, clock)
    const subject = { commonName: 'A' }
    const stolen = await buildRequest({ subject, publicKey: signer.publicKey }, signerOf(hsm, ca))
    await assert.rejects(issue(hsm, ca, root, stolen, clock), { detail: /not signed by its own key/ })
    await assert.rejects(issue(hsm, ca, root, new Uint8Array([0x30, 0]), clock), {
      detail: /not a certificate req/,
    })
    for (const commonName of ['', 'x'.repeat(65), 'a\nb']) {
      const wrong = { subject: { commonName }, publicKey: signer.publicKey }
      await assert.rejects(issue(hsm, ca, root, wrong, clock), { code: 'not_allowed', detail: /common name/ })
    }
  })
})
