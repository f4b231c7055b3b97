import { randomBytes } from 'node:crypto'
import type { SignerSummary } from '../activation.js'
import type { Actor } from '../audit/event.js'
import type { Tx } from '../audit/transaction-log.js'
import { ServiceError } from '../errors.js'
import { maskedAddress } from '../identity/delivered-code.js'
import { closeFactor, FACTOR_COLUMNS, type Factor, factorAssociatedData, insertFactor } from '../identity/factor.js'
import { clearGuesses } from '../identity/guess.js'
import { cancelInvitations, invite, vouchFor } from '../identity/invitation.js'
import { codeUri, newCodeSecret } from '../identity/one-time-code.js'
import { sendReplacementNotice } from '../identity/replacement-notice.js'
import { endSessions, revokeTokens } from '../identity/session.js'
import { type FactorId, isUuid, newId, type OperatorId, type SignerId } from '../ids.js'
import type { AdminHandlers, AdminServices } from './admin-services.js'

export interface SignerRow {
  readonly id: SignerId
  readonly login: string
  readonly name: string
  readonly state: 'active' | 'suspended'
}

/** Where a signer is told of what concerns the account. */
interface Contact {
  readonly email: string | null
  readonly phone: string | null
}

/** By login or id. @throws ServiceError `not_found` */
export async function requireSigner(db: Pick<Tx, 'query'>, who: string): Promise<SignerRow> {
  const { rows } = await db.query<SignerRow>(
    `select id, login, name, state from paraph.signer where ${isUuid(who) ? 'id = $1' : 'lower(login) = lower($1)'}`,
    [who],
  )
  const [signer] = rows
  if (signer === undefined) throw new ServiceError('not_found', { detail: 'no such signer' })
  return signer
}

const newPassword = () => randomBytes(12).toString('base64url')

/** In production nobody but the signer may know a password: a file brings it. */
function requirePassword(services: AdminServices, given: string | undefined): string {
  if (given === undefined && !services.demo) {
    throw new ServiceError('not_allowed', {
      detail: 'outside the demo a password is not made up and printed: give a file with --password-file',
    })
  }
  return given ?? newPassword()
}

/** What the signer was enrolled with. @throws ServiceError `not_allowed` */
async function requireAddress(services: AdminServices, signer: SignerId, kind: 'sms' | 'email'): Promise<string> {
  const { rows } = await services.pool.query<{ address: string | null }>(
    `select ${kind === 'sms' ? 'phone' : 'email'} as address from paraph.signer where id = $1`,
    [signer],
  )
  const address = rows[0]?.address
  if (address) return address
  const option = kind === 'sms' ? '--phone' : '--email'
  throw new ServiceError('not_allowed', {
    detail: `the signer was enrolled without an address: see signer create ${option}`,
  })
}

/**
 * One of a kind; and outside a demo an operator adds only the first factor a signer ever has, since whoever adds another can
 * sign in the signer's place. @throws ServiceError `not_allowed`, `already_exists`
 */
async function requireMayAdd(tx: Tx, signer: SignerId, kind: 'sms' | 'email', demo: boolean): Promise<void> {
  await tx.query('select from paraph.signer where id = $1 for update', [signer])
  const { rows } = await tx.query<{ any: boolean; same: boolean }>(
    `select count(*) > 0 as any, coalesce(bool_or(kind = $2 and state = 'active'), false) as same
       from paraph.factor where signer_id = $1`,
    [signer, kind],
  )
  const { any = true, same = true } = rows[0] ?? {}
  if (same) throw new ServiceError('already_exists', { detail: `the signer has codes by ${kind} already` })
  if (any && !demo) {
    throw new ServiceError('not_allowed', {
      detail:
        'outside the demo an operator adds only the first factor of a signer: further ones take one that is there',
    })
  }
}

async function setState(
  services: AdminServices,
  actor: Actor,
  who: string,
  state: 'active' | 'suspended',
): Promise<Record<string, never>> {
  await services.transactions.transact(async (tx, record) => {
    const signer = await requireSigner(tx, who)
    const { rowCount } = await tx.query('update paraph.signer set state = $2 where id = $1 and state <> $2', [
      signer.id,
      state,
    ])
    if (rowCount === 0) throw new ServiceError('not_allowed', { detail: `the signer is ${state}` })
    const type = state === 'active' ? 'signer.resumed' : 'signer.suspended'
    record({ type, outcome: 'ok', actor, evidence: { signer: signer.id } })
    if (state === 'suspended') {
      await revokeTokens(tx, signer.id)
      await endSessions(tx, record, { signer: signer.id }, 'signer_suspended', undefined)
    }
  })
  return {}
}

