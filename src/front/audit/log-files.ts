import { hash } from 'node:crypto'
import type { Origin } from '../../activation.js'
import { shownCheckpoint } from '../../audit/stored-tree.js'
import type { Clock } from '../../clock.js'
import { sqlState } from '../../db/transaction.js'
import { ServiceError } from '../../errors.js'
import { encodeBundle, parseTilePath, TILE_WIDTH, tileWidth } from '../../tlog/tiles.js'
import { HASH_BYTES } from '../../tlog/tree.js'
import { Answer, open } from '../contract.js'
import type { Reader } from '../database.js'
import type { SamClient } from '../sam-client.js'
import type { FrontConfig } from '../services.js'
import { loggedBefore } from '../worker.js'
import { type Look, lookAtLog, operatorTokenIn } from './look.js'

interface Services {
  readonly auditors: Reader
  readonly strangers: { readonly store: Reader }
  readonly sam: SamClient
  readonly clock: Clock
  readonly config: Pick<FrontConfig, 'auditPublic'>
}

/** How long one entry of the log speaks for all that an auditor reads of its files, in milliseconds. */
const MINUTE = 60_000

/**
 * The log as files, which whatever reads C2SP tlog-tiles can read. They end where the checkpoint does that is shown: what stands
 * beyond it is not signed yet, or not cosigned.
 */
export function logFileDoors(services: Services) {
  const { auditors, strangers } = services
  const { auditPublic } = services.config
  const admit = admitting(services)

  return {
    logCheckpoint: open<'logCheckpoint'>((request) =>
      readFile(auditPublic ? undefined : admit(request), async () => {
        const shown = await shownCheckpoint((auditPublic ? strangers.store : auditors).query)
        return shown && new Answer(200, shown.note, kept(auditPublic, 'max-age=1'))
      }),
    ),

    logTile: open<'logTile'>((request) => {
      const tile = parseTilePath(`tile/${request.rest}`)
      const isOpen = auditPublic && tile?.level !== 'entries'
      return readFile(isOpen ? undefined : admit(request), async (look) => {
        if (tile === undefined) return undefined
        const { level, n, width } = tile
        const bytes =
          level === 'entries'
            ? await bundle(look as Look, n, width)
            : await hashes(isOpen ? strangers.store : auditors, level, n, width)
        // What a whole one holds stays so for good. Others are asked for while the log grows.
        const long = width === TILE_WIDTH ? 'max-age=31536000, immutable' : 'max-age=60'
        return bytes && new Answer(200, bytes, kept(isOpen, long))
      })
    }),
  }

  async function hashes(reader: Reader, level: number, n: number, width: number): Promise<Buffer | undefined> {
    const text = `select t.data, (select max(size) from audit.checkpoint) as size from audit.tile t where t.level = $1 and t.n = $2`
    const [row] = await reader.query<{ data: Buffer; size: number | null }>('tile', text, [level, n])
    if (row === undefined || tileWidth(row.size ?? 0, level, n) < width) return undefined
    return row.data.subarray(0, width * HASH_BYTES)
  }

  async function bundle({ ticket }: Look, n: number, width: number): Promise<Buffer | undefined> {
    const text = 'select leaf from audit.bundle($1, $2, $3)'
    const rows = await auditors.query<{ leaf: Buffer }>('bundle', text, [ticket, n, width]).catch(refusedTicket)
    return rows.length < width ? undefined : encodeBundle(rows.map(({ leaf }) => leaf))
  }
}

/** What the database says of a ticket that it does not know, or no longer. @throws ServiceError `token_unknown` */
export function refusedTicket(error: unknown): never {
  throw sqlState(error) === '42501' ? new ServiceError('token_unknown', { cause: error }) : error
}

const kept = (isOpen: boolean, how: string) => ({ 'cache-control': `${isOpen ? 'public' : 'private'}, ${how}` })

/** @throws ServiceError `not_found`, which is no news to the log where a look stands there already */
async function readFile<T>(
  admitted: Promise<Look> | undefined,
  read: (look: Look | undefined) => Promise<T | undefined>,
): Promise<T> {
  const look = await admitted
  const found = async () => {
    const file = await read(look)
    if (file === undefined) throw new ServiceError('not_found')
    return file
  }
  return look === undefined ? found() : loggedBefore(found)
}

/**
 * Lets those in who may read what is not for everybody. The first read of an operator in a minute is an entry, and all others
 * of that minute go with it.
 * @throws ServiceError as `lookAtLog`
 */
function admitting({ sam, clock }: Services) {
  const known = new Map<string, { readonly look: Promise<Look>; readonly until: number }>()
  return async ({ origin, authorization }: { origin: Origin; authorization: string | undefined }): Promise<Look> => {
    const token = operatorTokenIn(authorization)
    const key = hash('sha256', token, 'base64url')
    const now = clock.now()
    for (const [old, { until }] of known) if (until <= now || until > now + MINUTE) known.delete(old)
    const found = known.get(key)
    if (found !== undefined) return found.look
    const look = lookAtLog(sam, { origin, token, kind: 'read', what: 'files' })
    known.set(key, { look, until: now + MINUTE })
    return look.catch((error: unknown) => {
      known.delete(key)
      throw error
    })
  }
}
