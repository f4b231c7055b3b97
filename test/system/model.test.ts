import assert from 'node:assert/strict'
import { randomUUID } from 'node:crypto'
import { after, before, test } from 'node:test'
import fc from 'fast-check'
import { secretHash } from '../../src/identity/secret-value.js'
import { tokenOfAnotherClient } from '../helpers/another-client.js'
import { basic, digests, ECDSA_WITH, HASH_OID, wrongCode } from '../helpers/csc.js'
import { type Answer, keepSecret, TestService, type TestSigner } from '../helpers/test-service.js'

/** The same sequences in every run; a failure names the one that fails. */
const SEED = 20261124
const LONGEST_MS = 20_000

const SESSION_MS = 180_000
const SAD_MS = 300_000
const NAME_MS = 600_000
const CEILING = 4
/** Before anything that ends within this time from now, the clock steps over the edge. */
const EDGE_MS = 2000

let service: TestService
let signers: readonly TestSigner[]
let credentials: readonly Credential[]
/** The last one is in no authorization. */
const DIGESTS = digests('model', 4)

interface Credential {
  readonly id: string
  readonly owner: number
  readonly scal: '1' | '2'
}

interface Session {
  readonly signer: number
  readonly client: 'basic' | 'another'
  readonly token: string
  readonly endsAt: number
  /** Of the refresh token it came with or from. */
  readonly family: Family
  ended: boolean
}

interface Family {
  refreshToken: string | undefined
  usedTokens: string[]
  revoked: boolean
}

interface Authorization {
  readonly session: Session
  readonly credential: Credential
  readonly sad: string
  readonly total: number
  /** What is left of the digests; undefined where any may be signed. */
  readonly remaining: string[] | undefined
  readonly digests: readonly string[] | undefined
  readonly expiresAt: number
  used: number
  revoked: boolean
}

interface Named {
  readonly body: string
  readonly signatures: readonly string[]
  readonly endsAt: number
}

class Model {
  sessions: Session[] = []
  authorizations: Authorization[] = []
  suspended = new Set<Credential>()
  named = new Map<string, Named>()
  /** Wrong codes in a row, by signer; they stop short of the first delay. */
  failures: number[] = signers.map(() => 0)

  isAlive({ ended, endsAt }: Session): boolean {
    return !ended && now() < endsAt
  }

  deadlines(): number[] {
    return [...this.sessions, ...this.named.values()].map(({ endsAt }) => endsAt)
  }
}

type Prediction = 'accepted' | readonly [status: number, description: string]
const refused = (description: string) => [400, description] as const
const OVER = [401, 'The access or refresh token is expired or has been revoked.'] as const
const NO_CREDENTIAL = refused('Invalid parameter credentialID')
const DISABLED = refused('The credential identified by credentialID is disabled')
const TOO_MANY = refused('Numbers of signatures is too high')
const NO_SAD = refused('Invalid parameter SAD')
const NOT_AUTHORIZED = refused('Hash is not authorized by neither SAD nor an access token with scope “credential”.')

const now = () => service.clock.now()
const pick = <T>(list: readonly T[], index: number): T => list[index % list.length] as T
/** Counted from the last one. */
const recent = <T>(list: readonly T[], index: number): T => list[list.length - 1 - (index % list.length)] as T

/** What is asked of the service, and what must come of it. */
abstract class Command<Wish> implements fc.AsyncCommand<Model, TestService> {
  readonly wish: Wish

  constructor(wish: Wish) {
    this.wish = wish
  }

  check(_model: Readonly<Model>): boolean {
    return true
  }

  async run(model: Model): Promise<void> {
    while (model.deadlines().some((at) => at > now() && at < now() + EDGE_MS)) await service.moveClock(2 * EDGE_MS)
    await this.act(model)
    await assertBudgets(model)
  }

  protected abstract act(model: Model): Promise<void>

