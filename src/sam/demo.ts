import { chmodSync, existsSync, readFileSync, renameSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import type { AdminVerb, AdminVerbs, OperatorRole } from '../activation.js'
import { ADMIN_ROLE } from '../activation.js'
import { initLog } from '../audit/init.js'
import { RowBinding } from '../binding.js'
import { type Clock, systemClock } from '../clock.js'
import { openClient } from '../db/pool.js'
import { ServiceError } from '../errors.js'
import { initializeToken } from '../hsm/ceremony.js'
import { openCheckpointKey } from '../hsm/checkpoint-key.js'
import { type Hsm, HsmError } from '../hsm/hsm.js'
import { openHsm, parseHsmUri } from '../hsm/open-hsm.js'
import { CODE_DIGITS, CODE_PERIOD } from '../identity/one-time-code.js'
import { insertOperator, newOperatorId } from '../identity/operator.js'
import { createRoot, issueTimeStamping, TEST_TIME_STAMP_POLICY } from '../pki/demo-ca.js'
import { toPem } from '../pki/pem.js'
import { formatVkey, noteKey } from '../tlog/note.js'
import { callAdmin } from './admin-client.js'
import { CA_KEY, CA_ROOT_FILE, openDemoCa } from './demo-ca-files.js'
import { createKeyring } from './keyring.js'
import { TIME_STAMP_KEY, type TimeStampSettings } from './time-stamps.js'

const ROLES: readonly OperatorRole[] = ['registration', 'system', 'security', 'auditor']
const SIGNER_FILE = 'demo-signer.json'

/** Where the token of the demo's operator with this role lies in the keys folder. */
export const operatorTokenFile = (keysDir: string, role: OperatorRole) => join(keysDir, `operator-${role}`)

/** What the terminal shows of the demo's signer, and what `paraph sign --demo` uses. */
export interface DemoSigner {
  readonly login: string
  readonly password: string
  /** otpauth URI, and its secret in base32. */
  readonly uri: string
  readonly secret: string
  readonly algorithm: 'SHA1'
  readonly digits: number
  readonly period: number
}

export interface DemoFolder {
  readonly ownerUrl: string
  readonly hsmUri: string
  readonly caHsmUri: string
  /** The device of the time-stamp authority's key. */
  readonly tsaHsmUri: string
  readonly keysDir: string
  readonly instance: string
}

/** The signer of a demo that is made. */
export function readDemoSigner(keysDir: string): DemoSigner | undefined {
  const file = join(keysDir, SIGNER_FILE)
  return existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as DemoSigner) : undefined
}

/**
 * The ceremonies of a demo, once for its own new folder: tokens, certificate authority, log, operators. Does nothing where
 * the database has its log. The process needs what the device's module needs, such as SOFTHSM2_CONF.
 */
export async function initDemo(folder: Omit<DemoFolder, 'tsaHsmUri'>): Promise<void> {
  if (await hasLog(folder.ownerUrl)) return
  for (const uri of [folder.hsmUri, folder.caHsmUri]) {
    if (parseHsmUri(uri).kind === 'pkcs11') await initializeToken(uri)
  }
  const hsm = await openHsm(folder.hsmUri)
  try {
    await createCa(folder)
    const demoOperator = { id: newOperatorId(systemClock.now()), name: 'demo operator' }
    await initLog({
      ownerUrl: folder.ownerUrl,
      hsm,
      clock: systemClock,
      origin: `paraph.demo/${folder.instance}`,
      instance: folder.instance,
      demo: true,
      operator: demoOperator,
      also: async (tx, record) => {
        const keyring = await createKeyring(hsm, tx, folder.instance)
        for (const role of ROLES) {
          const operator = { id: newOperatorId(systemClock.now()), name: `demo ${role} operator`, role }
          const { token } = await insertOperator(tx, new RowBinding(keyring.binding), operator)
          record({
            type: 'operator.created',
            outcome: 'ok',
            actor: { kind: 'operator', id: demoOperator.id },
            facts: { role },
            evidence: { operator: operator.id },
          })
          writePrivate(operatorTokenFile(folder.keysDir, role), token)
        }
      },
    })
  } finally {
    await hsm.close()
  }
}

/**
 * The demo's signer with an authenticator, an RSA and a P-256 credential, made through the same commands that an operator
 * has; a start that was interrupted is finished by the next.
 */
