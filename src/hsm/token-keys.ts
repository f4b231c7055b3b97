import { HsmError, type KeySpec, type ServiceKey } from './hsm.js'
import { isRsa, KEY_BITS } from './mechanisms.js'
import {
  type Attribute,
  attribute,
  CK,
  findObjects,
  type Handle,
  isTrue,
  type Pkcs11,
  type Pkcs11Mechanism,
} from './pkcs11.js'
import { ecPublicKey, rsaPublicKey, specOfPublicKey } from './public-key.js'

/** Labels in the token. The number is the epoch: the newest is used for what is new, the older ones for what is there. */
export const KEK_LABEL = 'paraph-kek-'
export const SEAL_LABEL = 'paraph-seal-'
const SERVICE_LABEL = 'paraph-service-'

const { CKA_CLASS, CKA_TOKEN, CKA_LABEL, CKA_ID, CKA_KEY_TYPE, CKA_PRIVATE, CKA_SENSITIVE, CKA_EXTRACTABLE } = CK

/** A service key with its handle in the token. */
export interface HeldServiceKey {
  readonly key: ServiceKey
  readonly handle: Handle
}

/** What was found in the token when the connection was opened; nothing is searched for on the path of a signature. */
export interface TokenKeys {
  /** By epoch. */
  readonly keks: ReadonlyMap<number, Handle>
  /** By epoch. */
  readonly seals: ReadonlyMap<number, Handle>
  /** By name. */
  readonly services: Map<string, HeldServiceKey>
}

/** @throws HsmError `unsupported` when it cannot be a label's end */
export function requireServiceName(name: string): void {
  if (!/^[a-z][a-z0-9-]{0,15}$/.test(name)) throw new HsmError('unsupported', 'not a name for a service key')
}

/** The highest epoch. */
export function newest(keys: ReadonlyMap<number, Handle>): [epoch: number, key: Handle] | undefined {
  return [...keys].sort(([one], [other]) => other - one)[0]
}

/** @throws HsmError `unavailable` when a key in the token is not as the ceremony makes it */
export function findTokenKeys(pkcs11: Pkcs11, session: Handle): TokenKeys {
  const secret = findObjects(pkcs11, session, [
    { type: CKA_CLASS, value: CK.CKO_SECRET_KEY },
    { type: CKA_TOKEN, value: true },
  ])
  const keks = byEpoch(pkcs11, session, secret, KEK_LABEL)
  const seals = byEpoch(pkcs11, session, secret, SEAL_LABEL)
  for (const [epoch, key] of keks) requireSound(pkcs11, session, key, `${KEK_LABEL}${epoch}`, KEK_USES)
  for (const [epoch, key] of seals) requireSound(pkcs11, session, key, `${SEAL_LABEL}${epoch}`, SEAL_USES)

  const services = new Map<string, HeldServiceKey>()
  const privateKeys = findObjects(pkcs11, session, [
    { type: CKA_CLASS, value: CK.CKO_PRIVATE_KEY },
    { type: CKA_TOKEN, value: true },
  ])
  for (const handle of privateKeys) {
    const label = attribute(pkcs11, session, handle, CKA_LABEL).toString()
    if (!label.startsWith(SERVICE_LABEL)) continue
    const name = label.slice(SERVICE_LABEL.length)
    if (services.has(name)) throw new HsmError('unavailable', `the token holds two keys labelled ${label}`)
    services.set(name, readServiceKey(pkcs11, session, name, handle))
  }
  return { keks, seals, services }
}

/** Undefined when the token holds no service key of that name. */
export function findServiceKey(pkcs11: Pkcs11, session: Handle, name: string): HeldServiceKey | undefined {
  const [handle, another] = findObjects(pkcs11, session, [
    { type: CKA_CLASS, value: CK.CKO_PRIVATE_KEY },
    { type: CKA_TOKEN, value: true },
    { type: CKA_LABEL, value: SERVICE_LABEL + name },
  ])
  if (another !== undefined)
    throw new HsmError('unavailable', `the token holds two keys labelled ${SERVICE_LABEL}${name}`)
  return handle && readServiceKey(pkcs11, session, name, handle)
}

