import { execFile } from 'node:child_process'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { promisify } from 'node:util'
import { tempToken } from '../helpers/temp-token.js'

const run = promisify(execFile)

test('processes that open one token at the same moment all get it', async () => {
  const token = await tempToken()
  try {
    const program = fileURLToPath(new URL('./open-and-close.js', import.meta.url))
    await Promise.all(Array.from({ length: 6 }, () => run(process.execPath, [program, token.uri, '25'])))
  } finally {
    token.remove()
  }
})
