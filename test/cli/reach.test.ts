import assert from 'node:assert/strict'
import { chmodSync, mkdirSync, mkdtempSync, rmSync, symlinkSync, writeFileSync } from 'node:fs'
import { createServer, type Server } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { type TestContext, test } from 'node:test'
import type { RequestFrame } from '../../src/activation.js'
import { encodeFrame, FrameReader } from '../../src/frames.js'
import { adminSocket, socketFolder } from '../../src/sam/socket-folder.js'
import { paraph } from './paraph.js'

interface Place {
  readonly env: Record<string, string>
  readonly folder: string
  /** A worker that answers with this, or breaks off; tells what it heard. */
  worker(index: number, answer: object | undefined): Promise<RequestFrame[]>
}

function place(t: TestContext): Place {
  const folder = mkdtempSync(join(tmpdir(), 'paraph-reach-'))
  const data = join(folder, 'var')
  mkdirSync(data)
  mkdirSync(join(folder, 'keys'))
  const token = join(folder, 'token')
  writeFileSync(token, 'the-token\n', { mode: 0o600 })
  const servers: Server[] = []
  t.after(() => {
    for (const server of servers) server.close()
    rmSync(folder, { recursive: true, force: true })
  })
  return {
    env: { PARAPH_DATA: data, PARAPH_KEYS: join(folder, 'keys'), PARAPH_OPERATOR: token },
    folder,
    async worker(index, answer) {
      const heard: RequestFrame[] = []
      const server = createServer((socket) => {
        const reader = new FrameReader()
        socket.on('data', (chunk) => {
          for (const frame of reader.push(chunk) as RequestFrame[]) {
            heard.push(frame)
            if (answer === undefined) socket.destroy()
            else socket.write(encodeFrame({ id: frame.id, ...answer }))
          }
        })
      })
      servers.push(server)
      await new Promise<void>((done) => server.listen(adminSocket(socketFolder(data), index), done))
      return heard
    },
  }
}

const LIST = ['signer', 'list', '--json']

test('where there is no data folder nothing is made, and it is told what to do', async (t) => {
  const { env, folder } = place(t)
  const { status, json } = await paraph({ ...env, PARAPH_DATA: join(folder, 'none') }, LIST)
  assert.equal(status, 1)
  assert.equal(json.error.code, 'unavailable')
  assert.match(json.error.message, /no service runs on .*\/none .*: start it with `paraph serve`/)
  const { stderr } = await paraph(env, ['signer', 'list'])
  assert.match(stderr, /^paraph: no service runs on .*\/var \(no worker has begun there\).*\n$/)
})

test('a worker that does not listen is passed over for the next one', async (t) => {
  const { env, folder, worker } = place(t)
  const stale = adminSocket(socketFolder(join(folder, 'var')), 0)
  writeFileSync(stale, '')
  assert.match((await paraph(env, LIST)).json.error.message, /none of its workers answers/)
  const heard = await worker(10, { ok: { signers: [] } })
  const { status, json } = await paraph(env, LIST)
  assert.equal(status, 0)
  assert.deepEqual(json, { signers: [] })
  assert.deepEqual(heard, [{ id: 1, verb: 'signer.list', body: {}, operatorToken: 'the-token' }])
})

test('what broke off is not asked of the next worker', async (t) => {
  const { env, worker } = place(t)
  const first = await worker(0, undefined)
  const second = await worker(1, { ok: {} })
  const { status, json } = await paraph(env, LIST)
  assert.equal(status, 1)
  assert.equal(json.error.code, 'unavailable')
  assert.match(json.error.message, /may have carried the command out/)
  assert.equal(first.length, 1)
  assert.equal(second.length, 0)
})

test("a worker's refusal is the answer", async (t) => {
  const { env, worker } = place(t)
  await worker(0, { error: { code: 'unavailable' } })
  const second = await worker(1, { ok: {} })
  const { status, stderr } = await paraph(env, ['signer', 'list'])
  assert.equal(status, 1)
  assert.equal(stderr, 'paraph: the worker cannot reach its database or its device: `paraph doctor` finds out more\n')
  assert.equal(second.length, 0)
})

test('a token file that others could read or choose is refused before anything is sent', async (t) => {
  const { env, folder, worker } = place(t)
  const heard = await worker(0, { ok: { signers: [] } })
  const token = join(folder, 'token')
  const refusal = async (path: string) => {
    const { status, stdout, stderr } = await paraph(env, ['signer', 'list', '--operator', path])
    assert.equal(status, 1)
    assert.equal(stdout, '')
    assert.doesNotMatch(stderr, /the-token/)
    return stderr
  }
  chmodSync(token, 0o644)
  assert.match(await refusal(token), /must be readable by its owner only: chmod 600/)
  chmodSync(token, 0o600)
  symlinkSync(token, join(folder, 'link'))
  assert.match(await refusal(join(folder, 'link')), /is a symbolic link/)
  assert.match(await refusal(join(folder, 'none')), /does not exist/)
  assert.match(await refusal(folder), /is not a regular file/)
  assert.equal(heard.length, 0)
})

test('nobody in particular gives no commands', async (t) => {
  const { env, worker } = place(t)
  const heard = await worker(0, { ok: {} })
  const { PARAPH_OPERATOR: _, ...anonymous } = env
  const { status, json } = await paraph(anonymous, ['signer', 'suspend', 'x', '--json'])
  assert.equal(status, 1)
  assert.equal(json.error.code, 'operator_unknown')
  assert.match(json.error.message, /--operator FILE, or PARAPH_OPERATOR=FILE, .* of the role registration/)
  assert.equal(heard.length, 0)
})

test("a demo's own operator gives commands in a demo only", async (t) => {
  const { env, folder, worker } = place(t)
  const heard = await worker(0, { ok: {} })
  writeFileSync(join(folder, 'keys', 'operator-registration'), 'of-the-demo', { mode: 0o600 })
  const { PARAPH_OPERATOR: _, ...anonymous } = env
  assert.equal((await paraph(anonymous, ['signer', 'suspend', 'x'])).status, 0)
  assert.equal(heard[0]?.operatorToken, 'of-the-demo')
  writeFileSync(join(folder, 'var', 'instance.json'), JSON.stringify({ instance: 'x', demo: false, device: 'pkcs11' }))
  assert.equal((await paraph(anonymous, ['signer', 'suspend', 'x'])).status, 1)
  assert.equal(heard.length, 1)
})
