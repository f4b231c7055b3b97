import { hash } from 'node:crypto'
import type { Hsm, ServiceKey } from '../hsm/hsm.js'
import { announcementText, type Boot } from './boot.js'
import type { Record, Tx } from './transaction-log.js'

/** Name of the device key that announces boots: ECDSA P-256, named in the log's first entry. */
export const ANNOUNCE_KEY = 'announce'

const DEVICE_MS = 10_000

/** The device's word for a boot: ECDSA (DER) over SHA-256 of `announcementText`. */
export function signAnnouncement(
  hsm: Pick<Hsm, 'sign'>,
  key: ServiceKey,
  origin: string,
  boot: Pick<Boot, 'id' | 'kind' | 'node' | 'publicKey'>,
): Promise<Uint8Array> {
  return signText(hsm, key, announcementText(origin, boot))
}

/** The device's word for a key that signs checkpoints, in the same form, over `paraph/checkpoint-key/v1`, origin and key. */
export function signCheckpointKey(
  hsm: Pick<Hsm, 'sign'>,
  key: ServiceKey,
  origin: string,
  vkey: string,
): Promise<Uint8Array> {
  return signText(hsm, key, ['paraph/checkpoint-key/v1', origin, vkey, ''].join('\n'))
}

async function signText(hsm: Pick<Hsm, 'sign'>, key: ServiceKey, text: string): Promise<Uint8Array> {
  const [signature] = await hsm.sign(
    key,
    { scheme: 'ecdsa', hash: 'sha-256' },
    [{ algorithm: 'sha-256', bytes: hash('sha256', text, 'buffer') }],
    performance.now() + DEVICE_MS,
  )
  if (signature === undefined) throw new Error('the device did not sign')
  return signature
}

/** Writes the announcement, unless it stands there already: the row by which the database knows the writer, and the entry by which everybody else does. */
export async function recordAnnouncement(
  tx: Tx,
  record: Record,
  boot: Pick<Boot, 'id' | 'kind' | 'node' | 'publicKey'>,
  signature: Uint8Array,
): Promise<void> {
  const { rowCount } = await tx.query(
    `insert into audit.boot (id, kind, node, public_key, announced_at) values ($1, $2, $3, $4, paraph.now()) on conflict do nothing`,
    [boot.id, boot.kind, boot.node, boot.publicKey],
  )
  if (rowCount === 0) return
  record({
    type: 'audit.start',
    outcome: 'ok',
    actor: { kind: 'system' },
    facts: {
      writer: boot.id,
      kind: boot.kind,
      host: boot.node,
      key: boot.publicKey.toString('base64url'),
      signature: Buffer.from(signature).toString('base64url'),
    },
  })
}
