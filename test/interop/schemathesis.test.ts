/**
 * schemathesis asks every operation of openapi.yaml for everything that it can think of, right and wrong, and holds the
 * answers against the same file. The same requests in every run; INTEROP_MINUTES=30 draws others for so long.
 */
import assert from 'node:assert/strict'
import { spawn } from 'node:child_process'
import { readFileSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { text } from 'node:stream/consumers'
import { after, before, test } from 'node:test'
import * as openid from 'openid-client'
import { readOpenApi } from '../../src/front/openapi.js'
import { operatorTokenFile } from '../../src/sam/demo.js'
import { until } from '../helpers/csc.js'
import { keepSecret, TestService, type TestSigner } from '../helpers/test-service.js'
import { answer, discover, REDIRECT, type Registered, register } from '../oauth/oauth-client.js'
import { PYTHON } from '../runner/python.js'

const SEED = 20261124
/** For each operation, right and wrong, after the systematic ones. */
const EXAMPLES = 30
/** As many as schemathesis_hooks.py wants: five for what must not disturb one another, the others have codes to spare. */
const ACCOUNTS = 8
/** Of what schemathesis says, which may be a whole request. */
const LONGEST_LINE = 400

const NAME = 'Test Signer'

const minutes = Number(process.env['INTEROP_MINUTES'] ?? 0)

let service: TestService
before(async () => {
  service = await TestService.start({ keys: [], timeStamps: true })
})
after(() => service?.close())

test('schemathesis', { timeout: (5 + minutes) * 60_000 }, async (t) => {
  const { document } = readOpenApi()
  const operations = Object.entries(document.paths).flatMap(([path, item]) =>
    Object.entries(item).map(([method, { operationId, security }]) => ({
      id: operationId,
      label: `${method.toUpperCase()} ${path}`,
      bearer: security === undefined || security.some(({ bearer }) => bearer !== undefined),
    })),
  )
  const run = await schemathesis()
  for (const { id, label, bearer } of operations) {
    await t.test(label, () => {
      const verdict = run.verdicts.get(label)
      assert.ok(verdict !== undefined, `was not asked:\n${run.printed}`)
      assert.ok(verdict === '', verdict)
      // What is refused at the door is not seen from inside.
      const statuses = Object.keys(run.answers[id] ?? {}).map(Number)
      assert.ok(
        statuses.some((status) => status < 400),
        `never succeeded: ${JSON.stringify(run.answers[id])}`,
      )
      assert.equal(run.guarded.includes(id), bearer, 'what takes a token was asked without one')
    })
  }
  await t.test('nothing else is wrong', async () => {
    assert.equal(run.status, 0, run.printed)
    await service.checkWorld()
  })
})

interface Run {
  readonly status: unknown
  readonly printed: string
  /** What is wrong with each operation; empty where nothing is. */
  readonly verdicts: ReadonlyMap<string, string>
  /** How often each operation gave each status. */
  readonly answers: Readonly<Record<string, Record<string, number>>>
  /** Operations that were asked without a token, too. */
  readonly guarded: readonly string[]
}

async function schemathesis(): Promise<Run> {
  const accounts = join(service.folder, 'accounts.json')
  const answers = join(service.folder, 'answers.json')
  const report = join(service.folder, 'report.xml')
  writeFileSync(accounts, JSON.stringify(await makeAccounts()), { mode: 0o600 })
  const search =
    minutes > 0
      ? ['--max-time', String(minutes * 60)]
      : ['--max-examples', String(EXAMPLES), '--seed', String(SEED), '--no-shrink']
  const child = spawn(
    PYTHON,
    [
      ...['-m', 'schemathesis.cli', '--config-file', 'test/interop/schemathesis.toml'],
      ...[
        'run',
        'openapi.yaml',
        '--url',
        service.urls[0] ?? '',
        '--generation-database',
        'none',
        '--no-color',
        '--warnings',
        'off',
      ],
      ...['--report', 'junit', '--report-junit-path', report, ...search],
    ],
    {
      // Neither Python nor hypothesis leaves anything in the repository.
      env: {
        ...process.env,
        INTEROP_ACCOUNTS: accounts,
        INTEROP_ANSWERS: answers,
        HYPOTHESIS_STORAGE_DIRECTORY: join(service.folder, 'hypothesis'),
        PYTHONDONTWRITEBYTECODE: '1',
      },
      stdio: ['ignore', 'pipe', 'pipe'],
    },
  )
  const [status, printed, complained] = await Promise.all([
    new Promise((resolve) => child.once('close', resolve)),
    text(child.stdout),
    text(child.stderr),
  ])
  const all = short(printed + complained)
  // Where it did not even begin there is no report.
  if (!printed.includes('Test cases:')) throw new Error(all)
  return {
    status,
    printed: all,
    verdicts: verdictsOf(readFileSync(report, 'utf8')),
    ...(JSON.parse(readFileSync(answers, 'utf8')) as Pick<Run, 'answers' | 'guarded'>),
  }
}

function verdictsOf(junit: string): Map<string, string> {
  const cases = junit.matchAll(/<testcase name="([^"]*)"[^>]*?(?:\/>|>([\s\S]*?)<\/testcase>)/g)
  return new Map([...cases].map(([, name = '', inside = '']) => [name, short(plain(inside))]))
}

