import { hash } from 'node:crypto'
import type { Digest } from '../digest.js'
import { ServiceError } from '../errors.js'
import type { Mechanism } from '../hsm/hsm.js'
import { secretHash } from '../identity/secret-value.js'
import type { CredentialId, OperationId } from '../ids.js'

/** A request whose client named it (`Idempotency-Key`), so that asking again does not sign again. */
export interface RetryName {
  /** SHA-256 of the key that the client chose. Means something for its client, signer and credential only. */
  readonly key: Uint8Array
  /** SHA-256 of what is asked for. */
  readonly body: Uint8Array
}

/** Where an entry stands in the log. */
export interface LogPlace {
  readonly index: number
  readonly leafHash: Uint8Array
}

/** What became of an earlier request under the same key. */
export interface Earlier {
  readonly operation: OperationId
  readonly body: Uint8Array
  /** Encrypted (`../signing/kept-signatures.ts`); null where none were released. */
  readonly signatures: Uint8Array | null
  /** An outcome may still come. */
  readonly open: boolean
  /** Of the outcome, where signatures were released. */
  readonly outcome: LogPlace | undefined
}

/** The name of this request, if it has one. Everything that decides what is signed, and by whose agreement, is in its body. */
export function retryName(
  { retryKey, sad, mechanism }: { retryKey?: string; sad: string; mechanism: Mechanism },
  credential: CredentialId,
  digests: readonly Digest[],
): RetryName | undefined {
  if (retryKey === undefined) return undefined
  const body = [
    'paraph/retry/v1',
    credential,
    secretHash(sad).toString('hex'),
    mechanism.scheme,
    mechanism.hash,
    mechanism.scheme === 'rsa-pss' ? mechanism.saltLength : null,
    digests.map(({ bytes }) => Buffer.from(bytes).toString('hex')),
  ]
  return { key: secretHash(retryKey), body: hash('sha256', JSON.stringify(body), 'buffer') }
}

/**
 * The encrypted signatures of the same request, and where the log says that they were released.
 * @throws ServiceError `retry_contradicts`, `retry_in_progress`, `retry_spent`
 */
export function requireReleased(earlier: Earlier, retry: RetryName): { kept: Uint8Array; outcome: LogPlace } {
  if (!Buffer.from(earlier.body).equals(retry.body)) throw new ServiceError('retry_contradicts')
  if (earlier.open) throw retryInProgress()
  const { signatures: kept, outcome } = earlier
  if (kept === null || outcome === undefined) throw new ServiceError('retry_spent')
  return { kept, outcome }
}

export function retryInProgress(): ServiceError {
  return new ServiceError('retry_in_progress', { retryAfter: 1 })
}
