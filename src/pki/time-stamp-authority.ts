import { ServiceError } from '../errors.js'
import type { Hsm, ServiceKey } from '../hsm/hsm.js'
import { digestOf, usualMechanism } from './algorithm.js'
import { checkTimeStampChain, parseCertificate } from './certificate.js'
import { prepareCms } from './cms.js'
import { signerOf } from './service-signer.js'
import { type TimeStampWish, TST_INFO, timeStampInfo } from './time-stamp.js'

/**
 * A time-stamp authority (RFC 3161): its key in a token of its own, its certificates, the policy under which it stamps.
 * It neither knows what time it is nor counts: the moment is given, and no moment may be given twice.
 */
export class TimeStampAuthority {
  readonly policy: string
  readonly #hsm: Pick<Hsm, 'sign'>
  readonly #key: ServiceKey
  readonly #chain: readonly Uint8Array[]
  /** Milliseconds. */
  readonly #notAfter: number

  /**
   * @param chain DER, leaf first; the leaf is for this key, and for time-stamps only
   * @param policy OID
   * @throws ServiceError `not_allowed` saying what is wrong with the chain; where all is well but that it has expired, nothing is
   *   stamped
   */
  constructor(
    device: { readonly hsm: Pick<Hsm, 'sign'>; readonly key: ServiceKey },
    options: { readonly chain: readonly Uint8Array[]; readonly policy: string; readonly now: Date },
  ) {
    const { chain, policy, now } = options
    const notAfter = Math.min(...chain.map((der) => parseCertificate(der).notAfter.getTime()))
    const then = new Date(Math.min(now.getTime(), notAfter))
    checkTimeStampChain(chain, { publicKey: device.key.publicKey, now: then })
    this.#hsm = device.hsm
    this.#key = device.key
    this.#chain = chain
    this.#notAfter = notAfter
    this.policy = policy
  }

  /**
   * @param at microseconds since 1970, which are the serial number, too
   * @returns DER ContentInfo, its signature checked with the certificate
   * @throws ServiceError `unavailable` when the certificate has expired; HsmError
   */
  async stamp(wish: TimeStampWish, at: bigint): Promise<Uint8Array> {
    if (at / 1000n > BigInt(this.#notAfter)) {
      const cause = new Error('the certificate of the time-stamp authority has expired')
      throw new ServiceError('unavailable', { retryAfter: 60, cause })
    }
    const mechanism = usualMechanism(this.#key.publicKey)
    if (mechanism === undefined) throw new ServiceError('internal', { cause: new Error('a key of a kind unknown') })
    const info = timeStampInfo(wish, this.policy, at)
    const prepared = prepareCms({
      messageDigest: digestOf(mechanism.hash, info),
      certificates: this.#chain,
      content: { type: TST_INFO, bytes: info },
      included: wish.certificates ? this.#chain : [],
    })
    return prepared.finish(await signerOf(this.#hsm, this.#key)(prepared.toSign, mechanism), mechanism)
  }
}
