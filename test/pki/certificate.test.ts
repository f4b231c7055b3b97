import assert from 'node:assert/strict'
import { createPublicKey } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { describe, type TestContext, test } from 'node:test'
import { checkChain, parseCertificate, parseChain } from '../../src/pki/certificate.js'
import { trustedPath } from '../../src/pki/trust.js'
import { folder, openssl } from './openssl.js'

/** An hour from now: everything made in here is valid then. */
const now = new Date(Date.now() + 3600 * 1000)
const YEAR = 365

interface Wish {
  readonly subject: string
  readonly issuer?: Made
  readonly extensions: string
  readonly days?: number
}

interface Made {
  readonly pem: string
  readonly der: Uint8Array
  readonly certificate: string
  readonly key: string
}

/** Certificates made by OpenSSL, so that we do not judge our own work by our own work. */
async function authority(test: TestContext): Promise<(wish: Wish) => Promise<Made>> {
  const files = await folder(test)
  let count = 0
  return async ({ subject, issuer, extensions, days = YEAR }) => {
    count += 1
    const [key, request, certificate] = ['key', 'csr', 'pem'].map((kind) => files.path(`${count}.${kind}`))
    assert.ok(key && request && certificate)
    const config = await files.put(`${count}.cnf`, `[e]\n${extensions}\n`)
    const steps = [
      ['genpkey', '-algorithm', 'EC', '-pkeyopt', 'ec_paramgen_curve:P-256', '-out', key],
      ['req', '-new', '-key', key, '-subj', subject, '-utf8', '-multivalue-rdn', '-out', request],
      [
        ...['x509', '-req', '-in', request, '-days', String(days), '-extfile', config, '-extensions', 'e'],
        ...(issuer === undefined ? ['-signkey', key] : ['-CA', issuer.certificate, '-CAkey', issuer.key]),
        ...['-set_serial', '0x8f0102', '-out', certificate],
      ],
    ]
    for (const step of steps) {
      const { ok, text } = await openssl(...step)
      assert.ok(ok, text)
    }
    const pem = await readFile(certificate, 'utf8')
    const [der] = parseChain(pem)
    assert.ok(der)
    return { pem, der, certificate, key }
  }
}

const CA = 'basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign'
const SIGNER = 'keyUsage=critical,nonRepudiation'

function publicKeyOf({ pem }: Made): Uint8Array {
  return new Uint8Array(createPublicKey(pem).export({ type: 'spki', format: 'der' }))
}

describe('parseCertificate', () => {
  test('reads what OpenSSL wrote', async (t) => {
    const make = await authority(t)
    const made = await make({
      subject: '/C=PL/O=Smith\\, Jones \\+ Co/OU=a+UID=7/GN=Żaneta/SN=Kowalska/CN= #Żaneta \\"Z\\" ',
      extensions: `${SIGNER}\ncertificatePolicies=1.2.3.4,0.4.0.194112.1.2\nextendedKeyUsage=emailProtection`,
    })
    const facts = parseCertificate(made.der)
    assert.equal(
      facts.subjectDn,
      'CN=\\ #Żaneta \\"Z\\"\\ ,sn=Kowalska,givenName=Żaneta,OU=a+UID=7,O=Smith\\, Jones \\+ Co,C=PL',
    )
    assert.equal(facts.issuerDn, facts.subjectDn)
    assert.equal(facts.commonName, ' #Żaneta "Z" ')
    assert.equal(facts.organization, 'Smith, Jones + Co')
    assert.equal(facts.serialNumber, '8F0102')
    assert.deepEqual(facts.keyUsage, ['nonRepudiation'])
    assert.deepEqual(facts.extendedKeyUsage, ['1.3.6.1.5.5.7.3.4'])
    assert.deepEqual(facts.policies, ['1.2.3.4', '0.4.0.194112.1.2'])
    assert.deepEqual(facts.qcStatements, [])
    assert.deepEqual(facts.publicKey, publicKeyOf(made))
    assert.equal(facts.notAfter.getTime() - facts.notBefore.getTime(), YEAR * 24 * 3600 * 1000)
  })

  test('a name cannot put control characters on a terminal', async (t) => {
    const make = await authority(t)
    const { der } = await make({ subject: '/CN=a\u001b[2Jb\u202ec', extensions: SIGNER })
    assert.equal(parseCertificate(der).subjectDn, 'CN=a\\1b[2Jb\\e2\\80\\aec')
  })

  test('refuses what is no certificate, or one with something behind it', async (t) => {
    const make = await authority(t)
    const { der } = await make({ subject: '/CN=A', extensions: SIGNER })
    const damaged = [new Uint8Array(), der.subarray(0, -1), new Uint8Array([...der, 0]), new Uint8Array(70_000)]
    for (const bytes of damaged) {
      assert.throws(() => parseCertificate(bytes), { code: 'not_allowed', detail: 'not a certificate' })
    }
  })
})

