import { type Command, Option } from 'commander'
import QRCode from 'qrcode'
import { type AdminOptions, adminCommand, callWorker, given, parseId } from './admin.js'
import { day, facts, print, table } from './output.js'

const HELP = `
Examples:
  paraph authenticator enrol --signer signer@example.test --json
  paraph authenticator list --signer signer@example.test

A signer is named by login or by id.`

/** Adds `paraph authenticator`. */
export function registerAuthenticator(program: Command): void {
  const authenticator = program
    .command('authenticator')
    .helpCommand(false)
    .summary('the apps that show their one-time codes')
    .description('Enrols and revokes authenticators, the apps that show one-time codes.')
    .addHelpText('afterAll', HELP)

  adminCommand(authenticator, 'enrol')
    .summary('give a signer an authenticator')
    .description('Makes the secret of an authenticator and prints it once. Whoever knows it can sign: demo only.')
    .requiredOption('--signer <signer>', 'login or id')
    .addOption(
      new Option('--algorithm <name>', 'hash of the codes; most apps know SHA1 only (default: SHA1)').choices([
        'SHA1',
        'SHA256',
      ]),
    )
    .action(enrol)

  adminCommand(authenticator, 'list')
    .summary("list a signer's authenticators")
    .description("Lists a signer's authenticators.")
    .requiredOption('--signer <signer>', 'login or id')
    .action(list)

  adminCommand(authenticator, 'revoke')
    .summary('take codes of an authenticator no longer')
    .description("Takes its codes no longer, for good, and ends the signer's logins.")
    .argument('<authenticatorId>', 'as the list shows it', parseId)
    .action(revoke)
}

interface EnrolOptions extends AdminOptions {
  readonly signer: string
  readonly algorithm?: 'SHA1' | 'SHA256'
}

async function enrol(options: EnrolOptions): Promise<void> {
  const { signer, algorithm } = options
  const answer = await callWorker(options, 'authenticator.enrol', { signer, ...given({ algorithm }) })
  const { uri, secret, authenticatorId } = answer
  const picture =
    process.stdout.isTTY && !options.json ? await QRCode.toString(uri, { type: 'terminal', small: true }) : ''
  print(options, { uri, secret, authenticatorId }, [
    `${signer} has an authenticator: what follows goes into the app, and is not shown again.`,
    ...facts({ URI: uri, Secret: secret, 'Authenticator id': authenticatorId }),
    ...(picture === '' ? [] : ['', picture.trimEnd()]),
    '',
    `Next: paraph credential create --signer ${signer} --key p-256`,
  ])
}

async function list(options: AdminOptions & { signer: string }): Promise<void> {
  const answer = await callWorker(options, 'authenticator.list', { signer: options.signer })
  const rows = answer.authenticators.map(({ authenticatorId, state, createdAt, demo }) => ({
    authenticatorId,
    state,
    enrolled: day(createdAt),
    demo: demo ? 'yes' : '',
  }))
  const headings = { authenticatorId: 'AUTHENTICATOR ID', state: 'STATE', enrolled: 'ENROLLED', demo: 'DEMO' }
  print(options, answer, rows.length === 0 ? [`${options.signer} has no authenticator.`] : table(rows, headings))
}

async function revoke(authenticatorId: string, options: AdminOptions): Promise<void> {
  const answer = await callWorker(options, 'authenticator.revoke', { authenticatorId })
  print(options, answer, ["The authenticator is revoked; its signer's logins have ended."])
}
