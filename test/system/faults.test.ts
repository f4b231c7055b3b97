/** Faults of requests and entries, by their numbers in the model (src/audit/README.md). Those of processes, device and database have files of their own. */
import assert from 'node:assert/strict'
import { subscribe, unsubscribe } from 'node:diagnostics_channel'
import { request } from 'node:http'
import { after, before, test } from 'node:test'
import { ServiceError } from '../../src/errors.js'
import { AnnouncedLog } from '../../src/front/announced-log.js'
import { createSamClient, type SamClient } from '../../src/front/sam-client.js'
import type { OperationId } from '../../src/ids.js'
import type { SigningStep } from '../../src/signing/steps.js'
import { ECDSA_WITH, until } from '../helpers/csc.js'
import { TestService } from '../helpers/test-service.js'

let service: TestService
let sam: SamClient & { close(): Promise<void> }
let credential: string
before(async () => {
  service = await TestService.start({ keys: ['p-256'] })
  credential = service.credentials['p-256'] as string
  sam = createSamClient({ sockets: service.workerSettings.map(({ socket }) => socket), logger: service.logger })
})
after(async () => {
  await sam?.close()
  await service?.close()
})

const inLog = (digest: string) => Buffer.from(digest, 'base64').toString('base64url')

for (const step of ['before-intent', 'after-intent', 'after-device'] as const) {
  test(`F4: a client that is gone at ${step} gets nothing, its signing is recorded to the end, and it signs no second time`, async () => {
    const bearer = await service.login()
    const hashes = service.digests(`gone at ${step}`)
    const sad = await service.authorize(bearer, credential, hashes)
    const asked = request(`${service.urls[0]}/csc/v2/signatures/signHash`, {
      method: 'POST',
      headers: { 'content-type': 'application/json', authorization: `Bearer ${bearer}` },
    })
    const gone = new Promise((resolve) => asked.on('error', resolve))
    asked.on('response', () => assert.fail('an answer arrived'))
    const leave = (message: unknown) => {
      if ((message as { step: SigningStep }).step === step) asked.destroy(new Error('gone'))
    }
    subscribe('paraph.signing', leave)
    asked.end(
      JSON.stringify({
        ...{ credentialID: credential, SAD: sad, hashes },
        ...{ hashAlgorithmOID: '2.16.840.1.101.3.4.2.1', signAlgo: ECDSA_WITH['sha-256'] },
      }),
    )
    await gone
    const signed = async () => {
      const world = await service.checkWorld({ settled: false })
      const intent = world.of('sign.intent').find(({ open }) => open.get('dtbsr[0]') === inLog(hashes[0] as string))
      return world.of('sign.outcome').find(({ op }) => op === intent?.op)
    }
    await until('the outcome is recorded', async () => (await signed()) !== undefined)
    unsubscribe('paraph.signing', leave)
    assert.equal((await signed())?.leaf.out, 'ok')
    assert.equal((await service.signHash(bearer, credential, sad, hashes)).status, 400)
    await service.checkWorld()
  })
}

test('F23: a poisoned entry fails alone, whether its leaf cannot be made or the database does not take it', async () => {
  const log = new AnnouncedLog({ url: service.frontUrl, node: 'test/poisoned', clock: service.clock, sam })
  await log.prepare()
  const before = (await service.checkWorld()).of('credential.listed').length
  const entry = { type: 'credential.listed', outcome: 'ok', actor: { kind: 'anonymous' } } as const
  const poisoned = [
    { ...entry, facts: { name: 'a line\nand another' } },
    { ...entry, digests: Array.from({ length: 2000 }, (_, i) => Buffer.alloc(32, i)) },
    { ...entry, op: 'no uuid' as OperationId },
  ]
  const good = Array.from({ length: 40 }, () => log.append(entry))
  const results = await Promise.allSettled([
    ...good.slice(0, 20),
    ...poisoned.map((event) => log.append(event)),
    ...good.slice(20),
  ])
  await log.close()
  const failed = results.flatMap((result, i) => (result.status === 'rejected' ? [i] : []))
  assert.deepEqual(failed, [20, 21, 22])
  for (const i of failed) {
    const { reason } = results[i] as PromiseRejectedResult
    assert.ok(reason instanceof ServiceError && reason.code === 'internal', String(reason))
  }
  assert.equal((await service.checkWorld()).of('credential.listed').length, before + 40)
})

test('F28: 501 hashes are refused before anything is spent, by the front and by the worker; an entry of 500 fits', async () => {
  const bearer = await service.login()
  const most = await service.newCredential(service.signer, 'p-256', { multisign: 500 })
  const hashes = service.digests(...Array.from({ length: 500 }, (_, i) => `of many ${i}`))
  const tooMany = [...hashes, ...service.digests('one more')]
  const sad = await service.authorize(bearer, most, hashes)
  const options = { signAlgo: ECDSA_WITH['sha-256'] }
  const { status, body } = await service.signHash(bearer, most, sad, tooMany, options)
  assert.deepEqual([status, body.error_description], [400, 'Numbers of signatures is too high'])
  await assert.rejects(
    sam.call('sign', {
      ...{ bearer, sad, credentialId: most, digests: tooMany, mechanism: { scheme: 'ecdsa', hash: 'sha-256' } },
      origin: { requestId: 'test', address: '192.0.2.7', api: 'v2' },
    }),
    ServiceError,
  )
  const answer = await service.signHash(bearer, most, sad, hashes, options)
  assert.equal(answer.body.signatures?.length, 500, JSON.stringify(answer.body))
  const world = await service.checkWorld()
  assert.equal(world.of('sign.intent').at(-1)?.leaf.n, 500)
})
