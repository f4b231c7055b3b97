import type { Failure } from './run-scenario.js'
import type { Result, Verdict } from './suite.js'

type State = Verdict['state']

/** One line for a scenario, and what is to be seen of a failure. */
export function linesOfResult({ scenario, verdict }: Result): string[] {
  const { version, file, name, clause } = scenario
  const line = `${verdict.state.padEnd(11)}  ${version}  ${name}  (${file})`
  switch (verdict.state) {
    case 'passed':
      return [line]
    case 'failed':
      return [line, `    ${clause}`, ...linesOfFailure(verdict.failure)]
    case 'deviation':
    case 'not offered':
    case 'not run':
      return [`${line}: ${verdict.reason}`]
  }
}

function linesOfFailure({ place, statement, fault, request, answer }: Failure): string[] {
  return [
    `    at       ${place}`,
    `    says     ${statement}`,
    `    but      ${fault}`,
    ...(request === undefined ? [] : [`    request  ${request}`]),
    ...(answer === undefined ? [] : [`    answer   ${answer}`]),
  ]
}

export function countStates(results: readonly Result[]): Record<State, number> {
  const counts: Record<State, number> = { passed: 0, failed: 0, deviation: 0, 'not offered': 0, 'not run': 0 }
  for (const { verdict } of results) counts[verdict.state] += 1
  return counts
}

/** JUnit XML: what was not run, not offered or declared as a deviation is a skipped case with its reason. */
export function junitOf(results: readonly Result[]): string {
  const suites = [...new Set(results.map(({ scenario }) => scenario.version))].map((version) => {
    const own = results.filter(({ scenario }) => scenario.version === version)
    const { passed, failed } = countStates(own)
    const counts = `tests="${own.length}" failures="${failed}" skipped="${own.length - passed - failed}"`
    return [`  <testsuite name="CSC ${version}" ${counts}>`, ...own.map(caseOf), '  </testsuite>'].join('\n')
  })
  return [
    '<?xml version="1.0" encoding="UTF-8"?>',
    '<testsuites name="paraph conformance">',
    ...suites,
    '</testsuites>',
    '',
  ].join('\n')
}

function caseOf({ scenario, verdict, milliseconds }: Result): string {
  const { version, file, name, clause } = scenario
  const attributes = `classname="${xml(`${version}/${file}`)}" name="${xml(name)}" time="${(milliseconds / 1000).toFixed(3)}"`
  if (verdict.state === 'passed') return `    <testcase ${attributes}/>`
  const inner =
    verdict.state === 'failed'
      ? `<failure message="${xml(verdict.failure.fault)}">${xml([clause, ...linesOfFailure(verdict.failure)].join('\n'))}</failure>`
      : `<skipped message="${xml(`${verdict.state}: ${verdict.reason}`)}"/>`
  return `    <testcase ${attributes}>${inner}</testcase>`
}

function xml(text: string): string {
  return text
    .replace(/[\p{Cc}\p{Cs}\u{fffe}\u{ffff}]/gu, (character) => (character === '\n' ? character : '\u{fffd}'))
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll('>', '&gt;')
    .replaceAll('"', '&quot;')
    .replaceAll('\n', '&#10;')
}
