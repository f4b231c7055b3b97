import { readFileSync } from 'node:fs'
import type { FrontVerbs, Origin } from '../activation.js'
import type { Actor, AuditEvent } from '../audit/event.js'
import type { SigningLog } from '../authorization/signing-log.js'
import { isRefusal, reasonOf } from '../binding.js'
import type { Clock } from '../clock.js'
import type { Executor } from '../db/pool.js'
import { asServiceError as asDatabaseError } from '../db/transaction.js'
import { digest } from '../digest.js'
import { ServiceError } from '../errors.js'
import type { Hsm } from '../hsm/hsm.js'
import { openHsm } from '../hsm/open-hsm.js'
import { type Bearer, bearerOf, isCaller, TOKEN_COLUMNS, TOKEN_JOINS, type TokenRow } from '../identity/caller.js'
import { secretHash } from '../identity/secret-value.js'
import type { Pace } from '../lane.js'
import { parseChain } from '../pki/certificate.js'
import {
  ACCURACY_SECONDS,
  grantedResponse,
  nonceOf,
  parseQuery,
  rejectedResponse,
  TimeStampRefusal,
  type TimeStampWish,
} from '../pki/time-stamp.js'
import { TimeStampAuthority } from '../pki/time-stamp-authority.js'
import { asServiceError } from './device.js'

/** Name of the authority's key in its token. */
export const TIME_STAMP_KEY = 'tsa'

export interface TimeStampSettings {
  /** A token of its own, with its own PIN. */
  readonly hsmUri: string
  /** PEM, the authority's certificate first. */
  readonly chainFile: string
  /** OID. */
  readonly policy: string
}

export interface OpenTimeStamps {
  readonly hsm: Hsm
  readonly authority: TimeStampAuthority
}

/** @throws HsmError; Error naming the file of the certificates when these do not fit the key */
export async function openTimeStamps(settings: TimeStampSettings, clock: Clock): Promise<OpenTimeStamps> {
  const hsm = await openHsm(settings.hsmUri)
  try {
    const key = await hsm.serviceKey(TIME_STAMP_KEY)
    const chain = parseChain(readFileSync(settings.chainFile, 'utf8'))
    const authority = new TimeStampAuthority(
      { hsm, key },
      { chain, policy: settings.policy, now: new Date(clock.now()) },
    )
    return { hsm, authority }
  } catch (error) {
    await hsm.close()
    if (!(error instanceof ServiceError)) throw error
    throw new Error(`${settings.chainFile} is not for the time-stamp authority: ${error.detail}`, { cause: error })
  }
}

export interface TimeStampServices {
  readonly db: Executor
  readonly log: SigningLog
  readonly clock: Clock
  /** How often this worker stamps for those whom nobody knows. */
  readonly anybody: Pace
}

/** Enough for a log that is stamped and for whoever tries it; too little to keep the device busy or to fill the log. */
export const STAMPS_FOR_ANYBODY = { most: 60, seconds: 60 } as const

/**
 * CSC `signatures/timestamp` (v1 §11.10, v2.2 §11.16): a token over the digest, for whoever has an access token for the
 * service. Durable in the log before it leaves.
 * @throws ServiceError `method_unknown` where there is no authority, `token_unknown`, `token_expired`, `scope_missing`,
 *   `unavailable`, `overloaded`
 */
export async function stampForBearer(
  services: TimeStampServices,
  authority: TimeStampAuthority | undefined,
  request: FrontVerbs['timestamp']['request'],
): Promise<FrontVerbs['timestamp']['response']> {
  const { origin } = request
  if (authority === undefined) throw new ServiceError('method_unknown')
  const bearer = await requireBearer(services, request.bearer).catch(async (error: unknown) => {
    if (error instanceof ServiceError && isRefusal(error)) {
      await services.log.append(stampEvent(ANYBODY, origin, { outcome: 'refused', why: reasonOf(error) }))
    }
    throw error
  })
  const wish = {
    imprint: digest(request.digestAlgorithm, Buffer.from(request.digest, 'base64')),
    ...(request.nonce === undefined ? {} : { nonce: nonceOf(request.nonce) }),
    certificates: true,
  }
  const token = await stamp(services, authority, wish, whoIs(bearer), origin)
  return { token: Buffer.from(token).toString('base64') }
}

/**
 * RFC 3161 itself, for whoever reaches it: a response, which tells in its status why there is no token.
 * @throws ServiceError `method_unknown` where there is no authority, `too_often`, `overloaded`
 */
