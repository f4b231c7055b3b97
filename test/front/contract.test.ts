import assert from 'node:assert/strict'
import { test } from 'node:test'
import Fastify from 'fastify'
import type { BearerCheck } from '../../src/front/bearer.js'
import { audited, bindDoors, closed, type Doors, open, operationsOf } from '../../src/front/contract.js'
import { type Document, readOpenApi } from '../../src/front/openapi.js'

const { document } = readOpenApi()
const operations = operationsOf(document)
const nobody = {} as BearerCheck

/** A door for every operation, as the contract wants them. */
function someDoors(): Record<string, unknown> {
  return Object.fromEntries(
    operations
      .filter(({ oauth }) => !oauth)
      .map(({ id, scopes, operators }) => [
        id,
        operators
          ? audited('read', 'x', () => undefined as never)
          : scopes === undefined
            ? open(() => undefined as never)
            : closed(() => undefined as never),
      ]),
  )
}
const bind = (doors: Record<string, unknown>) =>
  bindDoors(Fastify(), operations, doors as unknown as Doors, nobody, () => Promise.reject(new Error('nobody looks')))

test('contract and doors fit each other, or nothing starts', () => {
  bind(someDoors())
  assert.throws(
    () => bind({ ...someDoors(), another: open(() => undefined as never) }),
    /no operation for the door another/,
  )
  const { v1SignHash, ...rest } = someDoors()
  assert.ok(v1SignHash)
  assert.throws(() => bind(rest), /no door for the operation v1SignHash/)
  assert.throws(
    () => bind({ ...someDoors(), v1SignHash: open(() => undefined as never) }),
    /v1SignHash and its door disagree/,
  )
  assert.throws(
    () => bind({ ...someDoors(), auditEntries: open(() => undefined as never) }),
    /auditEntries and its door disagree/,
  )
  assert.throws(
    () => bind({ ...someDoors(), v1Info: closed(() => undefined as never) }),
    /v1Info and its door disagree/,
  )
})

test('a body that is no plain object, or an operation without its one success, is refused at start', () => {
  const changed = (change: (operation: Record<string, unknown>) => void): Document => {
    const copy = structuredClone(document) as unknown as {
      paths: Record<string, Record<string, Record<string, unknown>>>
    }
    change(copy.paths['/csc/v1/info']?.post as Record<string, unknown>)
    return copy as unknown as Document
  }
  const withBody = (schema: unknown) =>
    changed((operation) => (operation.requestBody = { content: { 'application/json': { schema } } }))
  assert.throws(() => operationsOf(withBody({ type: 'object', properties: {} })), /must be a named object/)
  assert.throws(
    () => operationsOf(withBody({ $ref: '#/components/schemas/GeneralizedTime' })),
    /must be a named object/,
  )
  assert.throws(
    () => operationsOf(withBody({ $ref: '#/components/schemas/Nothing' })),
    /nothing at #\/components\/schemas\/Nothing/,
  )
  assert.throws(() => operationsOf(changed((operation) => (operation.responses = {}))), /v1Info needs one success/)
})

test('only what is meant to be open is open', () => {
  assert.deepEqual(
    operations
      .filter(({ scopes, oauth, operators }) => scopes === undefined && !oauth && !operators)
      .map(({ id }) => id),
    [
      'v1InfoGet',
      'v1Info',
      'v2InfoGet',
      'v2Info',
      'v1AuthLogin',
      'v2AuthLogin',
      // These look at a token, or at a ticket, themselves.
      'logCheckpoint',
      'logTile',
      'auditExportRead',
      'healthLive',
      'healthReady',
      'openapi',
      'docs',
      'logo',
    ],
  )
  assert.deepEqual(
    [...new Set(operations.flatMap(({ scopes }) => scopes ?? []))],
    ['service', 'credential', 'credential-creation', 'credential-deletion'],
  )
  assert.deepEqual(
    operations.filter(({ scopes }) => scopes?.includes('credential')).map(({ id }) => id),
    ['v2CredentialsInfo', 'v2ExtendTransaction', 'v2SignHash', 'signerSession', 'auditReceipt'],
  )
})

test('the file is one for every reader of YAML: no anchor stands twice', () => {
  const anchors: string[] = readOpenApi().text.match(/(?<=[:-] )&\w+/g) ?? []
  assert.ok(anchors.length > 10)
  assert.deepEqual(
    anchors.filter((anchor, index) => anchors.indexOf(anchor) !== index),
    [],
  )
})
