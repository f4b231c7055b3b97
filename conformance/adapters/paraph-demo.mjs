/**
 * Tells `paraph conformance` what a running Paraph demo keeps out of band. It makes new signers for every scenario, so
 * that nothing waits for an earlier one, by the commands that an operator would use. Run it where the demo runs, with the
 * same PARAPH_ settings: it needs the demo's operator tokens in the keys folder.
 */
import { execFile } from 'node:child_process'
import { createHmac, randomInt, randomUUID } from 'node:crypto'
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as pause } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'
import { answerRequest, answerWaiting } from './paraph-pages.mjs'

const MAIN = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url))
const PERIOD = 30_000
const CAN = [
  ...['code', 'steps', 'suspend', 'resume', 'revoke', 'unlock', 'remember', 'only-valid', 'sent'],
  ...['oauth', 'oauth-refresh', 'rotation', 'client-credentials', 'pushed', 'rich', 'creation', 'deletion'],
  ...['out-of-band', 'approve', 'deny'],
]
const { PARAPH_PORT: port = '8080', PARAPH_PUBLIC_URL: url = `http://127.0.0.1:${port}` } = process.env
const OUTBOX = join(process.env.PARAPH_DATA ?? 'var', 'outbox')
const SCOPES = ['service', 'credential', 'credential-creation', 'credential-deletion']

const folder = mkdtempSync(join(tmpdir(), 'paraph-conformance-'))
process.on('exit', () => rmSync(folder, { recursive: true, force: true }))

/** Of this scenario: `{ login, secret, last }`, where `last` is the latest period whose code was told. */
let signers = {}
/** Registered once, when a scenario first needs them. */
const clients = {}

for await (const line of createInterface({ input: process.stdin })) {
  const answer = await answerTo(JSON.parse(line)).catch((error) => ({ error: error.message }))
  process.stdout.write(`${JSON.stringify(answer)}\n`)
}

async function answerTo({ ask, signer, fresh, sent, step = 0, of, needs = [], ...more }) {
  switch (ask) {
    case 'begin':
      return await newWorld(needs)
    case 'code':
      if (sent) return { code: lastSent() }
      return { code: fresh ? await freshCode(signers[signer]) : told(signers[signer], now() + step) }
    case 'near':
      return { codes: [-2, -1, 0, 1, 2].map((near) => code(signers[signer], now() + near)) }
    case 'suspend':
    case 'resume':
    case 'revoke':
      return await paraph('credential', ask, of)
    case 'oauth': {
      const to = await answerRequest(more.url, person(signer, more.code), more.answer)
      return to === undefined ? {} : { to }
    }
    case 'approve':
    case 'deny':
      await answerWaiting(url, person(of), ask === 'approve' ? 'yes' : 'no')
      return {}
    case 'unlock':
      return await paraph('signer', 'unlock', signers[of].login)
    default:
      throw new Error(`a demo cannot ${ask}`)
  }
}

async function newWorld(needs) {
  const has = (fact) => needs.includes(fact)
  const one = await newSigner()
  const facts = { login: one.login, password: one.password }
  if (has('one.spare')) facts.spare = await newCredential(one, '--key', 'p-256')
  if (has('one.rsa') || has('one.pss')) facts.rsa = facts.pss = await newCredential(one, '--key', 'rsa-2048')
  if (has('one.ecdsa')) facts.ecdsa = await newCredential(one, '--key', 'p-256')
  if (has('one.open')) facts.open = await newCredential(one, '--key', 'p-256', '--scal', '1')
  if (has('one.pinned')) {
    facts.pin = String(randomInt(10_000_000, 100_000_000))
    const file = join(folder, 'pin')
    writeFileSync(file, facts.pin, { mode: 0o600 })
    facts.pinned = await newCredential(one, '--key', 'p-256', '--pin-file', file)
  }
  if (has('one.revoked')) {
    facts.revoked = await newCredential(one, '--key', 'p-256')
    await paraph('credential', 'revoke', facts.revoked)
  }
  signers = { one }
  const world = { one: facts, can: CAN }
  const about = (name) => needs.some((need) => need.split('.')[0] === name)
  if (about('two')) {
    const two = await newSigner()
    signers.two = two
    world.two = { login: two.login, password: two.password }
    if (has('two.rsa')) world.two.rsa = await newCredential(two, '--key', 'rsa-2048')
  }
  if (about('three')) {
    const { login, password } = await newSigner('--kind', 'sms')
    world.three = { login, password, ecdsa: await newCredential({ login }, '--key', 'p-256'), object: 'SMS' }
  }
  for (const name of ['app', 'other']) if (about(name)) world[name] = clients[name] ??= await newClient(name)
  if (has('client-credentials')) await paraph('client', 'assign', '--client', world.app.id, '--signer', one.login)
  return world
}

