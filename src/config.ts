/** Every setting of Paraph. The environment is read here and nowhere else; secrets are paths to files. */
import { existsSync, readFileSync } from 'node:fs'
import { isIP, isIPv4 } from 'node:net'
import { hostname } from 'node:os'
import { join, resolve } from 'node:path'

const LOG_LEVELS = ['fatal', 'error', 'warn', 'info', 'debug', 'trace', 'silent'] as const
export type LogLevel = (typeof LOG_LEVELS)[number]

export interface Config {
  /**
   * No settings, loopback address, no database named, and a data folder that is new or was a demo's from its first day.
   * Everything else is production and refuses what only a demo may do.
   */
  readonly demo: boolean
  /** PARAPH_HOST: address to listen on. Default 127.0.0.1. */
  readonly host: string
  /** PARAPH_PORT: port to listen on. Default 8080; 0 takes any free one. */
  readonly port: number
  /** PARAPH_PUBLIC_URL: how clients reach the service, without a slash at the end. Default: scheme, host and port. */
  readonly publicUrl: string
  /**
   * PARAPH_TLS_CERT and PARAPH_TLS_KEY: PEM files, certificate chain leaf first. Absent: plain HTTP.
   * PARAPH_TLS_CLIENT_CERTIFICATES: whether clients are asked for one (OAuth 2 with mutual TLS); browsers that have one ask
   * their users, too.
   */
  readonly tls:
    | { readonly certFile: string; readonly keyFile: string; readonly clientCertificates: boolean }
    | undefined
  /** PARAPH_TRUSTED_PROXIES: addresses and networks whose X-Forwarded-* headers are believed. Default none. */
  readonly trustedProxies: readonly string[]
  /** PARAPH_DATA: folder of the embedded database and the sockets. Default ./var. */
  readonly data: string
  /** PARAPH_KEYS: folder of PIN files and, in a demo, the token. Default ./keys for ./var, else $PARAPH_DATA/keys. */
  readonly keys: string
  /** PARAPH_HSM: the device of signers' keys, `pkcs11:/path/module.so?token=…&pin-file=…`; `memory:` in a demo. */
  readonly hsm: string | undefined
  /** PARAPH_ALLOW_SOFTHSM: `yes` lets production run on SoftHSM, which keeps keys in files. */
  readonly allowSoftHsm: boolean
  /** PARAPH_SAM: sockets of workers started apart, or folders holding sam-*.sock. `serve` then runs the front only. */
  readonly sam: readonly string[] | undefined
  /** PARAPH_OPERATOR: file with the token of the operator who gives commands (0600). A demo has its own. */
  readonly operator: string | undefined
  /** DATABASE_URL: the front's database, role paraph_front; for `migrate` a role that owns the database. */
  readonly databaseUrl: string | undefined
  /** PARAPH_SAM_DATABASE_URL: the same database, role paraph_sam. */
  readonly samDatabaseUrl: string | undefined
  /** PARAPH_KEEPER_DATABASE_URL: the same database, role paraph_keeper, which signs the log. */
  readonly keeperDatabaseUrl: string | undefined
  /** PARAPH_CHECKPOINT_HSM: the token of the key that signs the log, with its own PIN. */
  readonly checkpointHsm: string | undefined
  /** PARAPH_WITNESSES: file with a policy (C2SP tlog-policy) whose witnesses are asked to cosign the log. */
  readonly witnesses: string | undefined
  /** PARAPH_REQUIRE_WITNESSES: `yes` makes no signature while too few of them have cosigned the log. Default no. */
  readonly requireWitnesses: boolean
  /** PARAPH_UNSYNCED_CLOCK: `refuse` makes no signature while nothing sets this machine's clock. Default `warn`. */
  readonly refuseUnsyncedClock: boolean
  /**
   * PARAPH_TSA_HSM, PARAPH_TSA_CHAIN and PARAPH_TSA_POLICY: the time-stamp authority's token with its own PIN, its
   * certificates (PEM, its own first), the OID under which it stamps. Absent: no time-stamps are given; a demo has its own.
   */
  readonly timeStamps: { readonly hsmUri: string; readonly chainFile: string; readonly policy: string } | undefined
  /**
   * PARAPH_ANCHOR_TSA, PARAPH_ANCHOR_CERTIFICATES and PARAPH_ANCHOR_PASSWORD_FILE: an outside time-stamp authority that stamps
   * the log every hour, `http(s)://[user@]host/path`, and its certificate or those of its issuers (PEM). Absent: none does.
   */
  readonly anchor:
    | { readonly url: string; readonly certificatesFile: string; readonly passwordFile?: string }
    | undefined
  /** PARAPH_BASIC_LOGIN: whether auth/login takes login and password. Default on in a demo, off elsewhere. */
  readonly basicLogin: boolean
  /** PARAPH_AUDIT_PUBLIC: whether everybody may read the log's checkpoints and hashes. Default false. */
  readonly auditPublic: boolean
  /** PARAPH_WORKERS: signing processes to start. Default 1. */
  readonly workers: number
  /**
   * PARAPH_SMTP_URL and PARAPH_MAIL_FROM: `smtps://user@host?password-file=PATH`, what takes over codes by mail. In a demo
   * they go to the outbox where neither is set.
   */
  readonly mail: { readonly url: string; readonly from: string; readonly passwordFile?: string } | undefined
  /** PARAPH_SMS_URL and PARAPH_SMS_TOKEN_FILE: what takes over codes by text message, and its token. */
  readonly sms: { readonly url: string; readonly tokenFile?: string } | undefined
  /** PARAPH_LOG_LEVEL: least severe level written. Default info. */
  readonly logLevel: LogLevel
  /** PARAPH_NAME: name of the service shown by info. Default Paraph. */
  readonly name: string
  /** PARAPH_REGION: ISO 3166-1 country shown by info. Default ZZ, which stands for no country. */
  readonly region: string
  /** Name of this machine in the log. */
  readonly node: string
}

