import koffi from 'koffi'
import { CK, type Handle } from './pkcs11.js'

/** A value of an attribute, or, for CKA_UNWRAP_TEMPLATE, a template of its own. */
export interface NativeAttribute {
  readonly type: number
  readonly value: boolean | number | string | readonly NativeAttribute[]
}

/** sizeof(CK_ATTRIBUTE) where CK_ULONG and pointers have 8 bytes, as on every 64-bit Unix. */
const ATTRIBUTE_SIZE = 24
const MECHANISM_SIZE = 24

/**
 * C_GenerateKey of an AES key past the binding, which passes no nested templates: in the same module, and in a session that the
 * binding opened.
 * @throws Error with the CKR_ number in the binding's form, so that `returnValue` finds it
 */
export function generateAesKey(modulePath: string, session: Handle, template: readonly NativeAttribute[]): void {
  if (session.length !== 8 || koffi.sizeof('void *') !== 8) throw new Error('works on 64-bit Unix only')
  const generateKey = koffi
    .load(modulePath)
    .func(
      'unsigned long C_GenerateKey(unsigned long session, void *mechanism, void *template, unsigned long count, void *key)',
    ) as unknown as (
    session: bigint,
    mechanism: Buffer,
    template: Buffer,
    count: number,
    key: Buffer,
  ) => number | bigint

  const mechanism = Buffer.alloc(MECHANISM_SIZE)
  mechanism.writeBigUInt64LE(BigInt(CK.CKM_AES_KEY_GEN))
  // Keeps alive what the template points to until the call is over.
  const alive: Buffer[] = []
  const attributes = layOut(template, alive)
  const result = generateKey(session.readBigUInt64LE(), mechanism, attributes, template.length, Buffer.alloc(8))
  if (alive.length === 0 || BigInt(result) !== 0n) throw new Error(`CKR_FROM_MODULE:${result}`)
}

/** An array of CK_ATTRIBUTE as it stands in memory. */
function layOut(template: readonly NativeAttribute[], alive: Buffer[]): Buffer {
  const memory = Buffer.alloc(ATTRIBUTE_SIZE * template.length)
  for (const [index, { type, value }] of template.entries()) {
    const bytes = bytesOf(value, alive)
    const at = ATTRIBUTE_SIZE * index
    memory.writeBigUInt64LE(BigInt(type), at)
    memory.writeBigUInt64LE(koffi.address(bytes), at + 8)
    memory.writeBigUInt64LE(BigInt(bytes.length), at + 16)
  }
  alive.push(memory)
  return memory
}

function bytesOf(value: NativeAttribute['value'], alive: Buffer[]): Buffer {
  if (Array.isArray(value)) return layOut(value, alive)
  const bytes =
    typeof value === 'boolean'
      ? Buffer.of(value ? 1 : 0)
      : typeof value === 'number'
        ? ulong(value)
        : Buffer.from(value as string)
  alive.push(bytes)
  return bytes
}

function ulong(value: number): Buffer {
  const bytes = Buffer.alloc(8)
  bytes.writeBigUInt64LE(BigInt(value))
  return bytes
}