export async function answerQuery(
  services: TimeStampServices,
  authority: TimeStampAuthority | undefined,
  { origin, query }: FrontVerbs['timeStampQuery']['request'],
): Promise<FrontVerbs['timeStampQuery']['response']> {
  if (authority === undefined) throw new ServiceError('method_unknown')
  services.anybody.take()
  const answer = (response: Uint8Array) => ({ response: Buffer.from(response).toString('base64') })
  let wish: TimeStampWish
  try {
    wish = parseQuery(Buffer.from(query, 'base64'), authority.policy)
  } catch (error) {
    if (!(error instanceof TimeStampRefusal)) throw error
    await services.log.append(stampEvent(ANYBODY, origin, { outcome: 'refused', why: error.failure }))
    return answer(rejectedResponse(error))
  }
  try {
    return answer(grantedResponse(await stamp(services, authority, wish, ANYBODY, origin)))
  } catch (error) {
    if (!(error instanceof ServiceError && error.code === 'unavailable')) throw error
    const refusal =
      error.cause instanceof ClockOut
        ? new TimeStampRefusal('timeNotAvailable', 'the clock cannot be relied on')
        : new TimeStampRefusal('systemFailure', 'no time-stamp can be given now')
    return answer(rejectedResponse(refusal))
  }
}

/** The clocks of this machine and of the database are too far apart for a stamp. */
class ClockOut extends Error {}

/** Who asks, as the log has it. */
interface Asker {
  readonly actor: Actor
  readonly evidence: NonNullable<AuditEvent['evidence']>
}

const ANYBODY: Asker = { actor: { kind: 'anonymous' }, evidence: {} }

function whoIs(bearer: Bearer): Asker {
  const { clientId: client, sessionId: session } = bearer
  return isCaller(bearer)
    ? { actor: { kind: 'signer', id: bearer.signerId }, evidence: { client, session, signer: bearer.signerId } }
    : { actor: { kind: 'client', id: client }, evidence: { client, session } }
}

async function requireBearer({ db }: TimeStampServices, token: string): Promise<Bearer> {
  const { rows } = await db
    .query<TokenRow>(`select ${TOKEN_COLUMNS} from paraph.token t ${TOKEN_JOINS} where t.hash = $1`, [
      secretHash(token),
    ])
    .catch((error: unknown) => {
      throw asDatabaseError(error)
    })
  const bearer = bearerOf(rows[0])
  if (typeof bearer === 'string') throw new ServiceError(bearer)
  if (bearer.scope !== 'service') throw new ServiceError('scope_missing')
  return bearer
}

/**
 * One stamp and its entry. The moment is taken from the database, which gives none twice and none that is earlier than one
 * that it gave before, on any replica; this machine's clock must agree with it.
 */
async function stamp(
  services: TimeStampServices,
  authority: TimeStampAuthority,
  wish: TimeStampWish,
  asker: Asker,
  origin: Origin,
): Promise<Uint8Array> {
  const at = await nextMoment(services.db, services.clock.now())
  const event = (more: Pick<AuditEvent, 'outcome' | 'why'>) => ({
    ...stampEvent(asker, origin, more, String(at)),
    digests: [wish.imprint.bytes],
  })
  let token: Uint8Array
  try {
    token = await authority.stamp(wish, BigInt(at))
  } catch (error) {
    const known = asServiceError(error)
    const why = known instanceof ServiceError ? known.code : 'internal'
    await services.log.append(event({ outcome: 'failed', why }))
    throw known
  }
  await services.log.append(event({ outcome: 'ok' }))
  return token
}

function stampEvent(
  { actor, evidence }: Asker,
  origin: Origin,
  more: Pick<AuditEvent, 'outcome' | 'why'>,
  serial?: string,
): AuditEvent<'timestamp.issued'> {
  return {
    type: 'timestamp.issued',
    actor,
    origin,
    ...more,
    evidence: { ...evidence, ...(serial === undefined ? {} : { stamp: serial }) },
  }
}

/**
 * Microseconds since 1970. Nothing is taken while the database's clock and this machine's disagree, so that one of them that
 * was wrong for a while leaves nothing behind.
 * @throws ServiceError `unavailable`
 */
async function nextMoment(db: Executor, now: number): Promise<number> {
  let rows: { last: number }[]
  try {
    const result = await db.query<{ last: number }>(
      `update paraph.time_stamp set last = greatest(last + 1, moment)
         from (select (extract(epoch from paraph.now()) * 1000000)::bigint as moment) m
        where id = 1 and abs(moment - $1::bigint) <= $2 and greatest(last + 1, moment) - $1::bigint <= $2 returning last`,
      [now * 1000, ACCURACY_SECONDS * 1_000_000],
    )
    rows = result.rows
  } catch (error) {
    throw asDatabaseError(error)
  }
  const [row] = rows
  if (row === undefined)
    throw new ServiceError('unavailable', { retryAfter: 5, cause: new ClockOut('clocks disagree') })
  return row.last
}
