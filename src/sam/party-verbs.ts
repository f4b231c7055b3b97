import type { ClientAuth, ClientSummary, OperatorRole } from '../activation.js'
import { ServiceError } from '../errors.js'
import { assignSigner, unassignSigner } from '../identity/assignment.js'
import { type ClientAuthMethod, changeClient, insertClient } from '../identity/client.js'
import { BASIC_CLIENT, PAGES_CLIENT } from '../identity/login.js'
import { disableOperator, insertOperator, newOperatorId } from '../identity/operator.js'
import { newSecretValue, secretHash } from '../identity/secret-value.js'
import { type ClientId, newId } from '../ids.js'
import type { AdminHandlers } from './admin-services.js'
import { requireSigner } from './signer-verbs.js'

const AUTH_METHOD = {
  secret: 'client_secret',
  'private-key-jwt': 'private_key_jwt',
  tls: 'tls',
  none: 'none',
} as const satisfies Record<ClientAuth, ClientAuthMethod>

const BUILT_IN: readonly string[] = [BASIC_CLIENT, PAGES_CLIENT]

/** @throws ServiceError `not_allowed` for the clients that are part of the service */
function refuseBuiltIn(clientId: string): void {
  if (BUILT_IN.includes(clientId)) throw new ServiceError('not_allowed', { detail: 'it is part of the service' })
}

/** Signing applications. Whatever changes one binds its row anew. */
export const clientVerbs: AdminHandlers<
  | 'client.create'
  | 'client.change'
  | 'client.assign'
  | 'client.unassign'
  | 'client.list'
  | 'client.disable'
  | 'client.rotate'
> = {
  'client.create': async ({ transactions, binding }, actor, request) => {
    const { name, redirectUris = [], auth = 'secret', jwks, scopes = ['service', 'credential'] } = request
    if ((jwks !== undefined) !== (auth === 'private-key-jwt' || auth === 'tls')) {
      throw new ServiceError('not_allowed', { detail: 'keys are for private-key-jwt and tls, and those need them' })
    }
    const clientId = newId<ClientId>()
    const clientSecret = auth === 'secret' ? newSecretValue() : undefined
    await transactions.transact(async (tx, record) => {
      await insertClient(tx, binding, {
        id: clientId,
        name,
        secret_hash: clientSecret === undefined ? null : secretHash(clientSecret),
        redirect_uris: redirectUris,
        state: 'active',
        auth_method: AUTH_METHOD[auth],
        jwks: jwks ?? null,
        scopes,
        version: 1,
      })
      record({ type: 'client.created', outcome: 'ok', actor, evidence: { client: clientId } })
    })
    return { clientId, ...(clientSecret === undefined ? {} : { clientSecret }) }
  },

  'client.change': async ({ transactions, binding }, actor, { clientId, name, redirectUris, jwks, scopes }) => {
    refuseBuiltIn(clientId)
    await transactions.transact(async (tx, record) => {
      await changeClient(tx, binding, clientId, (before) => {
        if (jwks !== undefined && before.jwks === null) {
          throw new ServiceError('not_allowed', { detail: 'this client has no keys' })
        }
        return {
          ...(name === undefined ? {} : { name }),
          ...(redirectUris === undefined ? {} : { redirect_uris: redirectUris }),
          ...(jwks === undefined ? {} : { jwks }),
          ...(scopes === undefined ? {} : { scopes }),
        }
      })
      record({ type: 'client.changed', outcome: 'ok', actor, evidence: { client: clientId } })
    })
    return {}
  },

  'client.assign': async ({ transactions, binding }, actor, { clientId, signer: who }) => {
    refuseBuiltIn(clientId)
    await transactions.transact(async (tx, record) => {
      const signer = await requireSigner(tx, who)
      const client = await tx.query('select from paraph.client where id = $1', [clientId])
      if (client.rowCount === 0) throw new ServiceError('not_found', { detail: 'no such client' })
      if (!(await assignSigner(tx, binding, clientId as ClientId, signer.id))) {
        throw new ServiceError('already_exists', { detail: 'the signer is assigned already' })
      }
      record({
        type: 'client.changed',
        outcome: 'ok',
        actor,
        facts: { signers: 'assigned' },
        evidence: { client: clientId },
      })
    })
    return {}
  },

  'client.unassign': async ({ transactions }, actor, { clientId, signer: who }) => {
    await transactions.transact(async (tx, record) => {
      const signer = await requireSigner(tx, who)
      if (!(await unassignSigner(tx, clientId as ClientId, signer.id))) {
        throw new ServiceError('not_found', { detail: 'the signer is not assigned to that client' })
      }
      record({
        type: 'client.changed',
        outcome: 'ok',
        actor,
        facts: { signers: 'unassigned' },
        evidence: { client: clientId },
      })
    })
    return {}
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

  'client.disable': async ({ transactions, binding }, actor, { clientId }) => {
    if (clientId === BASIC_CLIENT) {
      throw new ServiceError('not_allowed', { detail: 'password login is switched off with PARAPH_BASIC_LOGIN' })
    }
    refuseBuiltIn(clientId)
    await transactions.transact(async (tx, record) => {
      await changeClient(tx, binding, clientId, ({ state }) => {
        if (state !== 'active') throw new ServiceError('not_found', { detail: 'no such active client' })
        return { state: 'disabled' }
      })
      // What the OAuth 2 server keeps for it: codes, pushed requests, refresh tokens.
      await tx.query('delete from paraph.oauth where client_id = $1', [clientId])
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

  'client.rotate': async ({ transactions, binding }, actor, { clientId }) => {
    const clientSecret = newSecretValue()
    await transactions.transact(async (tx, record) => {
      await changeClient(tx, binding, clientId, ({ secret_hash }) => {
        if (secret_hash === null) throw new ServiceError('not_found', { detail: 'no such client with a secret' })
        return { secret_hash: secretHash(clientSecret) }
      })
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