export const signerVerbs: AdminHandlers<
  | 'signer.create'
  | 'signer.list'
  | 'signer.suspend'
  | 'signer.resume'
  | 'signer.unlock'
  | 'signer.resetPassword'
  | 'signer.inviteReset'
  | 'authenticator.enrol'
  | 'authenticator.enrolDelivered'
  | 'authenticator.invite'
  | 'authenticator.vouch'
  | 'authenticator.cancel'
  | 'authenticator.list'
  | 'authenticator.revoke'
> = {
  'signer.create': async (services, actor, request) => {
    // Outside the demo a signer without a password sets it with the first link.
    const password = request.password ?? (services.demo ? newPassword() : undefined)
    const hash = password === undefined ? null : await services.passwords.hash('password', password)
    const id = newId<SignerId>()
    await services.transactions.transact(async (tx, record) => {
      await tx.query(
        'insert into paraph.signer (id, login, name, phone, email, password_hash) values ($1, $2, $3, $4, $5, $6)',
        [id, request.login, request.name, request.phone ?? null, request.email ?? null, hash],
      )
      record({ type: 'signer.enrolled', outcome: 'ok', actor, evidence: { signer: id } })
    })
    return {
      signerId: id,
      login: request.login,
      ...(request.password === undefined && password !== undefined ? { password } : {}),
    }
  },

  'signer.list': async ({ pool }) => {
    const { rows } = await pool.query<SignerRow & { locked: boolean }>(
      `select g.id, g.login, g.name, g.state,
              exists (select from paraph.guess q where q.signer_id = g.id and q.blocked_until > paraph.now()) as locked
         from paraph.signer g order by lower(g.login)`,
    )
    const signers: SignerSummary[] = rows.map(({ id, login, name, state, locked }) => ({
      signerId: id,
      login,
      name,
      state,
      locked,
    }))
    return { signers }
  },

  'signer.suspend': (services, actor, { signer }) => setState(services, actor, signer, 'suspended'),
  'signer.resume': (services, actor, { signer }) => setState(services, actor, signer, 'active'),

  'signer.unlock': async (services, actor, request) => {
    await services.transactions.transact(async (tx, record) => {
      const signer = await requireSigner(tx, request.signer)
      await clearGuesses(tx, signer.id, 'password')
      await clearGuesses(tx, signer.id, 'factor')
      record({ type: 'signer.unlocked', outcome: 'ok', actor, evidence: { signer: signer.id } })
    })
    return {}
  },

  'signer.resetPassword': async (services, actor, request) => {
    const password = requirePassword(services, request.password)
    const hash = await services.passwords.hash('password', password)
    await services.transactions.transact(async (tx, record) => {
      const signer = await requireSigner(tx, request.signer)
      await tx.query('update paraph.signer set password_hash = $2 where id = $1', [signer.id, hash])
      await revokeTokens(tx, signer.id)
      await clearGuesses(tx, signer.id, 'password')
      record({ type: 'signer.password_set', outcome: 'ok', actor, evidence: { signer: signer.id } })
      await endSessions(tx, record, { signer: signer.id }, 'password_set', undefined)
    })
    return request.password === undefined ? { password } : {}
  },

  'signer.inviteReset': async (services, actor, request) => {
    return services.transactions.transact(async (tx, record) => {
      const signer = await requireSigner(tx, request.signer)
      const { rows } = await tx.query(
        `select 1 from paraph.factor where signer_id = $1 and kind = 'totp' and state = 'active' limit 1`,
        [signer.id],
      )
      if (rows.length === 0) {
        throw new ServiceError('not_allowed', {
          detail: 'a new password takes a code, and this signer has no authenticator: paraph authenticator enrol',
        })
      }
      const wanted = { signer: signer.id, setsPassword: true, enrols: false, replaces: false }
      const { token } = await invite(tx, record, services.binding, actor, {
        ...wanted,
        operator: actor.id as OperatorId,
      })
      return { link: token }
    })
  },

  'authenticator.enrol': async (services, actor, request) => {
    if (!services.demo) {
      throw new ServiceError('not_allowed', {
        detail: 'outside the demo a secret is shown to its signer only: invite the signer, and hand on the link',
      })
    }
    const signer = await requireSigner(services.pool, request.signer)
    const algorithm = request.algorithm ?? 'SHA1'
    const secret = newCodeSecret(algorithm)
    const id = newId<FactorId>()
    const identity = { id, signer_id: signer.id, kind: 'totp', generation: 1 } as const
    const sealed = await services.hsm.seal(Buffer.from(secret), factorAssociatedData(identity))
    await services.transactions.transact(async (tx, record) => {
      await insertFactor(tx, services.binding, {
        ...identity,
        algorithm,
        sealed_secret: sealed,
        demo: true,
        last_step: 0,
      })
      record({
        type: 'factor.enrolled',
        outcome: 'ok',
        actor,
        facts: { kind: 'totp', demo: 1 },
        evidence: { signer: signer.id, factor: id },
      })
    })
    return { authenticatorId: id, uri: codeUri(secret, signer.login, algorithm), secret }
  },

  'authenticator.enrolDelivered': async (services, actor, { signer: who, kind }) => {
    if (!services.delivery.has(kind)) {
      const setting = kind === 'sms' ? 'PARAPH_SMS_URL' : 'PARAPH_SMTP_URL'
      throw new ServiceError('not_allowed', { detail: `nothing delivers by ${kind}: set ${setting} for the workers` })
    }
    const signer = await requireSigner(services.pool, who)
    const address = await requireAddress(services, signer.id, kind)
    const identity = { id: newId<FactorId>(), signer_id: signer.id, kind, generation: 1 } as const
    const sealed = await services.hsm.seal(Buffer.from(address), factorAssociatedData(identity))
    const label = maskedAddress(kind, address)
    await services.transactions.transact(async (tx, record) => {
      await requireMayAdd(tx, signer.id, kind, services.demo)
      await insertFactor(tx, services.binding, {
        ...identity,
        ...{ algorithm: null, sealed_secret: sealed, demo: services.demo, last_step: 0, label },
      })
      record({
        type: 'factor.enrolled',
        outcome: 'ok',
        actor,
        facts: { kind, demo: services.demo ? 1 : 0 },
        evidence: { signer: signer.id, factor: identity.id },
      })
    })
    return { authenticatorId: identity.id, sentTo: label }
  },

  'authenticator.invite': async (services, actor, request) => {
    const { signer, token, usableFrom, replaces } = await services.transactions.transact(async (tx, record) => {
      const { id } = await requireSigner(tx, request.signer)
      const { rows } = await tx.query<
        { has_password: boolean; has_factor: boolean } & Pick<Contact, 'email' | 'phone'>
      >(
        `select g.password_hash is not null as has_password, g.email, g.phone,
                exists (select from paraph.factor f where f.signer_id = g.id) as has_factor
           from paraph.signer g where g.id = $1 for update`,
        [id],
      )
      const { has_password = true, has_factor: replaces = true, email = null, phone = null } = rows[0] ?? {}
      const { token, usableFrom } = await invite(tx, record, services.binding, actor, {
        signer: id,
        setsPassword: !has_password,
        enrols: true,
        replaces,
        operator: actor.id as OperatorId,
      })
      return { signer: { id, email, phone }, token, usableFrom, replaces }
    })
    const noticed = replaces ? await sendReplacementNotice(services, signer, usableFrom) : []
    if (noticed.length > 0) {
      await services.transactions.append({
        type: 'signer.notified',
        outcome: 'ok',
        actor: { kind: 'system' },
        facts: { channels: noticed.join(' ') },
        evidence: { signer: signer.id },
      })
    }
    return { link: token, usableFrom: usableFrom.toISOString(), noticed }
  },

  'authenticator.vouch': async (services, actor, request) => {
    await services.transactions.transact(async (tx, record) => {
      const signer = await requireSigner(tx, request.signer)
      await vouchFor(tx, record, services.binding, actor.id as OperatorId, signer.id)
    })
    return {}
  },

  'authenticator.cancel': async (services, actor, request) => {
    return services.transactions.transact(async (tx, record) => {
      const signer = await requireSigner(tx, request.signer)
      const cancelled = await cancelInvitations(tx, services.binding, signer.id)
      if (cancelled > 0) {
        record({
          type: 'signer.invited',
          outcome: 'refused',
          actor,
          why: 'cancelled',
          evidence: { signer: signer.id },
        })
      }
      return { cancelled }
    })
  },

  'authenticator.list': async ({ pool }, _actor, request) => {
    const signer = await requireSigner(pool, request.signer)
    const { rows } = await pool.query<Factor & { created_at: Date; label: string | null }>(
      `select ${FACTOR_COLUMNS}, created_at, label from paraph.factor where signer_id = $1 order by created_at`,
      [signer.id],
    )
    return {
      authenticators: rows.map(({ id, kind, label, state, demo, created_at }) => ({
        authenticatorId: id,
        signer: signer.login,
        kind,
        ...(label === null ? {} : { label }),
        state,
        demo,
        createdAt: created_at.toISOString(),
      })),
    }
  },

  'authenticator.revoke': async (services, actor, { authenticatorId }) => {
    await services.transactions.transact(async (tx, record) => {
      const { rows } = await tx.query<Factor>(
        `select ${FACTOR_COLUMNS} from paraph.factor where id = $1 and state = 'active' for update`,
        [authenticatorId],
      )
      const [factor] = rows
      if (factor === undefined) throw new ServiceError('not_found', { detail: 'no such active authenticator' })
      await closeFactor(tx, services.binding, factor, 'revoked')
      record({
        type: 'factor.revoked',
        outcome: 'ok',
        actor,
        evidence: { signer: factor.signer_id, factor: factor.id },
      })
      await revokeTokens(tx, factor.signer_id)
      await endSessions(tx, record, { signer: factor.signer_id }, 'factor_revoked', undefined)
    })
    return {}
  },
}
