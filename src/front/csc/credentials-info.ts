import { ServiceError } from '../../errors.js'
import { type ClosedRequest, closed } from '../contract.js'
import type { CredentialRow } from '../reads.js'
import type { FrontServices } from '../services.js'
import { credentialV1, credentialV2, detailOf } from './credential-view.js'

type InfoRequest = ClosedRequest<'v1CredentialsInfo'> | ClosedRequest<'v2CredentialsInfo'>

/** CSC v1 §11.5, v2.2 §11.7: one question, two ways to tell the answer. */
export function credentialInfoDoors(services: FrontServices) {
  return {
    v1CredentialsInfo: closed<'v1CredentialsInfo'>(async (request) =>
      credentialV1(await read(services, request), detailOf(request.body, services.config)),
    ),
    v2CredentialsInfo: closed<'v2CredentialsInfo'>(async (request) =>
      credentialV2(await read(services, request), detailOf(request.body, services.config)),
    ),
  }
}

/** @throws ServiceError `credential_unknown`, also for somebody else's */
async function read({ db, log }: FrontServices, { caller, origin, body }: InfoRequest): Promise<CredentialRow> {
  const row = await db.credential(caller, body.credentialID)
  if (caller.scope === 'credential' && row?.id !== (await db.credentialOf(caller.sessionId))) {
    throw new ServiceError('credential_unknown')
  }
  if (row === undefined) throw new ServiceError('credential_unknown')
  await log.append({
    type: 'credential.read',
    outcome: 'ok',
    actor: { kind: 'signer', id: caller.signerId },
    origin,
    evidence: { client: caller.clientId, session: caller.sessionId, credential: row.id },
  })
  return row
}
