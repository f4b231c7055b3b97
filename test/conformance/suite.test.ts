/** The suite against this service: every scenario runs, and passes. */
import assert from 'node:assert/strict'
import { join } from 'node:path'
import { after, before, test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { linesOfResult } from '../../src/conformance/report.js'
import { VERSIONS } from '../../src/conformance/statement.js'
import { loadSuite, type Result, runSuite } from '../../src/conformance/suite.js'
import { keepSecret, TestService } from '../helpers/test-service.js'
import { ServiceAdapter } from './service-adapter.js'

const scenarios = loadSuite(join(fileURLToPath(import.meta.url), '../../../../conformance'))

let service: TestService
let adapter: ServiceAdapter
before(async () => {
  service = await TestService.start({ fronts: 2, workers: 2, keys: [], timeStamps: true })
  adapter = await ServiceAdapter.prepare(service)
})
after(() => service?.close())

for (const version of VERSIONS) {
  test(`every scenario passes with ${version}, on two fronts`, async () => {
    const server = { urls: service.urls, adapter, onSecret: keepSecret }
    const results: Result[] = []
    for await (const result of runSuite(server, scenarios, { versions: [version], words: [] })) results.push(result)
    assert.ok(results.length > 30)
    // What this service does not offer, `info` does not name, and openapi.yaml is where it reads that.
    const kept = ['passed']
    assert.deepEqual(results.filter(({ verdict }) => !kept.includes(verdict.state)).flatMap(linesOfResult), [])
  })
}

test('after all of this the log and the counters agree', async () => {
  await service.checkWorld()
})
