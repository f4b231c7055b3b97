import { isUuid } from '../../../ids.js'
import type { Reader } from '../../database.js'
import type { AuditEntry } from '../../wire.js'
import { opened } from '../log-reads.js'

/** What signers and clients are called now, by their ids in the log. Who is gone has only an id. */
export interface Names {
  signer(id: string): string
  client(id: string): string
}

export async function namesIn(db: Reader, entries: readonly AuditEntry[]): Promise<Names> {
  const all = (name: string, of = entries) => of.flatMap((entry) => opened(entry, name) ?? [])
  const acting = (kind: string) =>
    all(
      'actor',
      entries.filter(({ leaf }) => leaf.act === kind),
    )
  const signers = [...new Set([...all('signer'), ...acting('signer')])].filter(isUuid)
  const clients = [...new Set([...all('client'), ...acting('client')])]
  const logins = await read(
    db,
    'audit_logins',
    'select id, login as name from paraph.signer where id = any($1)',
    signers,
  )
  const names = await read(db, 'audit_clients', 'select id, name from paraph.client where id = any($1)', clients)
  return { signer: (id) => logins.get(id) ?? id, client: (id) => names.get(id) ?? id }
}

async function read(db: Reader, name: string, text: string, ids: readonly string[]): Promise<Map<string, string>> {
  if (ids.length === 0) return new Map()
  const rows = await db.query<{ id: string; name: string }>(name, text, [ids])
  return new Map(rows.map((row) => [row.id, row.name]))
}
