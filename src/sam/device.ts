import type { Logger } from 'pino'
import { ServiceError } from '../errors.js'
import { type Hsm, HsmError } from '../hsm/hsm.js'

const AWAY: readonly string[] = ['unavailable', 'indeterminate', 'refused']

/** A device that is away becomes `unavailable`; any other error stays what it is. */
export function asServiceError(error: unknown): unknown {
  if (!(error instanceof HsmError && AWAY.includes(error.code))) return error
  return new ServiceError('unavailable', { retryAfter: 1, cause: error })
}

/**
 * Key making runs beside the event loop, so that a module which hangs in it goes unnoticed by the supervisor and keeps one of
 * the few threads for good. A process that is stuck there ends itself, and is replaced.
 */
const KEY_MAKING_MS = 60_000

/** The device as the verbs of a worker use it. */
export function guardedDevice(device: Hsm, logger: Logger): Hsm {
  const generateSignerKey: Hsm['generateSignerKey'] = async (spec, associatedData) => {
    const stuck = setTimeout(() => {
      logger.fatal({ spec }, 'the device makes no key and does not answer; this worker ends')
      process.kill(process.pid, 'SIGKILL')
    }, KEY_MAKING_MS)
    try {
      return await device.generateSignerKey(spec, associatedData)
    } finally {
      clearTimeout(stuck)
    }
  }
  return {
    description: device.description,
    random: (length) => device.random(length),
    generateSignerKey,
    sign: (key, mechanism, digests, deadline) => device.sign(key, mechanism, digests, deadline),
    createServiceKey: (name, spec) => device.createServiceKey(name, spec),
    serviceKey: (name) => device.serviceKey(name),
    seal: (plaintext, associatedData) => device.seal(plaintext, associatedData),
    unseal: (sealed, associatedData) =>
      device.unseal(sealed, associatedData).catch((error: unknown) => {
        throw asServiceError(error)
      }),
    close: () => device.close(),
  }
}
