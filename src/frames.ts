import { MAX_FRAME } from './activation.js'

const HEADER = 4

/**
 * One frame of the activation protocol: four bytes of big-endian length, then the value as UTF-8 JSON.
 * @throws RangeError when the JSON is longer than MAX_FRAME
 */
export function encodeFrame(value: unknown): Buffer {
  const json = JSON.stringify(value)
  const length = Buffer.byteLength(json)
  if (length > MAX_FRAME) throw new RangeError(`a frame has at most ${MAX_FRAME} bytes`)
  const frame = Buffer.allocUnsafe(HEADER + length)
  frame.writeUInt32BE(length, 0)
  frame.write(json, HEADER)
  return frame
}

/** Takes the bytes of one connection as they come and gives back the frames that are complete. */
export class FrameReader {
  #chunks: Buffer[] = []
  #size = 0
  /** Bytes until the next thing can be read: a header, or a header and its body. */
  #wanted = HEADER

  /**
   * The frames that `chunk` completed, in order.
   * @throws RangeError for a frame longer than MAX_FRAME, SyntaxError for one that is not JSON; the reader is then of no
   *   further use, and neither is its connection. Neither error holds anything of the frame.
   */
  push(chunk: Buffer): unknown[] {
    this.#chunks.push(chunk)
    this.#size += chunk.length
    const frames: unknown[] = []
    while (this.#size >= this.#wanted) {
      const bytes = this.#chunks.length === 1 ? (this.#chunks[0] as Buffer) : Buffer.concat(this.#chunks)
      const length = bytes.readUInt32BE(0)
      if (length > MAX_FRAME) throw new RangeError(`a frame has at most ${MAX_FRAME} bytes`)
      const end = HEADER + length
      if (bytes.length < end) {
        this.#chunks = [bytes]
        this.#wanted = end
        break
      }
      frames.push(parse(bytes.toString('utf8', HEADER, end)))
      const rest = bytes.subarray(end)
      this.#chunks = rest.length === 0 ? [] : [rest]
      this.#size = rest.length
      this.#wanted = HEADER
    }
    return frames
  }
}

function parse(json: string): unknown {
  try {
    return JSON.parse(json)
  } catch {
    // The parser's own message quotes what it read.
    throw new SyntaxError('a frame is not JSON')
  }
}
