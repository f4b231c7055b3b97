import { ServiceError } from '../../errors.js'
import { type ClosedRequest, closed } from '../contract.js'
import type { FrontServices } from '../services.js'
import { askWorker } from '../worker.js'
import { wayOf } from './factors.js'

type Request = ClosedRequest<'v1SendOtp'> | ClosedRequest<'v2SendOtp'> | ClosedRequest<'v2GetChallenge'>

/** CSC v2.2 §11.10 and §11.12, v1 §11.8: sends a code; none of them tells it. */
export function sendCodeDoors(services: FrontServices) {
  return {
    v1SendOtp: closed<'v1SendOtp'>((request) => send(services, request)),
    v2SendOtp: closed<'v2SendOtp'>((request) => send(services, request)),
    v2GetChallenge: closed<'v2GetChallenge'>((request) => send(services, request, sentBy(request.body.authObjectID))),
  }
}

/** @throws ServiceError `factor_unknown` for what no code is sent for */
function sentBy(authObjectID: string): 'sms' | 'email' {
  const kind = wayOf(authObjectID)
  if (kind !== 'sms' && kind !== 'email') throw new ServiceError('factor_unknown')
  return kind
}

async function send(
  { sam }: FrontServices,
  { origin, bearer, body }: Request,
  kind?: 'sms' | 'email',
): Promise<undefined> {
  const { credentialID: credentialId } = body
  await askWorker(sam, 'sendCode', { origin, bearer, credentialId, ...(kind === undefined ? {} : { kind }) })
}
