import { ServiceError } from '../../errors.js'
import { readSecretFile } from '../../secret-file.js'
import type { Channel, Message, Send } from './message.js'
import { outbox } from './outbox.js'
import { sms } from './sms.js'
import { smtp } from './smtp.js'

/** Where messages are handed to: settings of the operator, never anything of a request. */
export interface DeliverySettings {
  /** Folder for messages of channels that have nothing else; demo only. */
  readonly outbox?: string
  readonly mail?: { readonly url: string; readonly from: string; readonly passwordFile?: string }
  readonly sms?: { readonly url: string; readonly tokenFile?: string }
}

/** Longest that a message may take, in milliseconds; a front waits for its answer for longer than that. */
const LONGEST_MS = 7000

/**
 * What takes messages over, by channel. Lives in the workers: a front never sees a code before its signer enters it.
 */
export class Delivery {
  readonly #senders: Partial<Record<Channel, Send>>

  constructor(senders: Partial<Record<Channel, Send>>) {
    this.#senders = senders
  }

  /** @throws Error about a file of a secret, saying what to type */
  static open({ outbox: folder, mail, sms: gateway }: DeliverySettings): Delivery {
    const kept = folder === undefined ? undefined : outbox(folder)
    const secret = (file: string | undefined) => (file === undefined ? undefined : readSecretFile(file))
    return new Delivery({
      ...(kept === undefined ? {} : { sms: kept, email: kept }),
      ...(mail === undefined ? {} : { email: smtp(mail.url, mail.from, secret(mail.passwordFile), LONGEST_MS) }),
      ...(gateway === undefined ? {} : { sms: sms(gateway.url, secret(gateway.tokenFile), LONGEST_MS) }),
    })
  }

  has(channel: Channel): boolean {
    return this.#senders[channel] !== undefined
  }

  /** Taken over when it resolves. @throws ServiceError `unavailable` */
  async send(message: Message): Promise<void> {
    const send = this.#senders[message.channel]
    let late: NodeJS.Timeout | undefined
    try {
      if (send === undefined) throw new Error(`nothing delivers by ${message.channel}`)
      await Promise.race([
        send(message),
        new Promise((_resolve, reject) => {
          late = setTimeout(() => reject(new Error(`${message.channel} took too long`)), LONGEST_MS)
        }),
      ])
    } catch (cause) {
      throw new ServiceError('unavailable', { retryAfter: 5, cause })
    } finally {
      clearTimeout(late)
    }
  }
}
