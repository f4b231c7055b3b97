import type { Tx } from '../audit/transaction-log.js'
import { ServiceError } from '../errors.js'
import { maskedAddress } from '../identity/delivered-code.js'
import { closeFactor, FACTOR_COLUMNS, type Factor, factorAssociatedData, insertFactor } from '../identity/factor.js'
import { cancelInvitations, invite, vouchFor } from '../identity/invitation.js'
import { codeUri, newCodeSecret } from '../identity/one-time-code.js'
import { sendReplacementNotice } from '../identity/replacement-notice.js'
import { endSessions, revokeTokens } from '../identity/session.js'
import { type FactorId, newId, type OperatorId, type SignerId } from '../ids.js'
import type { AdminHandlers, AdminServices } from './admin-services.js'
import { requireSigner } from './signer-verbs.js'

/** Where a signer is told of what concerns the account. */
interface Contact {
  readonly email: string | null
  readonly phone: string | null
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

/** What signers agree with, and the links that lead there. */
export const authenticatorVerbs: AdminHandlers<
  | 'authenticator.enrol'
  | 'authenticator.enrolDelivered'
  | 'authenticator.invite'
  | 'authenticator.vouch'
  | 'authenticator.cancel'
  | 'authenticator.list'
  | 'authenticator.revoke'
> = {
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
