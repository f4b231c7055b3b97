import assert from 'node:assert/strict'
import { readFile } from 'node:fs/promises'
import { describe, type TestContext, test } from 'node:test'
import { parseCertificate } from '../../src/pki/certificate.js'
import { createRoot, issue } from '../../src/pki/demo-ca.js'
import { toPem } from '../../src/pki/pem.js'
import { answerOcsp, type CertificateStatus, makeCrl } from '../../src/pki/revocation.js'
import { folder, openssl } from './openssl.js'
import { SoftwareHsm } from './software-hsm.js'

/** OpenSSL judges revocation answers by the real time only. */
const now = Date.now() - 789
const clock = { now: () => now }
const revokedAt = new Date(now - 3_600_123)

async function world(test: TestContext, spec: 'p-256' | 'rsa-2048') {
  const files = await folder(test)
  const hsm = new SoftwareHsm()
  const ca = await hsm.createServiceKey('ca', spec)
  const root = await createRoot(hsm, ca, { now: () => now - 7_200_000 })
  const subject = { commonName: 'Demo Signer' }
  const leaf = await issue(hsm, ca, root, { subject, publicKey: ca.publicKey }, { clock })
  const rootFile = await files.put('root.pem', toPem('CERTIFICATE', root))
  const leafFile = await files.put('leaf.pem', toPem('CERTIFICATE', leaf))
  return { files, hsm, ca, root, leaf, rootFile, leafFile, serialNumber: parseCertificate(leaf).serialNumber }
}

for (const spec of ['p-256', 'rsa-2048'] as const) {
  describe(`revocation by a ${spec} root`, () => {
    test('openssl crl reads and verifies the list, and verify obeys it', async (t) => {
      const { files, hsm, ca, root, rootFile, leafFile, serialNumber } = await world(t, spec)
      const [empty, full] = await Promise.all([
        makeCrl(hsm, ca, root, [], clock),
        makeCrl(hsm, ca, root, [{ serialNumber, revokedAt }], clock),
      ])
      for (const [name, crl, revoked] of [
        ['empty', empty, false],
        ['full', full, true],
      ] as const) {
        const file = await files.put(`${name}.pem`, toPem('X509 CRL', crl))
        const read = await openssl('crl', '-in', file, '-noout', '-CAfile', rootFile, '-text')
        assert.match(read.text, /verify OK/)
        assert.equal(read.text.includes(serialNumber), revoked)
        assert.ok(!/\.\d+ GMT/.test(read.text) && !/\d{14}\.\d/.test(Buffer.from(crl).toString('latin1')))
        const strict = ['-x509_strict', '-crl_check', '-CRLfile', file, '-CAfile', rootFile, leafFile]
        const verdict = await openssl('verify', ...strict)
        assert.equal(verdict.ok, !revoked, verdict.text)
        if (revoked) assert.match(verdict.text, /certificate revoked/)
      }
    })

    test('openssl ocsp asks, and believes the answer', async (t) => {
      const { files, hsm, ca, root, rootFile, leafFile, serialNumber } = await world(t, spec)
      const statuses: [CertificateStatus, RegExp][] = [
        [{ state: 'good' }, /leaf\.pem: good/],
        [{ state: 'revoked', revokedAt }, /leaf\.pem: revoked[\s\S]*Revocation Time/],
        [{ state: 'unknown' }, /leaf\.pem: unknown/],
      ]
      for (const hash of ['sha1', 'sha256', 'sha512']) {
        const query = [`-${hash}`, '-issuer', rootFile, '-cert', leafFile]
        const made = await openssl('ocsp', ...query, '-reqout', files.path('request.der'))
        assert.ok(made.ok, made.text)
        const request = await readFile(files.path('request.der'))
        for (const [status, expected] of statuses) {
          const asked: string[] = []
          const lookup = async (serial: string) => {
            asked.push(serial)
            return status
          }
          const response = await files.put('response.der', await answerOcsp(hsm, ca, root, request, lookup, clock))
          const given = ['-no_nonce', '-reqin', files.path('request.der'), '-respin', response, '-CAfile', rootFile]
          const verdict = await openssl('ocsp', ...query, ...given)
          assert.match(verdict.text, /Response verify OK/)
          assert.match(verdict.text, expected)
          assert.deepEqual(asked, [serialNumber])
          assert.ok(!/\d{14}\.\d/.test((await readFile(response)).toString('latin1')))
          // Without -cert it keeps to the request it is given, and compares the nonce.
          const whole = await openssl('ocsp', '-issuer', rootFile, ...given)
          assert.equal(whole.text, 'Response verify OK\n')
        }
      }
    })
  })
}

describe('answerOcsp', () => {
  test("does not look up another issuer's certificate", async (t) => {
    const { files, hsm, ca, root, rootFile, leafFile } = await world(t, 'p-256')
    const other = await hsm.createServiceKey('other', 'p-256')
    const otherFile = await files.put('other.pem', toPem('CERTIFICATE', await createRoot(hsm, other, clock)))
    await openssl('ocsp', '-issuer', otherFile, '-cert', leafFile, '-reqout', files.path('request.der'))
    const request = await readFile(files.path('request.der'))
    const lookup = () => assert.fail('looked up')
    const response = await files.put('response.der', await answerOcsp(hsm, ca, root, request, lookup, clock))
    const verdict = await openssl(
      ...['ocsp', '-no_nonce', '-respin', response, '-CAfile', rootFile, '-issuer', otherFile, '-cert', leafFile],
    )
    assert.match(verdict.text, /leaf\.pem: unknown/)
  })

  test('says malformedRequest to what is none', async (t) => {
    const { files, hsm, ca, root } = await world(t, 'p-256')
    const lookup = () => assert.fail('looked up')
    for (const request of [new Uint8Array(), Buffer.from('hello'), new Uint8Array([0x30, 0])]) {
      const response = await files.put('response.der', await answerOcsp(hsm, ca, root, request, lookup, clock))
      assert.match((await openssl('ocsp', '-respin', response, '-text')).text, /malformedrequest \(1\)/)
    }
  })
})
