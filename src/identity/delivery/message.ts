/** How a message reaches a signer. */
export const CHANNELS = ['sms', 'email'] as const
export type Channel = (typeof CHANNELS)[number]

/** Plain text, for one address that the service itself keeps. */
export interface Message {
  readonly channel: Channel
  readonly to: string
  /** Of a mail. */
  readonly subject: string
  readonly text: string
}

/** Hands a message on. Rejects when it was not taken over; in no error is any of it. */
export type Send = (message: Message) => Promise<void>
