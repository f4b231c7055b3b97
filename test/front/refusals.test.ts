import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { AuditEvent, FrontEventName } from '../../src/audit/event.js'
import { collectRefusals, type Refusal } from '../../src/front/refusals.js'
import { Entries, LogLines } from './helpers.js'
import { until } from './until.js'

function refusal(change: Partial<Refusal> & { address?: string } = {}): Refusal {
  const { address = '192.0.2.1', ...rest } = change
  return {
    origin: { requestId: 'first', address, api: 'v1' },
    actor: { kind: 'anonymous' },
    client: undefined,
    endpoint: '/csc/v1/credentials/list',
    code: 'token_unknown',
    status: 401,
    ...rest,
  }
}

const told = (events: AuditEvent<FrontEventName>[]) =>
  events.map(({ origin, why, facts }) => [origin?.address, why, facts?.endpoint, facts?.count])

test('the first is written at once, the rest of the minute as one number', async () => {
  const entries = new Entries()
  const refusals = collectRefusals({ log: entries, logger: new LogLines().logger })
  for (let i = 0; i < 5; i++) refusals.note(refusal())
  await until(() => entries.list.length === 1)
  const list = '/csc/v1/credentials/list'
  assert.deepEqual(told(entries.list), [['192.0.2.1', 'token_unknown', list, 1]])
  await refusals.endMinute()
  assert.deepEqual(told(entries.list.slice(1)), [['192.0.2.1', 'token_unknown', list, 4]])
  await refusals.endMinute()
  assert.equal(entries.list.length, 2)
  refusals.note(refusal())
  await until(() => entries.list.length === 3)
  await refusals.close()
  assert.equal(entries.list.length, 3)
})

test('addresses, endpoints, reasons and actors are told apart', async () => {
  const entries = new Entries()
  const refusals = collectRefusals({ log: entries, logger: new LogLines().logger })
  refusals.note(refusal())
  refusals.note(refusal({ address: '192.0.2.2' }))
  refusals.note(refusal({ endpoint: 'unknown' }))
  refusals.note(refusal({ code: 'token_expired' }))
  refusals.note(refusal({ actor: { kind: 'signer', id: 'a' }, client: 'basic' }))
  await refusals.close()
  assert.equal(entries.list.length, 5)
  const signer = entries.list.find(({ actor }) => actor.id === 'a')
  assert.deepEqual([signer?.evidence, signer?.outcome, signer?.facts?.status], [{ client: 'basic' }, 'refused', 401])
})

test('a flood of addresses ends in a bounded number of entries that still add up', async () => {
  const entries = new Entries()
  const refusals = collectRefusals({ log: entries, logger: new LogLines().logger, maxKinds: 10 })
  for (let i = 0; i < 1000; i++)
    refusals.note(refusal({ address: `addr${i}`, code: i % 2 === 0 ? 'token_unknown' : 'token_expired' }))
  await refusals.close()
  assert.ok(entries.list.length <= 12, String(entries.list.length))
  assert.equal(
    entries.list.reduce((sum, { facts }) => sum + Number(facts?.count), 0),
    1000,
  )
  assert.ok(entries.list.some(({ origin }) => origin === undefined))
})

test('a flood writes at most a few entries at a time', async () => {
  let open = 0
  let most = 0
  const log = {
    async append() {
      open += 1
      most = Math.max(most, open)
      await new Promise((resolve) => setImmediate(resolve))
      open -= 1
    },
  }
  const refusals = collectRefusals({ log, logger: new LogLines().logger })
  for (let i = 0; i < 500; i++) refusals.note(refusal({ address: `addr${i}` }))
  await refusals.close()
  assert.ok(most <= 4, String(most))
})

test('what the log does not take is counted on, and at the end its loss is told', async () => {
  const entries = new Entries()
  const logs = new LogLines()
  const refusals = collectRefusals({ log: entries, logger: logs.logger })
  entries.down = true
  refusals.note(refusal())
  refusals.note(refusal())
  await refusals.endMinute()
  entries.down = false
  await refusals.endMinute()
  assert.deepEqual(
    entries.list.map(({ facts }) => facts?.count),
    [2],
  )
  entries.down = true
  refusals.note(refusal({ code: 'scope_missing' }))
  await refusals.close()
  assert.match(logs.lines.join(''), /"count":1,"msg":"refusals were not logged"/)
})
