import { test } from 'node:test'
import { appendFileSync } from 'node:fs'
import { join } from 'node:path'
test('never', () => new Promise(() => {}))
appendFileSync(join(process.env['PARAPH_TEST_LOGS'] as string, 'x.log'), 'a 83746592\n')
