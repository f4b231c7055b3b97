import type { CreationRequest } from '../activation.js'
import type { Tx } from '../audit/transaction-log.js'
import { sameName } from '../credentials/bind-certificate.js'
import { type Profile, profileOf } from '../credentials/profile.js'
import { ServiceError } from '../errors.js'
import type { SignerId } from '../ids.js'
import type { Approval } from './approval.js'

/** What a signer is asked to have made. */
export interface Creation {
  readonly profile: Profile
  /** As the client wrote it. Absent: whatever the signer is called. */
  readonly commonName: string | undefined
}

/**
 * How many credentials with a key a signer may have to be given another one over the API. Nobody has a use for more, and
 * whoever got hold of a signer's client and authenticator shall not fill database and device; an operator can make more.
 */
const MOST_CREDENTIALS = 10

/**
 * What a client asks for, read and judged as far as that goes without the signer: a policy that is offered, and of the
 * subject nothing but a name, since the name is all that the registration operator has verified.
 * @throws ServiceError `parameter_invalid` in the words of CSC API v2.2 §11.4
 */
export function readCreation(request: CreationRequest | undefined): Creation {
  const profile = profileOf(request?.certificatePolicy ?? '')
  if (profile === undefined) throw invalid('certificatePolicy')
  const { commonName, ...others } = request?.subjectData ?? {}
  if (Object.keys(others).length > 0) throw invalid('subjectData')
  if (commonName !== undefined && typeof commonName !== 'string') throw invalid('subjectData')
  return { profile, commonName }
}

/** As the approval's row keeps it, in `details`. */
export function creationText({ profile, commonName }: Creation): string {
  return JSON.stringify({ certificatePolicy: profile.policy, subjectData: { commonName } })
}

/** What the signer was asked. */
export function creationOf({ details }: Pick<Approval, 'details'>): Creation {
  return readCreation(JSON.parse(details ?? '{}') as CreationRequest)
}

/** @throws ServiceError `parameter_invalid` for whatever was not agreed to */
export function requireAgreed(agreed: Creation, asked: Creation): void {
  if (asked.profile.policy !== agreed.profile.policy) throw invalid('certificatePolicy')
  if (asked.commonName !== agreed.commonName) throw invalid('subjectData')
}

/** The signer for whom it is made, locked until the end of the transaction, so that nobody else's count is under way. */
export interface Creatable {
  readonly id: SignerId
  /** As the registration operator recorded it; what the certificate will say. */
  readonly name: string
}

/**
 * @throws ServiceError `parameter_invalid` for another name than the signer's, `too_many_credentials`, `token_expired` for
 *   a signer who is suspended
 */
export async function requireCreatable(tx: Tx, id: SignerId, { commonName }: Creation): Promise<Creatable> {
  const { rows } = await tx.query<{ name: string }>(
    `select name from paraph.signer where id = $1 and state = 'active' for no key update`,
    [id],
  )
  const [signer] = rows
  if (signer === undefined) throw new ServiceError('token_expired')
  if (commonName !== undefined && !sameName(commonName, signer.name)) throw invalid('subjectData')
  const counted = await tx.query<{ count: number }>(
    `select count(*)::int as count from paraph.credential where signer_id = $1 and state <> 'revoked'`,
    [id],
  )
  if ((counted.rows[0]?.count ?? 0) >= MOST_CREDENTIALS) throw new ServiceError('too_many_credentials')
  return { id, name: signer.name }
}

function invalid(name: string): ServiceError {
  return new ServiceError('parameter_invalid', { detail: `Invalid parameter ${name}` })
}
