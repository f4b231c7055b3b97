/** The hashes that the verifier makes by itself are those of the platform. */
import assert from 'node:assert/strict'
import { createHmac, hash, randomBytes, randomInt } from 'node:crypto'
import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { after, test } from 'node:test'
import { FREE, JOB_NUMBERS, newLanes, START } from '../../src/verifier/lanes.js'
import { verifyPack } from '../../src/verifier/verify.js'
import { TestLog } from '../helpers/pack.js'
import { digest, id, system } from './broken.js'

const folder = mkdtempSync(join(tmpdir(), 'paraph-lanes-'))
after(() => rmSync(folder, { recursive: true }))

for (const vectors of [true, false]) {
  const how = vectors ? 'side by side' : 'one after another'

  test(`messages of every length up to some blocks, ${how}`, () => {
    const lanes = newLanes(2 ** 17, vectors)
    const slot = (i: number) => FREE + 4096 + i * 1024
    for (let length = 0; length < 300; length++) {
      const blocks = Math.ceil((length + 9) / 64)
      const messages = Array.from({ length: 4 }, () => randomBytes(length))
      messages.forEach((message, lane) => {
        const padded = Buffer.alloc(blocks * 64)
        message.copy(padded)
        padded[length] = 0x80
        padded.writeUInt32BE(length * 8, padded.length - 4)
        lanes.bytes.set(padded, slot(lane))
      })
      lanes.numbers[FREE / 4] = blocks
      messages.forEach((_, lane) => {
        lanes.numbers[FREE / 4 + 1 + lane] = slot(lane)
        lanes.numbers[FREE / 4 + 5 + lane] = START
        lanes.numbers[FREE / 4 + 9 + lane] = slot(5 + lane)
      })
      lanes.run(FREE, 1)
      messages.forEach((message, lane) => {
        const made = Buffer.from(lanes.bytes.subarray(slot(5 + lane), slot(5 + lane) + 32))
        assert.deepEqual(made, hash('sha256', message, 'buffer'), `${length} bytes`)
      })
    }
  })

  test(`jobs go on from states of their own and of earlier jobs, ${how}`, () => {
    const lanes = newLanes(2 ** 17, vectors)
    const at = (what: number, lane: number) => FREE + 4096 + what * 1024 + lane * 128
    const keys = Array.from({ length: 4 }, () => randomBytes(32))
    const text = randomBytes(20)
    const jobs: [number, (lane: number) => number, (lane: number) => number, (lane: number) => number][] = [
      [1, (lane) => at(0, lane), () => START, (lane) => at(1, lane)],
      [1, (lane) => at(2, lane), () => START, (lane) => at(3, lane)],
      [1, () => at(4, 0), (lane) => at(1, lane), (lane) => at(5, lane)],
      [1, (lane) => at(5, lane), (lane) => at(3, lane), (lane) => at(6, lane)],
    ]
    keys.forEach((key, lane) => {
      for (const [what, pad] of [
        [0, 0x36],
        [2, 0x5c],
      ] as const) {
        const block = Buffer.alloc(64, pad)
        key.forEach((byte, i) => {
          block[i] = byte ^ pad
        })
        lanes.bytes.set(block, at(what, lane))
      }
      lanes.bytes[at(5, lane) + 32] = 0x80
      lanes.bytes.set([0x03, 0x00], at(5, lane) + 62)
    })
    lanes.bytes.set(text, at(4, 0))
    lanes.bytes[at(4, 0) + 20] = 0x80
    lanes.bytes.set([((64 + 20) * 8) >> 8, ((64 + 20) * 8) & 255], at(4, 0) + 62)
    jobs.forEach(([blocks, ...parts], j) => {
      const job = FREE / 4 + j * JOB_NUMBERS
      lanes.numbers[job] = blocks
      parts.forEach((part, p) => {
        for (let lane = 0; lane < 4; lane++) lanes.numbers[job + 1 + 4 * p + lane] = part(lane)
      })
    })
    lanes.run(FREE, jobs.length)
    keys.forEach((key, lane) => {
      const made = Buffer.from(lanes.bytes.subarray(at(6, lane), at(6, lane) + 32))
      assert.deepEqual(made, createHmac('sha256', key).update(text).digest())
    })
  })
}

/** A log with what is rare: many digests, values that are long, escaped, or not ASCII. */
function oddLog(): TestLog {
  const log = new TestLog()
  const who = log.newSigner()
  log.signOnce(who, 700)
  for (const length of [0, 1, 2, 3, 40, 77, 78, 79, 400, 3000, 4000]) {
    for (const value of ['x'.repeat(length), `"\\${'\u0007ż😀'.repeat(length / 4)}`]) {
      log.commit(log.sam, [
        {
          type: 'operator.created',
          outcome: 'ok',
          actor: { kind: 'operator', id: id() },
          evidence: { operator: value },
        },
      ])
    }
  }
  log.commit(
    log.sam,
    Array.from({ length: 600 }, () => log.login(who)),
  )
  log.signOnce(who, 3)
  log.commit(log.sam, [{ type: 'audit.stop', outcome: 'ok', actor: system }])
  log.publish()
  return log
}

test('openings of every shape fit their leaves, and none that was changed does', async () => {
  const log = oddLog()
  const whole = join(folder, 'odd')
  await log.write(whole)
  assert.deepEqual(
    [(await verifyPack({ root: whole, policy: log.policy() })).verdict, log.openings.length > 1200],
    ['ok', true],
  )
  const odd = log.openings.findIndex(({ fields }) => fields.includes('😀'))
  const many = log.openings.findIndex(({ fields }) => fields.includes('dtbsr[699]'))
  const long = log.openings.findIndex(({ fields }) => fields.length > 4000 && fields.includes('xxx'))
  for (const [at, change] of [
    [odd, (fields: string) => fields.replace('😀', '😁')],
    [many, (fields: string) => fields.replace(/(\["dtbsr\[699\]",")..../, '$1AAAA')],
    [many, (fields: string) => fields.replace('dtbsr[650]', 'dtbsr[701]')],
    [long, (fields: string) => fields.replace('xxx', 'xyx')],
    [randomInt(log.openings.length), (fields: string) => fields.replace(/"\]\]$/, `${digest().toString('hex')}"]]`)],
  ] as const) {
    const opening = log.openings[at] as (typeof log.openings)[number]
    log.openings[at] = { ...opening, fields: change(opening.fields) }
    assert.notEqual(log.openings[at]?.fields, opening.fields)
    const root = join(folder, 'changed')
    await log.write(root)
    const { faults } = await verifyPack({ root, policy: log.policy() })
    assert.ok(
      faults.some(({ rule, index }) => rule === 'R8' && index === opening.index),
      JSON.stringify([at, faults.slice(0, 3)]),
    )
    rmSync(root, { recursive: true })
    log.openings[at] = opening
  }
})
