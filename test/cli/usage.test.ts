import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import type { Command } from 'commander'
import { describeFailure } from '../../src/cli/failure.js'
import { facts, table, wrapped } from '../../src/cli/output.js'
import { createProgram } from '../../src/cli/program.js'
import { ERROR_CODES, ServiceError } from '../../src/errors.js'
import { paraph } from './paraph.js'

function commandsOf(group: Command, path: string): { path: string; command: Command }[] {
  return group.commands.flatMap((command) => {
    const name = `${path} ${command.name()}`
    return command.commands.length === 0 ? [{ path: name, command }] : commandsOf(command, name)
  })
}

const leaves = commandsOf(createProgram(false), 'paraph')

test('the stable names are there', () => {
  const names = leaves.map(({ path }) => path.slice('paraph '.length)).sort()
  assert.deepEqual(names, [
    'audit erase',
    'audit export',
    'audit init',
    'audit key',
    'audit verify',
    'audit verify-receipt',
    'authenticator cancel',
    'authenticator enrol',
    'authenticator list',
    'authenticator revoke',
    'authenticator vouch',
    'ca root',
    'client assign',
    'client change',
    'client create',
    'client disable',
    'client list',
    'client rotate',
    'client unassign',
    'conformance',
    'credential create',
    'credential import',
    'credential list',
    'credential policy',
    'credential renew',
    'credential resume',
    'credential revoke',
    'credential show',
    'credential suspend',
    'doctor',
    'hsm init',
    'migrate',
    'operator create',
    'operator disable',
    'operator list',
    'sam',
    'serve',
    'sign',
    'signer create',
    'signer list',
    'signer reset-password',
    'signer resume',
    'signer suspend',
    'signer unlock',
    'tsa import',
    'tsa key',
    'verify',
    'witness',
  ])
})

test('every command takes --json and --help, and says what it does', () => {
  for (const { path, command } of leaves) {
    assert.ok(
      command.options.some(({ long }) => long === '--json'),
      path,
    )
    assert.ok(command.description().length > 10, path)
    const help = command.helpInformation()
    assert.match(help, /-h, --help/, path)
    assert.doesNotMatch(help, /undefined/, path)
  }
})

test('no option takes a secret itself', () => {
  const secret = /password|pin|token|secret|code|sad\b|otp/
  for (const { path, command } of leaves) {
    for (const { long, required, optional } of command.options) {
      if (!(required || optional) || !secret.test(long ?? '')) continue
      assert.match(long ?? '', /-(file|out)$/, path)
    }
  }
})

test('wrong usage ends with 2, and as JSON where it was asked for', async () => {
  for (const args of [['signr'], ['signer'], ['signer', 'create'], ['signer', 'create', '--password', 'x'], []]) {
    const { status, stdout, stderr } = await paraph({}, args)
    assert.equal(status, 2, args.join(' '))
    assert.equal(stdout, '')
    assert.match(stderr, /^(paraph: |Usage: paraph)/)
    assert.doesNotMatch(stderr, /\n\s+at /)
  }
  const { status, stderr, json } = await paraph({}, ['signer', 'create', '--login', 'x', '--json'])
  assert.equal(status, 2)
  assert.equal(stderr, '')
  assert.deepEqual(json, { error: { code: 'usage', message: "required option '--name <name>' not specified" } })
})

test('a mistyped setting ends with 2', async () => {
  const told = await paraph({ PARAPH_PROT: '1' }, ['signer', 'list'])
  assert.equal(told.status, 2)
  assert.match(told.stderr, /^paraph: PARAPH_PROT is not a setting/)
  const { status, json } = await paraph({ PARAPH_PROT: '1' }, ['signer', 'list', '--json'])
  assert.equal(status, 2)
  assert.equal(json.error.code, 'settings')
})

test('help and version end with 0', async () => {
  const root = new URL('../../../', import.meta.url)
  const { version } = JSON.parse(readFileSync(new URL('package.json', root), 'utf8'))
  assert.deepEqual(await paraph({}, ['--version']).then(({ status, stdout }) => [status, stdout]), [0, `${version}\n`])
  const { status, stdout, stderr } = await paraph({}, ['credential', 'create', '--help'])
  assert.equal(status, 0)
  assert.equal(stderr, '')
  assert.match(stdout, /--key <kind> {2,}kind of key \(choices: "rsa-2048"/)
  assert.match(stdout, /\n {2}paraph credential create --signer signer@example\.test --key rsa-3072 --json\n/)
})

test('a refusal is a sentence, never a code', () => {
  for (const code of ERROR_CODES) {
    const { status, message } = describeFailure(new ServiceError(code))
    assert.equal(status, 1)
    assert.match(message, /^[a-z`].{10,}[^.]$/, code)
    assert.ok(!message.includes(code) || !code.includes('_'), code)
  }
  assert.equal(describeFailure(new ServiceError('not_found', { detail: 'no such signer' })).message, 'no such signer')
})

test('what the system says becomes a sentence', () => {
  const failure = (properties: object) =>
    describeFailure(Object.assign(new Error('EXXX: raw words'), properties)).message
  assert.equal(failure({ code: 'ENOENT', path: '/a' }), '/a does not exist')
  assert.equal(failure({ code: 'EACCES', path: '/a' }), '/a may not be used by this user')
  assert.equal(failure({ code: 'ECONNREFUSED', address: '::1', port: 5 }), 'nothing listens on ::1 port 5')
  assert.equal(failure({}), 'EXXX: raw words')
})

test('a table is aligned, and shortened only where the terminal is too narrow', () => {
  const rows = [
    { name: 'a-name-that-is-long-and-goes-on', id: '1234567890' },
    { name: 'b', id: '1' },
  ]
  const headings = { name: 'NAME', id: 'ID' }
  assert.deepEqual(table(rows, headings, ['name'], Number.POSITIVE_INFINITY), [
    'NAME                             ID',
    'a-name-that-is-long-and-goes-on  1234567890',
    'b                                1',
  ])
  assert.deepEqual(table(rows, headings, ['name'], 30), [
    'NAME                ID',
    'a-name-that-is-lo…  1234567890',
    'b                   1',
  ])
  const long = [{ one: 'x'.repeat(30), two: 'y'.repeat(24) }]
  const [, even] = table(long, { one: 'ONE', two: 'TWO' }, ['one', 'two'], 42)
  assert.equal(even, `${'x'.repeat(19)}…  ${'y'.repeat(19)}…`)
  assert.deepEqual(table(rows, headings, [], 30).at(1), 'a-name-that-is-long-and-goes-on  1234567890')
})

test('a name cannot steer the terminal', () => {
  const [, row] = table([{ name: 'a\u001b[2Jb\u202ec\nd' }], { name: 'NAME' }, [])
  assert.equal(row, 'a\ufffd[2Jb\ufffdc\ufffdd')
  assert.deepEqual(facts({ Name: 'a\u0007', None: undefined }), ['  Name  a\ufffd'])
})

test('long sentences are wrapped at 100 columns', () => {
  const lines = wrapped('word '.repeat(60).trim(), '    ')
  assert.ok(lines.every((line) => line.length <= 100 && line.startsWith('    word')))
  assert.equal(lines.join(' ').match(/word/g)?.length, 60)
})
