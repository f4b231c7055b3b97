import type { RowBinding } from '../binding.js'
import type { Hsm } from '../hsm/hsm.js'
import type { FactorId, SignerId } from '../ids.js'
import { type CodeAlgorithm, stepOfCode } from './one-time-code.js'

/** An enrolled authenticator, as the database keeps it. */
export interface Factor {
  readonly id: FactorId
  readonly signer_id: SignerId
  readonly kind: 'totp'
  readonly state: 'active' | 'revoked' | 'ended'
  readonly generation: number
  readonly algorithm: CodeAlgorithm
  readonly sealed_secret: Uint8Array
  readonly demo: boolean
  readonly last_step: number
  readonly binding: Uint8Array
}

export const FACTOR_COLUMNS =
  'id, signer_id, kind, state, generation, algorithm, sealed_secret, demo, last_step, binding'

/** Fields under the row binding: everything but the step, which only grows. */
export function factorFields(factor: Omit<Factor, 'binding' | 'last_step'>) {
  const { id, signer_id, kind, state, generation, algorithm, sealed_secret, demo } = factor
  return [id, signer_id, kind, state, generation, algorithm, sealed_secret, demo]
}

/** What a factor's secret is sealed to: it opens nowhere else. */
export function factorAssociatedData(factor: Pick<Factor, 'id' | 'signer_id' | 'generation' | 'kind'>): Uint8Array {
  return Buffer.from(['paraph/factor/v1', factor.kind, factor.signer_id, factor.id, factor.generation].join('\n'))
}

/** The factor and step that a code belongs to. A row that does not fit its binding, or a secret that does not open, matches nothing. */
export async function matchCode(
  hsm: Pick<Hsm, 'unseal'>,
  binding: RowBinding,
  factors: readonly Factor[],
  code: string,
  now: number,
): Promise<{ factor: Factor; step: number } | undefined> {
  let match: { factor: Factor; step: number } | undefined
  for (const factor of factors) {
    if (factor.state !== 'active' || !binding.fits('factor', factorFields(factor), factor.binding)) continue
    let secret: Uint8Array
    try {
      secret = await hsm.unseal(factor.sealed_secret, factorAssociatedData(factor))
    } catch (error) {
      if ((error as { code?: string }).code === 'rejected') continue
      throw error
    }
    const step = stepOfCode(Buffer.from(secret).toString(), factor.algorithm, code, now)
    if (step !== undefined && match === undefined) match = { factor, step }
  }
  return match
}
