import { channel } from 'node:diagnostics_channel'

/**
 * The steps of a signing, published as they happen on the diagnostics channel `paraph.signing` with `{ step, operation }`.
 * Whoever subscribes runs within the step: traces and timings hang here, and the crash tests end the process here.
 */
const signing = channel('paraph.signing')

export type SigningStep =
  | 'before-intent'
  | 'after-intent'
  | 'before-device'
  | 'after-device'
  | 'before-outcome'
  | 'after-outcome'

export function step(name: SigningStep, operation?: string): void {
  if (signing.hasSubscribers) signing.publish({ step: name, operation })
}
