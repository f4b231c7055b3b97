import { ServiceError } from '../../errors.js'
import { audited, open } from '../contract.js'
import type { Reader } from '../database.js'
import type { AuditExportItem } from '../wire.js'
import { refusedTicket } from './log-files.js'
import { operatorTokenIn } from './look.js'

type Part = 'entries' | 'openings' | 'flushes' | 'checkpoints' | 'anchors'

/** The last row's key asks for what comes after it. */
interface Row {
  readonly key: number
}
interface Rows {
  readonly entries: Row & { leaf: Buffer }
  readonly openings: Row & { idx: number; class: 1 | 2; seed: Buffer; fields: string }
  readonly flushes: Row & { boot: string; no: number; body: Buffer; signature: Buffer }
  readonly checkpoints: Row & { note: string }
  readonly anchors: Row & { response: Buffer }
}

const base64 = (bytes: Buffer) => bytes.toString('base64')

/** Rows as the parts of a pack (docs/audit-format.md) have them, binary values in base64. */
const ITEM: { readonly [P in Part]: (row: Rows[P]) => AuditExportItem } = {
  entries: ({ key, leaf }) => ({ idx: key, leaf: base64(leaf) }),
  openings: ({ idx, class: kind, seed, fields }) => ({ idx, class: kind, seed: base64(seed), fields }),
  flushes: ({ key, boot, no, body, signature }) => ({
    ...{ boot, no, first: key },
    ...{ body: base64(body), signature: base64(signature) },
  }),
  checkpoints: ({ key, note }) => ({ size: key, note }),
  anchors: ({ key, response }) => ({ size: key, response: base64(response) }),
}

/** An export: begun by an auditor, which is an entry of the log, and read with its ticket for an hour. */
export function exportDoors({ auditors }: { readonly auditors: Reader }) {
  return {
    auditExport: audited<'auditExport'>('export', 'pack', async ({ parameters, look }) => {
      const { size } = parameters
      const [checkpoint] = await auditors.query<{ size: number; note: string }>(
        'export_checkpoint',
        'select size, note from audit.export_checkpoint($1, $2)',
        [look.ticket, size ?? null],
      )
      if (checkpoint !== undefined) {
        const ticket = look.ticket.toString('base64url')
        return {
          ...{ ticket, size: checkpoint.size, checkpoint: checkpoint.note },
          expiresAt: look.expiresAt.toISOString(),
        }
      }
      if (size !== undefined) throw new ServiceError('parameter_invalid', { detail: 'Invalid parameter size' })
      // The next one is on its way.
      throw new ServiceError('unavailable', { retryAfter: 1 })
    }),

    auditExportRead: open<'auditExportRead'>(async ({ authorization, body }) => {
      const { part, size, after = -1 } = body
      const ticket = Buffer.from(operatorTokenIn(authorization), 'base64url')
      const rows = await auditors
        .query<Row>(`export_${part}`, `select * from audit.export_${part}($1, $2, $3)`, [ticket, size, after])
        .catch(refusedTicket)
      const last = rows.at(-1)?.key
      const itemOf = ITEM[part] as (row: Row) => AuditExportItem
      return { items: rows.map(itemOf), ...(last === undefined ? {} : { last }) }
    }),
  }
}
