import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { chmodSync, readFileSync, writeFileSync } from 'node:fs'
import { after, before, describe, it, type TestContext } from 'node:test'
import { type Digest, digest } from '../../src/digest.js'
import type { Hsm, Mechanism, SignerKey } from '../../src/hsm/hsm.js'
import { openHsm } from '../../src/hsm/open-hsm.js'
import { verifyDigest } from '../../src/hsm/openssl.js'
import { CK, type Handle, type Pkcs11 } from '../../src/hsm/pkcs11.js'
import { findToken, openModule, type Pkcs11Module } from '../../src/hsm/pkcs11-module.js'
import { SOFTHSM, type TempToken, tempToken } from '../helpers/temp-token.js'

const NEVER = Number.POSITIVE_INFINITY
const ECDSA: Mechanism = { scheme: 'ecdsa', hash: 'sha-256' }

type Breakable = Pkcs11 & { C_CloseAllSessions(slot: Handle): void }
type Call = {
  [Name in keyof Breakable]: Breakable[Name] extends (...args: never[]) => unknown ? Name : never
}[keyof Breakable]

describe('a PKCS#11 device whose sessions break', () => {
  let token: TempToken
  let hsm: Hsm
  let module: Pkcs11Module
  /** The binding object that the device uses too. */
  let pkcs11: Breakable
  let slot: Handle
  let key: SignerKey
  let publicKey: Uint8Array

  before(async () => {
    token = await tempToken()
    hsm = await openHsm(token.uri)
    module = openModule(SOFTHSM)
    pkcs11 = module.pkcs11 as Breakable
    slot = findToken(pkcs11, 'paraph')?.slot as Handle
    const associatedData = Buffer.from('row')
    const made = await hsm.generateSignerKey('p-256', associatedData)
    publicKey = made.publicKey
    key = { kind: 'signer', cacheId: 'row', spec: 'p-256', blob: made.blob, associatedData }
  })
  after(async () => {
    await hsm.close()
    module.release()
    token.remove()
  })

  function digests(count: number): Digest[] {
    return Array.from({ length: count }, () => digest('sha-256', randomBytes(32)))
  }

  async function assertSigns(count = 1): Promise<void> {
    const some = digests(count)
    const signatures = await hsm.sign(key, ECDSA, some, NEVER)
    assert.equal(signatures.length, count)
    for (const [index, each] of some.entries()) {
      assert.ok(verifyDigest(publicKey, ECDSA, each, signatures[index] as Uint8Array))
    }
  }

  /** Makes a call of the module fail as often as said, from now on. */
  function failing(t: TestContext, name: Call, value: number, times: number) {
    const real = pkcs11[name] as (...args: unknown[]) => unknown
    let left = times
    return t.mock.method(pkcs11, name, ((...args: unknown[]) => {
      if (left-- > 0) throw new Error(`CKR_MADE_UP:${value}`)
      return real.apply(pkcs11, args)
    }) as never)
  }

  const accidents: Record<string, () => void> = {
    'all sessions closed behind its back': () => pkcs11.C_CloseAllSessions(slot),
    'logged out behind its back': () => {
      const session = pkcs11.C_OpenSession(slot, CK.CKF_SERIAL_SESSION)
      pkcs11.C_Logout(session)
      pkcs11.C_CloseSession(session)
    },
    'the module finalised behind its back': () => pkcs11.C_Finalize(),
  }
  for (const [name, accident] of Object.entries(accidents)) {
    it(`goes on with the next call: ${name}`, async () => {
      const service = await hsm.serviceKey('announce').catch(() => hsm.createServiceKey('announce', 'p-256'))
      const sealed = await hsm.seal(Buffer.from('secret'), Buffer.from('place'))
      const calls: Record<string, () => Promise<void>> = {
        sign: () => assertSigns(),
        'sign by a service key': async () => {
          const [one] = digests(1)
          const [signature] = await hsm.sign(service, ECDSA, [one as Digest], NEVER)
          assert.ok(verifyDigest(service.publicKey, ECDSA, one as Digest, signature as Uint8Array))
        },
        unseal: async () => {
          assert.equal(Buffer.from(await hsm.unseal(sealed, Buffer.from('place'))).toString(), 'secret')
        },
        seal: async () => void (await hsm.seal(Buffer.of(1), Buffer.of(1))),
        generate: async () => void (await hsm.generateSignerKey('p-256', Buffer.of(1))),
        random: async () => void (await hsm.random(8)),
        'create a service key': async () => void (await hsm.createServiceKey(`made-${made++}`, 'p-256')),
      }
      for (const [what, call] of Object.entries(calls)) {
        await assertSigns()
        accident()
        await assert.doesNotReject(call(), what)
      }
    })
  }
  let made = 0

  it('goes on in the middle of a batch', async () => {
    const batches = [assertSigns(100), assertSigns(100), assertSigns(100)]
    // Each batch has signed its first turn by now, and waits for the second.
    pkcs11.C_CloseAllSessions(slot)
    await Promise.all(batches)
  })

  it('signs once more only when the signature had not begun', async (t) => {
    await assertSigns()
    for (const [value, name] of [
      [0xb3, 'CKR_SESSION_HANDLE_INVALID'],
      [0x60, 'CKR_KEY_HANDLE_INVALID'],
      [0x30, 'CKR_DEVICE_ERROR'],
      [0x32, 'CKR_DEVICE_REMOVED'],
      [0x101, 'CKR_USER_NOT_LOGGED_IN'],
    ] as const) {
      const init = failing(t, 'C_SignInit', value, 1)
      await assertSigns()
      assert.equal(init.mock.callCount(), 2, name)
      init.mock.restore()
    }
    for (const value of [0x05, 0x30, 0x32, 0xb3, 0x101]) {
      const sign = failing(t, 'C_Sign', value, 1)
      await assert.rejects(hsm.sign(key, ECDSA, digests(3), NEVER), { code: 'indeterminate' })
      assert.equal(sign.mock.callCount(), 1)
      sign.mock.restore()
      await assertSigns()
    }
  })

  it('tells what began from what did not', async (t) => {
    const never = failing(t, 'C_SignInit', 0x30, Number.POSITIVE_INFINITY)
    await assert.rejects(hsm.sign(key, ECDSA, digests(2), NEVER), { code: 'unavailable' })
    assert.equal(never.mock.callCount(), 2)
    never.mock.restore()

    const general = failing(t, 'C_SignInit', 0x05, 1)
    await assert.rejects(hsm.sign(key, ECDSA, digests(2), NEVER), { code: 'unavailable' })
    assert.equal(general.mock.callCount(), 1)
    general.mock.restore()

    const mechanism = failing(t, 'C_SignInit', 0x70, 1)
    await assert.rejects(hsm.sign(key, ECDSA, digests(2), NEVER), { code: 'unsupported' })
    mechanism.mock.restore()

    // The first digest is signed, the second cannot be begun: the call as a whole has used the device.
    const init = pkcs11.C_SignInit
    let calls = 0
    const second = t.mock.method(pkcs11, 'C_SignInit', (...args: Parameters<typeof init>) => {
      if (++calls === 2) throw new Error('CKR_MADE_UP:5')
      init.apply(pkcs11, args)
    })
    await assert.rejects(hsm.sign(key, ECDSA, digests(2), NEVER), { code: 'indeterminate' })
    second.mock.restore()
    await assertSigns()
  })

  it('never uses a session again on which something failed', async (t) => {
    await assertSigns()
    const sessions: string[] = []
    const init = pkcs11.C_SignInit
    t.mock.method(pkcs11, 'C_SignInit', (...args: Parameters<typeof init>) => {
      sessions.push(args[0].toString('hex'))
      init.apply(pkcs11, args)
    })
    failing(t, 'C_Sign', 0x05, 1)
    await assert.rejects(hsm.sign(key, ECDSA, digests(1), NEVER))
    await assertSigns()
    await assertSigns()
    const [failed, next, afterNext] = sessions
    assert.notEqual(next, failed)
    assert.equal(afterNext, next)
    // An operation left open on the failed session would be CKR_OPERATION_ACTIVE on its next use.
    assert.throws(() => init.call(pkcs11, Buffer.from(failed ?? '', 'hex'), { mechanism: 0x1041 }, Buffer.alloc(8)))
  })

  it('says unavailable, and not rejected, when unsealing fails on a device that cannot seal either', async (t) => {
    const sealed = await hsm.seal(Buffer.from('secret'), Buffer.from('place'))
    failing(t, 'C_Decrypt', 0x05, 1)
    const encrypt = failing(t, 'C_Encrypt', 0x05, 1)
    await assert.rejects(hsm.unseal(sealed, Buffer.from('place')), { code: 'unavailable' })
    encrypt.mock.restore()
    assert.equal(Buffer.from(await hsm.unseal(sealed, Buffer.from('place'))).toString(), 'secret')
  })

  it('searches the token for nothing when it signs, with the key in the cache or not', async (t) => {
    const service = await hsm.createServiceKey('searched', 'p-256')
    const fresh = await openHsm(token.uri)
    try {
      const find = t.mock.method(pkcs11, 'C_FindObjectsInit')
      await fresh.sign(key, ECDSA, digests(2), NEVER)
      await fresh.sign(key, ECDSA, digests(2), NEVER)
      await fresh.sign(service, ECDSA, digests(2), NEVER)
      assert.equal(find.mock.callCount(), 0)
    } finally {
      await fresh.close()
    }
  })

  it('unwraps a key once, and again after it fell out of the cache', async (t) => {
    const small = await openHsm(token.uri, { cachedKeys: 1 })
    try {
      const associatedData = Buffer.from('other')
      const { blob } = await small.generateSignerKey('p-256', associatedData)
      const other: SignerKey = { kind: 'signer', cacheId: 'other', spec: 'p-256', blob, associatedData }
      const unwrap = t.mock.method(pkcs11, 'C_UnwrapKey')
      const destroy = t.mock.method(pkcs11, 'C_DestroyObject')
      for (const [each, unwrapped, destroyed] of [
        [key, 1, 0],
        [key, 1, 0],
        [other, 2, 1],
        [key, 3, 2],
      ] as const) {
        await small.sign(each, ECDSA, digests(2), NEVER)
        assert.deepEqual([unwrap.mock.callCount(), destroy.mock.callCount()], [unwrapped, destroyed])
      }
    } finally {
      await small.close()
    }
  })

  it('does not offer a refused PIN again before its file has changed', async (t) => {
    const right = readFileSync(token.pinFile, 'utf8')
    chmodSync(token.pinFile, 0o600)
    writeFileSync(token.pinFile, 'not the PIN\n')
    pkcs11.C_CloseAllSessions(slot)
    const login = t.mock.method(pkcs11, 'C_Login')
    for (let attempt = 0; attempt < 3; attempt++) {
      await assert.rejects(hsm.sign(key, ECDSA, digests(1), NEVER), { code: 'refused', message: /refuses the PIN/ })
    }
    assert.equal(login.mock.callCount(), 1)
    writeFileSync(token.pinFile, right)
    await assertSigns()
    assert.equal(login.mock.callCount(), 2)
  })
})
