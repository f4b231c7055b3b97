/**
 * Preloaded into real processes whose clock a test moves: `Date.now()` and `new Date()` are ahead by the milliseconds that
 * the file named by PARAPH_TEST_CLOCK holds. Looked at twenty times a second.
 */
import { readFileSync } from 'node:fs'

const file = process.env['PARAPH_TEST_CLOCK']
const realNow = Date.now.bind(Date)
let offset = 0
function look(): void {
  try {
    offset = Number(readFileSync(file ?? '', 'utf8'))
  } catch {
    offset = 0
  }
}
look()
setInterval(look, 50).unref()
Date.now = () => realNow() + offset
