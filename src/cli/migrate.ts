import type { Command } from 'commander'
import { loadConfig } from '../config.js'
import { migrate } from '../db/migrate.js'

const HELP = `
DATABASE_URL names the database and a role that owns it and may create roles, for this command only; the service itself
runs with less. May be run at any time and by several at once. A demo migrates its own database when it starts.

The first run creates the roles of the service without a password. Give them one, or let pg_hba.conf know them:

  alter role paraph_front password '…';    -- DATABASE_URL of \`paraph serve\`
  alter role paraph_sam   password '…';    -- PARAPH_SAM_DATABASE_URL
  alter role paraph_keeper password '…';   -- PARAPH_KEEPER_DATABASE_URL

Then make the log, once: \`paraph audit init\`.`

/** Adds `paraph migrate`. */
export function registerMigrate(program: Command): void {
  program
    .command('migrate')
    .summary('bring the database up to date')
    .description('Creates the tables of the service, or changes them to what this version needs.')
    .option('--json', 'tell the applied migrations as one line of JSON')
    .addHelpText('after', HELP)
    .action(async (options: { json?: true }) => {
      const { databaseUrl } = loadConfig(process.env, 'migrate')
      const applied = await migrate(databaseUrl as string)
      const text = applied.length === 0 ? 'The database is up to date.' : `Applied: ${applied.join(', ')}`
      process.stdout.write(`${options.json ? JSON.stringify({ applied }) : text}\n`)
    })
}