/** What is about to run, since not every program needs every setting. */
export type Program = 'serve' | 'sam' | 'migrate' | 'command'

/** All faults of the settings at once, one a line, each naming the setting and what to type. */
export class ConfigError extends Error {
  override readonly name = 'ConfigError'
  readonly faults: readonly string[]

  constructor(faults: readonly string[]) {
    super(faults.join('\n'))
    this.faults = faults
  }
}

const NAMES = [
  'PARAPH_HOST',
  'PARAPH_PORT',
  'PARAPH_PUBLIC_URL',
  'PARAPH_TLS_CERT',
  'PARAPH_TLS_KEY',
  'PARAPH_TLS_CLIENT_CERTIFICATES',
  'PARAPH_TRUSTED_PROXIES',
  'PARAPH_DATA',
  'PARAPH_KEYS',
  'PARAPH_HSM',
  'PARAPH_ALLOW_SOFTHSM',
  'PARAPH_SAM',
  'PARAPH_OPERATOR',
  'PARAPH_SAM_DATABASE_URL',
  'PARAPH_KEEPER_DATABASE_URL',
  'PARAPH_CHECKPOINT_HSM',
  'PARAPH_WITNESSES',
  'PARAPH_REQUIRE_WITNESSES',
  'PARAPH_UNSYNCED_CLOCK',
  'PARAPH_TSA_HSM',
  'PARAPH_TSA_CHAIN',
  'PARAPH_TSA_POLICY',
  'PARAPH_ANCHOR_TSA',
  'PARAPH_ANCHOR_CERTIFICATES',
  'PARAPH_ANCHOR_PASSWORD_FILE',
  'PARAPH_BASIC_LOGIN',
  'PARAPH_AUDIT_PUBLIC',
  'PARAPH_WORKERS',
  'PARAPH_SMTP_URL',
  'PARAPH_MAIL_FROM',
  'PARAPH_SMS_URL',
  'PARAPH_SMS_TOKEN_FILE',
  'PARAPH_LOG_LEVEL',
  'PARAPH_NAME',
  'PARAPH_REGION',
] as const
type Name = (typeof NAMES)[number] | 'DATABASE_URL'

/** Belong to the test run, which hands them to every process it starts. */
const TEST_PREFIX = 'PARAPH_TEST_'

/**
 * Reads and checks the settings; an empty one counts as absent.
 * @throws ConfigError
 */
