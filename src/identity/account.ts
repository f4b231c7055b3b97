import type { FrontVerbs, Origin } from '../activation.js'
import type { AuditEvent } from '../audit/event.js'
import type { Record, Tx } from '../audit/transaction-log.js'
import { ServiceError } from '../errors.js'
import type { SignerId } from '../ids.js'
import { type Caller, callerOf, TOKEN_COLUMNS, TOKEN_JOINS, type TokenRow } from './caller.js'
import { closeFactor, FACTOR_COLUMNS, type Factor } from './factor.js'
import { cancelInvitations, invite, liveInvitations } from './invitation.js'
import { type LoginServices, PAGES_CLIENT, withPassword } from './login.js'
import { requirePassword } from './password.js'
import {
  findRecoveryCode,
  newRecoveryCodes,
  plainRecoveryCode,
  replaceRecoveryCodes,
  useRecoveryCode,
} from './recovery-code.js'
import { secretHash } from './secret-value.js'
import { endSessions, revokeTokens } from './session.js'
import {
  type FactorMatch,
  type FactorQuestion,
  type FactorServices,
  matchOneTimeCode,
  verifyFactors,
} from './verify-factors.js'

/** Scope of a token of our own pages. */
const PAGES_SCOPE = 'pages'

/** Whoever is signed in to our pages with this token. @throws ServiceError `token_unknown`, `token_expired`, `scope_missing` */
export async function requirePageCaller(tx: Pick<Tx, 'query'>, bearer: string): Promise<Caller> {
  const { rows } = await tx.query<TokenRow>(
    `select ${TOKEN_COLUMNS} from paraph.token t ${TOKEN_JOINS} where t.hash = $1`,
    [secretHash(bearer)],
  )
  const caller = callerOf(rows[0])
  if (typeof caller === 'string') throw new ServiceError(caller)
  if (caller.scope !== PAGES_SCOPE) throw new ServiceError('scope_missing')
  return caller
}

/** What a signer sees of the own account. @throws ServiceError as `requirePageCaller` */
export async function readAccount(
  services: FactorServices,
  { bearer }: FrontVerbs['account']['request'],
): Promise<FrontVerbs['account']['response']> {
  return services.transactions.transact(async (tx) => {
    const { signerId, sessionId } = await requirePageCaller(tx, bearer)
    const signer = await tx.query<{ login: string; name: string }>(
      'select login, name from paraph.signer where id = $1',
      [signerId],
    )
    const factors = await tx.query<{ id: string; kind: Factor['kind']; label: string | null; created_at: Date }>(
      `select id, kind, label, created_at from paraph.factor where signer_id = $1 and state = 'active' order by created_at`,
      [signerId],
    )
    const codes = await tx.query<{ left: number }>(
      'select count(*)::int as left from paraph.recovery_code where signer_id = $1 and used_at is null',
      [signerId],
    )
    const sessions = await tx.query<{ id: string; client: string; ends_at: Date; remembered: boolean; left: number }>(
      `select s.id, c.name as client, s.ends_at, s.remembered, coalesce((select sum(a.total - a.used)
          from paraph.authorization a where a.session_id = s.id and a.revoked_at is null and a.expires_at > paraph.now()), 0)::int as left
         from paraph.session s join paraph.client c on c.id = s.client_id
        where s.signer_id = $1 and s.ended_at is null and s.ends_at > paraph.now() order by s.started_at`,
      [signerId],
    )
    const [link] = await liveInvitations(tx, services.binding, signerId)
    return {
      login: signer.rows[0]?.login ?? '',
      name: signer.rows[0]?.name ?? '',
      authenticators: factors.rows.map(({ id, kind, label, created_at }) => ({
        id,
        kind,
        createdAt: created_at.toISOString(),
        ...(label === null ? {} : { label }),
      })),
      recoveryCodesLeft: codes.rows[0]?.left ?? 0,
      sessions: sessions.rows.map(({ id, client, ends_at, remembered, left }) => ({
        id,
        client,
        endsAt: ends_at.toISOString(),
        remembered,
        signaturesLeft: left,
        own: id === sessionId,
      })),
      ...(link === undefined ? {} : { replacementFrom: link.usable_from.toISOString() }),
    }
  })
}

