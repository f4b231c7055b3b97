import { FACTOR_KINDS, type FactorKind } from '../factor-kind.js'
import { PAGES_CLIENT } from '../identity/login.js'
import type { ClientId } from '../ids.js'
import type { Credential } from './credential.js'

/** Which factors, clients and sessions a credential accepts. */
export interface CredentialPolicy {
  /** Kinds of factors that may agree. Absent: any that the signer has. */
  readonly factors?: readonly FactorKind[]
  /** Clients that may have it sign. Absent: any. */
  readonly clients?: readonly string[]
  /** Where one code may cover a whole session: how many signatures at most, and for which clients. */
  readonly session?: { readonly ceiling?: number; readonly clients?: readonly string[] }
}

/** Signatures that one code for a whole session covers, unless the policy says another number. */
const SESSION_CEILING = 1000

type Bound = Pick<Credential, 'session_wide' | 'policy'>

/** What the row says; only a SAM worker can have written it, since the row's binding covers it. */
export function policyOf({ policy }: Pick<Bound, 'policy'>): CredentialPolicy {
  return policy === null ? {} : (JSON.parse(policy) as CredentialPolicy)
}

/** As the row keeps it: members in one order, nothing that is at its default, and null where nothing is left. */
export function policyText({ factors, clients, session }: CredentialPolicy): string | null {
  const lists = session?.clients?.length ? { clients: [...new Set(session.clients)].sort() } : {}
  const told = {
    ...(factors === undefined ? {} : { factors: FACTOR_KINDS.filter((kind) => factors.includes(kind)) }),
    ...(clients === undefined ? {} : { clients: [...new Set(clients)].sort() }),
    ...(session === undefined
      ? {}
      : { session: { ...(session.ceiling === undefined ? {} : { ceiling: session.ceiling }), ...lists } }),
  }
  const text = JSON.stringify(told)
  return text === '{}' || text === '{"session":{}}' ? null : text
}

/** Whether this client may have the credential sign. */
export function allowsClient(credential: Bound, client: ClientId): boolean {
  return policyOf(credential).clients?.includes(client) ?? true
}

/**
 * How many signatures one code may cover for this client in a whole session; undefined where that is not allowed. Our own
 * pages need not be named: there it is the signer himself who remembers a session.
 */
export function sessionCeiling(credential: Bound, client: ClientId): number | undefined {
  if (!credential.session_wide) return undefined
  const { session } = policyOf(credential)
  if (client !== PAGES_CLIENT && !session?.clients?.includes(client)) return undefined
  return session?.ceiling ?? SESSION_CEILING
}
