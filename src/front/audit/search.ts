import { EVENTS } from '../../audit/event.js'
import { searchTag } from '../../audit/leaf.js'
import { ServiceError } from '../../errors.js'
import { isUuid } from '../../ids.js'
import type { AuditedRequest } from '../contract.js'
import { decodeBase64 } from '../csc/digests.js'
import type { Reader } from '../database.js'
import type { AuditEntries, AuditEntry } from '../wire.js'
import { findEntries, opened, openedDigests } from './log-reads.js'

const PAGE = 100

type Filters = AuditedRequest<'auditEntries'>['parameters']

/** A page of the entries that fit every filter. */
export async function search(db: Reader, { parameters, look }: AuditedRequest<'auditEntries'>): Promise<AuditEntries> {
  const { from, to, operation, event, outcome, order = 'newest', cursor, limit = PAGE } = parameters
  const events = event === undefined ? undefined : eventsOf(event)
  const wanted = await openingsWanted(db, parameters)
  if (wanted === undefined) return { size: look.size, entries: [] }
  const tags = Object.entries(wanted).map(([name, value]) => searchTag(name, value))
  const newest = order === 'newest'
  const { entries, next } = await findEntries(db, look, {
    newest,
    most: limit,
    ...(operation === undefined ? {} : { op: operation }),
    ...(from === undefined ? {} : { from: new Date(from) }),
    ...(to === undefined ? {} : { to: new Date(to) }),
    ...(cursor === undefined ? {} : newest ? { high: cursor } : { low: cursor }),
    ...(tags.length === 0 ? {} : { tags }),
    ...(events === undefined ? {} : { events }),
    ...(outcome === undefined ? {} : { outcome }),
  })
  const fitting = entries.filter((entry) => isWithin(entry, from, to) && opens(entry, wanted))
  return { size: look.size, entries: fitting, ...(next === undefined ? {} : { next }) }
}

/** @throws ServiceError `parameter_invalid` */
function eventsOf(event: string): number[] {
  const events = Object.entries(EVENTS)
    .filter(([name]) => name === event || name.startsWith(`${event}.`))
    .map(([, { ev }]) => ev)
  if (events.length === 0) throw new ServiceError('parameter_invalid', { detail: 'Invalid parameter event' })
  return events
}

type Wanted = Partial<Record<'signer' | 'credential' | 'client' | 'digest', string>>

/**
 * What an opening must say, by the names of tags; undefined where there is no such signer.
 * @throws ServiceError `parameter_invalid`
 */
async function openingsWanted(db: Reader, filters: Filters): Promise<Wanted | undefined> {
  const { signer, credential, client, digest } = filters
  const id = signer === undefined ? undefined : await signerId(db, signer)
  if (signer !== undefined && id === undefined) return undefined
  return {
    ...(id === undefined ? {} : { signer: id }),
    ...(credential === undefined ? {} : { credential }),
    ...(client === undefined ? {} : { client }),
    ...(digest === undefined ? {} : { digest: digestOf(digest) }),
  }
}

/** An id is taken as it is: the log outlives the signer's row. */
async function signerId(db: Reader, signer: string): Promise<string | undefined> {
  if (isUuid(signer)) return signer
  const text = 'select id from paraph.signer where lower(login) = lower($1)'
  return (await db.query<{ id: string }>('audit_signer', text, [signer]))[0]?.id
}

function digestOf(text: string): string {
  const bytes = decodeBase64(text)
  if (bytes === undefined) throw new ServiceError('parameter_invalid', { detail: 'Invalid parameter digest' })
  return bytes.toString('base64url')
}

function isWithin({ leaf }: AuditEntry, from: string | undefined, to: string | undefined): boolean {
  const time = Date.parse(leaf.t)
  return (from === undefined || time >= Date.parse(from)) && (to === undefined || time < Date.parse(to))
}

function opens(entry: AuditEntry, { digest, ...named }: Wanted): boolean {
  return (
    (digest === undefined || openedDigests(entry).includes(digest)) &&
    Object.entries(named).every(([name, value]) => opened(entry, name) === value)
  )
}
