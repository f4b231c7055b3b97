import { type Command, Option } from 'commander'
import QRCode from 'qrcode'
import { type Config, loadConfig } from '../config.js'
import { type AdminOptions, activationLink, adminCommand, callWorker, given, parseId } from './admin.js'
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
    .description(
      'Prints a link that works once: with it the signer sets a password and enrols an authenticator. Where it replaces one, it works after three days, or once a second operator vouches. A demo prints the secret itself unless --link is given.',
    )
    .requiredOption('--signer <signer>', 'login or id')
    .addOption(
      new Option(
        '--kind <kind>',
        'totp: an app (default); sms, email: codes sent to the signer, outside a demo only as the first',
      ).choices(['totp', 'sms', 'email']),
    )
    .option('--link', 'print a link in a demo, too')
    .addOption(
      new Option('--algorithm <name>', 'hash of the codes; most apps know SHA1 only (default: SHA1)').choices([
        'SHA1',
        'SHA256',
      ]),
    )
    .action(enrol)

  adminCommand(authenticator, 'vouch')
    .summary('let a link that replaces authenticators work at once')
    .description(
      'Says that you, too, have seen proof of who the signer is, so that the link which another operator gave works at once.',
    )
    .requiredOption('--signer <signer>', 'login or id')
    .action(vouch)

  adminCommand(authenticator, 'cancel')
    .summary('take back a link')
    .description("Takes back the signer's links that have not been used.")
    .requiredOption('--signer <signer>', 'login or id')
    .action(cancel)

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
  readonly link?: true
  readonly kind?: 'totp' | 'sms' | 'email'
}

async function enrol(options: EnrolOptions): Promise<void> {
  const { signer, algorithm, kind } = options
  if (kind === 'sms' || kind === 'email') return enrolDelivered(options, kind)
  const config = loadConfig(process.env)
  if (!config.demo || options.link === true) return invite(options, config)
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

async function enrolDelivered(options: EnrolOptions, kind: 'sms' | 'email'): Promise<void> {
  const { signer } = options
  if (options.algorithm !== undefined || options.link === true) {
    throw new Error('--algorithm and --link are for an app: codes that are sent have no secret')
  }
  const answer = await callWorker(options, 'authenticator.enrolDelivered', { signer, kind })
  print(options, answer, [
    `${signer} can agree with codes that are sent.`,
    ...facts({ 'Sent to': answer.sentTo, 'Authenticator id': answer.authenticatorId }),
  ])
}

async function invite(options: EnrolOptions, config: Config): Promise<void> {
  const { signer } = options
  if (options.algorithm !== undefined) throw new Error('--algorithm is for the secret of a demo; a link enrols SHA1')
  const answer = await callWorker(options, 'authenticator.invite', { signer })
  const link = activationLink(config, answer.link)
  const waits = new Date(answer.usableFrom).getTime() > Date.now() + 60_000
  const { usableFrom, noticed } = answer
  print(options, { link, usableFrom, noticed }, [
    `Hand this link to ${signer}, and to nobody else. It works once, and is not shown again.`,
    ...facts({
      Link: link,
      ...(waits
        ? { 'Works from': usableFrom, 'Signer told by': noticed.join(', ') || 'nothing: no address is known' }
        : {}),
    }),
    ...(waits
      ? [
          '',
          `It replaces authenticators, so it waits. Another operator may shorten that: paraph authenticator vouch --signer ${signer}`,
        ]
      : []),
  ])
}

async function vouch(options: AdminOptions & { signer: string }): Promise<void> {
  print(options, await callWorker(options, 'authenticator.vouch', { signer: options.signer }), [
    `The link of ${options.signer} works now.`,
  ])
}

async function cancel(options: AdminOptions & { signer: string }): Promise<void> {
  const answer = await callWorker(options, 'authenticator.cancel', { signer: options.signer })
  print(options, answer, [
    answer.cancelled === 0
      ? `${options.signer} has no link that waits.`
      : `The link of ${options.signer} works no longer.`,
  ])
}

async function list(options: AdminOptions & { signer: string }): Promise<void> {
  const answer = await callWorker(options, 'authenticator.list', { signer: options.signer })
  const rows = answer.authenticators.map(({ authenticatorId, kind, label, state, createdAt, demo }) => ({
    authenticatorId,
    kind: label === undefined ? kind : `${kind} ${label}`,
    state,
    enrolled: day(createdAt),
    demo: demo ? 'yes' : '',
  }))
  const headings = {
    authenticatorId: 'AUTHENTICATOR ID',
    kind: 'KIND',
    state: 'STATE',
    enrolled: 'ENROLLED',
    demo: 'DEMO',
  }
  print(options, answer, rows.length === 0 ? [`${options.signer} has no authenticator.`] : table(rows, headings))
}

async function revoke(authenticatorId: string, options: AdminOptions): Promise<void> {
  const answer = await callWorker(options, 'authenticator.revoke', { authenticatorId })
  print(options, answer, ["The authenticator is revoked; its signer's logins have ended."])
}
