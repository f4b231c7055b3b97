import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { after, describe, it } from 'node:test'
import { digest } from '../../src/digest.js'
import { makeKek, makeSealingKey } from '../../src/hsm/ceremony.js'
import type { Hsm, Mechanism, SignerKey } from '../../src/hsm/hsm.js'
import { openHsm } from '../../src/hsm/open-hsm.js'
import { verifyDigest } from '../../src/hsm/openssl.js'
import { CK, type Handle } from '../../src/hsm/pkcs11.js'
import { findToken, openModule } from '../../src/hsm/pkcs11-module.js'
import { readSecretFile } from '../../src/secret-file.js'
import { hsmContract } from '../contract/hsm.js'
import { SOFTHSM, tempToken } from '../helpers/temp-token.js'

const token = await tempToken()
after(() => token.remove())

hsmContract('PKCS#11 device on SoftHSM', (options) => openHsm(token.uri, options))

describe('a KEK and a sealing key of a second epoch', () => {
  it('are used for what is new, while the first still serves what is there', async () => {
    const before = await openHsm(token.uri)
    const old = await keyAndSecret(before)

    const { pkcs11, release } = openModule(SOFTHSM)
    const { slot } = findToken(pkcs11, 'paraph') as { slot: Handle }
    const session = pkcs11.C_OpenSession(slot, CK.CKF_SERIAL_SESSION | CK.CKF_RW_SESSION)
    try {
      pkcs11.C_Login(session, CK.CKU_USER, readSecretFile(token.pinFile))
    } catch {
      // The open device has logged this process in.
    }
    makeKek(SOFTHSM, session, 2)
    makeSealingKey(SOFTHSM, session, 2)
    pkcs11.C_CloseSession(session)
    release()
    await before.close()

    const hsm = await openHsm(token.uri)
    try {
      const fresh = await keyAndSecret(hsm)
      for (const { key, publicKey, sealed } of [old, fresh]) {
        const mechanism: Mechanism = { scheme: 'ecdsa', hash: 'sha-256' }
        const one = digest('sha-256', randomBytes(32))
        const [signature] = await hsm.sign(key, mechanism, [one], Number.POSITIVE_INFINITY)
        assert.ok(verifyDigest(publicKey, mechanism, one, signature as Uint8Array))
        assert.equal(Buffer.from(await hsm.unseal(sealed, Buffer.from('place'))).toString(), 'secret')

        // The other KEK's number on it makes it another blob.
        const renumbered = Buffer.from(key.blob)
        renumbered.writeUInt16BE(3 - renumbered.readUInt16BE(1), 1)
        const moved = { ...key, blob: renumbered }
        await assert.rejects(hsm.sign(moved, mechanism, [one], Number.POSITIVE_INFINITY), { code: 'rejected' })
      }
      const epochs = ({ key, sealed }: typeof old) => {
        const [blob, box] = [Buffer.from(key.blob), Buffer.from(sealed)]
        return [blob.readUInt16BE(1), blob.readUInt16BE(3), box.readUInt16BE(1)]
      }
      assert.deepEqual(epochs(old), [1, 1, 1])
      assert.deepEqual(epochs(fresh), [2, 2, 2])
    } finally {
      await hsm.close()
    }
  })
})

async function keyAndSecret(hsm: Hsm): Promise<{ key: SignerKey; publicKey: Uint8Array; sealed: Uint8Array }> {
  const associatedData = randomBytes(8)
  const { publicKey, blob } = await hsm.generateSignerKey('p-256', associatedData)
  const key: SignerKey = {
    kind: 'signer',
    cacheId: associatedData.toString('hex'),
    spec: 'p-256',
    blob,
    associatedData,
  }
  return { key, publicKey, sealed: await hsm.seal(Buffer.from('secret'), Buffer.from('place')) }
}