  toString(): string {
    return `${this.constructor.name} ${JSON.stringify(this.wish)}`
  }
}

function assertAs(prediction: Prediction, { status, body }: Answer): void {
  const got = status === 200 ? 'accepted' : [status, body.error_description]
  assert.deepEqual(got, prediction)
}

/** The service counts as the model does, to the last digest. */
async function assertBudgets(model: Model): Promise<void> {
  const { rows } = await (await service.owner()).query(
    'select sad_hash, used, total, remaining from paraph.authorization where sad_hash = any ($1)',
    [model.authorizations.map(({ sad }) => secretHash(sad))],
  )
  for (const { sad, used, total, remaining } of model.authorizations) {
    const row = rows.find(({ sad_hash }) => secretHash(sad).equals(sad_hash))
    const left = row?.remaining?.map((bytes: Buffer) => bytes.toString('base64'))
    assert.deepEqual([row?.used, row?.total, left?.sort()], [used, total, remaining?.toSorted()])
  }
}

class Login extends Command<{
  readonly signer: number
  readonly front: number
  readonly rememberMe: boolean
  readonly elsewhere: boolean
}> {
  async act({ sessions }: Model) {
    const signer = pick(signers, this.wish.signer)
    const family: Family = { refreshToken: undefined, usedTokens: [], revoked: false }
    const session = { signer: signers.indexOf(signer), endsAt: now() + SESSION_MS, family, ended: false }
    if (this.wish.elsewhere) {
      sessions.push({ ...session, client: 'another', token: await tokenOfAnotherClient(service, signer) })
      return
    }
    const { status, body } = await service.post(
      '/csc/v2/auth/login',
      { rememberMe: this.wish.rememberMe },
      { front: this.wish.front, headers: basic(signer.login, signer.password) },
    )
    assert.equal(status, 200)
    keepSecret(body.access_token, body.refresh_token)
    family.refreshToken = body.refresh_token
    sessions.push({ ...session, client: 'basic', token: body.access_token })
  }
}

/** A refresh token opens a session of its own; used again, it ends everything that came of it. */
class Renew extends Command<{
  readonly session: number
  readonly front: number
  readonly again: boolean
}> {
  override check({ sessions }: Model) {
    return sessions.length > 0 && this.tokenOf(sessions) !== undefined
  }

  tokenOf(sessions: readonly Session[]) {
    const { family } = recent(sessions, this.wish.session)
    return this.wish.again ? family.usedTokens[0] : family.refreshToken
  }

  async act({ sessions }: Model) {
    const { family, signer, client } = recent(sessions, this.wish.session)
    const refreshToken = this.tokenOf(sessions) as string
    const endsAt = now() + SESSION_MS
    const answer = await service.post('/csc/v2/auth/login', { refresh_token: refreshToken }, { front: this.wish.front })
    if (this.wish.again || family.revoked) {
      assertAs(refused('Invalid refresh_token'), answer)
      family.revoked = true
      for (const session of sessions) if (session.family === family) session.ended = true
      return
    }
    assert.equal(answer.status, 200)
    const { access_token: token, refresh_token: next } = answer.body
    keepSecret(token, next)
    family.usedTokens.push(refreshToken)
    family.refreshToken = next
    sessions.push({ signer, client, token, endsAt, family, ended: false })
  }
}

