import { mkdirSync } from 'node:fs'
import type { Command } from 'commander'
import { pino } from 'pino'
import { loadConfig } from '../config.js'
import { ENTRIES, type Entries } from './processes.js'
import { startProductionWorkers } from './production.js'
import { runUntilSignal } from './run-until-signal.js'

const HELP = `
For a front that runs as another user or in another container: only these processes can use the device. Settings:

  PARAPH_SAM               folder of the sockets for the front (sam-0.sock, …); made with mode 0750 where it is missing.
                           The front's user needs to belong to its group; \`chmod g+s\` on it hands the group on
  PARAPH_SAM_DATABASE_URL  the database, role paraph_sam
  PARAPH_HSM               the device, pkcs11:/path/to/module.so?token=paraph&pin-file=/path/to/pin
  PARAPH_KEEPER_DATABASE_URL  the database, role paraph_keeper, for the keeper of the log
  PARAPH_CHECKPOINT_HSM    the token of the key that signs the log, with its own PIN
  PARAPH_TSA_HSM, PARAPH_TSA_CHAIN, PARAPH_TSA_POLICY  the time-stamp authority, where there is one (see paraph tsa --help)
  PARAPH_ANCHOR_TSA, PARAPH_ANCHOR_CERTIFICATES  a time-stamp authority outside, which stamps the log
  PARAPH_WORKERS           how many; one for each processor that signs
  PARAPH_DATA              its \`run\` holds the sockets for the commands of an operator, closed to everybody else

The front is \`paraph serve\` with the same PARAPH_SAM. This stays in the foreground; Ctrl-C or SIGTERM stops it.`

/** Adds `paraph sam`. */
export function registerSam(program: Command, entries: Entries = ENTRIES): void {
  program
    .command('sam')
    .summary('run the signing workers only')
    .description('Runs the signing workers, which hold the login of the device, without a front.')
    .option('--json', 'tell the sockets as one line of JSON')
    .addHelpText('after', HELP)
    .action((options: { json?: true }) => sam(entries, options.json === true))
}

async function sam(entries: Entries, json: boolean): Promise<void> {
  const config = loadConfig(process.env, 'sam')
  const folder = config.sam?.[0] as string
  const logger = pino({ level: config.logLevel }, pino.destination(2))
  await runUntilSignal(logger, async (running) => {
    mkdirSync(folder, { recursive: true, mode: 0o750 })
    const sockets = await startProductionWorkers({ config, logger, running, entries }, folder, 0o660)
    const text = json ? JSON.stringify({ sockets }) : `Signing workers answer on ${sockets.join(', ')}`
    process.stdout.write(`${text}\n`)
  })
}
