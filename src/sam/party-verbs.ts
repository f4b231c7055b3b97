import type { ClientSummary, OperatorRole } from '../activation.js'
import { ServiceError } from '../errors.js'
import { BASIC_CLIENT } from '../identity/login.js'
import { disableOperator, insertOperator, newOperatorId } from '../identity/operator.js'
import { newSecretValue, secretHash } from '../identity/secret-value.js'
import { newId } from '../ids.js'
import type { AdminHandlers } from './admin-services.js'

/** Signing applications that bring a secret of their own. */
export const clientVerbs: AdminHandlers<'client.create' | 'client.list' | 'client.disable' | 'client.rotate'> = {
  'client.create': async ({ transactions }, actor, request) => {
    const clientId = newId<string>()
    const clientSecret = newSecretValue()
    await transactions.transact(async (tx, record) => {
      await tx.query('insert into paraph.client (id, name, secret_hash, redirect_uris) values ($1, $2, $3, $4)', [
        clientId,
        request.name,
        secretHash(clientSecret),
        request.redirectUri === undefined ? [] : [request.redirectUri],
      ])
      record({ type: 'client.created', outcome: 'ok', actor, evidence: { client: clientId } })
    })
    return { clientId, clientSecret }
  },

  'client.list': async ({ pool }) => {
    const { rows } = await pool.query<{
      id: string
      name: string
      state: ClientSummary['state']
      redirect_uris: string[]
    }>('select id, name, state, redirect_uris from paraph.client order by created_at')
    return {
      clients: rows.map(({ id, name, state, redirect_uris }) => ({
        clientId: id,
        name,
        state,
        redirectUris: redirect_uris,
      })),
    }
  },

  'client.disable': async ({ transactions }, actor, { clientId }) => {
    if (clientId === BASIC_CLIENT) {
      throw new ServiceError('not_allowed', { detail: 'password login is switched off with PARAPH_BASIC_LOGIN' })
    }
    await transactions.transact(async (tx, record) => {
      const { rowCount } = await tx.query(
        `update paraph.client set state = 'disabled' where id = $1 and state = 'active'`,
        [clientId],
      )
      if (rowCount === 0) throw new ServiceError('not_found', { detail: 'no such active client' })
      const { rows } = await tx.query<{ id: string }>(
        `update paraph.session set ended_at = paraph.now(), ended_why = 'client_disabled'
          where client_id = $1 and ended_at is null and ends_at > paraph.now() returning id`,
        [clientId],
      )
      for (const { id } of rows) await tx.query(`select pg_notify('paraph_session', $1)`, [id])
      record({
        type: 'client.disabled',
        outcome: 'ok',
        actor,
        facts: { sessions: rows.length },
        evidence: { client: clientId },
      })
    })
    return {}
  },

  'client.rotate': async ({ transactions }, actor, { clientId }) => {
    const clientSecret = newSecretValue()
    await transactions.transact(async (tx, record) => {
      const { rowCount } = await tx.query(
        'update paraph.client set secret_hash = $2 where id = $1 and secret_hash is not null',
        [clientId, secretHash(clientSecret)],
      )
      if (rowCount === 0) throw new ServiceError('not_found', { detail: 'no such client with a secret' })
      record({ type: 'client.rotated', outcome: 'ok', actor, evidence: { client: clientId } })
    })
    return { clientSecret }
  },
}

export const operatorVerbs: AdminHandlers<'operator.create' | 'operator.list' | 'operator.disable'> = {
  'operator.create': async ({ transactions, binding, clock }, actor, { name, role }) => {
    const operator = { id: newOperatorId(clock.now()), name, role }
    const { token } = await transactions.transact(async (tx, record) => {
      record({ type: 'operator.created', outcome: 'ok', actor, facts: { role }, evidence: { operator: operator.id } })
      return insertOperator(tx, binding, operator)
    })
    return { operatorId: operator.id, token }
  },

  'operator.list': async ({ pool }) => {
    const { rows } = await pool.query<{ id: string; name: string; role: OperatorRole; disabled_at: Date | null }>(
      'select id, name, role, disabled_at from paraph.operator order by created_at',
    )
    return {
      operators: rows.map(({ id, name, role, disabled_at }) => ({
        operatorId: id,
        name,
        role,
        state: disabled_at === null ? ('active' as const) : ('disabled' as const),
      })),
    }
  },

  'operator.disable': async ({ transactions, binding }, actor, { operatorId }) => {
    await transactions.transact(async (tx, record) => {
      await disableOperator(tx, binding, operatorId)
      record({ type: 'operator.disabled', outcome: 'ok', actor, evidence: { operator: operatorId } })
    })
    return {}
  },
}
