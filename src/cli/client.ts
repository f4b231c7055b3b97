import { readFileSync } from 'node:fs'
import { type Command, InvalidArgumentError, Option } from 'commander'
import { type AdminVerbs, SCOPE_OF_KIND, type TokenScope } from '../activation.js'
import { type AdminOptions, adminCommand, callWorker, given } from './admin.js'
import { facts, print, table } from './output.js'
import { keptIn } from './secret-out.js'

const HELP = `
Examples:
  paraph client create --name "Signing app" --redirect-uri https://app.example.test/callback --json
  paraph client create --name "Archive" --auth private-key-jwt --jwks archive.jwks.json --scope service
  paraph client assign --client 0198… --signer anna@example.test
  paraph client rotate 0198… --secret-out app.secret

The clients "basic" and "pages" are part of the service: they stand for logins with a password (CSC auth/login), and for
the service's own pages.`

const REDIRECT_URI = 'where signers return to, may be repeated: https, or http to this computer'
const JWKS = 'file with its public keys (private-key-jwt), or its certificates as x5c (tls): a JSON Web Key Set'
const SCOPE = new Option('--scope <scope...>', 'what it may ask for; service and credential unless said').choices(
  Object.values(SCOPE_OF_KIND),
)
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
    .option('--redirect-uri <URI>', REDIRECT_URI, parseRedirectUri)
    .addOption(
      new Option('--auth <method>', 'how it proves who it is')
        .choices(['secret', 'private-key-jwt', 'tls', 'none'])
        .default('secret'),
    )
    .option('--jwks <FILE>', JWKS)
    .addOption(SCOPE)
    .option('--secret-out <FILE>', SECRET_OUT)
    .action(create)

  adminCommand(client, 'change')
    .summary('change what is registered of it')
    .description('Changes what is registered of an application. What is not named stays as it is.')
    .argument('<clientId>', 'as the list shows it')
    .option('--name <name>', 'shown to signers who approve it')
    .option('--redirect-uri <URI>', REDIRECT_URI, parseRedirectUri)
    .option('--jwks <FILE>', JWKS)
    .addOption(SCOPE)
    .action(change)

  const assignment = (name: 'assign' | 'unassign') =>
    adminCommand(client, name)
      .requiredOption('--client <clientId>', 'as the list shows it')
      .requiredOption('--signer <signer>', 'login or id')
  assignment('assign')
    .summary('let it reach the credentials of a signer')
    .description('Lets an application reach the credentials of a signer with a token of its own (client credentials).')
    .action(assign)
  assignment('unassign')
    .summary('let it no longer reach them')
    .description('Takes the credentials of a signer out of the reach of an application.')
    .action(unassign)

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

interface Registered extends AdminOptions {
  readonly redirectUri?: string[]
  readonly jwks?: string
  readonly scope?: TokenScope[]
}

async function create(
  options: SecretOptions & Registered & { name: string; auth: AdminVerbs['client.create']['request']['auth'] },
): Promise<void> {
  const { name, auth, secretOut } = options
  const { clientId, clientSecret } = await keptIn(
    secretOut,
    0o600,
    () => callWorker(options, 'client.create', { name, ...given({ auth }), ...registered(options) }),
    (made) => made.clientSecret,
  )
  const secret = clientSecret === undefined ? NO_SECRET : told(clientSecret, secretOut)
  print(options, { clientId, ...secret.json }, [
    `${name} is registered.`,
    ...facts({ 'Client id': clientId, ...secret.facts }),
    secret.line,
  ])
}

const NO_SECRET = { json: {}, facts: {}, line: 'It has no secret.' }

async function change(clientId: string, options: Registered & { name?: string }): Promise<void> {
  const { name } = options
  const answer = await callWorker(options, 'client.change', { clientId, ...given({ name }), ...registered(options) })
  print(options, answer, ['The application is changed.'])
}

async function assign(options: AdminOptions & { client: string; signer: string }): Promise<void> {
  const { client: clientId, signer } = options
  print(options, await callWorker(options, 'client.assign', { clientId, signer }), ['The signer is assigned.'])
}

async function unassign(options: AdminOptions & { client: string; signer: string }): Promise<void> {
  const { client: clientId, signer } = options
  print(options, await callWorker(options, 'client.unassign', { clientId, signer }), ['The signer is not assigned.'])
}

function registered({ redirectUri: redirectUris, jwks, scope: scopes }: Registered) {
  return given({ redirectUris, jwks: jwks === undefined ? undefined : readKeys(jwks), scopes })
}

/** @throws Error naming the file */
function readKeys(file: string): string {
  try {
    return JSON.stringify(JSON.parse(readFileSync(file, 'utf8')))
  } catch (cause) {
    throw new Error(`${file} cannot be read as a JSON Web Key Set`, { cause })
  }
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

/** May be given several times. */
function parseRedirectUri(text: string, before: string[] = []): string[] {
  const url = URL.canParse(text) ? new URL(text) : undefined
  const local = url?.protocol === 'http:' && ['127.0.0.1', '[::1]', 'localhost'].includes(url.hostname)
  if (url === undefined || !(url.protocol === 'https:' || local) || url.hash !== '') {
    throw new InvalidArgumentError('Write an https address without #, or an http address of this computer.')
  }
  return [...before, text]
}
