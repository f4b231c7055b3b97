/** R7: whose time-stamps are believed, of our own authority and of OpenSSL's, and how they are forged. */
import assert from 'node:assert/strict'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import type { ServiceKey } from '../../src/hsm/hsm.js'
import { digestOf } from '../../src/pki/algorithm.js'
import { prepareCms } from '../../src/pki/cms.js'
import { createRoot, issue, issueTimeStamping } from '../../src/pki/demo-ca.js'
import { toPem } from '../../src/pki/pem.js'
import { signerOf } from '../../src/pki/service-signer.js'
import { grantedResponse, TST_INFO, timeStampInfo } from '../../src/pki/time-stamp.js'
import { TimeStampAuthority } from '../../src/pki/time-stamp-authority.js'
import { parseNote } from '../../src/tlog/note.js'
import { readTimeStamp, readTrusted } from '../../src/verifier/time-stamps.js'
import { verifyPack } from '../../src/verifier/verify.js'
import { OpensslTsa } from '../helpers/openssl-tsa.js'
import { TestLog } from '../helpers/pack.js'
import { SoftwareHsm } from '../pki/software-hsm.js'

const TEXT = Buffer.from('some checkpoint')
const POLICY = '2.999.7'
const clock = { now: () => Date.now() }
const folder = mkdtempSync(join(tmpdir(), 'paraph-stamps-'))
const hsm = new SoftwareHsm()
after(async () => {
  await hsm.close()
  rmSync(folder, { recursive: true })
})

let ca: ServiceKey
let key: ServiceKey
let root: Uint8Array
let leaf: Uint8Array
let foreign: OpensslTsa
before(async () => {
  foreign = new OpensslTsa(join(folder, 'tsa'))
  ca = await hsm.createServiceKey('ca', 'p-256')
  key = await hsm.createServiceKey('tsa', 'p-256')
  root = await createRoot(hsm, ca, clock)
  leaf = await issueTimeStamping(hsm, ca, root, key.publicKey, clock)
})

const pem = (...certificates: Uint8Array[]) => certificates.map((der) => toPem('CERTIFICATE', der)).join('')
const wish = (text: Uint8Array) => ({
  imprint: digestOf('sha-256', text),
  nonce: Buffer.from('020105', 'hex'),
  certificates: true,
})

async function ours(text: Uint8Array, at = BigInt(Date.now()) * 1000n): Promise<Buffer> {
  const tsa = new TimeStampAuthority({ hsm, key }, { chain: [leaf, root], policy: POLICY, now: new Date() })
  return Buffer.from(grantedResponse(await tsa.stamp(wish(text), at)))
}

/** Signed by this key over what a token says, with these certificates, whatever they are for. */
async function forged(holder: ServiceKey, named: Uint8Array, included: readonly Uint8Array[]): Promise<Buffer> {
  const bytes = timeStampInfo(wish(TEXT), POLICY, BigInt(Date.now()) * 1000n)
  const content = { type: TST_INFO, bytes }
  const prepared = prepareCms({ messageDigest: digestOf('sha-256', bytes), certificates: [named], content, included })
  const mechanism = { scheme: 'ecdsa', hash: 'sha-256' } as const
  return Buffer.from(
    grantedResponse(prepared.finish(await signerOf(hsm, holder)(prepared.toSign, mechanism), mechanism)),
  )
}

test('an authority is believed by its own certificate, or by that of its issuer', async () => {
  const response = await ours(TEXT)
  for (const trusted of [pem(leaf), pem(root), foreign.root + pem(root)]) {
    const { time, nonce } = readTimeStamp(response, TEXT, readTrusted(trusted))
    assert.ok(Math.abs(time - Date.now()) < 60_000)
    assert.deepEqual([...(nonce ?? [])], [5])
  }
  const theirs = foreign.stamp(TEXT.toString())
  for (const trusted of [foreign.certificate, foreign.root]) readTimeStamp(theirs, TEXT, readTrusted(trusted))
  for (const [stamp, trusted] of [
    [response, foreign.root],
    [response, foreign.certificate],
    [theirs, pem(root)],
    [theirs, pem(leaf)],
  ] as const) {
    assert.throws(() => readTimeStamp(stamp, TEXT, readTrusted(trusted)), /no authority that is trusted/)
  }
})

