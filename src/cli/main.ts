#!/usr/bin/env node
import { report } from './failure.js'
import { createProgram } from './program.js'

// A reader that has seen enough (`paraph … | head`) is no failure.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit()
  throw error
})

const json = process.argv.includes('--json')
try {
  await createProgram(json).parseAsync()
} catch (error) {
  process.exitCode = report(error, json)
}
