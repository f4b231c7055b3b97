/** The format of scenarios: what it takes, and that whoever writes one wrongly is told where. */
import assert from 'node:assert/strict'
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { test } from 'node:test'
import { fileURLToPath } from 'node:url'
import { type Answer, faultOf, isOneOf, parseCheck, parseOutcomes } from '../../src/conformance/expectation.js'
import { SuiteError } from '../../src/conformance/lines.js'
import { loadSuite, parseDeviations } from '../../src/conformance/suite.js'
import { fill, type Json, mergePatch, valueAt } from '../../src/conformance/values.js'

const whole = loadSuite(join(fileURLToPath(import.meta.url), '../../../../conformance'))

function load(text: string): ReturnType<typeof loadSuite> {
  const folder = mkdtempSync(join(tmpdir(), 'paraph-suite-'))
  try {
    mkdirSync(join(folder, 'v2'))
    writeFileSync(join(folder, 'v2', 'a.txt'), text)
    return loadSuite(folder)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

const scenario = (...lines: string[]) => ['scenario: S', '  clause: C', ...lines.map((line) => `  ${line}`)].join('\n')

test('a scenario that cannot be meant is refused, and the place is told', () => {
  const cases: [text: string, told: string][] = [
    ['scenario: S', 'v2/a.txt:1: nothing stands below it'],
    ['scenario: S\n  GET info', 'v2/a.txt:1: a scenario says the clause it comes from: `clause: …`'],
    ['story: S\n  x', 'v2/a.txt:1: not `scenario: …`, `step: …` or `names:`'],
    [scenario('\tGET info'), 'v2/a.txt:3: a tab: indent with spaces'],
    [scenario('GET info'), 'v2/a.txt:3: nobody looks at the answer: `expect …` comes next'],
    [scenario('GET info', 'GET info', 'expect 200'), 'v2/a.txt:3: nobody looks at the answer: `expect …` comes next'],
    [scenario('GET info', 'expect fine'), 'v2/a.txt:4: not an answer: fine'],
    [scenario('GET info', 'expect 200', '  name string'), 'v2/a.txt:5: not `member: what it must be`'],
    [scenario('GET info', 'expect 200', '  name: strng'), 'v2/a.txt:5: not JSON: strng'],
    [scenario('GET info', 'expect 200', '  name: matches /(/'), 'v2/a.txt:5: not a pattern: /(/'],
    [scenario('POST info', '  {"a": ', 'expect 200'), 'v2/a.txt:4: brackets that nobody closes'],
    [scenario('POST info', '  {a: 1}', 'expect 200'), 'v2/a.txt:4: not JSON: {a: 1}'],
    [scenario('POST info', '  {}', '  {}', 'expect 200'), 'v2/a.txt:5: not a header, a body or `changed by {…}`'],
    [scenario('do something'), 'v2/a.txt:3: not a statement, and no step has that name: do something'],
    [scenario('let a = fresh digst'), 'v2/a.txt:3: not a value: fresh digst'],
    [scenario('check {a} is 5'), 'v2/a.txt:3: not JSON: {a}'],
    [scenario('let a = 1', '  b'), 'v2/a.txt:4: nothing may stand below that'],
    [scenario('in parallel 3 times', 'all answer 200'), 'v2/a.txt:3: one request stands below it'],
    [
      scenario('in parallel 3 times', '  GET info', 'expect 200'),
      'v2/a.txt:3: nobody counts the answers: `exactly 1 answers …` comes next',
    ],
    [scenario('check "{one.rsa}" is "x"'), 'v2/a.txt:1: used, and not named in `needs:`: one.rsa'],
    [scenario('adapter: suspend x'), 'v2/a.txt:1: used, and not named in `needs:`: suspend'],
    [scenario('let token = token of signer two'), 'v2/a.txt:1: used, and not named in `needs:`: two'],
    [scenario('let code = code of signer one 2 steps ago'), 'v2/a.txt:1: used, and not named in `needs:`: steps'],
    [`step: a <b>\n  a 1\n${scenario('a 2')}`, 'v2/a.txt:2, called from v2/a.txt:2'],
    [`step: a <b>\n  let x = 1\nstep: <c> b\n  let x = 1\n${scenario('a b')}`, 'v2/a.txt:7: may be the step of 1 or 3'],
    [`${scenario('let a = 1')}\n${scenario('let a = 1')}`, 'v2/a.txt:4: a second scenario of this name: S'],
    [scenario('signer one says yes at oauth2/authorize'), 'v2/a.txt:3: nobody looks at the answer'],
    [
      scenario('signer two says yes at oauth2/authorize', 'expect redirect'),
      'v2/a.txt:1: used, and not named in `needs:`: two',
    ],
    [scenario('let a = "{app.id}"'), 'v2/a.txt:1: used, and not named in `needs:`: app.id'],
    [
      scenario('GET info', '  changed by {"a": 1}', 'expect 200'),
      'v2/a.txt:4: not a header, a body or `changed by {…}`',
    ],
    ['names:\n  x 5', 'v2/a.txt:2: not `name = "value"`'],
    [`${scenario('    let a = 1', '  let b = 1')}`, 'v2/a.txt:4: indented neither like the lines above'],
  ]
  for (const [text, told] of cases) {
    assert.throws(
      () => load(text),
      (error) => error instanceof SuiteError && error.message.startsWith(told),
      `${text}\n  → ${told}`,
    )
  }
})

test('a step is put in with what it is given, and says from where it was called', () => {
  const [one] = load(
    `step: ask for <what> with <code>\n  POST <what>\n    { "code": "<code>" }\n${scenario('ask for info with {x}', 'expect 200')}`,
  )
  assert.deepEqual(one?.statements[0], {
    kind: 'request',
    line: {
      text: 'POST info',
      indent: 2,
      file: 'v2/a.txt',
      number: 2,
      calledFrom: { text: 'ask for info with {x}', indent: 2, file: 'v2/a.txt', number: 6 },
    },
    request: {
      method: 'POST',
      path: 'info',
      bearer: undefined,
      headers: [],
      query: undefined,
      body: { json: { code: '{x}' } },
    },
  })
})

test('what a scenario needs and which methods it uses is known before it runs', () => {
  const [one] = load(
    scenario(
      'needs: one.rsa, two',
      'let token = token of signer two',
      'let code = fresh code of signer one',
      'POST credentials/info as {token}',
      '  { "credentialID": "{one.rsa}" }',
      'expect 200',
      'POST /csc/v2/strange',
      'expect 501',
    ),
  )
  assert.deepEqual([one?.needs, one?.methods], [['one.rsa', 'two', 'code'], ['credentials/info']])
})

test('an application sends a signer, and asks with forms', () => {
  const [one] = load(
    scenario(
      'needs: app, two',
      'signer two says no with code {x} at oauth2/authorize',
      '  query { "client_id": "{app.id}",',
      '    "state": "s" }',
      '  changed by {"state": null, "scope": "service"}',
      'expect redirect',
      'POST oauth2/token',
      '  form {"code": "{x}"}',
      '  changed by {"grant_type": "y"}',
      'expect 400 or no redirect',
    ),
  )
  const [answer, , token] = one?.statements ?? []
  assert.ok(answer?.kind === 'answer' && token?.kind === 'request')
  assert.deepEqual([answer.signer, answer.yes, answer.code], ['two', false, '{x}'])
  assert.deepEqual(answer.request.query, { client_id: '{app.id}', scope: 'service' })
  assert.deepEqual(token.request.body, { form: { code: '{x}', grant_type: 'y' } })
  assert.deepEqual([one?.needs, one?.methods, one?.oauth], [['app', 'two', 'oauth'], [], true])
})

const answer = (status: number, json: Json, headers: Record<string, string> = {}): Answer => ({
  status,
  json,
  text: JSON.stringify(json),
  headers: new Headers(headers),
})
const line = (text: string) => ({ text, indent: 4, file: 'f', number: 1 })

test('an expectation holds for what it says, and for nothing else', () => {
  const values = new Map<string, Json>([
    ['x', 'abc'],
    ['n', 2],
  ])
  const body = { text: 'abc', one: 1, half: 1.5, yes: true, list: ['b', 'a'], none: null, in: { deep: [{ a: 1 }] } }
  const cases: [check: string, holds: boolean][] = [
    ['text: string', true],
    ['one: string', false],
    ['one: integer', true],
    ['half: integer', false],
    ['yes: boolean', true],
    ['list: list', true],
    ['in: list', false],
    ['in: object', true],
    ['gone: absent', true],
    ['gone: absent or string', true],
    ['text: absent or string', true],
    ['one: absent or string', false],
    ['none: absent', false],
    ['text: absent', false],
    ['gone: string', false],
    ['text: "abc"', true],
    ['text: "{x}"', true],
    ['text: not "{x}"', false],
    ['one: 1', true],
    ['one: "1"', false],
    ['text: one of "x", "abc"', true],
    ['text: one of "x", "y"', false],
    ['text: matches /^a.c$/', true],
    ['one: matches /1/', false],
    ['one: integer from 1 to 2', true],
    ['one: integer from 2 to 3', false],
    ['list: list of {n}', true],
    ['list: list of 3', false],
    ['list: contains "a"', true],
    ['list: contains "c"', false],
    ['list: lacks "c"', true],
    ['list: lacks "a"', false],
    ['text: contains "a"', false],
    ['list: each string', true],
    ['list: each one of "a", "c"', false],
    ['in.deep.1.a: 1', true],
    ['in.deep.0.a: 1', false],
    ['header X-Seen: "yes"', true],
    ['header x-other: string', false],
    ['text: base64', false],
    ['text: certificate', false],
    ['no member is null', false],
  ]
  for (const [text, holds] of cases) {
    const fault = faultOf(parseCheck(line(text)), answer(200, body, { 'x-seen': 'yes' }), values)
    assert.equal(fault === undefined, holds, `${text}: ${fault}`)
  }
  assert.equal(faultOf(parseCheck(line('no member is null')), answer(200, { a: [{}] }), values), undefined)
})

test('an answer is told by status, error and description', () => {
  const refused = answer(400, { error: 'invalid_request', error_description: 'Invalid parameter SAD' })
  const is = (text: string, one: Answer) => isOneOf(one, parseOutcomes(line(text), text), new Map())
  for (const text of [
    '400',
    'refused',
    '400 invalid_request',
    '400 invalid_request "Invalid parameter SAD"',
    '200 or 400 invalid_request "Invalid parameter SAD"',
    '401 or refused',
  ]) {
    assert.ok(is(text, refused), text)
  }
  for (const text of ['200', '400 invalid_otp', '400 invalid_request "Invalid"', '200 or 401']) {
    assert.ok(!is(text, refused), text)
  }
  const sent = answer(303, {}, { location: 'https://app.test/back?code=c&state=a+b#x' })
  assert.ok(is('redirect', sent) && !is('no redirect', sent) && is('400 or no redirect', refused))
  for (const [text, holds] of [
    ['redirect: "https://app.test/back"', true],
    ['redirect state: "a b"', true],
    ['redirect error: absent', true],
    ['redirect code: absent', false],
    ['redirect: "https://app.test/"', false],
  ] as const)
    assert.equal(faultOf(parseCheck(line(text)), sent, new Map()) === undefined, holds, text)
  assert.ok(!is('refused', answer(500, { error: 'server_error' })))
  assert.ok(!is('refused', answer(400, { message: 'no' })))
})

test('names are filled in with their types, and what may be missing is left out', () => {
  const values = new Map<string, Json>([
    ['list', ['a', 'b']],
    ['n', 3],
    ['one', { rsa: 'id' }],
  ])
  const template = {
    all: '{list}',
    first: '{list.1}',
    text: 'n is {n}',
    id: '{one.rsa}',
    gone: '{pin?}',
    in: ['{pin?}', 1],
  }
  assert.deepEqual(fill(template, values), { all: ['a', 'b'], first: 'a', text: 'n is 3', id: 'id', in: [1] })
  assert.throws(() => fill('{pin}', values), { name: 'UnknownName' })
  assert.equal(valueAt({ a: [1] }, ['a', '2']), undefined)
  assert.deepEqual(mergePatch({ a: 1, b: { c: 1 } }, { a: null, b: { d: 2 } }), { b: { c: 1, d: 2 } })
})

test('a deviation names a scenario, in one version or both', () => {
  const [{ name } = { name: '' }] = whole
  const read = (text: string) => parseDeviations('d', text, whole)
  assert.deepEqual([...read(`# none\n\nv1 ${name}: because`)], [[`v1 ${name}`, 'because']])
  assert.equal(read(`${name}: because`).size, whole.filter((one) => one.name === name).length)
  assert.throws(() => read('No such scenario: because'), /^SuiteError: d:1: no scenario has this name/)
  assert.throws(() => read(name), /^SuiteError: d:1: /)
})

test('every scenario says which clause or which abuse it comes from', () => {
  for (const { clause, file } of whole) assert.match(clause, /CSC v[12]|RFC \d+|abuse|none: /, file)
})
