import type { PresentedFactors } from '../../activation.js'
import { ServiceError } from '../../errors.js'
import { type ClosedRequest, closed } from '../contract.js'
import type { FrontServices } from '../services.js'
import type { AuthorizeRequestV2, AuthorizeResponse } from '../wire.js'
import { askWorker } from '../worker.js'
import { type AgreedDigests, asked, digestsV1, digestsV2 } from './agreed-digests.js'
import { askOutOfBand, isOutOfBand } from './credentials-authorize-check.js'
import { namingExpired } from './expired-certificate.js'
import { wayOf } from './factors.js'

/** An agreement asked for, in the words of neither version. */
interface Wish extends AgreedDigests {
  readonly credentialId: string
  readonly numSignatures: number
  readonly factors: PresentedFactors
  readonly description: string | undefined
  readonly rememberSession: boolean | undefined
}

type Request = ClosedRequest<'v1CredentialsAuthorize'> | ClosedRequest<'v2CredentialsAuthorize'>

/** CSC v1 §11.6, v2.2 §11.8, explicit mode. */
export function authorizeDoors(services: FrontServices) {
  return {
    v1CredentialsAuthorize: closed<'v1CredentialsAuthorize'>((request) =>
      authorize(services, request, wishV1(request.body)),
    ),
    v2CredentialsAuthorize: closed<'v2CredentialsAuthorize'>((request) => {
      const { authData, rememberSession } = request.body
      // What is agreed to out of band is agreed to for the listed files.
      if (isOutOfBand(authData) && rememberSession === true) throw new ServiceError('remember_not_allowed')
      return isOutOfBand(authData)
        ? askOutOfBand(services, request, wishV2({ ...request.body, authData: [] }))
        : authorize(services, request, wishV2(request.body))
    }),
  }
}

function wishV1(body: ClosedRequest<'v1CredentialsAuthorize'>['body']): Wish {
  const { credentialID: credentialId, numSignatures, hash, PIN: pin, OTP: code, description, rememberSession } = body
  return {
    credentialId,
    numSignatures,
    ...digestsV1(hash),
    factors: { ...(code === undefined ? {} : { code }), ...(pin === undefined ? {} : { pin }) },
    description,
    rememberSession,
  }
}

function wishV2(body: ClosedRequest<'v2CredentialsAuthorize'>['body']): Wish {
  const {
    credentialID: credentialId,
    numSignatures,
    hashes,
    hashAlgorithmOID,
    authData = [],
    description,
    rememberSession,
  } = body
  return {
    credentialId,
    numSignatures,
    ...digestsV2(hashes, hashAlgorithmOID),
    factors: factorsOf(authData),
    description,
    rememberSession,
  }
}

/**
 * What the signer presents, by the ids that `credentials/info` tells.
 * @throws ServiceError `code_missing` for an id that nobody asked for, for one given twice, and for two kinds of codes
 */
function factorsOf(authData: NonNullable<AuthorizeRequestV2['authData']>): PresentedFactors {
  const factors: { code?: string; kind?: NonNullable<PresentedFactors['kind']>; pin?: string } = {}
  for (const { id, value } of authData) {
    const kind = wayOf(id)
    const name = kind !== undefined ? 'code' : id === 'PIN' ? 'pin' : undefined
    if (name === undefined || factors[name] !== undefined) throw new ServiceError('code_missing')
    if (value === undefined || value === null) continue
    factors[name] = value
    if (kind !== undefined) factors.kind = kind
  }
  return factors
}

async function authorize({ sam, db }: FrontServices, request: Request, wish: Wish): Promise<AuthorizeResponse> {
  const { origin, bearer, caller } = request
  const { credentialId, numSignatures, digests, factors, description, rememberSession } = wish
  if (digests !== undefined && digests.length !== numSignatures) throw new ServiceError('signature_count_invalid')
  const { sad, expiresIn } = await namingExpired(db, caller, credentialId, () =>
    askWorker(sam, 'authorize', {
      origin,
      bearer,
      credentialId,
      numSignatures,
      ...asked(wish),
      factors,
      ...(description === undefined ? {} : { description }),
      ...(rememberSession === undefined ? {} : { rememberSession }),
    }),
  )
  return { SAD: sad, expiresIn }
}