function readServiceKey(pkcs11: Pkcs11, session: Handle, name: string, handle: Handle): HeldServiceKey {
  const [publicHandle, another] = findObjects(pkcs11, session, [
    { type: CKA_CLASS, value: CK.CKO_PUBLIC_KEY },
    { type: CKA_TOKEN, value: true },
    { type: CKA_ID, value: attribute(pkcs11, session, handle, CKA_ID) },
  ])
  if (publicHandle === undefined || another !== undefined) {
    throw new HsmError('unavailable', `${SERVICE_LABEL}${name} has not exactly one public key beside it`)
  }
  const publicKey = readPublicKey(pkcs11, session, publicHandle)
  return { key: { kind: 'service', name, spec: specOfPublicKey(publicKey), publicKey }, handle }
}

function byEpoch(pkcs11: Pkcs11, session: Handle, keys: readonly Handle[], prefix: string): Map<number, Handle> {
  const found = new Map<number, Handle>()
  for (const key of keys) {
    const label = attribute(pkcs11, session, key, CKA_LABEL).toString()
    const epoch = /^[1-9]\d{0,4}$/.test(label.slice(prefix.length)) ? Number(label.slice(prefix.length)) : 0
    if (!label.startsWith(prefix) || epoch === 0 || epoch > 0xffff) continue
    if (found.has(epoch)) throw new HsmError('unavailable', `the token holds two keys labelled ${label}`)
    found.set(epoch, key)
  }
  return found
}

type Uses = readonly (readonly [type: number, value: boolean])[]

/** The KEK wraps and unwraps; if it decrypted too, it would hand out every key wrapped under it. */
export const KEK_USES: Uses = [
  [CK.CKA_WRAP, true],
  [CK.CKA_UNWRAP, true],
  [CK.CKA_ENCRYPT, false],
  [CK.CKA_DECRYPT, false],
  [CK.CKA_SIGN, false],
  [CK.CKA_VERIFY, false],
  [CK.CKA_DERIVE, false],
]

/** If the sealing key unwrapped too, sealed secrets could be made into keys. */
export const SEAL_USES: Uses = [
  [CK.CKA_WRAP, false],
  [CK.CKA_UNWRAP, false],
  [CK.CKA_ENCRYPT, true],
  [CK.CKA_DECRYPT, true],
  [CK.CKA_SIGN, false],
  [CK.CKA_VERIFY, false],
  [CK.CKA_DERIVE, false],
]

/** Both kinds: in the token, unreadable for ever, and not to be changed, since a change could add a use. */
export const KEPT_SECRET: Uses = [
  [CKA_TOKEN, true],
  [CKA_PRIVATE, true],
  [CKA_SENSITIVE, true],
  [CKA_EXTRACTABLE, false],
  [CK.CKA_MODIFIABLE, false],
]

/** Says how the device made it, so it cannot be asked for. */
const MADE_INSIDE: Uses = [
  [CK.CKA_LOCAL, true],
  [CK.CKA_NEVER_EXTRACTABLE, true],
]

/** Whoever holds the PIN can put a key with our label into the token; one whose value he knows is refused here. */
function requireSound(pkcs11: Pkcs11, session: Handle, key: Handle, label: string, uses: Uses): void {
  const wrong = [...KEPT_SECRET, ...MADE_INSIDE, ...uses].filter(
    ([type, value]) => isTrue(pkcs11, session, key, type) !== value,
  )
  if (wrong.length > 0) {
    const types = wrong.map(([type]) => `0x${type.toString(16)}`).join(', ')
    throw new HsmError('unavailable', `${label} is not as the ceremony makes it (attributes ${types}): not used`)
  }
}

const EC_PARAMS = {
  'p-256': Buffer.from('06082a8648ce3d030107', 'hex'),
  'p-384': Buffer.from('06052b81040022', 'hex'),
  'p-521': Buffer.from('06052b81040023', 'hex'),
} as const

