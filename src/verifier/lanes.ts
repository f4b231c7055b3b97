/**
 * SHA-256 (FIPS 180-4) of many short messages. A pack has some ten hashes of two blocks for each entry, and a call into the
 * platform's hash costs more than hashing that little. Here four messages are hashed side by side, each in a 32-bit lane of
 * a vector, by a WebAssembly function that the loops below write out; where the machine has no vectors, one after another.
 */

/**
 * What one job consists of: a number of blocks, then four addresses each of messages, of states before, and of states
 * after. States are 32 bytes, as a digest is. Jobs are done in order, and may use what earlier ones wrote.
 */
export const JOB_NUMBERS = 16
const JOB_BYTES = 4 * JOB_NUMBERS
/** Address of the state that SHA-256 begins with. */
export const START = 1024
/** The memory below is taken. */
export const FREE = 2048
const PAGE = 2 ** 16

export interface Lanes {
  readonly bytes: Uint8Array
  readonly numbers: Int32Array
  /** Does `count` jobs that stand from `at` on. */
  run(at: number, count: number): void
}

const free: Lanes[] = []

/** Memory to work in. Whoever takes one gives it back: a machine has room for few of them. */
export function takeLanes(size: number): Lanes {
  const at = free.findIndex(({ bytes }) => bytes.length >= size)
  return at < 0 ? newLanes(size) : (free.splice(at, 1)[0] as Lanes)
}

export function giveBack(lanes: Lanes): void {
  free.push(lanes)
}

/** What is used of the platform here, whose types come with those of a browser only. */
declare const WebAssembly: {
  Memory: new (size: { initial: number }) => { buffer: ArrayBuffer }
  Module: new (code: Uint8Array) => object
  Instance: new (module: object, imports: object) => { exports: Record<string, unknown> }
  validate(code: Uint8Array): boolean
}

/**
 * @param size of the memory, in bytes
 * @param vectors whether to use them, where the machine has them
 */
export function newLanes(size: number, vectors = true): Lanes {
  const memory = new WebAssembly.Memory({ initial: Math.ceil(size / PAGE) })
  const bytes = new Uint8Array(memory.buffer)
  const numbers = new Int32Array(memory.buffer)
  // Each constant four times, for four lanes.
  K.forEach((k, i) => {
    numbers.fill(k, 4 * i, 4 * i + 4)
  })
  writeState(H0, bytes, START)
  const code = vectors && LITTLE_ENDIAN ? vectorCode() : undefined
  if (code === undefined) return { bytes, numbers, run: (at, count) => runScalar(bytes, numbers, at, count) }
  const { run } = new WebAssembly.Instance(code, { e: { m: memory } }).exports
  return { bytes, numbers, run: run as Lanes['run'] }
}

/** As WebAssembly's memory always is. */
const LITTLE_ENDIAN = new Uint8Array(Int32Array.of(1).buffer)[0] === 1

const K = Int32Array.from(constants((x) => Math.cbrt(x)))
const H0 = Int32Array.from(constants((x) => Math.sqrt(x)).slice(0, 8))

/** First 32 bits of the fractional parts of a root of each of the first 64 primes. */
function constants(root: (prime: number) => number): number[] {
  const found: number[] = []
  for (let n = 2; found.length < 64; n++) {
    let prime = true
    for (let d = 2; d * d <= n && prime; d++) prime = n % d !== 0
    if (prime) found.push(((root(n) % 1) * 2 ** 32) | 0)
  }
  return found
}

// Opcodes of WebAssembly 2.0; those of vectors stand behind 0xfd.
const OP = { loop: 0x03, end: 0x0b, again: 0x0d, get: 0x20, set: 0x21, load: 0x28, const: 0x41, add: 0x6a } as const
const VECTOR = {
  ...{ load: 0x00, store: 0x0b, shuffle: 0x0d, and: 0x4e, xor: 0x51, or: 0x50 },
  ...{ shl: 0xab, shr: 0xad, add: 0xae },
} as const
const NO_RESULT = 0x40
const [I32, V128] = [0x7f, 0x7b]

