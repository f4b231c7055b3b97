import { hash } from 'node:crypto'
import type { FrontVerbs } from '../activation.js'
import type { AuditEvent } from '../audit/event.js'
import { redeem, type SigningPermit } from '../authorization/redeem.js'
import { type LogPlace, retryName } from '../authorization/retry.js'
import type { SigningContext, SigningContexts } from '../authorization/signing-context.js'
import { FLUSH_REASON, type SigningLog } from '../authorization/signing-log.js'
import { isRefusal, reasonOf } from '../binding.js'
import type { Clock } from '../clock.js'
import { type Credential, signerKey } from '../credentials/credential.js'
import { requireUsable } from '../credentials/require-usable.js'
import { type Digest, digest } from '../digest.js'
import { ServiceError } from '../errors.js'
import { type Hsm, HsmError } from '../hsm/hsm.js'
import { isUuid } from '../ids.js'
import { requireMechanism } from './algorithms.js'
import { encryptSignatures } from './kept-signatures.js'
import { released } from './released.js'
import { type RepeatServices, repeat } from './repeat.js'
import { step } from './steps.js'

export interface SignHashServices extends RepeatServices {
  readonly contexts: SigningContexts
  readonly log: SigningLog
  readonly hsm: Pick<Hsm, 'sign'>
  readonly clock: Clock
  /** @throws ServiceError `unavailable` when this machine's clock and the database's disagree. */
  requireClock(databaseNow: Date): void
}

type Request = FrontVerbs['sign']['request']

/** Most hashes one request may carry; its log entry must fit a leaf. */
const MAX_DIGESTS = 500
/** How long the device may take for one request, and how long its outcome waits for a lost database; milliseconds. */
const DEVICE_MS = 8000
const OUTCOME_MS = 5000

/**
 * CSC `signatures/signHash` (v1 §11.9, v2.2 §11.13): what the service is for.
 *
 * Promises kept here: no device call without a durable intention, no released signature without a durable outcome, and
 * none that the certificate's public key does not confirm. A request that its client named signs once, however often it
 * is sent. What a crash at each step leaves is in README.md.
 * @returns the signatures in the order of the digests
 * @throws ServiceError
 */
export async function signHash(services: SignHashServices, asked: Request): Promise<FrontVerbs['sign']['response']> {
  const context = await loadContext(services, asked)
  services.requireClock(context.now)
  // A token that is itself the authorization is its own SAD.
  const request = { ...asked, sad: asked.sad ?? asked.bearer }
  const scope = await requireSignable(services, context, request)
  const retry = retryName(request, scope.credential.id, scope.digests)
  if (retry !== undefined && context.earlier !== undefined) {
    return repeat(services, request, context, scope, retry, context.earlier)
  }

  // Spends the authorization and records the intention: both or neither.
  step('before-intent')
  const permit = await redeem(services, context, scope, request.origin, retry)
  step('after-intent', permit.operation)

  // From here on the authorization is spent and the intention is on disk. Every path records an outcome, and none of
  // them may use the authorization again.
  let signatures: Uint8Array[]
  try {
    signatures = await signPermitted(services, permit)
  } catch (error) {
    await recordFailure(services.log, permit, scope.credential, error)
    throw new ServiceError('unavailable', { retryAfter: 1, cause: error })
  }

  // No record, no signatures: if this fails, or somebody stopped the signing meanwhile, nothing leaves.
  step('before-outcome', permit.operation)
  const belonging = retry && { operation: permit.operation, credential: scope.credential.id, body: retry.body }
  const kept = belonging && encryptSignatures(signatures, request.sad, belonging)
  const place = await recordSuccess(services.log, permit, scope.credential, signatures, kept)
  step('after-outcome', permit.operation)
  return released(services.log.origin, permit.operation, signatures, place)
}

/** Who asks, for which key, with which authorization; nothing of it judged but the token and the credential's binding. */
async function loadContext(services: SignHashServices, request: Request): Promise<SigningContext> {
  try {
    return await services.contexts.load(request)
  } catch (error) {
    if (error instanceof ServiceError && isRefusal(error)) {
      const actor = { kind: 'anonymous' } as const
      await services.log.append({
        type: 'sign.denied',
        outcome: 'refused',
        actor,
        origin: request.origin,
        why: reasonOf(error),
      })
    }
    throw error
  }
}

