/**
 * The yardstick: one process that signs digests with the device and checks each signature, and does nothing else. As many
 * of them run as the service has workers. Settings as JSON on standard input, operations as JSON on standard output.
 */
import { text } from 'node:stream/consumers'
import type { KeySpec, Mechanism } from '../src/hsm/hsm.js'
import { openHsm } from '../src/hsm/open-hsm.js'
import { VerificationKey } from '../src/hsm/openssl.js'

export interface RawSettings {
  readonly hsmUri: string
  readonly seconds: number
  readonly spec: KeySpec
  readonly mechanism: Mechanism
  /** Base64. */
  readonly blob: string
  readonly associatedData: string
  readonly publicKey: string
}

const settings = JSON.parse(await text(process.stdin)) as RawSettings
const hsm = await openHsm(settings.hsmUri)
const publicKey = new VerificationKey(Buffer.from(settings.publicKey, 'base64'))
const key = {
  kind: 'signer',
  cacheId: 'raw',
  spec: settings.spec,
  blob: Buffer.from(settings.blob, 'base64'),
  associatedData: Buffer.from(settings.associatedData, 'base64'),
} as const
const digest = { algorithm: settings.mechanism.hash, bytes: Buffer.alloc(32, 7) } as const
const batch = Array.from({ length: 32 }, () => digest)
const sign = async () => {
  const signatures = await hsm.sign(key, settings.mechanism, batch, Number.POSITIVE_INFINITY)
  for (const signature of signatures)
    if (!publicKey.verify(settings.mechanism, digest, signature)) throw new Error('a wrong signature')
}
await sign()
const start = performance.now()
const used = process.cpuUsage()
let done = 0
while (performance.now() - start < settings.seconds * 1000) {
  await sign()
  done += batch.length
}
const elapsed = performance.now() - start
const { user, system } = process.cpuUsage(used)
process.stdout.write(JSON.stringify({ rate: (done / elapsed) * 1000, cpu: (user + system) / done }))
await hsm.close()
