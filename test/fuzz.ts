/**
 * `npm run fuzz -- --minutes N`: the requests of test/front/fuzz.test.ts with other seeds, for N minutes (5 unless told). The
 * first one that does not hold is printed with its seed, and ends the run.
 */
import { parseArgs } from 'node:util'
import { operations } from './front/any-request.js'
import { fuzzOperation, knownTo, rowCounts } from './front/fuzz-operations.js'
import { testFront } from './front/helpers.js'

const { values } = parseArgs({ options: { minutes: { type: 'string', default: '5' } } })
const minutes = Number(values.minutes)
if (!(minutes > 0)) throw new RangeError('--minutes takes a number above 0')
const end = performance.now() + minutes * 60_000

const front = await testFront()
try {
  const known = await knownTo(front)
  const rows = JSON.stringify(await rowCounts(front))
  let requests = 0
  while (performance.now() < end) {
    const seed = Date.now()
    for (const operation of operations) {
      const statuses = await fuzzOperation(front, known, operation, { numRuns: 200, seed })
      for (const count of statuses.values()) requests += count
      if (performance.now() > end) break
    }
    if (JSON.stringify(await rowCounts(front)) !== rows) throw new Error(`a refused request changed rows, seed ${seed}`)
  }
  process.stdout.write(`${requests} requests were answered as described\n`)
} finally {
  await front.close()
}
