import type { CredentialSummary, PolicyArguments } from '../activation.js'
import type { Actor } from '../audit/event.js'
import { bindCertificate } from '../credentials/bind-certificate.js'
import { changePolicy } from '../credentials/change-policy.js'
import { changeState } from '../credentials/change-state.js'
import { createCredential } from '../credentials/create-credential.js'
import type { Credential } from '../credentials/credential.js'
import { readCredential } from '../credentials/credential-store.js'
import { type CredentialPolicy, policyOf } from '../credentials/policy.js'
import { MULTISIGN } from '../credentials/profile.js'
import { ServiceError } from '../errors.js'
import type { CredentialId } from '../ids.js'
import { parseChain } from '../pki/certificate.js'
import { toPem } from '../pki/pem.js'
import type { AdminHandlers, AdminServices } from './admin-services.js'
import { certify } from './certify.js'
import { requireSigner } from './signer-verbs.js'

const pemRequest = ({ request }: Credential) =>
  request === null ? {} : { request: toPem('CERTIFICATE REQUEST', request) }

async function changed(
  services: AdminServices,
  actor: Actor,
  id: string,
  change: 'suspend' | 'resume' | 'revoke',
): Promise<Record<string, never>> {
  await changeState(services, actor, id as CredentialId, change)
  return {}
}

/** @throws ServiceError `not_allowed` for what only makes sense with a whole session, `not_found` for a client nobody made */
async function requirePolicy(services: AdminServices, given: PolicyArguments): Promise<CredentialPolicy> {
  const { factors, clients, sessionWide, sessionCeiling, sessionClients } = given
  if (sessionWide !== true && (sessionCeiling !== undefined || sessionClients !== undefined)) {
    throw new ServiceError('not_allowed', { detail: 'a ceiling and clients of a session belong to --session-wide' })
  }
  const named = [...(clients ?? []), ...(sessionClients ?? [])]
  const { rows } = await services.pool.query<{ id: string }>('select id from paraph.client where id = any ($1)', [
    named,
  ])
  if (named.some((name) => !rows.some(({ id }) => id === name))) {
    throw new ServiceError('not_found', { detail: 'no such client' })
  }
  const session = {
    ...(sessionCeiling === undefined ? {} : { ceiling: sessionCeiling }),
    ...(sessionClients === undefined ? {} : { clients: sessionClients }),
  }
  return {
    ...(factors === undefined ? {} : { factors }),
    ...(clients === undefined ? {} : { clients }),
    ...(sessionWide === true ? { session } : {}),
  }
}

function policyArguments(credential: Credential): PolicyArguments & { sessionWide: boolean } {
  const { factors, clients, session } = policyOf(credential)
  return {
    ...(factors === undefined ? {} : { factors: [...factors] }),
    ...(clients === undefined ? {} : { clients: [...clients] }),
    sessionWide: credential.session_wide,
    ...(session?.ceiling === undefined ? {} : { sessionCeiling: session.ceiling }),
    ...(session?.clients === undefined ? {} : { sessionClients: [...session.clients] }),
  }
}

function summary(credential: Credential, signer: string, now: number): CredentialSummary {
  const { not_after } = credential
  const expired = credential.state === 'active' && not_after !== null && not_after.getTime() < now
  return {
    credentialID: credential.id,
    signer,
    key: credential.spec,
    state: expired ? 'expired' : credential.state,
    scal: credential.scal,
    multisign: credential.multisign,
    ...policyArguments(credential),
    pin: credential.pin_hash !== null,
    ...(credential.subject_dn === null ? {} : { subject: credential.subject_dn }),
    ...(credential.serial_number === null ? {} : { serialNumber: credential.serial_number }),
    ...(not_after === null ? {} : { notAfter: not_after.toISOString() }),
  }
}

export const credentialVerbs: AdminHandlers<
  | 'credential.create'
  | 'credential.list'
  | 'credential.show'
  | 'credential.policy'
  | 'credential.suspend'
  | 'credential.resume'
  | 'credential.revoke'
  | 'credential.import'
  | 'credential.renew'
> = {
  'credential.create': async (services, actor, request) => {
    const signer = await requireSigner(services.pool, request.signer)
    const policy = await requirePolicy(services, request)
    const { ca } = services
    const pending = await createCredential(
      services,
      { actor },
      {
        signer,
        spec: request.key,
        scal: request.scal ?? '2',
        multisign: request.multisign ?? MULTISIGN,
        sessionWide: request.sessionWide ?? false,
        policy,
        pin: request.pin,
        description: request.description,
      },
    )
    const credential = ca === undefined ? pending : await certify(services, ca, actor, pending)
    return {
      credentialID: credential.id,
      state: credential.state,
      ...(credential.state === 'pending' ? pemRequest(credential) : {}),
    }
  },

  'credential.list': async ({ pool, clock }, _actor, request) => {
    const signer = request.signer === undefined ? undefined : await requireSigner(pool, request.signer)
    const { rows } = await pool.query<Credential & { login: string }>(
      `select c.*, g.login from paraph.credential c join paraph.signer g on g.id = c.signer_id
        where $1::uuid is null or c.signer_id = $1 order by lower(g.login), c.created_at`,
      [signer?.id ?? null],
    )
    return { credentials: rows.map((row) => summary(row, row.login, clock.now())) }
  },

  'credential.show': async ({ pool, binding, clock }, _actor, { credentialID }) => {
    const credential = await readCredential(pool, binding, credentialID as CredentialId)
    if (credential === undefined) throw new ServiceError('not_found', { detail: 'no such credential' })
    const signer = await requireSigner(pool, credential.signer_id)
    return {
      ...summary(credential, signer.login, clock.now()),
      certificates: credential.chain.map((der) => toPem('CERTIFICATE', der)),
    }
  },

  'credential.policy': async (services, actor, { credentialID, ...given }) => {
    const policy = await requirePolicy(services, given)
    const change = { sessionWide: given.sessionWide ?? false, policy }
    return policyArguments(await changePolicy(services, actor, credentialID as CredentialId, change))
  },

  'credential.suspend': (services, actor, { credentialID }) => changed(services, actor, credentialID, 'suspend'),
  'credential.resume': (services, actor, { credentialID }) => changed(services, actor, credentialID, 'resume'),
  'credential.revoke': (services, actor, { credentialID }) => changed(services, actor, credentialID, 'revoke'),

  'credential.import': async (services, actor, { credentialID, chain }) => {
    const { state } = await bindCertificate(services, actor, credentialID as CredentialId, parseChain(chain))
    return { state }
  },

  'credential.renew': async (services, actor, { credentialID }) => {
    const credential = await readCredential(services.pool, services.binding, credentialID as CredentialId)
    if (credential === undefined) throw new ServiceError('not_found', { detail: 'no such credential' })
    if (services.ca === undefined) return { state: credential.state, ...pemRequest(credential) }
    const { state } = await certify(services, services.ca, actor, credential)
    return { state }
  },
}
