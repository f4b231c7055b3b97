import { generateKeyPairSync, type KeyObject, sign } from 'node:crypto'
import { hostname } from 'node:os'
import { type BootId, newId } from '../ids.js'

export type BootKind = 'init' | 'sam' | 'front' | 'keeper'

/**
 * One life of one writer: a fresh Ed25519 key that exists only in this process. Its public half is announced in the log
 * under a device signature before its first entry, and it signs every commit of the writer, so that nobody with the
 * database alone can slip an entry in under a writer's name.
 */
export interface Boot {
  readonly id: BootId
  readonly kind: BootKind
  readonly node: string
  /** DER SubjectPublicKeyInfo. */
  readonly publicKey: Buffer
  readonly privateKey: KeyObject
}

export function newBoot(kind: BootKind, node: string = hostname()): Boot {
  const pair = generateKeyPairSync('ed25519')
  return {
    id: newId<BootId>(),
    kind,
    node: node.replace(/[^\x20-\x7e]/g, '?').slice(0, 64),
    publicKey: pair.publicKey.export({ type: 'spki', format: 'der' }),
    privateKey: pair.privateKey,
  }
}

/** What is signed to announce a boot: a domain tag, the log's origin, and the boot, one a line. */
export function announcementText(origin: string, boot: Pick<Boot, 'id' | 'kind' | 'node' | 'publicKey'>): string {
  return ['paraph/boot/v1', origin, boot.id, boot.kind, boot.node, boot.publicKey.toString('base64url'), ''].join('\n')
}

/** Ed25519 over `paraph/flush/v1`, LF, the boot id, LF, the flush number, LF, and the flush body. */
export function signFlush(boot: Boot, flush: number, body: Uint8Array): Buffer {
  return sign(null, Buffer.concat([Buffer.from(`paraph/flush/v1\n${boot.id}\n${flush}\n`), body]), boot.privateKey)
}
