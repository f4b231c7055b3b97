import type { CscFactor } from './csc-client.js'

/**
 * What to present of the factors that a credential names: the fewest codes and PINs that its expression is content with.
 * All that it names where there is no expression (CSC API v2.2 §11.7), or none is content without another factor.
 */
export function factorsToPresent(factors: readonly CscFactor[], expression: string | undefined): readonly CscFactor[] {
  if (expression === undefined || expression.trim() === '') return factors
  // Codes first: of two that are as good, what cannot be used twice.
  const own = [...factors.filter(({ kind }) => kind === 'code'), ...factors.filter(({ kind }) => kind === 'pin')]
  if (own.length > MOST) return factors
  const choices = Array.from({ length: 2 ** own.length }, (_, bits) => own.filter((_, i) => (bits & (1 << i)) !== 0))
  const enough = choices
    .sort((one, other) => one.length - other.length)
    .find((choice) => isContent(expression, new Set(choice.map(({ id }) => id))))
  return enough ?? factors
}

/** More than anybody has; all subsets of them are tried. */
const MOST = 10

/** Whether the expression holds when just these objects are presented; not when it is none. AND binds closer than OR and XOR. */
function isContent(expression: string, presented: ReadonlySet<string>): boolean {
  const words = expression.match(/[()]|[^\s()]+/g) ?? []
  const next = (word: string) => words[0] === word && words.shift() !== undefined
  const either = (): boolean => {
    let value = both()
    for (;;) {
      if (next('OR')) value = both() || value
      else if (next('XOR')) value = both() !== value
      else return value
    }
  }
  const both = (): boolean => {
    let value = one()
    while (next('AND')) value = one() && value
    return value
  }
  const one = (): boolean => {
    if (!next('(')) return presented.has(words.shift() ?? '')
    const value = either()
    return next(')') && value
  }
  return either() && words.length === 0
}
