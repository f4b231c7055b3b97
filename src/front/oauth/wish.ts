import { type FrontVerbs, SCOPE_OF_KIND, type TokenScope } from '../../activation.js'
import { algorithmOfLength } from '../../digest.js'
import { ServiceError } from '../../errors.js'
import { decodeDigests, requireLength } from '../csc/digests.js'
import { requireDigest } from '../csc/mechanism.js'

/** What a client wants a signer to agree to, whichever way it was said. */
export type Wish = Pick<
  FrontVerbs['requestApproval']['request'],
  | 'kind'
  | 'credentialId'
  | 'qualifier'
  | 'numSignatures'
  | 'digests'
  | 'digestAlgorithm'
  | 'labels'
  | 'description'
  | 'creation'
>

/** The CSC parameters of an authorization request (v1 §8.3.2, v2.2 §8.2.2), beside those of OAuth 2. */
export const CSC_PARAMETERS = [
  'credentialID',
  'signatureQualifier',
  'numSignatures',
  'hash',
  'hashes',
  'hashAlgorithmOID',
  'description',
  'account_token',
  'lang',
  'clientData',
] as const

/** Both spellings of the type of a scope (CSC API v2.2 §8.2.2, RFC 9396). */
export function typesOf(scope: Exclude<TokenScope, 'service'>): readonly string[] {
  return [scope, `https://cloudsignatureconsortium.org/2025/${scope}`]
}

/** What is asked for by `authorization_details`; `service` is by its scope only. */
export const RICH_SCOPES = Object.values(SCOPE_OF_KIND).filter((scope) => scope !== 'service')
export const SCOPES: readonly TokenScope[] = ['service', ...RICH_SCOPES]

/** Scopes of a service that makes certificates itself, or does not: what cannot be certified is not made here. */
export function scopesOffered<Scope extends TokenScope>(
  scopes: readonly Scope[],
  certifies: boolean,
): readonly Scope[] {
  return scopes.filter((scope) => certifies || scope !== SCOPE_OF_KIND.creation)
}

const MOST_DESCRIPTION = 500
const MOST_LABEL = 255
const MOST_CLIENT_DATA = 4096
/** As many as one request to sign may carry. */
const MOST_DIGESTS = 500

export type RequestParameters = Readonly<Record<string, unknown>>

/**
 * The wish of an authorization request: by `scope` and the CSC parameters, or by `authorization_details`, not both.
 * @throws ServiceError `parameter_invalid` with the text for the client, and the codes of digests
 */
export function wishOf(parameters: RequestParameters): Wish {
  const { scope = 'service', authorization_details: details } = parameters
  if (details !== undefined) return richWish(parameters, details)
  if (scope === 'service') {
    checkCommon(parameters)
    return { kind: 'service' }
  }
  if (scope === 'credential-deletion') {
    checkCommon(parameters)
    return deletionWish(parameters)
  }
  // Of `credential-creation` too: what shall be made only `authorization_details` can say.
  if (scope !== 'credential') throw invalid('scope')
  return plainWish(parameters)
}

function plainWish(parameters: RequestParameters): Wish {
  const credentialId = textOf(parameters, 'credentialID', 255)
  const qualifier = textOf(parameters, 'signatureQualifier', 255)
  if (credentialId === undefined && qualifier === undefined) throw missing('string', 'credentialID')
  const { description } = checkCommon(parameters)
  const count = textOf(parameters, 'numSignatures', 10)
  if (count === undefined || !/^[0-9]+$/.test(count)) throw missing('integer', 'numSignatures')
  // Version 1 calls it `hash`, and so does an example of version 2.
  const hashes = textOf(parameters, 'hashes', 65_536) ?? textOf(parameters, 'hash', 65_536)
  const oid = textOf(parameters, 'hashAlgorithmOID', 255)
  return {
    kind: 'credential',
    numSignatures: Number(count),
    ...(credentialId === undefined ? {} : { credentialId }),
    ...(qualifier === undefined ? {} : { qualifier }),
    ...(description === undefined ? {} : { description }),
    ...(hashes === undefined ? {} : digestsOf(hashes.split(','), oid)),
  }
}

function deletionWish(parameters: RequestParameters): Wish {
  const credentialId = textOf(parameters, 'credentialID', 255)
  if (credentialId === undefined) throw missing('string', 'credentialID')
  return { kind: 'deletion', credentialId }
}