/** DER SubjectPublicKeyInfo of a public key object. */
export function readPublicKey(pkcs11: Pkcs11, session: Handle, object: Handle): Uint8Array {
  const keyType = Number(attribute(pkcs11, session, object, CKA_KEY_TYPE).readBigUInt64LE())
  if (keyType === CK.CKK_RSA) {
    return rsaPublicKey(
      attribute(pkcs11, session, object, CK.CKA_MODULUS),
      attribute(pkcs11, session, object, CK.CKA_PUBLIC_EXPONENT),
    )
  }
  const params = attribute(pkcs11, session, object, CK.CKA_EC_PARAMS)
  for (const spec of ['p-256', 'p-384', 'p-521'] as const) {
    if (EC_PARAMS[spec].equals(params)) return ecPublicKey(spec, attribute(pkcs11, session, object, CK.CKA_EC_POINT))
  }
  throw new HsmError('unsupported', 'the token holds a service key of a kind we do not use')
}

/** How a key pair of this kind is asked for; the private half signs and does nothing else. */
export interface KeyPairRequest {
  readonly mechanism: Pkcs11Mechanism
  readonly publicTemplate: readonly Attribute[]
  readonly privateTemplate: readonly Attribute[]
}

/** A session object that may be wrapped once and is then destroyed. */
export function signerKeyRequest(spec: KeySpec): KeyPairRequest {
  return keyPairRequest(spec, [{ type: CKA_TOKEN, value: false }], [{ type: CKA_EXTRACTABLE, value: true }])
}

/** A token object that never leaves. */
export function serviceKeyRequest(spec: KeySpec, name: string, id: Buffer): KeyPairRequest {
  const both = [
    { type: CKA_TOKEN, value: true },
    { type: CKA_LABEL, value: SERVICE_LABEL + name },
    { type: CKA_ID, value: id },
    { type: CK.CKA_MODIFIABLE, value: false },
  ]
  return keyPairRequest(spec, both, [{ type: CKA_EXTRACTABLE, value: false }])
}

function keyPairRequest(spec: KeySpec, both: readonly Attribute[], privateOnly: readonly Attribute[]): KeyPairRequest {
  const size: Attribute[] = isRsa(spec)
    ? [
        { type: CK.CKA_MODULUS_BITS, value: KEY_BITS[spec] },
        { type: CK.CKA_PUBLIC_EXPONENT, value: Buffer.of(1, 0, 1) },
      ]
    : [{ type: CK.CKA_EC_PARAMS, value: EC_PARAMS[spec as keyof typeof EC_PARAMS] }]
  return {
    mechanism: { mechanism: isRsa(spec) ? CK.CKM_RSA_PKCS_KEY_PAIR_GEN : CK.CKM_EC_KEY_PAIR_GEN },
    publicTemplate: [...both, ...size, { type: CK.CKA_VERIFY, value: true }],
    privateTemplate: [
      ...both,
      ...privateOnly,
      { type: CKA_PRIVATE, value: true },
      { type: CKA_SENSITIVE, value: true },
      ...SIGNS_ONLY,
    ],
  }
}

const SIGNS_ONLY: readonly Attribute[] = [
  { type: CK.CKA_SIGN, value: true },
  { type: CK.CKA_SIGN_RECOVER, value: false },
  { type: CK.CKA_DECRYPT, value: false },
  { type: CK.CKA_UNWRAP, value: false },
  { type: CK.CKA_DERIVE, value: false },
]

/** How a signer's key is unwrapped: unreadable, for this session, to sign and for nothing else. */
export function unwrapTemplate(spec: KeySpec): Attribute[] {
  return [
    { type: CKA_CLASS, value: CK.CKO_PRIVATE_KEY },
    { type: CKA_KEY_TYPE, value: isRsa(spec) ? CK.CKK_RSA : CK.CKK_EC },
    { type: CKA_TOKEN, value: false },
    { type: CKA_PRIVATE, value: true },
    { type: CKA_SENSITIVE, value: true },
    { type: CKA_EXTRACTABLE, value: false },
    ...SIGNS_ONLY,
  ]
}

/** Whether nobody can read the key: what an unwrapped key must be, whatever the device made of the template. */
export function isUnreadable(pkcs11: Pkcs11, session: Handle, key: Handle): boolean {
  return (
    isTrue(pkcs11, session, key, CKA_PRIVATE) &&
    isTrue(pkcs11, session, key, CKA_SENSITIVE) &&
    !isTrue(pkcs11, session, key, CKA_EXTRACTABLE)
  )
}
