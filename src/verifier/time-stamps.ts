import { createHash, hash, verify, X509Certificate } from 'node:crypto'
import { parseNote } from '../tlog/note.js'
import type { CheckpointSeen } from './acts.js'
import { type Der, readDer } from './der.js'
import type { Finding } from './finding.js'
import { readWhole } from './pack.js'

/** Clocks of two places may differ by so much. */
const TOLERANCE_MS = 5000
const LONGEST_RESPONSE = 2 ** 16

const OID = {
  signedData: '2a864886f70d010702',
  tstInfo: '2a864886f70d0109100104',
  contentType: '2a864886f70d010903',
  messageDigest: '2a864886f70d010904',
  signingCertificate: '2a864886f70d010910020c',
  signingCertificateV2: '2a864886f70d010910022f',
  extendedKeyUsage: '551d25',
  timeStamping: '2b06010505070308',
  sha256: '608648016503040201',
} as const
const DIGESTS: Readonly<Record<string, string>> = {
  [OID.sha256]: 'sha256',
  '608648016503040202': 'sha384',
  '608648016503040203': 'sha512',
}

/** R7: no outside clock says of a checkpoint an earlier time than the entries below it. */
export class TimeStamps {
  readonly #root: string
  readonly #fault: (finding: Finding) => void
  readonly #trusted: readonly X509Certificate[] | undefined
  readonly #waiting: Set<number>

  /** @param trusted as `readTimeStamp` has it */
  constructor(
    root: string,
    anchors: readonly number[],
    fault: (finding: Finding) => void,
    trusted: readonly X509Certificate[] | undefined,
  ) {
    this.#root = root
    this.#trusted = trusted
    this.#fault = fault
    this.#waiting = new Set(anchors)
  }