/** What `acr_values` wish for is not looked at: the signer always agrees with a factor, on our own page. */
function creationWish({ acr_values: classes, credentialCreationRequest: wanted }: RequestParameters): Wish {
  if (classes !== undefined && !(Array.isArray(classes) && classes.every((one) => typeof one === 'string'))) {
    throw missing('array', 'acr_values')
  }
  if (!isObject(wanted)) {
    const detail = 'Missing (or invalid type) parameter "credentialCreationRequest"'
    throw new ServiceError('parameter_invalid', { detail })
  }
  const { certificatePolicy } = wanted
  const subjectData = wanted.subjectData ?? {}
  if (typeof certificatePolicy !== 'string') throw missing('string', 'certificatePolicy')
  if (!isObject(subjectData)) throw invalid('subjectData')
  return { kind: 'creation', creation: { certificatePolicy, subjectData } }
}

function richWish(parameters: RequestParameters, details: unknown): Wish {
  const beside = ['scope', ...CSC_PARAMETERS].find((name) => name !== 'account_token' && parameters[name] !== undefined)
  if (beside !== undefined) throw new ServiceError('parameter_invalid', { detail: `Invalid parameter ${beside}` })
  const list: unknown = typeof details === 'string' ? parsed(details) : details
  const [detail] = Array.isArray(list) && list.length === 1 ? list : []
  return wishOfDetail(detail)
}

/** One entry of `authorization_details`. @throws ServiceError `parameter_invalid`, and the codes of digests */
export function wishOfDetail(detail: unknown): Wish {
  if (!isObject(detail)) throw invalid('authorization_details')
  const given = detail
  const scope = RICH_SCOPES.find((scope) => typesOf(scope).includes(String(given.type)))
  if (scope === undefined) throw invalid('authorization_details')
  if (scope === 'credential-deletion') return deletionWish(given)
  if (scope === 'credential-creation') return creationWish(given)
  const credentialId = textOf(given, 'credentialID', 255)
  const qualifier = textOf(given, 'signatureQualifier', 255)
  if (credentialId === undefined && qualifier === undefined) throw missing('string', 'credentialID')
  const documents = given.documentDigests
  if (documents !== undefined && !Array.isArray(documents)) throw missing('array', 'documentDigests')
  const numSignatures = given.numSignatures ?? documents?.length
  if (typeof numSignatures !== 'number' || !Number.isInteger(numSignatures)) throw missing('integer', 'numSignatures')
  const oid = textOf(given, 'hashAlgorithmOID', 255)
  return {
    kind: 'credential',
    numSignatures,
    ...(credentialId === undefined ? {} : { credentialId }),
    ...(qualifier === undefined ? {} : { qualifier }),
    ...(documents === undefined ? {} : { ...digestsOf(documents.map(hashOf), oid), labels: documents.map(labelOf) }),
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}

function hashOf(document: unknown): string {
  const { hash, hashType = 'dtbsr' } = (document ?? {}) as RequestParameters
  if (typeof hash !== 'string') throw missing('string', 'hash')
  // What signHash gets is all that is ever compared.
  if (String(hashType).toLowerCase() !== 'dtbsr') throw invalid('hashType')
  return hash
}

function labelOf(document: unknown): string {
  return textOf(document as RequestParameters, 'label', MOST_LABEL) ?? ''
}

function digestsOf(texts: readonly string[], oid: string | undefined): Pick<Wish, 'digests' | 'digestAlgorithm'> {
  if (texts.length > MOST_DIGESTS) throw new ServiceError('signature_count_too_high')
  const digests = decodeDigests(texts.filter((text) => text !== ''))
  const algorithm = oid === undefined ? algorithmOfLength(digests[0]?.length ?? 0) : requireDigest(oid)
  if (algorithm === undefined) throw new ServiceError('digest_length_invalid')
  requireLength(digests, algorithm)
  return { digests: digests.map((bytes) => bytes.toString('base64')), digestAlgorithm: algorithm }
}

function checkCommon(parameters: RequestParameters): { description: string | undefined } {
  textOf(parameters, 'lang', 64)
  textOf(parameters, 'clientData', MOST_CLIENT_DATA)
  return { description: textOf(parameters, 'description', MOST_DESCRIPTION) }
}

/** What is shown to people holds no control characters but line breaks and tabs. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are what is meant
const CONTROL = /[\u0000-\u0008\u000b\u000c\u000e-\u001f\u007f]/

function textOf(parameters: RequestParameters, name: string, most: number): string | undefined {
  const value = parameters[name]
  if (value === undefined || value === null) return undefined
  if (typeof value !== 'string') throw missing('string', name)
  if (value.length > most || CONTROL.test(value)) throw invalid(name)
  return value
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text)
  } catch {
    throw invalid('authorization_details')
  }
}

function invalid(name: string): ServiceError {
  return new ServiceError('parameter_invalid', { detail: `Invalid parameter ${name}` })
}

function missing(type: string, name: string): ServiceError {
  return new ServiceError('parameter_invalid', { detail: `Missing (or invalid type) ${type} parameter ${name}` })
}
