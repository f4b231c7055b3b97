import assert from 'node:assert/strict'
import { test } from 'node:test'
import fc from 'fast-check'
import { MAX_FRAME } from '../../src/activation.js'
import { encodeFrame, FrameReader } from '../../src/frames.js'

test('frames arrive whole and in order, however the bytes are cut', () => {
  fc.assert(
    fc.property(fc.array(fc.jsonValue()), fc.array(fc.integer({ min: 1, max: 40 })), (values, cuts) => {
      const bytes = Buffer.concat(values.map(encodeFrame))
      const reader = new FrameReader()
      const read: unknown[] = []
      let at = 0
      for (const cut of [...cuts, bytes.length]) {
        read.push(...reader.push(bytes.subarray(at, at + cut)))
        at += cut
      }
      assert.deepEqual(
        read,
        values.map((value) => JSON.parse(JSON.stringify(value))),
      )
    }),
  )
})

test('the length is four bytes, big-endian, of the UTF-8 JSON', () => {
  assert.deepEqual(encodeFrame({ a: 'ż' }), Buffer.from('\u0000\u0000\u0000\u000a{"a":"ż"}'))
})

test('the largest frame passes, a larger one does not', () => {
  const largest = 'x'.repeat(MAX_FRAME - 2)
  assert.deepEqual(new FrameReader().push(encodeFrame(largest)), [largest])
  assert.throws(() => encodeFrame(`${largest}x`), RangeError)
})

test('a longer frame is refused as soon as its length is known', () => {
  const header = Buffer.alloc(4)
  header.writeUInt32BE(MAX_FRAME + 1, 0)
  assert.throws(() => new FrameReader().push(header), RangeError)
})

test('what is no JSON is refused without being told', () => {
  const frame = Buffer.from('\u0000\u0000\u0000\u0006secret')
  assert.throws(
    () => new FrameReader().push(frame),
    (error) => error instanceof SyntaxError && !error.message.includes('secret'),
  )
})
