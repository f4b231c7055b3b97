import { hash } from 'node:crypto'
import { ServiceError } from '../../errors.js'
import { newSecretValue } from '../../identity/secret-value.js'
import { Answer, type ClosedRequest, closed } from '../contract.js'
import type { FrontServices } from '../services.js'
import type { AuthorizePending, AuthorizeRequestV2 } from '../wire.js'
import { askWorker, WorkerRefusal } from '../worker.js'
import { namingExpired } from './expired-certificate.js'
import { APPROVAL_ID } from './factors.js'

/** Least time between two questions about one handle, in milliseconds. A worker counts those that came through other fronts. */
const PAUSE = 2000
const MOST_REMEMBERED = 10_000

/** Whether the signer shall be asked out of band, and nothing is presented here. */
export function isOutOfBand(authData: AuthorizeRequestV2['authData']): boolean {
  const [only, ...more] = authData ?? []
  return only?.id === APPROVAL_ID && more.length === 0
}

interface Wish {
  readonly credentialId: string
  readonly numSignatures: number
  readonly digests?: readonly Buffer[]
  readonly digestAlgorithm?: 'sha-256' | 'sha-384' | 'sha-512'
  readonly description: string | undefined
}

/** CSC v2.2 §11.8 with an out-of-band factor: 202 and a handle. The signer answers on our pages, where he is shown it. */
export async function askOutOfBand(
  { sam, db }: FrontServices,
  { origin, bearer, caller }: ClosedRequest<'v2CredentialsAuthorize'>,
  { credentialId, numSignatures, digests, digestAlgorithm, description }: Wish,
): Promise<Answer<AuthorizePending>> {
  const handle = newSecretValue()
  const { approvalId, nonce, comparison } = await namingExpired(db, caller, credentialId, () =>
    askWorker(sam, 'requestApproval', {
      origin,
      name: handle,
      way: 'handle',
      kind: 'credential',
      bearer,
      credentialId,
      numSignatures,
      ...(digests === undefined ? {} : { digests: digests.map((bytes) => bytes.toString('base64')) }),
      ...(digestAlgorithm === undefined ? {} : { digestAlgorithm }),
      ...(description === undefined ? {} : { description }),
    }),
  )
  return new Answer(202, { handle, approvalID: approvalId, comparisonNonce: nonce, comparison })
}

/** CSC v2.2 §11.9. */
export function authorizeCheckDoors({ sam, clock }: FrontServices) {
  const patience = pollLimit(() => clock.now())
  return {
    v2AuthorizeCheck: closed<'v2AuthorizeCheck'>(async ({ origin, bearer, body: { handle } }) => {
      patience(handle)
      const got = await askWorker(sam, 'collect', { origin, bearer, name: handle }).catch(countTooOften)
      return got.pending === true ? new Answer(202, { handle }) : { SAD: got.sad, expiresIn: got.expiresIn }
    }),
  }
}

/** What a worker does not write down: the log counts it as what a front refuses by itself. */
function countTooOften(error: unknown): never {
  if (!(error instanceof WorkerRefusal) || error.code !== 'too_often') throw error
  const { retryAfter = PAUSE / 1000 } = error
  throw new ServiceError('too_often', { retryAfter, cause: error })
}

/** Who asks again too soon is told so, and asks the database nothing. @throws ServiceError `too_often` */
function pollLimit(now: () => number): (handle: string) => void {
  /** By SHA-256 of the handle, in the order in which they were asked about. */
  const asked = new Map<string, number>()
  return (handle) => {
    const key = hash('sha256', handle, 'base64url')
    const at = now()
    for (const [old, when] of asked) {
      if (at - when < PAUSE && asked.size < MOST_REMEMBERED) break
      asked.delete(old)
    }
    const left = PAUSE - (at - (asked.get(key) ?? Number.NEGATIVE_INFINITY))
    if (left > 0 && left <= PAUSE) throw new ServiceError('too_often', { retryAfter: left / 1000 })
    asked.delete(key)
    asked.set(key, at)
  }
}
