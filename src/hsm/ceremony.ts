import { randomBytes } from 'node:crypto'
import { createSecretFile, readSecretFile } from '../secret-file.js'
import { withFileLock } from './file-lock.js'
import { HsmError } from './hsm.js'
import { weaknessesOfKek } from './kek-probe.js'
import { generateAesKey, type NativeAttribute } from './nested-template.js'
import { parseHsmUri } from './open-hsm.js'
import { Pin } from './pin.js'
import { CK, describeFailure, type Handle, returnValue } from './pkcs11.js'
import { findToken, openModule, type Pkcs11Module } from './pkcs11-module.js'
import { findTokenKeys, KEK_LABEL, KEK_USES, KEPT_SECRET, newest, SEAL_LABEL, SEAL_USES } from './token-keys.js'

/** What the ceremony found and made, for the command line. Holds no secret. */
export interface TokenSummary {
  readonly module: string
  readonly token: string
  readonly serial: string
  /** In words, in order; empty when everything was there. */
  readonly made: readonly string[]
  readonly kekEpoch: number
  readonly sealEpoch: number
  /** Whether the KEK gives keys back only unreadable: an attack with the PIN was tried, and failed. */
  readonly kekTemplateEnforced: boolean
  /** What the attack obtained; empty when `kekTemplateEnforced`. */
  readonly kekWeaknesses: readonly string[]
}

/**
 * Makes a token ready for the service, and keeps whatever is there: the token itself in a free slot, its user PIN, the KEK and
 * the sealing key; then attacks the KEK. May be run again at any time, also to check. Processes take turns.
 *
 * PIN files that do not exist are made with a random content, 0600. The security officer's is needed for a new token only;
 * it stands beside the user's, with `-so` at the end, unless it is named.
 * @throws HsmError `unavailable`, or Error about a PIN file, saying what to do
 */
export async function initializeToken(uri: string, options: { soPinFile?: string } = {}): Promise<TokenSummary> {
  const location = parseHsmUri(uri)
  if (location.kind !== 'pkcs11') throw new HsmError('unsupported', 'only a PKCS#11 token needs this')
  const { token, pinFile } = location
  const made: string[] = []
  if (createSecretFile(pinFile, newPin())) made.push(`PIN file ${pinFile}`)

  return await withFileLock(pinFile, () => {
    const module = openModule(location.module)
    try {
      const soPinFile = options.soPinFile ?? `${pinFile}-so`
      if (findToken(module.pkcs11, token) === undefined) makeToken(module, token, pinFile, soPinFile, made)
      return makeKeys(module, token, new Pin(pinFile), made)
    } catch (error) {
      if (error instanceof HsmError || returnValue(error) === undefined) throw error
      throw new HsmError('unavailable', `the device failed: ${describeFailure(error)}`, { cause: error })
    } finally {
      module.release()
    }
  })
}

function makeToken(module: Pkcs11Module, token: string, pinFile: string, soPinFile: string, made: string[]): void {
  const { pkcs11 } = module
  const free = pkcs11
    .C_GetSlotList(true)
    .find((slot) => (pkcs11.C_GetTokenInfo(slot).flags & CK.CKF_TOKEN_INITIALIZED) === 0)
  if (free === undefined) {
    throw new HsmError('unavailable', `no token labelled ${token}, and no free slot to make one: use the vendor's tool`)
  }
  if (createSecretFile(soPinFile, newPin())) made.push(`security officer's PIN file ${soPinFile}`)
  const soPin = readSecretFile(soPinFile)
  pkcs11.C_InitToken(free, soPin, token.padEnd(32, ' '))

  const slot = findToken(pkcs11, token)?.slot
  if (slot === undefined) throw new HsmError('unavailable', 'the new token does not show up')
  const session = pkcs11.C_OpenSession(slot, CK.CKF_SERIAL_SESSION | CK.CKF_RW_SESSION)
  try {
    pkcs11.C_Login(session, CK.CKU_SO, soPin)
    pkcs11.C_InitPIN(session, readSecretFile(pinFile))
    pkcs11.C_Logout(session)
  } finally {
    pkcs11.C_CloseSession(session)
  }
  made.push(`token ${token}`)
}