// Locals: two parameters, five numbers, 36 vectors.
const [JOB, COUNT, BLOCKS, MESSAGE] = [0, 1, 2, 3]
const [STATE, W, ROUND] = [7, 15, 23 + 8]
const [T0, T1, T2, T3] = [ROUND + 8, ROUND + 9, ROUND + 10, ROUND + 11]

// How 16 bytes are chosen from two vectors.
const LOW_WORDS = [0, 1, 2, 3, 16, 17, 18, 19, 4, 5, 6, 7, 20, 21, 22, 23]
const HIGH_WORDS = [8, 9, 10, 11, 24, 25, 26, 27, 12, 13, 14, 15, 28, 29, 30, 31]
const LOW_HALVES = [0, 1, 2, 3, 4, 5, 6, 7, 16, 17, 18, 19, 20, 21, 22, 23]
const HIGH_HALVES = [8, 9, 10, 11, 12, 13, 14, 15, 24, 25, 26, 27, 28, 29, 30, 31]
const SWAPPED = [3, 2, 1, 0, 7, 6, 5, 4, 11, 10, 9, 8, 15, 14, 13, 12]

class Code {
  readonly bytes: number[] = []

  op(name: keyof typeof OP, value?: number): this {
    this.bytes.push(OP[name])
    return value === undefined ? this : this.signed(value)
  }

  vector(name: keyof typeof VECTOR, bytes: readonly number[] = []): this {
    this.bytes.push(0xfd, ...unsigned(VECTOR[name]), ...bytes)
    return this
  }

  get(...locals: number[]): this {
    for (const local of locals) this.op('get', local)
    return this
  }

  set(local: number): this {
    return this.op('set', local)
  }

  /** Of a vector at the address in a local. */
  loadVector(local: number, offset: number): this {
    return this.get(local).vector('load', [0, ...unsigned(offset)])
  }

  /** Of an address or a number of the job. */
  loadNumber(index: number): this {
    this.get(JOB).bytes.push(OP.load, 2, ...unsigned(4 * index))
    return this
  }

  rotated(local: number, by: number): this {
    this.get(local).op('const', by).vector('shr')
    return this.get(local)
      .op('const', 32 - by)
      .vector('shl')
      .vector('or')
  }

  sigma(local: number, ...by: readonly [number, number, number]): this {
    this.rotated(local, by[0]).rotated(local, by[1]).vector('xor')
    return this.rotated(local, by[2]).vector('xor')
  }

  schedule(local: number, ...by: readonly [number, number, number]): this {
    this.rotated(local, by[0]).rotated(local, by[1]).vector('xor')
    return this.get(local).op('const', by[2]).vector('shr').vector('xor')
  }

  /** Four vectors of four words become four of one word of each; words are most significant byte first in the memory. */
  transpose(from: readonly number[], to: readonly number[]): this {
    const [a, b, c, d] = from as [number, number, number, number]
    this.get(a, b).vector('shuffle', LOW_WORDS).set(T0)
    this.get(a, b).vector('shuffle', HIGH_WORDS).set(T1)
    this.get(c, d).vector('shuffle', LOW_WORDS).set(T2)
    this.get(c, d).vector('shuffle', HIGH_WORDS).set(T3)
    const pairs = [
      [T0, T2, LOW_HALVES],
      [T0, T2, HIGH_HALVES],
      [T1, T3, LOW_HALVES],
      [T1, T3, HIGH_HALVES],
    ] as const
    pairs.forEach(([left, right, which], i) => {
      this.get(left, right)
        .vector('shuffle', which)
        .set(to[i] as number)
      this.get(to[i] as number, to[i] as number)
        .vector('shuffle', SWAPPED)
        .set(to[i] as number)
    })
    return this
  }

  signed(value: number): this {
    let rest = value
    for (;;) {
      const byte = rest & 127
      rest >>= 7
      const last = (rest === 0 && (byte & 64) === 0) || (rest === -1 && (byte & 64) !== 0)
      this.bytes.push(last ? byte : byte | 128)
      if (last) return this
    }
  }
}

