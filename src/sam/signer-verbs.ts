import { randomBytes } from 'node:crypto'
import type { SignerSummary } from '../activation.js'
import type { Actor } from '../audit/event.js'
import type { Tx } from '../audit/transaction-log.js'
import { ServiceError } from '../errors.js'
import { clearGuesses } from '../identity/guess.js'
import { invite } from '../identity/invitation.js'
import { endSessions, revokeTokens } from '../identity/session.js'
import { isUuid, newId, type OperatorId, type SignerId } from '../ids.js'
import type { AdminHandlers, AdminServices } from './admin-services.js'

export interface SignerRow {
  readonly id: SignerId
  readonly login: string
  readonly name: string
  readonly state: 'active' | 'suspended'
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
}