describe('parseChain', () => {
  test('keeps the order and takes text around the blocks, as tools write it', async (t) => {
    const make = await authority(t)
    const root = await make({ subject: '/CN=Root', extensions: CA })
    const leaf = await make({ subject: '/CN=Leaf', issuer: root, extensions: SIGNER })
    const chain = parseChain(`subject=CN = Leaf\n${leaf.pem}\nissuer\n${root.pem.replaceAll('\n', '\r\n')}`)
    assert.deepEqual(chain, [leaf.der, root.der])
  })

  test('refuses everything else', async (t) => {
    const make = await authority(t)
    const { pem, key } = await make({ subject: '/CN=A', extensions: SIGNER })
    const refused: [string, RegExp][] = [
      ['', /no complete CERTIFICATE block/],
      ['hello', /no complete CERTIFICATE block/],
      [pem.slice(0, -10), /no complete CERTIFICATE block/],
      [`${pem}${pem.slice(0, -10)}`, /no complete CERTIFICATE block/],
      [pem.replace('MII', 'M!I'), /damaged/],
      [pem.replace('MII', 'MIX'), /not a certificate/],
      [`${pem}${await readFile(key, 'utf8')}`, /something else than CERTIFICATE/],
      [pem.repeat(11), /at most 10/],
    ]
    for (const [text, detail] of refused) {
      assert.throws(() => parseChain(text), { code: 'not_allowed', detail }, `${detail}`)
    }
  })
})

