import { EVENTS } from '../../audit/event.js'
import { searchTag } from '../../audit/leaf.js'
import { ServiceError } from '../../errors.js'
import type { AuditedRequest } from '../contract.js'
import type { Reader } from '../database.js'
import type { AuditEntry, AuditStory } from '../wire.js'
import { findEntries, firstCheckpoints, opened, openedDigests } from './log-reads.js'
import type { Look } from './look.js'

/** Longest that an authorization can have been given before it is used (docs/audit-format.md, R4). */
const LONGEST_GRANT = 24 * 3600_000
/** Longest that an approval waits for its token. */
const LONGEST_APPROVAL = 3600_000
const MOST_STEPS = 5
const MOST = 500

const AUTHORIZATIONS = [EVENTS['sad.issued'].ev, EVENTS['sad.extended'].ev, EVENTS['sad.revoked'].ev]

/** Everything that the log says of one operation. @throws ServiceError `not_found` */
export async function tellStory(
  db: Reader,
  { parameters, look }: AuditedRequest<'auditOperation'>,
): Promise<AuditStory> {
  const { op } = parameters
  const { entries } = await findEntries(db, look, { op, newest: false, most: MOST })
  if (entries.length === 0) throw new ServiceError('not_found')
  const begun = entries.find(({ leaf }) => ['sign.intent', 'sign.denied', 'sign.repeated'].includes(leaf.ev))
  const grant = begun === undefined ? [] : await grantOf(db, look, begun)
  const covered = await firstCheckpoints(
    db,
    look,
    entries.map(({ index }) => index),
  )
  return {
    op,
    size: look.size,
    entries,
    grant,
    checkpoints: covered.map(({ idx, size, created_at }) => ({
      index: idx,
      size,
      createdAt: created_at.toISOString(),
    })),
  }
}

/** What was agreed to before this entry, as far as openings still tell: the authorization, and the approval it came of. */
async function grantOf(db: Reader, look: Look, begun: AuditEntry): Promise<AuditEntry[]> {
  const authorization = opened(begun, 'authorization')
  const credential = opened(begun, 'credential')
  if (authorization === undefined || credential === undefined) return []
  const entries = await searchBack(db, look, begun, {
    names: { credential },
    events: AUTHORIZATIONS,
    within: LONGEST_GRANT,
    fits: (entry) => opened(entry, 'authorization') === authorization,
    ends: (entry) => entry.leaf.ev === 'sad.issued',
  })
  const issued = entries.find(({ leaf }) => leaf.ev === 'sad.issued')
  return [...(issued === undefined ? [] : await approvalOf(db, look, issued)), ...entries]
}

/** The approval that an authorization came of: always one by passkey, and one that was fetched with OAuth 2. */
async function approvalOf(db: Reader, look: Look, issued: AuditEntry): Promise<AuditEntry[]> {
  const { f = {}, api } = issued.leaf
  const [signer, client, credential, factor] = ['signer', 'client', 'credential', 'factor'].map((name) =>
    opened(issued, name),
  )
  if (f.factor !== 'passkey' && api !== 'oauth2') return []
  if (signer === undefined || client === undefined || credential === undefined) return []
  const digests = openedDigests(issued).join()
  const granted = (entry: AuditEntry) =>
    entry.leaf.out === 'ok' && opened(entry, 'factor') === factor && openedDigests(entry).join() === digests
  return searchBack(db, look, issued, {
    names: { signer, client, credential },
    events: [EVENTS['approval.granted'].ev],
    within: LONGEST_APPROVAL,
    fits: granted,
    ends: () => true,
  })
}

/** The fitting entries before one, back to the one that ends the search, oldest first. */
async function searchBack(
  db: Reader,
  look: Look,
  before: AuditEntry,
  wanted: {
    readonly names: Readonly<Record<string, string>>
    readonly events: readonly number[]
    readonly within: number
    readonly fits: (entry: AuditEntry) => boolean
    readonly ends: (entry: AuditEntry) => boolean
  },
): Promise<AuditEntry[]> {
  const { names, events, within, fits, ends } = wanted
  const tags = Object.entries(names).map(([name, value]) => searchTag(name, value))
  const from = new Date(Date.parse(before.leaf.t) - within)
  const fitting: AuditEntry[] = []
  let high: number | undefined = before.index
  for (let step = 0; high !== undefined && step < MOST_STEPS; step++) {
    const { entries, next } = await findEntries(db, look, { tags, events, from, high, newest: true, most: MOST })
    for (const entry of entries.filter((entry) => fits(entry))) {
      fitting.unshift(entry)
      if (ends(entry)) return fitting
    }
    high = next
  }
  return fitting
}
