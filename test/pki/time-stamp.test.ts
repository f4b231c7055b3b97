import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { readFileSync } from 'node:fs'
import { type TestContext, test } from 'node:test'
import { buildRequest } from '../../src/pki/certificate-request.js'
import { createRoot, issue, issueTimeStamping } from '../../src/pki/demo-ca.js'
import { toPem } from '../../src/pki/pem.js'
import { signerOf } from '../../src/pki/service-signer.js'
import { grantedResponse, nonceOf, parseQuery, rejectedResponse, TimeStampRefusal } from '../../src/pki/time-stamp.js'
import { TimeStampAuthority } from '../../src/pki/time-stamp-authority.js'
import { folder, openssl } from './openssl.js'
import { SoftwareHsm } from './software-hsm.js'

const clock = { now: () => Date.now() }
const POLICY = '2.999.7'

async function authority(test: TestContext, spec: 'p-256' | 'rsa-2048' = 'p-256') {
  const hsm = new SoftwareHsm()
  test.after(() => hsm.close())
  const ca = await hsm.createServiceKey('ca', 'p-256')
  const key = await hsm.createServiceKey('tsa', spec)
  const root = await createRoot(hsm, ca, clock)
  const leaf = await issueTimeStamping(hsm, ca, root, key.publicKey, clock)
  const tsa = new TimeStampAuthority({ hsm, key }, { chain: [leaf, root], policy: POLICY, now: new Date() })
  return { hsm, ca, key, root, leaf, tsa }
}

const micros = () => BigInt(Date.now()) * 1000n + 120n

for (const spec of ['p-256', 'rsa-2048'] as const) {
  test(`openssl asks, and takes what an authority with a key of ${spec} answers`, async (context) => {
    const { root, leaf, tsa } = await authority(context, spec)
    const files = await folder(context)
    const data = await files.put('data', randomBytes(100))
    const roots = await files.put('root.pem', toPem('CERTIFICATE', root))
    const untrusted = await files.put('tsa.pem', toPem('CERTIFICATE', leaf))
    for (const options of [
      ['-sha256', '-cert'],
      ['-sha384', '-no_nonce'],
      ['-sha512', '-tspolicy', POLICY],
    ]) {
      await openssl('ts', '-query', '-data', data, ...options, '-out', files.path('query'))
      const wish = parseQuery(readFileSync(files.path('query')), POLICY)
      const reply = await files.put('reply', grantedResponse(await tsa.stamp(wish, micros())))
      const seen = await openssl('ts', '-reply', '-in', reply, '-text')
      for (const line of [/Status: Granted/, /Policy OID: 2\.999\.7/, /Accuracy: 0x01 seconds/, /Ordering: yes/]) {
        assert.match(seen.text, line)
      }
      assert.match(seen.text, /Time stamp: \w+ +\d+ \d\d:\d\d:\d\d\.\d+ \d+ GMT/)
      for (const against of [
        ['-queryfile', files.path('query')],
        ['-data', data],
      ]) {
        const verdict = await openssl(
          'ts',
          '-verify',
          '-in',
          reply,
          ...against,
          '-CAfile',
          roots,
          '-untrusted',
          untrusted,
        )
        assert.match(verdict.text, /Verification: OK/)
      }
      const other = await files.put('other', 'something else')
      assert.ok(
        !(await openssl('ts', '-verify', '-in', reply, '-data', other, '-CAfile', roots, '-untrusted', untrusted)).ok,
      )
      // Without being asked for, no certificate comes.
      const holds = Buffer.from(readFileSync(reply)).includes(Buffer.from(leaf))
      assert.equal(holds, options.includes('-cert'))
    }
  })
}

test('a query that cannot be answered is told why', async (context) => {
  const files = await folder(context)
  const data = await files.put('data', 'text')
  const query = async (...options: string[]) => {
    await openssl('ts', '-query', '-data', data, ...options, '-out', files.path('query'))
    return readFileSync(files.path('query'))
  }
  const whole = await query('-sha256', '-no_nonce')
  const later = Buffer.from(whole)
  later[4] = 2
  const cases: readonly [string, Buffer][] = [
    ['badAlg', await query('-sha1')],
    ['badAlg', await query('-md5')],
    ['badDataFormat', Buffer.from('nonsense')],
    ['badDataFormat', whole.subarray(0, -1)],
    ['badDataFormat', Buffer.concat([whole, Buffer.of(0)])],
    ['badDataFormat', Buffer.alloc(0)],
    ['badRequest', later],
    ['unacceptedPolicy', await query('-sha256', '-tspolicy', '1.2.3')],
  ]
  for (const [failure, der] of cases) {
    let refusal: unknown
    try {
      parseQuery(der, POLICY)
    } catch (error) {
      refusal = error
    }
    assert.ok(refusal instanceof TimeStampRefusal && refusal.failure === failure, `${failure}: ${refusal}`)
    const reply = await files.put('reply', rejectedResponse(refusal))
    const { text } = await openssl('ts', '-reply', '-in', reply, '-text')
    assert.match(text, /Status: Rejected/)
    assert.match(text, new RegExp(`Status description: ${refusal.message}`))
    assert.match(text, /Failure info: \w/)
  }
})

test('a nonce comes back as it was', async (context) => {
  const { tsa } = await authority(context)
  const files = await folder(context)
  for (const hex of ['0', '7f', '80', 'FFFFFFFFFFFFFFFF', '00ab', 'f'.repeat(128)]) {
    const imprint = { algorithm: 'sha-256', bytes: randomBytes(32) } as const
    const token = await tsa.stamp({ imprint, nonce: nonceOf(hex), certificates: true }, micros())
    const { text } = await openssl('ts', '-reply', '-token_in', '-in', await files.put('token', token), '-text')
    assert.match(text, new RegExp(`Nonce: (0x)?0*${BigInt(`0x${hex}`).toString(16)}\n`, 'i'))
  }
})

test('a chain that is not for time-stamps with this key is refused', async (context) => {
  const { hsm, ca, key, root, leaf } = await authority(context)
  const another = await hsm.createServiceKey('another', 'p-256')
  const anotherRoot = await createRoot(hsm, another, clock)
  const request = await buildRequest(
    { subject: { commonName: 'Signer' }, publicKey: key.publicKey },
    signerOf(hsm, key),
  )
  const signers = await issue(hsm, ca, root, request, clock)
  const open = (chain: readonly Uint8Array[], holder = key) =>
    new TimeStampAuthority({ hsm, key: holder }, { chain, policy: POLICY, now: new Date() })
  open([leaf])
  assert.throws(() => open([]), /empty/)
  assert.throws(() => open([leaf, root], another), /for another key/)
  assert.throws(() => open([signers, root]), /timeStamping/)
  assert.throws(() => open([leaf, anotherRoot]), /is not signed by/)
})

test('nothing is stamped after the certificate has expired', async (context) => {
  const { tsa } = await authority(context)
  const imprint = { algorithm: 'sha-256', bytes: randomBytes(32) } as const
  const late = micros() + 91n * 86_400_000_000n
  await assert.rejects(tsa.stamp({ imprint, certificates: true }, late), { code: 'unavailable' })
})
