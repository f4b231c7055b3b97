import { ServiceError } from '../../errors.js'
import { type ClosedRequest, closed } from '../contract.js'
import type { Health } from '../health.js'
import type { FrontServices } from '../services.js'
import type { TimestampResponse } from '../wire.js'
import { askWorker } from '../worker.js'
import { decodeBase64, requireLength } from './digests.js'
import { digestOf } from './oids.js'

type Request = ClosedRequest<'v1Timestamp'> | ClosedRequest<'v2Timestamp'>

/** CSC v1 §11.10, v2.2 §11.16, with the same names in both; not there without a time-stamp authority. */
export function timestampDoors(services: FrontServices, health: Health) {
  const offered = () => health.timeStamps()
  return {
    v1Timestamp: closed<'v1Timestamp'>((request) => timestamp(services, request), offered),
    v2Timestamp: closed<'v2Timestamp'>((request) => timestamp(services, request), offered),
  }
}

async function timestamp({ sam }: FrontServices, { origin, bearer, body }: Request): Promise<TimestampResponse> {
  const { hash, hashAlgo, nonce } = body
  const digest = decodeBase64(hash)
  if (digest === undefined) throw new ServiceError('digest_undecodable')
  const digestAlgorithm = digestOf(hashAlgo)
  if (digestAlgorithm === undefined) {
    throw new ServiceError('parameter_invalid', { detail: 'Invalid parameter hashAlgo' })
  }
  requireLength([digest], digestAlgorithm)
  const { token } = await askWorker(sam, 'timestamp', {
    origin,
    bearer,
    digest: digest.toString('base64'),
    digestAlgorithm,
    ...(nonce === undefined ? {} : { nonce }),
  })
  return { timestamp: token }
}
