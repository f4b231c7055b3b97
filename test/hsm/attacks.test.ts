import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { after, before, describe, it } from 'node:test'
import { initializeToken } from '../../src/hsm/ceremony.js'
import type { Hsm, SignerKey } from '../../src/hsm/hsm.js'
import { generateAesKey } from '../../src/hsm/nested-template.js'
import { openHsm } from '../../src/hsm/open-hsm.js'
import { type Attribute, CK, findObjects, gcm, type Handle, type Pkcs11, returnValue } from '../../src/hsm/pkcs11.js'
import { findToken, openModule, type Pkcs11Module } from '../../src/hsm/pkcs11-module.js'
import { decodeWrapped, wrappedKeyContext } from '../../src/hsm/sealed-blob.js'
import { signerKeyRequest, unwrapTemplate } from '../../src/hsm/token-keys.js'
import { readSecretFile } from '../../src/secret-file.js'
import { SOFTHSM, type TempToken, tempToken } from '../helpers/temp-token.js'

/** Calls that the service does not use, and an attacker does. */
interface AttackersPkcs11 extends Pkcs11 {
  C_CreateObject(session: Handle, template: readonly Attribute[]): Handle
  C_SetAttributeValue(session: Handle, object: Handle, template: readonly Attribute[]): void
  C_DeriveKey(session: Handle, mechanism: object, key: Handle, template: readonly Attribute[]): Handle
}

const CKM_AES_ECB = 0x1081
const CKM_AES_CBC = 0x1082
const CKM_AES_CBC_PAD = 0x1085
const CKM_AES_CMAC = 0x108a
const CKM_AES_KEY_WRAP = 0x2109
const CKM_AES_ECB_ENCRYPT_DATA = 0x1104
const WRAP = { mechanism: CK.CKM_AES_KEY_WRAP_PAD }

const on = (...types: number[]): Attribute[] => types.map((type) => ({ type, value: true }))
const off = (...types: number[]): Attribute[] => types.map((type) => ({ type, value: false }))

/**
 * The attacker holds the user PIN and the database, and works in his own session; a process that he took over is another
 * matter. What he wants is any signer's private key, in clear.
 */
