import type { PackSource } from '../../audit/pack.js'
import { decodeBase64 } from '../../tlog/note.js'
import type { AuditClient, Export, ExportPart } from './audit-client.js'
import { CscError } from './csc-error.js'

type Item = Readonly<Record<string, unknown>>

/**
 * An export as a pack is written from it. Nothing is held but a page of each part. Whether it is right is not judged here:
 * entries must make the tree that was signed, and the verifier looks at the rest.
 * @param options.told told now and then how many entries were read
 */
export function exportSource(
  client: AuditClient,
  begun: Export,
  options: { readonly openings: boolean; readonly told: (done: number) => void },
): PackSource {
  const leaves = client.read(begun, 'entries')
  async function* part<Made>(name: ExportPart, make: (item: Item) => Made): AsyncGenerator<Made> {
    for await (const item of client.read(begun, name)) yield make(item)
  }
  return {
    checkpoint: begun.checkpoint,
    async entries(from, to) {
      const entries: Buffer[] = []
      for (let index = from; index < to; index++) {
        const { value, done } = await leaves.next()
        if (done === true) break
        if (value['idx'] !== index) throw unreadable('entries')
        entries.push(bytes('entries', value['leaf']))
      }
      options.told(from + entries.length)
      return entries
    },
    openings: () =>
      options.openings
        ? part('openings', ({ idx, class: kind, seed, fields }) => {
            if (kind !== 1 && kind !== 2) throw unreadable('openings')
            return {
              ...{ index: whole('openings', idx), class: kind },
              ...{ seed: bytes('openings', seed), fields: text('openings', fields) },
            }
          })
        : none(),
    flushes: () =>
      part('flushes', ({ boot, no, first, body, signature }) => ({
        ...{ boot: text('flushes', boot), no: whole('flushes', no), first: whole('flushes', first) },
        ...{ body: bytes('flushes', body), signature: bytes('flushes', signature) },
      })),
    checkpoints: () =>
      part('checkpoints', ({ size, note }) => ({ size: whole('checkpoints', size), note: text('checkpoints', note) })),
    anchors: () =>
      part('anchors', ({ size, response }) => ({ size: whole('anchors', size), response: bytes('anchors', response) })),
  }
}

async function* none(): AsyncGenerator<never> {}

function whole(part: ExportPart, value: unknown): number {
  if (!Number.isSafeInteger(value) || (value as number) < 0) throw unreadable(part)
  return value as number
}

function text(part: ExportPart, value: unknown): string {
  if (typeof value !== 'string') throw unreadable(part)
  return value
}

function bytes(part: ExportPart, value: unknown): Buffer {
  const decoded = typeof value === 'string' ? decodeBase64(value) : undefined
  if (decoded === undefined) throw unreadable(part)
  return decoded
}

function unreadable(part: ExportPart): CscError {
  return new CscError(`the service's ${part} are not as openapi.yaml has them`, { retryable: false })
}