  /** @param latest time of the entries that it covers */
  checkpoint(checkpoint: CheckpointSeen, latest: number): void {
    this.cosigned(checkpoint, 'checkpoints.jsonl', latest)
    const { size, note } = checkpoint
    if (!this.#waiting.delete(size)) return
    const file = `anchors/${size}.tsr`
    const wrong = (what: string) => this.#fault({ rule: 'R7', file, what })
    let time: number
    try {
      const response = readWhole(this.#root, file, LONGEST_RESPONSE)
      time = readTimeStamp(response, Buffer.from(parseNote(note).text), this.#trusted).time
    } catch (error) {
      if (error instanceof RangeError) {
        wrong(error.message)
        return
      }
      throw error
    }
    if (time + TOLERANCE_MS < latest) wrong('the time-stamp is older than the entries below it')
  }

  cosigned({ size, cosigned }: CheckpointSeen, file: string, latest: number): void {
    if (cosigned === undefined || cosigned + TOLERANCE_MS >= latest) return
    const what = `a cosignature of size ${size} is older than the entries below it`
    this.#fault({ rule: 'R7', file, what })
  }

  finish(): void {
    for (const size of this.#waiting) {
      this.#fault({ rule: 'R7', file: `anchors/${size}.tsr`, what: 'there is no checkpoint of this size' })
    }
  }
}

/** What a time-stamp says that holds. */
export interface TimeStampSeen {
  /** Milliseconds. */
  readonly time: number
  /** Of the query that it answers, as its DER INTEGER has it; undefined where there was none. */
  readonly nonce: Buffer | undefined
}

/**
 * What a granted RFC 3161 response over SHA-256 of `text` says. It is signed by a certificate that it carries and names, which
 * is for time-stamps and nothing else.
 * @param trusted authorities, or issuers of their certificates, one of which it must come from; absent: whose certificate
 *   it is, and whether he is believed, is not asked
 * @throws RangeError
 */
export function readTimeStamp(response: Buffer, text: Uint8Array, trusted?: readonly X509Certificate[]): TimeStampSeen {
  try {
    const [status, token] = readDer(response).children() as [Der, Der]
    const granted = (status.children()[0] as Der).content
    if (granted.length !== 1 || (granted[0] as number) > 1) throw new RangeError('the time-stamp was not granted')
    const [type, wrapped] = token.children() as [Der, Der]
    if (type.hex() !== OID.signedData) throw new RangeError('the time-stamp is not signed')
    const parts = (wrapped.children()[0] as Der).children()
    const [infoType, infoBytes] = (parts[2] as Der).children() as [Der, Der]
    if (infoType.hex() !== OID.tstInfo) throw new RangeError('the time-stamp holds something else')
    const info = (infoBytes.children()[0] as Der).content
    const fields = readDer(info).children()
    const [, , imprint, , genTime] = fields as [Der, Der, Der, Der, Der]
    const [algorithm, imprinted] = imprint.children() as [Der, Der]
    const right =
      algorithm.children()[0]?.hex() === OID.sha256 && imprinted.content.equals(hash('sha256', text, 'buffer'))
    if (!right) throw new RangeError('the time-stamp is of another checkpoint')
    const { signer, others } = requireSigned(parts, info)
    const time = timeOf(genTime.content.toString('latin1', 0, 40))
    if (trusted !== undefined) requireTrusted(signer, others, trusted, time)
    return { time, nonce: fields.slice(5).find(({ tag }) => tag === 2)?.content }
  } catch (error) {
    if (error instanceof RangeError) throw error
    throw new RangeError('this is not a time-stamp', { cause: error })
  }
}

interface Signers {
  readonly signer: X509Certificate
  readonly others: readonly X509Certificate[]
}

/**
 * CMS (RFC 5652 §5.4): the one signer's attributes name the content and the certificate, and that one confirms the
 * signature and says that it is for time-stamps (RFC 3161 §2.3).
 */
function requireSigned(parts: readonly Der[], content: Buffer): Signers {
  const [signer, more] = (parts.at(-1) as Der).children().map((each) => each.children())
  const attributes = signer?.find(({ tag }) => tag === 0xa0)
  const at = signer === undefined || attributes === undefined ? -1 : signer.indexOf(attributes)
  const digest = DIGESTS[signer?.[2]?.children()[0]?.hex() ?? '']
  const signature = signer?.[at + 2]?.content
  if (more !== undefined || attributes === undefined || digest === undefined || signature === undefined) {
    throw new RangeError('the signature of the time-stamp is of no known form')
  }
  if (
    attributeOf(attributes, OID.messageDigest)?.content.equals(createHash(digest).update(content).digest()) !== true
  ) {
    throw new RangeError('the signature of the time-stamp is over something else')
  }
  if (attributeOf(attributes, OID.contentType)?.hex() !== OID.tstInfo) {
    throw new RangeError('the signature of the time-stamp is over another type of content')
  }
  // Signed is the set itself, not the tag it has here.
  const signed = Buffer.from(attributes.whole)
  signed[0] = 0x31
  const certificates = (parts.find(({ tag }) => tag === 0xa0)?.children() ?? []).map(({ whole }) => whole)
  const own = certificates.find(isNamedIn(attributes))
  if (own === undefined) throw new RangeError('the time-stamp does not come with the certificate that it names')
  const certificate = new X509Certificate(own)
  if (!verify(digest, signed, certificate.publicKey, signature)) {
    throw new RangeError('the certificate of the time-stamp does not confirm its signature')
  }
  if (!isForTimeStamps(own)) throw new RangeError('the certificate of the time-stamp is not for time-stamps alone')
  return {
    signer: certificate,
    others: certificates.filter((one) => one !== own).map((der) => new X509Certificate(der)),
  }
}

/** The one value of an attribute that is there once. */
function attributeOf(attributes: Der, type: string): Der | undefined {
  const [first, ...others] = attributes.children().filter((each) => each.children()[0]?.hex() === type)
  const values = first?.children()[1]?.children() ?? []
  return others.length > 0 || values.length !== 1 ? undefined : values[0]
}

/** ESSCertIDv2 (RFC 5035 §4) or, of old, ESSCertID (RFC 2634 §5.4), of which the first is the signer's. */
function isNamedIn(attributes: Der): (certificate: Buffer) => boolean {
  const second = attributeOf(attributes, OID.signingCertificateV2)
  const named =
    (second ?? attributeOf(attributes, OID.signingCertificate))?.children()[0]?.children()[0]?.children() ?? []
  const algorithm = named[0]?.tag === 0x30 ? DIGESTS[named[0].children()[0]?.hex() ?? ''] : undefined
  const hashed = (named[0]?.tag === 0x30 ? named[1] : named[0])?.content
  const by = second === undefined ? 'sha1' : named[0]?.tag === 0x30 ? algorithm : 'sha256'
  return (certificate) => by !== undefined && hashed?.equals(createHash(by).update(certificate).digest()) === true
}

/** Whether its one extended key usage is timeStamping, and is critical. */
function isForTimeStamps(der: Buffer): boolean {
  const [body] = readDer(der).children()
  const extensions =
    body
      ?.children()
      .find(({ tag }) => tag === 0xa3)
      ?.children()[0]
      ?.children() ?? []
  const [usage, ...others] = extensions.filter((each) => each.children()[0]?.hex() === OID.extendedKeyUsage)
  const [, critical, value] = usage?.children() ?? []
  if (others.length > 0 || critical?.tag !== 1 || critical.content[0] !== 0xff || value === undefined) return false
  const purposes = readDer(value.content).children()
  return purposes.length === 1 && purposes[0]?.hex() === OID.timeStamping
}

const LONGEST_PATH = 10

/** The certificate is one of these, or comes from one of them, and all of the path were valid then. @throws RangeError */
function requireTrusted(
  signer: X509Certificate,
  others: readonly X509Certificate[],
  trusted: readonly X509Certificate[],
  time: number,
): void {
  let subject = signer
  for (let length = 0; length < LONGEST_PATH; length++) {
    if (time < Date.parse(subject.validFrom) || time > Date.parse(subject.validTo)) {
      throw new RangeError('a certificate of the time-stamp was not valid at its time')
    }
    const at = subject
    if (trusted.some((one) => one.raw.equals(at.raw))) return
    const issuer = [...trusted, ...others].find((one) => !one.raw.equals(at.raw) && issued(one, at))
    if (issuer === undefined) break
    subject = issuer
  }
  throw new RangeError('the time-stamp comes from no authority that is trusted')
}

function issued(issuer: X509Certificate, subject: X509Certificate): boolean {
  return issuer.ca && subject.checkIssued(issuer) && subject.verify(issuer.publicKey)
}

/** The certificates of a PEM file. @throws Error when there is none */
export function readTrusted(pem: string): X509Certificate[] {
  const blocks = pem.match(/-----BEGIN CERTIFICATE-----[^-]+-----END CERTIFICATE-----/g)
  if (blocks === null) throw new Error('there is no certificate in PEM')
  return blocks.map((block) => new X509Certificate(block))
}

function timeOf(text: string): number {
  const match = /^(\d{4})(\d\d)(\d\d)(\d\d)(\d\d)(\d\d)(\.\d{1,9})?Z$/.exec(text)
  if (match === null) throw new RangeError('the time of the time-stamp cannot be read')
  const [, year, month, day, hour, minute, second, fraction = ''] = match
  return Date.parse(`${year}-${month}-${day}T${hour}:${minute}:${second}${fraction.slice(0, 4)}Z`)
}
