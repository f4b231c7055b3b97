/**
 * A load generator as a process of its own: keeps connections busy for a number of seconds and tells what came back. Settings
 * as JSON on standard input, the result as JSON on standard output.
 */
import { connect } from 'node:net'
import { text } from 'node:stream/consumers'

export interface LoadSettings {
  readonly port: number
  readonly seconds: number
  readonly path: string
  /** One connection each, which sends the same request again and again. */
  readonly callers: readonly { readonly bearer: string; readonly body: string }[]
}

export interface LoadResult {
  readonly answered: number
  readonly failed: number
  /** Milliseconds. */
  readonly p50: number
  readonly p99: number
  /** Microseconds of processor time of this process. */
  readonly cpu: number
}

const settings = JSON.parse(await text(process.stdin)) as LoadSettings
const OK = Buffer.from('HTTP/1.1 200')
const END = Buffer.from('\r\n\r\n')
const latencies: number[] = []
let failed = 0
const end = performance.now() + settings.seconds * 1000

function drive({ bearer, body }: LoadSettings['callers'][number]): Promise<void> {
  const head = [
    `POST ${settings.path} HTTP/1.1`,
    'Host: 127.0.0.1',
    'Content-Type: application/json',
    `Authorization: Bearer ${bearer}`,
    `Content-Length: ${Buffer.byteLength(body)}`,
  ]
  const request = Buffer.from(`${head.join('\r\n')}\r\n\r\n${body}`)
  return new Promise((resolve, reject) => {
    const socket = connect(settings.port, '127.0.0.1', () => ask())
    let sent = 0
    let received = Buffer.alloc(0)
    const ask = () => {
      if (performance.now() >= end) {
        socket.destroy()
        resolve()
        return
      }
      sent = performance.now()
      socket.write(request)
    }
    socket.on('error', reject)
    socket.on('data', (chunk) => {
      received = received.length === 0 ? chunk : Buffer.concat([received, chunk])
      const head = received.indexOf(END)
      if (head < 0) return
      const length = Number(/content-length: (\d+)/i.exec(received.toString('latin1', 0, head))?.[1] ?? 0)
      if (received.length < head + 4 + length) return
      if (received.subarray(0, OK.length).equals(OK)) latencies.push(performance.now() - sent)
      else failed++
      received = Buffer.alloc(0)
      ask()
    })
  })
}

await Promise.all(settings.callers.map(drive))
latencies.sort((a, b) => a - b)
const at = (share: number) => latencies[Math.min(latencies.length - 1, Math.floor(latencies.length * share))] ?? 0
const { user, system } = process.cpuUsage()
const result: LoadResult = { answered: latencies.length, failed, p50: at(0.5), p99: at(0.99), cpu: user + system }
process.stdout.write(JSON.stringify(result))