export async function populateDemo(adminSocket: string, keysDir: string): Promise<DemoSigner> {
  const known = readDemoSigner(keysDir)
  if (known !== undefined) return known
  const call = callerOf(adminSocket, keysDir)
  const login = 'signer@example.test'
  const password = await call('signer.create', { login, name: 'Demo Signer' })
    .catch((error: unknown) => {
      if (error instanceof ServiceError && error.code === 'already_exists')
        return call('signer.resetPassword', { signer: login })
      throw error
    })
    .then((answer) => answer.password ?? '')
  const { uri, secret } = await call('authenticator.enrol', { signer: login })
  const { credentials } = await call('credential.list', { signer: login })
  for (const [key, description] of [
    ['rsa-2048', 'Demo RSA credential'],
    ['p-256', 'Demo P-256 credential'],
  ] as const) {
    if (credentials.some((credential) => credential.key === key && credential.state === 'active')) continue
    await call('credential.create', { signer: login, key, description })
  }
  const signer: DemoSigner = {
    login,
    password,
    uri,
    secret,
    algorithm: 'SHA1',
    digits: CODE_DIGITS,
    period: CODE_PERIOD,
  }
  writePrivate(join(keysDir, SIGNER_FILE), `${JSON.stringify(signer, null, 2)}\n`)
  return signer
}

/** Where a demo keeps the certificates of its time-stamp authority. */
export const timeStampChainFile = (keysDir: string) => join(keysDir, 'tsa-chain.pem')

/** How workers find the demo's time-stamp authority. */
export function demoTimeStamps(tsaHsmUri: string, keysDir: string): TimeStampSettings {
  return { hsmUri: tsaHsmUri, chainFile: timeStampChainFile(keysDir), policy: TEST_TIME_STAMP_POLICY }
}

/** Makes the demo's time-stamp authority, which the demo CA certifies, where there is none. */
export async function makeTimeStampAuthority(
  { caHsmUri, tsaHsmUri, keysDir }: Pick<DemoFolder, 'caHsmUri' | 'tsaHsmUri' | 'keysDir'>,
  clock: Clock = systemClock,
): Promise<void> {
  const file = timeStampChainFile(keysDir)
  if (existsSync(file)) return
  if (parseHsmUri(tsaHsmUri).kind === 'pkcs11') await initializeToken(tsaHsmUri)
  const tsa = await openHsm(tsaHsmUri)
  try {
    const { publicKey } = await serviceKey(tsa, TIME_STAMP_KEY)
    const ca = await openDemoCa(caHsmUri, keysDir)
    try {
      const leaf = await issueTimeStamping(ca.hsm, ca.key, ca.root, publicKey, clock)
      writePrivate(file, toPem('CERTIFICATE', leaf) + toPem('CERTIFICATE', ca.root))
    } finally {
      await ca.hsm.close()
    }
  } finally {
    await tsa.close()
  }
}

/** Whoever of the demo's operators has the role gives the command. */
function callerOf(adminSocket: string, keysDir: string) {
  return <V extends AdminVerb>(verb: V, request: AdminVerbs[V]['request']) => {
    const role = ADMIN_ROLE[verb]
    const token = readFileSync(operatorTokenFile(keysDir, role === 'any' ? 'registration' : role), 'utf8')
    return callAdmin(adminSocket, token, verb, request)
  }
}

/** Where a demo keeps the verifier key of its log, for who wants to verify it; made once that key is named in the log. */
export const vkeyFile = (keysDir: string) => join(keysDir, 'log.vkey')

/** Makes the key that signs the demo's log, and has it named there. */
export async function nameCheckpointKey(adminSocket: string, keysDir: string, uri: string): Promise<void> {
  if (existsSync(vkeyFile(keysDir))) return
  if (parseHsmUri(uri).kind === 'pkcs11') await initializeToken(uri)
  const key = await openCheckpointKey(uri, { create: true })
  try {
    const call = callerOf(adminSocket, keysDir)
    const { origin } = await call('log.origin', {})
    const vkey = formatVkey(noteKey(origin, key.type, key.publicKey))
    await call('log.key', { vkey }).catch((error: unknown) => {
      // A start that was interrupted here has named it.
      if (!(error instanceof ServiceError && error.code === 'already_exists')) throw error
    })
    writePrivate(vkeyFile(keysDir), `${vkey}\n`)
  } finally {
    key.close()
  }
}

async function createCa({ caHsmUri, keysDir }: Pick<DemoFolder, 'caHsmUri' | 'keysDir'>): Promise<void> {
  const hsm = await openHsm(caHsmUri)
  try {
    const key = await serviceKey(hsm, CA_KEY)
    writeFileSync(join(keysDir, CA_ROOT_FILE), toPem('CERTIFICATE', await createRoot(hsm, key, systemClock)))
  } finally {
    await hsm.close()
  }
}

/** That of this name, or a new one. */
async function serviceKey(hsm: Hsm, name: string) {
  try {
    return await hsm.serviceKey(name)
  } catch (error) {
    if (error instanceof HsmError && error.code === 'not_found') return hsm.createServiceKey(name, 'p-256')
    throw error
  }
}

async function hasLog(url: string): Promise<boolean> {
  const client = await openClient(url)
  try {
    return (await client.query('select 1 from audit.log')).rowCount !== 0
  } finally {
    await client.end()
  }
}

function writePrivate(path: string, text: string): void {
  writeFileSync(`${path}.new`, text, { mode: 0o600 })
  chmodSync(`${path}.new`, 0o600)
  renameSync(`${path}.new`, path)
}
