import { type Command, InvalidArgumentError } from 'commander'
import { initLog } from '../audit/init.js'
import { RowBinding } from '../binding.js'
import { systemClock } from '../clock.js'
import { type Config, ConfigError, loadConfig } from '../config.js'
import { schemaIsCurrent } from '../db/migrate.js'
import { openClient } from '../db/pool.js'
import { requireSafe } from '../db/require-safe.js'
import type { Hsm } from '../hsm/hsm.js'
import { openHsm } from '../hsm/open-hsm.js'
import { insertOperator, newOperatorId } from '../identity/operator.js'
import { newId } from '../ids.js'
import { createKeyring } from '../sam/keyring.js'
import { registerAuditErase } from './audit-erase.js'
import { registerAuditExport } from './audit-export.js'
import { registerAuditKey } from './audit-key.js'
import { registerAuditVerify } from './audit-verify.js'
import { registerAuditVerifyReceipt } from './audit-verify-receipt.js'
import { NotInteractiveError, processTerminal } from './client/terminal.js'
import { requireDevice } from './device-setting.js'
import { describeFailure } from './failure.js'
import { claimFolders, readInstances } from './instance.js'
import { facts, type OutputOptions, print } from './output.js'
import { reserveFile } from './secret-out.js'

const HELP = `
Done once, by hand, by a named person; the log carries its name for good. In the same step the
service's secrets are made and sealed by the device, and the person becomes the first operator, with
the role security; the token in the new FILE proves it. Everybody else is named with
paraph operator create. Settings:

  DATABASE_URL  a role that owns the database, for this command only
  PARAPH_HSM    the device, made ready by paraph hsm init

Example:
  paraph audit init --origin sign.example.com/paraph --operator "Anna Nowak" --token-out F

A demo begins its own log when it first starts.`

interface InitOptions extends OutputOptions {
  readonly origin: string
  readonly operator: string
  readonly tokenOut: string
  readonly yes?: true
}

/** Adds `paraph audit`. */
export function registerAudit(program: Command): void {
  const audit = program
    .command('audit')
    .helpCommand(false)
    .summary('begin the log, export, verify and erase')
    .description(
      'Begins the log of a new service, exports and verifies it, and erases personal data beside it that was kept long enough.',
    )
  audit
    .command('init')
    .summary('begin the log of a new service')
    .description('Begins the log of a new service, and names its first operator.')
    .requiredOption('--origin <name>', 'name of the log for good: a domain of yours and a path', parseOrigin)
    .requiredOption('--operator <name>', 'who begins it, and becomes the first operator', parseName)
    .requiredOption('--token-out <FILE>', "write the operator's token to the new FILE, readable by you only")
    .option('--yes', 'do not ask')
    .option('--json', 'tell the result as one line of JSON')
    .addHelpText('after', HELP)
    .action(init)
  registerAuditKey(audit)
  registerAuditExport(audit)
  registerAuditVerify(audit)
  registerAuditVerifyReceipt(audit)
  registerAuditErase(audit)
}

async function init(options: InitOptions): Promise<void> {
  const config = loadConfig(process.env)
  const hsmUri = requireDevice(config)
  const ownerUrl = requireOwnerUrl(config)
  await requireReady(ownerUrl)
  requireUnmarked(config)
  const hsm = await openHsm(hsmUri)
  try {
    await confirm(options, hsm, ownerUrl)
    await begin(options, config, ownerUrl, hsm)
  } finally {
    await hsm.close()
  }
}

