import type { TransactionLog } from '../audit/transaction-log.js'
import type { RowBinding } from '../binding.js'
import { isUuid, type SignerId } from '../ids.js'
import type { Delivery } from './delivery/delivery.js'
import { CHANNELS, type Channel } from './delivery/message.js'
import { cancelInvitations } from './invitation.js'

export interface NoticeServices {
  readonly transactions: TransactionLog
  readonly binding: RowBinding
  readonly delivery: Delivery
  /** How browsers reach the service. */
  readonly publicUrl: string
}

/**
 * Tells a signer, on every channel there is, that an operator's link will replace his authenticators, from when on, and
 * where to stop it without a login or a code. A channel that fails is left out: the link waits all the same.
 * @returns the channels that took the notice over
 */
export async function sendReplacementNotice(
  { delivery, binding, publicUrl }: NoticeServices,
  signer: { readonly id: SignerId; readonly email: string | null; readonly phone: string | null },
  usableFrom: Date,
): Promise<Channel[]> {
  const when = `${usableFrom.toISOString().slice(0, 16).replace('T', ' ')} UTC`
  const stop = `${publicUrl}/portal/stop/${objection(binding, signer.id, usableFrom)}`
  const text = [
    `A new authenticator was asked for your signing account at ${publicUrl}. From ${when} on it can replace the ones you have.`,
    `If you did not ask for it, stop it here: ${stop}`,
    `Poproszono o nową aplikację z kodami dla Twojego konta do podpisywania. Od ${when} może zastąpić obecne. Jeśli o nią nie prosisz, zatrzymaj to pod tym adresem.`,
  ].join('\n\n')
  const subject = 'A new authenticator was asked for / Poproszono o nową aplikację z kodami'
  const to: Record<Channel, string | null> = { email: signer.email, sms: signer.phone }
  const taken: Channel[] = []
  for (const channel of CHANNELS) {
    const address = to[channel]
    if (address === null || !delivery.has(channel)) continue
    await delivery.send({ channel, to: address, subject, text }).then(
      () => taken.push(channel),
      () => undefined,
    )
  }
  return taken
}

/**
 * Stops the link that a notice told of. Whoever has the notice may: an objection must never be hard, and costs its signer
 * nothing but another link. Answers the same whether there was still something to stop.
 */
export async function stopReplacement(
  { transactions, binding }: Pick<NoticeServices, 'transactions' | 'binding'>,
  token: string,
): Promise<void> {
  const [signer = '', at = ''] = token.split('.')
  if (!isUuid(signer) || !/^\d{1,15}$/.test(at)) return
  if (token !== objection(binding, signer as SignerId, new Date(Number(at)))) return
  await transactions.transact(async (tx, record) => {
    if ((await cancelInvitations(tx, binding, signer as SignerId, new Date(Number(at)))) === 0) return
    record({
      type: 'signer.invited',
      outcome: 'refused',
      actor: { kind: 'signer', id: signer },
      why: 'cancelled',
      evidence: { signer },
    })
  })
}

/** Names the link by its signer and its time; the MAC is one that only a worker makes. */
function objection(binding: RowBinding, signer: SignerId, usableFrom: Date): string {
  const mac = binding.mac('replacement_objection', [signer, usableFrom]).toString('base64url')
  return `${signer}.${usableFrom.getTime()}.${mac}`
}