class Authorize extends Command<{
  readonly session: number
  readonly credential: number
  readonly front: number
  /** Indices of digests, or how many signatures of whatever kind. */
  readonly what: readonly number[] | number
  readonly rightCode: boolean
}> {
  override check({ sessions, failures }: Model) {
    return (
      sessions.length > 0 &&
      (this.wish.rightCode || (failures[recent(sessions, this.wish.session).signer] as number) < 2)
    )
  }

  predict(model: Model, session: Session, credential: Credential, count: number): Prediction {
    if (!model.isAlive(session)) return OVER
    if (credential.owner !== session.signer) return NO_CREDENTIAL
    if (model.suspended.has(credential)) return DISABLED
    if (count > CEILING) return TOO_MANY
    if (typeof this.wish.what === 'number' && credential.scal === '2')
      return refused('Missing (or invalid type) array parameter hashes')
    return this.wish.rightCode ? 'accepted' : refused('The authentication data is invalid')
  }

  async act(model: Model) {
    const session = recent(model.sessions, this.wish.session)
    const credential = pick(credentials, this.wish.credential)
    const signer = signers[session.signer] as TestSigner
    const hashes =
      typeof this.wish.what === 'number' ? undefined : this.wish.what.map((index) => DIGESTS[index] as string)
    const count = hashes?.length ?? (this.wish.what as number)
    // The next code is half a minute away, which may be the end of the session.
    const value = this.wish.rightCode ? await service.freshCode(signer) : wrongCode(service, signer)
    const prediction = this.predict(model, session, credential, count)
    const at = now()
    const answer = await service.post(
      '/csc/v2/credentials/authorize',
      {
        credentialID: credential.id,
        numSignatures: count,
        ...(hashes === undefined ? {} : { hashes, hashAlgorithmOID: HASH_OID['sha-256'] }),
        authData: [{ id: 'OTP', value }],
      },
      { bearer: session.token, front: this.wish.front },
    )
    assertAs(prediction, answer)
    if (prediction === 'accepted') {
      model.failures[session.signer] = 0
      const { SAD: sad } = answer.body
      keepSecret(sad)
      model.authorizations.push({
        ...{ session, credential, sad, digests: hashes, remaining: hashes?.slice(), total: count },
        ...{ expiresAt: Math.min(at + SAD_MS, session.endsAt), used: 0, revoked: false },
      })
    } else if (prediction[1] === 'The authentication data is invalid') {
      model.failures[session.signer] = (model.failures[session.signer] as number) + 1
    }
  }
}

