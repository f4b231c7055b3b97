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
const REMEMBERED_MS = 30 * 60_000
const LONGEST_SESSION_MS = 2 * 3600_000
const SAD_MS = 300_000
const LONGEST_SAD_MS = 900_000
const NAME_MS = 600_000
const CEILING = 4
/** Of an agreement for a whole session. */
const SESSION_CEILING = CEILING + 1
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
  /** One code may cover a session with it, for the client `basic`. */
  readonly wide: boolean
}

interface Session {
  readonly signer: number
  readonly client: 'basic' | 'another'
  readonly token: string
  readonly startedAt: number
  endsAt: number
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
  readonly total: number
  readonly createdAt: number
  /** Serves the whole of a remembered session. */
  readonly wide: boolean
  sad: string
  /** Those it had before it was extended. */
  formerSads: string[]
  /** What is left of the digests; undefined where any may be signed. */
  remaining: string[] | undefined
  digests: readonly string[] | undefined
  expiresAt: number
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
    return [
      ...[...this.sessions, ...this.named.values()].map(({ endsAt }) => endsAt),
      ...this.authorizations.map(({ expiresAt }) => expiresAt),
    ]
  }
}

type Prediction = 'accepted' | readonly [status: number, description: string]
const refused = (description: string) => [400, description] as const
const OVER = [401, 'The access or refresh token is expired or has been revoked.'] as const
const NO_CREDENTIAL = refused('Invalid parameter credentialID')
const DISABLED = refused('The credential identified by credentialID is disabled')
const TOO_MANY = refused('Numbers of signatures is too high')
const NO_SAD = refused('Invalid parameter SAD')
const SAD_EXPIRED = refused('SAD expired')
const NO_DIGESTS = refused('Missing (or invalid type) array parameter hashes')
const NOT_REMEMBERED = refused('The session cannot be remembered for this credential and client')
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
    await stepOverEdges(model)
    await this.act(model)
    await assertBudgets(model)
  }

  protected abstract act(model: Model): Promise<void>

  toString(): string {
    return `${this.constructor.name} ${JSON.stringify(this.wish)}`
  }
}

async function stepOverEdges(model: Model): Promise<void> {
  while (model.deadlines().some((at) => at > now() && at < now() + EDGE_MS)) await service.moveClock(2 * EDGE_MS)
}

function assertAs(prediction: Prediction, { status, body }: Answer): void {
  const got = status === 200 ? 'accepted' : [status, body.error_description]
  assert.deepEqual(got, prediction)
}

/** A moment that the service took between two others; a database's clock may be a millisecond off. */
function assertBetween(earliest: number, moment: number, latest: number): void {
  assert.ok(earliest - 1 <= moment && moment <= latest + 1, `${earliest} <= ${moment} <= ${latest}`)
}

async function timesOfSession(token: string): Promise<{ startedAt: number; endsAt: number }> {
  const { rows } = await (await service.owner()).query(
    `select s.started_at, s.ends_at from paraph.token t join paraph.session s on s.id = t.session_id where t.hash = $1`,
    [secretHash(token)],
  )
  return { startedAt: rows[0].started_at.getTime(), endsAt: rows[0].ends_at.getTime() }
}

async function timesOfAuthorization(sad: string): Promise<{ createdAt: number; expiresAt: number }> {
  const { rows } = await (await service.owner()).query(
    'select created_at, expires_at from paraph.authorization where sad_hash = $1',
    [secretHash(sad)],
  )
  return { createdAt: rows[0].created_at.getTime(), expiresAt: rows[0].expires_at.getTime() }
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
    const session = { signer: signers.indexOf(signer), family, ended: false }
    if (this.wish.elsewhere) {
      const token = await tokenOfAnotherClient(service, signer)
      sessions.push({ ...session, client: 'another', token, ...(await timesOfSession(token)) })
      return
    }
    const at = now()
    const { status, body } = await service.post(
      '/csc/v2/auth/login',
      { rememberMe: this.wish.rememberMe },
      { front: this.wish.front, headers: basic(signer.login, signer.password) },
    )
    assert.equal(status, 200)
    keepSecret(body.access_token, body.refresh_token)
    family.refreshToken = body.refresh_token
    const times = await timesOfSession(body.access_token)
    assertBetween(at + SESSION_MS, times.endsAt, now() + SESSION_MS)
    sessions.push({ ...session, client: 'basic', token: body.access_token, ...times })
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
    const at = now()
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
    const times = await timesOfSession(token)
    assertBetween(at + SESSION_MS, times.endsAt, now() + SESSION_MS)
    sessions.push({ signer, client, token, ...times, family, ended: false })
  }
}

