import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { folder } from '../pki/openssl.js'
import { LOGIN, PASSWORD, startService } from './sign-server.js'

const PROGRAM = fileURLToPath(new URL('./sign-program.js', import.meta.url))

/** Runs the program at a pseudo-terminal of script(1), types each answer when its question appears, returns the screen. */
async function typed(
  argv: readonly string[],
  answers: readonly [RegExp, string][],
): Promise<{ screen: string; status: number }> {
  const command = [process.execPath, PROGRAM, ...argv].map((word) => `'${word}'`).join(' ')
  const child = spawn('script', ['-qec', command, '/dev/null'], { stdio: ['pipe', 'pipe', 'inherit'] })
  const waiting = [...answers]
  let screen = ''
  for await (const piece of child.stdout) {
    screen += String(piece)
    const [question, answer] = waiting[0] ?? []
    if (question?.test(screen) && answer !== undefined) {
      waiting.shift()
      child.stdin.write(answer)
    }
  }
  const status = await new Promise<number>((resolve) => child.once('close', (code) => resolve(code ?? -1)))
  return { screen, status }
}

test('at a terminal: the password is not echoed, the code is, many files show progress', async (t) => {
  const service = await startService(t, { now: () => Date.now() })
  await service.addCredential('p-256')
  service.acceptCode = (code) => code === '27182818'
  const files = await folder(t)
  const paths = [await files.put('a', 'a'), await files.put('b', 'b')]
  const { screen, status } = await typed(
    ['sign', '--url', service.url, '--login', LOGIN, ...paths],
    [
      [/Password of signer@example\.test: /, `${PASSWORD}\r`],
      [/One-time code: /, '27182818\r'],
    ],
  )
  assert.equal(status, 0, screen)
  assert.ok(!screen.includes(PASSWORD.trim()), screen)
  assert.match(screen, /One-time code: [\s\S]*27182818/)
  assert.ok(screen.includes('\r\u001b[Khashing 1 of 2: '), screen)
  assert.match(screen, /a: signed and verified, \S+a\.p7s\r?\n/)
})

test('at a terminal: Ctrl-C at a question gives up, and spends nothing', async (t) => {
  const service = await startService(t, { now: () => Date.now() })
  await service.addCredential('p-256')
  const files = await folder(t)
  const { screen, status } = await typed(
    ['sign', '--url', service.url, '--login', LOGIN, await files.put('a', 'a')],
    [[/Password of /, '\u0003']],
  )
  assert.equal(status, 1, screen)
  assert.match(screen, /given up/)
  assert.deepEqual(service.calls, [])
})
