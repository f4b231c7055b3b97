import { test } from 'node:test'
test('one', () => {})
test('two', () => { process.exit(0) })
