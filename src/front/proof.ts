import { hash } from 'node:crypto'
import { calculateJwkThumbprint, EmbeddedJWK, jwtVerify } from 'jose'
import type { Clock } from '../clock.js'
import { ServiceError } from '../errors.js'
import { addReplay, type StoreDatabase } from '../identity/oauth-store.js'

export const PROOF_ALGORITHMS = ['ES256', 'ES384', 'PS256', 'Ed25519', 'EdDSA']

/** What came with a token. */
export interface Proof {
  readonly scheme: 'bearer' | 'dpop'
  readonly token: string
  /** The DPoP header. */
  readonly proof: string | undefined
  readonly method: string
  readonly path: string
  /** The client's certificate, DER, where this front ends TLS itself. */
  readonly certificate: Uint8Array | undefined
}

export interface ProofServices {
  readonly store: StoreDatabase
  readonly clock: Clock
  readonly publicUrl: string
}

/** Seconds that a proof may be old or early; it is remembered for longer than that. */
const WINDOW = 60

/**
 * A token that is bound to a key comes with a fresh proof of that key for exactly this request, which no front has seen
 * before (RFC 9449 §7); one that is bound to a certificate comes over a connection with it (RFC 8705 §3).
 * @throws ServiceError `proof_invalid`; `token_unknown` for a token without a key under the DPoP scheme; `unavailable`
 */
export async function requireProof(services: ProofServices, confirmation: string | null, shown: Proof): Promise<void> {
  if (confirmation === null) {
    if (shown.scheme === 'dpop') throw new ServiceError('token_unknown')
    return
  }
  const value = confirmation.slice(4)
  if (confirmation.startsWith('x5t:')) {
    const { certificate } = shown
    if (certificate === undefined || hash('sha256', certificate, 'base64url') !== value) {
      throw new ServiceError('proof_invalid')
    }
    return
  }
  if (shown.scheme !== 'dpop' || shown.proof === undefined) throw new ServiceError('proof_invalid')
  const jti = await checkProof(services, shown, shown.proof, value)
  if (!(await addReplay(services.store, `${value}\n${jti}`, 3 * WINDOW))) throw new ServiceError('proof_invalid')
}

/** @returns the proof's own name */
async function checkProof(
  { clock, publicUrl }: ProofServices,
  shown: Proof,
  proof: string,
  thumbprint: string,
): Promise<string> {
  const now = Math.floor(clock.now() / 1000)
  const { payload, protectedHeader } = await jwtVerify(proof, EmbeddedJWK, {
    typ: 'dpop+jwt',
    algorithms: PROOF_ALGORITHMS,
    currentDate: new Date(clock.now()),
  }).catch(() => {
    throw new ServiceError('proof_invalid')
  })
  const { iat, jti, htm, htu, ath } = payload
  const right =
    typeof jti === 'string' &&
    jti.length <= 256 &&
    typeof iat === 'number' &&
    Math.abs(now - iat) <= WINDOW &&
    htm === shown.method &&
    sameAddress(htu, `${publicUrl}${shown.path}`) &&
    ath === hash('sha256', shown.token, 'base64url') &&
    protectedHeader.jwk !== undefined &&
    (await calculateJwkThumbprint(protectedHeader.jwk)) === thumbprint
  if (!right) throw new ServiceError('proof_invalid')
  return jti
}

function sameAddress(htu: unknown, ours: string): boolean {
  if (typeof htu !== 'string' || !URL.canParse(htu)) return false
  const theirs = new URL(htu)
  theirs.search = ''
  theirs.hash = ''
  return theirs.href === new URL(ours).href
}
