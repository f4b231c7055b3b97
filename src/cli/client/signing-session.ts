import type { Digest } from '../../digest.js'
import type { Mechanism } from '../../hsm/hsm.js'
import type { CscClient, CscCredential, CscFactor, CscSession, Signed } from './csc-client.js'
import type { SignerAccount } from './signer-account.js'

/** Most digests in one call; the service takes no more, whatever a credential allows. */
const MAX_CALL = 500
/** How much of a session must be left for an authorization and the signatures, in milliseconds. */
const TIME_TO_SIGN = 60_000

/** One signer at one service, for as long as a command runs: logs in again when the session runs out. */
export class SigningSession {
  readonly #client: CscClient
  readonly #account: SignerAccount
  #session: CscSession | undefined

  constructor(client: CscClient, account: SignerAccount) {
    this.#client = client
    this.#account = account
  }

  /** @throws CscError */
  async credentials(): Promise<CscCredential[]> {
    return this.#client.credentials(await this.#loggedIn())
  }

  /**
   * One agreement and the signatures under it, in the order of the digests.
   * @param digests at most `batchSize`, all of the mechanism's hash
   * @throws CscError
   */
  async sign(credential: CscCredential, mechanism: Mechanism, digests: readonly Digest[]): Promise<Signed> {
    const pins = new Map<string, string>()
    for (const { id } of credential.factors.filter(({ kind }) => kind === 'pin'))
      pins.set(id, await this.#account.pin())
    // The password first: a person must not type a code and then wait for it to grow old.
    await this.#account.password()
    return this.#account.withCode(async (code) => {
      const codes = credential.factors
        .filter(({ kind }) => kind === 'code')
        .map(({ id }): [string, string] => [id, code])
      const session = await this.#loggedIn()
      const { credentialId } = credential
      const sad = await this.#client.authorize(session, credentialId, digests, new Map([...pins, ...codes]))
      return this.#client.signHash(session, credential, sad, mechanism, digests)
    })
  }

  /** The receipt of what was signed. @throws Error saying why there is none */
  async receipt(operation: string): Promise<string> {
    return this.#client.receipt(await this.#loggedIn(), operation)
  }

  /** Ends the session at the service; a service that cannot be reached any more ends it by itself. */
  async close(): Promise<void> {
    const session = this.#session
    this.#session = undefined
    if (session !== undefined) await this.#client.revoke(session).catch(() => undefined)
  }

  async #loggedIn(): Promise<CscSession> {
    if (this.#session !== undefined && this.#session.expiresAt - performance.now() > TIME_TO_SIGN) return this.#session
    await this.close()
    this.#session = await this.#client.login(this.#account.login, await this.#account.password())
    return this.#session
  }
}

/** Most digests for one agreement. */
export function batchSize({ multisign }: CscCredential): number {
  return Math.min(multisign, MAX_CALL)
}

/** Why this client cannot sign with a credential, if so. */
export function whyNotUsable({ enabled, mode, factors, certificates }: CscCredential): string | undefined {
  if (!enabled) return 'it is disabled'
  if (certificates.length === 0) return 'it has no certificate'
  if (mode !== 'explicit') return 'its signer agrees on a page of the service, which this command cannot open'
  const strange = factors.find(({ kind }) => kind === 'other')
  if (strange !== undefined) return `this command cannot present the factor ${strange.id}`
  return factors.some(isCode) ? undefined : 'it asks for no one-time code'
}

function isCode({ kind }: CscFactor): boolean {
  return kind === 'code'
}
