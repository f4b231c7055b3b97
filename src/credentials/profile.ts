import type { KeySpec } from '../hsm/hsm.js'

/** What a certificate policy means for the key under it. */
export interface Profile {
  /** OID of the certificate policy, which the certificate carries. */
  readonly policy: string
  readonly spec: KeySpec
}

/**
 * What a signer can have made over the API (CSC API v2.2 §11.4). The arc 2.999 is set aside for examples (ITU-T X.660):
 * these policies are the demo CA's, and no other CA is asked.
 */
const PROFILES: readonly Profile[] = [
  { policy: '2.999.1.1', spec: 'rsa-3072' },
  { policy: '2.999.1.2', spec: 'p-256' },
]

export function profileOf(policy: string): Profile | undefined {
  return PROFILES.find((profile) => profile.policy === policy)
}

/** Signatures that one authorization may cover, unless an operator said another number. */
export const MULTISIGN = 100
