/** A client of the CSC API v2 (§11.2, 11.3, 11.6, 11.8, 11.13), which knows the service only by its address. */
import { randomUUID } from 'node:crypto'
import type { Digest } from '../../digest.js'
import type { Mechanism } from '../../hsm/hsm.js'
import { DIGEST_OID, RSA_OID, signatureOid } from '../../pki/algorithm.js'
import { type Answer, call, object, readText, serviceAddress } from './call.js'
import { CscError, noAnswer, type Repeat } from './csc-error.js'
import { factorsToPresent } from './factor-expression.js'
import { type ReceiptClaim, readClaim } from './receipt.js'

/** How often a receipt is asked for, how long each of them may wait for it in seconds, and take in milliseconds. */
const RECEIPT_ASKED = 2
const RECEIPT_WAIT = 5
const RECEIPT_TIME = 10_000

/** A login. */
export interface CscSession {
  readonly token: string
  /** `performance.now()` after which the token is of no use. */
  readonly expiresAt: number
}

/** What a factor is for this client. */
export interface CscFactor {
  /** Names it in `authData`. */
  readonly id: string
  readonly kind: 'code' | 'pin' | 'other'
}

/** A credential as `credentials/list` describes it. */
export interface CscCredential {
  readonly credentialId: string
  readonly enabled: boolean
  /** Values that `signAlgo` may have. */
  readonly algorithms: readonly string[]
  /** DER, leaf first. */
  readonly certificates: readonly Uint8Array[]
  /** Most signatures for one authorization. */
  readonly multisign: number
  /** `explicit`: the signer's factors go through this client. */
  readonly mode: string
  /** What this client presents: what the credential's expression needs at least. */
  readonly factors: readonly CscFactor[]
}

/** What signing gave. */
export interface Signed {
  /** In the order of the digests. */
  readonly signatures: readonly Uint8Array[]
  /** Where the service says that its log has them; not all services keep such a log. */
  readonly claim: ReceiptClaim | undefined
}

/** Safe to use from several places at once; keeps nothing between calls. */
export class CscClient {
  readonly #base: URL
  readonly #timeOut: number

  /**
   * @param address the service's, with or without `/csc/v2`
   * @param timeOut how long one call may take, in milliseconds
   * @throws RangeError when it is not http or https, or when it is http to another computer: password and code would
   *   cross the network in clear
   */
  constructor(address: string, timeOut = 60_000) {
    this.#timeOut = timeOut
    const url = serviceAddress(address)
    const path = url.pathname.replace(/\/+$/, '')
    this.#base = new URL(`${path.endsWith('/csc/v2') ? path : `${path}/csc/v2`}/`, url)
  }

  /** @throws CscError */
  async login(login: string, password: string): Promise<CscSession> {
    const started = performance.now()
    const basic = Buffer.from(`${login}:${password}`).toString('base64')
    const answer = await this.#call('auth/login', `Basic ${basic}`, {}, 'repeatable')
    const { access_token: token, expires_in: seconds = 3600 } = members(answer)
    if (typeof token !== 'string' || typeof seconds !== 'number') throw unexpected('auth/login', answer)
    return { token, expiresAt: started + seconds * 1000 }
  }

  /** Ends the session; its authorizations die with it. @throws CscError */
  async revoke(session: CscSession): Promise<void> {
    await this.#call('auth/revoke', bearer(session), { token: session.token }, 'repeatable')
  }

  /** All credentials of the signer with their certificates and factors. @throws CscError */
  async credentials(session: CscSession): Promise<CscCredential[]> {
    const body = { credentialInfo: true, certificates: 'chain', certInfo: false, authInfo: true }
    const answer = await this.#call('credentials/list', bearer(session), body, 'repeatable')
    const { credentialInfos } = members(answer)
    if (!Array.isArray(credentialInfos)) throw unexpected('credentials/list', answer)
    return credentialInfos.map((info) => {
      const credential = readCredential(object(info)?.credentialID, info)
      if (credential === undefined) throw unexpected('credentials/list', answer)
      return credential
    })
  }

  /** One credential. @throws CscError */
  async credential(session: CscSession, credentialId: string): Promise<CscCredential> {
    const body = { credentialID: credentialId, certificates: 'chain', certInfo: false, authInfo: true }
    const answer = await this.#call('credentials/info', bearer(session), body, 'repeatable')
    const credential = readCredential(credentialId, answer.body)
    if (credential === undefined) throw unexpected('credentials/info', answer)
    return credential
  }

  /**
   * The signer's agreement to sign exactly these digests, all of one algorithm.
   * @param factors what the signer presents, by factor id
   * @returns the SAD
   * @throws CscError; not retryable when no answer came and the code may have been used
   */
  async authorize(
    session: CscSession,
    credentialId: string,
    digests: readonly Digest[],
    factors: ReadonlyMap<string, string>,
  ): Promise<string> {
    const body = {
      credentialID: credentialId,
      numSignatures: digests.length,
      ...hashes(digests),
      authData: [...factors].map(([id, value]) => ({ id, value })),
    }
    const answer = await this.#call('credentials/authorize', bearer(session), body, 'once')
    const { SAD } = members(answer)
    if (typeof SAD !== 'string') throw unexpected('credentials/authorize', answer)
    return SAD
  }