async function begin(options: InitOptions, config: Config, ownerUrl: string, hsm: Hsm): Promise<void> {
  const { origin, tokenOut } = options
  const operator = { id: newOperatorId(systemClock.now()), name: options.operator, role: 'security' } as const
  const instance = newId()
  const file = reserveFile(tokenOut, 0o600)
  try {
    await initLog({
      ...{ ownerUrl, hsm, clock: systemClock, origin, instance, demo: false, operator },
      also: async (tx, record) => {
        const keyring = await createKeyring(hsm, tx, instance)
        const { token } = await insertOperator(tx, new RowBinding(keyring.binding), operator)
        record({
          type: 'operator.created',
          outcome: 'ok',
          actor: { kind: 'operator', id: operator.id },
          facts: { role: operator.role },
          evidence: { operator: operator.id },
        })
        // On disk before the commit: a log whose operator has no token is of no use, and cannot be begun again.
        file.write(token)
      },
    })
  } catch (error) {
    if (await hasLog(ownerUrl).catch(() => true)) {
      const { message } = describeFailure(error)
      throw new Error(`${message}; still the log may have begun, with the operator whose token is in ${tokenOut}`, {
        cause: error,
      })
    }
    file.discard()
    throw error
  }
  claimFolders(config, { instance, demo: false, device: 'pkcs11' })
  print(options, { origin, instance, operatorId: operator.id, tokenFile: tokenOut }, [
    `The log ${origin} has begun, and ${operator.name} is its first operator, with the role security.`,
    ...facts({ Instance: instance, 'Operator id': operator.id, Token: `in ${tokenOut}` }),
    '',
    'Next: start the service, and name the key that signs the log:',
    `  paraph audit key --operator ${tokenOut}`,
    'and the people who enrol signers:',
    `  paraph operator create --operator ${tokenOut} --name NAME --role registration --token-out FILE`,
  ])
}

function requireOwnerUrl({ databaseUrl }: Config): string {
  if (databaseUrl !== undefined) return databaseUrl
  throw new ConfigError([
    'DATABASE_URL is missing. Type DATABASE_URL=postgres://owner@host:5432/paraph for a role that owns the database. A demo begins its own log when it first starts',
  ])
}

/** Folders that belong to another log must not come to belong to two. */
function requireUnmarked(config: Config): void {
  const marked = readInstances(config)
  if (marked === undefined) return
  throw new Error(
    `PARAPH_DATA ${config.data} belongs to ${marked.demo ? 'a demo' : `instance ${marked.instance}`} already: name a folder of its own for this service`,
  )
}

async function requireReady(ownerUrl: string): Promise<void> {
  if (!(await schemaIsCurrent(ownerUrl))) {
    throw new Error('the database is empty or older than this program: run `paraph migrate` first')
  }
  await requireSafe(ownerUrl)
  if (!(await ownsLog(ownerUrl))) {
    throw new Error('DATABASE_URL names a role that does not own the database: use the one of `paraph migrate`')
  }
  if (await hasLog(ownerUrl)) throw new Error('this database has a log already, and a log is begun only once')
}

/** One row, or none, of a question to the database. */
async function ask<Row extends object>(url: string, question: string): Promise<Row | undefined> {
  const client = await openClient(url)
  try {
    return (await client.query<Row>(question)).rows[0]
  } finally {
    await client.end()
  }
}

async function ownsLog(url: string): Promise<boolean> {
  const question = `select pg_has_role(relowner, 'usage') as owns from pg_class where oid = 'audit.log'::regclass`
  return (await ask<{ owns: boolean }>(url, question))?.owns === true
}

async function hasLog(url: string): Promise<boolean> {
  return (await ask(url, 'select 1 from audit.log')) !== undefined
}

async function confirm({ origin, operator, yes }: InitOptions, hsm: Hsm, ownerUrl: string): Promise<void> {
  if (yes) return
  const { host, pathname } = new URL(ownerUrl)
  const about = facts({ Log: origin, Operator: operator, Database: `${host}${pathname}`, Device: hsm.description })
  processTerminal.note(`This begins a log for good:\n${about.join('\n')}`)
  const answer = await processTerminal.ask('Type yes to begin it: ', true).catch((error: unknown) => {
    if (error instanceof NotInteractiveError) throw new Error('nobody is there to ask: give --yes as well')
    throw error
  })
  if (answer !== 'yes') throw new Error('nothing was begun')
}

function parseOrigin(text: string): string {
  if (text.length > 128 || !/^[a-z0-9]([a-z0-9.-]*[a-z0-9])?(\/[A-Za-z0-9._-]+)*$/.test(text)) {
    throw new InvalidArgumentError('Write a domain and a path, like sign.example.com/paraph.')
  }
  return text
}

function parseName(text: string): string {
  if (text.trim() === '' || text.length > 255 || /\p{Cc}/u.test(text)) throw new InvalidArgumentError('It is no name.')
  return text
}
