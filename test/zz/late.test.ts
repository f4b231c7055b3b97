import { test } from 'node:test'
test('one', () => { setTimeout(() => { throw new Error('late') }, 50) })
