import type { Answer } from './expectation.js'
import type { Json } from './values.js'

/** A request with everything filled in. */
export interface Request {
  readonly method: string
  readonly url: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: string | undefined
}

const PATIENCE_MS = 60_000

/** @throws Error when no answer comes */
export async function send({ method, url, headers, body }: Request): Promise<Answer> {
  try {
    const response = await fetch(url, {
      method,
      headers,
      ...(body === undefined ? {} : { body }),
      redirect: 'manual',
      signal: AbortSignal.timeout(PATIENCE_MS),
    })
    const text = await response.text()
    return { status: response.status, headers: response.headers, text, json: parse(text) }
  } catch (cause) {
    const { message, cause: inner } = cause as Error & { cause?: Error }
    throw new Error(`${url} does not answer: ${inner?.message || message}`, { cause })
  }
}

function parse(text: string): Json | undefined {
  try {
    return JSON.parse(text) as Json
  } catch {
    return undefined
  }
}