function unsigned(value: number): number[] {
  return value < 128 ? [value] : [(value & 127) | 128, ...unsigned(value >>> 7)]
}

const four = (first: number) => [first, first + 1, first + 2, first + 3]

function sha256Body(): number[] {
  const code = new Code()
  code.bytes.push(OP.loop, NO_RESULT)
  code.loadNumber(0).set(BLOCKS)
  for (let lane = 0; lane < 4; lane++) code.loadNumber(1 + lane).set(MESSAGE + lane)
  for (const half of [0, 4]) {
    for (let lane = 0; lane < 4; lane++) {
      code
        .loadNumber(5 + lane)
        .vector('load', [0, 4 * half])
        .set(W + lane)
    }
    code.transpose(four(W), four(STATE + half))
  }
  code.bytes.push(OP.loop, NO_RESULT)
  for (let quarter = 0; quarter < 16; quarter += 4) {
    for (let lane = 0; lane < 4; lane++) code.loadVector(MESSAGE + lane, 4 * quarter).set(W + quarter + lane)
    code.transpose(four(W + quarter), four(W + quarter))
  }
  for (let i = 0; i < 8; i++) code.get(STATE + i).set(ROUND + i)
  rounds(code)
  for (let i = 0; i < 8; i++) {
    code
      .get(STATE + i, ROUND + i)
      .vector('add')
      .set(STATE + i)
  }
  for (let lane = 0; lane < 4; lane++) {
    code
      .get(MESSAGE + lane)
      .op('const', 64)
      .op('add')
      .set(MESSAGE + lane)
  }
  countDown(code, BLOCKS)
  for (const half of [0, 4]) {
    code.transpose(four(STATE + half), four(W))
    for (let lane = 0; lane < 4; lane++) {
      code
        .loadNumber(9 + lane)
        .get(W + lane)
        .vector('store', [0, 4 * half])
    }
  }
  code.get(JOB).op('const', JOB_BYTES).op('add').set(JOB)
  countDown(code, COUNT)
  code.op('end')
  return code.bytes
}

/** Ends a loop that is done as often as the local says. */
function countDown(code: Code, local: number): void {
  code.get(local).op('const', -1).op('add').set(local)
  code.get(local).op('again', 0).op('end')
}

/** The 64 rounds of one block, FIPS 180-4 §6.2.2. */
function rounds(code: Code): void {
  const names = Array.from({ length: 8 }, (_, i) => ROUND + i)
  // Maj(a, b, c) = b ^ ((a ^ b) & (b ^ c)), of which a ^ b is the next round's b ^ c.
  let [ab, bc] = [T1, T2]
  code
    .get(names[1] as number, names[2] as number)
    .vector('xor')
    .set(bc)
  for (let i = 0; i < 64; i++) {
    const [a, b, , d, e, f, g, h] = names as [number, number, number, number, number, number, number, number]
    const w = (back: number) => W + ((i + 16 - back) % 16)
    if (i >= 16) {
      code.get(w(0), w(7)).vector('add')
      code.schedule(w(15), 7, 18, 3).vector('add')
      code.schedule(w(2), 17, 19, 10).vector('add').set(w(0))
    }
    code.get(h).sigma(e, 6, 11, 25).vector('add')
    code.get(g, e, f, g).vector('xor').vector('and').vector('xor').vector('add')
    code.op('const', 0).vector('load', [0, ...unsigned(16 * i)])
    code.get(w(0)).vector('add').vector('add').set(T0)
    code.get(d, T0).vector('add').set(d)
    code.get(a, b).vector('xor').set(ab)
    code.get(T0).sigma(a, 2, 13, 22).vector('add')
    code.get(b, ab, bc).vector('and').vector('xor').vector('add').set(h)
    ;[ab, bc] = [bc, ab]
    names.unshift(names.pop() as number)
  }
}

let compiled: object | undefined

/** Undefined where the machine has no vectors. */
function vectorCode(): object | undefined {
  compiled ??= compile()
  return compiled
}

