import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import type { Config } from '../../config.js'
import { schemaIsCurrent } from '../../db/migrate.js'
import { type Client, openClient } from '../../db/pool.js'
import { requireSafe, UnsafeDatabaseError } from '../../db/require-safe.js'
import { sqlState } from '../../db/transaction.js'
import { readKernelClock } from '../../kernel-clock.js'
import { parsePolicy } from '../../tlog/policy.js'
import { describeFailure } from '../failure.js'
import type { Instance } from '../instance.js'
import { EXPIRY_DAYS } from './files.js'
import { type Finding, fail, ok, warn } from './finding.js'

/** A database the settings name, or the demo's own. */
interface Target {
  readonly name: string
  readonly url: string
}

const START = 'Start it with `paraph serve`, and run this again.'

/**
 * Looks at the database, through the role of the workers where there is one.
 * @param found hears of the first database with a log, for the checks of the device
 */
export async function* examineDatabases(
  config: Config,
  instance: Instance | undefined,
  found: (url: string) => void,
): AsyncGenerator<Finding> {
  if (config.demo) {
    const url = demoUrl(config.data)
    if (url === undefined) yield ok('database', 'None yet: a demo begins here with `paraph serve`.')
    else if (await isReachable(url)) yield* examine([{ name: 'the demo', url }], config, instance, found)
    else yield warn('database', "The demo does not run, so that its database can't be looked at.", START)
    return
  }
  const targets = [
    { name: 'PARAPH_SAM_DATABASE_URL', url: config.samDatabaseUrl },
    { name: 'DATABASE_URL', url: config.databaseUrl },
  ].filter((target): target is Target => target.url !== undefined)
  yield* examine(targets, config, instance, found)
}

/** Role paraph_sam of the embedded server, as its folder tells it; undefined where there is none. */
function demoUrl(data: string): string | undefined {
  try {
    const kept = JSON.parse(readFileSync(join(data, 'postgres', 'server.json'), 'utf8')) as {
      port: number
      passwords: { sam: string }
    }
    return `postgres://paraph_sam:${kept.passwords.sam}@127.0.0.1:${kept.port}/paraph`
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === 'ENOENT') return undefined
    throw error
  }
}

async function isReachable(url: string): Promise<boolean> {
  return openClient(url).then(
    (client) => client.end().then(() => true),
    () => false,
  )
}

async function* examine(
  targets: readonly Target[],
  config: Config,
  instance: Instance | undefined,
  found: (url: string) => void,
): AsyncGenerator<Finding> {
  let best: string | undefined
  for (const { name, url } of targets) {
    try {
      const current = await schemaIsCurrent(url)
      yield ok('database', `The database of ${name} answers.`)
      yield await examineSafety(name, url)
      if (current) best ??= url
      else yield fail('schema', `The database of ${name} is empty or older than this program.`, 'Run `paraph migrate`.')
    } catch (error) {
      const { message } = describeFailure(error)
      yield fail('database', `The database of ${name} cannot be used: ${message}.`, 'Start it, or correct the setting.')
    }
  }
  if (best === undefined) return
  yield ok('schema', 'The tables are those of this program, or newer.')
  const client = await openClient(best, { name: 'paraph doctor' })
  try {
    yield* examineContent(client, config, instance, () => found(best))
  } finally {
    await client.end()
  }
}

async function examineSafety(name: string, url: string): Promise<Finding> {
  try {
    await requireSafe(url)
    return ok('safety', `What the database of ${name} confirms survives a crash.`)
  } catch (error) {
    if (!(error instanceof UnsafeDatabaseError)) throw error
    return fail('safety', error.message, 'The service refuses to start until then.')
  }
}

async function* examineContent(
  client: Client,
  config: Config,
  instance: Instance | undefined,
  hasLog: () => void,
): AsyncGenerator<Finding> {
  yield await examineClockFunction(client)
  yield await examineClock(client)
  yield examineTimeService(config)
  const log = await readLog(client)
  if (log === undefined) {
    yield fail('log', 'This database has no log, and none begins by itself.', 'Run `paraph audit init`, once.')
    return
  }
  hasLog()
  yield ok('log', `The log is ${log.origin}.`)
  yield examineInstance(log, config, instance)
  const checks = {
    certificates: examineCertificates,
    intentions: examineIntentions,
    partitions: examinePartitions,
    checkpoints: examineCheckpoints,
    ...(config.witnesses === undefined
      ? {}
      : { witnesses: (from: Client) => examineWitnesses(from, config.witnesses as string) }),
    ...(config.anchor === undefined ? {} : { 'time-stamps': examineAnchors }),
  }
  for (const [check, look] of Object.entries(checks)) {
    try {
      yield await look(client)
    } catch (error) {
      if (sqlState(error) !== '42501') throw error
      yield warn(check, 'The role of this database URL may not look.', 'Set PARAPH_SAM_DATABASE_URL as well.')
    }
  }
}

