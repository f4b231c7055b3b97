/**
 * Tells `paraph conformance` what a running Paraph demo keeps out of band. It makes new signers for every scenario, so
 * that nothing waits for an earlier one, by the commands that an operator would use. Run it where the demo runs, with the
 * same PARAPH_ settings: it needs the demo's operator tokens in the keys folder.
 */
import { execFile } from 'node:child_process'
import { createHmac, randomInt, randomUUID } from 'node:crypto'
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { createInterface } from 'node:readline'
import { setTimeout as pause } from 'node:timers/promises'
import { fileURLToPath } from 'node:url'

const MAIN = fileURLToPath(new URL('../../dist/cli/main.js', import.meta.url))
const PERIOD = 30_000
const CAN = ['code', 'steps', 'suspend', 'resume', 'unlock', 'remember', 'only-valid']

const folder = mkdtempSync(join(tmpdir(), 'paraph-conformance-'))
process.on('exit', () => rmSync(folder, { recursive: true, force: true }))

/** Of this scenario: `{ login, secret, last }`, where `last` is the latest period whose code was told. */
let signers = {}

for await (const line of createInterface({ input: process.stdin })) {
  const answer = await answerTo(JSON.parse(line)).catch((error) => ({ error: error.message }))
  process.stdout.write(`${JSON.stringify(answer)}\n`)
}

async function answerTo({ ask, signer, fresh, step = 0, of, needs = [] }) {
  switch (ask) {
    case 'begin':
      return await newWorld(needs)
    case 'code':
      return { code: fresh ? await freshCode(signers[signer]) : told(signers[signer], now() + step) }
    case 'near':
      return { codes: [-2, -1, 0, 1, 2].map((near) => code(signers[signer], now() + near)) }
    case 'suspend':
    case 'resume':
      return await paraph('credential', ask, of)
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
  if (!needs.some((need) => need.split('.')[0] === 'two')) return { one: facts, can: CAN }
  const two = await newSigner()
  signers.two = two
  const others = { login: two.login, password: two.password }
  if (has('two.rsa')) others.rsa = await newCredential(two, '--key', 'rsa-2048')
  return { one: facts, two: others, can: CAN }
}

async function newSigner() {
  const login = `conformance-${randomUUID()}@example.test`
  const { password } = await paraph('signer', 'create', '--login', login, '--name', 'Conformance')
  const { secret } = await paraph('authenticator', 'enrol', '--signer', login)
  return { login, password, secret: fromBase32(secret), last: 0 }
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
