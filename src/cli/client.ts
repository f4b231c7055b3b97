import { type Command, InvalidArgumentError } from 'commander'
import { type AdminOptions, adminCommand, callWorker, given } from './admin.js'
import { facts, print, table } from './output.js'
import { keptIn } from './secret-out.js'

const HELP = `
Examples:
  paraph client create --name "Signing app" --redirect-uri https://app.example.test/callback --json
  paraph client rotate 0198… --secret-out app.secret

The client "basic" is part of the service: it stands for logins with a password (CSC auth/login).`

const SECRET_OUT = 'write the secret to the new FILE, readable by you only, instead of printing it'

/** Adds `paraph client`. */
export function registerClient(program: Command): void {
  const client = program
    .command('client')
    .helpCommand(false)
    .summary('the applications that sign for them')
    .description('Registers the applications that call the API for signers.')
    .addHelpText('afterAll', HELP)

  adminCommand(client, 'create')
    .summary('register an application')
    .description('Registers an application, and tells its secret once.')
    .requiredOption('--name <name>', 'shown to signers who approve it')
    .option('--redirect-uri <URI>', 'where signers return to: https, or http to this computer', parseRedirectUri)
    .option('--secret-out <FILE>', SECRET_OUT)
    .action(create)

  adminCommand(client, 'list').summary('list applications').description('Lists all applications.').action(list)

  adminCommand(client, 'disable')
    .summary('end its logins and take no new ones')
    .description('Ends the logins through an application, and takes no new ones, for good.')
    .argument('<clientId>', 'as the list shows it')
    .action(disable)

  adminCommand(client, 'rotate')
    .summary('give it another secret')
    .description('Gives an application another secret, and tells it once. The old one is no longer valid.')
    .argument('<clientId>', 'as the list shows it')
    .option('--secret-out <FILE>', SECRET_OUT)
    .action(rotate)
}

interface SecretOptions extends AdminOptions {
  readonly secretOut?: string
}

async function create(options: SecretOptions & { name: string; redirectUri?: string }): Promise<void> {
  const { name, redirectUri, secretOut } = options
  const { clientId, clientSecret } = await keptIn(
    secretOut,
    0o600,
    () => callWorker(options, 'client.create', { name, ...given({ redirectUri }) }),
    (made) => made.clientSecret,
  )
  const secret = told(clientSecret, secretOut)
  print(options, { clientId, ...secret.json }, [
    `${name} is registered.`,
    ...facts({ 'Client id': clientId, ...secret.facts }),
    secret.line,
  ])
}

async function rotate(clientId: string, options: SecretOptions): Promise<void> {
  const { clientSecret } = await keptIn(
    options.secretOut,
    0o600,
    () => callWorker(options, 'client.rotate', { clientId }),
    (made) => made.clientSecret,
  )
  const secret = told(clientSecret, options.secretOut)
  print(options, secret.json, ['The old secret is no longer valid.', ...facts(secret.facts), secret.line])
}

function told(clientSecret: string, file: string | undefined) {
  if (file !== undefined) return { json: { secretFile: file }, facts: {}, line: `The secret is in ${file}.` }
  return { json: { clientSecret }, facts: { Secret: clientSecret }, line: 'The secret is not shown again.' }
}

async function list(options: AdminOptions): Promise<void> {
  const answer = await callWorker(options, 'client.list', {})
  const rows = answer.clients.map(({ clientId, name, state, redirectUris }) => ({
    clientId,
    name,
    state,
    redirectUris: redirectUris.join(' '),
  }))
  const headings = { clientId: 'CLIENT ID', name: 'NAME', state: 'STATE', redirectUris: 'REDIRECT URI' }
  print(options, answer, table(rows, headings, ['name', 'redirectUris']))
}

async function disable(clientId: string, options: AdminOptions): Promise<void> {
  const answer = await callWorker(options, 'client.disable', { clientId })
  print(options, answer, ['The application is disabled; the logins through it have ended.'])
}

function parseRedirectUri(text: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined
  const local = url?.protocol === 'http:' && ['127.0.0.1', '[::1]', 'localhost'].includes(url.hostname)
  if (url === undefined || !(url.protocol === 'https:' || local) || url.hash !== '') {
    throw new InvalidArgumentError('Write an https address without #, or an http address of this computer.')
  }
  return text
}