class Authorize extends Command<{
  readonly session: number
  readonly credential: number
  readonly front: number
  /** Indices of digests, or how many signatures of whatever kind. */
  readonly what: readonly number[] | number
  readonly rightCode: boolean
  /** One agreement for all files of the session, whose end moves. */
  readonly remember: boolean
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
    if (this.wish.remember && (!credential.wide || session.client !== 'basic')) return NOT_REMEMBERED
    if (count > (this.wish.remember ? SESSION_CEILING : CEILING)) return TOO_MANY
    if (typeof this.wish.what === 'number' && credential.scal === '2') return NO_DIGESTS
    return this.wish.rightCode ? 'accepted' : refused('The authentication data is invalid')
  }

  /** To half an hour from the code, and to two hours from the login at most. */
  async lengthen(session: Session, at: number): Promise<void> {
    const { startedAt, endsAt } = await timesOfSession(session.token)
    const ends = (from: number) =>
      Math.max(session.endsAt, Math.min(from + REMEMBERED_MS, startedAt + LONGEST_SESSION_MS))
    assert.equal(startedAt, session.startedAt)
    assertBetween(ends(at), endsAt, ends(now()))
    session.endsAt = endsAt
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
    await stepOverEdges(model)
    const prediction = this.predict(model, session, credential, count)
    const at = now()
    const answer = await service.post(
      '/csc/v2/credentials/authorize',
      {
        credentialID: credential.id,
        numSignatures: count,
        ...(hashes === undefined ? {} : { hashes, hashAlgorithmOID: HASH_OID['sha-256'] }),
        authData: [{ id: 'OTP', value }],
        rememberSession: this.wish.remember,
      },
      { bearer: session.token, front: this.wish.front },
    )
    assertAs(prediction, answer)
    if (prediction === 'accepted') {
      model.failures[session.signer] = 0
      const { SAD: sad } = answer.body
      keepSecret(sad)
      if (this.wish.remember) await this.lengthen(session, at)
      const times = await timesOfAuthorization(sad)
      const ends = (from: number) => (this.wish.remember ? session.endsAt : Math.min(from + SAD_MS, session.endsAt))
      assertBetween(ends(at), times.expiresAt, ends(now()))
      model.authorizations.push({
        ...{ session, credential, sad, formerSads: [], digests: hashes, remaining: hashes?.slice(), ...times },
        ...{ wide: this.wish.remember, total: this.wish.remember ? SESSION_CEILING : count, used: 0, revoked: false },
      })
    } else if (prediction[1] === 'The authentication data is invalid') {
      model.failures[session.signer] = (model.failures[session.signer] as number) + 1
    }
  }
}

/** Another SAD for what is left; of several who ask for it at once one gets it. */
class Extend extends Command<{
  readonly authorization: number
  readonly session: number | 'its own'
  readonly credential: number | 'its own'
  readonly front: number
  /** What is left, or these. */
  readonly digests: readonly number[] | 'what is left' | 'none'
  /** With a SAD that was extended already, if there is one. */
  readonly former: boolean
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
    asked: { sad: string; hashes: readonly string[] | undefined },
  ): Prediction {
    const { remaining, used, total, wide } = authorization
    const { sad, hashes } = asked
    if (!model.isAlive(asker)) return OVER
    if (credential.owner !== asker.signer) return NO_CREDENTIAL
    if (model.suspended.has(credential)) return DISABLED
    if (hashes === undefined && credential.scal === '2') return NO_DIGESTS
    if (authorization.session !== asker || authorization.credential !== credential) return NO_SAD
    if (sad !== authorization.sad || authorization.revoked) return NO_SAD
    if (now() >= authorization.expiresAt) return SAD_EXPIRED
    if (used >= total) return NO_SAD
    if (remaining === undefined || hashes === undefined) return 'accepted'
    const fresh = beyond(remaining, hashes).length
    if (wide ? used + remaining.length + fresh > total : used + hashes.length > total) return TOO_MANY
    return fresh > 0 && !wide ? NOT_AUTHORIZED : 'accepted'
  }

  async act(model: Model) {
    const authorization = recent(model.authorizations, this.wish.authorization)
    const asker = this.wish.session === 'its own' ? authorization.session : recent(model.sessions, this.wish.session)
    const credential =
      this.wish.credential === 'its own' ? authorization.credential : pick(credentials, this.wish.credential)
    const hashes = this.hashes(authorization)
    const sad = sadOf(authorization, this.wish.former)
    const prediction = this.predict(model, asker, credential, authorization, { sad, hashes })
    const at = now()
    const answers = await Promise.all(
      Array.from({ length: this.wish.copies }, (_, i) =>
        service.post(
          '/csc/v2/credentials/extendTransaction',
          {
            ...{ credentialID: credential.id, SAD: sad },
            ...(hashes === undefined ? {} : { hashes, hashAlgorithmOID: HASH_OID['sha-256'] }),
          },
          { bearer: asker.token, front: (this.wish.front + i) % 2 },
        ),
      ),
    )
    const extended = answers.filter(({ status }) => status === 200)
    assert.equal(extended.length, prediction === 'accepted' ? 1 : 0, JSON.stringify(answers.map(({ body }) => body)))
    for (const answer of answers)
      if (answer.status !== 200) assertAs(prediction === 'accepted' ? NO_SAD : prediction, answer)
    for (const { body } of extended) await this.renew(authorization, body.SAD, hashes, at)
  }

  hashes({ remaining }: Authorization): readonly string[] | undefined {
    const { digests: wanted } = this.wish
    if (wanted === 'none') return undefined
    if (wanted !== 'what is left') return wanted.map((index) => DIGESTS[index] as string)
    return remaining?.length ? remaining.slice() : undefined
  }

  async renew(authorization: Authorization, sad: string, hashes: readonly string[] = [], at: number): Promise<void> {
    keepSecret(sad)
    const { remaining, createdAt, wide, expiresAt: before, session } = authorization
    const renewed = await timesOfAuthorization(sad)
    const ends = (from: number) =>
      wide ? before : Math.max(before, Math.min(from + SAD_MS, createdAt + LONGEST_SAD_MS, session.endsAt))
    assertBetween(ends(at), renewed.expiresAt, ends(now()))
    assert.equal(renewed.createdAt, createdAt)
    authorization.formerSads.push(authorization.sad)
    authorization.sad = sad
    authorization.expiresAt = renewed.expiresAt
    if (remaining === undefined) return
    remaining.push(...beyond(remaining, hashes))
    authorization.digests = remaining.slice()
  }
}