describe('checkChain', () => {
  test('accepts leaf, intermediate and root', async (t) => {
    const make = await authority(t)
    const root = await make({ subject: '/CN=Root', extensions: CA })
    const sub = await make({ subject: '/CN=Sub', issuer: root, extensions: CA.replace('TRUE', 'TRUE,pathlen:0') })
    const leaf = await make({ subject: '/CN=Leaf', issuer: sub, extensions: SIGNER })
    const publicKey = publicKeyOf(leaf)
    checkChain([leaf.der, sub.der, root.der], { publicKey, now })
    checkChain([leaf.der, sub.der], { publicKey, now })
    checkChain([leaf.der], { publicKey, now })
    assert.throws(() => checkChain([leaf.der, root.der, sub.der], { publicKey, now }), {
      detail: 'CN=Leaf is not signed by CN=Root',
    })
    assert.throws(() => checkChain([leaf.der, sub.der, root.der], { publicKey: publicKeyOf(root), now }), {
      detail: 'the certificate is for another key',
    })
  })

  test('says why it refuses', async (t) => {
    const make = await authority(t)
    const root = await make({ subject: '/CN=Root', extensions: CA })
    const bare = `${CA}\nsubjectKeyIdentifier=none\nauthorityKeyIdentifier=none`
    const original = await make({ subject: '/CN=Bare', extensions: bare })
    const impostor = await make({ subject: '/CN=Bare', extensions: bare })
    const believer = await make({
      subject: '/CN=Believer',
      issuer: original,
      extensions: `${SIGNER}\nauthorityKeyIdentifier=none`,
    })
    const tight = await make({ subject: '/CN=Tight', extensions: CA.replace('TRUE', 'TRUE,pathlen:0') })
    const sub = await make({ subject: '/CN=Sub', issuer: tight, extensions: CA })
    const person = await make({
      subject: '/CN=Person',
      issuer: root,
      extensions: 'basicConstraints=CA:FALSE',
    })
    const leaf = await make({ subject: '/CN=Leaf', issuer: root, extensions: SIGNER })
    const old = await make({ subject: '/CN=Old root', extensions: CA, days: 1 })
    const day = 24 * 3600 * 1000
    const refused: [string, Made[], RegExp, Date?][] = [
      ['no certificate at all', [], /the chain is empty/],
      ['a CA as signer', [root], /is a CA certificate/],
      [
        'a certificate for something else',
        [await make({ subject: '/CN=A', extensions: 'keyUsage=keyAgreement' })],
        /key usage/,
      ],
      ['no key usage', [await make({ subject: '/CN=A', extensions: 'subjectKeyIdentifier=hash' })], /key usage/],
      ['another root of the same name', [believer, impostor], /CN=Believer is not signed by CN=Bare/],
      [
        'an issuer that is no CA',
        [await make({ subject: '/CN=A', issuer: person, extensions: SIGNER }), person],
        /CN=Person may not issue certificates/,
      ],
      [
        'a longer chain than the root allows',
        [await make({ subject: '/CN=A', issuer: sub, extensions: SIGNER }), sub, tight],
        /Tight does not allow/,
      ],
      ['not yet valid', [leaf, root], /CN=Leaf is not valid before/, new Date(now.getTime() - day)],
      ['no longer valid', [leaf, root], /CN=Leaf expired on/, new Date(now.getTime() + 400 * day)],
      [
        'an issuer that expired',
        [await make({ subject: '/CN=A', issuer: old, extensions: SIGNER }), old],
        /CN=Old root expired/,
        new Date(now.getTime() + 2 * day),
      ],
    ]
    for (const [name, chain, detail, when = now] of refused) {
      const publicKey = chain[0] === undefined ? new Uint8Array() : publicKeyOf(chain[0])
      const ders = chain.map(({ der }) => der)
      assert.throws(() => checkChain(ders, { publicKey, now: when }), { code: 'not_allowed', detail }, name)
    }
  })
})

describe('trustedPath', () => {
  test('finds its way from the signer to a trusted root, whatever the order', async (t) => {
    const make = await authority(t)
    const root = await make({ subject: '/CN=Root', extensions: CA })
    const sub = await make({ subject: '/CN=Sub', issuer: root, extensions: CA })
    const leaf = await make({ subject: '/CN=Leaf', issuer: sub, extensions: SIGNER })
    const stranger = await make({ subject: '/CN=Root', extensions: CA })
    const others = [stranger.der, root.der, sub.der, leaf.der]
    assert.deepEqual(trustedPath(leaf.der, others, [stranger.der, root.der], now), [leaf.der, sub.der, root.der])
    assert.deepEqual(trustedPath(leaf.der, others, [sub.der], now), [leaf.der, sub.der])
    assert.throws(() => trustedPath(leaf.der, others, [stranger.der], now), {
      detail: 'CN=Root is not issued by a trusted root',
    })
    assert.throws(() => trustedPath(leaf.der, [], [root.der], now), { detail: /CN=Leaf is not issued by a trusted/ })
  })

  test('refuses a path with a restriction that it does not understand', async (t) => {
    const make = await authority(t)
    const root = await make({ subject: '/CN=Root', extensions: CA })
    const extensions = `${CA}\nnameConstraints=critical,permitted;email:example.test`
    const sub = await make({ subject: '/CN=Sub', issuer: root, extensions })
    const leaf = await make({ subject: '/CN=Leaf', issuer: sub, extensions: SIGNER })
    assert.throws(() => trustedPath(leaf.der, [sub.der], [root.der], now), { detail: /not understood: 2\.5\.29\.30/ })
  })
})
