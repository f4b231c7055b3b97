import type { FrontVerbs, Origin } from '../activation.js'
import type { CountedEntries } from '../audit/counted.js'
import type { AuditEvent } from '../audit/event.js'
import type { Record, TransactionLog, Tx } from '../audit/transaction-log.js'
import type { RowBinding } from '../binding.js'
import { type ErrorCode, ServiceError } from '../errors.js'
import type { ClientId, SignerId } from '../ids.js'
import { clearGuesses, countGuess, nobody } from './guess.js'
import { knownBrowser } from './known-browser.js'
import type { PasswordHasher } from './password.js'
import { secretHash } from './secret-value.js'
import { endSessions, type IssuedTokens, startSession } from './session.js'

/** The built-in client behind CSC `auth/login`. */
export const BASIC_CLIENT = 'basic' as ClientId

/** The built-in client of our own pages. */
export const PAGES_CLIENT = 'pages' as ClientId

export interface LoginServices {
  readonly transactions: TransactionLog
  /** Where refused logins are written down, beside the answer. */
  readonly failures: Pick<CountedEntries<'auth.login_failed'>, 'note'>
  readonly passwords: PasswordHasher
  readonly binding: RowBinding
  readonly basicLogin: boolean
}

/**
 * Password login of the CSC API (v1 §11.2, v2.2 §11.2).
 * @throws ServiceError `login_disabled`, `login_failed`, `overloaded`, `unavailable`
 */
export async function login(services: LoginServices, request: FrontVerbs['login']['request']): Promise<IssuedTokens> {
  if (!services.basicLogin) {
    services.failures.note(loginFailed(request.origin, 'login_disabled', BASIC_CLIENT))
    throw new ServiceError('login_disabled')
  }
  return withPassword(services, { ...request, client: BASIC_CLIENT }, async (tx, record, signer) => {
    const wanted = { signer, client: BASIC_CLIENT, scope: 'service', rememberMe: request.rememberMe }
    const { session, tokens } = await startSession(tx, wanted)
    record(loginEvent('auth.login', request.origin, signer, BASIC_CLIENT, session))
    return tokens
  })
}

/**
 * Login on our own pages; its token opens those and nothing else.
 * @throws ServiceError `login_failed`, `overloaded`, `unavailable`
 */
export async function signIn(
  services: LoginServices,
  request: FrontVerbs['signIn']['request'],
): Promise<FrontVerbs['signIn']['response']> {
  return withPassword(services, { ...request, client: PAGES_CLIENT }, async (tx, record, signer) => {
    const wanted = { signer, client: PAGES_CLIENT, scope: 'pages', rememberMe: false }
    const { session, tokens } = await startSession(tx, wanted)
    record(loginEvent('auth.login', request.origin, signer, PAGES_CLIENT, session))
    return { token: tokens.accessToken, expiresIn: tokens.expiresIn }
  })
}

interface PasswordQuestion {
  readonly origin: Origin
  readonly client: ClientId
  readonly login: string
  readonly password: string
  /** Cookie of a browser that may be known to be the signer's. */
  readonly browser?: string
}

/**
 * What follows from the right password: that the row of failures ends, and what `then` does, in one transaction. An unknown
 * login, a suspended signer, one who has no password yet, a wrong password and an attempt that is not looked at take the
 * same path to the same answer: the same statements, one row written, one slow hash.
 * @throws ServiceError `login_failed`, `overloaded`, `unavailable`
 */
export async function withPassword<T>(
  services: LoginServices,
  question: PasswordQuestion,
  then: (tx: Tx, record: Record, signer: SignerId) => Promise<T>,
): Promise<T> {
  const { transactions, passwords, binding } = services
  const [signer] = await transactions.query<{ id: SignerId; password_hash: string | null; state: string }>(
    'select id, password_hash, state from paraph.signer where lower(login) = lower($1)',
    [question.login],
  )
  const id = signer?.id ?? nobody(binding, question.login)
  const { attempts, browser } = await transactions.transact(async (tx) => {
    const browser = await knownBrowser(tx, binding, id, question.browser)
    return { browser, attempts: await countGuess(tx, id, 'password', browser) }
  })
  const right = await passwords.verify(
    'password',
    attempts === undefined ? undefined : (signer?.password_hash ?? undefined),
    question.password,
  )
  if (!right || signer === undefined || signer.state !== 'active') {
    services.failures.note(loginFailed(question.origin, 'login_failed', question.client, signer?.id))
    throw new ServiceError('login_failed')
  }
  return transactions.transact(async (tx, record) => {
    await clearGuesses(tx, signer.id, 'password', browser)
    return then(tx, record, signer.id)
  })
}

function loginFailed(
  origin: Origin,
  why: ErrorCode,
  client?: ClientId,
  signer?: SignerId,
): AuditEvent<'auth.login_failed'> {
  return {
    type: 'auth.login_failed',
    outcome: 'refused',
    actor: { kind: 'anonymous' },
    origin,
    why,
    evidence: { ...(client === undefined ? {} : { client }), ...(signer === undefined ? {} : { signer }) },
  }
}

/**
 * A refresh token opens a new session, without authorizations, and is replaced. Used a second time it is somebody
 * else's copy: the whole family dies.
 * @throws ServiceError `refresh_token_unknown`
 */
export async function refresh(
  services: LoginServices,
  request: FrontVerbs['refresh']['request'],
): Promise<IssuedTokens> {
  let known: { signer_id: SignerId; client_id: ClientId } | undefined
  const outcome = await services.transactions.transact(async (tx, record) => {
    const { rows } = await tx.query(
      `update paraph.token t set used_at = coalesce(t.used_at, paraph.now())
         from (select hash, used_at from paraph.token where hash = $1 and kind = 'refresh' for update) was
        where t.hash = was.hash
       returning t.signer_id, t.client_id, t.family, was.used_at is not null as replayed,
         t.revoked_at is not null or t.expires_at <= paraph.now()
           or not exists (select from paraph.signer g where g.id = t.signer_id and g.state = 'active')
           or not exists (select from paraph.client l where l.id = t.client_id and l.state = 'active') as over`,
      [secretHash(request.refreshToken)],
    )
    const token = rows[0] as
      | { signer_id: SignerId; client_id: ClientId; family: string; replayed: boolean; over: boolean }
      | undefined
    known = token
    if (token === undefined || token.over) return undefined
    if (token.replayed) {
      await revokeFamily(tx, token.family)
      await endSessions(tx, record, { family: token.family }, 'refresh_token_replayed', request.origin)
      return undefined
    }
    const { session, tokens } = await startSession(tx, {
      signer: token.signer_id,
      client: token.client_id,
      scope: 'service',
      rememberMe: true,
      family: token.family,
    })
    record(loginEvent('auth.token_refreshed', request.origin, token.signer_id, token.client_id, session))
    return tokens
  })
  if (outcome === undefined) {
    services.failures.note(loginFailed(request.origin, 'refresh_token_unknown', known?.client_id, known?.signer_id))
    throw new ServiceError('refresh_token_unknown')
  }
  return outcome
}

export async function revokeFamily(tx: Tx, family: string): Promise<void> {
  await tx.query('update paraph.token set revoked_at = coalesce(revoked_at, paraph.now()) where family = $1', [family])
}

function loginEvent(
  type: 'auth.login' | 'auth.token_refreshed',
  origin: Origin,
  signer: SignerId,
  client: ClientId,
  session: string,
) {
  return {
    type,
    outcome: 'ok',
    actor: { kind: 'signer', id: signer },
    origin,
    evidence: { client, signer, session },
  } as const
}