interface FactorRequest {
  readonly origin: Origin
  readonly bearer: string
  readonly code: string
  readonly browser?: string
}

/**
 * A change of the own account that takes a one-time code: nothing of the signer's factors, password or recovery codes
 * changes without one. @throws ServiceError as `requirePageCaller` and `verifyFactors`
 */
export async function withCode<T>(
  services: FactorServices,
  request: FactorRequest,
  then: (tx: Tx, record: Record, caller: Caller) => Promise<T | ServiceError>,
): Promise<T> {
  const caller = await services.transactions.transact((tx) => requirePageCaller(tx, request.bearer))
  const common = {
    actor: { kind: 'signer', id: caller.signerId },
    origin: request.origin,
    evidence: { client: caller.clientId, signer: caller.signerId, session: caller.sessionId },
  } as const satisfies Partial<AuditEvent>
  const question = {
    signer: caller.signerId,
    match: () => matchOneTimeCode(services, caller.signerId, request.code),
    pin: '',
    pinHash: null,
    ...(request.browser === undefined ? {} : { browser: request.browser }),
    denied: (why: string): AuditEvent => ({ ...common, type: 'factor.failed', outcome: 'refused', why }),
  }
  return verifyFactors(services, question, async (tx, record, { factor }) => {
    record({ ...common, type: 'factor.verified', outcome: 'ok', evidence: { ...common.evidence, factor } })
    return then(tx, record, caller)
  })
}

/** Sets another password; every other login ends. @throws ServiceError `password_weak`, and as `withCode` */
export async function changePassword(
  services: FactorServices,
  request: FrontVerbs['changePassword']['request'],
): Promise<void> {
  const { login } = await readAccount(services, request)
  const hash = await services.passwords.hash('password', requirePassword(request.password, login))
  await withCode(services, request, async (tx, record, { signerId, sessionId }) => {
    await tx.query('update paraph.signer set password_hash = $2 where id = $1', [signerId, hash])
    record({ type: 'signer.password_set', outcome: 'ok', ...ofSigner(signerId, request.origin) })
    await revokeTokens(tx, signerId, sessionId)
    await endSessions(tx, record, { signer: signerId, but: sessionId }, 'password_changed', request.origin)
  })
}

/** New recovery codes, told this once; the old ones are worth nothing. @throws ServiceError as `withCode` */
export async function renewRecoveryCodes(
  services: FactorServices,
  request: FrontVerbs['renewRecoveryCodes']['request'],
): Promise<FrontVerbs['renewRecoveryCodes']['response']> {
  const codes = await newRecoveryCodes(services.passwords)
  await withCode(services, request, async (tx, record, { signerId }) => {
    await replaceRecoveryCodes(tx, services.binding, signerId, codes)
    record({
      type: 'factor.enrolled',
      outcome: 'ok',
      actor: { kind: 'signer', id: signerId },
      origin: request.origin,
      facts: { kind: 'recovery', demo: 0 },
      evidence: { signer: signerId },
    })
  })
  return { recoveryCodes: [...codes.codes] }
}

/** A link that enrols one more authenticator. @throws ServiceError as `withCode` */
export async function addAuthenticator(
  services: FactorServices,
  request: FrontVerbs['addAuthenticator']['request'],
): Promise<FrontVerbs['addAuthenticator']['response']> {
  return withCode(services, request, async (tx, record, { signerId }) => {
    const actor = { kind: 'signer', id: signerId } as const
    const wanted = { signer: signerId, setsPassword: false, enrols: true, replaces: false }
    const { token } = await invite(tx, record, services.binding, actor, wanted)
    return { link: token }
  })
}

