import { type Config, ConfigError, loadConfig, type Program } from '../../config.js'
import { type Finding, fail, ok } from './finding.js'

/** What the settings are for, as far as they tell: a machine may run a front, workers, or both. */
function programsOf(config: Config): Program[] {
  if (config.demo) return ['serve']
  const apart = config.sam?.length === 1 && config.samDatabaseUrl !== undefined
  if (!apart) return ['serve']
  return config.databaseUrl === undefined ? ['sam'] : ['serve', 'sam']
}

/** The settings, where they can be read at all, and what is wrong with them. */
export function examineSettings(env: NodeJS.ProcessEnv): { config: Config | undefined; findings: Finding[] } {
  const faults = new Set<string>()
  const read = (program: Program): Config | undefined => {
    try {
      return loadConfig(env, program)
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error
      for (const fault of error.faults) faults.add(fault)
      return undefined
    }
  }
  const config = read('command')
  for (const program of config === undefined ? [] : programsOf(config)) read(program)
  const findings = [...faults].map((fault) => {
    // Each fault is a sentence that says what is wrong and one that says what to type.
    const [, wrong = fault, remedy = 'Correct the setting.'] =
      /^(.*?)[.:] ((?:Type|Remove|Name)\b.*)$/s.exec(fault) ?? []
    return fail('settings', `${wrong}.`, remedy)
  })
  if (findings.length > 0 || config === undefined) return { config, findings }
  const start = config.demo ? 'a demo' : 'production'
  return { config, findings: [ok('settings', `Nothing is wrong with the settings; they are those of ${start}.`)] }
}