/** The caller's usable credential, a mechanism its key can do, and digests of that mechanism's length. */
async function requireSignable(services: SignHashServices, context: SigningContext, request: Request) {
  try {
    const credential = requireUsable(context.caller, context.credential, services.clock.now())
    const mechanism = requireMechanism(credential.spec, request.mechanism)
    return { credential, mechanism, digests: requireDigests(request) }
  } catch (error) {
    if (error instanceof ServiceError) {
      const { caller } = context
      await services.log.append({
        type: 'sign.denied',
        outcome: 'refused',
        actor: { kind: 'signer', id: caller.signerId },
        origin: request.origin,
        why: error.code,
        evidence: {
          client: caller.clientId,
          signer: caller.signerId,
          session: caller.sessionId,
          ...(isUuid(request.credentialId) ? { credential: request.credentialId } : {}),
        },
      })
    }
    throw error
  }
}

function requireDigests(request: Request): Digest[] {
  if (request.digests.length === 0) throw new ServiceError('digests_empty')
  if (request.digests.length > MAX_DIGESTS) throw new ServiceError('signature_count_too_high')
  try {
    return request.digests.map((text) => digest(request.mechanism.hash, Buffer.from(text, 'base64')))
  } catch {
    throw new ServiceError('digest_length_invalid')
  }
}

/** The only use of a signer's key: under a permit, and every signature checked outside the device. */
async function signPermitted(services: SignHashServices, permit: SigningPermit): Promise<Uint8Array[]> {
  const { credential, mechanism, digests } = permit.spend()
  step('before-device', permit.operation)
  const signatures = await services.hsm.sign(signerKey(credential), mechanism, digests, performance.now() + DEVICE_MS)
  step('after-device', permit.operation)
  if (signatures.length !== digests.length)
    throw new HsmError('indeterminate', 'the device returned another number of signatures')
  services.verifier.requireValid(credential, mechanism, digests, signatures)
  return signatures
}

async function recordFailure(
  log: SigningLog,
  permit: SigningPermit,
  { not_after: notAfter }: Credential,
  error: unknown,
): Promise<void> {
  const result = error instanceof HsmError && error.code !== 'indeterminate' ? 'failed' : 'indeterminate'
  const why = error instanceof HsmError ? `device_${error.code}` : 'internal'
  const common = { op: permit.operation, actor: { kind: 'system' }, why, notAfter } as const
  await log
    .guarded(
      { ...common, type: 'sign.outcome', outcome: result },
      { ...common, type: 'sign.withheld', outcome: result },
      { kind: 'close', state: result },
      performance.now() + OUTCOME_MS,
    )
    // Without it the intention stays open, and the reconciler closes it.
    .catch(() => {})
}

async function recordSuccess(
  log: SigningLog,
  permit: SigningPermit,
  { not_after: notAfter }: Credential,
  signatures: readonly Uint8Array[],
  kept: Uint8Array | undefined,
): Promise<LogPlace> {
  const common = {
    op: permit.operation,
    actor: { kind: 'system' },
    notAfter,
    signatureHashes: signatures.map((bytes) => hash('sha256', bytes, 'buffer')),
  } as const satisfies Omit<AuditEvent, 'type' | 'outcome'>
  const { why, idx, leafHash } = await log.guarded(
    { ...common, type: 'sign.outcome', outcome: 'ok' },
    { ...common, type: 'sign.withheld', outcome: 'refused' },
    { kind: 'close', state: 'signed', ...(kept === undefined ? {} : { signatures: kept }) },
    performance.now() + OUTCOME_MS,
  )
  if (why === FLUSH_REASON.sessionEnded) throw new ServiceError('token_expired')
  if (why === FLUSH_REASON.revoked) throw new ServiceError('sad_unknown')
  if (why !== FLUSH_REASON.asWished) throw new ServiceError('unavailable', { retryAfter: 1 })
  return { index: idx, leafHash }
}
