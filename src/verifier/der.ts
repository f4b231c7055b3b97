/** One element of DER (X.690), with single-byte tags, which is all that a time-stamp has. */
export class Der {
  readonly tag: number
  readonly content: Buffer
  /** With tag and length. */
  readonly whole: Buffer

  constructor(tag: number, content: Buffer, whole: Buffer) {
    this.tag = tag
    this.content = content
    this.whole = whole
  }

  /** @throws RangeError */
  children(): Der[] {
    const children: Der[] = []
    for (let at = 0; at < this.content.length; ) {
      const child = element(this.content, at)
      children.push(child)
      at += child.whole.length
    }
    return children
  }

  hex(): string {
    return this.content.toString('hex')
  }
}

/** The one element that these bytes are. @throws RangeError */
export function readDer(bytes: Buffer): Der {
  const one = element(bytes, 0)
  if (one.whole.length !== bytes.length) throw new RangeError('something follows the time-stamp')
  return one
}

function element(bytes: Buffer, from: number): Der {
  let at = from + 2
  let length = bytes[from + 1] ?? Number.NaN
  if (length > 0x80 && length <= 0x84) {
    const width = length - 0x80
    if (at + width > bytes.length) throw new RangeError('the time-stamp ends too early')
    length = bytes.readUIntBE(at, width)
    at += width
  }
  if (!(length < 0x80 || at > from + 2) || !(at + length <= bytes.length)) {
    throw new RangeError('the time-stamp ends too early')
  }
  return new Der(bytes[from] as number, bytes.subarray(at, at + length), bytes.subarray(from, at + length))
}
