import { isIP } from 'node:net'

/** Where passkeys of this service belong; from PARAPH_PUBLIC_URL, never from a request. */
export interface RelyingParty {
  readonly origin: string
  readonly id: string
}

/** @returns undefined where the address is a number, which no passkey can belong to (WebAuthn §5.1.2). */
export function relyingPartyOf(publicUrl: string): RelyingParty | undefined {
  const { origin, hostname } = new URL(publicUrl)
  return isIP(hostname.replace(/^\[|\]$/g, '')) === 0 ? { origin, id: hostname } : undefined
}
