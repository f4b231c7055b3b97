import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { TestService } from '../helpers/test-service.js'

let service: TestService
before(async () => {
  service = await TestService.start()
})
after(() => service?.close())

test('a signing application that knows only CSC v2 obtains a signature', async () => {
  const bearer = await service.login()
  const { body: list } = await service.post('/csc/v2/credentials/list', {}, { bearer })
  assert.deepEqual([...list.credentialIDs].sort(), Object.values(service.credentials).sort())
  const credential = service.credentials['rsa-2048'] as string
  const hashes = service.digests('a document')
  const sad = await service.authorize(bearer, credential, hashes)
  const answer = await service.signHash(bearer, credential, sad, hashes)
  assert.equal(answer.status, 200, JSON.stringify(answer.body))
  const world = await service.checkWorld()
  assert.equal(world.of('sign.outcome').length, 1)
})
