/** What the documents name, exists. */
import assert from 'node:assert/strict'
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs'
import { basename, dirname, join, normalize, relative } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { createProgram } from '../src/cli/program.js'
import { ConfigError, loadConfig } from '../src/config.js'

const root = dirname(dirname(dirname(fileURLToPath(import.meta.url))))

/** Local, and not in the repository. */
const LOCAL = new Set(['.git', 'node_modules', 'dist', '.build', 'var'])

const tracked = filesBelow('.')
const documents = tracked
  .filter((file) => file.endsWith('.md'))
  .map((file) => ({ file, text: readFileSync(join(root, file), 'utf8') }))

test('the documents are there', () => {
  for (const file of ['README.md', 'CHANGELOG.md', 'CONTRIBUTING.md', 'docs/dependencies.md', 'deploy/README.md']) {
    assert.ok(tracked.includes(file), file)
  }
})

test('every file and folder they name exists', () => {
  const names = new Set(tracked.map((file) => basename(file)))
  const missing = documents.flatMap(({ file, text }) => {
    const exists = (path: string) => existsSync(join(root, dirname(file), path)) || existsSync(join(root, path))
    const linked = matches(text, /\]\(([^)\s]+)\)/g).filter((link) => !/^([a-z]+:|#)/.test(link))
    const quoted = matches(text, /`([^`\n]+)`/g)
    return [
      ...linked.map((link) => link.replace(/#.*/, '')).filter((link) => !exists(link)),
      // A path into the repository, and not a pattern of one.
      ...quoted.filter(
        (path) => /^(src|test|docs|deploy|migrations|bench|\.ci)\/[\w./-]*$/.test(path) && !exists(path),
      ),
      ...quoted.filter((name) => /^[\w.-]+\.(ts|mjs|sql|sh|md)$/.test(name) && !names.has(name)),
    ].map((path) => `${file}: ${path}`)
  })
  assert.deepEqual(missing, [])
})

test('every npm script they name exists', () => {
  const { scripts } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')) as {
    scripts: Record<string, string>
  }
  const named = documents.flatMap(({ file, text }) =>
    matches(text, /npm run ([a-z][\w:-]*)/g).map((script) => ({ file, script })),
  )
  assert.deepEqual(
    named.filter(({ script }) => !(script in scripts)),
    [],
  )
})

test('every command they name exists, with its options', () => {
  const commands = commandLine()
  const named = documents.flatMap(({ file, text }) => commandsIn(text).map((words) => ({ file, words })))
  const unknown = named.flatMap(({ file, words }) => {
    const fault = faultOf(words, commands)
    return fault === undefined ? [] : `${file}: paraph ${words.join(' ')}: ${fault}`
  })
  assert.deepEqual(unknown, [])
  assert.ok(named.length > 10, 'the documents were read')
})

test('every setting they name exists, and every setting is explained', () => {
  const settings = new Set(settingsInCode())
  const named = [
    ...documents,
    ...['Dockerfile', 'compose.yaml'].map((file) => ({ file, text: readFileSync(join(root, file), 'utf8') })),
  ].flatMap(({ file, text }) => matches(text, /\b(PARAPH_[A-Z_]+\b)(?!_?\*)/g).map((name) => ({ file, name })))
  assert.deepEqual(
    named.filter(({ name }) => !settings.has(name) && !name.startsWith('PARAPH_TEST_')),
    [],
  )
  const readme = documents.find(({ file }) => file === 'README.md')?.text ?? ''
  assert.deepEqual(
    [...settings].filter((name) => !readme.includes(name)),
    [],
    'settings that README.md does not explain',
  )
})

test('nothing names a folder of one machine, or a registry of one network', () => {
  // Put together here, so that this file does not name them.
  const homes = ['work/', 'root/', 'home/[a-z]', 'Users/[A-Za-z]'].map((folder) => `/${folder}`).join('|')
  const foreign = new RegExp(`(?<![\\w.\\-/\\\\])(?:${homes})|"res${''}olved": "`)
  const naming = tracked.filter((file) => {
    const bytes = readFileSync(join(root, file))
    return !bytes.includes(0) && foreign.test(bytes.toString('utf8'))
  })
  assert.deepEqual(naming, [])
})

function filesBelow(folder: string): string[] {
  return readdirSync(join(root, folder))
    .map((name) => normalize(join(folder, name)))
    .flatMap((path) => {
      if (LOCAL.has(path)) return []
      if (statSync(join(root, path)).isDirectory()) return filesBelow(path)
      // What a demo keeps in keys/ is local, too.
      return relative('keys', path).startsWith('..') || path === join('keys', 'README.md') ? [path] : []
    })
}

function matches(text: string, pattern: RegExp): string[] {
  return [...text.matchAll(pattern)].map((match) => match[1] as string)
}

/** Words after `paraph` in quoted text and in blocks of code, up to what ends a command. */
function commandsIn(markdown: string): string[][] {
  const blocks = matches(markdown, /```[^\n]*\n([\s\S]*?)```/g).flatMap((block) =>
    block.replace(/\\\n/g, ' ').split('\n'),
  )
  const quoted = matches(markdown.replace(/```[\s\S]*?```/g, ''), /`([^`]+)`/g)
  return [...blocks, ...quoted].flatMap((line) =>
    // `ceremony` is the service of compose.yaml whose program is paraph.
    matches(line.replace(/\s#.*/, ''), /(?:^|\s|=)(?:npx )?(?:paraph|--rm ceremony) ([^|&;>\n]+)/g).map((rest) =>
      rest.trim().split(/\s+/),
    ),
  )
}

interface CommandInfo {
  readonly options: readonly string[]
  readonly below: ReadonlyMap<string, CommandInfo>
}

function commandLine(): CommandInfo {
  const read = (command: ReturnType<typeof createProgram>): CommandInfo => ({
    options: ['--help', ...command.options.flatMap(({ long, short }) => [long ?? [], short ?? []].flat())],
    below: new Map(command.commands.map((one) => [one.name(), read(one)])),
  })
  return read(createProgram(false))
}

/** What is wrong with a command, or undefined. */
function faultOf(words: readonly string[], program: CommandInfo): string | undefined {
  let command = program
  for (const word of words) {
    const below = command.below.get(word)
    if (below !== undefined) command = below
    else if (/^--?[a-z]/.test(word)) {
      const option = word.replace(/=.*/, '')
      if (!command.options.includes(option)) return `no option ${option}`
    } else if (command.below.size > 0 && /^[a-z]+$/.test(word)) return `no command ${word}`
  }
  return undefined
}

/** As the program itself lists them when it refuses one that is not among them. */
function settingsInCode(): string[] {
  try {
    loadConfig({ PARAPH_NONE: 'x' })
  } catch (error) {
    if (error instanceof ConfigError) return matches(error.message.replace('PARAPH_NONE', ''), /(PARAPH_[A-Z_]+)/g)
  }
  throw new Error('an unknown setting was not refused')
}
