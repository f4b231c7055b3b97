import type { Command } from 'commander'
import { examineDatabases } from './doctor/database.js'
import { examineDevice } from './doctor/device.js'
import { examineCertificateFiles, examineFolders } from './doctor/files.js'
import { type Finding, fail } from './doctor/finding.js'
import { examineSettings } from './doctor/settings.js'
import { examineWorkers } from './doctor/workers.js'
import { describeFailure } from './failure.js'
import { type OutputOptions, wrapped } from './output.js'

const HELP = `
Changes nothing. Run it as the user and with the settings of the service; without any settings it
looks at the demo in this folder.

  ok    as it should be
  warn  works, but somebody should look
  fail  does not work, or is not safe

Exit status: 0 nothing failed, 1 something did, 2 wrong usage.`

/** Adds `paraph doctor`. */
export function registerDoctor(program: Command): void {
  program
    .command('doctor')
    .summary('find out what is wrong')
    .description('Looks at settings, folders, database and device, and tells what to do.')
    .option('--json', 'tell the findings as one line of JSON')
    .addHelpText('after', HELP)
    .action(doctor)
}

async function doctor({ json }: OutputOptions): Promise<void> {
  const findings: Finding[] = []
  for await (const finding of examine()) {
    findings.push(finding)
    // As they come: a device that hangs must not hide what was found before.
    if (!json) process.stdout.write(`${inWords(finding).join('\n')}\n`)
  }
  const failed = findings.filter(({ state }) => state === 'fail').length
  const warned = findings.filter(({ state }) => state === 'warn').length
  if (json) process.stdout.write(`${JSON.stringify({ ok: failed === 0, findings })}\n`)
  else process.stdout.write(`\n${verdict(failed, warned)}\n`)
  if (failed > 0) process.exitCode = 1
}

async function* examine(): AsyncGenerator<Finding> {
  const { config, findings } = examineSettings(process.env)
  yield* findings
  if (config === undefined) return
  let databaseUrl: string | undefined
  const { instance, findings: ofFolders } = examineFolders(config)
  yield* ofFolders
  yield* examineCertificateFiles(config, Date.now())
  yield* guarded('database', () =>
    examineDatabases(config, instance, (url) => {
      databaseUrl = url
    }),
  )
  if (!config.demo || instance !== undefined) yield await examineWorkers(config)
  yield* guarded('device', () => examineDevice(config, instance, databaseUrl))
}

/** What nobody thought of ends one group of checks, not all of them. */
async function* guarded(check: string, examineGroup: () => AsyncGenerator<Finding>): AsyncGenerator<Finding> {
  try {
    yield* examineGroup()
  } catch (error) {
    yield fail(check, `${describeFailure(error).message}.`, 'The other checks of this kind were not made.')
  }
}

const CHECK_WIDTH = 20
const INDENT = ' '.repeat('warn  '.length + CHECK_WIDTH)

function inWords({ check, state, message, remedy }: Finding): string[] {
  const [first = '', ...rest] = wrapped(message, INDENT)
  const remedies = remedy === undefined ? [] : wrapped(remedy, INDENT)
  return [`${state.padEnd(6)}${check.padEnd(CHECK_WIDTH)}${first.trimStart()}`, ...rest, ...remedies]
}

function verdict(failed: number, warned: number): string {
  if (failed + warned === 0) return 'All is well.'
  const counted = [...(failed === 0 ? [] : [`${failed} failed`]), ...(warned === 0 ? [] : [`${warned} to look at`])]
  return `${counted.join(', ')}.`
}
