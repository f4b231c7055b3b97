import { ServiceError } from '../../errors.js'
import { isUuid } from '../../ids.js'
import { type ClosedRequest, closed } from '../contract.js'
import type { FrontServices } from '../services.js'
import type { ListResponseV1, ListResponseV2 } from '../wire.js'
import { credentialV2, detailOf } from './credential-view.js'

const PAGE = 100
/** Version 2 has no paging: everything, up to a bound that no signer reaches. */
const ALL = 1000

/** CSC v1 §11.4, v2.2 §11.6. */
export function listDoors(services: FrontServices) {
  return {
    v1CredentialsList: closed<'v1CredentialsList'>((request) => listV1(services, request)),
    v2CredentialsList: closed<'v2CredentialsList'>((request) => listV2(services, request)),
  }
}

async function listV1(services: FrontServices, request: ClosedRequest<'v1CredentialsList'>): Promise<ListResponseV1> {
  const { caller, body } = request
  const after = body.pageToken === undefined ? undefined : idOf(body.pageToken)
  refuseUserID(request)
  const limit = pageSize(body.maxResults)
  // One more than asked for tells whether there is another page.
  const rows = await services.db.credentials(caller, {
    limit: limit + 1,
    ...(after === undefined ? {} : { after }),
  })
  const credentialIDs = rows.slice(0, limit).map(({ id }) => id)
  await record(services, request, credentialIDs.length)
  const last = rows.length > limit ? credentialIDs.at(-1) : undefined
  return { credentialIDs, ...(last === undefined ? {} : { nextPageToken: tokenOf(last) }) }
}

async function listV2(services: FrontServices, request: ClosedRequest<'v2CredentialsList'>): Promise<ListResponseV2> {
  const { caller, body } = request
  refuseUserID(request)
  const usable = body.onlyValid === true
  const rows = await services.db.credentials(caller, { limit: ALL, usable })
  await record(services, request, rows.length)
  const detail = detailOf(body, services.config)
  return {
    credentialIDs: rows.map(({ id }) => id),
    ...(body.credentialInfo === true
      ? { credentialInfos: rows.map((row) => ({ credentialID: row.id, ...credentialV2(row, detail) })) }
      : {}),
    ...(usable ? { onlyValid: true } : {}),
  }
}

/** A token that names its signer leaves nothing to say; without one, `userID` has named him. */
function refuseUserID({
  body,
  byUserID,
}: ClosedRequest<'v1CredentialsList'> | ClosedRequest<'v2CredentialsList'>): void {
  if (body.userID !== undefined && !byUserID)
    throw new ServiceError('parameter_invalid', { detail: 'userID parameter MUST be null' })
}

/** Anything that is no usable number means as many as we give. */
function pageSize(wished: unknown): number {
  return typeof wished === 'number' && Number.isInteger(wished) && wished >= 1 && wished <= PAGE ? wished : PAGE
}

/** A page begins after a credential; its id, disguised so that nobody builds on it. */
function tokenOf(id: string): string {
  return Buffer.from(id.replaceAll('-', ''), 'hex').toString('base64url')
}

function idOf(token: string): string {
  const hex = Buffer.from(token, 'base64url').toString('hex')
  const id = hex.replace(/^(.{8})(.{4})(.{4})(.{4})(.{12})$/, '$1-$2-$3-$4-$5')
  if (!isUuid(id) || tokenOf(id) !== token)
    throw new ServiceError('parameter_invalid', { detail: 'Invalid parameter pageToken' })
  return id
}

/** No answer without an entry. */
async function record(
  { log }: FrontServices,
  { caller, origin }: Pick<ClosedRequest<'v1CredentialsList'>, 'caller' | 'origin'>,
  count: number,
) {
  await log.append({
    type: 'credential.listed',
    outcome: 'ok',
    actor: { kind: 'signer', id: caller.signerId },
    origin,
    facts: { count },
    evidence: { client: caller.clientId, session: caller.sessionId },
  })
}
