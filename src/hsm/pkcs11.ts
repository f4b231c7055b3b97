/** A CK_ULONG as the binding keeps it: 8 bytes in the machine's order. */
export type Handle = Buffer

export interface Attribute {
  readonly type: number
  readonly value?: number | boolean | string | Buffer
}

export interface Pkcs11Mechanism {
  readonly mechanism: number
  readonly parameter?: object
}

/** What we use of the binding `pkcs11js`, which is an optional dependency and therefore not named in a type. */
export interface Pkcs11 {
  load(path: string): void
  C_Initialize(options: { flags: number }): void
  C_Finalize(): void
  C_GetInfo(): { readonly libraryDescription: string }
  C_GetSlotList(tokenPresent: boolean): Handle[]
  C_GetTokenInfo(slot: Handle): { readonly label: string; readonly serialNumber: string; readonly flags: number }
  C_InitToken(slot: Handle, soPin: string, label: string): void
  C_InitPIN(session: Handle, pin: string): void
  C_OpenSession(slot: Handle, flags: number): Handle
  C_CloseSession(session: Handle): void
  C_Login(session: Handle, user: number, pin: string): void
  C_Logout(session: Handle): void
  C_FindObjectsInit(session: Handle, template: readonly Attribute[]): void
  C_FindObjects(session: Handle, max: number): Handle[]
  C_FindObjectsFinal(session: Handle): void
  C_GetAttributeValue(session: Handle, object: Handle, template: Attribute[]): { value: Buffer }[]
  C_CopyObject(session: Handle, object: Handle, template: readonly Attribute[]): Handle
  C_DestroyObject(session: Handle, object: Handle): void
  C_GenerateRandom(session: Handle, into: Buffer): Buffer
  C_GenerateKey(session: Handle, mechanism: Pkcs11Mechanism, template: readonly Attribute[]): Handle
  C_GenerateKeyPair(
    session: Handle,
    mechanism: Pkcs11Mechanism,
    publicTemplate: readonly Attribute[],
    privateTemplate: readonly Attribute[],
  ): { publicKey: Handle; privateKey: Handle }
  C_GenerateKeyPairAsync(
    session: Handle,
    mechanism: Pkcs11Mechanism,
    publicTemplate: readonly Attribute[],
    privateTemplate: readonly Attribute[],
  ): Promise<{ publicKey: Handle; privateKey: Handle }>
  C_WrapKey(session: Handle, mechanism: Pkcs11Mechanism, wrappingKey: Handle, key: Handle, into: Buffer): Buffer
  C_UnwrapKey(
    session: Handle,
    mechanism: Pkcs11Mechanism,
    wrappingKey: Handle,
    wrapped: Buffer,
    template: readonly Attribute[],
  ): Handle
  C_EncryptInit(session: Handle, mechanism: Pkcs11Mechanism, key: Handle): void
  C_Encrypt(session: Handle, data: Buffer, into: Buffer): Buffer
  C_DecryptInit(session: Handle, mechanism: Pkcs11Mechanism, key: Handle): void
  C_Decrypt(session: Handle, data: Buffer, into: Buffer): Buffer
  C_SignInit(session: Handle, mechanism: Pkcs11Mechanism, key: Handle): void
  C_Sign(session: Handle, data: Buffer, into: Buffer): Buffer
}

/** Numbers of PKCS #11 v2.40, under their names there. */
export const CK = {
  CKF_OS_LOCKING_OK: 0x2,
  CKF_RW_SESSION: 0x2,
  CKF_SERIAL_SESSION: 0x4,
  CKF_TOKEN_INITIALIZED: 0x400,
  CKU_SO: 0,
  CKU_USER: 1,
  CKO_PUBLIC_KEY: 2,
  CKO_PRIVATE_KEY: 3,
  CKO_SECRET_KEY: 4,
  CKK_RSA: 0,
  CKK_EC: 3,
  CKK_GENERIC_SECRET: 0x10,
  CKK_AES: 0x1f,
  CKM_RSA_PKCS_KEY_PAIR_GEN: 0x0,
  CKM_EC_KEY_PAIR_GEN: 0x1040,
  CKM_ECDSA: 0x1041,
  CKM_EC_EDWARDS_KEY_PAIR_GEN: 0x1055,
  CKM_EDDSA: 0x1057,
  CKM_AES_KEY_GEN: 0x1080,
  CKM_AES_GCM: 0x1087,
  CKM_AES_KEY_WRAP_PAD: 0x210a,
  CKA_CLASS: 0x0,
  CKA_TOKEN: 0x1,
  CKA_PRIVATE: 0x2,
  CKA_LABEL: 0x3,
  CKA_VALUE: 0x11,
  CKA_KEY_TYPE: 0x100,
  CKA_ID: 0x102,
  CKA_SENSITIVE: 0x103,
  CKA_ENCRYPT: 0x104,
  CKA_DECRYPT: 0x105,
  CKA_WRAP: 0x106,
  CKA_UNWRAP: 0x107,
  CKA_SIGN: 0x108,
  CKA_SIGN_RECOVER: 0x109,
  CKA_VERIFY: 0x10a,
  CKA_DERIVE: 0x10c,
  CKA_MODULUS: 0x120,
  CKA_MODULUS_BITS: 0x121,
  CKA_PUBLIC_EXPONENT: 0x122,
  CKA_PRIVATE_EXPONENT: 0x123,
  CKA_VALUE_LEN: 0x161,
  CKA_EXTRACTABLE: 0x162,
  CKA_LOCAL: 0x163,
  CKA_NEVER_EXTRACTABLE: 0x164,
  CKA_MODIFIABLE: 0x170,
  CKA_COPYABLE: 0x171,
  CKA_EC_PARAMS: 0x180,
  CKA_EC_POINT: 0x181,
  CKA_UNWRAP_TEMPLATE: 0x40000212,
  CKA_ALLOWED_MECHANISMS: 0x40000600,
  CKR_GENERAL_ERROR: 0x5,
  CKR_MECHANISM_INVALID: 0x70,
  CKR_PIN_INCORRECT: 0xa0,
  CKR_PIN_INVALID: 0xa1,
  CKR_PIN_LEN_RANGE: 0xa2,
  CKR_PIN_EXPIRED: 0xa3,
  CKR_PIN_LOCKED: 0xa4,
  CKR_USER_ALREADY_LOGGED_IN: 0x100,
  CKR_CRYPTOKI_ALREADY_INITIALIZED: 0x191,
} as const

