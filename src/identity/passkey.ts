import { hash } from 'node:crypto'
import { verifyAuthenticationResponse, verifyRegistrationResponse } from '@simplewebauthn/server'
import type { FrontVerbs, PasskeyRequest } from '../activation.js'
import type { Tx } from '../audit/transaction-log.js'
import type { RowBinding } from '../binding.js'
import { readNow } from '../db/now.js'
import { sqlState } from '../db/transaction.js'
import { ServiceError } from '../errors.js'
import { type FactorId, newId, type SessionId, type SignerId } from '../ids.js'
import { requirePageCaller, withCode } from './account.js'
import type { ActivateServices } from './activate.js'
import { FACTOR_COLUMNS, type Factor, factorAssociatedData, factorFields, insertFactor } from './factor.js'
import type { RelyingParty } from './relying-party.js'
import type { FactorMatch, FactorServices } from './verify-factors.js'

/** How long a registration may take, in seconds. */
const TICKET_SECONDS = 300

export interface PasskeyServices extends FactorServices {
  readonly relyingParty: RelyingParty | undefined
}

/**
 * The way to one more passkey, which takes a code like every change of factors. The ticket stands for that code: it is
 * this session's, ends after five minutes, and the challenge is its hash, so that nothing has to be kept.
 * @throws ServiceError `not_allowed` where the service has no name that passkeys can belong to; as `withCode`
 */
export async function beginPasskey(
  services: PasskeyServices,
  request: FrontVerbs['beginPasskey']['request'],
): Promise<FrontVerbs['beginPasskey']['response']> {
  const party = requireParty(services)
  return withCode(services, request, async (tx, _record, { signerId, sessionId }) => {
    const signer = await tx.query<{ login: string; name: string }>(
      'select login, name from paraph.signer where id = $1',
      [signerId],
    )
    const ends = new Date((await readNow(tx)).getTime() + TICKET_SECONDS * 1000)
    const ticket = ticketOf(services.binding, signerId, sessionId, ends)
    return {
      ticket,
      rpId: party.id,
      challenge: challengeOf(ticket),
      userId: userHandle(signerId),
      login: signer.rows[0]?.login ?? '',
      name: signer.rows[0]?.name ?? '',
      exclude: await passkeyIds(tx, signerId),
    }
  })
}

/**
 * Keeps a new passkey, whose authenticator must have verified its user.
 * @throws ServiceError `passkey_rejected`, `not_allowed`, as `requirePageCaller`, `unavailable`
 */
export async function registerPasskey(
  services: PasskeyServices & ActivateServices,
  request: FrontVerbs['registerPasskey']['request'],
): Promise<void> {
  const { transactions, binding, hsm } = services
  const party = requireParty(services)
  const { caller, now } = await transactions.transact(async (tx) => ({
    caller: await requirePageCaller(tx, request.bearer),
    now: await readNow(tx),
  }))
  const { signerId, sessionId } = caller
  const ends = new Date(Number(request.ticket.split('.')[0]))
  const fits =
    Number.isFinite(ends.getTime()) &&
    ends.getTime() > now.getTime() &&
    request.ticket === ticketOf(binding, signerId, sessionId, ends)
  const passkey = fits ? await registrationOf(party, request.response, challengeOf(request.ticket)) : undefined
  if (passkey === undefined) throw new ServiceError('passkey_rejected')

  const factor = { id: newId<FactorId>(), signer_id: signerId, kind: 'passkey', generation: 1 } as const
  const sealed = await hsm.seal(passkey.publicKey, factorAssociatedData(factor))
  await transactions.transact(async (tx, record) => {
    await insertFactor(tx, binding, {
      ...factor,
      algorithm: null,
      sealed_secret: sealed,
      demo: false,
      last_step: passkey.counter,
      webauthn_id: Buffer.from(passkey.id, 'base64url'),
      label: request.label,
    }).catch((error: unknown) => {
      // Somebody has this passkey already.
      throw sqlState(error) === '23505' ? new ServiceError('passkey_rejected') : error
    })
    record({
      type: 'factor.enrolled',
      outcome: 'ok',
      actor: { kind: 'signer', id: signerId },
      origin: request.origin,
      facts: { kind: 'passkey', demo: 0 },
      evidence: { signer: signerId, factor: factor.id },
    })
  })
}

/** The signer's passkeys and where they belong, for a page that asks for an assertion over `challenge`. */
export async function passkeyRequest(
  services: Pick<PasskeyServices, 'relyingParty'>,
  tx: Pick<Tx, 'query'>,
  signer: SignerId,
  challenge: Uint8Array,
): Promise<PasskeyRequest | undefined> {
  const ids = services.relyingParty === undefined ? [] : await passkeyIds(tx, signer)
  if (services.relyingParty === undefined || ids.length === 0) return undefined
  return { rpId: services.relyingParty.id, challenge: Buffer.from(challenge).toString('base64url'), allow: ids }
}