function compile(): object | undefined {
  const section = (id: number, bytes: readonly number[]) => [id, ...unsigned(bytes.length), ...bytes]
  const body = [2, 5, I32, 36, V128, ...sha256Body()]
  const text = (word: string) => [word.length, ...Buffer.from(word)]
  const bytes = Uint8Array.from([
    ...[0, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    ...section(1, [1, 0x60, 2, I32, I32, 0]),
    ...section(2, [1, ...text('e'), ...text('m'), 2, 0, 1]),
    ...section(3, [1, 0]),
    ...section(7, [1, ...text('run'), 0, 0]),
    ...section(10, [1, ...unsigned(body.length), ...body]),
  ])
  return WebAssembly.validate(bytes) ? new WebAssembly.Module(bytes) : undefined
}

/** The same without vectors. */
function runScalar(bytes: Uint8Array, numbers: Int32Array, at: number, count: number): void {
  const state = new Int32Array(8)
  for (let job = at / 4; job < at / 4 + count * JOB_NUMBERS; job += JOB_NUMBERS) {
    const blocks = numbers[job] as number
    for (let lane = 1; lane <= 4; lane++) {
      const message = numbers[job + lane] as number
      readState(bytes, numbers[job + lane + 4] as number, state)
      for (let block = 0; block < blocks; block++) compress(state, bytes, message + 64 * block)
      writeState(state, bytes, numbers[job + lane + 8] as number)
    }
  }
}

const words = new Int32Array(64)

function compress(state: Int32Array, block: Uint8Array, at: number): void {
  for (let i = 0; i < 16; i++) words[i] = readWord(block, at + 4 * i)
  for (let i = 16; i < 64; i++) {
    const x = words[i - 15] as number
    const y = words[i - 2] as number
    const s0 = ((x >>> 7) | (x << 25)) ^ ((x >>> 18) | (x << 14)) ^ (x >>> 3)
    const s1 = ((y >>> 17) | (y << 15)) ^ ((y >>> 19) | (y << 13)) ^ (y >>> 10)
    words[i] = (s0 + (words[i - 16] as number) + (words[i - 7] as number) + s1) | 0
  }
  let [a, b, c, d, e, f, g, h] = state as unknown as [number, number, number, number, number, number, number, number]
  for (let i = 0; i < 64; i++) {
    const s1 = ((e >>> 6) | (e << 26)) ^ ((e >>> 11) | (e << 21)) ^ ((e >>> 25) | (e << 7))
    const t1 = (h + s1 + (g ^ (e & (f ^ g))) + (K[i] as number) + (words[i] as number)) | 0
    const s0 = ((a >>> 2) | (a << 30)) ^ ((a >>> 13) | (a << 19)) ^ ((a >>> 22) | (a << 10))
    const t2 = (s0 + ((a & b) | (c & (a | b)))) | 0
    h = g
    g = f
    f = e
    e = (d + t1) | 0
    d = c
    c = b
    b = a
    a = (t1 + t2) | 0
  }
  const end = [a, b, c, d, e, f, g, h]
  for (let i = 0; i < 8; i++) state[i] = ((state[i] as number) + (end[i] as number)) | 0
}

function readWord(bytes: Uint8Array, at: number): number {
  return (
    ((bytes[at] as number) << 24) |
    ((bytes[at + 1] as number) << 16) |
    ((bytes[at + 2] as number) << 8) |
    (bytes[at + 3] as number)
  )
}

function readState(bytes: Uint8Array, at: number, state: Int32Array): void {
  for (let i = 0; i < 8; i++) state[i] = readWord(bytes, at + 4 * i)
}

function writeState(state: Int32Array, bytes: Uint8Array, at: number): void {
  for (let i = 0, p = at; i < 8; i++, p += 4) {
    const word = state[i] as number
    bytes[p] = word >>> 24
    bytes[p + 1] = word >>> 16
    bytes[p + 2] = word >>> 8
    bytes[p + 3] = word
  }
}
