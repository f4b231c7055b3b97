/** Looks for secrets in what was printed and logged (promise P9). */

/** A kind of secret and its characters. */
export interface Secret {
  readonly kind: string
  readonly value: string
}

/** Shorter ones stand in every text by chance. */
const SHORTEST = 6

/** One secret a line, `kind<TAB>value`; a line without a tab is a value of no known kind. */
export function parseSecrets(text: string): Secret[] {
  return text.split('\n').flatMap((line) => {
    const [kind = '', value] = line.split(/\t(.*)/)
    if (line.trim() === '') return []
    return value === undefined ? [{ kind: 'secret', value: kind }] : [{ kind, value }]
  })
}

/** @returns a function that tells which kinds of these secrets stand in a text, in any spelling of their bytes. */
export function leakFinder(secrets: readonly Secret[]): (text: string) => string[] {
  const byBeginning = new Map<string, Secret[]>()
  const seen = new Set<string>()
  for (const { kind, value } of secrets) {
    for (const spelling of spellings(value)) {
      if (spelling.length < SHORTEST || seen.has(spelling)) continue
      seen.add(spelling)
      const beginning = spelling.slice(0, SHORTEST)
      byBeginning.set(beginning, [...(byBeginning.get(beginning) ?? []), { kind, value: spelling }])
    }
  }
  return (text) => {
    const kinds = new Set<string>()
    for (let at = 0; at + SHORTEST <= text.length; at++) {
      for (const { kind, value } of byBeginning.get(text.slice(at, at + SHORTEST)) ?? []) {
        if (text.startsWith(value, at) && !isPartOfNumber(text, at, value)) kinds.add(kind)
      }
    }
    return [...kinds]
  }
}

/** Digits inside a longer number, such as a time stamp or a fraction, are chance. */
function isPartOfNumber(text: string, at: number, value: string): boolean {
  if (!/^\d+$/.test(value)) return false
  return /\d\.?$/.test(text.slice(Math.max(0, at - 2), at)) || /\d/.test(text.charAt(at + value.length))
}

/** As it is, as a URL would carry it, and, where it is hex or base64 of 16 bytes or more, those bytes in either form. */
function spellings(value: string): string[] {
  const all = [value, encodeURIComponent(value)]
  const bytes = bytesOf(value)
  if (bytes !== undefined) {
    const [base64, hex] = [bytes.toString('base64'), bytes.toString('hex')]
    all.push(
      hex,
      hex.toUpperCase(),
      base64,
      encodeURIComponent(base64),
      base64.replace(/=+$/, ''),
      bytes.toString('base64url'),
    )
  }
  return all
}

function bytesOf(value: string): Buffer | undefined {
  if (/^([0-9a-f]{2}){16,}$/i.test(value)) return Buffer.from(value, 'hex')
  if (/^[\w+/-]{22,}={0,2}$/.test(value)) return Buffer.from(value, 'base64')
  return undefined
}