function plain(xml: string): string {
  const entities: Record<string, string> = { lt: '<', gt: '>', quot: '"', apos: "'", amp: '&', '#10': '\n' }
  return xml.replace(/&([a-z]+|#10);/g, (all, name: string) => entities[name] ?? all)
}

function short(printed: string): string {
  return printed.replace(new RegExp(`^(.{${LONGEST_LINE}}).+$`, 'gm'), '$1…')
}

async function makeAccounts() {
  const client = await register(service, {
    scopes: ['service', 'credential', 'credential-creation', 'credential-deletion'],
  })
  const accounts = []
  for (let index = 0; index < ACCOUNTS; index++) accounts.push(await makeAccount(`signer${index}@example.test`))
  const [first] = accounts
  assert.ok(first)
  await service.admin('client.assign', { clientId: client.clientId, signer: first.login })
  const auditor = readFileSync(operatorTokenFile(service.keysDir, 'auditor'), 'utf8')
  keepSecret(auditor)
  return {
    url: service.urls[0],
    accounts,
    auditor,
    inLog: await signedBy(first),
    client: { ...client, redirectUri: REDIRECT },
    once: {
      // Signers of their own: a code that is used here would be refused when the tool presents it in the same half minute.
      v2CredentialsCreate: await agreedCreation(client, await makeAccount('creates@example.test')),
      v2CredentialsDelete: await agreedDeletion(client, await makeAccount('deletes@example.test')),
    },
  }
}

/** Something that was signed and stands in the tree: its operation, and its index. */
async function signedBy({ credential, ...signer }: TestSigner & { credential: string }) {
  const bearer = await service.login(signer)
  const hashes = service.digests('signed before')
  const sad = await service.authorize(bearer, credential, hashes, { code: service.code(signer) })
  const { status } = await service.signHash(bearer, credential, sad, hashes, { signAlgo: '1.2.840.10045.4.3.2' })
  assert.equal(status, 200)
  const owner = await service.owner()
  const { rows } = await owner.query<{ op: string; index: number }>(
    'select op, idx as index from audit.op_index where ph = 2 order by idx desc limit 1',
  )
  const [entry] = rows
  assert.ok(entry)
  await until('it is signed', async () => {
    const covered = await owner.query('select from audit.checkpoint where size > $1', [entry.index])
    return covered.rowCount !== 0
  })
  return entry
}

async function makeAccount(login: string) {
  const { password = '' } = await service.admin('signer.create', { login, name: NAME, email: login })
  const { secret } = await service.admin('authenticator.enrol', { signer: login })
  await service.admin('authenticator.enrolDelivered', { signer: login, kind: 'email' })
  keepSecret(password, secret)
  const signer = { login, password, secret }
  return {
    ...signer,
    credential: await service.newCredential(signer, 'p-256'),
    openCredential: await service.newCredential(signer, 'p-256', { scal: '1', multisign: 1000 }),
  }
}

async function agreedCreation(client: Registered, signer: TestSigner) {
  const wish = (commonName: string) => ({ certificatePolicy: '2.999.1.2', subjectData: { commonName } })
  const [member, agreed] = ['credentialCreationRequest', wish(NAME)]
  const details = [{ type: 'credential-creation', [member]: agreed }]
  const token = await agreedToken(client, signer, { authorization_details: JSON.stringify(details) })
  return { member, agreed, other: wish('Somebody Else'), token }
}

async function agreedDeletion(client: Registered, signer: TestSigner) {
  const credentialID = await service.newCredential(signer, 'p-256')
  const token = await agreedToken(client, signer, { scope: 'credential-deletion', credentialID })
  return { member: 'credentialDeletionRequest', agreed: { credentialID }, other: { credentialID: 'another' }, token }
}

/** The token for what the signer agreed to on our pages. */
async function agreedToken(client: Registered, signer: TestSigner, parameters: Record<string, string>) {
  const config = await discover(service, client)
  const pkceCodeVerifier = openid.randomPKCECodeVerifier()
  const url = openid.buildAuthorizationUrl(config, {
    ...parameters,
    redirect_uri: REDIRECT,
    code_challenge: await openid.calculatePKCECodeChallenge(pkceCodeVerifier),
    code_challenge_method: 'S256',
  })
  // Not a fresh one, for which the clock of the service would leave that of the tool behind.
  const back = await answer(service, url, { signer, code: service.code(signer) })
  const { access_token: token } = await openid.authorizationCodeGrant(config, back.url, { pkceCodeVerifier })
  keepSecret(pkceCodeVerifier, token)
  return token
}
