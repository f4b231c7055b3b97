import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import { LEAF, ROOT, type TestFront, testFront } from '../front/helpers.js'
import { APIS, refuses } from './refusals.js'

let front: TestFront
let ids: string[]
before(async () => {
  front = await testFront()
  const { seed, signer } = front
  ids = [
    await seed.credential(signer),
    await seed.credential(signer, { spec: 'p-256', state: 'suspended', pin_hash: 'x' }),
    await seed.credential(signer, { state: 'revoked' }),
    await seed.credential(signer, { not_after: new Date('2026-02-01T00:00:00Z') }),
  ]
  await seed.credential(signer, { state: 'pending', chain: [] })
  await seed.credential(await seed.signer())
})
after(() => front.close())

test('v1 and v2 list the caller’s own, oldest first, without those that have no certificate', async () => {
  for (const api of APIS) {
    const { status, body } = await front.post(`/csc/${api}/credentials/list`, {})
    assert.equal(status, 200)
    assert.deepEqual(body, { credentialIDs: ids })
  }
})

test('nobody else’s, and an empty list for who has none', async () => {
  const { token } = await front.seed.session(await front.seed.signer())
  for (const api of APIS) {
    const { body } = await front.post(`/csc/${api}/credentials/list`, {}, token)
    assert.deepEqual(body, { credentialIDs: [] })
  }
})

test('v1 pages', async () => {
  const pages: unknown[] = []
  let pageToken: unknown
  do {
    const { status, body } = await front.post('/csc/v1/credentials/list', {
      maxResults: 3,
      pageToken: pageToken ?? null,
    })
    assert.equal(status, 200)
    pages.push(body.credentialIDs)
    pageToken = body.nextPageToken
  } while (pageToken !== undefined)
  assert.deepEqual(pages, [ids.slice(0, 3), ids.slice(3)])
})

test('v1: a maximum that is none means ours', async () => {
  for (const maxResults of [0, -1, 1.5, 101, 1e300, '2', true, [], {}]) {
    const { body } = await front.post('/csc/v1/credentials/list', { maxResults })
    assert.deepEqual(body, { credentialIDs: ids }, JSON.stringify(maxResults))
  }
})

test('v2 ignores what v1 calls paging', async () => {
  const { body } = await front.post('/csc/v2/credentials/list', { maxResults: 1, pageToken: 5 })
  assert.deepEqual(body, { credentialIDs: ids })
})

test('v2 lists what can sign now', async () => {
  const { body } = await front.post('/csc/v2/credentials/list', { onlyValid: true })
  assert.deepEqual(body, { credentialIDs: [ids[0]], onlyValid: true })
})

test('v2 tells the credentials themselves', async () => {
  const { body } = await front.post('/csc/v2/credentials/list', {
    credentialInfo: true,
    certificates: 'none',
    authInfo: true,
  })
  const infos = body.credentialInfos as Record<string, unknown>[]
  assert.deepEqual(
    infos.map(({ credentialID }) => credentialID),
    ids,
  )
  for (const [i, id] of ids.entries()) {
    const one = await front.post('/csc/v2/credentials/info', { credentialID: id, certificates: 'none', authInfo: true })
    assert.deepEqual(infos[i], { credentialID: id, ...one.body })
  }
  const chains = await front.post('/csc/v2/credentials/list', { credentialInfo: true, certificates: 'chain' })
  assert.deepEqual((chains.body.credentialInfos as { cert: { certificates: string[] } }[])[0]?.cert.certificates, [
    LEAF.toString('base64'),
    ROOT.toString('base64'),
  ])
})

test('v2: certificates and their like mean nothing without credentialInfo', async () => {
  const { body } = await front.post('/csc/v2/credentials/list', {
    certificates: 'chain',
    certInfo: true,
    authInfo: true,
  })
  assert.deepEqual(body, { credentialIDs: ids })
})

test('each list is in the log before the answer, and there is no answer without the log', async () => {
  for (const api of APIS) {
    front.entries.list.length = 0
    await front.post(`/csc/${api}/credentials/list`, {})
    const [entry] = front.entries.of('credential.listed')
    assert.deepEqual(
      [entry?.outcome, entry?.actor, entry?.facts, entry?.origin?.api],
      ['ok', { kind: 'signer', id: front.signer }, { count: 4 }, api],
    )
    front.entries.down = true
    const { status, headers } = await front.post(`/csc/${api}/credentials/list`, {})
    front.entries.down = false
    assert.deepEqual([status, headers['retry-after']], [503, '1'])
  }
})

refuses(() => front, '/csc/v1/credentials/list', [
  [{ userID: 'someone' }, 'userID parameter MUST be null'],
  [{ userID: 5 }, 'Invalid parameter userID'],
  [{ pageToken: 5 }, 'Invalid parameter pageToken'],
  [{ pageToken: 'nonsense' }, 'Invalid parameter pageToken'],
  [{ pageToken: '' }, 'Invalid parameter pageToken'],
  [{ pageToken: 'AAAAAAAAAAAAAAAAAAAAAA==' }, 'Invalid parameter pageToken'],
  [{ clientData: 5 }, 'Invalid parameter clientData'],
  [{ pageToken: 'nonsense', userID: 5 }, 'Invalid parameter userID'],
  [{ pageToken: 'nonsense', userID: 'someone' }, 'Invalid parameter pageToken'],
])
refuses(() => front, '/csc/v2/credentials/list', [
  [{ userID: 'someone' }, 'userID parameter MUST be null'],
  [{ userID: {} }, 'Invalid parameter userID'],
  [{ certificates: 'all' }, 'Invalid parameter certificates'],
  [{ certificates: 1 }, 'Invalid parameter certificates'],
  [{ credentialInfo: 'true' }, 'Invalid parameter credentialInfo'],
  [{ certInfo: 1 }, 'Invalid parameter certInfo'],
  [{ authInfo: 'yes' }, 'Invalid parameter authInfo'],
  [{ onlyValid: 'yes' }, 'Invalid parameter onlyValid'],
  [{ lang: 5 }, 'Invalid parameter lang'],
  [{ clientData: 5 }, 'Invalid parameter clientData'],
])