async function row<Row extends object>(
  client: Client,
  question: string,
  values: unknown[] = [],
): Promise<Row | undefined> {
  return (await client.query<Row>(question, values)).rows[0]
}

const CLOCK_SOURCE = 'select clock_timestamp()'

async function examineClockFunction(client: Client): Promise<Finding> {
  const found = await row<{ prosrc: string; lanname: string }>(
    client,
    `select prosrc, lanname from pg_proc join pg_language l on l.oid = prolang where pg_proc.oid = to_regprocedure('paraph.now()')`,
  )
  if (found?.prosrc.trim() === CLOCK_SOURCE && found.lanname === 'sql') {
    return ok('SQL clock', "paraph.now() tells the database's real time.")
  }
  return fail(
    'SQL clock',
    'paraph.now() is not the function that this program made: somebody can choose the time.',
    "Find out who changed it; put it back with: create or replace function paraph.now() returns timestamptz language sql volatile as 'select clock_timestamp()'",
  )
}

/** Further apart than this, workers refuse to sign. */
const CLOCK_TOLERANCE_MS = 2000

async function examineClock(client: Client): Promise<Finding> {
  const before = Date.now()
  const answer = await row<{ now: Date }>(client, 'select clock_timestamp() as now')
  const after = Date.now()
  const apart = Math.abs((answer?.now.getTime() ?? 0) - (before + after) / 2) / 1000
  const words = `The clocks of this machine and of the database are ${apart.toFixed(1)} s apart`
  if (apart * 1000 < CLOCK_TOLERANCE_MS) return ok('clock', `${words}.`)
  return fail('clock', `${words}; nothing is signed at more than 2 s.`, 'Set both by NTP.')
}

/** Whether anything sets this machine's clock. */
function examineTimeService({ demo, refuseUnsyncedClock }: Config): Finding {
  const { source, synchronized, error } = readKernelClock()
  if (synchronized) {
    return ok('time service', `The clock of this machine is being set; it may be ${Math.ceil(error / 1000)} ms off.`)
  }
  const words =
    source === 'none'
      ? 'This system does not tell whether anything sets its clock'
      : 'Nothing sets the clock of this machine, as far as its kernel knows'
  if (demo) return ok('time service', `${words}; for a demo that will do.`)
  return (refuseUnsyncedClock ? fail : warn)(
    'time service',
    refuseUnsyncedClock ? `${words}; nothing is signed, by PARAPH_UNSYNCED_CLOCK.` : `${words}; the log says so.`,
    'Run an NTP service; chrony tells the kernel where it is configured with `rtcsync`.',
  )
}

interface LogRow {
  readonly origin: string
  readonly instance: string
  readonly demo: boolean
}

function readLog(client: Client): Promise<LogRow | undefined> {
  return row<LogRow>(client, 'select origin, instance, demo from audit.log')
}

function examineInstance(log: LogRow, config: Config, instance: Instance | undefined): Finding {
  if (log.demo !== config.demo) {
    const which = log.demo ? 'This database belongs to a demo' : 'This database belongs to no demo'
    return fail('instance', `${which}, and these settings do not.`, 'Name the database that belongs to the folders.')
  }
  if (instance !== undefined && instance.instance !== log.instance) {
    return fail(
      'instance',
      `The folders belong to instance ${instance.instance}, the database to ${log.instance}.`,
      'Name the folders that belong to this database in PARAPH_DATA and PARAPH_KEYS.',
    )
  }
  return ok('instance', `Database and folders belong together, instance ${log.instance}.`)
}

async function examineCertificates(client: Client): Promise<Finding> {
  const { rows } = await client.query<{ id: string; not_after: Date; expired: boolean }>(
    `select id, not_after, not_after < paraph.now() as expired from paraph.credential
      where state = 'active' and not_after < paraph.now() + make_interval(days => $1) order by not_after`,
    [EXPIRY_DAYS],
  )
  const [first] = rows
  if (first === undefined) return ok('certificates', `No signer's certificate expires within ${EXPIRY_DAYS} days.`)
  const expired = rows.filter((certificate) => certificate.expired).length
  const counted = [
    ...(expired === 0 ? [] : [`expired: ${expired}`]),
    ...(expired === rows.length ? [] : [`expiring within ${EXPIRY_DAYS} days: ${rows.length - expired}`]),
  ]
  return warn(
    'certificates',
    `Signers' certificates ${counted.join(', ')}; the first is that of credential ${first.id}, on ${first.not_after.toISOString().slice(0, 10)}.`,
    '`paraph credential list` tells which; `paraph credential renew` begins a newer one on the same key.',
  )
}