export function loadConfig(env: Readonly<Record<string, string | undefined>>, program: Program = 'command'): Config {
  const faults: string[] = []
  const read = (name: Name): string | undefined => env[name]?.trim() || undefined
  const fault = (text: string): undefined => void faults.push(text)

  for (const name of Object.keys(env)) {
    if (!name.startsWith('PARAPH_') || name.startsWith(TEST_PREFIX) || NAMES.some((known) => known === name)) continue
    fault(`${name} is not a setting. Remove it, or correct it to one of: ${NAMES.join(', ')}`)
  }

  const oneOf = <Value extends string>(name: Name, values: readonly Value[], otherwise: Value): Value => {
    const text = read(name) ?? otherwise
    const found = values.find((value) => value === text)
    if (found === undefined) fault(`${name} is neither of its values. Type one of: ${values.join(', ')}`)
    return found ?? otherwise
  }
  const whole = (name: Name, least: number, most: number, otherwise: number): number => {
    const text = read(name) ?? String(otherwise)
    if (/^\d{1,9}$/.test(text) && Number(text) >= least && Number(text) <= most) return Number(text)
    fault(`${name} is not a whole number from ${least} to ${most}. Type one, for example ${name}=${otherwise}`)
    return otherwise
  }
  const path = (name: Name): string | undefined => {
    const text = read(name)
    return text === undefined ? undefined : resolve(text)
  }
  const list = (name: Name): string[] => (read(name) ?? '').split(',').flatMap((part) => part.trim() || [])
  const database = (name: Name): string | undefined => {
    const text = read(name)
    if (text === undefined || (/^postgres(ql)?:\/\//.test(text) && URL.canParse(text))) return text
    return fault(
      `${name} is not a PostgreSQL URL. Type ${name}=postgres://role@host:5432/database (the password may come from PGPASSFILE)`,
    )
  }

  const host = read('PARAPH_HOST') ?? '127.0.0.1'
  const port = whole('PARAPH_PORT', 0, 65535, 8080)
  const data = path('PARAPH_DATA') ?? resolve('var')
  const keys = path('PARAPH_KEYS') ?? (data === resolve('var') ? resolve('keys') : join(data, 'keys'))
  const databaseUrl = database('DATABASE_URL')
  const samDatabaseUrl = database('PARAPH_SAM_DATABASE_URL')
  const keeperDatabaseUrl = database('PARAPH_KEEPER_DATABASE_URL')
  const hsm = read('PARAPH_HSM')
  const sam = list('PARAPH_SAM').map((entry) => resolve(entry))
  const demo = isLoopback(host) && !databaseUrl && !samDatabaseUrl && sam.length === 0 && mayBeDemo(data)

  const certFile = path('PARAPH_TLS_CERT')
  const keyFile = path('PARAPH_TLS_KEY')
  if ((certFile === undefined) !== (keyFile === undefined)) {
    fault('PARAPH_TLS_CERT and PARAPH_TLS_KEY belong together. Type both, or neither for plain HTTP')
  }
  const clientCertificates = oneOf('PARAPH_TLS_CLIENT_CERTIFICATES', ['off', 'on'], 'off') === 'on'
  const tls = certFile !== undefined && keyFile !== undefined ? { certFile, keyFile, clientCertificates } : undefined
  if (clientCertificates && tls === undefined) {
    fault(
      'PARAPH_TLS_CLIENT_CERTIFICATES needs PARAPH_TLS_CERT and PARAPH_TLS_KEY: a proxy would see the certificates, and we not',
    )
  }
  for (const [name, file] of Object.entries({ PARAPH_TLS_CERT: certFile, PARAPH_TLS_KEY: keyFile })) {
    if (file !== undefined && !existsSync(file))
      fault(`${name} names a file that does not exist. Type the path of a PEM file`)
  }

  const trustedProxies = list('PARAPH_TRUSTED_PROXIES')
  if (!trustedProxies.every(isNetwork)) {
    fault('PARAPH_TRUSTED_PROXIES is not a list of networks. Type PARAPH_TRUSTED_PROXIES=10.0.0.0/8,192.168.1.7')
  }

  const publicUrl =
    read('PARAPH_PUBLIC_URL') ?? `${tls ? 'https' : 'http'}://${isIP(host) === 6 ? `[${host}]` : host}:${port}`
  if (!isOrigin(publicUrl)) {
    fault('PARAPH_PUBLIC_URL is not the address of a site. Type PARAPH_PUBLIC_URL=https://sign.example.test')
  }

  const witnesses = path('PARAPH_WITNESSES')
  const requireWitnesses = oneOf('PARAPH_REQUIRE_WITNESSES', ['no', 'yes'], 'no') === 'yes'
  if (witnesses !== undefined && !existsSync(witnesses)) {
    fault('PARAPH_WITNESSES names a file that does not exist. Type the path of a policy, with a line for each witness')
  }
  if (requireWitnesses && witnesses === undefined) {
    fault('PARAPH_REQUIRE_WITNESSES needs PARAPH_WITNESSES. Type both, or neither')
  }

  const smtpUrl = read('PARAPH_SMTP_URL')
  const from = read('PARAPH_MAIL_FROM')
  if ((smtpUrl === undefined) !== (from === undefined)) {
    fault('PARAPH_SMTP_URL and PARAPH_MAIL_FROM belong together. Type both, or neither for no codes by mail')
  }
  const mail = smtpUrl === undefined || from === undefined ? undefined : mailOf(smtpUrl, from, fault)

  const smsUrl = read('PARAPH_SMS_URL')
  const tokenFile = path('PARAPH_SMS_TOKEN_FILE')
  if (smsUrl !== undefined && !isGateway(smsUrl)) {
    fault(
      'PARAPH_SMS_URL is no https address. Type PARAPH_SMS_URL=https://sms.example.test/send, with the token in a file',
    )
  }
  if (smsUrl === undefined && tokenFile !== undefined) {
    fault('PARAPH_SMS_TOKEN_FILE is the token for PARAPH_SMS_URL, which is missing. Type both, or neither')
  }
  const sms = smsUrl === undefined ? undefined : { url: smsUrl, ...(tokenFile === undefined ? {} : { tokenFile }) }

  const tsaHsm = read('PARAPH_TSA_HSM')
  const chainFile = path('PARAPH_TSA_CHAIN')
  const policy = read('PARAPH_TSA_POLICY')
  if (new Set([tsaHsm, chainFile, policy].map((value) => value === undefined)).size > 1) {
    fault(
      'PARAPH_TSA_HSM, PARAPH_TSA_CHAIN and PARAPH_TSA_POLICY belong together. Type all three, or none for a service that gives no time-stamps',
    )
  }
  if (tsaHsm !== undefined && !tsaHsm.startsWith('pkcs11:')) {
    fault(
      'PARAPH_TSA_HSM is no token. Type PARAPH_TSA_HSM="pkcs11:/path/to/module.so?token=paraph-tsa&pin-file=/path/to/tsa-pin"',
    )
  }
  if (policy !== undefined && !/^[0-2](\.(0|[1-9]\d{0,9})){1,20}$/.test(policy)) {
    fault(
      'PARAPH_TSA_POLICY is no object identifier. Type the OID of your policy, for example PARAPH_TSA_POLICY=1.3.6.1.4.1.99999.1',
    )
  }
  const timeStamps =
    tsaHsm === undefined || chainFile === undefined || policy === undefined
      ? undefined
      : { hsmUri: tsaHsm, chainFile, policy }

  const anchorUrl = read('PARAPH_ANCHOR_TSA')
  const certificatesFile = path('PARAPH_ANCHOR_CERTIFICATES')
  const passwordFile = path('PARAPH_ANCHOR_PASSWORD_FILE')
  if ((anchorUrl === undefined) !== (certificatesFile === undefined)) {
    fault(
      'PARAPH_ANCHOR_TSA and PARAPH_ANCHOR_CERTIFICATES belong together. Type both, or neither for a log that nobody outside time-stamps',
    )
  }
  if (anchorUrl !== undefined && !isAuthority(anchorUrl, passwordFile !== undefined)) {
    fault(
      'PARAPH_ANCHOR_TSA is not the address of a time-stamp authority. Type PARAPH_ANCHOR_TSA=https://tsa.example.test/ or, with PARAPH_ANCHOR_PASSWORD_FILE, https://user@tsa.example.test/',
    )
  }
  const anchor =
    anchorUrl === undefined || certificatesFile === undefined
      ? undefined
      : { url: anchorUrl, certificatesFile, ...(passwordFile === undefined ? {} : { passwordFile }) }

  const region = read('PARAPH_REGION') ?? 'ZZ'
  if (!/^[A-Z]{2}$/.test(region))
    fault('PARAPH_REGION is not a country code. Type two capital letters, for example PARAPH_REGION=PL')

  const config: Config = {
    demo,
    host,
    port,
    publicUrl: publicUrl.replace(/\/$/, ''),
    tls,
    trustedProxies,
    data,
    keys,
    hsm,
    allowSoftHsm: oneOf('PARAPH_ALLOW_SOFTHSM', ['no', 'yes'], 'no') === 'yes',
    sam: sam.length === 0 ? undefined : sam,
    operator: path('PARAPH_OPERATOR'),
    databaseUrl,
    samDatabaseUrl,
    keeperDatabaseUrl,
    checkpointHsm: read('PARAPH_CHECKPOINT_HSM'),
    witnesses,
    requireWitnesses,
    refuseUnsyncedClock: oneOf('PARAPH_UNSYNCED_CLOCK', ['warn', 'refuse'], 'warn') === 'refuse',
    timeStamps,
    anchor,
    basicLogin: oneOf('PARAPH_BASIC_LOGIN', ['off', 'on'], demo ? 'on' : 'off') === 'on',
    auditPublic: oneOf('PARAPH_AUDIT_PUBLIC', ['false', 'true'], 'false') === 'true',
    workers: whole('PARAPH_WORKERS', 1, 64, 1),
    mail,
    sms,
    logLevel: oneOf('PARAPH_LOG_LEVEL', LOG_LEVELS, 'info'),
    name: read('PARAPH_NAME') ?? 'Paraph',
    region,
    node: hostname(),
  }
  if (!demo && program === 'serve') faults.push(...serveFaults(config, read('PARAPH_PUBLIC_URL') !== undefined))
  if (program === 'sam') faults.push(...samFaults(config))
  if (program === 'migrate' && databaseUrl === undefined) {
    fault(
      'DATABASE_URL is missing. Type DATABASE_URL=postgres://owner@host:5432/paraph for a role that owns the database; a demo migrates its own when it starts',
    )
  }
  if (faults.length > 0) throw new ConfigError(faults)
  return config
}

/** What `paraph serve` outside a demo cannot do without, or must not do. */
function serveFaults(config: Config, publicUrlGiven: boolean): string[] {
  const faults: string[] = []
  if (config.databaseUrl === undefined) {
    faults.push(
      `DATABASE_URL is missing, and this is no demo (${whyNoDemo(config)}). Type DATABASE_URL=postgres://paraph_front@host:5432/paraph`,
    )
  }
  if (config.sam === undefined) faults.push(...workerFaults(config))
  if (!isLoopback(config.host) && config.tls === undefined && config.trustedProxies.length === 0) {
    faults.push(
      'PARAPH_TLS_CERT and PARAPH_TLS_KEY are missing, so that codes would cross the network in clear. Type both, or, behind a proxy that does TLS, its address in PARAPH_TRUSTED_PROXIES',
    )
  }
  if (!publicUrlGiven && (config.host === '0.0.0.0' || config.host === '::')) {
    faults.push(
      'PARAPH_PUBLIC_URL is missing, and nobody can reach the address listened on. Type PARAPH_PUBLIC_URL=https://sign.example.test',
    )
  }
  return faults
}

function samFaults(config: Config): string[] {
  const faults = workerFaults(config)
  if (config.sam?.length !== 1)
    faults.push('PARAPH_SAM is not one folder. Type PARAPH_SAM=/run/paraph, where the sockets for the front are to be')
  return faults
}

function workerFaults({ samDatabaseUrl, keeperDatabaseUrl, hsm, checkpointHsm, allowSoftHsm }: Config): string[] {
  const faults: string[] = []
  if (samDatabaseUrl === undefined) {
    faults.push(
      'PARAPH_SAM_DATABASE_URL is missing (for a demo, unset DATABASE_URL too). Type PARAPH_SAM_DATABASE_URL=postgres://paraph_sam@host:5432/paraph',
    )
  }
  if (keeperDatabaseUrl === undefined) {
    faults.push(
      'PARAPH_KEEPER_DATABASE_URL is missing, and an unsigned log stops the signing. Type PARAPH_KEEPER_DATABASE_URL=postgres://paraph_keeper@host:5432/paraph',
    )
  }
  if (checkpointHsm === undefined || !checkpointHsm.startsWith('pkcs11:')) {
    faults.push(
      'PARAPH_CHECKPOINT_HSM is missing, or no token. Type PARAPH_CHECKPOINT_HSM="pkcs11:/path/to/module.so?token=paraph-log&pin-file=/path/to/log-pin"',
    )
  }
  if (hsm === undefined) {
    faults.push('PARAPH_HSM is missing. Type PARAPH_HSM="pkcs11:/path/to/module.so?token=paraph&pin-file=/path/to/pin"')
  } else if (!hsm.startsWith('pkcs11:')) {
    faults.push(
      'PARAPH_HSM is no hardware device, and only a demo may do without. Type PARAPH_HSM="pkcs11:/path/to/module.so?token=paraph&pin-file=/path/to/pin"',
    )
  } else if (isSoftHsm(hsm) && !allowSoftHsm) {
    faults.push(
      'PARAPH_HSM is SoftHSM, which keeps keys in files. Name a hardware module, or type PARAPH_ALLOW_SOFTHSM=yes to take that risk',
    )
  }
  return faults
}

/** By the module's name; `doctor` and the worker's start ask the module itself. */
export function isSoftHsm(uri: string): boolean {
  return /softhsm/i.test(uri)
}

function whyNoDemo(config: Config): string {
  if (!isLoopback(config.host)) return 'PARAPH_HOST is not a loopback address'
  if (config.samDatabaseUrl !== undefined) return 'PARAPH_SAM_DATABASE_URL is set'
  if (config.sam !== undefined) return 'PARAPH_SAM is set'
  return 'PARAPH_DATA belongs to a production start'
}

function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || (isIPv4(host) && host.startsWith('127.'))
}

/** Where a data folder says what it belongs to; see `claimFolders`. */
export const INSTANCE_FILE = 'instance.json'

function mayBeDemo(data: string): boolean {
  try {
    return (JSON.parse(readFileSync(join(data, INSTANCE_FILE), 'utf8')) as { demo?: unknown }).demo === true
  } catch (error) {
    return (error as NodeJS.ErrnoException).code === 'ENOENT'
  }
}

function isNetwork(text: string): boolean {
  const [address = '', bits, ...rest] = text.split('/')
  const family = isIP(address)
  if (family === 0 || rest.length > 0) return false
  return bits === undefined || (/^\d{1,3}$/.test(bits) && Number(bits) <= (family === 4 ? 32 : 128))
}

function mailOf(text: string, from: string, fault: (text: string) => void): Config['mail'] {
  const url = URL.canParse(text) ? new URL(text) : undefined
  const [name, passwordFile, ...more] = [...(url?.searchParams ?? [])].flat()
  const named = (url?.username ?? '') !== ''
  const plain = url !== undefined && /^smtps?:$/.test(url.protocol) && url.hostname !== '' && url.pathname.length <= 1
  const known = more.length === 0 && (name === undefined || name === 'password-file')
  if (!plain || url.password !== '' || !known || named !== Boolean(passwordFile)) {
    fault(
      'PARAPH_SMTP_URL is not the address of a mail server without its password. Type PARAPH_SMTP_URL="smtps://user@mail.example.test?password-file=/path/to/password"',
    )
  }
  if (!/^[^\s@<>]+@[^\s@<>]+$/.test(from)) {
    fault('PARAPH_MAIL_FROM is not a mail address. Type PARAPH_MAIL_FROM=sign@example.test')
  }
  if (url !== undefined) url.search = ''
  return { url: url?.href ?? '', from, ...(passwordFile ? { passwordFile: resolve(passwordFile) } : {}) }
}

/** A code must not cross a network in clear. */
function isGateway(text: string): boolean {
  if (!URL.canParse(text)) return false
  const url = new URL(text)
  const local = url.protocol === 'http:' && isLoopback(url.hostname.replace(/^\[|\]$/g, ''))
  return (url.protocol === 'https:' || local) && url.username === '' && url.password === '' && url.hash === ''
}

/** What it answers is signed, so that it may be asked in clear; a password may not be told so. */
function isAuthority(text: string, password: boolean): boolean {
  if (!URL.canParse(text)) return false
  const url = new URL(text)
  const safe = url.protocol === 'https:' || (url.protocol === 'http:' && !password)
  return safe && url.password === '' && url.hash === '' && (url.username !== '') === password
}

function isOrigin(text: string): boolean {
  if (!URL.canParse(text)) return false
  const url = new URL(text)
  return (
    /^https?:$/.test(url.protocol) &&
    url.pathname === '/' &&
    url.search === '' &&
    url.hash === '' &&
    url.username === ''
  )
}
