import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { ensureRunning } from '../../src/db/cluster.js'
import { ECDSA_WITH, until } from '../helpers/csc.js'
import { type FaultyModule, faultyModule } from '../helpers/faulty-module.js'
import { type FullDisk, fullDisk } from '../helpers/full-disk.js'
import { type RealProcesses, startProcesses } from '../helpers/real-processes.js'
import { startTestServer, TEST_SETTINGS } from '../helpers/temp-database.js'
import { TestService } from '../helpers/test-service.js'

let server: Awaited<ReturnType<typeof startTestServer>>
let disk: FullDisk
let service: TestService
let device: FaultyModule
let processes: RealProcesses
/** New keys sign their certificate requests, which are no signings. */
let requests = 0

before(async () => {
  server = await startTestServer({}, (cluster) => {
    disk = fullDisk(cluster)
    return disk.cluster
  })
  process.env['PARAPH_TEST_PG'] = server.url
  service = await TestService.start({ workers: 0, fronts: 0 })
  device = faultyModule(service.folder)
  processes = await startProcesses(service, { keepers: 1, hsmUri: device.uri(service.hsmUri), env: device.env })
})
after(async () => {
  disk?.free()
  await processes?.stop()
  await service?.close()
  await server?.stop()
  delete process.env['PARAPH_TEST_PG']
})

let named = 0
async function agreement() {
  const signer = await service.newSigner(`signer${named++}@example.test`, 'Test Signer')
  const asked = device.calls()
  const credential = await service.newCredential(signer, 'p-256', { multisign: 500 })
  requests += device.calls() - asked
  const bearer = await service.login(signer)
  const hashes = service.digests(...Array.from({ length: 500 }, () => `on a full disk ${named++}`))
  const sad = await service.authorize(bearer, credential, hashes, { signer, code: service.code(signer) })
  return (count: number) =>
    service.signHash(bearer, credential, sad, hashes.splice(0, count), { signAlgo: ECDSA_WITH['sha-256'] })
}

const ready = async () => (await fetch(`${service.urls[0]}/health/ready`)).status
const check = () => service.checkWorld({ settled: false, deviceCalls: device.calls() - requests })
const log = () => readFileSync(join(server.cluster.data, 'server.log'), 'utf8')

test('F8: the disk of the tables is full: 503 and no device call; it goes on by itself when there is room', async () => {
  const sign = await agreement()
  assert.equal((await sign(1)).status, 200)
  disk.fill('/base/')
  // Pages that are there take some more entries; one that has to be made does not fit.
  await until('signing stops', async () => (await sign(20)).status === 503)
  const asked = device.calls()
  for (let i = 0; i < 3; i++) {
    const answer = await sign(20)
    assert.equal(answer.status, 503, JSON.stringify(answer.body))
    assert.ok(Number(answer.headers.get('retry-after')) >= 1)
  }
  assert.equal(device.calls(), asked)
  assert.match(log(), /No space left on device/)
  disk.free()
  await until('it signs again', async () => (await sign(1)).status === 200)
  await until('it is ready again', async () => (await ready()) === 200)
  await check()
})

test('F9: the disk of the write-ahead log is full: PostgreSQL panics, nothing is lost, and it goes on once it runs on a disk with room', async () => {
  const sign = await agreement()
  assert.equal((await sign(1)).status, 200)
  const before = await check()
  disk.fill('/pg_wal/')
  await until('signing stops', async () => (await sign(1)).status === 503)
  await until('the service says so', async () => (await ready()) === 503)
  const asked = device.calls()
  assert.equal((await sign(1)).status, 503)
  assert.equal(device.calls(), asked)
  assert.match(log(), /PANIC: {2}could not write to log file/)
  disk.free()
  await until('the database starts again', async () => {
    await ensureRunning(server.cluster, TEST_SETTINGS)
    return true
  })
  await until('it signs again', async () => (await sign(1)).status === 200)
  const { entries } = await check()
  for (const { idx, lh } of before.entries) assert.equal(entries[idx]?.lh, lh)
})