describe('a signer’s key, for the holder of PIN and database', () => {
  let token: TempToken
  let hsm: Hsm
  let module: Pkcs11Module
  let pkcs11: AttackersPkcs11
  let slot: Handle
  let session: Handle
  const victims: { key: SignerKey; wrapped: Buffer }[] = []

  before(async () => {
    token = await tempToken()
    hsm = await openHsm(token.uri)
    module = openModule(SOFTHSM)
    pkcs11 = module.pkcs11 as AttackersPkcs11
    slot = findToken(pkcs11, 'paraph')?.slot as Handle
    session = pkcs11.C_OpenSession(slot, CK.CKF_SERIAL_SESSION | CK.CKF_RW_SESSION)
    for (const spec of ['p-256', 'rsa-2048'] as const) {
      const associatedData = Buffer.from(`row of ${spec}`)
      const { blob } = await hsm.generateSignerKey(spec, associatedData)
      const key: SignerKey = { kind: 'signer', cacheId: spec, spec, blob, associatedData }
      victims.push({ key, wrapped: unsealed(key) })
    }
  })
  after(async () => {
    pkcs11.C_CloseSession(session)
    module.release()
    await hsm.close()
    token.remove()
  })

  function keyLabelled(label: string): Handle {
    const [found] = findObjects(pkcs11, session, [{ type: CK.CKA_LABEL, value: label }])
    assert.ok(found, label)
    return found
  }

  /** The seal is the first thing the PIN opens: it binds a key to its row, and does not hide it from the token's user. */
  function unsealed({ spec, blob, associatedData }: SignerKey): Buffer {
    const { kekEpoch, box } = decodeWrapped(blob)
    const context = wrappedKeyContext(kekEpoch, spec, associatedData)
    pkcs11.C_DecryptInit(session, gcm(box.nonce, context), keyLabelled('paraph-seal-1'))
    return Buffer.from(pkcs11.C_Decrypt(session, box.ciphertext, Buffer.alloc(8192)))
  }

  function refused(what: string, attack: () => unknown): void {
    assert.throws(attack, (error) => returnValue(error) !== undefined, what)
  }

  function replaced(template: readonly Attribute[], changes: readonly Attribute[]): Attribute[] {
    const types = changes.map(({ type }) => type)
    return [...template.filter(({ type }) => !types.includes(type)), ...changes]
  }

  /** An AES key that the attacker makes, and whose value he knows. */
  function ownKey(...uses: number[]): Handle {
    return pkcs11.C_CreateObject(session, [
      { type: CK.CKA_CLASS, value: CK.CKO_SECRET_KEY },
      { type: CK.CKA_KEY_TYPE, value: CK.CKK_AES },
      { type: CK.CKA_VALUE, value: Buffer.alloc(32, 7) },
      ...off(CK.CKA_TOKEN),
      ...on(CK.CKA_PRIVATE, ...uses),
    ])
  }

  it('comes out of the KEK unreadable, and stays so', () => {
    for (const { key, wrapped } of victims) {
      const handle = pkcs11.C_UnwrapKey(session, WRAP, keyLabelled('paraph-kek-1'), wrapped, unwrapTemplate(key.spec))
      for (const type of [CK.CKA_VALUE, CK.CKA_PRIVATE_EXPONENT, 0x124, 0x125, 0x126, 0x127, 0x128]) {
        refused(`read 0x${type.toString(16)}`, () => pkcs11.C_GetAttributeValue(session, handle, [{ type }]))
      }
      for (const changes of [on(CK.CKA_EXTRACTABLE), off(CK.CKA_SENSITIVE), off(CK.CKA_PRIVATE)]) {
        refused('change', () => pkcs11.C_SetAttributeValue(session, handle, changes))
        refused('copy', () => pkcs11.C_CopyObject(session, handle, [...off(CK.CKA_TOKEN), ...changes]))
      }
      const mine = ownKey(CK.CKA_WRAP)
      refused('wrap under own key', () => pkcs11.C_WrapKey(session, WRAP, mine, handle, Buffer.alloc(8192)))
      pkcs11.C_DestroyObject(session, handle)
    }
  })

  it('does not come out of the KEK by a looser template', () => {
    const kek = keyLabelled('paraph-kek-1')
    for (const { key, wrapped } of victims) {
      const proper = unwrapTemplate(key.spec)
      const types: number[] = [CK.CKA_CLASS, CK.CKA_KEY_TYPE, CK.CKA_TOKEN, CK.CKA_SIGN]
      const secret = [
        { type: CK.CKA_CLASS, value: CK.CKO_SECRET_KEY },
        { type: CK.CKA_KEY_TYPE, value: CK.CKK_GENERIC_SECRET },
      ]
      const templates: Record<string, readonly Attribute[]> = {
        readable: replaced(proper, [...on(CK.CKA_EXTRACTABLE), ...off(CK.CKA_SENSITIVE)]),
        extractable: replaced(proper, on(CK.CKA_EXTRACTABLE)),
        'not sensitive': replaced(proper, off(CK.CKA_SENSITIVE)),
        'not private': replaced(proper, off(CK.CKA_PRIVATE)),
        silent: proper.filter(({ type }) => types.includes(type)),
        empty: [],
        'said twice': [...proper, ...on(CK.CKA_EXTRACTABLE), ...off(CK.CKA_SENSITIVE)],
        'said twice, loose first': [...on(CK.CKA_EXTRACTABLE), ...off(CK.CKA_SENSITIVE), ...proper],
        'in the token': replaced(proper, [...on(CK.CKA_TOKEN, CK.CKA_EXTRACTABLE), ...off(CK.CKA_SENSITIVE)]),
        'secret key, readable': [...secret, ...on(CK.CKA_EXTRACTABLE), ...off(CK.CKA_TOKEN, CK.CKA_SENSITIVE)],
        'secret key, silent': [...secret, ...off(CK.CKA_TOKEN)],
        'secret key, unreadable, to be cut up': replaced(proper, [...secret, ...on(CK.CKA_DERIVE)]),
      }
      for (const [what, template] of Object.entries(templates)) {
        refused(`${key.spec} ${what}`, () => pkcs11.C_UnwrapKey(session, WRAP, kek, wrapped, template))
      }
      for (const mechanism of [CKM_AES_KEY_WRAP, CKM_AES_CBC, CKM_AES_CBC_PAD]) {
        const other = { mechanism, parameter: Buffer.alloc(16) }
        refused('another mechanism', () => pkcs11.C_UnwrapKey(session, other, kek, wrapped, proper))
      }
    }
  })

  it('does not come out by another key', () => {
    const mine = ownKey(CK.CKA_UNWRAP, CK.CKA_DECRYPT)
    const seal = keyLabelled('paraph-seal-1')
    for (const { key, wrapped } of victims) {
      const template = unwrapTemplate(key.spec)
      refused('own key', () => pkcs11.C_UnwrapKey(session, WRAP, mine, wrapped, template))
      refused('sealing key', () => pkcs11.C_UnwrapKey(session, WRAP, seal, wrapped, template))
    }
  })

  it('has a KEK that does nothing but wrap and unwrap', () => {
    const kek = keyLabelled('paraph-kek-1')
    const block = Buffer.alloc(16)
    const attempts: Record<string, () => unknown> = {
      'encrypt ECB': () => pkcs11.C_EncryptInit(session, { mechanism: CKM_AES_ECB }, kek),
      'decrypt ECB': () => pkcs11.C_DecryptInit(session, { mechanism: CKM_AES_ECB }, kek),
      'encrypt GCM': () => pkcs11.C_EncryptInit(session, gcm(Buffer.alloc(12), block), kek),
      'decrypt GCM': () => pkcs11.C_DecryptInit(session, gcm(Buffer.alloc(12), block), kek),
      'decrypt CBC': () => pkcs11.C_DecryptInit(session, { mechanism: CKM_AES_CBC, parameter: block }, kek),
      MAC: () => pkcs11.C_SignInit(session, { mechanism: CKM_AES_CMAC }, kek),
      derive: () =>
        pkcs11.C_DeriveKey(session, { mechanism: CKM_AES_ECB_ENCRYPT_DATA, parameter: block }, kek, [
          { type: CK.CKA_CLASS, value: CK.CKO_SECRET_KEY },
          { type: CK.CKA_KEY_TYPE, value: CK.CKK_GENERIC_SECRET },
          { type: CK.CKA_VALUE_LEN, value: 16 },
          ...off(CK.CKA_TOKEN, CK.CKA_SENSITIVE),
        ]),
    }
    for (const [what, attempt] of Object.entries(attempts)) refused(what, attempt)

    const { mechanism, publicTemplate, privateTemplate } = signerKeyRequest('p-256')
    const { privateKey } = pkcs11.C_GenerateKeyPair(session, mechanism, publicTemplate, privateTemplate)
    for (const another of [CKM_AES_KEY_WRAP, CKM_AES_CBC, CKM_AES_CBC_PAD]) {
      const wrap = { mechanism: another, parameter: Buffer.alloc(16) }
      refused('wrap otherwise', () => pkcs11.C_WrapKey(session, wrap, kek, privateKey, Buffer.alloc(256)))
      refused('wrap otherwise', () =>
        pkcs11.C_WrapKey(session, { mechanism: another }, kek, privateKey, Buffer.alloc(256)),
      )
    }
  })

  it('has a KEK and a sealing key that can be neither read, changed, copied nor wrapped', () => {
    for (const label of ['paraph-kek-1', 'paraph-seal-1']) {
      const key = keyLabelled(label)
      refused('read', () => pkcs11.C_GetAttributeValue(session, key, [{ type: CK.CKA_VALUE }]))
      const changes = [
        [],
        on(CK.CKA_DECRYPT),
        on(CK.CKA_UNWRAP),
        on(CK.CKA_EXTRACTABLE),
        off(CK.CKA_SENSITIVE),
        on(CK.CKA_DERIVE),
        on(CK.CKA_MODIFIABLE),
        [{ type: CK.CKA_LABEL, value: 'paraph-kek-9' }],
      ]
      for (const change of changes) {
        if (change.length > 0) {
          refused(`change ${label}`, () => pkcs11.C_SetAttributeValue(session, key, change))
        }
        refused(`copy ${label}`, () => pkcs11.C_CopyObject(session, key, change))
        refused(`copy ${label}`, () => pkcs11.C_CopyObject(session, key, [...off(CK.CKA_TOKEN), ...change]))
      }
      const mine = ownKey(CK.CKA_WRAP)
      refused('wrap under own key', () => pkcs11.C_WrapKey(session, WRAP, mine, key, Buffer.alloc(256)))
      const kek = keyLabelled('paraph-kek-1')
      refused('wrap under the KEK', () => pkcs11.C_WrapKey(session, WRAP, kek, key, Buffer.alloc(256)))
    }
  })

  it('is not made readable by a KEK or a sealing key that was slipped in', async () => {
    const known = { type: CK.CKA_VALUE, value: randomBytes(32) }
    const rightUses = {
      'paraph-kek-2': [...on(CK.CKA_WRAP, CK.CKA_UNWRAP), ...off(CK.CKA_ENCRYPT, CK.CKA_DECRYPT, CK.CKA_SIGN)],
      'paraph-seal-2': [...on(CK.CKA_ENCRYPT, CK.CKA_DECRYPT), ...off(CK.CKA_WRAP, CK.CKA_UNWRAP, CK.CKA_SIGN)],
      'paraph-kek-1': [...on(CK.CKA_WRAP, CK.CKA_UNWRAP), ...off(CK.CKA_ENCRYPT, CK.CKA_DECRYPT, CK.CKA_SIGN)],
    }
    for (const [label, uses] of Object.entries(rightUses)) {
      const planted = pkcs11.C_CreateObject(session, [
        { type: CK.CKA_CLASS, value: CK.CKO_SECRET_KEY },
        { type: CK.CKA_KEY_TYPE, value: CK.CKK_AES },
        { type: CK.CKA_LABEL, value: label },
        known,
        ...on(CK.CKA_TOKEN, CK.CKA_PRIVATE, CK.CKA_SENSITIVE),
        ...off(CK.CKA_EXTRACTABLE, CK.CKA_MODIFIABLE, CK.CKA_VERIFY, CK.CKA_DERIVE),
        ...uses,
      ])
      await assert.rejects(openHsm(token.uri), { code: 'unavailable' }, label)
      pkcs11.C_DestroyObject(session, planted)
    }
    await (await openHsm(token.uri)).close()
  })

  it('is lost to him without CKA_UNWRAP_TEMPLATE, which is why such a KEK is refused unless accepted', async () => {
    const { CKA_TOKEN, CKA_PRIVATE, CKA_SENSITIVE, CKA_EXTRACTABLE, CKA_MODIFIABLE, CKA_WRAP, CKA_UNWRAP } = CK
    generateAesKey(SOFTHSM, session, [
      { type: CK.CKA_CLASS, value: CK.CKO_SECRET_KEY },
      { type: CK.CKA_KEY_TYPE, value: CK.CKK_AES },
      { type: CK.CKA_VALUE_LEN, value: 32 },
      { type: CK.CKA_LABEL, value: 'paraph-kek-2' },
      ...[CKA_TOKEN, CKA_PRIVATE, CKA_SENSITIVE, CKA_WRAP, CKA_UNWRAP].map((type) => ({ type, value: true })),
      ...[CKA_EXTRACTABLE, CKA_MODIFIABLE, CK.CKA_ENCRYPT, CK.CKA_DECRYPT, CK.CKA_SIGN].map((type) => ({
        type,
        value: false,
      })),
      ...[CK.CKA_VERIFY, CK.CKA_DERIVE].map((type) => ({ type, value: false })),
    ])
    const kek = keyLabelled('paraph-kek-2')
    try {
      await assert.rejects(openHsm(token.uri), { code: 'unavailable', message: /loose-kek=accepted/ })
      const { kekTemplateEnforced, kekWeaknesses } = await initializeToken(token.uri)
      assert.equal(kekTemplateEnforced, false)
      assert.deepEqual(kekWeaknesses, [
        'unwraps as readable',
        'unwraps as not sensitive',
        'unwraps as extractable',
        'unwraps with a template that is silent',
        'unwraps a private key as a secret key',
      ])

      const accepting = await openHsm(`${token.uri}&loose-kek=accepted`)
      const associatedData = Buffer.from('row')
      const { blob } = await accepting.generateSignerKey('rsa-2048', associatedData)
      await accepting.close()
      const wrapped = unsealed({ kind: 'signer', cacheId: 'row', spec: 'rsa-2048', blob, associatedData })
      const loose = [...on(CKA_EXTRACTABLE), ...off(CKA_SENSITIVE)]
      const template = replaced(unwrapTemplate('rsa-2048'), loose)
      const stolen = pkcs11.C_UnwrapKey(session, WRAP, kek, wrapped, template)
      const [exponent] = pkcs11.C_GetAttributeValue(session, stolen, [{ type: CK.CKA_PRIVATE_EXPONENT }])
      assert.ok((exponent?.value.length ?? 0) > 200)
    } finally {
      pkcs11.C_DestroyObject(session, kek)
    }
  })

  it('stays where it is when it is a service key', async () => {
    await hsm.createServiceKey('announce', 'rsa-2048')
    const [key] = findObjects(pkcs11, session, [
      { type: CK.CKA_CLASS, value: CK.CKO_PRIVATE_KEY },
      { type: CK.CKA_LABEL, value: 'paraph-service-announce' },
    ])
    assert.ok(key)
    refused('read', () => pkcs11.C_GetAttributeValue(session, key, [{ type: CK.CKA_PRIVATE_EXPONENT }]))
    const mine = ownKey(CK.CKA_WRAP)
    refused('wrap', () => pkcs11.C_WrapKey(session, WRAP, mine, key, Buffer.alloc(8192)))
    refused('copy', () => pkcs11.C_CopyObject(session, key, [...off(CK.CKA_TOKEN), ...on(CK.CKA_EXTRACTABLE)]))
    refused('change', () => pkcs11.C_SetAttributeValue(session, key, on(CK.CKA_EXTRACTABLE)))
  })

  it('is seen by nobody without the PIN', () => {
    assert.ok(readSecretFile(token.pinFile).length >= 16)
    pkcs11.C_Logout(session)
    try {
      assert.deepEqual(findObjects(pkcs11, session, [{ type: CK.CKA_CLASS, value: CK.CKO_SECRET_KEY }]), [])
      assert.deepEqual(findObjects(pkcs11, session, [{ type: CK.CKA_CLASS, value: CK.CKO_PRIVATE_KEY }]), [])
    } finally {
      pkcs11.C_Login(session, CK.CKU_USER, readSecretFile(token.pinFile))
    }
  })
})
