import { createPublicKey, hash, type KeyObject, verify } from 'node:crypto'

/**
 * Signed notes, verifier keys and checkpoints: C2SP signed-note, tlog-checkpoint and tlog-cosignature. A note is UTF-8
 * text; a key is known by its name and a 32-bit id together.
 */

/** Signature types: Ed25519 over the note, ECDSA P-256 over the note, Ed25519 cosignature with a time. */
export const SIGNATURE_TYPE = { ed25519: 1, ecdsa: 2, cosignature: 4 } as const
export type SignatureType = keyof typeof SIGNATURE_TYPE

export interface NoteKey {
  readonly name: string
  /** 4 bytes. */
  readonly id: Buffer
  readonly type: SignatureType
  readonly publicKey: KeyObject
}

export interface NoteSignature {
  readonly name: string
  readonly id: Buffer
  /** What follows the id: the bare signature, or for a cosignature 8 bytes of time and the signature. */
  readonly bytes: Buffer
}

export interface Note {
  /** With its last newline, without the empty line. This is what is signed. */
  readonly text: string
  readonly signatures: readonly NoteSignature[]
}

export interface Checkpoint {
  readonly origin: string
  readonly size: number
  readonly root: Buffer
}

const MOST_SIGNATURES = 64
const ED25519_SPKI = Buffer.from('302a300506032b6570032100', 'hex')
/** Unicode White_Space, and the plus that separates the parts of a verifier key. */
const NAME = /^[^+\s\u0085]+$/u
// biome-ignore lint/suspicious/noControlCharactersInRegex: a note has none but the newline
const CONTROL = /[\u0000-\u0009\u000b-\u001f]/

/** A key for notes from a DER SubjectPublicKeyInfo. @throws RangeError when name, type and key do not fit */
export function noteKey(name: string, type: SignatureType, spki: Uint8Array): NoteKey {
  if (!NAME.test(name)) throw new RangeError('the name of a key is not empty and has neither spaces nor a plus')
  const publicKey = createPublicKey({ key: Buffer.from(spki), format: 'der', type: 'spki' })
  const curve = publicKey.asymmetricKeyDetails?.namedCurve
  const fits = type === 'ecdsa' ? curve === 'prime256v1' : publicKey.asymmetricKeyType === 'ed25519'
  if (!fits) throw new RangeError(`this is not a key for ${type} signatures`)
  return { name, id: keyId(name, type, publicKey), type, publicKey }
}

function keyId(name: string, type: SignatureType, publicKey: KeyObject): Buffer {
  const bytes =
    type === 'ecdsa' ? material(type, publicKey) : Buffer.concat([Buffer.from(`${name}\n`), typed(type, publicKey)])
  return hash('sha256', bytes, 'buffer').subarray(0, 4)
}

function material(type: SignatureType, publicKey: KeyObject): Buffer {
  const spki = publicKey.export({ type: 'spki', format: 'der' })
  return type === 'ecdsa' ? spki : spki.subarray(ED25519_SPKI.length)
}

const typed = (type: SignatureType, publicKey: KeyObject): Buffer =>
  Buffer.concat([Buffer.of(SIGNATURE_TYPE[type]), material(type, publicKey)])

/** `<name>+<hex id>+<base64 of type and key>` */
export function formatVkey({ name, id, type, publicKey }: NoteKey): string {
  return `${name}+${id.toString('hex')}+${typed(type, publicKey).toString('base64')}`
}

/** @throws RangeError when it is not a verifier key of a type known here, or its id is not that of its key */
export function parseVkey(text: string): NoteKey {
  const match = /^([^+]+)\+([0-9a-f]{8})\+([A-Za-z0-9+/=]+)$/.exec(text)
  const bytes = match === null ? undefined : decodeBase64(match[3] as string)
  if (match === null || bytes === undefined) throw new RangeError('this is not a verifier key')
  const type = (Object.keys(SIGNATURE_TYPE) as SignatureType[]).find((one) => SIGNATURE_TYPE[one] === bytes[0])
  if (type === undefined) throw new RangeError('a verifier key of this type is not known here')
  const spki = type === 'ecdsa' ? bytes.subarray(1) : Buffer.concat([ED25519_SPKI, bytes.subarray(1)])
  let key: NoteKey
  try {
    key = noteKey(match[1] as string, type, spki)
  } catch (error) {
    throw new RangeError('the key in this verifier key is none', { cause: error })
  }
  if (key.id.toString('hex') !== match[2]) throw new RangeError('the id in this verifier key is not that of its key')
  return key
}