class Sign extends Command<{
  readonly authorization: number
  /** Who asks: the session that was authorized, or any other. */
  readonly session: number | 'its own'
  readonly credential: number | 'its own'
  readonly front: number
  readonly digests: readonly number[]
  /** The request's name, if it has one. */
  readonly key: number | undefined
  /** So many of them at once, over both fronts. */
  readonly copies: number
}> {
  override check({ authorizations }: Model) {
    return authorizations.length > 0
  }

  predict(
    model: Model,
    asker: Session,
    credential: Credential,
    authorization: Authorization,
    hashes: string[],
  ): Prediction {
    const { digests: agreed, remaining, used, total } = authorization
    if (!model.isAlive(asker)) return OVER
    if (credential.owner !== asker.signer) return NO_CREDENTIAL
    if (model.suspended.has(credential)) return DISABLED
    const named = this.nameOf(model, asker, credential)
    if (named !== undefined && named.body !== bodyOf(credential, authorization, hashes))
      return [422, 'This Idempotency-Key was used with another request.']
    if (authorization.session !== asker || authorization.credential !== credential) return NO_SAD
    if (authorization.revoked) return NO_SAD
    if (named !== undefined) return 'accepted'
    if (now() >= authorization.expiresAt) return refused('SAD expired')
    if (used >= total) return NO_SAD
    if (agreed !== undefined && !covers(agreed, hashes)) return NOT_AUTHORIZED
    if (used + hashes.length > total) return TOO_MANY
    if (remaining !== undefined && !covers(remaining, hashes)) return NOT_AUTHORIZED
    return 'accepted'
  }

  keyOf({ signer, client }: Session, { id }: Credential): string {
    return `${signer} ${client} ${id} ${this.wish.key}`
  }

  nameOf({ named }: Model, asker: Session, credential: Credential): Named | undefined {
    const found = this.wish.key === undefined ? undefined : named.get(this.keyOf(asker, credential))
    return found === undefined || now() >= found.endsAt ? undefined : found
  }

  async act(model: Model) {
    const authorization = recent(model.authorizations, this.wish.authorization)
    const asker = this.wish.session === 'its own' ? authorization.session : recent(model.sessions, this.wish.session)
    const credential =
      this.wish.credential === 'its own' ? authorization.credential : pick(credentials, this.wish.credential)
    const hashes = this.wish.digests.map((index) => DIGESTS[index] as string)
    const predict = () => this.predict(model, asker, credential, authorization, hashes)
    const at = now()
    const ask = (front: number) =>
      service.signHash(asker.token, credential.id, authorization.sad, hashes, {
        front: (this.wish.front + front) % 2,
        signAlgo: ECDSA_WITH['sha-256'],
        ...(this.wish.key === undefined ? {} : { key: `${run}-${this.wish.key}` }),
      })
    if (this.wish.key !== undefined || this.wish.copies === 1) {
      const prediction = predict()
      const known = this.nameOf(model, asker, credential)
      const answer = await ask(0)
      assertAs(prediction, answer)
      if (prediction !== 'accepted') return
      if (known !== undefined) return assert.deepEqual(answer.body.signatures, known.signatures)
      this.spend(authorization, hashes)
      if (this.wish.key === undefined) return
      const body = bodyOf(credential, authorization, hashes)
      model.named.set(this.keyOf(asker, credential), { body, signatures: answer.body.signatures, endsAt: at + NAME_MS })
      return
    }
    // Whoever comes first: as many as the authorization has room for, one after another, and no more.
    const answers = await Promise.all(Array.from({ length: this.wish.copies }, (_, i) => ask(i)))
    const signed = answers.filter(({ status }) => status === 200).length
    let room = 0
    while (room < this.wish.copies && predict() === 'accepted') {
      this.spend(authorization, hashes)
      room++
    }
    assert.equal(signed, room)
  }

  spend(authorization: Authorization, hashes: readonly string[]) {
    authorization.used += hashes.length
    for (const hash of authorization.remaining === undefined ? [] : hashes) {
      authorization.remaining?.splice(authorization.remaining.indexOf(hash), 1)
    }
  }
}

function bodyOf({ id }: Credential, { sad }: Authorization, hashes: readonly string[]): string {
  return JSON.stringify([id, sad, hashes])
}

function covers(agreed: readonly string[], wanted: readonly string[]): boolean {
  const count = (list: readonly string[], hash: string) => list.filter((one) => one === hash).length
  return wanted.every((hash) => count(agreed, hash) >= count(wanted, hash))
}

class Stop extends Command<{
  readonly session: number
  readonly front: number
}> {
  override check({ sessions }: Model) {
    return sessions.length > 0
  }

  async act(model: Model) {
    const session = recent(model.sessions, this.wish.session)
    const alive = model.isAlive(session)
    const answer = await service.post(
      '/csc/v2/auth/revoke',
      { token: session.token },
      { bearer: session.token, front: this.wish.front },
    )
    if (!alive) return assertAs(OVER, answer)
    assert.equal(answer.status, 204)
    session.ended = true
  }
}

/** Whatever was agreed to for a credential before it was suspended is over. */
class Suspend extends Command<{
  readonly credential: number
}> {
  async act({ suspended, authorizations }: Model) {
    const credential = pick(credentials, this.wish.credential)
    const verb = suspended.has(credential) ? 'credential.resume' : 'credential.suspend'
    await service.admin(verb, { credentialID: credential.id })
    if (!suspended.delete(credential)) suspended.add(credential)
    for (const authorization of authorizations)
      if (authorization.credential === credential) authorization.revoked = true
  }
}

class Pass extends Command<{
  readonly seconds: number
}> {
  async act() {
    await service.moveClock(this.wish.seconds * 1000)
  }
}

/** Names of requests are of one sequence only. */
let run = ''

