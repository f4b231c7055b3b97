import assert from 'node:assert/strict'
import { existsSync, readFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { ECDSA_WITH, until } from '../helpers/csc.js'
import { FaultProxy } from '../helpers/fault-proxy.js'
import { standbyOf } from '../helpers/standby.js'
import { startTestServer } from '../helpers/temp-database.js'
import { TestService } from '../helpers/test-service.js'

test('F24: after a failover to a standby that lags nothing is signed, and what was spent is not spent again', async (t) => {
  const primary = await startTestServer()
  process.env['PARAPH_TEST_PG'] = primary.url
  const proxies: FaultProxy[] = []
  const proxied = async (url: string) => {
    const proxy = await FaultProxy.before(url)
    proxies.push(proxy)
    return proxy.through(url)
  }
  const service = await TestService.start({ keys: ['p-256'], keeper: false, network: proxied })
  const closers: (() => Promise<unknown>)[] = []
  t.after(async () => {
    await service.close()
    for (const close of closers) await close()
    for (const proxy of proxies) await proxy.close()
    await primary.stop()
    delete process.env['PARAPH_TEST_PG']
  })
  await service.startKeeper({ databaseUrl: await proxied(service.keeperUrl) })
  const credential = service.credentials['p-256'] as string
  const bearer = await service.login()
  const hashes = service.digests('once', 'and again')
  const sad = await service.authorize(bearer, credential, hashes)
  const sign = (wanted: string[]) =>
    service.signHash(bearer, credential, sad, wanted, { signAlgo: ECDSA_WITH['sha-256'] })

  const standby = await standbyOf(primary.cluster, primary.url)
  closers.push(() => standby.stop())
  await standby.caughtUp()
  await standby.lag()
  assert.equal((await sign(hashes.slice(0, 1))).status, 200)
  const owner = await service.owner()
  const { rows } = await owner.query('select size from audit.head')
  const seen = async () =>
    (await owner.query('select max(size) as size from audit.checkpoint')).rows[0].size >= rows[0].size
  await until('what was signed is under a checkpoint', seen)

  await standby.promote()
  for (const proxy of proxies) proxy.failOver(standby.url('postgres'))
  // Before anybody has looked: an intention that stands where a signed entry was leads to no signature.
  for (const wanted of [hashes.slice(0, 1), hashes.slice(1), hashes.slice(0, 1)]) {
    const { status } = await sign(wanted)
    assert.notEqual(status, 200)
  }
  const fork = join(service.folder, 'checkpoint.fork')
  await until('it is found', async () => existsSync(fork))
  assert.match(readFileSync(fork, 'utf8'), /^the (tree|log) has \d+ entries, and \d+ were signed$/)
  await until('nothing is signed', async () => (await sign(hashes.slice(1))).status === 503)
  assert.equal((await sign(hashes.slice(0, 1))).status, 503)
})
