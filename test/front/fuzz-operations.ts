/** What must hold for any request at all to an operation of openapi.yaml. */
import assert from 'node:assert/strict'
import { hash } from 'node:crypto'
import fc from 'fast-check'
import type { FrontVerb } from '../../src/activation.js'
import { type ErrorCode, ServiceError } from '../../src/errors.js'
import { isRequestOf } from '../../src/sam/verb-schemas.js'
import { leafHash } from '../../src/tlog/tree.js'
import { type AnyRequest, anyRequest, type FuzzedOperation, type Known, rightFor } from './any-request.js'
import { AUDITOR, TICKETS } from './fake-sam.js'
import type { TestFront } from './helpers.js'

/** What a worker may refuse each verb for, as far as the front has to tell it. */
const REFUSALS = {
  login: ['login_failed', 'overloaded', 'unavailable'],
  refresh: ['refresh_token_unknown', 'overloaded', 'unavailable'],
  revoke: ['revoke_token_unknown', 'token_expired', 'unavailable'],
  authorize: ['code_rejected', 'pin_locked', 'digests_missing', 'certificate_expired', 'token_unknown', 'unavailable'],
  createCredential: ['token_expired', 'too_many_credentials', 'parameter_invalid', 'unavailable'],
  deleteCredential: ['token_expired', 'token_unknown', 'unavailable'],
  receipt: ['not_found', 'token_expired', 'scope_missing', 'overloaded', 'unavailable'],
  look: ['operator_unknown', 'role_missing', 'overloaded', 'unavailable'],
  timestamp: ['token_expired', 'token_unknown', 'scope_missing', 'overloaded', 'unavailable'],
  sign: ['sad_unknown', 'digest_not_authorized', 'retry_in_progress', 'retry_spent', 'retry_contradicts', 'overloaded'],
} as const satisfies Partial<Record<FrontVerb, readonly ErrorCode[]>>
type Verb = keyof typeof REFUSALS
const VERBS = Object.keys(REFUSALS) as Verb[]
/** Verbs for whoever has no access token yet, or none that a front can judge. */
const OPEN: readonly string[] = ['login', 'refresh', 'look']

export async function knownTo(front: TestFront): Promise<Known> {
  const { seed, signer, token } = front
  const bearer = async (options: Parameters<typeof seed.session>[1]) =>
    `Bearer ${(await seed.session(signer, options)).token}`
  return {
    credentials: [await seed.credential(signer), await seed.credential(signer, { spec: 'p-256', scal: '1' })],
    operations: [await seedLog(front)],
    right: {
      auditor: `Bearer ${AUDITOR}`,
      ticket: `Bearer ${TICKETS.export.toString('base64url')}`,
      service: `Bearer ${token}`,
      'credential-creation': await bearer({ scope: 'credential-creation' }),
      'credential-deletion': await bearer({ scope: 'credential-deletion' }),
    },
    wrong: [
      await bearer({ scope: 'other' }),
      await bearer({ kind: 'refresh' }),
      await bearer({ expired: true }),
      'Bearer none-of-ours',
      `Basic ${Buffer.from('signer@example.test:password').toString('base64')}`,
    ],
  }
}

const op = '01980000-0000-7000-8000-00000000000a'
const fields = {
  boot: op,
  ev: 'audit.stop',
  node: 'n',
  op,
  out: 'ok',
  ph: 0,
  sd: [],
  seq: 0,
  t: '2026-11-24T10:00:00.000Z',
}
const leaf = Buffer.from(JSON.stringify({ act: 'system', ...fields, v: 1 }))

/** One entry, with the tree over it, and the tickets that this worker gives out. @returns its operation */
async function seedLog({ seed }: TestFront): Promise<string> {
  await seed.query('insert into audit.entry (idx, op, ph, ev, leaf, lh) values (0, $1, 0, 3, $2, $3)', [
    op,
    leaf,
    leafHash(leaf),
  ])
  await seed.query('insert into audit.op_index (op, ph, idx) values ($1, 0, 0)', [op])
  await seed.query(
    `insert into paraph.operator (id, name, role, token_hash, binding) values ($1, 'a', 'auditor', sha256('a'), '')`,
    [op],
  )
  await seed.query('insert into audit.head (id, size) values (1, 1)')
  await seed.query('insert into audit.tile (level, n, width, data) values (0, 0, 1, $1)', [leafHash(leaf)])
  await seed.query(`insert into audit.checkpoint (size, root, note) values (1, $1, 'note')`, [leafHash(leaf)])
  for (const [kind, ticket] of Object.entries(TICKETS)) {
    await seed.query(
      `insert into audit.look (hash, operator_id, kind, size, expires_at) values ($1, $2, $3, 1, 'infinity')`,
      [hash('sha256', ticket, 'buffer'), op, kind],
    )
  }
  return op
}

/** Rows of everything that a request could change. */
export async function rowCounts({ seed }: TestFront): Promise<unknown> {
  const tables = ['session', 'token', 'authorization', 'signing', 'retry', 'guess', 'approval', 'challenge', 'oauth']
  return (await seed.query(`select ${tables.map((name) => `(select count(*) from paraph.${name}) as ${name}`)}`))[0]
}

/**
 * @param refusal which of its refusals a worker gives; undefined where it does what it is asked
 * @returns the status
 */
async function ask(
  front: TestFront,
  known: Known,
  right: string,
  request: AnyRequest,
  refusal: number | undefined,
): Promise<number> {
  front.sam.requests.length = 0
  front.sam.heal()
  front.sam.on('createCredential', () => ({ credentialId: known.credentials[0] as string }))
  front.sam.on('receipt', ({ phase }) =>
    phase === 'intent' ? { pending: true, index: 0 } : { index: 0, leaf: leaf.toString('base64'), openings: [] },
  )
  if (refusal !== undefined) {
    for (const verb of VERBS) {
      const code = REFUSALS[verb][refusal % REFUSALS[verb].length] as ErrorCode
      front.sam.on(verb, () => {
        throw new ServiceError(code)
      })
    }
  }
  const { statusCode: status, body } = await front.app.inject({ ...request, method: request.method as 'GET' })
  // 599 is what the contract does not describe.
  assert.ok(status < 500 || status === 503, `${status} ${body}`)
  // Both are asked for once by a whole front.
  const asked = front.sam.requests.filter(({ verb }) => verb !== 'health' && verb !== 'frontSecret')
  if (status === 503) assert.equal(asked.length, 1, 'nothing else is unavailable')
  if (status >= 400 && refusal === undefined && asked[0]?.verb !== 'look')
    assert.deepEqual(asked, [], 'who is refused reaches no worker')
  assert.ok(asked.length <= 1, 'one request is one verb')
  for (const { verb, body: sent } of asked) {
    assert.ok(isRequestOf(verb, sent), `a worker takes ${verb} as it is sent`)
    assert.ok(OPEN.includes(verb) || request.headers.authorization === right, `${verb} for whom it may be`)
  }
  return status
}

/** @returns how often each status was answered */
export async function fuzzOperation(
  front: TestFront,
  known: Known,
  operation: FuzzedOperation,
  parameters: { numRuns: number; seed: number },
): Promise<Map<number, number>> {
  const statuses = new Map<number, number>()
  const refusal = fc.option(fc.nat({ max: 5 }), { nil: undefined, freq: 2 })
  await fc.assert(
    fc.asyncProperty(anyRequest(operation, known), refusal, async (request, which) => {
      const status = await ask(front, known, rightFor(known, operation), request, which)
      statuses.set(status, (statuses.get(status) ?? 0) + 1)
    }),
    parameters,
  )
  front.sam.heal()
  return statuses
}
