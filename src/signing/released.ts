import type { FrontVerbs } from '../activation.js'
import type { LogPlace } from '../authorization/retry.js'
import type { OperationId } from '../ids.js'

/** What leaves of a signing: its signatures, and where in which log its outcome stands. */
export function released(
  origin: string,
  operation: OperationId,
  signatures: readonly Uint8Array[],
  { index, leafHash }: LogPlace,
): FrontVerbs['sign']['response'] {
  return {
    operation,
    signatures: signatures.map((bytes) => Buffer.from(bytes).toString('base64')),
    receipt: { origin, index, leafHash: Buffer.from(leafHash).toString('base64') },
  }
}