/** An assertion that fits, and all that whoever verifies it again needs. */
export interface PasskeyMatch extends FactorMatch {
  /** The assertion as the browser sent it, the COSE public key (base64url), origin and id of the relying party. */
  readonly assertion: object
}

/**
 * The passkey whose assertion this is, made over `challenge`, with its user verified, on our own page.
 * @param assertion JSON of an AuthenticationResponse (WebAuthn §5.1), base64url members
 */
export async function matchPasskey(
  services: PasskeyServices,
  signer: SignerId,
  assertion: string,
  challenge: Uint8Array,
): Promise<PasskeyMatch | undefined> {
  const { transactions, hsm, binding, relyingParty } = services
  const response = parsed(assertion)
  if (relyingParty === undefined || typeof response?.id !== 'string') return undefined
  const [factor] = await transactions.query<Factor>(
    `select ${FACTOR_COLUMNS} from paraph.factor
      where webauthn_id = $1 and signer_id = $2 and kind = 'passkey' and state = 'active'`,
    [Buffer.from(response.id, 'base64url'), signer],
  )
  if (factor === undefined || !binding.fits('factor', factorFields(factor), factor.binding)) return undefined
  const publicKey = await hsm.unseal(factor.sealed_secret, factorAssociatedData(factor))
  try {
    const { verified, authenticationInfo } = await verifyAuthenticationResponse({
      // Whatever came: the library looks at every member, and throws for what is missing.
      response: response as unknown as Parameters<typeof verifyAuthenticationResponse>[0]['response'],
      expectedChallenge: Buffer.from(challenge).toString('base64url'),
      expectedOrigin: relyingParty.origin,
      expectedRPID: relyingParty.id,
      credential: { id: response.id, publicKey: new Uint8Array(publicKey), counter: factor.last_step },
      requireUserVerification: true,
    })
    if (!verified) return undefined
    return {
      factor: factor.id,
      kind: 'passkey',
      assertion: { ...relyingParty, publicKey: Buffer.from(publicKey).toString('base64url'), response },
      burn: (tx) => countUse(tx, factor, authenticationInfo.newCounter),
    }
  } catch {
    return undefined
  }
}

/** A passkey that counts never counts back: a copy of it would. One that does not count stays at zero. */
async function countUse(tx: Tx, factor: Factor, counter: number): Promise<boolean> {
  const { rowCount } = await tx.query(
    `update paraph.factor set last_step = $2 where id = $1 and state = 'active' and (last_step < $2 or (last_step = 0 and $2 = 0))`,
    [factor.id, counter],
  )
  return rowCount === 1
}

function requireParty({ relyingParty }: PasskeyServices): RelyingParty {
  if (relyingParty === undefined) {
    throw new ServiceError('not_allowed', { detail: 'passkeys need a name in PARAPH_PUBLIC_URL, not a number' })
  }
  return relyingParty
}

async function passkeyIds(tx: Pick<Tx, 'query'>, signer: SignerId): Promise<string[]> {
  const { rows } = await tx.query<{ webauthn_id: Buffer }>(
    `select webauthn_id from paraph.factor where signer_id = $1 and kind = 'passkey' and state = 'active' order by created_at`,
    [signer],
  )
  return rows.map(({ webauthn_id }) => webauthn_id.toString('base64url'))
}

/** Milliseconds at which it ends, and the MAC that only a worker makes. */
function ticketOf(binding: RowBinding, signer: SignerId, session: SessionId, ends: Date): string {
  return `${ends.getTime()}.${binding.mac('passkey_ticket', [signer, session, ends]).toString('base64url')}`
}

const challengeOf = (ticket: string) => hash('sha256', `paraph/passkey/v1\n${ticket}`, 'base64url')

/** What a passkey calls its user: says nothing, and is the same for all of the signer's. */
const userHandle = (signer: SignerId) => hash('sha256', `paraph/user/v1\n${signer}`, 'base64url')

async function registrationOf(party: RelyingParty, text: string, challenge: string) {
  const response = parsed(text)
  if (response === undefined) return undefined
  try {
    const { verified, registrationInfo } = await verifyRegistrationResponse({
      // Whatever came, as above.
      response: response as unknown as Parameters<typeof verifyRegistrationResponse>[0]['response'],
      expectedChallenge: challenge,
      expectedOrigin: party.origin,
      expectedRPID: party.id,
      requireUserVerification: true,
    })
    return verified ? registrationInfo.credential : undefined
  } catch {
    return undefined
  }
}

function parsed(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return typeof value === 'object' && value !== null ? (value as Record<string, unknown>) : undefined
  } catch {
    return undefined
  }
}
