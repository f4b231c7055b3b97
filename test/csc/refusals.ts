/** Refusals as tables: what is sent, and the two members of the answer. */
import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { TestFront } from '../front/helpers.js'

export type Api = 'v1' | 'v2'
export const APIS: readonly Api[] = ['v1', 'v2']

/** [what is sent, error_description, error when it is not invalid_request] */
export type Refusal = readonly [body: unknown, description: string, error?: string]

export const MALFORMED =
  'The request is missing a required parameter, includes an invalid parameter value, includes a parameter more than once, or is otherwise malformed.'

/** One test for each row: status 400, the exact texts, and no worker asked. */
export function refuses(front: () => TestFront, path: string, rows: readonly Refusal[]): void {
  for (const [body, description, error = 'invalid_request'] of rows) {
    const sent = typeof body === 'string' ? body : JSON.stringify(body)
    test(`${path} refuses ${sent.length > 140 ? `${sent.slice(0, 140)}…` : sent}: ${description}`, async () => {
      const before = front().sam.requests.length
      const answer = await front().post(path, body)
      assert.deepEqual([answer.status, answer.body], [400, { error, error_description: description }])
      assert.equal(front().sam.requests.length, before)
    })
  }
}

/** `body` with some members changed; undefined takes one away. */
export function changed(body: Record<string, unknown>, change: Record<string, unknown>): Record<string, unknown> {
  return { ...body, ...change }
}
