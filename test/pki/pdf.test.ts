import assert from 'node:assert/strict'
import { describe, test } from 'node:test'
import type { KeySpec, Mechanism } from '../../src/hsm/hsm.js'
import { prepareCms } from '../../src/pki/cms.js'
import { createRoot, issue } from '../../src/pki/demo-ca.js'
import { pdfsig, preparePdf } from '../helpers/pdf.js'
import { SoftwareHsm } from './software-hsm.js'

const clock = { now: () => Date.now() }

async function signedPdf(spec: KeySpec, mechanism: Mechanism) {
  const hsm = new SoftwareHsm()
  const ca = await hsm.createServiceKey('ca', 'p-256')
  const key = await hsm.createServiceKey('signer', spec)
  const root = await createRoot(hsm, ca, clock)
  const subject = { commonName: 'Demo Signer' }
  const leaf = await issue(hsm, ca, root, { subject, publicKey: key.publicKey }, clock)
  const pdf = await preparePdf()
  const prepared = prepareCms({ messageDigest: pdf.digest(mechanism.hash), certificates: [leaf, root] })
  const [signature] = await hsm.sign(key, mechanism, [prepared.toSign], Number.POSITIVE_INFINITY)
  assert.ok(signature)
  return { hsm, ca, root, document: pdf.embed(prepared.finish(signature, mechanism)) }
}

describe('a PDF signed with our container', () => {
  for (const [spec, mechanism] of [
    ['rsa-2048', { scheme: 'rsa-pkcs1', hash: 'sha-256' }],
    ['p-256', { scheme: 'ecdsa', hash: 'sha-256' }],
    ['p-384', { scheme: 'ecdsa', hash: 'sha-384' }],
  ] as const) {
    test(`pdfsig calls it valid and trusted: ${spec}`, async () => {
      const { root, document } = await signedPdf(spec, mechanism)
      const verdict = await pdfsig(document, root)
      assert.match(verdict, /Signer Certificate Common Name: Demo Signer/)
      assert.match(verdict, /Signature Type: ETSI\.CAdES\.detached/)
      assert.match(verdict, /Total document signed/)
      assert.match(verdict, /Signature Validation: Signature is Valid\./)
      assert.match(verdict, /Certificate Validation: Certificate is Trusted\./)
    })
  }

  test('pdfsig finds a changed document and a strange root', async () => {
    const { hsm, ca, root, document } = await signedPdf('p-256', { scheme: 'ecdsa', hash: 'sha-256' })
    const changed = Buffer.from(document)
    changed.write('301', changed.indexOf('300 200'))
    assert.match(await pdfsig(changed, root), /Signature Validation: Digest Mismatch\./)
    const stranger = await createRoot(hsm, ca, clock)
    assert.doesNotMatch(await pdfsig(document, stranger), /Certificate is Trusted/)
  })
})
