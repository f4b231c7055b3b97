import { createHmac } from 'node:crypto'
import { hash, verify } from '@node-rs/argon2'
import { ServiceError } from '../errors.js'
import { Lane } from '../lane.js'

/** OWASP's second choice for argon2id: 19 MiB, two passes. 10 ms of one core. */
const ARGON2ID = 2
const PARAMETERS = { algorithm: ARGON2ID, memoryCost: 19456, timeCost: 2, parallelism: 1 }
const RUNNING = 1
const WAITING = 32

/** What is kept as a slow hash; a value of one purpose never passes for another. */
type Purpose = 'password' | 'pin' | 'recovery' | 'code'

const SHORTEST = 12

/**
 * A password that a signer may choose: length is what counts (NIST SP 800-63B §3.1.1), and neither the login nor one
 * letter over and over.
 * @throws ServiceError `password_weak`
 */
export function requirePassword(password: string, login: string): string {
  const plain = password.normalize('NFKC')
  const weak =
    [...plain].length < SHORTEST ||
    plain.length > 1024 ||
    new Set(plain).size < 5 ||
    (login.length > 3 && plain.toLowerCase().includes(login.toLowerCase()))
  if (weak) throw new ServiceError('password_weak')
  return password
}

/**
 * Slow hashes of passwords and PINs. The value is keyed by HMAC-SHA-256 with a pepper that only the device can open, so
 * that a thief of the database cannot even begin to guess. Its own small queue sheds load instead of starving signing.
 */
export class PasswordHasher {
  readonly #pepper: Uint8Array
  readonly #lane = new Lane({ atOnce: RUNNING, mostWaiting: WAITING })
  #decoy: Promise<string> | undefined

  /** @param pepper 32 bytes */
  constructor(pepper: Uint8Array) {
    this.#pepper = pepper
  }

  /** @returns a PHC string of argon2id. @throws ServiceError `overloaded` */
  hash(purpose: Purpose, value: string): Promise<string> {
    return this.#lane.run(() => hash(this.#keyed(purpose, value), PARAMETERS))
  }

  /**
   * Without `stored` the same work is done and the answer is false, so that an unknown login takes as long as a wrong
   * password. @throws ServiceError `overloaded`
   */
  async verify(purpose: Purpose, stored: string | undefined, value: string): Promise<boolean> {
    this.#decoy ??= hash(this.#keyed(purpose, ''), PARAMETERS)
    const against = stored ?? (await this.#decoy)
    const right = await this.#lane.run(() => verify(against, this.#keyed(purpose, value)))
    return right && stored !== undefined
  }

  #keyed(purpose: string, value: string): string {
    return createHmac('sha256', this.#pepper).update(`${purpose}\0`).update(value.normalize('NFKC')).digest('base64')
  }
}
