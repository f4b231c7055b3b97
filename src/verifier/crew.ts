import { createHash } from 'node:crypto'
import { Worker } from 'node:worker_threads'
import type { RangeResult, RangeTask, ScanSettings } from './acts.js'
import { type Finding, PackError } from './finding.js'
import { PackFile } from './pack.js'
import { Scanner } from './scan.js'

/** Work on a pack that needs nothing but the pack. */
export type Job =
  | { readonly kind: 'hash'; readonly root: string; readonly path: string }
  | { readonly kind: 'starts'; readonly root: string; readonly from: number; readonly to: number }
  | { readonly kind: 'range'; readonly task: RangeTask }

interface Results {
  /** SHA-256 of the file, hex. */
  readonly hash: string
  /** Lines of entries.jsonl that announce a boot. */
  readonly starts: string[]
  readonly range: RangeResult
}

/** Those who look at a pack, all at once. */
export interface Crew {
  readonly width: number
  /** What is needed from the first range on. */
  settle(settings: ScanSettings): void
  /** @throws PackError */
  do<Kind extends Job['kind']>(job: Extract<Job, { kind: Kind }>): Promise<Results[Kind]>
  close(): Promise<void>
}

/** Does the jobs of one thread, one after another. */
class Hand {
  #scanner: Scanner | undefined

  settle(settings: ScanSettings): void {
    this.#scanner = new Scanner(settings)
  }

  do(job: Job): Results[Job['kind']] {
    if (job.kind === 'hash') return hashFile(job.root, job.path)
    if (job.kind === 'starts') return findStarts(job.root, job.from, job.to)
    if (this.#scanner === undefined) throw new Error('ranges come after the settings')
    return this.#scanner.scan(job.task)
  }

  close(): void {
    this.#scanner?.close()
  }
}

/** In this thread. */
export function crewHere(): Crew {
  const hand = new Hand()
  return {
    width: 1,
    settle: (settings) => hand.settle(settings),
    do: async (job) => hand.do(job) as never,
    close: async () => hand.close(),
  }
}

interface Answer {
  readonly result?: Results[Job['kind']]
  readonly finding?: Finding
  readonly error?: unknown
}

/** What a worker thread is told of itself. */
export const WORKER_DATA = 'paraph-audit-verify'

/**
 * Worker threads.
 * @param file a module that calls `serve` when it finds WORKER_DATA
 */
export function crewOfThreads(file: URL, width: number): Crew {
  const waiting: { job: Job; done: (answer: Answer) => void }[] = []
  const idle: Worker[] = []
  const busy = new Map<Worker, (answer: Answer) => void>()
  const workers = Array.from({ length: width }, () => new Worker(file, { workerData: WORKER_DATA }))
  const next = (worker: Worker) => {
    const item = waiting.shift()
    if (item === undefined) {
      idle.push(worker)
      return
    }
    busy.set(worker, item.done)
    worker.postMessage({ job: item.job })
  }
  for (const worker of workers) {
    worker.on('message', (answer: Answer) => {
      const done = busy.get(worker)
      busy.delete(worker)
      next(worker)
      done?.(answer)
    })
    worker.on('error', (error) => {
      for (const done of [...busy.values(), ...waiting.splice(0).map((item) => item.done)]) done({ error })
    })
    next(worker)
  }
  return {
    width,
    settle: (settings) => {
      for (const worker of workers) worker.postMessage({ settings })
    },
    do: (job) =>
      new Promise((resolve, reject) => {
        const done = ({ result, finding, error }: Answer) => {
          if (error !== undefined) reject(error)
          else if (finding !== undefined) reject(new PackError(finding))
          else resolve(result as never)
        }
        waiting.push({ job, done })
        const worker = idle.pop()
        if (worker !== undefined) next(worker)
      }),
    close: async () => {
      await Promise.all(workers.map((worker) => worker.terminate()))
    },
  }
}

interface Port {
  on(event: 'message', listener: (message: { settings?: ScanSettings; job?: Job }) => void): void
  postMessage(answer: Answer, transfer: ArrayBuffer[]): void
}

/** The other end, in a worker thread. */
export function serve(port: Port): void {
  const hand = new Hand()
  port.on('message', ({ settings, job }) => {
    if (settings !== undefined) hand.settle(settings)
    if (job === undefined) return
    try {
      const result = hand.do(job)
      port.postMessage({ result }, moved(result))
    } catch (error) {
      if (!(error instanceof PackError)) throw error
      port.postMessage({ finding: error.finding }, [])
    }
  })
}

/** The large parts of a result are moved, not copied. */
function moved(result: Results[Job['kind']]): ArrayBuffer[] {
  if (typeof result === 'string' || Array.isArray(result)) return []
  const { ops, phases, tileRoots, acts } = result
  return [ops, phases, tileRoots, acts.numbers, acts.text].map(({ buffer }) => buffer)
}

const CHUNK = 2 ** 20

function hashFile(root: string, path: string): string {
  const file = new PackFile(root, path)
  try {
    const hash = createHash('sha256')
    const bytes = Buffer.allocUnsafe(Math.min(CHUNK, file.size))
    for (let at = 0; at < file.size; at += CHUNK) {
      const length = Math.min(CHUNK, file.size - at)
      file.readInto(bytes, 0, at, at + length)
      hash.update(bytes.subarray(0, length))
    }
    return hash.digest('hex')
  } finally {
    file.close()
  }
}

const START = Buffer.from('"ev":"audit.start"')

/** The lines between two places where lines begin that announce a boot, without looking at the others. */
function findStarts(root: string, from: number, to: number): string[] {
  const file = new PackFile(root, 'entries.jsonl')
  const lines: string[] = []
  try {
    let rest: Buffer = Buffer.alloc(0)
    const end = Math.min(to, file.size)
    for (let at = from; at < end; at += CHUNK) {
      const bytes = Buffer.concat([rest, file.read(at, Math.min(end, at + CHUNK))])
      const whole = bytes.lastIndexOf(10) + 1
      for (let found = bytes.indexOf(START); found >= 0 && found < whole; ) {
        const next = bytes.indexOf(10, found)
        lines.push(bytes.toString('latin1', bytes.lastIndexOf(10, found) + 1, next))
        found = bytes.indexOf(START, next)
      }
      rest = bytes.subarray(whole)
      // No leaf is as long: whatever it is, it is found to be none where entries are looked at.
      if (rest.length > 2 ** 17) rest = Buffer.alloc(0)
    }
  } finally {
    file.close()
  }
  return lines
}
