/**
 * One line of JSON for each test that ended, and one when all have: what run.ts reads. Runs in the process of the test
 * file, and writes to a file of its own, so that what a test prints never mixes with it.
 */
import type { TestEvent } from 'node:test/reporters'
import { inspect } from 'node:util'

export interface TestResult {
  /** `stray`: an error after its test had ended. */
  readonly result: 'passed' | 'failed' | 'skipped' | 'stray'
  /** With the names of what it stands in. */
  readonly name: string
  /** The error, or the reason for skipping. */
  readonly told: string
}

/** Missing where the process ended before its tests did. */
export const END = { result: 'end' } as const

export default async function* reporter(events: AsyncIterable<TestEvent>): AsyncGenerator<string> {
  const names: string[] = []
  let last = 0
  for await (const { type, data } of events) {
    if (type === 'test:start') names.splice(data.nesting, names.length, data.name)
    if (type === 'test:diagnostic' && data.message.startsWith('Error: ')) {
      yield line({ result: 'stray', name: 'after a test had ended', told: data.message })
    }
    if (type !== 'test:pass' && type !== 'test:fail') continue
    // What holds other tests ends after them, and fails when one of them does.
    const holdsTests = data.nesting < last
    last = data.nesting
    const name = [...names.slice(0, data.nesting), data.name].join(' > ')
    const skipped = data.skip ?? data.todo
    // --test-name-pattern, in the words of Node 20; later versions do not tell of such tests.
    if (skipped === 'test name does not match pattern') continue
    if (type === 'test:fail') {
      const error = data.details.error as Error & { failureType?: string }
      if (error.failureType === 'subtestsFailed') continue
      yield line({ result: 'failed', name, told: inspect(error.cause ?? error) })
    } else if (skipped !== undefined) {
      yield line({ result: 'skipped', name, told: typeof skipped === 'string' ? skipped : '' })
    } else if (!holdsTests && data.details.type !== 'suite') {
      yield line({ result: 'passed', name, told: '' })
    }
  }
  yield line(END)
}

function line(value: TestResult | typeof END): string {
  return `${JSON.stringify(value)}\n`
}