function makeKeys(module: Pkcs11Module, token: string, pin: Pin, made: string[]): TokenSummary {
  const { pkcs11, path } = module
  const found = findToken(pkcs11, token)
  if (found === undefined) throw new HsmError('unavailable', `the token ${token} is gone`)
  const session = pkcs11.C_OpenSession(found.slot, CK.CKF_SERIAL_SESSION | CK.CKF_RW_SESSION)
  try {
    pin.login(pkcs11, session)
    const before = findTokenKeys(pkcs11, session)
    if (before.keks.size === 0) made.push(makeKek(path, session, 1))
    if (before.seals.size === 0) made.push(makeSealingKey(path, session, 1))
    const keys = findTokenKeys(pkcs11, session)
    const [kekEpoch, kek] = newest(keys.keks) ?? []
    const [sealEpoch] = newest(keys.seals) ?? []
    if (kekEpoch === undefined || kek === undefined || sealEpoch === undefined) {
      throw new HsmError('unavailable', 'the new keys do not show up')
    }
    const kekWeaknesses = weaknessesOfKek(pkcs11, session, kek)
    return {
      module: path,
      token,
      serial: found.serial,
      made,
      kekEpoch,
      sealEpoch,
      kekTemplateEnforced: kekWeaknesses.length === 0,
      kekWeaknesses,
    }
  } finally {
    pkcs11.C_CloseSession(session)
  }
}

/** @returns what was made, in words */
export function makeKek(modulePath: string, session: Handle, epoch: number): string {
  const label = `${KEK_LABEL}${epoch}`
  const protection = [NO_COPIES, ...PROTECTION]
  if (makeProtected(modulePath, session, secretKey(label, KEK_USES), protection)) return `KEK ${label}`
  return `KEK ${label}, without CKA_UNWRAP_TEMPLATE: the device does not know it`
}

/** @returns what was made, in words */
export function makeSealingKey(modulePath: string, session: Handle, epoch: number): string {
  const label = `${SEAL_LABEL}${epoch}`
  makeProtected(modulePath, session, secretKey(label, SEAL_USES), [NO_COPIES])
  return `sealing key ${label}`
}

/** With all the protection there is; on a device that does not know its attributes without, and then returns false. */
function makeProtected(
  modulePath: string,
  session: Handle,
  plain: readonly NativeAttribute[],
  protection: readonly NativeAttribute[],
): boolean {
  try {
    generateAesKey(modulePath, session, [...plain, ...protection])
    return true
  } catch (error) {
    if (!ATTRIBUTE_UNKNOWN.has(returnValue(error) ?? -1)) throw error
    generateAesKey(modulePath, session, plain)
    return false
  }
}

/** A copy could be given other uses. */
const NO_COPIES: NativeAttribute = { type: CK.CKA_COPYABLE, value: false }

/**
 * What a key wrapped under the KEK may come back as, whoever asks: a private key that cannot be read. The class is named so
 * that it does not come back as a secret key, from which derivation could cut readable pieces.
 */
const PROTECTION: readonly NativeAttribute[] = [
  { type: CK.CKA_ALLOWED_MECHANISMS, value: CK.CKM_AES_KEY_WRAP_PAD },
  {
    type: CK.CKA_UNWRAP_TEMPLATE,
    value: [
      { type: CK.CKA_CLASS, value: CK.CKO_PRIVATE_KEY },
      { type: CK.CKA_PRIVATE, value: true },
      { type: CK.CKA_SENSITIVE, value: true },
      { type: CK.CKA_EXTRACTABLE, value: false },
    ],
  },
]

const ATTRIBUTE_UNKNOWN: ReadonlySet<number> = new Set([
  0x12, // CKR_ATTRIBUTE_TYPE_INVALID
  0x13, // CKR_ATTRIBUTE_VALUE_INVALID
  0xd1, // CKR_TEMPLATE_INCONSISTENT
])

function secretKey(label: string, uses: readonly (readonly [type: number, value: boolean])[]): NativeAttribute[] {
  return [
    { type: CK.CKA_CLASS, value: CK.CKO_SECRET_KEY },
    { type: CK.CKA_KEY_TYPE, value: CK.CKK_AES },
    { type: CK.CKA_VALUE_LEN, value: 32 },
    { type: CK.CKA_LABEL, value: label },
    ...[...KEPT_SECRET, ...uses].map(([type, value]) => ({ type, value })),
  ]
}

/** Short enough for every device and long enough against guessing. */
function newPin(): string {
  return randomBytes(18).toString('base64url')
}
