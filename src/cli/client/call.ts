/** One request to a service that is known only by its address. */
import { isIPv4 } from 'node:net'
import { CscError, noAnswer, type Repeat } from './csc-error.js'

/** Largest answer that is read, in bytes. */
const MAX_ANSWER = 8 * 1024 * 1024

export interface Call {
  readonly url: URL
  /** The header of that name. */
  readonly authorization: string
  readonly body: object
  readonly headers?: Readonly<Record<string, string>>
  /** Milliseconds. */
  readonly timeOut: number
  readonly repeat: Repeat
}

export interface Answer {
  readonly body: unknown
  readonly requestId: string | undefined
  readonly headers: Headers
}

/**
 * The address of a service, for requests that carry secrets.
 * @throws RangeError when it is not http or https, or when it is http to another computer
 */
export function serviceAddress(address: string): URL {
  const url = URL.canParse(address) ? new URL(address) : undefined
  if (url === undefined || !/^https?:$/.test(url.protocol))
    throw new RangeError(`${address} is not the address of a service`)
  if (url.protocol === 'http:' && !isLoopback(url.hostname)) {
    throw new RangeError(`${address} would send secrets in clear: use https`)
  }
  return url
}

/** POSTs JSON, and reads JSON. @throws CscError */
export async function call({ url, authorization, body, headers = {}, timeOut, repeat }: Call): Promise<Answer> {
  let response: Response
  let text: string
  try {
    response = await fetch(url, {
      method: 'POST',
      headers: { ...headers, authorization, 'content-type': 'application/json', accept: 'application/json' },
      body: JSON.stringify(body),
      redirect: 'error',
      signal: AbortSignal.timeout(timeOut),
    })
    text = await readText(response)
  } catch (cause) {
    throw noAnswer(url.origin, repeat, cause)
  }
  const requestId = response.headers.get('x-request-id') ?? undefined
  const json = parseJson(text)
  if (response.ok) return { body: json, requestId, headers: response.headers }
  const { error, error_description: description } = object(json) ?? {}
  const retryAfter = Number(response.headers.get('retry-after') ?? Number.NaN)
  throw new CscError(typeof description === 'string' ? description : `the service answered ${response.status}`, {
    status: response.status,
    code: typeof error === 'string' ? error : undefined,
    requestId,
    retryable: response.status === 503 || response.status === 429,
    retryAfter: Number.isFinite(retryAfter) ? retryAfter : undefined,
  })
}

/** @throws RangeError when it is too much */
export async function readText(response: Response): Promise<string> {
  const chunks: Uint8Array[] = []
  let length = 0
  for await (const chunk of response.body ?? []) {
    length += chunk.length
    if (length > MAX_ANSWER) throw new RangeError('the answer is too large')
    chunks.push(chunk)
  }
  return Buffer.concat(chunks).toString('utf8')
}

function parseJson(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    return undefined
  }
}

export function object(value: unknown): Record<string, unknown> | undefined {
  return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined
}

function isLoopback(hostname: string): boolean {
  return hostname === 'localhost' || hostname === '[::1]' || (isIPv4(hostname) && hostname.startsWith('127.'))
}
