import { setImmediate } from 'node:timers/promises'
import type { Digest } from '../digest.js'
import { asHsmError, requireInTime } from './calls.js'
import type { Connection } from './connection.js'
import type { Device } from './device.js'
import { HsmError, type Mechanism, type ServiceKey, type SignerKey } from './hsm.js'
import type { Lease } from './key-cache.js'
import { pkcs11Signing, requireFit, TURN } from './mechanisms.js'
import { type Handle, isLost } from './pkcs11.js'
import { cacheName, decodeWrapped, wrappedKeyContext } from './sealed-blob.js'
import { unseal } from './sealing.js'

/**
 * Longest that signing goes on before the event loop gets a turn, in milliseconds: a process that signs on a slow device
 * must not be taken for a hung one.
 */
const LONGEST_TURN_MS = 50

/** A key to sign with, and the connection that its handle belongs to. */
interface Ready {
  readonly connection: Connection
  readonly lease: Lease<Handle>
}

/** `Hsm.sign` for the PKCS#11 device. */
export async function signDigests(
  device: Device,
  key: SignerKey | ServiceKey,
  mechanism: Mechanism,
  digests: readonly Digest[],
  deadline: number,
): Promise<Uint8Array[]> {
  requireFit(key.spec, mechanism, digests)
  const { mechanism: how, input, resultLength, output } = pkcs11Signing(key.spec, mechanism)
  const signatures: Uint8Array[] = []
  let begun = false
  let ready: Ready | undefined
  let turnEnds = Number.POSITIVE_INFINITY
  try {
    for (const [index, digest] of digests.entries()) {
      let now = requireInTime(deadline)
      if (index > 0 && (index % TURN[key.spec] === 0 || now > turnEnds)) {
        await setImmediate()
        turnEnds = Number.POSITIVE_INFINITY
        now = requireInTime(deadline)
      }
      turnEnds = Math.min(turnEnds, now + LONGEST_TURN_MS)
      ready = readyToSign(device, key, ready, ({ connection, lease }, beginning) =>
        connection.operate((session) => {
          connection.pkcs11.C_SignInit(session, how, lease.key)
          // From here on the device may have signed: whatever happens, it is not tried again and not called a clean failure.
          begun = true
          beginning()
          signatures.push(output(connection.pkcs11.C_Sign(session, input(digest), Buffer.alloc(resultLength))))
        }),
      )
    }
    requireInTime(deadline)
    return signatures
  } catch (error) {
    throw asHsmError(error, begun)
  } finally {
    ready?.lease.release()
  }
}

/**
 * Makes one signature with a key that is ready; on a connection that turns out to be lost, once more on a new one, but only
 * if the signature had not begun. Returns what is ready for the next one.
 */
function readyToSign(
  device: Device,
  key: SignerKey | ServiceKey,
  before: Ready | undefined,
  signOne: (ready: Ready, beginning: () => void) => void,
): Ready {
  let ready = before
  for (let attempt = 1; ; attempt++) {
    let begun = false
    try {
      ready ??= makeReady(device.connect(), key)
      signOne(ready, () => {
        begun = true
      })
      return ready
    } catch (error) {
      ready?.lease.release()
      if (isLost(error)) device.drop(ready?.connection)
      if (!isLost(error) || begun || attempt > 1) throw error
      ready = undefined
    }
  }
}

function makeReady(connection: Connection, key: SignerKey | ServiceKey): Ready {
  if (key.kind === 'service') {
    const held = connection.serviceKey(key.name)
    if (held === undefined) throw new HsmError('not_found', `there is no service key ${key.name}`)
    if (!Buffer.from(key.publicKey).equals(held.key.publicKey)) {
      throw new HsmError('rejected', `the service key ${key.name} is another one by now`)
    }
    return { connection, lease: { key: held.handle, release: () => undefined } }
  }
  const name = cacheName(key)
  return { connection, lease: connection.cache.acquire(name) ?? connection.cache.put(name, unwrap(connection, key)) }
}

function unwrap(connection: Connection, key: SignerKey): Handle {
  const { kekEpoch, box } = decodeWrapped(key.blob)
  const kek = connection.keys.keks.get(kekEpoch)
  if (kek === undefined) throw new HsmError('rejected', 'wrapped under a KEK that this device does not have')
  const wrapped = unseal(connection, box, wrappedKeyContext(kekEpoch, key.spec, key.associatedData))
  return connection.unwrap(kek, wrapped, key.spec)
}
