import { HsmError } from './hsm.js'
import { type Attribute, CK, describeFailure, type Handle, isLost, isTrue, type Pkcs11 } from './pkcs11.js'
import { isUnreadable, signerKeyRequest, unwrapTemplate } from './token-keys.js'

const WRAP = { mechanism: CK.CKM_AES_KEY_WRAP_PAD }

/**
 * Attacks a KEK as somebody would who has the PIN and the database: makes a key that is worth nothing, wraps it, and tries to
 * unwrap it so that it can be read, or turned into something that gives it away. Changes nothing in the token.
 * @param session one that is closed afterwards
 * @returns what worked, in words; empty when nothing did
 * @throws HsmError `unavailable` when the KEK cannot even do its work
 */
export function weaknessesOfKek(pkcs11: Pkcs11, session: Handle, kek: Handle): string[] {
  const proper = unwrapTemplate('p-256')
  const wrapped = wrapThrowaway(pkcs11, session, kek)
  const tryUnwrap = (template: readonly Attribute[], isWeak: (key: Handle) => boolean): boolean =>
    attempt(() => {
      const key = pkcs11.C_UnwrapKey(session, WRAP, kek, wrapped, template)
      const weak = isWeak(key)
      pkcs11.C_DestroyObject(session, key)
      return weak
    })
  const readable = (key: Handle): boolean => !isUnreadable(pkcs11, session, key)

  const found: string[] = []
  if (!tryUnwrap(proper, (key) => !readable(key))) {
    throw new HsmError('unavailable', 'the KEK does not give back, unreadable, what was wrapped under it')
  }
  for (const [words, template] of Object.entries(looseTemplates(proper))) {
    if (tryUnwrap(template, readable)) found.push(`unwraps ${words}`)
  }
  // Unreadable or not: cut into pieces by key derivation, a secret key gives itself away.
  if (tryUnwrap(asSecretKey(proper), () => true)) found.push('unwraps a private key as a secret key')
  if (isTrue(pkcs11, session, kek, CK.CKA_MODIFIABLE)) found.push('can be changed, for instance to decrypt')
  if (canBeCopiedLooser(pkcs11, session, kek)) found.push('can be copied to a key that decrypts')
  return found
}

function wrapThrowaway(pkcs11: Pkcs11, session: Handle, kek: Handle): Buffer {
  const { mechanism, publicTemplate, privateTemplate } = signerKeyRequest('p-256')
  try {
    const pair = pkcs11.C_GenerateKeyPair(session, mechanism, publicTemplate, privateTemplate)
    return Buffer.from(pkcs11.C_WrapKey(session, WRAP, kek, pair.privateKey, Buffer.alloc(4096)))
  } catch (error) {
    throw new HsmError('unavailable', `the KEK does not wrap a key: ${describeFailure(error)}`, { cause: error })
  }
}

function looseTemplates(proper: readonly Attribute[]): Record<string, Attribute[]> {
  const others = proper.filter(({ type }) => type !== CK.CKA_SENSITIVE && type !== CK.CKA_EXTRACTABLE)
  const template = (sensitive: boolean, extractable: boolean): Attribute[] => [
    ...others,
    { type: CK.CKA_SENSITIVE, value: sensitive },
    { type: CK.CKA_EXTRACTABLE, value: extractable },
  ]
  return {
    'as readable': template(false, true),
    'as not sensitive': template(false, false),
    'as extractable': template(true, true),
    'with a template that is silent': others.filter(({ type }) => type !== CK.CKA_PRIVATE),
  }
}

function asSecretKey(proper: readonly Attribute[]): Attribute[] {
  const others = proper.filter(({ type }) => type !== CK.CKA_CLASS && type !== CK.CKA_KEY_TYPE)
  return [
    { type: CK.CKA_CLASS, value: CK.CKO_SECRET_KEY },
    { type: CK.CKA_KEY_TYPE, value: CK.CKK_GENERIC_SECRET },
    ...others.filter(({ type }) => type !== CK.CKA_SIGN_RECOVER),
  ]
}

function canBeCopiedLooser(pkcs11: Pkcs11, session: Handle, kek: Handle): boolean {
  return attempt(() => {
    const copy = pkcs11.C_CopyObject(session, kek, [
      { type: CK.CKA_TOKEN, value: false },
      { type: CK.CKA_DECRYPT, value: true },
    ])
    pkcs11.C_DestroyObject(session, copy)
    return true
  })
}

/** A refusal is the answer hoped for; a lost device is no answer. */
function attempt(attack: () => boolean): boolean {
  try {
    return attack()
  } catch (error) {
    if (isLost(error)) throw error
    return false
  }
}
