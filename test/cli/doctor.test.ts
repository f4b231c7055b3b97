import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { chmodSync, existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { test } from 'node:test'
import { keepSecret } from '../helpers/test-service.js'
import { MAIN, paraph } from './paraph.js'

interface Finding {
  readonly check: string
  readonly state: string
}

test('doctor looks at a demo before it began, while it runs and after it stopped, and changes nothing', async (t) => {
  const folder = mkdtempSync(join(tmpdir(), 'paraph-doctor-'))
  t.after(() => rmSync(folder, { recursive: true, force: true }))
  chmodSync(folder, 0o711)
  const keys = join(folder, 'keys')
  const env = { PARAPH_DATA: join(folder, 'var'), PARAPH_KEYS: keys, PARAPH_PORT: '0' }
  const doctor = async () => {
    const { status, json } = await paraph(env, ['doctor', '--json'])
    const bad = (json.findings as Finding[]).filter(({ state }) => state !== 'ok')
    return [status, ...bad.map(({ check, state }) => `${check} ${state}`)]
  }

  assert.deepEqual(await doctor(), [0])
  assert.deepEqual(readdirSync(folder), [])

  const demo = spawn(process.execPath, [MAIN, 'serve', '--json'], {
    env: { PATH: process.env['PATH'], ...env, PARAPH_LOG_LEVEL: 'error' },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const exited = once(demo, 'exit')
  try {
    const [line] = await once(createInterface({ input: demo.stdout }), 'line')
    keepSecret(JSON.parse(line).password)
    assert.deepEqual(await doctor(), [0])
    const { json } = await paraph(env, ['signer', 'list', '--json'])
    assert.deepEqual(
      json.signers.map(({ login }: { login: string }) => login),
      ['signer@example.test'],
    )
  } finally {
    demo.kill('SIGTERM')
    await exited
  }

  assert.deepEqual(await doctor(), [0, 'database warn', 'workers warn'])
  assert.equal(existsSync(join(keys, 'pin')), true)
  chmodSync(join(keys, 'pin'), 0o644)
  assert.deepEqual(await doctor(), [1, 'file modes fail', 'database warn', 'workers warn', 'device fail'])
})
