import assert from 'node:assert/strict'
import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { once } from 'node:events'
import {
  chmodSync,
  copyFileSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs'
import { tmpdir } from 'node:os'
import { dirname, join } from 'node:path'
import { createInterface } from 'node:readline'
import { test } from 'node:test'
import { ensureRunning, freePort, OWNER, openCluster, urlOf } from '../../src/db/cluster.js'
import { newId } from '../../src/ids.js'
import { MAIN } from '../cli/paraph.js'
import { checkWorld } from '../helpers/check-world.js'
import { keepSecret } from '../helpers/test-service.js'

/** A new folder where a clone would be, below one that only its owner may enter. */
function newFolder(): { folder: string; remove(): void } {
  const parent = mkdtempSync(join(tmpdir(), 'paraph-demo-test-'))
  chmodSync(parent, 0o700)
  const folder = join(parent, 'clone')
  mkdirSync(folder)
  writeFileSync(join(folder, 'README.md'), 'to be signed\n')
  return { folder, remove: () => rmSync(parent, { recursive: true, force: true }) }
}

/** The stdio of a program that was started as the README says, in this folder. */
function paraph(folder: string, port: number, ...parameters: string[]): Promise<{ status: number; output: string }> {
  return new Promise((resolve) => {
    const env = { PATH: process.env['PATH'], PARAPH_PORT: String(port) }
    execFile(process.execPath, [MAIN, ...parameters], { cwd: folder, env }, (error, stdout, stderr) => {
      resolve({ status: error === null ? 0 : Number(error.code ?? 1), output: stdout + stderr })
    })
  })
}

async function start(
  folder: string,
  port: number,
): Promise<{ child: ChildProcess; told: { login: string; password: string } }> {
  const child = spawn(process.execPath, [MAIN, 'serve', '--json'], {
    cwd: folder,
    env: { PATH: process.env['PATH'], PARAPH_PORT: String(port), PARAPH_LOG_LEVEL: 'trace' },
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const [line] = (await Promise.race([
    once(createInterface({ input: child.stdout as NodeJS.ReadableStream }), 'line'),
    once(child, 'exit').then(([status]) => Promise.reject(new Error(`serve ended with ${status}`))),
  ])) as [string]
  const told = JSON.parse(line)
  keepSecret(told.password, new URL(told.otpauth).searchParams.get('secret') ?? undefined)
  return { child, told }
}

/** Where the demo that runs in this folder keeps its data. */
async function ownerUrl(folder: string): Promise<string> {
  const cluster = await openCluster(join(folder, 'var', 'postgres'))
  return urlOf(cluster, await ensureRunning(cluster), OWNER, 'paraph')
}

async function stop(child: ChildProcess): Promise<number> {
  const exited = once(child, 'exit')
  child.kill('SIGTERM')
  return (await exited)[0]
}

/** With the adapter for demos, which makes signers of its own by the commands of this folder. */
async function passesConformance(folder: string, port: number): Promise<void> {
  const adapter = join(folder, 'conformance', 'adapters', 'paraph-demo.mjs')
  mkdirSync(dirname(adapter), { recursive: true })
  for (const name of readdirSync(join('conformance', 'adapters')))
    copyFileSync(join('conformance', 'adapters', name), join(dirname(adapter), name))
  symlinkSync(dirname(dirname(MAIN)), join(folder, 'dist'))
  const url = `http://127.0.0.1:${port}`
  const only = [
    ...['v2', 'A SAD of somebody else', 'The right PIN', '(A13)', 'a suspended credential'],
    ...['needs no SAD beside it', 'A code is sent when', 'is awaited by its handle'],
  ]
  const { status, output } = await paraph(
    folder,
    port,
    'conformance',
    '--url',
    url,
    '--adapter',
    adapter,
    '--only',
    ...only,
  )
  assert.equal(status, 0, output)
  assert.match(output, /\n7 passed, 1 not run\.\n$/)
}

for (const device of ['softhsm', 'memory'] as const) {
  test(`a demo on ${device}: the first start signs, and the second finds what the first one left`, async (t) => {
    const { folder, remove } = newFolder()
    t.after(remove)
    const port = await freePort()
    if (device === 'memory') {
      // As a computer without the module would begin.
      const instance = JSON.stringify({ instance: newId(), demo: true, device })
      for (const name of ['keys', 'var']) {
        mkdirSync(join(folder, name), { mode: name === 'keys' ? 0o700 : 0o711 })
        writeFileSync(join(folder, name, 'instance.json'), instance)
      }
    }
    const first = await start(folder, port)
    try {
      const signed = await paraph(folder, port, 'sign', '--demo', 'README.md')
      assert.equal(signed.status, 0, signed.output)
      const verified = await paraph(folder, port, 'verify', 'README.md')
      assert.equal(verified.status, 0, verified.output)
      assert.match(verified.output, /CN=Demo Signer/)
      assert.match(
        verified.output,
        /recorded .*, entry \d+ of the log paraph\.demo\//,
        'its receipt is by the log of this demo',
      )
    } finally {
      assert.equal(await stop(first.child), 0, 'it stops in order')
    }
    const second = await start(folder, port)
    try {
      assert.deepEqual(second.told.password, first.told.password)
      // The one signature of a step was made, so that this waits for the next, as the command says it does.
      const signed = await paraph(folder, port, 'sign', '--demo', '--force', 'README.md')
      assert.equal(signed.status, 0, signed.output)
      if (device === 'memory') await passesConformance(folder, port)
      const doctor = await paraph(folder, port, 'doctor')
      assert.equal(doctor.status, 0, doctor.output)
      const world = await checkWorld(await ownerUrl(folder))
      const outcomes = world.of('sign.outcome').filter(({ leaf }) => leaf.n === 1)
      assert.ok(outcomes.length >= 2)
    } finally {
      assert.equal(await stop(second.child), 0)
    }
  })
}
