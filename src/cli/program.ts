import { existsSync, readFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { Command } from 'commander'
import { registerAudit } from './audit.js'
import { registerAuthenticator } from './authenticator.js'
import { registerCa } from './ca.js'
import { registerClient } from './client.js'
import { registerConformance } from './conformance.js'
import { registerCredential } from './credential.js'
import { registerDoctor } from './doctor.js'
import { registerHsm } from './hsm.js'
import { registerMigrate } from './migrate.js'
import { registerOperator } from './operator.js'
import { prepareDemo } from './prepare-demo.js'
import { registerSam } from './sam.js'
import { registerServe } from './serve.js'
import { registerSign } from './sign.js'
import { registerSigner } from './signer.js'
import { registerTsa } from './tsa.js'
import { registerVerify } from './verify.js'
import { registerWitness } from './witness.js'

const HELP = `
Try it, without any settings:
  paraph serve                     starts a demo and tells how to sign in
  paraph sign --demo README.md     in another terminal: signs a file
  paraph verify README.md

Every command takes --help, with examples, and --json. Settings come from the environment; a demo needs none.
Exit status: 0 done, 1 refused or failed, 2 wrong usage.`

/** All commands, in the order in which the help shows them. @param json whether errors are told as JSON, not by commander */
export function createProgram(json: boolean): Command {
  const program = new Command('paraph')
    .description('A remote signing service: keys in a hardware security module, hashes over the CSC API.')
    .version(readVersion(), '-V, --version', 'tell the version')
    .helpOption('-h, --help', 'tell how to use a command')
    .helpCommand(false)
    .showHelpAfterError('(add --help to see how it is used)')
    .exitOverride()
    .addHelpText('after', HELP)
  program.configureOutput(
    json
      ? { writeErr: () => undefined }
      : { outputError: (text, write) => write(text.replace(/^error: /, 'paraph: ')) },
  )

  program.commandsGroup('Run the service:')
  registerServe(program, { prepareDemo })
  registerSam(program)
  registerWitness(program)
  registerDoctor(program)

  program.commandsGroup('Set it up, once:')
  registerHsm(program)
  registerMigrate(program)
  registerAudit(program)
  registerTsa(program)

  program.commandsGroup('Who may sign, and with what:')
  registerSigner(program)
  registerAuthenticator(program)
  registerCredential(program)
  registerClient(program)
  registerOperator(program)
  registerCa(program)

  program.commandsGroup('Sign, as a client of any CSC service:')
  registerSign(program)
  registerVerify(program)
  registerConformance(program)
  return program
}

/** Of the package this module belongs to, wherever it was compiled to. */
function readVersion(): string {
  let folder = dirname(fileURLToPath(import.meta.url))
  while (!existsSync(join(folder, 'package.json'))) folder = dirname(folder)
  return (JSON.parse(readFileSync(join(folder, 'package.json'), 'utf8')) as { version: string }).version
}
