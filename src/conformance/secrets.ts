import { type Answer, redirectOf } from './expectation.js'
import { valueAt } from './values.js'

/** Shorter ones would be found everywhere. */
const SHORTEST = 4
const MEMBERS = ['access_token', 'refresh_token', 'SAD', 'handle', 'request_uri']

/** Values that no report may show, and no refusal: codes, passwords, tokens, SADs, digests. */
export class Secrets {
  readonly #names = new Map<string, string>()
  readonly #told: (value: string) => void

  /** @param told hears of each value once */
  constructor(told: (value: string) => void = () => undefined) {
    this.#told = told
  }

  add(name: string, ...values: readonly string[]): void {
    for (const value of values) {
      if (value.length < SHORTEST || this.#names.has(value)) continue
      this.#names.set(value, name)
      this.#told(value)
    }
  }

  addDigest(bytes: Uint8Array): void {
    const digest = Buffer.from(bytes)
    const texts = (['base64', 'base64url', 'hex'] as const).map((encoding) => digest.toString(encoding))
    this.add('digest', ...texts, (texts[2] as string).toUpperCase())
  }

  /** What a server has given. */
  addFrom(answer: Answer): void {
    for (const name of MEMBERS) {
      const value = valueAt(answer.json, [name])
      if (typeof value === 'string') this.add(name, value)
    }
    const code = redirectOf(answer)?.searchParams.get('code')
    if (typeof code === 'string') this.add('code', code)
  }

  /** The text with a name in place of each secret. */
  mask(text: string): string {
    return this.#longestFirst().reduce((masked, [value, name]) => masked.replaceAll(value, `‹${name}›`), text)
  }

  /** What kind of secret a text holds, if any. */
  in(text: string): string | undefined {
    return this.#longestFirst().find(([value]) => text.includes(value))?.[1]
  }

  #longestFirst(): [value: string, name: string][] {
    return [...this.#names].sort(([a], [b]) => b.length - a.length)
  }
}
