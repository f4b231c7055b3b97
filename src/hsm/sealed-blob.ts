import { createHash } from 'node:crypto'
import { HsmError, type KeySpec, type SignerKey } from './hsm.js'

/**
 * The bytes that leave a device, and what each is bound to. Numbers are big-endian.
 *
 *   sealed box    epoch of the sealing key u16 | nonce 12 | ciphertext with its tag of 16
 *   sealed data   version 1 u8 | sealed box
 *   wrapped key   version 1 u8 | epoch of the KEK u16 | sealed box around the output of the KEK
 */

const VERSION = 1
export const NONCE_LENGTH = 12
export const TAG_LENGTH = 16

/** AES-256-GCM under the sealing key of that epoch. */
export interface SealedBox {
  readonly epoch: number
  readonly nonce: Buffer
  readonly ciphertext: Buffer
}

export function encodeSealed(box: SealedBox): Buffer {
  return Buffer.concat([Buffer.of(VERSION), encodeBox(box)])
}

/** @throws HsmError `rejected` */
export function decodeSealed(sealed: Uint8Array): SealedBox {
  const bytes = requireForm(sealed, 1 + SHORTEST_BOX)
  return decodeBox(bytes.subarray(1))
}

export function encodeWrapped(kekEpoch: number, box: SealedBox): Buffer {
  return Buffer.concat([Buffer.of(VERSION), u16(kekEpoch), encodeBox(box)])
}

/** @throws HsmError `rejected` */
export function decodeWrapped(blob: Uint8Array): { kekEpoch: number; box: SealedBox } {
  const bytes = requireForm(blob, 3 + SHORTEST_BOX)
  return { kekEpoch: bytes.readUInt16BE(1), box: decodeBox(bytes.subarray(3)) }
}

/** What GCM authenticates beside sealed data: its domain, so that it is no wrapped key, then the caller's. */
export function sealedContext(associatedData: Uint8Array): Buffer {
  return Buffer.concat([Buffer.from('paraph sealed data 1\0'), associatedData])
}

/** What GCM authenticates beside a wrapped key: its domain, the KEK it needs, its kind, then the caller's. */
export function wrappedKeyContext(kekEpoch: number, spec: KeySpec, associatedData: Uint8Array): Buffer {
  return Buffer.concat([Buffer.from('paraph wrapped key 1\0'), u16(kekEpoch), Buffer.from(`${spec}\0`), associatedData])
}

/** The key's name in the cache. Covers everything it is bound to, so that a hit is as good as unsealing again. */
export function cacheName(key: SignerKey): string {
  const context = wrappedKeyContext(0, key.spec, key.associatedData)
  const hash = createHash('sha256').update(u32(context.length)).update(context).update(key.blob).digest('base64')
  return `${key.cacheId} ${hash}`
}

function encodeBox({ epoch, nonce, ciphertext }: SealedBox): Buffer {
  return Buffer.concat([u16(epoch), nonce, ciphertext])
}

function decodeBox(bytes: Buffer): SealedBox {
  return {
    epoch: bytes.readUInt16BE(0),
    nonce: bytes.subarray(2, 2 + NONCE_LENGTH),
    ciphertext: bytes.subarray(2 + NONCE_LENGTH),
  }
}

const SHORTEST_BOX = 2 + NONCE_LENGTH + TAG_LENGTH

function requireForm(bytes: Uint8Array, shortest: number): Buffer {
  if (bytes.length < shortest || bytes[0] !== VERSION) {
    throw new HsmError('rejected', 'not in a form this version knows')
  }
  return Buffer.from(bytes)
}

function u16(value: number): Buffer {
  const bytes = Buffer.alloc(2)
  bytes.writeUInt16BE(value)
  return bytes
}

function u32(value: number): Buffer {
  const bytes = Buffer.alloc(4)
  bytes.writeUInt32BE(value)
  return bytes
}
