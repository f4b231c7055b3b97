/** How a command reaches a SAM worker, and who gives it. */
import { existsSync, readdirSync } from 'node:fs'
import { type Command, InvalidArgumentError } from 'commander'
import { ADMIN_ROLE, type AdminVerb, type AdminVerbs } from '../activation.js'
import { type Config, loadConfig } from '../config.js'
import { ServiceError } from '../errors.js'
import { isUuid } from '../ids.js'
import { callAdmin } from '../sam/admin-client.js'
import { operatorTokenFile } from '../sam/demo.js'
import { adminSocket, socketFolder } from '../sam/socket-folder.js'
import { readSecretFile } from '../secret-file.js'
import type { OutputOptions } from './output.js'

export interface AdminOptions extends OutputOptions {
  /** File with the operator's token. */
  readonly operator?: string
}

const COMMON = 'Options of every command:'

/** A subcommand that a SAM worker carries out, with the options that all of these have. */
export function adminCommand(group: Command, nameAndArguments: string): Command {
  const command = group.command(nameAndArguments)
  const operator = command.createOption('--operator <file>', 'file with your operator token (or set PARAPH_OPERATOR)')
  const json = command.createOption('--json', 'tell the result as one line of JSON')
  return command.addOption(operator.helpGroup(COMMON)).addOption(json.helpGroup(COMMON))
}

/**
 * Has a worker carry out a command. In a demo its own operator with the right role gives it, elsewhere whoever holds the
 * token file that was named.
 * @throws ServiceError as the worker answers, `unavailable` when none does; Error about the token, saying what to give
 */
export async function callWorker<V extends AdminVerb>(
  options: AdminOptions,
  verb: V,
  request: AdminVerbs[V]['request'],
): Promise<AdminVerbs[V]['response']> {
  const config = loadConfig(process.env)
  const sockets = findAdminSockets(config)
  const token = operatorToken(config, options.operator, verb)
  for (const socket of sockets) {
    try {
      return await callAdmin(socket, token, verb, request)
    } catch (error) {
      if (!(error instanceof ServiceError && error.code === 'unavailable')) throw error
      const { code, syscall } = (error.cause ?? {}) as NodeJS.ErrnoException
      if (code === 'EACCES') throw new Error(`${socket} belongs to another user: run this as the user of the service`)
      // Only what never arrived may be asked for again: a command that broke off may have been carried out.
      if (syscall !== 'connect') throw error.detail === undefined ? error : brokenOff(error)
    }
  }
  throw nobodyThere(config, 'none of its workers answers')
}

function findAdminSockets(config: Config): string[] {
  if (!existsSync(config.data)) throw nobodyThere(config, 'there is no such folder')
  const folder = socketFolder(config.data)
  const indexes = readdirSync(folder).flatMap((name) => /^admin-(\d+)\.sock$/.exec(name)?.[1] ?? [])
  if (indexes.length === 0) throw nobodyThere(config, 'no worker has begun there')
  return indexes
    .map(Number)
    .sort((one, other) => one - other)
    .map((index) => adminSocket(folder, index))
}

function nobodyThere({ data }: Config, why: string): ServiceError {
  return new ServiceError('unavailable', {
    detail: `no service runs on ${data} (${why}): start it with \`paraph serve\`, or name the folder of the one that runs in PARAPH_DATA`,
  })
}

function brokenOff(cause: ServiceError): ServiceError {
  return new ServiceError('unavailable', {
    detail: 'the worker went away before it answered, and may have carried the command out: look before you repeat it',
    cause,
  })
}

function operatorToken(config: Config, option: string | undefined, verb: AdminVerb): string {
  const role = ADMIN_ROLE[verb]
  const named = option ?? config.operator
  if (named !== undefined) return readSecretFile(named)
  const demo = operatorTokenFile(config.keys, role === 'any' ? 'auditor' : role)
  if (config.demo && existsSync(demo)) return readSecretFile(demo)
  const who = `an operator${role === 'any' ? '' : ` of the role ${role}`}`
  const inDemo = config.demo ? `; a demo finds its own in PARAPH_KEYS, which is ${config.keys}` : ''
  throw new ServiceError('operator_unknown', {
    detail: `say who you are: --operator FILE, or PARAPH_OPERATOR=FILE, with the token of ${who}${inDemo}`,
  })
}

/** Where a one-use link leads. */
export function activationLink({ publicUrl }: Config, token: string): string {
  return `${publicUrl}/portal/activate/${token}`
}

/** The values that were given, for a request in which the others must be missing. */
export function given<Values extends object>(
  values: Values,
): { [Name in keyof Values]?: Exclude<Values[Name], undefined> } {
  return Object.fromEntries(Object.entries(values).filter(([, value]) => value !== undefined)) as {
    [Name in keyof Values]?: Exclude<Values[Name], undefined>
  }
}

/** Argument parser for an id. */
export function parseId(text: string): string {
  const id = text.toLowerCase()
  if (!isUuid(id)) throw new InvalidArgumentError('An id has 36 characters; the list shows it.')
  return id
}
