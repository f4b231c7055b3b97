import type { CredentialSummary } from '../activation.js'
import type { Actor } from '../audit/event.js'
import { bindCertificate } from '../credentials/bind-certificate.js'
import { changeState } from '../credentials/change-state.js'
import { createCredential } from '../credentials/create-credential.js'
import type { Credential } from '../credentials/credential.js'
import { readCredential } from '../credentials/credential-store.js'
import { ServiceError } from '../errors.js'
import type { CredentialId } from '../ids.js'
import { parseChain } from '../pki/certificate.js'
import { issue } from '../pki/demo-ca.js'
import { toPem } from '../pki/pem.js'
import type { AdminHandlers, AdminServices } from './admin-services.js'
import { requireSigner } from './signer-verbs.js'

const MULTISIGN = 100

/** Has the demo CA sign a certificate for the credential's key, if there is that CA. */
async function certify(services: AdminServices, actor: Actor, credential: Credential): Promise<Credential> {
  const { ca } = services
  if (ca === undefined || credential.request === null) return credential
  const leaf = await issue(ca.hsm, ca.key, ca.root, credential.request, services.clock)
  return bindCertificate(services, actor, credential.id, [leaf, ca.root])
}

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
    sessionWide: credential.session_wide,
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
  | 'credential.suspend'
  | 'credential.resume'
  | 'credential.revoke'
  | 'credential.import'
  | 'credential.renew'
> = {
  'credential.create': async (services, actor, request) => {
    const signer = await requireSigner(services.pool, request.signer)
    const pending = await createCredential(services, actor, {
      signer,
      spec: request.key,
      scal: request.scal ?? '2',
      multisign: request.multisign ?? MULTISIGN,
      sessionWide: request.sessionWide ?? false,
      pin: request.pin,
      description: request.description,
    })
    const credential = await certify(services, actor, pending)
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
    const { state } = await certify(services, actor, credential)
    return { state }
  },
}
