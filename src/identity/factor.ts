import type { Tx } from '../audit/transaction-log.js'
import type { RowBinding } from '../binding.js'
import type { FactorKind } from '../factor-kind.js'
import type { Hsm } from '../hsm/hsm.js'
import type { FactorId, SignerId } from '../ids.js'
import { type CodeAlgorithm, driftedStepOfCode, driftOf, stepOfCode } from './one-time-code.js'

/** What a signer agrees with, as the database keeps it. */
export interface Factor {
  readonly id: FactorId
  readonly signer_id: SignerId
  readonly kind: FactorKind
  readonly state: 'active' | 'revoked' | 'ended'
  readonly generation: number
  /** Of a `totp`; null for others. */
  readonly algorithm: CodeAlgorithm | null
  readonly sealed_secret: Uint8Array
  readonly demo: boolean
  /** The credential id of a `passkey`. */
  readonly webauthn_id: Uint8Array | null
  /** The last time step used, or a passkey's signature counter. */
  readonly last_step: number
  readonly binding: Uint8Array
}

export const FACTOR_COLUMNS =
  'id, signer_id, kind, state, generation, algorithm, sealed_secret, demo, last_step, webauthn_id, binding'

/** Fields under the row binding: everything but the step, which only grows. */
export function factorFields(factor: Omit<Factor, 'binding' | 'last_step'>) {
  const { id, signer_id, kind, state, generation, algorithm, sealed_secret, demo, webauthn_id } = factor
  const common = [id, signer_id, kind, state, generation, algorithm, sealed_secret, demo]
  return webauthn_id === null ? common : [...common, webauthn_id]
}

/** A new factor of a signer, from now on. */
export async function insertFactor(
  tx: Tx,
  binding: RowBinding,
  given: Omit<Factor, 'binding' | 'state' | 'webauthn_id'> & {
    readonly label?: string
    readonly webauthn_id?: Uint8Array
  },
): Promise<void> {
  const row = { ...given, state: 'active', webauthn_id: given.webauthn_id ?? null } as const
  await tx.query(
    `insert into paraph.factor (id, signer_id, kind, state, generation, algorithm, sealed_secret, demo, last_step, label, webauthn_id, binding)
     values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)`,
    [
      row.id,
      row.signer_id,
      row.kind,
      row.state,
      row.generation,
      row.algorithm,
      row.sealed_secret,
      row.demo,
      row.last_step,
      row.label ?? null,
      row.webauthn_id,
      binding.mac('factor', factorFields(row)),
    ],
  )
}

/** Its codes are taken no longer, for good; the row's lock is held or does not matter. */
export async function closeFactor(
  tx: Tx,
  binding: RowBinding,
  factor: Factor,
  state: 'revoked' | 'ended',
): Promise<void> {
  await tx.query('update paraph.factor set state = $2, binding = $3 where id = $1', [
    factor.id,
    state,
    binding.mac('factor', factorFields({ ...factor, state })),
  ])
}

/** What a factor's secret is sealed to: it opens nowhere else. */
export function factorAssociatedData(factor: Pick<Factor, 'id' | 'signer_id' | 'generation' | 'kind'>): Uint8Array {
  return Buffer.from(['paraph/factor/v1', factor.kind, factor.signer_id, factor.id, factor.generation].join('\n'))
}

/** A code's factor and time step. */
interface CodeMatch {
  readonly factor: Factor
  readonly step: number
  /** Where the code is not right: by how many seconds the authenticator's clock is ahead, or behind if negative. */
  readonly drift?: number
}

/**
 * The factor and step that a code belongs to: that of a right code, else of one that another clock would make right. A row
 * that does not fit its binding, or a secret that does not open, matches nothing.
 */
export async function matchCode(
  hsm: Pick<Hsm, 'unseal'>,
  binding: RowBinding,
  factors: readonly Factor[],
  code: string,
  now: number,
): Promise<CodeMatch | undefined> {
  let right: CodeMatch | undefined
  let drifted: CodeMatch | undefined
  for (const factor of factors) {
    if (factor.state !== 'active' || !binding.fits('factor', factorFields(factor), factor.binding)) continue
    let opened: Uint8Array
    try {
      opened = await hsm.unseal(factor.sealed_secret, factorAssociatedData(factor))
    } catch (error) {
      if ((error as { code?: string }).code === 'rejected') continue
      throw error
    }
    const [secret, algorithm] = [Buffer.from(opened).toString(), factor.algorithm ?? 'SHA1']
    const step = stepOfCode(secret, algorithm, code, now)
    const far = driftedStepOfCode(secret, algorithm, code, now)
    if (step !== undefined) right ??= { factor, step }
    if (far !== undefined) drifted ??= { factor, step: far, drift: driftOf(far, now) }
  }
  return right ?? drifted
}