  /**
   * Signatures in the order of the digests: RSA of the modulus' length, ECDSA in DER. A lost answer is asked for once
   * more, under the same `Idempotency-Key`; a service that does not know the header refuses the SAD or signs the same
   * digests again.
   * @throws CscError; not retryable when no answer came and the authorization may have been used
   */
  async signHash(
    session: CscSession,
    credential: CscCredential,
    sad: string,
    mechanism: Mechanism,
    digests: readonly Digest[],
  ): Promise<Signed> {
    const body = {
      credentialID: credential.credentialId,
      SAD: sad,
      ...hashes(digests),
      signAlgo: signAlgo(credential, mechanism),
    }
    const name = { 'idempotency-key': randomUUID() }
    const ask = () => this.#call('signatures/signHash', bearer(session), body, 'once', name)
    const answer = await ask().catch(async (lost: CscError) => {
      if (lost.status !== undefined || lost.retryable) throw lost
      // What the second says of a SAD that the first may have spent is no news.
      return ask().catch(() => Promise.reject(lost))
    })
    const { signatures } = members(answer)
    if (!Array.isArray(signatures) || signatures.length !== digests.length || !signatures.every(isBase64)) {
      throw unexpected('signatures/signHash', answer)
    }
    return {
      signatures: signatures.map((signature) => new Uint8Array(Buffer.from(signature, 'base64'))),
      claim: readClaim(answer.headers.get('audit-receipt')),
    }
  }

  /**
   * The receipt of a signing, which is not of the CSC API; waited for a few seconds.
   * @throws Error saying why there is none
   */
  async receipt(session: CscSession, operation: string): Promise<string> {
    const url = new URL(`../../audit/v1/receipts/${operation}`, this.#base)
    for (let i = 0; i < RECEIPT_ASKED; i++) {
      const response = await fetch(url, {
        headers: { authorization: bearer(session), accept: 'text/plain', prefer: `wait=${RECEIPT_WAIT}` },
        redirect: 'error',
        signal: AbortSignal.timeout(RECEIPT_TIME),
      }).catch((cause: unknown) => Promise.reject(noAnswer(this.#base.origin, 'repeatable', cause)))
      const text = await readText(response)
      if (response.status === 200) return text
      if (response.status !== 202) throw new Error(`the service answered ${response.status}`)
    }
    throw new Error('the log of the service was not signed in time')
  }

  #call(
    method: string,
    authorization: string,
    body: object,
    repeat: Repeat,
    headers: Readonly<Record<string, string>> = {},
  ): Promise<Answer> {
    const url = new URL(method, this.#base)
    return call({ url, authorization, body, headers, timeOut: this.#timeOut, repeat })
  }
}

/**
 * The `signAlgo` for a mechanism, as this credential spells it.
 * @throws RangeError when the credential does not sign this way
 */
function signAlgo({ algorithms }: CscCredential, mechanism: Mechanism): string {
  const exact = signatureOid(mechanism)
  if (algorithms.includes(exact)) return exact
  if (mechanism.scheme === 'rsa-pkcs1' && algorithms.includes(RSA_OID)) return RSA_OID
  throw new RangeError(`the credential does not sign ${mechanism.hash} digests by ${mechanism.scheme}`)
}

/** Whether a credential offers this mechanism. */
export function offers(credential: CscCredential, mechanism: Mechanism): boolean {
  try {
    signAlgo(credential, mechanism)
    return true
  } catch {
    return false
  }
}

function hashes(digests: readonly Digest[]): { hashes: string[]; hashAlgorithmOID: string } {
  const [first] = digests
  if (first === undefined) throw new RangeError('nothing to sign')
  return {
    hashes: digests.map(({ bytes }) => Buffer.from(bytes).toString('base64')),
    hashAlgorithmOID: DIGEST_OID[first.algorithm],
  }
}

function bearer({ token }: CscSession): string {
  return `Bearer ${token}`
}

function readCredential(credentialId: unknown, info: unknown): CscCredential | undefined {
  const { key, cert, auth, multisign } = object(info) ?? {}
  const { status, algo } = object(key) ?? {}
  const { certificates = [] } = object(cert) ?? {}
  const { mode, objects = [], expression } = object(auth) ?? {}
  if (typeof credentialId !== 'string' || typeof mode !== 'string') return undefined
  if (!Array.isArray(algo) || !Array.isArray(certificates) || !Array.isArray(objects)) return undefined
  if (!Number.isInteger(multisign) || (multisign as number) < 1 || !certificates.every(isBase64)) return undefined
  return {
    credentialId,
    enabled: status === 'enabled',
    algorithms: algo.map(String),
    certificates: certificates.map((der) => new Uint8Array(Buffer.from(der, 'base64'))),
    multisign: multisign as number,
    mode,
    factors: factorsToPresent(objects.map(readFactor), typeof expression === 'string' ? expression : undefined),
  }
}

function readFactor(value: unknown): CscFactor {
  const { id, type, generator } = object(value) ?? {}
  const kind = type !== 'Password' ? 'other' : generator === 'totp' ? 'code' : generator === undefined ? 'pin' : 'other'
  return { id: String(id), kind }
}

function members(answer: Answer): Record<string, unknown> {
  return object(answer.body) ?? {}
}

function isBase64(value: unknown): value is string {
  return typeof value === 'string' && value !== '' && Buffer.from(value, 'base64').toString('base64') === value
}

function unexpected(method: string, { requestId }: Answer): CscError {
  return new CscError(`the service's answer to ${method} is not as CSC API v2 has it`, { requestId, retryable: false })
}