test('somebody who only takes the name of an issuer that is believed is nobody', async () => {
  const another = await hsm.createServiceKey('another-ca', 'p-256')
  const anotherKey = await hsm.createServiceKey('another-tsa', 'p-256')
  const own = await issueTimeStamping(hsm, another, root, anotherKey.publicKey, clock)
  const response = await forged(anotherKey, own, [own, root])
  readTimeStamp(response, TEXT)
  assert.throws(() => readTimeStamp(response, TEXT, readTrusted(pem(root))), /no authority that is trusted/)
})

test('a certificate that is not for time-stamps, or not the one that is named, confirms nothing', async () => {
  const signers = await issue(hsm, ca, root, { subject: { commonName: 'Signer' }, publicKey: key.publicKey }, clock)
  const second = await issueTimeStamping(hsm, ca, root, key.publicKey, clock)
  const trusted = readTrusted(pem(root))
  readTimeStamp(await forged(key, leaf, [leaf]), TEXT, trusted)
  for (const [response, text] of [
    [await forged(key, signers, [signers]), /not for time-stamps alone/],
    [await forged(key, leaf, [second]), /the certificate that it names/],
    [await forged(key, leaf, []), /the certificate that it names/],
  ] as const) {
    assert.throws(() => readTimeStamp(response, TEXT, trusted), text)
    assert.throws(() => readTimeStamp(response, TEXT), text)
  }
})

test('a time-stamp outside the life of its certificate is none', async () => {
  const trusted = readTrusted(pem(root))
  const dayBefore = BigInt(Date.now() - 86_400_000) * 1000n
  const early = await ours(TEXT, dayBefore)
  assert.throws(() => readTimeStamp(early, TEXT, trusted), /was not valid at its time/)
})

test('what was signed cannot be changed', async () => {
  const response = await ours(TEXT)
  const trusted = readTrusted(pem(root))
  const { time } = readTimeStamp(response, TEXT, trusted)
  for (let bit = 0; bit < response.length * 8; bit += 5) {
    const spoiled = Buffer.from(response)
    spoiled[bit >> 3] = (spoiled[bit >> 3] as number) ^ (1 << (bit & 7))
    let taken = time
    try {
      taken = readTimeStamp(spoiled, TEXT, trusted).time
    } catch (error) {
      assert.ok(error instanceof RangeError, String(error))
    }
    assert.equal(taken, time)
  }
})

test('a pack with anchors of both is right, and wrong where one comes from nobody who is believed', async () => {
  const log = new TestLog()
  log.now = Date.now() - 60_000
  const first = log.publish()
  const note = parseNote(first)
  log.anchors.set(log.entries.length, await ours(Buffer.from(note.text)))
  const size = log.entries.length
  log.commit(log.sam, [{ type: 'audit.stop', outcome: 'ok', actor: { kind: 'system' } }])
  log.anchors.set(log.entries.length, foreign.stamp(parseNote(log.publish()).text))
  const path = join(folder, 'pack')
  await log.write(path)
  const verdict = async (timeStampsBy: string | undefined) =>
    verifyPack({ root: path, policy: log.policy(), ...(timeStampsBy === undefined ? {} : { timeStampsBy }) })
  assert.equal((await verdict(undefined)).verdict, 'ok')
  assert.equal((await verdict(pem(root) + foreign.root)).verdict, 'ok')
  const { faults } = await verdict(foreign.root)
  assert.deepEqual(
    faults.map(({ rule, file, what }) => [rule, file, what]),
    [['R7', `anchors/${size}.tsr`, 'the time-stamp comes from no authority that is trusted']],
  )
})

test('a file without certificates names nobody', () => {
  assert.throws(() => readTrusted('nothing'), /no certificate in PEM/)
  assert.equal(readTrusted(pem(root))[0]?.raw.equals(root), true)
})
