import { type Command, InvalidArgumentError } from 'commander'
import { loadConfig } from '../config.js'
import { readSecretFile } from '../secret-file.js'
import { type AdminOptions, activationLink, adminCommand, callWorker, given } from './admin.js'
import { facts, print, table } from './output.js'

const HELP = `
Examples:
  paraph signer create --login signer@example.test --name "Demo Signer" --json
  paraph signer create --login anna@example.test --name "Anna Nowak" --password-file F
  paraph signer suspend anna@example.test

A signer is named by login or by id. Next: paraph authenticator enrol, paraph credential create.`

const PASSWORD_FILE = 'read the password from F, which only you can read (chmod 600); at least 12 characters'

/** Adds `paraph signer`. */
export function registerSigner(program: Command): void {
  const signer = program
    .command('signer')
    .helpCommand(false)
    .summary('the people whose keys these are')
    .description('Enrols signers, and suspends, unlocks and lists them.')
    .addHelpText('afterAll', HELP)

  adminCommand(signer, 'create')
    .summary('enrol a signer')
    .description(
      'Enrols a signer. Where no file brings a password, a demo makes one up and prints it; elsewhere the signer sets it with the link of `paraph authenticator enrol`.',
    )
    .requiredOption('--login <login>', 'what the signer logs in with, often an e-mail address')
    .requiredOption('--name <name>', 'name of the person, as it is to stand in certificates')
    .option('--phone <number>', 'in international form, as in +48123456789', parsePhone)
    .option('--email <address>', 'for codes by mail', parseEmail)
    .option('--password-file <F>', PASSWORD_FILE)
    .action(create)

  adminCommand(signer, 'list').summary('list all signers').description('Lists all signers.').action(list)

  adminCommand(signer, 'suspend')
    .summary('end all logins and take no new ones')
    .description("Ends the signer's logins and authorizations, and takes no new ones until `paraph signer resume`.")
    .argument('<signer>', 'login or id')
    .action(change('signer.suspend', 'is suspended; all logins have ended'))
  adminCommand(signer, 'resume')
    .summary('take logins again')
    .description('Takes the logins of a suspended signer again.')
    .argument('<signer>', 'login or id')
    .action(change('signer.resume', 'may log in again'))
  adminCommand(signer, 'unlock')
    .summary('forget wrong passwords and codes')
    .description('Forgets wrong passwords, codes and PINs, so that the signer need not wait any longer.')
    .argument('<signer>', 'login or id')
    .action(change('signer.unlock', 'is unlocked'))

  adminCommand(signer, 'reset-password')
    .summary('set another password')
    .description(
      'Sets another password and ends all logins. Where no file brings one, a demo makes one up and prints it; elsewhere, or with --link, prints a link that works once, with which the signer sets it and which takes a code.',
    )
    .argument('<signer>', 'login or id')
    .option('--link', 'print a link in a demo, too')
    .option('--password-file <F>', PASSWORD_FILE)
    .action(resetPassword)
}

interface CreateOptions extends AdminOptions {
  readonly login: string
  readonly name: string
  readonly phone?: string
  readonly email?: string
  readonly passwordFile?: string
}

async function create(options: CreateOptions): Promise<void> {
  const { login, name, phone, email } = options
  const password = passwordFrom(options)
  const answer = await callWorker(options, 'signer.create', { login, name, ...given({ phone, email, password }) })
  print(options, answer, [
    `${answer.login} is enrolled.`,
    ...facts({ 'Signer id': answer.signerId, Password: answer.password }),
    '',
    `Next: paraph authenticator enrol --signer ${answer.login}`,
  ])
}

async function list(options: AdminOptions): Promise<void> {
  const answer = await callWorker(options, 'signer.list', {})
  const rows = answer.signers.map(({ login, name, state, locked, signerId }) => ({
    login,
    name,
    state: locked ? `${state}, locked` : state,
    signerId,
  }))
  const headings = { login: 'LOGIN', name: 'NAME', state: 'STATE', signerId: 'SIGNER ID' }
  print(options, answer, rows.length === 0 ? ['There are no signers yet.'] : table(rows, headings, ['login', 'name']))
}

function change(verb: 'signer.suspend' | 'signer.resume' | 'signer.unlock', done: string) {
  return async (signer: string, options: AdminOptions) => {
    print(options, await callWorker(options, verb, { signer }), [`${signer} ${done}.`])
  }
}

async function resetPassword(
  signer: string,
  options: AdminOptions & { passwordFile?: string; link?: true },
): Promise<void> {
  const config = loadConfig(process.env)
  if (options.link === true || (!config.demo && options.passwordFile === undefined)) {
    const answer = await callWorker(options, 'signer.inviteReset', { signer })
    const link = activationLink(config, answer.link)
    return print(options, { link }, [
      `Hand this link to ${signer}, and to nobody else. It works once, takes a code, and is not shown again.`,
      ...facts({ Link: link }),
    ])
  }
  const password = passwordFrom(options)
  const answer = await callWorker(options, 'signer.resetPassword', { signer, ...given({ password }) })
  print(options, answer, [
    `${signer} has a new password; all logins have ended.`,
    ...(answer.password === undefined ? [] : facts({ Password: answer.password })),
  ])
}

function passwordFrom({ passwordFile }: { readonly passwordFile?: string }): string | undefined {
  return passwordFile === undefined ? undefined : readSecretFile(passwordFile)
}

function parseEmail(text: string): string {
  if (!/^[^\s@]+@[^\s@]+$/.test(text)) throw new InvalidArgumentError('Write it like anna@example.test.')
  return text
}

function parsePhone(text: string): string {
  if (!/^\+[0-9]{6,15}$/.test(text)) throw new InvalidArgumentError('Write it like +48123456789.')
  return text
}
