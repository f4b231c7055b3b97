/** What a signer can agree with: a code of an authenticator app, a code that was sent, or a passkey. */
export const FACTOR_KINDS = ['totp', 'sms', 'email', 'passkey'] as const
export type FactorKind = (typeof FACTOR_KINDS)[number]