async function examineIntentions(client: Client): Promise<Finding> {
  const open = await row<{ n: number; since: Date | null }>(
    client,
    'select count(*) as n, min(deadline) as since from paraph.signing where state = 0 and deadline < paraph.now()',
  )
  if (open === undefined || open.n === 0) return ok('intentions', 'Every signing that was begun has an outcome.')
  return warn(
    'intentions',
    `${open.n} signings have no outcome, the first since ${open.since?.toISOString()}; nothing was released.`,
    'A running worker closes them within a minute: start one.',
  )
}

/** Entries that fit into the partitions there are. A worker sees to two million each minute. */
const ENOUGH = 1_000_000
const TOO_FEW = 10_000

async function examinePartitions(client: Client): Promise<Finding> {
  const room = await row<{ left: number }>(
    client,
    `select (select max(substring(pg_get_expr(relpartbound, c.oid) from 'TO \\(''(\\d+)''\\)')::bigint)
               from pg_class c join pg_inherits on inhrelid = c.oid where inhparent = 'audit.entry'::regclass)
            - (select size from audit.head) as left`,
  )
  const left = room?.left ?? 0
  if (left >= ENOUGH) return ok('partitions', `The log has room for ${left} entries before more is made.`)
  const report = left >= TOO_FEW ? warn : fail
  return report(
    'partitions',
    `The log has room for ${left} entries only; without room nothing is signed.`,
    "A running worker makes more each minute: start one, or look for its error in the worker's log.",
  )
}

/** As old as the oldest entry without a checkpoint may become before nothing is signed. */
const OLDEST_SECONDS = 5

async function examineCheckpoints(client: Client): Promise<Finding> {
  const keys = await row<{ n: number }>(client, 'select count(*) as n from audit.checkpoint_key')
  if (keys?.n === 0) {
    return fail(
      'checkpoints',
      'No key is named that signs the log, so that nothing is signed.',
      'Run `paraph audit key`.',
    )
  }
  const newest = await row<{ size: number; age: number; open: number }>(
    client,
    `select c.size, extract(epoch from clock_timestamp() - c.created_at)::float8 as age, h.size - c.size as open
       from audit.head h, lateral (select size, created_at from audit.checkpoint order by size desc limit 1) c`,
  )
  if (newest !== undefined && (newest.open === 0 || newest.age < OLDEST_SECONDS)) {
    return ok('checkpoints', `The log is signed up to its entry ${newest.size - 1}.`)
  }
  const which = newest === undefined ? 'The log is' : `The last ${newest.open} entries of the log are`
  return warn(
    'checkpoints',
    `${which} not signed; a service that runs signs them at once, and makes no signature before.`,
    'If it runs, look for the error of the log keeper, which stands beside the workers.',
  )
}

/** Further behind than this, a witness is away. */
const BEHIND_SECONDS = 60

async function examineWitnesses(client: Client, file: string): Promise<Finding> {
  const { witnesses } = parsePolicy(readFileSync(file, 'utf8'))
  const keys = witnesses.map(({ key }) => `${key.name}+${key.id.toString('hex')}`)
  const { rows } = await client.query<{ key: string; behind: number | null }>(
    `select key, extract(epoch from newest.created_at - (
              select c.created_at from audit.cosignature s join audit.checkpoint c using (size)
               where s.witness = key order by s.size desc limit 1))::float8 as behind
       from unnest($1::text[]) as key, (select created_at from audit.checkpoint order by size desc limit 1) newest`,
    [keys],
  )
  const away = rows.filter(({ behind }) => behind === null || behind > BEHIND_SECONDS)
  const names = away.map(({ key }) => witnesses[keys.indexOf(key)]?.name).join(', ')
  if (away.length === 0) return ok('witnesses', `All ${witnesses.length} witnesses have cosigned the log lately.`)
  return warn(
    'witnesses',
    `These witnesses of PARAPH_WITNESSES have not cosigned the newest checkpoints: ${names}.`,
    'Ask the people who run them; the log of the keeper says what they answer.',
  )
}

/** One is asked for every hour. */
const OLDEST_ANCHOR_SECONDS = 2 * 3600

async function examineAnchors(client: Client): Promise<Finding> {
  const newest = await row<{ size: number; age: number; at: Date }>(
    client,
    `select size, gen_time as at, extract(epoch from clock_timestamp() - gen_time)::float8 as age
       from audit.anchor order by size desc limit 1`,
  )
  if (newest !== undefined && newest.age < OLDEST_ANCHOR_SECONDS) {
    return ok(
      'time-stamps',
      `The log was time-stamped up to its entry ${newest.size - 1} at ${newest.at.toISOString()}.`,
    )
  }
  return warn(
    'time-stamps',
    newest === undefined
      ? 'The log was never time-stamped.'
      : `The log was last time-stamped at ${newest.at.toISOString()}.`,
    'If the service runs, look for the warning of the log keeper, and see that PARAPH_ANCHOR_TSA is reached from there.',
  )
}