/** The binding's own number for CK_GCM_PARAMS with ulIvBits, as in v2.40. */
const CK_PARAMS_AES_GCM_V240 = 7

/** AES-GCM with a tag of 16 bytes. The buffers must live until the operation is over: the binding keeps their addresses. */
export function gcm(nonce: Buffer, associatedData: Buffer): Pkcs11Mechanism {
  return {
    mechanism: CK.CKM_AES_GCM,
    parameter: { type: CK_PARAMS_AES_GCM_V240, iv: nonce, ivBits: 96, aad: associatedData, tagBits: 128 },
  }
}

/** The CKR_ number in an error of the binding, which has several shapes for it; undefined when it is another error. */
export function returnValue(error: unknown): number | undefined {
  if (!(error instanceof Error)) return undefined
  if ('code' in error && typeof error.code === 'number' && error.code !== 0) return error.code
  const found = /CKR_\w+:(\d+)/.exec(error.message)
  return found === null ? undefined : Number(found[1])
}

/** A short name for messages: the number, since the binding calls what it does not know "vendor defined". */
export function describeFailure(error: unknown): string {
  const value = returnValue(error)
  if (value !== undefined) return `PKCS#11 error 0x${value.toString(16)}`
  return error instanceof Error ? (error.message.split('\n', 1)[0] ?? '') : String(error)
}

/** A session is lost, its login, its handles, or the device: opening everything anew is the cure, if there is one. */
const LOST: ReadonlySet<number> = new Set([
  0x03, // CKR_SLOT_ID_INVALID
  0x30, // CKR_DEVICE_ERROR
  0x32, // CKR_DEVICE_REMOVED
  0x60, // CKR_KEY_HANDLE_INVALID
  0x82, // CKR_OBJECT_HANDLE_INVALID
  0xb0, // CKR_SESSION_CLOSED
  0xb3, // CKR_SESSION_HANDLE_INVALID
  0xe0, // CKR_TOKEN_NOT_PRESENT
  0xe1, // CKR_TOKEN_NOT_RECOGNIZED
  0xf0, // CKR_UNWRAPPING_KEY_HANDLE_INVALID
  0x101, // CKR_USER_NOT_LOGGED_IN
  0x113, // CKR_WRAPPING_KEY_HANDLE_INVALID
  0x190, // CKR_CRYPTOKI_NOT_INITIALIZED
])

/** The connection was closed while somebody still worked with it: the same as a session that is lost. */
export class ConnectionClosed extends Error {}

export function isLost(error: unknown): boolean {
  return error instanceof ConnectionClosed || LOST.has(returnValue(error) ?? -1)
}

/** Handles of all objects that match. Linear in the number of token objects: not for the path of a signature. */
export function findObjects(pkcs11: Pkcs11, session: Handle, template: readonly Attribute[]): Handle[] {
  pkcs11.C_FindObjectsInit(session, template)
  const found: Handle[] = []
  for (;;) {
    const some = pkcs11.C_FindObjects(session, 64)
    if (some.length === 0) break
    found.push(...some)
  }
  pkcs11.C_FindObjectsFinal(session)
  return found
}

/** One attribute's bytes. */
export function attribute(pkcs11: Pkcs11, session: Handle, object: Handle, type: number): Buffer {
  const [read] = pkcs11.C_GetAttributeValue(session, object, [{ type }])
  return (read as { value: Buffer }).value
}

/** Whether a boolean attribute is true; false too when the device does not know it. */
export function isTrue(pkcs11: Pkcs11, session: Handle, object: Handle, type: number): boolean {
  try {
    return attribute(pkcs11, session, object, type)[0] === 1
  } catch (error) {
    if (isLost(error)) throw error
    return false
  }
}