const front = fc.nat({ max: 1 })
const mostly = <T>(usual: T, other: fc.Arbitrary<T>) =>
  fc.oneof({ weight: 4, arbitrary: fc.constant(usual) }, { weight: 1, arbitrary: other })
/** Mostly the last one that there is. */
const which = mostly(0, fc.nat({ max: 20 }))
const indices = (max: number, length: number) => fc.array(fc.nat({ max }), { minLength: 1, maxLength: length })
const its = mostly<number | 'its own'>('its own', fc.nat({ max: 20 }))
const login = fc
  .record({ signer: fc.nat({ max: 1 }), front, rememberMe: fc.boolean(), elsewhere: mostly(false, fc.constant(true)) })
  .map((wish) => new Login(wish))
const renew = fc
  .record({ session: which, front, again: mostly(false, fc.constant(true)) })
  .map((wish) => new Renew(wish))
const authorize = fc
  .record({
    session: which,
    credential: fc.nat({ max: 2 }),
    front,
    what: fc.oneof(indices(2, CEILING + 1), fc.integer({ min: 1, max: CEILING + 1 })),
    rightCode: mostly(true, fc.constant(false)),
  })
  .map((wish) => new Authorize(wish))
const sign = fc
  .record({
    authorization: which,
    session: its,
    credential: its,
    front,
    digests: fc.oneof(indices(3, 3), fc.constantFrom([0], [1], [2], [0, 1])),
    key: fc.option(fc.nat({ max: 2 }), { nil: undefined, freq: 2 }),
    copies: mostly(1, fc.integer({ min: 2, max: 12 })),
  })
  .map((wish) => new Sign(wish))
const stop = fc.record({ session: which, front }).map((wish) => new Stop(wish))
const suspend = fc.record({ credential: fc.nat({ max: 2 }) }).map((wish) => new Suspend(wish))
const pass = fc.record({ seconds: mostly(10, fc.constantFrom(60, 170, 200, 590)) }).map((wish) => new Pass(wish))
const command: fc.Arbitrary<Command<unknown>> = fc.oneof(
  { weight: 3, arbitrary: login },
  { weight: 2, arbitrary: renew },
  { weight: 6, arbitrary: authorize },
  { weight: 20, arbitrary: sign },
  { weight: 1, arbitrary: stop },
  { weight: 1, arbitrary: suspend },
  { weight: 2, arbitrary: pass },
)
const sequence = fc.array(command, { minLength: 10, maxLength: 60, size: 'max' })
const FIRST = [
  new Login({ signer: 0, front: 0, rememberMe: true, elsewhere: false }),
  new Authorize({ session: 0, credential: 0, front: 1, what: [0, 0, 1, 2], rightCode: true }),
]

before(async () => {
  service = await TestService.start({ workers: 2, fronts: 2, keys: [] })
  signers = [service.signer, await service.newSigner('second@example.test', 'Second Signer')]
  credentials = await Promise.all(
    (
      [
        [0, '2'],
        [0, '1'],
        [1, '2'],
      ] as const
    ).map(async ([owner, scal]) => ({
      ...{ owner, scal },
      id: await service.newCredential(pick(signers, owner), 'p-256', { scal, multisign: CEILING }),
    })),
  )
})
after(() => service?.close())

test('budget, binding and expiry hold in whatever order things happen', { timeout: 120_000 }, async () => {
  let sequences = 0
  await fc.assert(
    fc.asyncProperty(sequence, async (commands) => {
      run = randomUUID()
      const model = new Model()
      try {
        await fc.asyncModelRun(() => ({ model, real: service }), [...FIRST, ...commands])
      } finally {
        for (const { id } of model.suspended) await service.admin('credential.resume', { credentialID: id })
      }
      await service.checkWorld()
      sequences++
    }),
    { seed: SEED, numRuns: 1000, interruptAfterTimeLimit: LONGEST_MS, markInterruptAsFailure: false },
  )
  assert.ok(sequences >= 3, `${sequences} sequences`)
})
