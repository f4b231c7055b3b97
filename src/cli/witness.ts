import { createPrivateKey, generateKeyPairSync, type KeyObject } from 'node:crypto'
import { existsSync, mkdirSync, readFileSync } from 'node:fs'
import { join, resolve } from 'node:path'
import { type Command, InvalidArgumentError } from 'commander'
import { pino } from 'pino'
import { systemClock } from '../clock.js'
import { withFileLock } from '../hsm/file-lock.js'
import { createSecretFile, readSecretFile } from '../secret-file.js'
import { formatVkey, type NoteKey, parseVkey } from '../tlog/note.js'
import { parsePolicy } from '../tlog/policy.js'
import { serveWitness } from '../witness/server.js'
import { beginState, Witness, witnessKey } from '../witness/witness.js'
import { facts, print } from './output.js'
import { type Running, runUntilSignal } from './run-until-signal.js'

const HELP = `
For people who do not run the service, such as an audit department, on a machine of their own. A
witness remembers the largest tree of each log that it saw, and cosigns a larger one only if it begins
with that; whoever rewrites the log then finds no witness for it. It speaks C2SP tlog-witness and
needs neither a database nor a device. Settings of the service do not matter to it.

The first start makes its key and its memory in DIR and prints its verifier key, which goes into the
policies of the log's operator (PARAPH_WITNESSES) and of the auditors. Both files belong together: a
witness that lost its memory is to be begun anew, in another DIR. Put a proxy in front for TLS.

Example:
  paraph witness --name witness.example.org/audit --log "sign.example.com/paraph+1c9a…" --data ./witness`

interface WitnessCommandOptions {
  readonly name: string
  readonly log?: readonly NoteKey[]
  readonly policy?: string
  readonly data: string
  readonly host: string
  readonly port: number
  readonly json?: true
}

/** Adds `paraph witness`. */
export function registerWitness(program: Command): void {
  program
    .command('witness')
    .summary('watch a log that others run')
    .description('Runs a witness: it cosigns the trees of logs that only ever grow.')
    .requiredOption('--name <name>', 'its name for good: a domain of yours and a path', parseName)
    .option('--log <KEY>', 'verifier key of a log that it knows; may be given more than once', collectLogs)
    .option('--policy <FILE>', "knows the logs of this policy's `log` lines, too")
    .option('--data <DIR>', 'folder of its key and its memory', 'witness')
    .option('--host <address>', 'where to listen', '127.0.0.1')
    .option('--port <number>', 'where to listen; 0 takes any free one', parsePort, 8790)
    .option('--json', 'tell its key and where it listens as one line of JSON')
    .addHelpText('after', HELP)
    .action(witness)
}

async function witness(options: WitnessCommandOptions): Promise<void> {
  const logs = [...(options.log ?? []), ...logsOf(options.policy)]
  if (logs.length === 0) throw new Error('there is no log to watch: name one by --log or --policy')
  const folder = resolve(options.data)
  mkdirSync(folder, { recursive: true, mode: 0o700 })
  const logger = pino({ level: 'info', base: { program: 'witness', pid: process.pid } }, pino.destination(2))
  await runUntilSignal(logger, async (running) => {
    await holdAlone(join(folder, 'lock'), running)
    const stateFile = join(folder, 'state.json')
    const privateKey = readKey(folder, stateFile, options.name)
    const served = new Witness({ name: options.name, privateKey, logs, stateFile, clock: systemClock })
    const { host, port } = options
    const { url, close } = await serveWitness(served, { host, port, logger })
    running.onStop(close)
    const vkey = formatVkey(served.key)
    print(options, { vkey, url }, [
      'The witness listens; this is its line for a policy, with a name of your choice and its address:',
      ...facts({ Policy: `witness NAME ${vkey} ${url}` }),
      ...served.seen.map(({ origin, size }) => `It has cosigned ${origin} up to entry ${size - 1}.`),
    ])
  })
}

/** The key, made together with the memory where there is neither. */
function readKey(folder: string, stateFile: string, name: string): KeyObject {
  const keyFile = join(folder, 'key.pem')
  if (!existsSync(keyFile) && !existsSync(stateFile)) {
    const { privateKey } = generateKeyPairSync('ed25519')
    // The memory last: a crash between leaves a key that the next start refuses, and no witness that forgot.
    createSecretFile(keyFile, privateKey.export({ type: 'pkcs8', format: 'pem' }).toString().trim())
    beginState(stateFile, formatVkey(witnessKey(name, privateKey)))
  }
  return createPrivateKey(readSecretFile(keyFile))
}

/** One process at a time: two would each believe the other's past. Held until the process ends. */
function holdAlone(file: string, running: Running): Promise<void> {
  return new Promise((held, refused) => {
    const holding = () =>
      new Promise<void>((release) => {
        running.onStop(async () => release())
        held()
      })
    withFileLock(file, holding).catch(refused)
  })
}

function logsOf(policy: string | undefined): NoteKey[] {
  return policy === undefined ? [] : parsePolicy(readFileSync(policy, 'utf8')).logs.map(({ key }) => key)
}

function collectLogs(text: string, logs: readonly NoteKey[] = []): NoteKey[] {
  let key: NoteKey
  try {
    key = parseVkey(text)
  } catch (error) {
    throw new InvalidArgumentError(error instanceof Error ? `${error.message}.` : 'It is no verifier key.')
  }
  if (key.type === 'cosignature') throw new InvalidArgumentError('It is the key of a witness.')
  return [...logs, key]
}

function parseName(text: string): string {
  if (text.length <= 255 && /^[^+\s\p{Cc}]+$/u.test(text)) return text
  throw new InvalidArgumentError('Write a domain and a path, like witness.example.org/audit.')
}

function parsePort(text: string): number {
  if (/^\d{1,5}$/.test(text) && Number(text) <= 65535) return Number(text)
  throw new InvalidArgumentError('From 0 to 65535.')
}