async function newClient(name) {
  const redirect = `https://${name}.example.test/callback`
  const options = ['--name', `Conformance: ${name}`, '--redirect-uri', redirect, '--scope', ...SCOPES]
  const { clientId, clientSecret } = await paraph('client', 'create', ...options)
  return { id: clientId, secret: clientSecret, redirect, policy: '2.999.1.2' }
}

async function newSigner(...kind) {
  const login = `conformance-${randomUUID()}@example.test`
  const account = ['--login', login, '--name', 'Conformance', '--phone', '+48123456789']
  const { password } = await paraph('signer', 'create', ...account)
  const { secret } = await paraph('authenticator', 'enrol', '--signer', login, ...kind)
  return { login, password, secret: secret && fromBase32(secret), last: 0 }
}

function person(name, code) {
  const signer = signers[name]
  return { login: signer.login, password: signer.password, code: () => code ?? freshCode(signer) }
}

function lastSent() {
  const newest = readdirSync(OUTBOX).sort().at(-1)
  return /\b\d{8}\b/.exec(JSON.parse(readFileSync(join(OUTBOX, newest), 'utf8')).text)[0]
}

async function newCredential(signer, ...options) {
  const { credentialID } = await paraph('credential', 'create', '--signer', signer.login, ...options)
  return credentialID
}

function paraph(...args) {
  return new Promise((resolve, reject) => {
    execFile(process.execPath, [MAIN, ...args, '--json'], (error, stdout) => {
      const answer = stdout.startsWith('{') ? JSON.parse(stdout) : undefined
      if (answer?.error !== undefined) return reject(new Error(`paraph ${args[0]} ${args[1]}: ${answer.error.message}`))
      if (error !== null || answer === undefined) return reject(new Error(`paraph ${args[0]} ${args[1]} failed`))
      resolve(answer)
    })
  })
}

function now() {
  return Math.floor(Date.now() / PERIOD)
}

/**
 * A demo takes the codes of the period before and the one after as well, each once and in this order. So a signer has
 * three fresh ones at any moment, and only the fourth waits.
 */
async function freshCode(signer) {
  const next = Math.max(signer.last + 1, now() - 1)
  // Not at the edge of a period, where one before it may be too old on arrival.
  while (next > now() + 1) await pause(500)
  return told(signer, next < now() && Date.now() % PERIOD > PERIOD - 3000 ? next + 1 : next)
}

function told(signer, step) {
  signer.last = Math.max(signer.last, step)
  return code(signer, step)
}

/** RFC 6238, with SHA-1 and eight digits. */
function code({ secret }, step) {
  const counter = Buffer.alloc(8)
  counter.writeBigUInt64BE(BigInt(step))
  const mac = createHmac('sha1', secret).update(counter).digest()
  const number = mac.readUInt32BE(mac[19] & 15) & 0x7fffffff
  return String(number % 100_000_000).padStart(8, '0')
}

function fromBase32(text) {
  const bits = [...text.replace(/=+$/, '')].map((letter) => 'ABCDEFGHIJKLMNOPQRSTUVWXYZ234567'.indexOf(letter))
  const all = bits.map((value) => value.toString(2).padStart(5, '0')).join('')
  return Buffer.from(all.match(/.{8}/g).map((byte) => Number.parseInt(byte, 2)))
}
