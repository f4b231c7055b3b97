import { existsSync, readdirSync } from 'node:fs'
import { type Command, InvalidArgumentError } from 'commander'
import { writeCsv } from '../audit/csv.js'
import { writePack } from '../audit/pack.js'
import { type Config, loadConfig } from '../config.js'
import { ServiceError } from '../errors.js'
import { operatorTokenFile } from '../sam/demo.js'
import { readSecretFile } from '../secret-file.js'
import { AuditClient } from './client/audit-client.js'
import { CscError } from './client/csc-error.js'
import { exportSource } from './client/export-source.js'
import { reasonOf } from './client/reason.js'
import { processTerminal, type Terminal } from './client/terminal.js'
import { type OutputOptions, print } from './output.js'

const HELP = `
Writes the whole log into the new folder DIR, as docs/audit-format.md describes it: whoever has that
folder needs nothing else of the service to verify it. It holds personal data; only you may read it.

This takes an auditor's token; a demo finds its own. That the log was exported is an entry in it.
--csv writes a table for people as well, DIR.csv or FILE. It is a view: only the folder proves anything.

Examples:
  paraph audit export --out pack-2026
  paraph audit export --url https://sign.example.test --token-file F --out pack-2026 --csv
  paraph audit verify pack-2026 --policy trust.txt`

interface ExportOptions extends OutputOptions {
  readonly out: string
  readonly url?: string
  readonly tokenFile?: string
  readonly size?: number
  readonly withoutOpenings?: true
  readonly csv?: string | true
}

/** Adds `paraph audit export`, a client of the API and of nothing else. */
export function registerAuditExport(audit: Command, terminal: Terminal = processTerminal): void {
  audit
    .command('export')
    .summary('export the log, to be verified')
    .description('Exports the log into a folder that can be verified offline.')
    .requiredOption('--out <DIR>', 'new folder for the log')
    .option('--url <URL>', 'address of the service (default: http://127.0.0.1:8080, or where the settings put it)')
    .option('--token-file <F>', "file with an auditor's token (or set PARAPH_OPERATOR)")
    .option('--size <N>', 'end with the checkpoint of N entries; with the newest unless said', parseSize)
    .option('--without-openings', 'leave hidden values out, so that nothing in it is personal')
    .option('--csv [FILE]', 'write a table, too')
    .option('--json', 'tell the result as one line of JSON')
    .addHelpText('after', HELP)
    .action((options: ExportOptions, command: Command) => exportLog(options, command, terminal))
}

async function exportLog(options: ExportOptions, command: Command, terminal: Terminal): Promise<void> {
  const { url, size } = options
  const out = options.out.replace(/(?<=.)\/+$/, '')
  const table = options.csv === true ? `${out}.csv` : options.csv
  // Before anything is asked for: it would be in the log for good.
  for (const path of table === undefined ? [] : [table])
    if (existsSync(path)) throw new Error(`${path} is there already`)
  if (existsSync(out) && readdirSync(out).length > 0) throw new Error(`${out} is not empty: name a new folder`)
  const config = loadConfig(terminal.env)
  const client = clientOf(url ?? config.publicUrl, command, terminal)
  const token = auditorToken(config, options.tokenFile)
  const openings = options.withoutOpenings !== true

  const begun = await client.begin(token, size).catch((error: unknown) => Promise.reject(inWords(error)))
  const told = (done: number) => {
    if (options.json !== true) terminal.progress(`${done} of ${begun.size} entries`)
  }
  try {
    await writePack(out, exportSource(client, begun, { openings, told }))
    if (table !== undefined) await writeCsv(out, table)
  } catch (error) {
    throw new Error(`${reasonOf(error)}; what is in ${out} is not the whole log`, { cause: error })
  }
  terminal.progress('')
  print(options, { out, size: begun.size, openings, ...(table === undefined ? {} : { csv: table }) }, [
    `${begun.size} entries are in ${out}${openings ? '' : ', without what is hidden of them'}.`,
    ...(table === undefined ? [] : [`A table of them is ${table}.`]),
    `To verify them: paraph audit verify ${out} --policy FILE`,
  ])
}

function clientOf(address: string, command: Command, terminal: Terminal): AuditClient {
  try {
    return new AuditClient(address, (milliseconds) => terminal.wait(milliseconds))
  } catch (error) {
    if (error instanceof RangeError) command.error(`error: ${error.message}`, { exitCode: 2 })
    throw error
  }
}

function auditorToken({ demo, keys, operator }: Config, file: string | undefined): string {
  const named = file ?? operator
  if (named !== undefined) return readSecretFile(named)
  const own = operatorTokenFile(keys, 'auditor')
  if (demo && existsSync(own)) return readSecretFile(own)
  throw new ServiceError('operator_unknown', {
    detail:
      'say who you are: --token-file FILE, or PARAPH_OPERATOR=FILE, with the token of an operator of the role auditor',
  })
}

/** What the service refuses, for whom its words are not made. */
function inWords(error: unknown): unknown {
  if (!(error instanceof CscError)) return error
  if (error.status === 401) return new ServiceError('operator_unknown')
  return error.status === 403 ? new ServiceError('role_missing') : new Error(reasonOf(error), { cause: error })
}

function parseSize(text: string): number {
  if (!/^[1-9][0-9]{0,14}$/.test(text)) throw new InvalidArgumentError('It is a number of entries.')
  return Number(text)
}
