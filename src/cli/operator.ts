import { type Command, Option } from 'commander'
import type { OperatorRole } from '../activation.js'
import { type AdminOptions, adminCommand, callWorker, parseId } from './admin.js'
import { facts, print, table } from './output.js'
import { keptIn } from './secret-out.js'

const HELP = `
Roles:
  registration  signers, their authenticators and credentials
  system        client applications
  security      operators
  auditor       looks at everything, changes nothing

Examples:
  paraph operator create --name "Anna Nowak" --role registration --token-out anna.token
  PARAPH_OPERATOR=anna.token paraph signer list

The first operator, with the role security, is made by paraph audit init. A demo has one of each role.`

/** Adds `paraph operator`. */
export function registerOperator(program: Command): void {
  const operator = program
    .command('operator')
    .helpCommand(false)
    .summary('the people who run the service')
    .description('Names the people who may give commands to the service, and what they may do.')
    .addHelpText('afterAll', HELP)

  adminCommand(operator, 'create')
    .summary('let somebody give commands')
    .description('Lets somebody give commands, and tells the token that proves it once.')
    .requiredOption('--name <name>', 'who it is')
    .addOption(
      new Option('--role <role>', 'what they may do')
        .choices(['registration', 'system', 'security', 'auditor'] satisfies OperatorRole[])
        .makeOptionMandatory(),
    )
    .option('--token-out <FILE>', 'write the token to the new FILE, readable by you only, instead of printing it')
    .action(create)

  adminCommand(operator, 'list').summary('list operators').description('Lists all operators.').action(list)

  adminCommand(operator, 'disable')
    .summary('take commands from somebody no longer')
    .description("Takes the operator's commands no longer, for good.")
    .argument('<operatorId>', 'as the list shows it', parseId)
    .action(disable)
}

interface CreateOptions extends AdminOptions {
  readonly name: string
  readonly role: OperatorRole
  readonly tokenOut?: string
}

async function create(options: CreateOptions): Promise<void> {
  const { name, role, tokenOut } = options
  const { operatorId, token } = await keptIn(
    tokenOut,
    0o600,
    () => callWorker(options, 'operator.create', { name, role }),
    (made) => made.token,
  )
  print(options, { operatorId, ...(tokenOut === undefined ? { token } : { tokenFile: tokenOut }) }, [
    `${name} may give commands with the role ${role}.`,
    ...facts({ 'Operator id': operatorId, Token: tokenOut === undefined ? token : undefined }),
    tokenOut === undefined
      ? 'The token is not shown again. Keep it in a file that only its owner can read (chmod 600).'
      : `The token is in ${tokenOut}. Hand it to its owner, who names the file in PARAPH_OPERATOR or --operator.`,
  ])
}

async function list(options: AdminOptions): Promise<void> {
  const answer = await callWorker(options, 'operator.list', {})
  const headings = { operatorId: 'OPERATOR ID', name: 'NAME', role: 'ROLE', state: 'STATE' }
  print(options, answer, table(answer.operators, headings, ['name']))
}

async function disable(operatorId: string, options: AdminOptions): Promise<void> {
  const answer = await callWorker(options, 'operator.disable', { operatorId })
  print(options, answer, ['The operator is disabled.'])
}