/**
 * Takes an authenticator away; every login but this one ends.
 * @throws ServiceError `not_allowed` for the last app, `not_found`, and as `withCode`
 */
export async function removeAuthenticator(
  services: FactorServices,
  request: FrontVerbs['removeAuthenticator']['request'],
): Promise<void> {
  await withCode(services, request, async (tx, record, { signerId, sessionId }) => {
    const { rows } = await tx.query<Factor>(
      `select ${FACTOR_COLUMNS} from paraph.factor where signer_id = $1 and state = 'active' for update`,
      [signerId],
    )
    const factor = rows.find(({ id }) => id === request.authenticatorId)
    if (factor === undefined) return new ServiceError('not_found')
    // A change takes a code, so that without an authenticator app nothing could be changed any more.
    if (factor.kind === 'totp' && rows.filter(({ kind }) => kind === 'totp').length === 1) {
      return new ServiceError('not_allowed', { detail: 'the last authenticator app stays' })
    }
    await closeFactor(tx, services.binding, factor, 'revoked')
    record({
      type: 'factor.revoked',
      outcome: 'ok',
      actor: { kind: 'signer', id: signerId },
      origin: request.origin,
      evidence: { signer: signerId, factor: factor.id },
    })
    await revokeTokens(tx, signerId, sessionId)
    await endSessions(tx, record, { signer: signerId, but: sessionId }, 'factor_revoked', request.origin)
    return undefined
  })
}

/** Stops a link that an operator gave or that was asked for. Takes no code: an objection must never be hard. */
export async function cancelReplacement(
  services: FactorServices,
  request: FrontVerbs['cancelReplacement']['request'],
): Promise<void> {
  await services.transactions.transact(async (tx, record) => {
    const { signerId } = await requirePageCaller(tx, request.bearer)
    if ((await cancelInvitations(tx, services.binding, signerId)) === 0) return
    record({
      type: 'signer.invited',
      outcome: 'refused',
      why: 'cancelled',
      ...ofSigner(signerId, request.origin),
    })
  })
}

/**
 * Password and a recovery code, for whoever has lost every authenticator: a link that enrols a new one and ends the others.
 * @throws ServiceError `login_failed`, `code_locked`, `code_rejected`, `overloaded`, `unavailable`
 */
export async function recover(
  services: FactorServices & LoginServices,
  request: FrontVerbs['recover']['request'],
): Promise<FrontVerbs['recover']['response']> {
  const client = PAGES_CLIENT
  const signer = await withPassword(services, { ...request, client }, async (_tx, _record, id) => id)
  const denied = (why: string): AuditEvent => ({
    type: 'factor.failed',
    outcome: 'refused',
    actor: { kind: 'signer', id: signer },
    origin: request.origin,
    why,
    evidence: { client, signer },
  })
  const question: FactorQuestion = {
    signer,
    match: async (): Promise<FactorMatch | undefined> => {
      const code = await services.transactions.transact((tx) =>
        findRecoveryCode(tx, services.binding, signer, request.recoveryCode),
      )
      const right = await services.passwords.verify('recovery', code?.hash, plainRecoveryCode(request.recoveryCode))
      if (code === undefined || !right) return undefined
      return { factor: code.selector, kind: 'recovery', burn: (tx) => useRecoveryCode(tx, services.binding, code) }
    },
    pin: '',
    pinHash: null,
    ...(request.browser === undefined ? {} : { browser: request.browser }),
    denied,
  }
  return verifyFactors(services, question, async (tx, record) => {
    record({ type: 'signer.recovered', outcome: 'ok', ...ofSigner(signer, request.origin) })
    const actor = { kind: 'signer', id: signer } as const
    const wanted = { signer, setsPassword: false, enrols: true, replaces: true }
    const { token } = await invite(tx, record, services.binding, actor, wanted)
    return { link: token }
  })
}

const ofSigner = (signer: SignerId, origin: Origin) =>
  ({ actor: { kind: 'signer', id: signer }, origin, evidence: { signer } }) as const