class Sign extends Command<{
  readonly authorization: number
  /** Who asks: the session that was authorized, or any other. */
  readonly session: number | 'its own'
  readonly credential: number | 'its own'
  readonly front: number
  readonly digests: readonly number[]
  /** With a SAD that was extended already, if there is one. */
  readonly former: boolean
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
    { sad, hashes }: { sad: string; hashes: readonly string[] },
  ): Prediction {
    const { digests: agreed, remaining, used, total } = authorization
    if (!model.isAlive(asker)) return OVER
    if (credential.owner !== asker.signer) return NO_CREDENTIAL
    if (model.suspended.has(credential)) return DISABLED
    const named = this.nameOf(model, asker, credential)
    if (named !== undefined && named.body !== bodyOf(credential, sad, hashes))
      return [422, 'This Idempotency-Key was used with another request.']
    if (authorization.session !== asker || authorization.credential !== credential) return NO_SAD
    if (sad !== authorization.sad || authorization.revoked) return NO_SAD
    if (named !== undefined) return 'accepted'
    if (now() >= authorization.expiresAt) return SAD_EXPIRED
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
    const sad = sadOf(authorization, this.wish.former)
    const predict = () => this.predict(model, asker, credential, authorization, { sad, hashes })
    const at = now()
    const ask = (front: number) =>
      service.signHash(asker.token, credential.id, sad, hashes, {
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
      const body = bodyOf(credential, sad, hashes)
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

function sadOf({ sad, formerSads }: Authorization, former: boolean): string {
  return (former ? formerSads.at(-1) : undefined) ?? sad
}

function bodyOf({ id }: Credential, sad: string, hashes: readonly string[]): string {
  return JSON.stringify([id, sad, hashes])
}

function covers(agreed: readonly string[], wanted: readonly string[]): boolean {
  return beyond(agreed, wanted).length === 0
}

/** Those of the wanted that are not agreed to, or not so often. */
function beyond(agreed: readonly string[], wanted: readonly string[]): string[] {
  const free = agreed.slice()
  return wanted.filter((hash) => {
    const at = free.indexOf(hash)
    if (at >= 0) free.splice(at, 1)
    return at < 0
  })
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
  readonly seconds: number | 'nearly to the end'
}> {
  async act({ sessions }: Model) {
    const { seconds } = this.wish
    if (seconds !== 'nearly to the end') return service.moveClock(seconds * 1000)
    // The next code may be half a minute away.
    const left = (recent(sessions, 0)?.endsAt ?? 0) - now() - 60_000
    if (left > 0) await service.moveClock(left)
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
    what: fc.oneof(indices(2, SESSION_CEILING + 1), fc.integer({ min: 1, max: SESSION_CEILING + 1 })),
    rightCode: mostly(true, fc.constant(false)),
    remember: mostly(false, fc.constant(true)),
  })
  .map((wish) => new Authorize(wish))
const sign = fc
  .record({
    authorization: which,
    session: its,
    credential: its,
    front,
    digests: fc.oneof(indices(3, 3), fc.constantFrom([0], [1], [2], [0, 1])),
    former: mostly(false, fc.constant(true)),
    key: fc.option(fc.nat({ max: 2 }), { nil: undefined, freq: 2 }),
    copies: mostly(1, fc.integer({ min: 2, max: 12 })),
  })
  .map((wish) => new Sign(wish))
const extend = fc
  .record({
    authorization: which,
    session: its,
    credential: its,
    front,
    digests: fc.oneof(
      { weight: 3, arbitrary: fc.constant<Extend['wish']['digests']>('what is left') },
      { weight: 1, arbitrary: fc.constant<Extend['wish']['digests']>('none') },
      { weight: 2, arbitrary: indices(3, SESSION_CEILING + 1) },
    ),
    former: mostly(false, fc.constant(true)),
    copies: mostly(1, fc.integer({ min: 2, max: 8 })),
  })
  .map((wish) => new Extend(wish))
const stop = fc.record({ session: which, front }).map((wish) => new Stop(wish))
const suspend = fc.record({ credential: fc.nat({ max: 2 }) }).map((wish) => new Suspend(wish))
const pass = fc
  .record({
    seconds: mostly<number | 'nearly to the end'>(
      10,
      fc.constantFrom<Pass['wish']['seconds'][]>(60, 170, 200, 290, 590, 'nearly to the end'),
    ),
  })
  .map((wish) => new Pass(wish))
const command: fc.Arbitrary<Command<unknown>> = fc.oneof(
  { weight: 3, arbitrary: login },
  { weight: 2, arbitrary: renew },
  { weight: 6, arbitrary: authorize },
  { weight: 20, arbitrary: sign },
  { weight: 8, arbitrary: extend },
  { weight: 1, arbitrary: stop },
  { weight: 1, arbitrary: suspend },
  { weight: 2, arbitrary: pass },
)
const sequence = fc.array(command, { minLength: 10, maxLength: 60, size: 'max' })
const agree = { session: 0, credential: 0, front: 1, rightCode: true, remember: false }
const remember = new Authorize({ ...agree, what: [0], remember: true })
const own = 'its own' as const
const usual = { authorization: 0, session: own, credential: own, front: 0, former: false, copies: 1 }
const signing = (...digests: number[]) => new Sign({ ...usual, digests, key: undefined })
const extendBy = (...digests: number[]) =>
  new Extend({ ...usual, digests: digests.length === 0 ? 'what is left' : digests })
const waiting = new Pass({ seconds: 'nearly to the end' })
const later = new Pass({ seconds: 290 })
const agreed = new Authorize({ ...agree, what: [0, 0, 1, 2] })
const begin = new Login({ signer: 0, front: 0, rememberMe: true, elsewhere: false })
const elsewhere = new Login({ signer: 0, front: 1, rememberMe: false, elsewhere: true })
/**
 * Sequences begin as things go in life: with something signed and the rest renewed, once or as often as that is possible;
 * or in a session that is remembered, once or nearly as long as one can be.
 */
const beginnings = fc.constantFrom(
  [begin, agreed, signing(0), extendBy()],
  [begin, remember, agreed, signing(0), later, extendBy(), later, extendBy(), later, extendBy()],
  [elsewhere, remember, begin, remember, extendBy(0, 1, 1), signing(1)],
  [begin, remember, waiting, remember, waiting, remember, waiting, remember, waiting, remember],
)

before(async () => {
  service = await TestService.start({ workers: 2, fronts: 2, keys: [] })
  signers = [service.signer, await service.newSigner('second@example.test', 'Second Signer')]
  credentials = await Promise.all(
    (
      [
        [0, '2', true],
        [0, '1', true],
        [1, '2', false],
      ] as const
    ).map(async ([owner, scal, wide]) => ({
      ...{ owner, scal, wide },
      id: await service.newCredential(pick(signers, owner), 'p-256', {
        ...{ scal, multisign: CEILING },
        ...(wide ? { sessionWide: true, sessionClients: ['basic'], sessionCeiling: SESSION_CEILING } : {}),
      }),
    })),
  )
})
after(() => service?.close())

test('budget, binding and expiry hold in whatever order things happen', { timeout: 120_000 }, async () => {
  let sequences = 0
  await fc.assert(
    fc.asyncProperty(beginnings, sequence, async (first, commands) => {
      run = randomUUID()
      const model = new Model()
      try {
        await fc.asyncModelRun(() => ({ model, real: service }), [...first, ...commands])
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
