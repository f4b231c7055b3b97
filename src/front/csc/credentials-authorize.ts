import type { PresentedFactors } from '../../activation.js'
import { algorithmOfLength, type DigestAlgorithm } from '../../digest.js'
import { ServiceError } from '../../errors.js'
import { type ClosedRequest, closed } from '../contract.js'
import type { FrontServices } from '../services.js'
import type { AuthorizeRequestV2, AuthorizeResponse } from '../wire.js'
import { askWorker } from '../worker.js'
import { askOutOfBand, isOutOfBand } from './credentials-authorize-check.js'
import { decodeDigests, requireLength } from './digests.js'
import { namingExpired } from './expired-certificate.js'
import { requireDigest } from './mechanism.js'

/** An agreement asked for, in the words of neither version. */
interface Wish {
  readonly credentialId: string
  readonly numSignatures: number
  readonly digests?: readonly Buffer[]
  readonly digestAlgorithm?: DigestAlgorithm
  readonly factors: PresentedFactors
  readonly description: string | undefined
}

type Request = ClosedRequest<'v1CredentialsAuthorize'> | ClosedRequest<'v2CredentialsAuthorize'>

/** CSC v1 §11.6, v2.2 §11.8, explicit mode. */
export function authorizeDoors(services: FrontServices) {
  return {
    v1CredentialsAuthorize: closed<'v1CredentialsAuthorize'>((request) =>
      authorize(services, request, wishV1(request.body)),
    ),
    v2CredentialsAuthorize: closed<'v2CredentialsAuthorize'>((request) => {
      const { authData } = request.body
      return isOutOfBand(authData)
        ? askOutOfBand(services, request, wishV2({ ...request.body, authData: [] }))
        : authorize(services, request, wishV2(request.body))
    }),
  }
}

function wishV1(body: ClosedRequest<'v1CredentialsAuthorize'>['body']): Wish {
  const { credentialID: credentialId, numSignatures, hash, PIN: pin, OTP: code, description } = body
  return {
    credentialId,
    numSignatures,
    ...(hash === undefined ? {} : { digests: digestsOfOneLength(hash) }),
    factors: { ...(code === undefined ? {} : { code }), ...(pin === undefined ? {} : { pin }) },
    description,
  }
}

function wishV2(body: ClosedRequest<'v2CredentialsAuthorize'>['body']): Wish {
  const { credentialID: credentialId, numSignatures, hashes, hashAlgorithmOID, authData = [], description } = body
  return {
    credentialId,
    numSignatures,
    ...digestsV2(hashes, hashAlgorithmOID),
    factors: factorsOf(authData),
    description,
  }
}

/** Version 1 does not name the hash function: the length of the first digest does, and all must have it. */
function digestsOfOneLength(texts: readonly string[]): Buffer[] {
  const digests = decodeDigests(texts)
  const algorithm = algorithmOfLength(digests[0]?.length ?? 0)
  if (algorithm === undefined) throw new ServiceError('digest_length_invalid')
  requireLength(digests, algorithm)
  return digests
}

function digestsV2(
  texts: readonly string[] | undefined,
  oid: string | undefined,
): Pick<Wish, 'digests' | 'digestAlgorithm'> {
  const digests = texts === undefined ? undefined : decodeDigests(texts)
  if (oid === undefined) {
    if (digests !== undefined) throw new ServiceError('digest_algorithm_missing')
    return {}
  }
  const digestAlgorithm = requireDigest(oid)
  if (digests === undefined) return { digestAlgorithm }
  requireLength(digests, digestAlgorithm)
  return { digests, digestAlgorithm }
}

/**
 * What the signer presents, by the ids that `credentials/info` tells.
 * @throws ServiceError `code_missing` for an id that nobody asked for, or one given twice
 */
function factorsOf(authData: NonNullable<AuthorizeRequestV2['authData']>): PresentedFactors {
  const factors: { code?: string; pin?: string } = {}
  for (const { id, value } of authData) {
    const name = id === 'OTP' ? 'code' : id === 'PIN' ? 'pin' : undefined
    if (name === undefined || factors[name] !== undefined) throw new ServiceError('code_missing')
    if (value !== undefined && value !== null) factors[name] = value
  }
  return factors
}

async function authorize({ sam, db }: FrontServices, request: Request, wish: Wish): Promise<AuthorizeResponse> {
  const { origin, bearer, caller } = request
  const { credentialId, numSignatures, digests, digestAlgorithm, factors, description } = wish
  if (digests !== undefined && digests.length !== numSignatures) throw new ServiceError('signature_count_invalid')
  const { sad, expiresIn } = await namingExpired(db, caller.signerId, credentialId, () =>
    askWorker(sam, 'authorize', {
      origin,
      bearer,
      credentialId,
      numSignatures,
      ...(digests === undefined ? {} : { digests: digests.map((bytes) => bytes.toString('base64')) }),
      ...(digestAlgorithm === undefined ? {} : { digestAlgorithm }),
      factors,
      ...(description === undefined ? {} : { description }),
    }),
  )
  return { SAD: sad, expiresIn }
}
