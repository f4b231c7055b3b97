#!/usr/bin/env node
import { Command, CommanderError } from 'commander'
import { ConfigError } from '../config.js'
import { registerMigrate } from './migrate.js'
import { prepareDemo } from './prepare-demo.js'
import { registerSam } from './sam.js'
import { registerServe } from './serve.js'

const program = new Command('paraph')
  .description('A remote signing service: keys in a hardware security module, hashes over the CSC API.')
  .exitOverride()

registerServe(program, { prepareDemo })
registerSam(program)
registerMigrate(program)

try {
  await program.parseAsync()
} catch (error) {
  process.exitCode = exitCodeOf(error)
  if (!(error instanceof CommanderError)) process.stderr.write(`paraph: ${(error as Error).message}\n`)
}

/** 0 done, 1 refused or failed, 2 wrong usage. */
function exitCodeOf(error: unknown): number {
  if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : 2
  return error instanceof ConfigError ? 2 : 1
}