/** `— <name> <base64 of id and signature>`, with its newline. */
export function signatureLine(key: Pick<NoteKey, 'name' | 'id'>, bytes: Uint8Array): string {
  return `— ${key.name} ${Buffer.concat([key.id, bytes]).toString('base64')}\n`
}

/** @throws RangeError when it is not a note */
export function parseNote(note: string): Note {
  const end = note.lastIndexOf('\n\n')
  if (end < 0 || CONTROL.test(note)) throw new RangeError('this is not a signed note')
  return { text: note.slice(0, end + 1), signatures: parseSignatures(note.slice(end + 2)) }
}

/** Signature lines by themselves, as a witness answers them. @throws RangeError */
export function parseSignatures(lines: string): NoteSignature[] {
  if (!lines.endsWith('\n')) throw new RangeError('a signature line ends with a newline')
  const signatures = lines
    .slice(0, -1)
    .split('\n')
    .map((line) => {
      const match = /^— (\S+) (\S+)$/u.exec(line)
      const bytes = match === null ? undefined : decodeBase64(match[2] as string)
      if (match === null || bytes === undefined || bytes.length < 5 || !NAME.test(match[1] as string)) {
        throw new RangeError('this is not a signature line')
      }
      return { name: match[1] as string, id: bytes.subarray(0, 4), bytes: bytes.subarray(4) }
    })
  if (signatures.length > MOST_SIGNATURES) throw new RangeError(`a note has at most ${MOST_SIGNATURES} signatures`)
  return signatures
}

/**
 * Whether this key signed the note. A note that names the key beside a signature that is not its own is no note at all.
 * @returns for a cosignature the time it carries, in seconds since 1970; else 0; undefined when the key did not sign
 * @throws RangeError when the note bears a false signature under this key's name and id
 */
export function verifyNote(note: Note, key: NoteKey): number | undefined {
  const own = note.signatures.filter(({ name, id }) => name === key.name && id.equals(key.id))
  let time: number | undefined
  for (const { bytes } of own) {
    const seconds = verifyText(note.text, key, bytes)
    if (seconds === undefined) throw new RangeError(`the signature of ${key.name} is not one`)
    time = Math.max(time ?? 0, seconds)
  }
  return time
}

function verifyText(text: string, key: NoteKey, bytes: Buffer): number | undefined {
  if (key.type === 'ecdsa') return verify('sha256', Buffer.from(text), key.publicKey, bytes) ? 0 : undefined
  if (key.type === 'ed25519') return verify(null, Buffer.from(text), key.publicKey, bytes) ? 0 : undefined
  if (bytes.length !== 8 + 64) return undefined
  const seconds = Number(bytes.readBigUInt64BE())
  if (!Number.isSafeInteger(seconds) || seconds === 0) return undefined
  return verify(null, Buffer.from(cosignedText(text, seconds)), key.publicKey, bytes.subarray(8)) ? seconds : undefined
}

/** What a witness signs: tlog-cosignature, Ed25519. */
export function cosignedText(text: string, seconds: number): string {
  return `cosignature/v1\ntime ${seconds}\n${text}`
}

/** The bytes of a cosignature from its time and bare signature. */
export function cosignatureBytes(seconds: number, signature: Uint8Array): Buffer {
  const time = Buffer.alloc(8)
  time.writeBigUInt64BE(BigInt(seconds))
  return Buffer.concat([time, signature])
}

/** The text of a checkpoint; no extension lines, which nobody could audit. */
export function checkpointText({ origin, size, root }: { origin: string; size: number; root: Uint8Array }): string {
  return `${origin}\n${size}\n${Buffer.from(root).toString('base64')}\n`
}

/** @throws RangeError when the text is not that of a checkpoint; extension lines are not read */
export function parseCheckpoint(text: string): Checkpoint {
  const [origin, size, root, ...rest] = text.split('\n')
  const bytes = root === undefined ? undefined : decodeBase64(root)
  const extensions = rest.slice(0, -1)
  if (
    origin === undefined ||
    origin === '' ||
    !/^(0|[1-9][0-9]{0,15})$/.test(size ?? '') ||
    !Number.isSafeInteger(Number(size)) ||
    bytes?.length !== 32 ||
    rest.at(-1) !== '' ||
    extensions.includes('')
  ) {
    throw new RangeError('this is not a checkpoint')
  }
  return { origin, size: Number(size), root: bytes }
}

/** Canonical standard base64 only: padded, and no other spelling of the same bytes. */
export function decodeBase64(text: string): Buffer | undefined {
  const bytes = Buffer.from(text, 'base64')
  return bytes.toString('base64') === text ? bytes : undefined
}
